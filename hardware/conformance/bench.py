"""What a check works with: the card behind a recorder, the laboratory, and the few moves that all checks share.

Before each check of an active card `prepare` brings it into one state: fresh power, selected, nothing open, no limit in
its policy, some value, all PIN tries. So no check sees what another one has left, and a fault shows where it belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from hardware.apdu import MAX_EXTENDED_NE, CommandApdu, ResponseApdu
from hardware.atr import card_capabilities
from hardware.channel_opening import open_channel
from hardware.commands import Collect, GetData, MakeRequest, Pay, Refuse, ResendOpenRequest, StoreData, Verify
from hardware.conformance.lab import PIN, Lab, Papers, Party, grant_for, voucher_for
from hardware.conformance.requirements import Nonconformity
from hardware.conformance.trace import Recorder
from hardware.data_objects import AID, Fci, SlotStatus, Tag, Totals, slots_from_bytes
from hardware.ending_commands import MakeReport, TakeGrant
from hardware.exchange import CardConnection
from hardware.instructions import Command, Store
from hardware.pin import pin_block
from hardware.secure_channel import StaticKeys
from hardware.status_words import SW, describe
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from hardware.transports.base import Transport
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import Refused
from wallet_core.messages import Policy, Report, Request, parse
from wallet_core.messages.ending import SlotLine
from wallet_core.purse.state import PIN_TRIES, EntryState
from wallet_core.suites import Suite

SELECT: Final = bytes((0x00, 0xA4, 0x04, 0x00, len(AID))) + AID + b"\0"
PURSE: Final = 1_000_000  # fen that `prepare` fills up to
FLOOR: Final = 500_000  # and below which it does
_PIN_TRIES_AT: Final = -(2 + 4 + 2 + 8) - 1  # of the value of C7, from the end of the FCI: C8 and C9 follow


def expect(condition: bool, wrong: str) -> None:
    """Raises Nonconformity with what is wrong, unless the condition holds."""
    if not condition:
        raise Nonconformity(wrong)


def same(found: object, wanted: object, what: str) -> None:
    """Raises Nonconformity unless both are equal; bytes are shown by their first digits."""
    if found != wanted:
        raise Nonconformity(f"{what}: {_shown(found)}, not {_shown(wanted)}")


def word(response: ResponseApdu, *wanted: int, of: str = "the answer") -> bytes:
    """The response data, if the status word is one of these; raises Nonconformity."""
    if response.sw not in wanted:
        names = " or ".join(f"{one:04X} {describe(one)}" for one in wanted)
        raise Nonconformity(f"{of}: {response.sw:04X} {describe(response.sw)}, not {names}")
    return response.data


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 40 else f"{value[:36].hex()}… ({len(value)} bytes)"
    return str(value)


class Bench:
    """One card under test. `random` draws challenges and order hashes, so that a run can be replayed."""

    def __init__(self, transport: Transport, lab: Lab, random: Callable[[int], bytes]) -> None:
        self.recorder = Recorder(transport)
        self.lab = lab
        self.random = random
        self.extended = card_capabilities(transport.atr).extended
        self.connection = CardConnection(self.recorder, extended=self.extended)
        self.known_serial = b""
        """The card's serial number, read before a channel is opened: through it GET DATA is not heard."""
        self.kept: dict[str, bytes] = {}
        """What the preparation of the closing stage has put on the card, by name."""

    # Commands

    def raw(self, command: bytes | str) -> ResponseApdu:
        """One exchange with these bytes (a text: hexadecimal), and nothing else."""
        sent = bytes.fromhex(command) if isinstance(command, str) else command
        return ResponseApdu.from_bytes(self.recorder.transmit(sent))

    def apdu(self, command: CommandApdu, *, extended: bool | None = None) -> ResponseApdu:
        """One exchange, the command as it is."""
        return self.raw(command.to_bytes(extended))

    def do(self, command: Command) -> ResponseApdu:
        """A command with its whole answer, however the card and the reader carry it."""
        apdu = command.to_apdu()
        if self.extended and apdu.ne:
            apdu = replace(apdu, ne=MAX_EXTENDED_NE)
        return self.connection.send(apdu)

    def ok(self, command: Command) -> bytes:
        return word(self.do(command), SW.OK, of=command.NAME)

    def refused(self, command: Command, reason: Refused) -> None:
        word(self.do(command), reason, of=command.NAME)

    def power(self) -> None:
        """Takes the power and gives it back; nothing is selected."""
        self.connection.reset()

    def tap(self) -> bytes:
        """Power off and on, then SELECT; the file control information."""
        self.power()
        return word(self.raw(SELECT), SW.OK, of="SELECT")

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Preparations: they go over the reader and not into the evidence."""
        with self.recorder.quietly():
            yield

    # What the card says about itself

    def fci(self) -> Fci:
        return Fci.from_bytes(word(self.raw(SELECT), SW.OK, of="SELECT"))

    def totals(self) -> Totals:
        return Totals.from_bytes(self.ok(GetData(Tag.TOTALS)))

    def slots(self) -> tuple[SlotStatus, ...]:
        return slots_from_bytes(self.ok(GetData(Tag.SLOTS)))

    def report(self) -> Report:
        """What a REPORT says; its signature is not looked at (ECNY-MSG-02 does)."""
        return parse(Report, self.ok(MakeReport())).message

    def line(self, n: int) -> SlotLine | None:
        """The slot of this counter in a REPORT; None where it is free."""
        return next((line for line in self.report().slot_lines if line.n == n), None)

    def entry_states(self) -> dict[int, EntryState]:
        """k → state of every entry in a REPORT."""
        return {line.k: EntryState(line.state) for line in self.report().entry_lines}

    def picture(self) -> tuple[bytes, ...]:
        """All that can be seen of what the card keeps: SELECT, totals, slots, policy, the payload of a REPORT."""
        seen = [word(self.raw(SELECT), SW.OK, of="SELECT")]
        seen += [self.ok(GetData(tag)) for tag in (Tag.TOTALS, Tag.SLOTS, Tag.POLICY)]
        return (*seen, self.report().to_payload())

    def certificate(self) -> Certificate:
        return Certificate.from_bytes(self.ok(GetData(Tag.PURSE_CERTIFICATE)))

    @property
    def me(self) -> bytes:
        """The purse's id, from its certificate."""
        return self.certificate().subject

    # Paying and being paid

    def question(self, amount: int, payee: Party | None = None, /, **changes: Any) -> Request:
        """A payee's Request to this card at its next counter (the laboratory's SAM, unless another is named)."""
        totals, own = self.totals(), self.certificate()
        request = Request(
            suite=Suite.ES256,
            payer=own.subject,
            epoch=own.epoch,
            n=totals.next_n,
            payee=(payee or self.lab.sam).id,
            k=1,
            amount=amount,
            order_hash=self.random(32),
        )
        return replace(request, **changes)

    def pay(self, amount: int, payee: Party | None = None) -> bytes:
        """A payment of `amount` fen: the signed Voucher."""
        return self.ok(Pay(self.question(amount, payee).to_payload()))

    def asking(self, amount: int, payer: Party | None = None, /, **changes: Any) -> MakeRequest:
        """REQUEST to a payer (the operator's purse, unless another is named), not yet sent."""
        party = payer or self.lab.operator_purse
        command = MakeRequest(party.id, party.certificate.epoch, 1, amount, self.random(32))
        return replace(command, **changes)

    def load(self, amount: int) -> bytes:
        """REQUEST and COLLECT of `amount` fen from the operator's purse: the signed Receipt."""
        request = self.ok(self.asking(amount))
        return self.ok(Collect(*voucher_for(request, self.lab.operator_purse)))

    def paid_by(self, payer: Party, amount: int) -> Papers:
        """REQUEST to `payer`, and its voucher, ready for COLLECT."""
        return voucher_for(self.ok(self.asking(amount, payer)), payer)

    # Policy, PIN, secure channel

    def policy(self, **changes: Any) -> Policy:
        """Stores the policy in which nothing but `changes` is limited, under the next version; returns it."""
        now = parse(Policy, self.ok(GetData(Tag.POLICY))).message
        fresh = self.lab.policy(self.certificate().subject_class, **{"version": now.version + 1, **changes})
        self.ok_plain(StoreData(Store.POLICY, self.lab.operator.sign(fresh)))
        return fresh

    def ok_plain(self, command: Command) -> None:
        word(self.do(command), SW.OK, of=command.NAME)

    def verify(self, pin: str = PIN) -> ResponseApdu:
        return self.do(Verify(pin_block(pin)))

    def serial(self) -> bytes:
        return self.ok(GetData(Tag.SERIAL))

    def keys(self) -> StaticKeys:
        """The published transport keys of this card's serial number."""
        return transport_keys(TEST_BATCH_KEY, self.serial(), production=False)

    @contextmanager
    def channel(self) -> Iterator[Callable[[Command], ResponseApdu]]:
        """A secure channel for the length of a `with` block; the value sends one command through it."""
        self.known_serial = self.serial()
        keys = transport_keys(TEST_BATCH_KEY, self.known_serial, production=False)
        self.connection.secure(open_channel(self.connection.send, keys, self.random(8)))
        try:
            yield lambda command: self.connection.send(command.to_apdu())
        finally:
            self.connection.plain()

    def through_channel(self, *commands: Command) -> None:
        """These commands through one channel, each 9000."""
        with self.channel() as send:
            for command in commands:
                word(send(command), SW.OK, of=command.NAME)

    # The state that each check begins with

    def prepare(self) -> None:
        """Brings an active card of the laboratory into the common state."""
        fci = self.tap()
        if fci[_PIN_TRIES_AT] < PIN_TRIES:
            word(self.verify(), SW.OK, of="VERIFY")
            self.tap()
        now = parse(Policy, self.ok(GetData(Tag.POLICY))).message
        if replace(now, version=1) != self.lab.policy(CertificateClass(now.purse_class)):
            self.policy()
        report = self.report()
        self.refuse_open(report)
        self.settle(report if all(line.state != EntryState.OPEN for line in report.entry_lines) else None)
        if not FLOOR <= self.totals().balance <= PURSE:
            self._level()

    def refuse_open(self, report: Report) -> None:
        """Refuses every Request that is open."""
        opened = sum(line.state == EntryState.OPEN for line in report.entry_lines)
        for _ in range(opened):
            request = parse(Request, self.ok(ResendOpenRequest(0))).message
            self.ok(Refuse(request.hash))

    def settle(self, seen: Report | None = None) -> None:
        """Report and grant: everything acknowledged, final slots and entries free. `seen`: a REPORT of just now."""
        report = seen or self.report()
        totals = (report.total_out, report.total_in, report.next_n)
        now = self.totals()
        if any(report.slot_lines) or any(report.entry_lines) or totals != (now.out_acked, now.in_acked, now.n_acked):
            self.ok_plain(TakeGrant(grant_for(report, self.lab.operator)))

    def _level(self) -> None:
        """Some value, neither too little nor too much."""
        balance = self.totals().balance
        if balance < FLOOR:
            self.load(PURSE - balance)
        else:
            self.pay(balance - PURSE)
        self.settle()
