"""ecny doctor: each finding, the exit code of the first that failed, both forms of the report."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from hardware import doctor as doctor_module
from hardware.doctor import (
    LEAST_FREE,
    NEWEST_NOW,
    OLDEST_NOW,
    Finding,
    Verdict,
    check_clock,
    check_data_directory,
    check_packages,
    check_pcsc,
    check_python,
    check_suites,
    doctor,
    examine,
)
from hardware.transports import scard
from support.echo_card import EchoCard, InReader
from support.fake_scard import EMPTY, NO_SERVICE, PRESENT, FakeScard
from support.pcscd import PrivatePcscd
from wallet_core import sm2
from wallet_core.errors import ConfigurationError, ExitCode

NOW = 1_800_000_000.0


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakeScard:
    pretended = FakeScard(readers={"Virtual PCD 00 00": (PRESENT, b"\x3b\x00"), "Gem Twin": (EMPTY, b"")})
    monkeypatch.setattr(scard, "load", lambda: pretended)
    return pretended


@pytest.fixture
def data(tmp_path: Path) -> Path:
    home = tmp_path / "ecny"
    home.mkdir(mode=0o700)
    return home


def failed(finding: Finding, exit_code: ExitCode = ExitCode.CONFIGURATION) -> bool:
    """Whether it failed with this code and says what to do next."""
    return finding.verdict is Verdict.FAILED and finding.exit_code == exit_code and bool(finding.next_step)


def test_suites(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_suites() == Finding("suites", Verdict.OK, "es256, sm2")

    def absent() -> None:
        raise ConfigurationError("suite sm2 needs OpenSSL's libcrypto 3, which is not here", next_step="Install it.")

    monkeypatch.setattr(sm2, "Field", absent)
    found = check_suites()
    assert (found.verdict, found.next_step) == (Verdict.NOTE, "Install it.")
    assert found.detail.startswith("es256; suite sm2 needs")


def test_python() -> None:
    assert check_python((3, 11, 0)).verdict is Verdict.OK
    assert check_python((3, 14, 1)).detail == "3.14.1"
    assert failed(check_python((3, 10, 9)))


def test_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_packages().verdict is Verdict.OK
    assert failed(check_packages("no-such-distribution"))
    wanted = [
        'click>=8.1,<99 ; python_version > "3"',
        "cbor2 (>=999)",
        "no-such-package",
        'pyscard>=2; extra == "pcsc"',
    ]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: wanted)
    finding = check_packages()
    assert failed(finding)
    assert "cbor2" in finding.detail
    assert "no-such-package is missing" in finding.detail
    assert "click" not in finding.detail
    assert "pyscard" not in finding.detail


def test_the_data_directory(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_data_directory(data) == Finding("data", Verdict.OK, str(data))
    assert "will be made" in check_data_directory(data / "not" / "yet").detail
    data.chmod(0o755)
    assert check_data_directory(data).verdict is Verdict.NOTE
    data.chmod(0o770)
    assert failed(check_data_directory(data))
    file = data / "file"
    file.touch()
    for path in (file, file / "below"):
        assert failed(check_data_directory(path))
    data.chmod(0o700)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert failed(check_data_directory(data))


def test_a_disk_that_is_full(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(data)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=LEAST_FREE - 1))
    assert failed(check_data_directory(data), ExitCode.STORAGE)


def test_the_clock(data: Path) -> None:
    assert check_clock(data, NOW) == Finding("clock", Verdict.OK, "2027-01-15T08:00:00Z")
    assert check_clock(data / "not yet", NOW).verdict is Verdict.OK
    for wrong in (0, OLDEST_NOW - 1, NEWEST_NOW):
        assert failed(check_clock(data, wrong))
    newest = data / "journal"
    newest.touch()
    os.utime(newest, (NOW + 30, NOW + 30))
    assert check_clock(data, NOW).verdict is Verdict.OK
    os.utime(newest, (NOW + 3_600, NOW + 3_600))
    assert failed(check_clock(data, NOW))


def checks(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def test_readers(service: FakeScard, tmp_path: Path) -> None:
    found = checks(check_pcsc(tmp_path))
    assert {finding.verdict for finding in found.values()} == {Verdict.OK}
    assert found["readers"].detail == "Virtual PCD 00 00 (card), Gem Twin (no card)"
    assert found["vpcd"].detail == "Virtual PCD is there"


def test_no_reader(service: FakeScard, tmp_path: Path) -> None:
    service.readers = {}
    found = checks(check_pcsc(tmp_path))
    assert failed(found["readers"], ExitCode.NO_READER)
    assert (found["vpcd"].verdict, found["vpcd"].detail) == (Verdict.NOTE, "not installed")
    (tmp_path / "serial").mkdir()
    (tmp_path / "serial" / "libifdvpcd.so").touch()
    assert checks(check_pcsc(tmp_path))["vpcd"].detail == "installed, but pcscd does not serve it"


def test_no_service(service: FakeScard, tmp_path: Path) -> None:
    service.fail["SCardEstablishContext"] = [NO_SERVICE]
    found = checks(check_pcsc(tmp_path))
    assert failed(found["pcscd"], ExitCode.NO_SERVICE)
    assert list(found) == ["pyscard", "pcscd"]


def test_no_pyscard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def load() -> None:
        raise ConfigurationError("pyscard is not usable", next_step="Install it.")

    monkeypatch.setattr(doctor_module, "load", load)
    found = checks(check_pcsc(tmp_path))
    assert list(found) == ["pyscard"]
    assert failed(found["pyscard"])


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(doctor, arguments)
    return result.exit_code, result.output


def spoil_data(data: Path, service: FakeScard) -> None:
    data.chmod(0o777)
    service.fail["SCardEstablishContext"] = [NO_SERVICE]


def spoil_service(data: Path, service: FakeScard) -> None:
    service.fail["SCardEstablishContext"] = [NO_SERVICE]


def spoil_readers(data: Path, service: FakeScard) -> None:
    service.readers = {}


@pytest.mark.parametrize(("spoil", "exit_code"), [(spoil_data, 10), (spoil_service, 3), (spoil_readers, 4)])
def test_the_first_failure_decides_the_exit_code(
    spoil: Callable[[Path, FakeScard], None], exit_code: int, data: Path, service: FakeScard
) -> None:
    spoil(data, service)
    code, text = run("--data", str(data))
    assert code == exit_code
    assert "failed" in text
    assert "→ " in text


def test_the_report(data: Path, service: FakeScard) -> None:
    code, text = run("--data", str(data))
    assert code == 0
    names = [line.split()[1] for line in text.splitlines() if line.startswith(("ok ", "note ", "failed "))]
    assert names == ["python", "packages", "suites", "data", "clock", "pyscard", "pcscd", "readers", "vpcd"]
    code, text = run("--data", str(data), "--json")
    report = json.loads(text)
    assert (code, report["ok"]) == (0, True)
    assert [check["check"] for check in report["checks"]] == names
    assert report["checks"][0]["verdict"] == "ok"


def test_without_pcsc(data: Path, service: FakeScard) -> None:
    service.fail["SCardEstablishContext"] = [NO_SERVICE]
    assert run("--data", str(data), "--without-pcsc")[0] == 0
    assert service.calls == []


@pytest.mark.pcsc
def test_the_real_stack(data: Path) -> None:
    with PrivatePcscd() as stack, InReader(EchoCard(), stack, inserted=False):
        found = checks(examine(data))
        assert [finding for finding in found.values() if finding.verdict is Verdict.FAILED] == []
        assert found["readers"].detail == "Virtual PCD 00 00 (no card), Virtual PCD 00 01 (no card)"
        stack.restart(readers=False)
        assert failed(checks(examine(data))["readers"], ExitCode.NO_READER)
        stack.kill()
        assert failed(checks(examine(data))["pcscd"], ExitCode.NO_SERVICE)
