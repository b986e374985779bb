"""A server of suite 2: cards, loads and deposits in SM2; whatever is of suite 1 moves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from server.enrolment.certifying import proven_key
from server.settlement.pool import ProcessVerifier
from support import keys, suite2
from support.keys import NOW
from support.operator_world import Bank, CardDouble, TillDouble, World, certification_request
from wallet_core.audit import AuditData
from wallet_core.certificates import CertificateClass
from wallet_core.errors import BadSignatureError, UnknownSuiteError
from wallet_core.keys import SoftwareKey
from wallet_core.messages import DepositBatch, DepositStatus, Refusal, RefusalStatus, Signed, Voucher, parse
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


def downgraded(raw: bytes, card: CardDouble) -> bytes:
    """The same voucher said in suite 1, signed by a key of suite 1 with the card's scalar."""
    message = replace(parse(Voucher, raw).message, suite=Suite.ES256)
    weak = SoftwareKey.from_scalar(card.key.to_scalar())
    return Signed.sign(message, weak).to_bytes()


def test_loads_and_deposits_balance(bank: Bank, card: CardDouble, till: TillDouble) -> None:
    first, second = card.voucher(till, 6_800), card.voucher(till, 3_600)
    answer = bank.settle(till.batch([first, second]))
    assert answer.suite is Suite.SM2
    assert (answer.credited, answer.voucher_statuses) == (10_400, (DepositStatus.SETTLED,) * 2)
    assert (bank.wallet(till), bank.shadow(card)) == (10_400, 39_600)
    report = bank.ledger()
    assert (report.conserved, report.faults) == (True, ())


def test_the_careful_way_says_the_same(bank: Bank, card: CardDouble, till: TillDouble) -> None:
    """A refusal in the batch, a forged voucher and a known one: voucher by voucher."""
    good, forged = card.voucher(till, 100), bytearray(card.voucher(till, 200))
    forged[-1] ^= 1
    refused = card.voucher(till, 300)
    refusal = till.refusal(parse(Voucher, refused).message.request_hash, k=3)
    answer = bank.settle(till.batch([good, bytes(forged), refused, good], [refusal]))
    assert answer.voucher_statuses == (
        DepositStatus.SETTLED,
        DepositStatus.BAD_SIGNATURE,
        DepositStatus.REFUSED_BEFORE,
        DepositStatus.SETTLED,
    )
    assert answer.refusal_statuses == (RefusalStatus.RECORDED,)
    assert bank.wallet(till) == 100


def test_two_vouchers_of_one_counter_convict_the_card(bank: Bank, card: CardDouble, till: TillDouble) -> None:
    first = card.voucher(till, 100)
    second = card.voucher(till, 50_000, n=1, order="another")
    answer = bank.settle(till.batch([first, second]))
    assert answer.voucher_statuses[0] is DepositStatus.SETTLED
    assert answer.voucher_statuses[1] is not DepositStatus.BAD_SIGNATURE
    assert bank.ledger().evidence == 1


def test_a_voucher_of_suite_1_moves_nothing(bank: Bank, card: CardDouble, till: TillDouble) -> None:
    good = card.voucher(till, 100)
    weak = downgraded(card.voucher(till, 200), card)
    answer = bank.settle(till.batch([weak, good]))
    assert answer.voucher_statuses == (DepositStatus.UNKNOWN_SUITE, DepositStatus.SETTLED)
    assert (answer.credited, bank.wallet(till), bank.shadow(card)) == (100, 100, 49_900)


def test_the_header_of_suite_1_on_a_voucher_of_suite_2(bank: Bank, card: CardDouble, till: TillDouble) -> None:
    mixed = card.voucher(till, 100).replace(b"\x47\xa1\x01\x3a\x00\x01\x00\x01", b"\x43\xa1\x01\x26", 1)
    assert bank.settle(till.batch([mixed])).voucher_statuses == (DepositStatus.UNKNOWN_SUITE,)


def test_a_refusal_of_suite_1_is_not_by_the_till(bank: Bank, card: CardDouble, till: TillDouble) -> None:
    voucher = card.voucher(till, 100)
    message = Refusal(suite=Suite.ES256, payee=till.id, k=1, request_hash=parse(Voucher, voucher).message.request_hash)
    weak = Signed.sign(message, SoftwareKey.from_scalar(till.key.to_scalar())).to_bytes()
    confused = Signed(message, till.key.sign(message.signed_bytes)).to_bytes()  # by SM2, over what says ES256
    answer = bank.settle(till.batch([voucher], [weak, confused]))
    assert (answer.refusal_statuses, answer.credited) == ((RefusalStatus.BAD_SIGNATURE,) * 2, 100)


def test_a_batch_of_suite_1_is_not_taken(bank: Bank, card: CardDouble, till: TillDouble) -> None:
    voucher = card.voucher(till, 100)
    batch = DepositBatch(suite=Suite.ES256, payee=till.id, number=1, previous=bytes(32), vouchers=(voucher,))
    weak = Signed.sign(batch, SoftwareKey.from_scalar(till.key.to_scalar())).to_bytes()
    with pytest.raises(BadSignatureError, match="another suite"):
        bank.settle(weak)
    assert bank.wallet(till) == 0


def test_a_key_of_suite_1_is_not_certified(bank: Bank) -> None:
    request = certification_request(keys.key("weak"), CertificateClass.HARD_WALLET, bytes(8))
    with pytest.raises(UnknownSuiteError):
        bank.parts.cards.enrol(bytes(8), request, NOW)
    with pytest.raises(UnknownSuiteError):
        proven_key(request, CertificateClass.HARD_WALLET, bytes(8), Suite.SM2)


def test_a_request_of_suite_1_gets_no_load(bank: Bank, card: CardDouble) -> None:
    begun = bank.begin(card, 1_000, "weak load")
    strong = card.request_to(begun.payer, begun.epoch, begun.n, 1_000, begun.order_hash)
    weak = Signed.sign(replace(strong.message, suite=Suite.ES256), SoftwareKey.from_scalar(card.key.to_scalar()))
    with pytest.raises(BadSignatureError):
        bank.parts.loads.pay(begun.load, weak.to_bytes(), NOW)
    parse(Voucher, bank.parts.loads.pay(begun.load, strong.to_bytes(), NOW)).verify(suite2.OPERATOR_PURSE.key.public)


def test_the_audit_block_is_read_by_sm4(bank: Bank, card: CardDouble, till: TillDouble) -> None:
    message = parse(Voucher, card.voucher(till, 700)).message
    assert AuditData.open(card.audit_key, message.audit, message.n, Suite.SM2).total_out == 700


def test_policies_ask_for_their_own_suite(bank: Bank) -> None:
    for signed in bank.world.keyring.policies().values():
        assert (signed.message.suite, signed.message.least_suite) == (Suite.SM2, Suite.SM2)
        signed.verify(suite2.OPERATOR.key.public)


def test_worker_processes_check_suite_2() -> None:
    pieces = []
    for number in range(20):
        signed = Signed.sign(replace(suite2.VOUCHER, n=number + 1), suite2.CARD.key)
        key = suite2.CARD.key.public
        digest = key.signed_digest(signed.message.signed_bytes)
        signature = signed.signature if number % 3 else signed.signature[::-1]
        pieces.append(key.x + key.y + digest + signature)
    workers = ProcessVerifier(1, Suite.SM2)
    try:
        assert workers.submit(pieces).result() == bytes(int(number % 3 != 0) for number in range(20))
        assert workers.pids
    finally:
        workers.close()
