"""What a till does online beside deposits: evidence of its SAM, the revocation list, a renewed operator's certificate.

Each of them may fail or be interrupted at any point and is done again at the next sync; none of them stops a deposit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from merchant_pos.identity import Identity
from merchant_pos.journal import Journal
from merchant_pos.ports import Clock, Step, UpkeepServer, no_step
from merchant_pos.transfers import Told, Transfer
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import CodecError, EcnyError, MismatchError, SettlementError, VerificationError
from wallet_core.messages import RevocationList, Signed, parse
from wallet_core.messages.revocation import MAX_LIST_SIZE

T = TypeVar("T")

TAKEN = ("recorded", "waiting")  # docs/spec/http.md, *Evidence*: the server has it, whatever it is still waiting for
EVIDENCE_AT_ONCE = 50  # transfers in one call: at most 100 messages of 512 bytes
RENEW_BEFORE_S = 60 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Done:
    """`told`: transfers of the SAM that the server has now; `serial`: of the revocation list in force, 0 without one;
    `renewed`: the operator's certificate where a later one was found."""

    told: int = 0
    serial: int = 0
    revoked: int = 0
    renewed: Certificate | None = None


class Upkeep:
    def __init__(
        self, *, journal: Journal, identity: Identity, server: UpkeepServer, clock: Clock, step: Step = no_step
    ) -> None:
        self._journal = journal
        self._identity = identity
        self._server = server
        self._clock = clock
        self._step = step
        self._trust = identity.trust()

    def run(self) -> Done:
        """All three; what fails is raised at the end, when the others have been tried."""
        faults: list[EcnyError] = []
        told = self._try(self.tell, faults) or 0
        listed = self._try(self.fetch_revocations, faults)
        renewed = self._try(self.renewed_operator, faults)
        if faults:
            raise faults[0]
        serial, revoked = (listed.serial, len(listed.entries)) if listed is not None else (0, 0)
        return Done(told=told, serial=serial, revoked=revoked, renewed=renewed)

    @staticmethod
    def _try(work: Callable[[], T], faults: list[EcnyError]) -> T | None:
        try:
            return work()
        except EcnyError as exc:
            faults.append(exc)
            return None

    # Evidence -------------------------------------------------------------------------------------------------------

    def tell(self) -> int:
        """Hand in vouchers and answers of the SAM's transfers; how many the server has got now.

        The queue is the journal: a lost answer leaves it as it was; the server takes a message twice as once. What it
        does not take stays in the queue with the server's word for it.
        """
        told, waiting = 0, self._journal.untold()
        for at in range(0, len(waiting), EVIDENCE_AT_ONCE):
            part = waiting[at : at + EVIDENCE_AT_ONCE]
            messages = [message for one in part for message in _messages(one)]
            self._step("before-told")
            statuses = list(self._server.evidence(messages, self._certificates(part)))
            self._step("told")
            for one in part:
                own = [statuses.pop(0) for _ in _messages(one)]
                taken = all(status in TAKEN for status in own)
                final = one.receipt is not None or one.refusal is not None
                level = (Told.ALL if final else Told.VOUCHER) if taken else one.told
                self._journal.told_server(one.k, level, " ".join(own))
                told += taken
        return told

    def _certificates(self, waiting: list[Transfer]) -> list[bytes]:
        parties = dict.fromkeys(party for one in waiting for party in (one.payer, one.payee))
        found = (self._journal.certificate(party) for party in parties)
        return [body for body in found if body is not None]

    # Revocations ----------------------------------------------------------------------------------------------------

    def fetch_revocations(self) -> RevocationList | None:
        """The list in force, after asking for a newer one; None where the operator has never made one.

        Raises a CodecError or VerificationError for what is not the own operator's, or older than what is known: the
        newer one stays in force then.
        """
        known = self._known_list()
        try:
            body = self._server.revocations()
        except SettlementError as exc:
            if exc.problem != "not-found":
                raise
            return known.message if known is not None else None
        fresh = check_revocations(body, known, self._identity.operator)
        self._step("list-verified")
        if known is None or fresh.hash != known.hash:
            self._journal.keep_revocations(fresh.message, body)
        self._step("list-kept")
        return fresh.message

    def _known_list(self) -> Signed[RevocationList] | None:
        body = self._journal.revocation_list()
        return parse(RevocationList, body, max_size=MAX_LIST_SIZE) if body is not None else None

    # The operator's certificate -------------------------------------------------------------------------------------

    def renewed_operator(self) -> Certificate | None:
        """A later certificate of the same operator, once the one in use runs out; None where there is no need or none.

        The same operator is the same key. Another key is another operator to everyone: its cards, its grants and its
        answers are not this till's, and only a new enrolment changes that.
        """
        current = self._identity.operator
        if current.expires - self._clock.now_ms() // 1000 > RENEW_BEFORE_S:
            return None
        best = current
        for body in self._server.operators():
            try:
                found = Certificate.from_bytes(body)
                if found.subject == current.subject and found.expires > best.expires:
                    best = self._trust.verify(found, now=None, allowed=(CertificateClass.OPERATOR,))
            except (CodecError, VerificationError):
                continue  # not one of ours: it helps nobody, and harms nobody
        return best if best is not current else None


def check_revocations(
    body: bytes, known: Signed[RevocationList] | None, operator: Certificate
) -> Signed[RevocationList]:
    """The list in `body`, if the till's own operator signed it and its serial does not fall; raises a CodecError,
    BadSignatureError or MismatchError."""
    signed: Signed[RevocationList] = parse(RevocationList, body, max_size=MAX_LIST_SIZE)
    if signed.message.operator != operator.subject:
        raise MismatchError("the revocation list is another operator's")
    signed.verify(operator.key)
    if known is not None:
        if signed.message.serial < known.message.serial:
            raise MismatchError(
                f"the revocation list {signed.message.serial} is older than the one in force, {known.message.serial}"
            )
        if signed.message.serial == known.message.serial and signed.hash != known.hash:
            raise MismatchError(f"there are two revocation lists {known.message.serial}")
    return signed


def _messages(transfer: Transfer) -> list[bytes]:
    """What the server is told of a transfer: the payer's voucher and the payee's answer, as far as they are there."""
    return [one for one in (transfer.voucher, transfer.receipt, transfer.refusal) if one is not None]
