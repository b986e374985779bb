"""A till's surroundings in memory: a clock that is told the time, a card that loses answers on request, an operator.

The card is the purse of wallet_core with real signatures; its `faults` say what becomes of each PAY, in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from merchant_pos.checkout import Checkout
from merchant_pos.decisions import Shown
from merchant_pos.identity import Identity, save_key
from merchant_pos.journal import Journal
from merchant_pos.ports import Expected, PayerCard
from support.keys import AUTHORITY, CARD, NOW, OPERATOR, TILL, Party
from support.samples import AUDIT_KEY, POLICY
from wallet_core.audit import AuditData
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import CardError, NoCardError, OutcomeUnknownError, PurseRefusal, Refused
from wallet_core.messages import (
    DepositAnswer,
    DepositBatch,
    DepositStatus,
    Policy,
    RefusalStatus,
    Request,
    RevocationList,
    RevocationReason,
    Signed,
    Voucher,
    parse,
)
from wallet_core.messages.deposit import MAX_BATCH_SIZE
from wallet_core.purse import spend
from wallet_core.purse.control import begin_pin_check, pin_verified
from wallet_core.purse.state import Lifecycle, PurseState
from wallet_core.suites import Suite

PIN = "246810"
LOADED = 50_000  # fen


class TestClock:
    """Stands still until somebody waits."""

    __test__ = False

    def __init__(self, seconds: float = NOW) -> None:
        self.seconds = float(seconds)
        self.waits: list[float] = []

    def now_ms(self) -> int:
        return int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds


@dataclass
class FakeCard:
    """A hard wallet. Each entry of `faults` is for one PAY: "" · "before" (lost on the way) · "after" (answer lost) ·
    "done 6F00" (debited, then this) · "garbled" (another answer than the card gave) · a reason or status word to answer
    without doing anything.
    """

    party: Party = CARD
    state: PurseState = field(
        default_factory=lambda: PurseState(lifecycle=Lifecycle.ACTIVE, total_in=LOADED, in_acked=LOADED)
    )
    operator: Party = OPERATOR
    limits: Policy = POLICY
    certificate_bytes: bytes = b""
    policy_bytes: bytes = b""
    faults: list[str | int] = field(default_factory=list)
    select_faults: list[str] = field(default_factory=list)
    garble: Callable[[bytes], bytes] = lambda answer: answer[:-1] + bytes((answer[-1] ^ 1,))
    sent: list[bytes] = field(default_factory=list)
    certificates_read: int = 0
    policies_read: int = 0
    verified: bool = False
    powered: int = 0

    @property
    def id(self) -> bytes:
        return self.party.id

    @property
    def spent(self) -> int:
        return self.state.total_out

    def select(self) -> Shown:
        if self.select_faults and self.select_faults.pop(0):
            raise OutcomeUnknownError("the card left the field")
        self.verified = False
        return Shown(
            self.id,
            self.state.epoch,
            self.state.next_n,
            self.state.lifecycle,
            self.state.balance,
            self.limits.payee_threshold,
            self.limits.version,
            self.state.pin_tries,
        )

    def certificate(self) -> bytes:
        self.certificates_read += 1
        return self.certificate_bytes or self.party.certificate.to_bytes()

    def policy(self) -> bytes:
        self.policies_read += 1
        own = replace(self.limits, operator=self.operator.id)
        return self.policy_bytes or Signed.sign(own, self.operator.key).to_bytes()

    def pay(self, request: bytes) -> bytes:
        return self._pay(request, Request.from_payload(request), None)

    def pay_verified(self, signed_request: bytes, certificate: bytes, operator_certificate: bytes) -> bytes:
        signed = parse(Request, signed_request)
        payee, operator = Certificate.from_bytes(certificate), Certificate.from_bytes(operator_certificate)
        operator.verify_signature(AUTHORITY.key.public)
        payee.verify_signature(operator.key)
        signed.verify(payee.key)
        return self._pay(signed_request, signed.message, payee.subject_class)

    def _pay(self, sent: bytes, request: Request, payee_class: CertificateClass | None) -> bytes:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "before":
            raise OutcomeUnknownError("the card left the field")
        self.sent.append(sent)
        if isinstance(fault, Refused):
            raise PurseRefusal(fault)
        if isinstance(fault, int):
            raise CardError(fault)
        answer = self._decide(request, payee_class)
        if fault == "done 6F00":
            raise CardError(0x6F00)
        if fault == "after":
            raise OutcomeUnknownError("the card left the field")
        return self.garble(answer) if fault == "garbled" else answer

    def _decide(self, request: Request, payee_class: CertificateClass | None) -> bytes:
        verified, self.verified = self.verified, False
        decision = spend.pay(
            self.state,
            self.id,
            self.limits,
            request,
            payee_class=payee_class,
            pin_verified=verified,
            seal=self._seal,
        )
        if isinstance(decision, spend.Stored):
            return decision.voucher
        answer = Signed.sign(decision.voucher, self.party.key).to_bytes()
        self.state = decision.commit(answer)
        return answer

    @staticmethod
    def _seal(audit: AuditData) -> bytes:
        return audit.seal(AUDIT_KEY, audit.n.to_bytes(12, "big"))

    def verify_pin(self, pin: str) -> None:
        self.state = begin_pin_check(self.state)
        if pin != PIN:
            raise CardError(0x63C0 | self.state.pin_tries)
        self.state, self.verified = pin_verified(self.state), True

    def resend(self, request_hash: bytes) -> bytes:
        return spend.resend(self.state, request_hash=request_hash)[0]

    def close(self) -> None:
        self.verified = False


class FakeReader:
    """Hands out cards in turn, the last one for ever; None is an empty reader for that turn."""

    def __init__(self, clock: TestClock, *cards: FakeCard | None) -> None:
        self.clock = clock
        self.cards = list(cards)

    def card(self, timeout_s: float) -> PayerCard:
        card = self.cards.pop(0) if len(self.cards) > 1 else self.cards[0]
        if card is None:
            self.clock.wait(timeout_s)
            raise NoCardError("no card came")
        card.powered += 1
        return card


class Pins:
    """Types these PINs in turn, then has none."""

    def __init__(self, *pins: str) -> None:
        self.pins = list(pins)
        self.asked: list[int] = []

    def pin(self, tries_left: int) -> str | None:
        self.asked.append(tries_left)
        return self.pins.pop(0) if self.pins else None


def identity(server: str = "http://127.0.0.1:9", *, party: Party = TILL) -> Identity:
    """The enrolled till of the test keys."""
    return Identity(
        key=party.key,
        certificate=party.certificate,
        operator=OPERATOR.certificate,
        authority=AUTHORITY.certificate,
        server=server,
        merchant="m-1",
        merchant_name="Luohu Tea House",
        production=False,
    )


def save_identity(directory: Path, server: str) -> Identity:
    """The same as files, as `ecny pos enrol` leaves them."""
    directory.mkdir(parents=True, exist_ok=True)
    made = identity(server)
    save_key(directory, made.key)
    made.save(directory)
    return made


class Till:
    """A till with its journal at `path`, whose process may die at a named step and start again."""

    def __init__(self, path: Path, clock: TestClock | None = None) -> None:
        self.clock = clock or TestClock()
        self.path = path
        self.identity = identity()
        self.lines: list[str] = []
        self.steps: list[str] = []
        self.die_at = ""
        self.start()

    def start(self) -> None:
        self.journal = Journal(self.path, till=self.identity.id, now_ms=self.clock.now_ms)
        self.checkout = Checkout(
            journal=self.journal,
            identity=self.identity,
            clock=self.clock,
            notify=self.lines.append,
            step=self.step,
        )

    def restart(self) -> None:
        """The process ended, however it ended, and another one opens the same journal."""
        self.journal.close()
        self.die_at = ""
        self.start()

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.die_at:
            raise ProcessDied(name)


class ProcessDied(BaseException):
    """Stands for SIGKILL inside one process: nothing may catch it."""


class Operator:
    """The settlement server as a function: what `POST /v1/deposits` does, with memory. `mangle` changes its answers."""

    def __init__(self, party: Party = OPERATOR) -> None:
        self.party = party
        self.batches: dict[int, bytes] = {}
        self.hashes: dict[int, bytes] = {}
        self.answers: dict[int, bytes] = {}
        self.credited: dict[bytes, int] = {}
        self.calls: list[bytes] = []
        self.statuses: dict[int, DepositStatus] = {}
        self.refused: set[bytes] = set()

    def deposit(self, body: bytes) -> bytes | Expected:
        self.calls.append(body)
        signed: Signed[DepositBatch] = parse(DepositBatch, body, max_size=MAX_BATCH_SIZE)
        batch = signed.verify(TILL.key.public)
        if batch.number in self.answers and self.hashes[batch.number] == signed.hash:
            return self.answers[batch.number]
        head = max(self.answers, default=0)
        last = self.hashes[head] if head else bytes(32)
        if batch.number != head + 1 or batch.previous != last:
            return Expected(head + 1, last)
        self.batches[batch.number], self.hashes[batch.number] = body, signed.hash
        self.answers[batch.number] = self._answer(batch, signed.hash)
        return self.answers[batch.number]

    def _answer(self, batch: DepositBatch, batch_hash: bytes) -> bytes:
        statuses, credited = [], 0
        for at, body in enumerate(batch.vouchers):
            voucher = parse(Voucher, body)
            status = self.statuses.get(at, DepositStatus.SETTLED)
            if status is DepositStatus.SETTLED and voucher.hash not in self.credited:
                self.credited[voucher.hash] = voucher.message.amount
                credited += voucher.message.amount
            statuses.append(status)
        self.refused.update(batch.refusals)
        answer = DepositAnswer(
            suite=batch.suite,
            operator=self.party.id,
            payee=batch.payee,
            number=batch.number,
            batch_hash=batch_hash,
            credited=credited,
            voucher_statuses=tuple(statuses),
            refusal_statuses=(RefusalStatus.RECORDED,) * len(batch.refusals),
        )
        return Signed.sign(answer, self.party.key).to_bytes()


def revocation_list(
    entries: Mapping[bytes, RevocationReason], serial: int = 1, by: Party = OPERATOR
) -> Signed[RevocationList]:
    """An operator's list of those who may not be asked for anything new."""
    message = RevocationList(suite=Suite.ES256, operator=by.id, serial=serial, at=NOW, entries=entries)
    return Signed.sign(message, by.key)


def resigned(answer: bytes, signer: Party, **changes: object) -> bytes:
    """The signed answer in `answer` with other fields, signed again."""
    message = parse(DepositAnswer, answer, max_size=MAX_BATCH_SIZE).message
    return Signed.sign(replace(message, **changes), signer.key).to_bytes()  # type: ignore[arg-type]
