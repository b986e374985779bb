"""A server of suite 2 under attack by suite 1: reports, orders, evidence, closings and reckonings; and without SM2."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from merchant_pos.upkeep import check_revocations
from support import keys, suite2
from support.keys import NOW
from support.operator_world import Bank, CardDouble, TillDouble, World
from wallet_core import libcrypto
from wallet_core.errors import BadSignatureError, CodecError, ConfigurationError
from wallet_core.keys import SoftwareKey
from wallet_core.messages import Closing, DepositStatus, Grant, Report, ReversalOrder, Signed, Voucher, parse
from wallet_core.messages.ending import SlotLine, pack_entries, pack_slots
from wallet_core.purse.state import Lifecycle, SlotState
from wallet_core.suites import Suite


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path, Suite.SM2))
    yield made
    made.close()


@pytest.fixture
def card(bank: Bank) -> CardDouble:
    return bank.card("visitor", loaded=50_000)


@pytest.fixture
def till(bank: Bank) -> TillDouble:
    return bank.till("tea")


def report_of(card: CardDouble, *vouchers: bytes) -> Signed[Report]:
    """What the card says of itself: these vouchers PENDING."""
    said = [parse(Voucher, raw).message for raw in vouchers]
    message = Report(
        suite=Suite.SM2,
        purse=card.id,
        epoch=1,
        next_n=card.next_n,
        next_k=card.next_k,
        policy_version=1,
        total_in=card.total_in,
        total_out=card.total_out,
        total_reversed=0,
        out_acked=0,
        in_acked=card.total_in,
        slots=pack_slots(SlotLine(one.n, SlotState.PENDING, one.hash) for one in said),
        entries=pack_entries(()),
        lifecycle=Lifecycle.ACTIVE,
    )
    return Signed.sign(message, card.key)


def in_suite_1(signed: Signed[Any], key: SoftwareKey) -> bytes:
    """The same statement said in suite 1 by a key with the same scalar."""
    weak = SoftwareKey.from_scalar(key.to_scalar(), Suite.ES256)
    return Signed.sign(replace(signed.message, suite=Suite.ES256), weak).to_bytes()


def test_a_report_is_granted_and_reversed_in_suite_2(bank: Bank, card: CardDouble, till: TillDouble) -> None:
    """The till has refused, so the card gets an order; both are the operator's, in SM2."""
    voucher = card.voucher(till, 700)
    refusal = till.refusal(parse(Voucher, voucher).message.request_hash)
    bank.settle(till.batch([], [refusal]))
    answered = bank.parts.reports.report(report_of(card, voucher).to_bytes(), [voucher], [], NOW)
    own = bank.world.operator.public
    assert parse(Grant, answered.grant).verify(own).suite is Suite.SM2
    (order,) = (parse(ReversalOrder, raw).verify(own) for raw in answered.orders)
    assert (order.suite, order.voucher_hash) == (Suite.SM2, parse(Voucher, voucher).hash)


def test_a_report_of_suite_1_gets_nothing(bank: Bank, card: CardDouble, till: TillDouble) -> None:
    voucher = card.voucher(till, 700)
    strong = report_of(card, voucher)
    weak = in_suite_1(strong, card.key)
    mixed = strong.to_bytes().replace(b"\x47\xa1\x01\x3a\x00\x01\x00\x01", b"\x43\xa1\x01\x26", 1)
    for raw in (weak, mixed):
        with pytest.raises((BadSignatureError, CodecError)):
            bank.parts.reports.report(raw, [], [], NOW)
    weak_card = keys.certify(
        keys.OPERATOR.key, SoftwareKey.from_scalar(card.key.to_scalar()), keys.CARD.certificate.subject_class
    )
    with pytest.raises(BadSignatureError):
        bank.parts.reports.report(weak, [], [weak_card.to_bytes(), keys.OPERATOR.certificate.to_bytes()], NOW)


def test_evidence_of_suite_1_convicts_nobody(bank: Bank, card: CardDouble, till: TillDouble) -> None:
    """A second voucher under a used counter, but of suite 1: the card cannot have signed it, so it is no proof."""
    first = card.voucher(till, 100)
    second = card.voucher(till, 50_000, n=1, order="another")
    weak = in_suite_1(parse(Voucher, second), card.key)
    statuses = bank.parts.reports.evidence([weak], [], NOW)
    assert [str(one) for one in statuses] == ["bad-signature"]
    answer = bank.settle(till.batch([first, weak]))
    assert answer.voucher_statuses == (DepositStatus.SETTLED, DepositStatus.UNKNOWN_SUITE)
    assert bank.ledger().evidence == 0


def test_closings_and_revocations_are_of_suite_2(bank: Bank, till: TillDouble) -> None:
    bank.parts.desk.declare_dead(till.id, NOW)
    raw = bank.parts.closings.close(till.id, hashlib.sha256(b"request").digest(), NOW)
    assert parse(Closing, raw).verify(bank.world.operator.public).suite is Suite.SM2
    listed = bank.parts.revocations.signed()
    fresh = check_revocations(listed, None, suite2.OPERATOR.certificate)
    assert (fresh.message.suite, till.id in fresh.message.entries) == (Suite.SM2, True)
    weak = in_suite_1(fresh, suite2.OPERATOR.key)
    for known in (None, fresh):
        with pytest.raises(BadSignatureError):
            check_revocations(weak, known, suite2.OPERATOR.certificate)


def test_a_lost_card_is_reckoned_by_its_sm4_blocks(bank: Bank, card: CardDouble, till: TillDouble) -> None:
    bank.settle(till.batch([card.voucher(till, 6_800)]))
    reckoned = bank.parts.desk.reckoning(card.id, NOW)
    lines = dict(reckoned.lines)
    assert (lines["less paid"], lines["balance"]) == (-6_800, 43_200)


def test_a_server_whose_libcrypto_fails_gives_no_verdict(
    bank: Bank, card: CardDouble, till: TillDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The till sends the same batch again, and it is settled: nothing was answered BAD_SIGNATURE for good."""
    stranger = bank.card("stranger", loaded=1_000)
    batch = till.batch([card.voucher(till, 100), stranger.voucher(till, 200)])
    real, calls = libcrypto.library(), [0]

    class Failing:
        def __getattr__(self, name: str) -> Any:
            if name != "EVP_PKEY_CTX_new_from_pkey":
                return getattr(real, name)
            calls[0] += 1
            return real.EVP_PKEY_CTX_new_from_pkey if calls[0] < 4 else lambda *_: None

    with monkeypatch.context() as patch:
        patch.setattr(libcrypto, "library", Failing)
        with pytest.raises(ConfigurationError):
            bank.settle(batch)
    assert calls[0] >= 4
    assert bank.wallet(till) == 0
    assert bank.settle(batch).voucher_statuses == (DepositStatus.SETTLED, DepositStatus.SETTLED)
    assert bank.wallet(till) == 300
