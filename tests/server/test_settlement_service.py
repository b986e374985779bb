"""Deposits: every status with its precedence, the chain of batches, and that nothing moves that should not have."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.problems import Problem
from support.keys import FOREIGN_CARD, FOREIGN_OPERATOR, MERCHANT_PURSE, NOW, TILL, certify, key
from support.operator_world import Bank, CardDouble, World, answer_of
from wallet_core.certificates import CertificateClass
from wallet_core.errors import BadSignatureError, CodecError, OversizedError, WrongTypeError
from wallet_core.messages import DepositBatch, DepositStatus, RefusalStatus, Signed, Voucher, parse
from wallet_core.messages.deposit import MAX_BATCH_SIZE
from wallet_core.suites import Suite

S, R = DepositStatus, RefusalStatus
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path))
    yield made
    made.close()


def other_signature(voucher: bytes) -> bytes:
    """The same payload under the second valid signature (r, n - s)."""
    s = int.from_bytes(voucher[-32:], "big")
    return voucher[:-32] + (ORDER - s).to_bytes(32, "big")


def broken(voucher: bytes) -> bytes:
    return voucher[:-1] + bytes((voucher[-1] ^ 1,))


def resigned(voucher: bytes, card: CardDouble, **changes: object) -> bytes:
    """The card signs other fields."""
    message = dataclasses.replace(parse(Voucher, voucher).message, **changes)  # type: ignore[arg-type]
    return Signed.sign(message, card.key).to_bytes()


def test_a_batch_credits_the_wallet_and_the_answer_is_signed(bank: Bank) -> None:
    card, till = bank.card("a", 50_000), bank.till("t")
    vouchers = [card.voucher(till, 6_800), card.voucher(till, 3_600)]
    raw = till.batch(vouchers)
    answer = bank.settle(raw)
    assert answer.voucher_statuses == (S.SETTLED, S.SETTLED)
    assert (answer.credited, answer.number, answer.payee) == (10_400, 1, till.id)
    assert answer.batch_hash == till.last_hash
    assert (bank.wallet(till), bank.shadow(card)) == (10_400, 39_600)
    assert bank.ledger().conserved


def test_the_same_batch_gets_the_same_bytes(bank: Bank) -> None:
    card, till = bank.card("a", 50_000), bank.till("t")
    raw = till.batch([card.voucher(till, 100)])
    first = bank.parts.settlement.settle(raw, NOW)
    resent = parse(DepositBatch, raw, max_size=MAX_BATCH_SIZE)
    malleated = other_signature(resent.to_bytes())
    assert bank.parts.settlement.settle(raw, NOW + 5) == first
    assert bank.parts.settlement.settle(malleated, NOW) == first
    assert bank.wallet(till) == 100


def test_an_empty_batch_keeps_its_place(bank: Bank) -> None:
    till = bank.till("t")
    assert bank.settle(till.batch([])).credited == 0
    assert bank.settle(till.batch([])).number == 2


class TestEachStatus:
    """One bad voucher in the middle; the two beside it settle."""

    def settle(self, bank: Bank, bad: bytes, *, certificates: tuple[bytes, ...] = ()) -> DepositStatus:
        card, till = bank.card("good", 50_000), self.till
        batch = till.batch([card.voucher(till, 10), bad, card.voucher(till, 20)], certificates=certificates)
        answer = bank.settle(batch)
        assert (answer.voucher_statuses[0], answer.voucher_statuses[2]) == (S.SETTLED, S.SETTLED)
        assert answer.credited == 30
        assert bank.wallet(till) == 30
        assert bank.ledger().conserved
        return answer.voucher_statuses[1]

    @pytest.fixture(autouse=True)
    def _till(self, bank: Bank) -> None:
        self.till = bank.till("t")
        self.card = bank.card("x", 50_000)

    @pytest.mark.parametrize("cut", [0, 1, 100, 269])
    def test_truncated(self, bank: Bank, cut: int) -> None:
        assert self.settle(bank, self.card.voucher(self.till, 5)[:cut]) is S.MALFORMED

    def test_too_long(self, bank: Bank) -> None:
        assert self.settle(bank, self.card.voucher(self.till, 5) + b"\0") is S.MALFORMED

    def test_another_message_type(self, bank: Bank) -> None:
        request = self.card.request_to(self.till.id, 1, 1, 5, bytes(32))
        assert self.settle(bank, request.to_bytes()) is S.MALFORMED

    @pytest.mark.parametrize("amount", [0, 2**53])
    def test_an_amount_that_no_purse_signs(self, bank: Bank, amount: int) -> None:
        voucher = self.card.voucher(self.till, 5)
        at = voucher.index((5).to_bytes(8, "big"))
        assert self.settle(bank, voucher[:at] + amount.to_bytes(8, "big") + voucher[at + 8 :]) is S.MALFORMED

    @pytest.mark.parametrize("n", [0, 2**32 - 1])
    def test_a_counter_that_no_purse_uses(self, bank: Bank, n: int) -> None:
        assert self.settle(bank, self.card.voucher(self.till, 5, n=n)) is S.MALFORMED

    def test_unknown_suite(self, bank: Bank) -> None:
        voucher = self.card.voucher(self.till, 5)
        at = voucher.index(bytes((0, 2, 1, Suite.ES256, 2)))
        assert self.settle(bank, voucher[: at + 3] + b"\x02" + voucher[at + 4 :]) is S.UNKNOWN_SUITE

    def test_wrong_payee(self, bank: Bank) -> None:
        assert self.settle(bank, self.card.voucher(bank.till("other"), 5)) is S.WRONG_PAYEE

    def test_wrong_payee_comes_before_unknown_payer_and_bad_signature(self, bank: Bank) -> None:
        stranger = bank.world.card("stranger")
        assert self.settle(bank, broken(stranger.voucher(bank.till("other"), 5))) is S.WRONG_PAYEE

    def test_unknown_payer(self, bank: Bank) -> None:
        assert self.settle(bank, bank.world.card("stranger").voucher(self.till, 5)) is S.UNKNOWN_PAYER

    def test_a_certificate_from_another_authority_makes_nobody_known(self, bank: Bank) -> None:
        foreign = CardDouble(FOREIGN_CARD.key, FOREIGN_CARD.certificate, bytes(8), bytes(16))
        brought = (FOREIGN_CARD.certificate.to_bytes(), FOREIGN_OPERATOR.certificate.to_bytes(), b"rubbish")
        assert self.settle(bank, foreign.voucher(self.till, 5), certificates=brought) is S.UNKNOWN_PAYER

    def test_a_payer_that_is_no_purse(self, bank: Bank) -> None:
        fake = CardDouble(TILL.key, TILL.certificate, bytes(8), bytes(16))
        brought = (TILL.certificate.to_bytes(),)
        assert self.settle(bank, fake.voucher(self.till, 5), certificates=brought) is S.PAYER_CLASS

    def test_another_epoch_than_the_certificates(self, bank: Bank) -> None:
        assert self.settle(bank, self.card.voucher(self.till, 5, epoch=2)) is S.PAYER_CLASS

    def test_bad_signature(self, bank: Bank) -> None:
        assert self.settle(bank, broken(self.card.voucher(self.till, 5))) is S.BAD_SIGNATURE

    @pytest.mark.parametrize("signature", [bytes(64), b"\xff" * 64], ids=["zeros", "ones"])
    def test_a_signature_out_of_range(self, bank: Bank, signature: bytes) -> None:
        assert self.settle(bank, self.card.voucher(self.till, 5)[:-64] + signature) is S.BAD_SIGNATURE

    def test_signed_by_another_card(self, bank: Bank) -> None:
        thief = bank.card("thief", 100)
        assert self.settle(bank, resigned(self.card.voucher(self.till, 5), thief)) is S.BAD_SIGNATURE

    def test_beyond_what_was_received(self, bank: Bank) -> None:
        assert self.settle(bank, self.card.voucher(self.till, 50_001)) is S.REVIEW

    def test_a_brought_purse_has_proved_nothing(self, bank: Bank) -> None:
        sam = CardDouble(MERCHANT_PURSE.key, MERCHANT_PURSE.certificate, bytes(8), bytes(16))
        brought = (MERCHANT_PURSE.certificate.to_bytes(),)
        assert self.settle(bank, sam.voucher(self.till, 5), certificates=brought) is S.REVIEW

    def test_refused_before(self, bank: Bank) -> None:
        voucher = self.card.voucher(self.till, 5)
        refusal = self.till.refusal(parse(Voucher, voucher).message.request_hash)
        assert bank.settle(self.till.batch([], [refusal])).refusal_statuses == (R.RECORDED,)
        assert self.settle(bank, voucher) is S.REFUSED_BEFORE

    def test_equivocation_in_one_batch(self, bank: Bank) -> None:
        first, second = self.card.voucher(self.till, 5), self.card.voucher(self.till, 6, n=1)
        answer = bank.settle(self.till.batch([first, second]))
        assert answer.voucher_statuses == (S.SETTLED, S.SETTLED)
        assert (bank.wallet(self.till), bank.ledger().evidence, bank.ledger().conserved) == (11, 1, True)

    def test_equivocation_over_two_tills_and_evidence_once(self, bank: Bank) -> None:
        other = bank.till("other")
        bank.settle(self.till.batch([self.card.voucher(self.till, 5)]))
        second = self.card.voucher(other, 6, n=1)
        assert bank.settle(other.batch([second])).voucher_statuses == (S.SETTLED,)
        assert bank.settle(other.batch([second])).voucher_statuses == (S.SETTLED,)
        assert (bank.wallet(self.till), bank.wallet(other), bank.ledger().evidence) == (5, 6, 1)

    def test_equivocation_beyond_the_review_cap(self, bank: Bank) -> None:
        cap = bank.settings.ready_to_lose.review_cap
        first, second = self.card.voucher(self.till, 5), self.card.voucher(self.till, 50_000 + cap + 6, n=1)
        bank.settle(self.till.batch([first]))
        answer = bank.settle(self.till.batch([second]))
        assert (answer.voucher_statuses, answer.credited) == ((S.EQUIVOCATION,), 0)
        assert bank.settle(self.till.batch([second])).voucher_statuses == (S.EQUIVOCATION,)
        assert bank.ledger().conserved


def test_evidence_is_two_genuine_vouchers(bank: Bank) -> None:
    card, till, other = bank.card("a", 1_000), bank.till("t"), bank.till("u")
    first, second = card.voucher(till, 5), card.voucher(other, 6, n=1)
    bank.settle(till.batch([first]))
    bank.settle(other.batch([second]))
    connection = bank.parts.storage._connection()  # type: ignore[attr-defined]
    assert connection.execute("SELECT first, second FROM evidence").fetchall() == [(first, second)]


def test_known_before_is_settled_again_without_a_second_credit(bank: Bank) -> None:
    card, till = bank.card("a", 1_000), bank.till("t")
    voucher = card.voucher(till, 5)
    bank.settle(till.batch([voucher]))
    again = bank.settle(till.batch([voucher, other_signature(voucher), broken(voucher), card.voucher(till, 7)]))
    assert again.voucher_statuses == (S.SETTLED,) * 4
    assert (again.credited, bank.wallet(till)) == (7, 12)


def test_twice_in_one_batch_counts_once(bank: Bank) -> None:
    card, till = bank.card("a", 1_000), bank.till("t")
    voucher = card.voucher(till, 5)
    answer = bank.settle(till.batch([voucher, other_signature(voucher)]))
    assert (answer.voucher_statuses, answer.credited) == ((S.SETTLED, S.SETTLED), 5)


def test_review_settles_when_the_inflow_is_proved_later(bank: Bank) -> None:
    """Of a purse that may have received more than is known here; then nothing has to be deposited again."""
    own = key("found card")
    card = CardDouble(own, certify(bank.world.operator, own, CertificateClass.HARD_WALLET), bytes(8), bytes(16))
    till = bank.till("t")
    voucher = card.voucher(till, 150)
    brought = [card.certificate.to_bytes()]
    assert bank.settle(till.batch([voucher], certificates=brought)).voucher_statuses == (S.REVIEW,)
    bank.load(card, 100, "later")
    assert bank.wallet(till) == 0
    bank.pay(card, 100, "enough")  # its Receipt is not needed: a load counts at once
    assert (bank.wallet(till), bank.shadow(card)) == (150, -50)
    assert bank.settle(till.batch([voucher])).voucher_statuses == (S.SETTLED,)
    assert (bank.wallet(till), bank.ledger().conserved) == (150, True)


def test_within_a_batch_the_later_ones_go_to_review(bank: Bank) -> None:
    card, till = bank.card("a", 100), bank.till("t")
    answer = bank.settle(till.batch([card.voucher(till, 60), card.voucher(till, 60), card.voucher(till, 40)]))
    assert answer.voucher_statuses == (S.SETTLED, S.REVIEW, S.SETTLED)
    assert bank.shadow(card) == 0


def test_a_load_whose_receipt_is_late_counts(bank: Bank) -> None:
    card, till = bank.card("a"), bank.till("t")
    bank.pay(card, 500, "pending")
    answer = bank.settle(till.batch([card.voucher(till, 500)]))
    assert answer.voucher_statuses == (S.SETTLED,)
    assert (bank.shadow(card), bank.ledger().in_flight, bank.ledger().conserved) == (-500, 500, True)


class TestRefusals:
    @pytest.fixture(autouse=True)
    def _parties(self, bank: Bank) -> None:
        self.card, self.till = bank.card("a", 1_000), bank.till("t")

    def hash_of(self, voucher: bytes) -> bytes:
        return parse(Voucher, voucher).message.request_hash

    def test_after_the_deposit_the_deposit_stands(self, bank: Bank) -> None:
        voucher = self.card.voucher(self.till, 5)
        bank.settle(self.till.batch([voucher]))
        refusal = self.till.refusal(self.hash_of(voucher), k=77)  # a wrong k does not hide the Request
        assert bank.settle(self.till.batch([voucher], [refusal])).refusal_statuses == (R.AFTER_DEPOSIT,)
        assert bank.wallet(self.till) == 5

    def test_in_one_batch_the_refusal_counts_first(self, bank: Bank) -> None:
        voucher = self.card.voucher(self.till, 5)
        answer = bank.settle(self.till.batch([voucher], [self.till.refusal(self.hash_of(voucher))]))
        assert (answer.voucher_statuses, answer.refusal_statuses) == ((S.REFUSED_BEFORE,), (R.RECORDED,))
        assert bank.wallet(self.till) == 0

    def test_refused_stays_refused_and_recording_again_is_no_change(self, bank: Bank) -> None:
        voucher = self.card.voucher(self.till, 5)
        refusal = self.till.refusal(self.hash_of(voucher))
        for _ in range(2):
            answer = bank.settle(self.till.batch([voucher], [refusal, refusal]))
            assert answer.refusal_statuses == (R.RECORDED, R.RECORDED)
            assert answer.voucher_statuses == (S.REFUSED_BEFORE,)
        assert bank.settle(self.till.batch([voucher])).voucher_statuses == (S.REFUSED_BEFORE,)

    def test_a_reviewed_voucher_can_be_refused(self, bank: Bank) -> None:
        voucher = self.card.voucher(self.till, 2_000)
        assert bank.settle(self.till.batch([voucher])).voucher_statuses == (S.REVIEW,)
        answer = bank.settle(self.till.batch([voucher], [self.till.refusal(self.hash_of(voucher))]))
        assert answer.voucher_statuses == (S.REFUSED_BEFORE,)
        with pytest.raises(Problem, match="revoked"):
            bank.begin(self.card, 5_000, "more")
        assert bank.settle(self.till.batch([voucher])).voucher_statuses == (S.REFUSED_BEFORE,)

    def test_equivocation_with_a_refused_voucher_is_kept(self, bank: Bank) -> None:
        first = self.card.voucher(self.till, 5)
        second = self.card.voucher(self.till, 6, n=1)
        bank.settle(self.till.batch([first]))
        answer = bank.settle(self.till.batch([second], [self.till.refusal(self.hash_of(second))]))
        assert answer.voucher_statuses == (S.REFUSED_BEFORE,)
        assert bank.ledger().evidence == 1

    def test_bad_ones_are_named_and_the_rest_is_recorded(self, bank: Bank) -> None:
        good = self.till.refusal(b"\1" * 32)
        others = bank.till("u").refusal(b"\2" * 32)
        items = [good[:-1], others, broken(self.till.refusal(b"\3" * 32)), good]
        answer = bank.settle(self.till.batch([self.card.voucher(self.till, 5)], items))
        assert answer.refusal_statuses == (R.MALFORMED, R.BAD_SIGNATURE, R.BAD_SIGNATURE, R.RECORDED)
        assert answer.voucher_statuses == (S.SETTLED,)


class TestTheChain:
    @pytest.fixture(autouse=True)
    def _parties(self, bank: Bank) -> None:
        self.card, self.till = bank.card("a", 1_000), bank.till("t")

    def refused(self, bank: Bank, raw: bytes) -> Problem:
        before = bank.ledger()
        with pytest.raises(Problem) as caught:
            bank.parts.settlement.settle(raw, NOW)
        assert bank.ledger() == before
        return caught.value

    def test_a_gap_is_out_of_order(self, bank: Bank) -> None:
        self.till.batch([])
        problem = self.refused(bank, self.till.batch([self.card.voucher(self.till, 5)]))
        assert problem.problem == "batch-out-of-order"
        assert problem.members == {"expected_number": 1, "last_hash": "00" * 32}

    def test_the_right_number_behind_another_batch(self, bank: Bank) -> None:
        bank.settle(self.till.batch([]))
        last, self.till.last_hash = self.till.last_hash, b"\7" * 32
        problem = self.refused(bank, self.till.batch([self.card.voucher(self.till, 5)]))
        assert problem.problem == "batch-out-of-order"
        assert problem.members == {"expected_number": 2, "last_hash": last.hex()}

    def test_another_batch_under_a_used_number(self, bank: Bank) -> None:
        bank.settle(self.till.batch([]))
        self.till.number, self.till.last_hash = 0, bytes(32)
        problem = self.refused(bank, self.till.batch([self.card.voucher(self.till, 5)]))
        assert (problem.problem, problem.members["expected_number"]) == ("batch-number-used", 2)

    def test_an_unknown_till(self, bank: Bank) -> None:
        stranger = bank.world.till("stranger")
        problem = self.refused(bank, stranger.batch([self.card.voucher(stranger, 5)]))
        assert (problem.problem, problem.status) == ("not-authorised", 401)

    def test_two_threads_with_the_same_batch(self, bank: Bank) -> None:
        raw = self.till.batch([self.card.voucher(self.till, 5)])
        together = threading.Barrier(2)
        answers: list[bytes] = []

        def send() -> None:
            together.wait()
            answers.append(bank.parts.settlement.settle(raw, NOW))

        threads = [threading.Thread(target=send) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 2
        assert answers[0] == answers[1]
        assert bank.wallet(self.till) == 5

    def test_the_same_batch_overtakes_between_check_and_commit(self, tmp_path: Path) -> None:
        """A second copy settles while the first is being verified."""
        inner: list[bytes] = []

        def overtake(step: str) -> None:
            if step == "deposit.verified" and not inner:
                inner.append(b"")
                inner[0] = bank.parts.settlement.settle(raw, NOW)

        (tmp_path / "second").mkdir()
        bank = Bank(World.make(tmp_path / "second"), checkpoint=overtake)
        card, till = bank.card("a", 1_000), bank.till("t")
        for vouchers in ([card.voucher(till, 5)], [card.voucher(till, 6), card.voucher(till, 7)[:-1]]):
            inner.clear()
            raw = till.batch(vouchers)
            assert bank.parts.settlement.settle(raw, NOW) == inner[0]
        assert bank.wallet(till) == 11
        bank.close()


class TestTheEnvelope:
    @pytest.fixture(autouse=True)
    def _parties(self, bank: Bank) -> None:
        self.card, self.till = bank.card("a", 1_000), bank.till("t")
        self.raw = self.till.batch([self.card.voucher(self.till, 5)])

    def test_signed_by_another_till(self, bank: Bank) -> None:
        message = parse(DepositBatch, self.raw, max_size=MAX_BATCH_SIZE).message
        forged = Signed.sign(message, bank.till("u").key).to_bytes()
        with pytest.raises(BadSignatureError):
            bank.parts.settlement.settle(forged, NOW)
        assert bank.wallet(self.till) == 0

    @pytest.mark.parametrize("at", [0, 3, 60, 200, -1])
    def test_one_flipped_byte(self, bank: Bank, at: int) -> None:
        raw = bytearray(self.raw)
        raw[at] ^= 1
        with pytest.raises((CodecError, BadSignatureError, Problem)):
            bank.parts.settlement.settle(bytes(raw), NOW)
        assert bank.wallet(self.till) == 0

    def test_every_truncation(self, bank: Bank) -> None:
        for size in range(len(self.raw)):
            with pytest.raises((CodecError, BadSignatureError)):
                bank.parts.settlement.settle(self.raw[:size], NOW)
        assert bank.settle(self.raw).credited == 5

    def test_oversized(self, bank: Bank) -> None:
        with pytest.raises(OversizedError):
            bank.parts.settlement.settle(self.raw + bytes(MAX_BATCH_SIZE), NOW)

    def test_another_message(self, bank: Bank) -> None:
        with pytest.raises(WrongTypeError):
            bank.parts.settlement.settle(self.card.voucher(self.till, 5), NOW)


def test_an_expired_till_certificate_does_not_stop_a_deposit(bank: Bank) -> None:
    """Expiry never stops the finishing of a transfer (transfer.md, rule 10): the goods are gone, the card has paid."""
    card, till = bank.card("a", 1_000), bank.till("t")
    answer = bank.parts.settlement.settle(till.batch([card.voucher(till, 5)]), NOW + 50 * 365 * 86_400)
    assert answer_of(answer, bank.world).credited == 5


def test_a_purse_is_learnt_from_its_certificate_once(bank: Bank) -> None:
    """A card that this operator certified but has lost: known again, with nothing proved to have been received."""
    own = key("lost card")
    card = CardDouble(own, certify(bank.world.operator, own, CertificateClass.HARD_WALLET), bytes(8), bytes(16))
    till = bank.till("t")
    vouchers = [card.voucher(till, 5), card.voucher(till, 6)]
    first = bank.settle(till.batch([vouchers[0]], certificates=[card.certificate.to_bytes()]))
    second = bank.settle(till.batch([vouchers[1]]))
    assert (first.voucher_statuses, second.voucher_statuses) == ((S.REVIEW,), (S.REVIEW,))
    bank.load(card, 100, "found")
    assert bank.settle(till.batch(vouchers)).voucher_statuses == (S.SETTLED, S.SETTLED)


def test_every_batch_is_kept_as_it_came(bank: Bank) -> None:
    till = bank.till("t")
    raw = till.batch([bank.world.card("stranger").voucher(till, 5), b"rubbish"])
    bank.settle(raw)
    with bank.parts.storage.reading() as tx:
        record = tx.till(till.id)
        assert record is not None
        stored = tx.batch(record.number << 32 | 1)
        assert stored is not None
        assert stored.raw == raw


def test_an_answer_fits_its_limit(bank: Bank) -> None:
    """10,000 items: still an answer that the till accepts."""
    till = bank.till("t")
    answer = bank.settle(till.batch([b"x"] * 10_000, [b"y"] * 1_000))
    assert answer.voucher_statuses == (S.MALFORMED,) * 10_000
    assert answer.refusal_statuses == (R.MALFORMED,) * 1_000
