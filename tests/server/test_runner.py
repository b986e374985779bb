"""A real server process: ready before it says so, stopped by SIGTERM, its workers gone with it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server.runner import crash_point
from server.settings import no_checkpoint
from support.operator_world import TOKEN, Site, answer_of
from support.server_process import ECNY, ServerProcess
from wallet_core.messages.deposit import MAX_BATCH_SIZE

COSE = {"Content-Type": "application/cose"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def server(site: Site, tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(site.data, tmp_path / "log") as running:
        yield running


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def gone(pid: int, within_s: float = 10.0) -> bool:
    """Whether a process that is not our child has ended, or ends in time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], within_s)[0])
    finally:
        os.close(handle)


def test_it_answers_when_it_says_so_and_stops_on_sigterm(site: Site, server: ServerProcess, tmp_path: Path) -> None:
    assert (site.data / "server" / "address").read_text().strip() == server.url
    assert server.http.get("/readyz").status_code == 200
    assert server.stop() == 0
    with pytest.raises(httpx.TransportError):
        server.http.get("/healthz")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["rule"] for line in lines] == ["/readyz"]


def test_a_large_batch_starts_workers_that_end_with_a_killed_server(site: Site, server: ServerProcess) -> None:
    with site.bank() as bank:
        card, till = bank.card("visitor", 50_000), bank.till("t")
    batch = till.batch([card.voucher(till, 10) for _ in range(40)])
    answer = server.http.post("/v1/deposits", content=batch, headers=COSE)
    assert answer_of(answer.content, site.world).credited == 400
    workers = children(server.pid)
    assert len(workers) == 2
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    assert all(gone(pid) for pid in workers)


def test_stopped_it_takes_its_workers_along(site: Site, server: ServerProcess) -> None:
    with site.bank() as bank:
        card, till = bank.card("second", 50_000), bank.till("u")
    batch = till.batch([card.voucher(till, 10) for _ in range(40)])
    server.http.post("/v1/deposits", content=batch, headers=COSE).raise_for_status()
    workers = children(server.pid)
    assert len(workers) == 2
    assert server.stop() == 0
    assert all(gone(pid) for pid in workers)


def test_half_a_request_and_too_much_of_one(server: ServerProcess) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as torn:
        torn.sendall(b"POST /v1/deposits HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf of it")
    large = server.http.post("/v1/deposits", content=bytes(MAX_BATCH_SIZE + 1), headers=COSE)
    assert (large.status_code, large.json()["limit"]) == (413, MAX_BATCH_SIZE)
    assert server.http.post("/v1/deposits", content=b"x" * 100, headers=COSE).status_code == 400
    assert server.http.get("/healthz").status_code == 200


def test_a_port_that_is_taken(site: Site, server: ServerProcess) -> None:
    port = server.url.rpartition(":")[2]
    command = [str(ECNY), "server", "run", "--data", str(site.data), "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 10
    assert done.stderr.startswith("configuration: cannot listen on 127.0.0.1")


def test_nothing_secret_in_its_log(site: Site, server: ServerProcess, tmp_path: Path) -> None:
    with site.bank() as bank:
        made = bank.parts.tills.add_merchant("M", 0)
    server.http.post("/v1/tills", json={"code": made.code, "certification_request": "00"})
    server.http.post("/v1/cards", json={}, headers={"Authorization": f"Bearer {TOKEN}"})
    server.stop()
    log = (tmp_path / "log").read_text()
    assert len(log.splitlines()) == 2
    for secret in (TOKEN, made.code, site.world.keyring.master.hex()):
        assert secret not in log


def test_no_crash_point_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECNY_CRASH_AT", raising=False)
    assert crash_point() is no_checkpoint


def test_a_crash_point_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr("server.runner.os.kill", lambda _pid, number: killed.append(number))
    monkeypatch.setenv("ECNY_CRASH_AT", "deposit.written:2")
    checkpoint = crash_point()
    for step in ("deposit.begun", "deposit.written", "deposit.begun"):
        checkpoint(step)
    assert killed == []
    checkpoint("deposit.written")
    assert killed == [signal.SIGKILL]
