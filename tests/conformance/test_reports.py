"""The reports of an examination, and `ecny card conform` as a laboratory runs it."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import cbor2
import pycddl
import pytest
from click.testing import CliRunner, Result

from conformance.test_wrong_cards import reader
from conformance.wrong_cards import GivesBackAgain
from hardware.cli import card
from hardware.conformance import cli, signed_report
from hardware.conformance.report import facts, junit, to_json
from hardware.conformance.requirements import in_order, registered
from hardware.conformance.runner import Conclusion, Examination, Verdict, chosen, examine
from support.keys import key
from support.tree import ROOT
from wallet_core.cose import Sign1
from wallet_core.errors import (
    BadSignatureError,
    CodecError,
    ConfigurationError,
    MismatchError,
    OutOfRangeError,
    WrongTypeError,
)
from wallet_core.keys import SoftwareKey
from wallet_core.suites import Suite

LAB = key("laboratory")
CDDL = re.sub(r"bstr \.cbor [a-z-]+", "bstr", (ROOT / "docs/spec/conformance.cddl").read_text(encoding="utf-8"))
MADE_AT = 1_790_000_000


@cache
def found() -> Examination:
    """Of a card that gives a refused payment back twice."""
    return examine(reader(GivesBackAgain), random=Random(3).randbytes, only=("ACK", "ISO", "LIF"))


def signed() -> bytes:
    return signed_report.sign(found(), LAB, made_at=MADE_AT, software="test 1")


def test_facts_name_every_requirement_with_its_exchanges() -> None:
    told = json.loads(to_json(found()))
    assert told == json.loads(json.dumps(facts(found())))
    assert told["verdict"] == "does not conform"
    red = [one for one in told["requirements"] if one["verdict"] == "failed"]
    assert [one["id"] for one in red] == ["ECNY-ACK-04"]
    assert red[0]["clause"] == "transfer.md#rules"
    last = red[0]["exchanges"][-1]
    assert bytes.fromhex(last["answer"])[-2:] == b"\x90\x00"
    assert last["meaning"] == "success"


def test_junit_counts_what_was_found() -> None:
    root = ET.fromstring(junit(found()))
    cases = root.findall("testsuite/testcase")
    assert len(cases) == len(found().findings)
    assert sum(int(suite.get("failures", "")) for suite in root) == 1
    skipped = found().count(Verdict.NOT_TRIED) + found().count(Verdict.UNTESTABLE)
    assert len(root.findall("testsuite/testcase/skipped")) == skipped
    failure = root.find("testsuite[@name='ECNY-ACK']/testcase/failure")
    assert failure is not None
    assert "totals" in (failure.get("message") or "")


def _judge(data: bytes) -> None:
    """The CDDL on the envelope, its protected header and its payload, one by one."""
    protected, _, payload, _ = cbor2.loads(data).value
    parts = (("conformance-report", data), ("report-header", protected), ("report-payload", payload))
    for rule, content in parts:
        pycddl.Schema(f"root = {rule}\n{CDDL}").validate_cbor(content)


def test_a_signed_report_keeps_its_cddl_and_verifies() -> None:
    _judge(signed())
    told = signed_report.verify(signed(), LAB.public.thumbprint)
    assert (told.lab, told.made_at, told.software) == (LAB.public.thumbprint, MADE_AT, "test 1")
    assert (told.serial, told.begun, told.ended) == (found().serial, "blank", "active")
    wanted = {one.requirement.id: (one.verdict, one.why) for one in found().findings}
    assert told.verdicts == wanted
    assert told.conclusion is Conclusion.DOES_NOT_CONFORM


def test_what_a_terminal_would_obey_is_signed_as_spaces() -> None:
    odd = replace(found(), reader="a\nreader\x1b[2J")
    told = signed_report.verify(signed_report.sign(odd, LAB, made_at=MADE_AT, software="test 1"))
    assert told.reader == "a reader [2J"


def test_a_key_of_another_suite_signs_no_report() -> None:
    with pytest.raises(ConfigurationError, match="P-256"):
        signed_report.sign(found(), SoftwareKey.from_secret(bytes(48), Suite.SM2), made_at=1, software="test 1")


def test_a_changed_report_does_not_verify() -> None:
    data = signed()
    place = data.index(b"ECNY-ACK-04")
    with pytest.raises(BadSignatureError):
        signed_report.verify(data[:place] + b"ECNY-ACK-05" + data[place + 11 :])
    with pytest.raises(MismatchError, match=LAB.public.thumbprint.hex()):
        signed_report.verify(data, bytes(32))


def test_another_message_is_no_report() -> None:
    sign1 = Sign1.from_bytes(signed(), max_size=signed_report.MAX_SIZE)
    other = Sign1(bytes.fromhex("a10126"), sign1.payload, sign1.signature)
    with pytest.raises(WrongTypeError, match="another type"):
        signed_report.verify(other.to_bytes())
    with pytest.raises(CodecError):
        signed_report.verify(b"no report")


@pytest.mark.parametrize(
    ("label", "value", "error"),
    [
        (4, "soon", WrongTypeError),
        (12, [["ECNY-ACK-04", 9, "", [], [], []]], OutOfRangeError),
        (12, [["x"]], WrongTypeError),
        (12, [["ECNY-ACK-04", 1, "failed", [], [], []], ["ECNY-ACK-04", 0, "", [], [], []]], OutOfRangeError),
        (12, [["ECNY-ACK-04", 1, "\x1b[2J", [], [], []]], OutOfRangeError),
        (4, 1 << 62, OutOfRangeError),
        (4, -1, OutOfRangeError),
        (5, "\x1b[2J", OutOfRangeError),
    ],
)
def test_a_report_with_another_content_is_refused_though_it_is_signed(
    label: int, value: object, error: type[CodecError]
) -> None:
    sign1 = Sign1.from_bytes(signed(), max_size=signed_report.MAX_SIZE)
    payload = cbor2.dumps({**cbor2.loads(sign1.payload), label: value}, canonical=True)
    unsigned = Sign1(sign1.protected, payload, b"")
    forged = Sign1(sign1.protected, payload, LAB.sign(unsigned.signed_bytes))
    with pytest.raises(error):
        signed_report.verify(forged.to_bytes())


def conform(data: Path, *words: str, code: int) -> Result:
    result = CliRunner().invoke(card, ["conform", *words, "--data", str(data)], env={"ECNY_READER": "emulator"})
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def data(tmp_path: Path) -> Path:
    CliRunner().invoke(card, ["new", "--seed", "1", "--data", str(tmp_path)])
    (tmp_path / "lab.pem").write_bytes(LAB.to_pem())
    return tmp_path


def test_a_laboratory_examines_a_card_and_signs(data: Path) -> None:
    reports = [data / f"card{suffix}" for suffix in (".xml", ".json", ".cose")]
    words = [word for path in reports for word in ("--report", str(path))]
    areas = ("--only", "REV", "--only", "LIF", "--only", "ATM")
    shown = conform(data, *areas, *words, "--lab-key", str(data / "lab.pem"), code=0).output
    assert "\nNO FAULT FOUND: " in shown
    assert f"{sum(one.destructive for one in registered())} not tried, 3 untestable" in shown
    assert json.loads(reports[1].read_bytes())["verdict"] == "no fault found"
    assert len(ET.fromstring(reports[0].read_bytes()).findall("testsuite/testcase")) == len(chosen(areas[1::2]))
    lab = LAB.public.thumbprint.hex()
    checked = conform(data, "--verify", str(reports[2]), "--lab", lab, "--json", code=0)
    told = json.loads(checked.output)
    assert (told["verdict"], told["lab"], told["failed"]) == ("no fault found", lab, {})
    conform(data, "--verify", str(reports[2]), "--lab", "00" * 32, code=13)


def test_every_report_says_that_it_is_no_certificate_of_a_bank(data: Path) -> None:
    saying = "Test money. An open reference, not affiliated with the People's Bank of China or any bank."
    told = ET.fromstring(junit(found())).findall("testsuite/properties/property")
    assert {(one.get("name"), one.get("value")) for one in told} == {("notice", saying)}
    assert len(told) == 3  # areas
    assert json.loads(to_json(found()))["notice"] == saying
    assert signed_report.verify(signed()).notice == saying
    (data / "card.cose").write_bytes(signed())
    for words in (("--only", "SEL"), ("--verify", str(data / "card.cose"))):
        code = 13 if "--verify" in words else 0
        assert conform(data, *words, code=code).output.rstrip().endswith(saying)


def test_a_wrong_card_ends_with_13_and_its_exchanges(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "open_reader", lambda *_, **__: reader(GivesBackAgain))
    report = data / "wrong.cose"
    lab = ("--lab-key", str(data / "lab.pem"))
    shown = conform(data, "--only", "ACK", "--report", str(report), *lab, code=13).output
    assert "ECNY-ACK-04 FAILED: " in shown
    assert "  transfer.md#rules\n" in shown
    assert re.search(r"^ +>> 803A01000+02", shown, re.MULTILINE)
    assert "DOES NOT CONFORM: 11 passed, 1 failed" in shown
    assert "ECNY-ACK-04 failed" in conform(data, "--verify", str(report), code=13).output


def test_the_list_needs_no_card(tmp_path: Path) -> None:
    shown = conform(tmp_path, "--list", code=0).output
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("ECNY-")] == [
        one.id for one in in_order(registered())
    ]
    told = json.loads(conform(tmp_path, "--list", "--only", "REF", "--json", code=0).output)
    assert [one["stage"] for one in told["requirements"]] == ["active"] * 4


def test_wrong_words_are_refused_before_a_card_is_touched(tmp_path: Path) -> None:
    for words in (
        ("--report", "card.pdf"),
        ("--report", "card.cose"),
        ("--lab-key", "lab.pem", "--report", "card.xml"),
        ("--list", "--only", "ECNY-XXX-01"),
        ("--verify", __file__, "--lab", "abc"),
    ):
        conform(tmp_path, *words, code=2)
    conform(tmp_path, "--verify", str(tmp_path / "none.cose"), code=10)
