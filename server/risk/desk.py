"""What the operator does about lost, dishonest and dead parties: each call is one transaction, and can be repeated."""

from __future__ import annotations

from dataclasses import replace

import structlog

from server.keyring import Keyring
from server.problems import Problem
from server.risk import charging, lost, proofs, reviews
from server.risk.lost import Reckoning
from server.risk.proofs import Frauds
from server.risk.replacing import replace_card
from server.risk.reviews import Review
from server.risk.settings import RiskSettings
from server.risk.standing import move_to, status_of
from server.settings import Checkpoint, no_checkpoint
from server.storage.protocol import Reader, Storage
from server.storage.records import PurseRecord, TillRecord
from server.storage.records_risk import PurseStatus, StandingRecord
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.ids import short
from wallet_core.messages import Voucher, parse

_log = structlog.get_logger()


class RiskDesk:
    """One for a server; safe to use from several threads. Times are seconds since 1970."""

    def __init__(
        self, storage: Storage, keyring: Keyring, risk: RiskSettings, checkpoint: Checkpoint = no_checkpoint
    ) -> None:
        self._storage = storage
        self._keyring = keyring
        self._checkpoint = checkpoint
        self.risk = risk

    def standings(self) -> list[StandingRecord]:
        """Everyone with whom nothing new begins."""
        with self._storage.reading() as tx:
            return tx.standings()

    def freeze(self, card: bytes, now: int) -> PurseStatus:
        """A lost card: nothing new begins with it. For good; a card that turns up again is replaced all the same.

        Raises Problem `not-found`.
        """
        with self._storage.writing() as tx:
            _purse(tx, card)
            move_to(tx, card, PurseStatus.FROZEN, "reported lost", now=now)
            return status_of(tx, card)

    def reckoning(self, card: bytes, now: int) -> Reckoning:
        """What may be given back for this card; raises Problem `not-found`."""
        with self._storage.reading() as tx:
            purse = _purse(tx, card)
            return lost.reckon(tx, purse, self._keyring.audit_key(card), self._risk_of(purse), now)

    def refund(self, card: bytes, destination: bytes | None, now: int) -> tuple[Reckoning, int]:
        """Give back what is refundable now: the reckoning after it, and fen given back (0: nothing is due now).

        Sent again it gives back nothing more. Raises Problem `not-found`, `revoked` (destination).
        """
        with self._storage.writing() as tx:
            purse, audit_key = _purse(tx, card), self._keyring.audit_key(card)
            to = _purse(tx, destination) if destination is not None else None
            if to is not None and (to.number == purse.number or status_of(tx, to.id) is not PurseStatus.ACTIVE):
                raise Problem("revoked", "The card to load is not another one in good standing.")
            risk = self._risk_of(purse)
            before = lost.reckon(tx, purse, audit_key, risk, now)
            amount = lost.refund(tx, purse, to, before, now=now)
            after = lost.reckon(tx, purse, audit_key, risk, now)
            self._checkpoint("refund.written")
        self._checkpoint("refund.committed")
        _log.info("refund", card=short(card), amount=amount)
        return after, amount

    def _risk_of(self, purse: PurseRecord) -> RiskSettings:
        """With the offline limit of the purse's own class: a merchant's purse may pay more unseen than a card."""
        subject_class = Certificate.from_bytes(purse.certificate).subject_class
        policy = self._keyring.policies().get(subject_class)
        if subject_class is CertificateClass.HARD_WALLET or policy is None:
            return self.risk
        return replace(self.risk, offline_total=policy.message.offline_total)

    def replace(self, old: bytes, new: bytes, now: int) -> None:
        """`new`, an enrolled card, takes the place of `old`; raises what `replace_card` raises."""
        with self._storage.writing() as tx:
            replacement = _purse(tx, new)
            if status_of(tx, new) is not PurseStatus.ACTIVE:
                raise Problem("revoked", "The replacement is not in good standing.")
            replace_card(tx, old, replacement, now=now)

    def declare_dead(self, till: bytes, now: int) -> int:
        """A till that is gone: what cards' reports have brought and will bring for it is credited to its merchant.

        How many vouchers were credited or are to wait now. Raises Problem `not-found`.
        """
        with self._storage.writing() as tx:
            dead = _till(tx, till)
            move_to(tx, till, PurseStatus.DEAD, "declared dead", now=now)
            collected = 0
            for brought in tx.brought_for(till):
                payer = tx.purse_by_number(brought.payer)
                if payer is not None:
                    charging.collect_for_till(tx, parse(Voucher, brought.raw), payer, dead, self.risk, now)
                    collected += 1
            self._checkpoint("dead.written")
        self._checkpoint("dead.committed")
        return collected

    def reviews(self) -> list[Review]:
        """Every voucher that waits."""
        with self._storage.reading() as tx:
            return reviews.waiting(tx)

    def pay_review(self, voucher_hash: bytes, now: int) -> int:
        """Pay one waiting voucher, from `loss` as far as nothing covers it, up to its card's review cap.

        Returns the fen from `loss`.
        Raises Problem `not-found` (none of this hash waits), `limit` (the cap, or its payee has refused it).
        """
        with self._storage.writing() as tx:
            if all(one.hash != voucher_hash for one in tx.waiting()):
                raise Problem("not-found", "No voucher with this hash waits.")
            move = reviews.pay(tx, voucher_hash, self.risk, now)
            self._checkpoint("review.written")
        self._checkpoint("review.committed")
        if move is None:
            raise Problem("limit", "The card's review cap is used up, or the payee has refused this voucher.")
        return move.loss

    def frauds(self, now: int) -> Frauds:
        """Everything that is proved, after a look for contradictions between deposits and reports."""
        with self._storage.writing() as tx:
            if proofs.sweep(tx, now):
                reviews.reopen(tx, {one.payer for one in tx.evidence()}, self.risk, now)
            return proofs.list_frauds(tx, self._keyring)


def _purse(tx: Reader, purse: bytes) -> PurseRecord:
    found = tx.purse(purse)
    if found is None:
        raise Problem("not-found", "No card with this id is known.")
    return found


def _till(tx: Reader, till: bytes) -> TillRecord:
    found = tx.till(till)
    if found is None:
        raise Problem("not-found", "No till with this id is enrolled.")
    return found
