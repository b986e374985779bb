"""Loads: one debit for one Request, whatever is repeated; what must refuse refuses before the debit; Issuances."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.load.issuance import take_in
from server.load.service import Begun
from server.problems import Problem
from support.keys import FOREIGN_AUTHORITY, NOW
from support.operator_world import Bank, CardDouble, World
from wallet_core.audit import AuditData
from wallet_core.errors import (
    BadSignatureError,
    CodecError,
    ExpiredCertificateError,
    MismatchError,
    OutOfRangeError,
    VerificationError,
)
from wallet_core.messages import Issuance, Receipt, Refusal, Request, Signed, Voucher, parse
from wallet_core.suites import Suite


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path), issued=200_000)
    yield made
    made.close()


@pytest.fixture
def card(bank: Bank) -> CardDouble:
    return bank.card("a")


def asked(card: CardDouble, begun: Begun, amount: int, /, **changes: object) -> bytes:
    """The card's Request for a load, with other fields where the test says so."""
    message = card.request_to(begun.payer, begun.epoch, begun.n, amount, begun.order_hash).message
    return Signed.sign(dataclasses.replace(message, **changes), card.key).to_bytes()  # type: ignore[arg-type]


def problem(action: Callable[[], object]) -> Problem:
    with pytest.raises(Problem) as caught:
        action()
    return caught.value


def test_a_load_goes_from_purse_to_flight_to_card(bank: Bank, card: CardDouble) -> None:
    voucher = bank.pay(card, 50_000, "k")
    ledger = bank.ledger()
    assert (ledger.operator_purses, ledger.in_flight, ledger.cards) == (150_000, 50_000, 0)
    bank.parts.loads.collected(card.receipt(voucher), NOW)
    ledger = bank.ledger()
    assert (ledger.operator_purses, ledger.in_flight, ledger.cards) == (150_000, 0, 50_000)
    assert ledger.conserved


def test_the_voucher_answers_the_request(bank: Bank, card: CardDouble) -> None:
    begun = bank.begin(card, 500, "k")
    raw = asked(card, begun, 500)
    purse = bank.world.keyring.purse_certificate
    voucher = parse(Voucher, bank.parts.loads.pay(begun.load, raw, NOW)).verify(purse.key)
    request = parse(Request, raw).message
    assert voucher.request_hash == request.hash
    assert (voucher.payer, voucher.payee, voucher.n, voucher.k) == (purse.subject, card.id, 1, request.k)
    key = bank.world.keyring.audit_key(purse.subject)
    assert AuditData.open(key, voucher.audit, 1) == AuditData(1, 200_000, 500, 0, 0)


class TestRepeating:
    def test_beginning(self, bank: Bank, card: CardDouble) -> None:
        first = bank.begin(card, 500, "k")
        assert bank.begin(card, 500, "k") == first
        bank.load(bank.card("b"), 100, "meanwhile")
        assert bank.begin(card, 500, "k") == dataclasses.replace(first, n=2)  # the purse's present counter
        bank.parts.loads.pay(first.load, asked(card, first, 500, n=2), NOW)
        bank.load(bank.card("b"), 100, "later")
        assert bank.begin(card, 500, "k") == first  # paid: nothing is asked any more
        assert bank.begin(card, 500, "other key").load != first.load

    def test_beginning_while_it_is_being_begun(self, tmp_path: Path) -> None:
        inner: list[str] = []

        def meanwhile(step: str) -> None:
            if step == "load.begin-written" and not inner:
                inner.append(problem(lambda: slow.begin(card, 500, "k")).problem)

        (tmp_path / "w").mkdir()
        slow = Bank(World.make(tmp_path / "w"), checkpoint=meanwhile)
        card = slow.card("b")
        first = slow.begin(card, 500, "k")
        assert inner == ["in-progress"]
        assert slow.begin(card, 500, "k") == first
        slow.close()

    @pytest.mark.parametrize("other", ["amount", "card"])
    def test_the_same_key_for_something_else(self, bank: Bank, card: CardDouble, other: str) -> None:
        bank.begin(card, 500, "k")
        second = (bank.card("b"), 500) if other == "card" else (card, 501)
        assert problem(lambda: bank.begin(*second, "k")).problem == "idempotency-mismatch"

    def test_paying(self, bank: Bank, card: CardDouble) -> None:
        begun = bank.begin(card, 500, "k")
        raw = asked(card, begun, 500)
        first = bank.parts.loads.pay(begun.load, raw, NOW)
        bank.load(bank.card("b"), 100, "meanwhile")
        assert bank.parts.loads.pay(begun.load, raw, NOW) == first
        assert bank.ledger().in_flight == 500

    def test_a_paid_load_under_another_request(self, bank: Bank, card: CardDouble) -> None:
        begun = bank.begin(card, 500, "k")
        bank.parts.loads.pay(begun.load, asked(card, begun, 500), NOW)
        again = asked(card, begun, 500)  # the next k: another Request
        assert problem(lambda: bank.parts.loads.pay(begun.load, again, NOW)).problem == "load-settled"
        assert bank.ledger().in_flight == 500

    def test_a_receipt(self, bank: Bank, card: CardDouble) -> None:
        receipt = card.receipt(bank.pay(card, 500, "k"))
        for _ in range(3):
            bank.parts.loads.collected(receipt, NOW)
        assert (bank.shadow(card), bank.ledger().in_flight) == (500, 0)

    def test_pending_until_the_receipt(self, bank: Bank, card: CardDouble) -> None:
        assert bank.parts.loads.pending(card.id) == []
        vouchers = [bank.pay(card, amount, str(amount)) for amount in (500, 600)]
        pending = bank.parts.loads.pending(card.id)
        assert [load.voucher for load in pending] == vouchers
        assert [load.amount for load in pending] == [500, 600]
        bank.parts.loads.collected(card.receipt(vouchers[0]), NOW)
        assert [load.amount for load in bank.parts.loads.pending(card.id)] == [600]


class TestRefusedBeforeTheDebit:
    @pytest.fixture(autouse=True)
    def _unchanged(self, bank: Bank, card: CardDouble) -> Iterator[None]:
        self.begun = bank.begin(card, 500, "k")
        before = bank.ledger()
        yield
        assert bank.ledger() == before

    def pay(self, bank: Bank, raw: bytes, load: str | None = None) -> Callable[[], bytes]:
        return lambda: bank.parts.loads.pay(load or self.begun.load, raw, NOW)

    def test_an_unknown_load(self, bank: Bank, card: CardDouble) -> None:
        assert problem(self.pay(bank, asked(card, self.begun, 500), "00" * 16)).problem == "not-found"

    @pytest.mark.parametrize("n", [2, 7])
    def test_a_counter_that_is_not_next(self, bank: Bank, card: CardDouble, n: int) -> None:
        refused = problem(self.pay(bank, asked(card, self.begun, 500, n=n)))
        assert (refused.problem, refused.members) == ("stale-counter", {"epoch": 1, "n": 1})

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount": 501},
            {"order_hash": b"\1" * 32},
            {"payee": b"\1" * 32},
            {"payer": b"\1" * 32},
            {"epoch": 2},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_a_request_for_something_else(self, bank: Bank, card: CardDouble, changes: dict[str, object]) -> None:
        with pytest.raises(MismatchError):
            self.pay(bank, asked(card, self.begun, 500, **changes))()

    def test_signed_by_another_key(self, bank: Bank, card: CardDouble) -> None:
        forged = Signed.sign(parse(Request, asked(card, self.begun, 500)).message, bank.world.operator)
        with pytest.raises(BadSignatureError):
            self.pay(bank, forged.to_bytes())()

    def test_every_truncation(self, bank: Bank, card: CardDouble) -> None:
        raw = asked(card, self.begun, 500)
        for size in range(len(raw)):
            with pytest.raises((CodecError, BadSignatureError)):
                self.pay(bank, raw[:size])()

    def test_an_expired_card(self, bank: Bank, card: CardDouble) -> None:
        late = card.certificate.expires
        with pytest.raises(ExpiredCertificateError):
            bank.parts.loads.pay(self.begun.load, asked(card, self.begun, 500), late)
        with pytest.raises(ExpiredCertificateError):
            bank.parts.loads.begin(b"\1" * 32, card.id, 500, late)

    @pytest.mark.parametrize("amount", [0, -1, 100_001])
    def test_an_amount_outside_the_limits(self, bank: Bank, card: CardDouble, amount: int) -> None:
        assert problem(lambda: bank.begin(card, amount, "x")).problem == "limit"

    def test_an_unknown_card(self, bank: Bank) -> None:
        stranger = bank.world.card("stranger")
        assert problem(lambda: bank.begin(stranger, 500, "x")).problem == "not-found"
        assert problem(lambda: bank.parts.loads.pending(stranger.id)).problem == "not-found"


class TestRefusedByTheCard:
    """Its Refusal beats the load, whenever it comes (docs/decisions/0017)."""

    def refusal(self, bank: Bank, card: CardDouble, request: bytes) -> None:
        asked_for = parse(Request, request).message
        message = Refusal(suite=Suite.ES256, payee=card.id, k=asked_for.k, request_hash=asked_for.hash)
        bank.parts.reports.evidence([Signed.sign(message, card.key).to_bytes()], [], NOW)

    def test_before_it_is_paid(self, bank: Bank, card: CardDouble) -> None:
        begun = bank.begin(card, 500, "k")
        raw = asked(card, begun, 500)
        self.refusal(bank, card, raw)
        assert problem(lambda: bank.parts.loads.pay(begun.load, raw, NOW)).problem == "request-refused"
        assert bank.ledger().operator_purses == 200_000
        assert bank.parts.loads.pay(begun.load, asked(card, begun, 500), NOW)  # another Request of the same load

    def test_after_it_was_paid(self, bank: Bank, card: CardDouble) -> None:
        begun = bank.begin(card, 500, "k")
        raw = asked(card, begun, 500)
        bank.parts.loads.pay(begun.load, raw, NOW)
        self.refusal(bank, card, raw)
        assert (bank.ledger().operator_purses, bank.ledger().in_flight) == (200_000, 0)
        assert problem(lambda: bank.parts.loads.pay(begun.load, raw, NOW)).problem == "request-refused"
        assert bank.parts.loads.pending(card.id) == []
        assert bank.ledger().faults == ()


def test_two_loads_at_one_counter(bank: Bank, card: CardDouble) -> None:
    """The first to be paid wins; the second asks again with the counter given."""
    other = bank.card("b")
    first, second = bank.begin(card, 500, "a"), bank.begin(other, 600, "b")
    assert first.n == second.n
    bank.parts.loads.pay(first.load, asked(card, first, 500), NOW)
    stale = problem(lambda: bank.parts.loads.pay(second.load, asked(other, second, 600), NOW))
    assert stale.problem == "stale-counter"
    again = asked(other, second, 600, n=stale.members["n"])
    assert parse(Voucher, bank.parts.loads.pay(second.load, again, NOW)).message.n == 2


def test_an_empty_purse_pays_nothing(bank: Bank) -> None:
    for number in range(2):
        bank.load(bank.card(str(number)), 100_000, f"fill {number}")
    last = bank.card("last")
    assert problem(lambda: bank.pay(last, 1, "k")).problem == "purse-empty"
    bank.issue(1)
    begun = bank.begin(last, 1, "k")
    assert bank.parts.loads.pay(begun.load, asked(last, begun, 1), NOW)
    assert bank.ledger().operator_purses == 0


class TestReceipts:
    @pytest.fixture(autouse=True)
    def _paid(self, bank: Bank, card: CardDouble) -> None:
        self.voucher = bank.pay(card, 500, "k")
        self.receipt = parse(Receipt, card.receipt(self.voucher)).message

    def refused(self, bank: Bank, raw: bytes, expected: type[Exception]) -> None:
        before = bank.ledger()
        with pytest.raises(expected):
            bank.parts.loads.collected(raw, NOW)
        assert bank.ledger() == before

    def test_for_no_load(self, bank: Bank, card: CardDouble) -> None:
        other = dataclasses.replace(self.receipt, voucher_hash=b"\1" * 32)
        self.refused(bank, Signed.sign(other, card.key).to_bytes(), Problem)

    @pytest.mark.parametrize("changes", [{"payee": b"\1" * 32}, {"k": 9}], ids=["payee", "k"])
    def test_by_another_card_or_for_another_request(
        self, bank: Bank, card: CardDouble, changes: dict[str, object]
    ) -> None:
        other = dataclasses.replace(self.receipt, **changes)  # type: ignore[arg-type]
        self.refused(bank, Signed.sign(other, card.key).to_bytes(), MismatchError)

    def test_forged(self, bank: Bank) -> None:
        self.refused(bank, Signed.sign(self.receipt, bank.world.operator).to_bytes(), BadSignatureError)

    def test_a_second_one_that_says_something_else(self, bank: Bank, card: CardDouble) -> None:
        bank.parts.loads.collected(Signed.sign(self.receipt, card.key).to_bytes(), NOW)
        other = dataclasses.replace(self.receipt, total_in=1)
        self.refused(bank, Signed.sign(other, card.key).to_bytes(), MismatchError)

    def test_no_receipt_at_all(self, bank: Bank) -> None:
        self.refused(bank, self.voucher, CodecError)

    def test_after_the_card_has_expired(self, bank: Bank, card: CardDouble) -> None:
        bank.parts.loads.collected(Signed.sign(self.receipt, card.key).to_bytes(), card.certificate.expires + 1)
        assert bank.shadow(card) == 500


class TestIssuances:
    def issuance(self, bank: Bank, **changes: object) -> Issuance:
        base = Issuance(
            suite=Suite.ES256,
            authority=bank.world.authority.public.thumbprint,
            purse=bank.world.keyring.purse_certificate.subject,
            serial=2,
            amount=7,
        )
        return dataclasses.replace(base, **changes)  # type: ignore[arg-type]

    def take_in(self, bank: Bank, message: Issuance) -> None:
        raw = Signed.sign(message, bank.world.authority).to_bytes()
        take_in(bank.parts.storage, bank.world.keyring.authority_certificate, raw, now=NOW)

    def test_once(self, bank: Bank) -> None:
        for _ in range(3):
            self.take_in(bank, self.issuance(bank))
        assert (bank.ledger().issued, bank.ledger().operator_purses) == (200_007, 200_007)

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"serial": 1}, MismatchError),
            ({"serial": 3}, MismatchError),
            ({"purse": b"\1" * 32}, MismatchError),
            ({"authority": b"\1" * 32}, MismatchError),
            ({"amount": 0}, OutOfRangeError),
        ],
    )
    def test_refused(self, bank: Bank, changes: dict[str, object], error: type[Exception]) -> None:
        with pytest.raises(error):
            self.take_in(bank, self.issuance(bank, **changes))
        assert bank.ledger().issued == 200_000

    def test_by_another_authority(self, bank: Bank) -> None:
        raw = Signed.sign(self.issuance(bank), FOREIGN_AUTHORITY.key).to_bytes()
        with pytest.raises(VerificationError):
            take_in(bank.parts.storage, bank.world.keyring.authority_certificate, raw, now=NOW)
        assert bank.ledger().issued == 200_000


def test_a_lower_limit_does_not_stop_a_load_that_was_begun(
    bank: Bank, card: CardDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load may be paid already: its key answers what it answered before."""
    begin = bank.parts.loads.begin
    begun = begin(b"k" * 32, card.id, 50_000, NOW)
    monkeypatch.setattr(bank.parts.loads, "_balance_limit", 100)
    assert begin(b"k" * 32, card.id, 50_000, NOW) == begun
    assert problem(lambda: begin(b"l" * 32, card.id, 50_000, NOW)).problem == "limit"
