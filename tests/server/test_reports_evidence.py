"""Evidence between purses: whatever order it comes in, the books end the same (I9); nothing unproved is believed."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.storage.records_risk import PurseStatus
from support.enrolled import CARD, SAM, enrol, evidence, paid_load, pays, pays_till
from support.keys import FOREIGN_CARD, NOW, TILL, certify, key
from support.operator_world import Bank, World
from support.purses import Purse
from wallet_core.certificates import CertificateClass
from wallet_core.messages import Receipt, Refusal, Signed, Voucher, parse
from wallet_core.suites import Suite


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path), issued=200_000)
    yield made
    made.close()


def shadows(bank: Bank) -> dict[str, int]:
    found: dict[str, int] = bank.ledger().facts()["card_shadows"]
    return found


def balances(bank: Bank) -> dict[str, int]:
    """Every account that is not at 0."""
    report = bank.ledger()
    assert report.faults == ()
    return {account.name: account.balance for account in report.accounts if account.balance}


def standing(bank: Bank, purse: Purse) -> PurseStatus:
    with bank.parts.storage.reading() as tx:
        found = tx.standing(purse.id)
    return found.status if found is not None else PurseStatus.ACTIVE


class TestAPaymentBetweenPurses:
    @pytest.fixture(autouse=True)
    def _parties(self, bank: Bank) -> None:
        self.card = enrol(bank, "card", loaded=1_000)
        self.sam = enrol(bank, "sam", SAM)
        self.voucher = pays(self.card, self.sam, 300)
        self.flight = f"flight/{self.sam.id.hex()}"

    def test_voucher_then_receipt(self, bank: Bank) -> None:
        assert evidence(bank, self.voucher) == ["recorded"]
        assert shadows(bank) == {self.card.id.hex(): 700, self.sam.id.hex(): 0}
        assert balances(bank)[self.flight] == 300
        assert evidence(bank, self.sam.collect(self.voucher, CARD)) == ["recorded"]
        assert shadows(bank) == {self.card.id.hex(): 700, self.sam.id.hex(): 300}
        assert self.flight not in balances(bank)
        assert bank.ledger().wallets == 0  # nothing but an unload pays out

    def test_refusal(self, bank: Bank) -> None:
        refusal = self.sam.refuse(parse(Voucher, self.voucher).message.request_hash)
        assert evidence(bank, refusal) == ["waiting"]
        assert evidence(bank, self.voucher) == ["recorded"]
        assert shadows(bank) == {self.card.id.hex(): 1_000, self.sam.id.hex(): 0}
        assert self.flight not in balances(bank)

    def test_again_and_again(self, bank: Bank) -> None:
        receipt = self.sam.collect(self.voucher, CARD)
        evidence(bank, self.voucher, receipt)
        before = bank.ledger()
        for _ in range(2):
            assert evidence(bank, receipt, self.voucher, receipt) == ["recorded"] * 3
            assert bank.ledger() == before

    def test_a_payment_that_is_never_told_moves_nothing(self, bank: Bank) -> None:
        assert shadows(bank) == {self.card.id.hex(): 1_000, self.sam.id.hex(): 0}

    def test_a_receipt_of_another_purse_counts_for_nothing(self, bank: Bank) -> None:
        other = enrol(bank, "other", SAM)
        message = parse(Receipt, self.sam.collect(self.voucher, CARD)).message
        lie = Signed.sign(dataclasses.replace(message, payee=other.id), other.party.key).to_bytes()
        assert evidence(bank, self.voucher, lie) == ["recorded", "waiting"]
        assert balances(bank)[self.flight] == 300

    def test_a_refusal_of_another_purse_counts_for_nothing(self, bank: Bank) -> None:
        request_hash = parse(Voucher, self.voucher).message.request_hash
        lie = Refusal(suite=Suite.ES256, payee=self.card.id, k=1, request_hash=request_hash)
        assert evidence(bank, self.voucher, Signed.sign(lie, self.card.party.key).to_bytes()) == ["recorded", "waiting"]
        assert balances(bank)[self.flight] == 300


class TestWhatIsNotBelieved:
    @pytest.fixture(autouse=True)
    def _parties(self, bank: Bank) -> Iterator[None]:
        self.card = enrol(bank, "card", loaded=1_000)
        self.sam = enrol(bank, "sam", SAM)
        self.voucher = pays(self.card, self.sam, 300)
        before = bank.ledger()
        yield
        assert bank.ledger() == before

    def forged(self, **changes: object) -> bytes:
        message = dataclasses.replace(parse(Voucher, self.voucher).message, **changes)  # type: ignore[arg-type]
        return Signed.sign(message, self.card.party.key).to_bytes()

    def test_rubbish(self, bank: Bank) -> None:
        report = self.card.report()
        assert evidence(bank, b"", b"rubbish", self.voucher[:-1], report) == ["malformed"] * 4
        assert evidence(bank, self.forged(amount=0), self.forged(n=0)) == ["malformed"] * 2

    def test_a_bad_signature(self, bank: Bank) -> None:
        bad = self.voucher[:-1] + bytes((self.voucher[-1] ^ 1,))
        assert evidence(bank, bad) == ["bad-signature"]

    def test_a_foreign_authority(self, bank: Bank) -> None:
        message = dataclasses.replace(parse(Voucher, self.voucher).message, payer=FOREIGN_CARD.id)
        raw = Signed.sign(message, FOREIGN_CARD.key).to_bytes()
        certificates = [FOREIGN_CARD.certificate.to_bytes()]
        assert bank.parts.reports.evidence([raw], certificates, NOW) == ["unknown-signer"]

    def test_another_epoch(self, bank: Bank) -> None:
        assert evidence(bank, self.forged(epoch=2)) == ["not-a-purse"]

    def test_a_tills_answers_come_in_its_batches(self, bank: Bank) -> None:
        refusal = Refusal(suite=Suite.ES256, payee=TILL.id, k=1, request_hash=bytes(32))
        raw = Signed.sign(refusal, TILL.key).to_bytes()
        assert bank.parts.reports.evidence([raw], [TILL.certificate.to_bytes()], NOW) == ["not-a-purse"]

    def test_a_payee_that_nobody_knows(self, bank: Bank) -> None:
        assert evidence(bank, self.forged(payee=b"\1" * 32)) == ["unknown-payee"]

    def test_the_payer_itself_or_the_operator_unasked(self, bank: Bank) -> None:
        operator = bank.world.keyring.purse_certificate.subject
        assert evidence(bank, self.forged(payee=self.card.id), self.forged(payee=operator)) == ["not-asked"] * 2


def test_a_purse_of_this_operator_that_is_not_enrolled_here_comes_with_its_certificate(bank: Bank) -> None:
    own = key("stranger")
    certificate = certify(bank.world.operator, own, SAM)
    card = enrol(bank, "card", loaded=500)
    voucher = dataclasses.replace(
        parse(Voucher, pays(card, enrol(bank, "sam", SAM), 300)).message, payee=certificate.subject
    )
    raw = Signed.sign(voucher, card.party.key).to_bytes()
    assert bank.parts.reports.evidence([raw], [], NOW) == ["unknown-payee"]
    assert bank.parts.reports.evidence([raw], [certificate.to_bytes()], NOW) == ["recorded"]
    assert shadows(bank) == {card.id.hex(): 200, own.public.thumbprint.hex(): 0, enrol(bank, "sam", SAM).id.hex(): 0}


class TestALoad:
    @pytest.fixture(autouse=True)
    def _paid(self, bank: Bank) -> None:
        self.card = enrol(bank, "card")
        self.voucher = paid_load(bank, self.card, 500, "k")
        self.request_hash = parse(Voucher, self.voucher).message.request_hash

    def test_refused(self, bank: Bank) -> None:
        refusal = self.card.refuse(self.request_hash)
        for _ in range(2):
            assert evidence(bank, refusal) == ["recorded"]
            assert (bank.ledger().operator_purses, bank.ledger().in_flight) == (200_000, 0)
        assert bank.parts.loads.pending(self.card.id) == []
        paid_load(bank, self.card, 100, "another")  # the purse goes on
        assert bank.ledger().operator_purses == 199_900

    def test_receipt_and_refusal_in_both_orders(self, bank: Bank, tmp_path: Path) -> None:
        """A card that has signed both keeps nothing: the Refusal beats the Receipt, and both are a proof."""
        message = Refusal(suite=Suite.ES256, payee=self.card.id, k=1, request_hash=self.request_hash)
        refusal = Signed.sign(message, self.card.party.key).to_bytes()
        receipt = self.card.collect(self.voucher, CertificateClass.OPERATOR_PURSE)
        (tmp_path / "other").mkdir()
        other = Bank(World.make(tmp_path / "other"), issued=200_000)
        paid_load(other, enrol(other, "card"), 500, "k")
        evidence(bank, receipt)
        assert shadows(bank) == {self.card.id.hex(): 500}
        evidence(bank, refusal)
        evidence(other, refusal)
        other.parts.loads.collected(receipt, NOW)
        evidence(other, receipt)
        assert balances(bank) == balances(other)
        assert bank.ledger().operator_purses == 200_000
        assert standing(bank, self.card) is standing(other, self.card) is PurseStatus.REVOKED
        with bank.parts.storage.reading() as tx, other.parts.storage.reading() as same:
            assert [(one.receipt, one.refusal) for one in tx.two_outcomes()] == [(receipt, refusal)]
            assert tx.two_outcomes() == same.two_outcomes()
        other.close()

    def test_what_was_spent_before_it_was_refused_is_a_loss_until_it_is_explained(self, bank: Bank) -> None:
        """A purse may spend what another has paid it unseen; a load in flight covered that, and is refused then."""
        payer, merchants, till = enrol(bank, "payer", loaded=500), enrol(bank, "sam", SAM), bank.till("t")
        unseen = pays(payer, merchants, 500)
        receipt = merchants.collect(unseen, CertificateClass.HARD_WALLET)
        request_hash = parse(Voucher, paid_load(bank, merchants, 500, "m")).message.request_hash
        spent, _ = pays_till(merchants, till, 500)
        assert bank.settle(till.batch([spent])).credited == 500
        for _ in range(2):
            evidence(bank, merchants.refuse(request_hash))
            assert (bank.ledger().loss, balances(bank).get(f"card/{merchants.id.hex()}", 0)) == (500, 0)
            (overspent,) = bank.parts.desk.frauds(NOW).overspent
            assert (overspent.payer, overspent.overspent) == (merchants.id, 500)
        evidence(bank, unseen, receipt)
        assert (bank.ledger().loss, bank.parts.desk.frauds(NOW).overspent) == (0, ())
        assert (standing(bank, merchants), bank.ledger().conserved) == (PurseStatus.ACTIVE, True)

    def test_a_receipt_as_evidence(self, bank: Bank) -> None:
        receipt = self.card.collect(self.voucher, CertificateClass.OPERATOR_PURSE)
        for _ in range(2):
            assert evidence(bank, receipt) == ["recorded"]
            bank.parts.loads.collected(receipt, NOW)
        assert shadows(bank) == {self.card.id.hex(): 500}


class City:
    """Cards and merchants' purses with every ending between them, as messages; a purse that signs two outcomes and a
    card that signs two vouchers under one counter are among them."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        first, second, cloned = (enrol(bank, name, loaded=1_000) for name in ("first", "second", "cloned"))
        clone = dataclasses.replace(cloned)
        honest, cheat = (enrol(bank, name, SAM) for name in ("honest", "cheat"))
        collected, refused, both, open_ = (
            pays(first, honest, 100),
            pays(second, honest, 200),
            pays(second, cheat, 300),
            pays(first, cheat, 50),
        )
        refund_of = honest.collect(collected, CARD)
        refund = pays(honest, second, 40)
        twice = pays(cloned, honest, 700), pays(clone, first, 600)
        forged = Refusal(suite=Suite.ES256, payee=cheat.id, k=1, request_hash=parse(Voucher, both).message.request_hash)
        self.messages = (
            collected,
            refund_of,
            refused,
            honest.refuse(parse(Voucher, refused).message.request_hash),
            both,
            cheat.collect(both, CARD),
            Signed.sign(forged, cheat.party.key).to_bytes(),
            open_,
            refund,
            second.collect(refund, SAM),
            *twice,
            honest.collect(twice[0], CARD),
        )


@pytest.fixture(scope="module")
def usual() -> dict[str, int]:
    with city() as made:
        for message in made.messages:
            evidence(made.bank, message)
        found = balances(made.bank)
    assert sum(found.values()) == 0
    shown = sorted(amount for name, amount in found.items() if name.startswith("card/"))
    assert (shown, found["loss"]) == (
        [400, 760, 850, 1_040],
        -700,
    )  # of two rivals the one with the smaller hash counts
    return found


class city:  # noqa: N801  (a context manager)
    def __enter__(self) -> City:
        memory = Path("/dev/shm")  # many commits: durability is tested elsewhere
        self._directory = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self._bank = Bank(World.make(Path(self._directory.name)))
        return City(self._bank)

    def __exit__(self, *_: object) -> None:
        self._bank.close()
        self._directory.cleanup()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_order_any_grouping_any_repetition(usual: dict[str, int], data: st.DataObject) -> None:
    with city() as made:
        order = data.draw(st.permutations(range(len(made.messages))), label="order")
        again = data.draw(st.lists(st.sampled_from(order), max_size=4), label="again")
        sizes = data.draw(st.lists(st.integers(1, 4), min_size=1), label="sizes")
        queue = [*order, *again]
        for size in itertools.cycle(sizes):
            if not queue:
                break
            evidence(made.bank, *(made.messages[at] for at in queue[:size]))
            del queue[:size]
        assert balances(made.bank) == usual


def test_two_vouchers_with_one_counter_are_a_proof_in_either_order(bank: Bank, tmp_path: Path) -> None:
    """One to a merchant's purse, one to a till that lives: the first as evidence, the second seen in passing."""
    (tmp_path / "other").mkdir()
    other = Bank(World.make(tmp_path / "other"), issued=200_000)
    for one, swapped in ((bank, False), (other, True)):
        card, sam, till = enrol(one, "card", loaded=1_000), enrol(one, "sam", SAM), one.till("t")
        clone = dataclasses.replace(card)
        pair = [pays(card, sam, 300), pays_till(clone, till, 200)[0]]
        assert evidence(one, *(reversed(pair) if swapped else pair)) == ["recorded"] * 2
        assert standing(one, card) is PurseStatus.REVOKED
        assert one.ledger().faults == ()
    assert balances(bank) == balances(other)
    other.close()
