"""`ecny card desk`: what keeps it from opening has its exit code, and nothing is left behind."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hardware.cli import card
from hardware.desk.store import Store
from wallet_core.errors import ExitCode


def opened(data: Path, *words: str) -> Result:
    return CliRunner().invoke(card, ["desk", "--data", str(data), *words])


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = opened(tmp_path, "--vpcd", "none", "--port", str(taken.getsockname()[1]))
    assert done.exit_code == ExitCode.CONFIGURATION
    assert "Choose another port" in done.stderr
    Store(tmp_path / "desk").close()  # the directory is free again


def test_a_directory_that_another_desk_has(tmp_path: Path) -> None:
    store = Store(tmp_path / "desk")
    done = opened(tmp_path, "--vpcd", "none")
    store.close()
    assert done.exit_code == ExitCode.NO_READER
    assert "another desk" in done.stderr


@pytest.mark.parametrize("address", ["somewhere", "127.0.0.1:" + "9" * 5_000])
def test_an_address_that_is_none(tmp_path: Path, address: str) -> None:
    done = opened(tmp_path, "--vpcd", address)
    assert done.exit_code == ExitCode.USAGE
    assert not (tmp_path / "desk").exists()
