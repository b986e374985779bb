"""Whoever says what suite the installation has (nobody signs that) must not cost a till its key."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from merchant_pos.enrolment import enrol
from merchant_pos.identity import KEY_FILE, Identity, load_key
from merchant_pos.ports import no_step
from support import suite2
from support.keys import NOW
from support.operator_world import Bank, World
from wallet_core.errors import EcnyError, ServerUnreachableError, SettlementError
from wallet_core.suites import Suite


class Losing:
    """The operator's own enrolment; the first answer is lost on its way."""

    url = "http://operator.example"

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self.lost = False

    def enrol(self, code: str, certification_request: bytes, succeeds: bytes | None = None) -> Mapping[str, Any]:
        made = self._bank.parts.tills.enrol(code, certification_request, NOW, succeeds=succeeds)
        if not self.lost:
            self.lost = True
            raise ServerUnreachableError("no answer")
        return {
            "till": made.till.hex(),
            "certificate": made.certificate.hex(),
            "operator_certificate": suite2.OPERATOR.certificate.to_bytes().hex(),
            "authority_certificate": suite2.AUTHORITY.certificate.to_bytes().hex(),
            "merchant": made.merchant,
            "merchant_name": made.merchant_name,
        }


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path, Suite.SM2))
    yield made
    made.close()


def test_a_false_word_about_the_suite_does_not_cost_the_enrolled_key(bank: Bank, tmp_path: Path) -> None:
    """Enrolled with a lost answer, then somebody answers for the server with a certificate of suite 1, then not."""
    directory, server = tmp_path / "till", Losing(bank)
    code = bank.parts.tills.add_merchant("Tea", NOW).code
    drawn = iter(range(1, 9))

    def attempt(suite: Suite) -> Identity:
        return enrol(
            directory,
            server,
            code,
            production=False,
            pinned_authority=None,
            entropy=lambda size: next(drawn).to_bytes(size, "big"),
            now=NOW,
            step=no_step,
            suite=suite,
        )

    with pytest.raises(ServerUnreachableError):
        attempt(Suite.SM2)
    enrolled = load_key(directory).public
    for _ in range(2):
        with pytest.raises(EcnyError) as refused:
            attempt(Suite.ES256)
        assert not isinstance(refused.value, SettlementError)  # another suite, before the code is looked at
        assert load_key(directory).public.suite is Suite.ES256
    assert attempt(Suite.SM2).key.public == enrolled
    kept = [path for path in directory.iterdir() if path.name.startswith(KEY_FILE)]
    assert len(kept) == 2
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept)
