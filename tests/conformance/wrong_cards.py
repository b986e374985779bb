"""Cards with one small fault each, as a card maker could make it: each must be red under its own requirement alone.

A wrong card is the emulator with one decision, one order or one figure changed: in its vault or card OS for a power
session (`spoil`), or in the modules that decide, while it computes (`patches`). The docstring says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, ClassVar, cast
from unittest.mock import patch

from hardware.apdu import CommandApdu, ResponseApdu
from hardware.commands import Activate
from hardware.emulator import applet, endings, setup, transfers
from hardware.emulator.card import EmulatedCard
from hardware.emulator.card_os import CardOs
from hardware.emulator.flash import Power
from hardware.emulator.vault import Vault, check_signature
from hardware.exchange import CHAINING_BIT
from hardware.instructions import Ins, Store
from hardware.pin import check_pin_block
from hardware.status_words import SW
from wallet_core.certificates import PURSES, Certificate, CertificateClass
from wallet_core.errors import CardError, CodecError, PurseRefusal, Refused
from wallet_core.messages import CertificationRequest, Receipt, Refusal, Voucher, parse
from wallet_core.messages.ending import EntryLine
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse import control, receive, settle, spend
from wallet_core.purse.state import Entry, EntryState, Lifecycle, PurseState, SlotState

Patch = tuple[Any, str, Any]


class WrongCard(EmulatedCard):
    """The emulator, but for what a subclass changes. `requirement`: the one that it breaks."""

    requirement: ClassVar[str]

    def power_on(self, power: Power | None = None) -> bytes:
        atr = super().power_on(power)
        self.spoil()
        return atr

    def transmit(self, command: bytes) -> bytes:
        with ExitStack() as stack:
            for target, name, value in self.patches(command):
                stack.enter_context(patch.object(target, name, value))
            return super().transmit(command)

    def spoil(self) -> None:
        """Change vault or card OS of the power session that has begun."""

    def patches(self, command: bytes) -> Iterator[Patch]:
        """What is replaced while the card computes this command: object, name, value."""
        return iter(())

    @property
    def inside(self) -> Any:
        """The vault, whose parts a wrong card replaces."""
        return cast(Vault, self._vault)

    @property
    def os(self) -> Any:
        return cast(CardOs, self._os)


class AnswersBeforeCommit(WrongCard):
    """PAY is answered first and committed with the next command: what the power takes in between was never paid."""

    requirement = "ECNY-ATM-01"

    def spoil(self) -> None:
        self.waiting: list[Any] = []
        self.commit = self.inside.memory.commit
        self.inside.memory.commit = self.later

    def later(self, record: Any) -> None:
        if self.paying:
            self.waiting = [record]
        else:
            self.commit(record)

    def transmit(self, command: bytes) -> bytes:
        self.paying = command[1] == Ins.PAY
        for record in self.waiting:
            self.commit(record)
        self.waiting = []
        return super().transmit(command)


class SecondVoucher(WrongCard):
    """PAY sent again signs a second Voucher, with another audit block, for the one Request."""

    requirement = "ECNY-PAY-04"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right = transfers._debit

        def debit(vault: Vault, decision: Any) -> bytes:
            if isinstance(decision, spend.Stored):
                return vault.sign(replace(parse(Voucher, decision.voucher).message, audit=vault.random(48)))
            return right(vault, decision)

        yield transfers, "_debit", debit


class DebitsAgain(WrongCard):
    """PAY sent again answers the stored Voucher, and takes the amount once more."""

    requirement = "ECNY-PAY-05"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right = transfers._debit

        def debit(vault: Vault, decision: Any) -> bytes:
            if isinstance(decision, spend.Stored):
                amount = parse(Voucher, decision.voucher).message.amount
                vault.commit_state(replace(vault.state, total_out=vault.state.total_out + amount))
            return right(vault, decision)

        yield transfers, "_debit", debit


class UsedCounter(WrongCard):
    """A Request at the counter before the next one is paid, too: two Vouchers with one counter."""

    requirement = "ECNY-PAY-07"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right = spend.pay

        def pay(state: PurseState, purse_id: bytes, policy: Any, request: Any, **rest: Any) -> Any:
            try:
                return right(state, purse_id, policy, request, **rest)
            except PurseRefusal as refusal:
                if refusal.reason is not Refused.STALE or request.n != state.next_n - 1:
                    raise
                return right(replace(state, next_n=request.n), purse_id, policy, request, **rest)

        yield spend, "pay", pay


class NoAmount(WrongCard):
    """PAY of 0 fen is done."""

    requirement = "ECNY-PAY-14"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right = spend._check_limits
        yield spend, "_check_limits", lambda state, policy, amount: right(state, policy, amount) if amount else None


class LimitIsTooMuch(WrongCard):
    """A payment of exactly the limit for one transfer is refused."""

    requirement = "ECNY-PAY-16"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right = spend._check_limits

        def check(state: PurseState, policy: Any, amount: int) -> None:
            if amount == policy.transfer_limit < MAX_MINOR_UNITS:
                raise PurseRefusal(Refused.TRANSFER_LIMIT)
            right(state, policy, amount)

        yield spend, "_check_limits", check


class OtherOrder(WrongCard):
    """The offline total is looked at before the limit for one transfer."""

    requirement = "ECNY-PRE-02"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right = spend._check_limits

        def check(state: PurseState, policy: Any, amount: int) -> None:
            if state.total_out + amount < 2**53 and amount and state.exposure + amount > policy.offline_total:
                raise PurseRefusal(Refused.OFFLINE_TOTAL)
            right(state, policy, amount)

        yield spend, "_check_limits", check


class WrongAudit(WrongCard):
    """The audit block holds the total paid before this payment, not after it."""

    requirement = "ECNY-PAY-02"

    def spoil(self) -> None:
        seal, vault = self.inside.seal, self.inside
        vault.seal = lambda audit: seal(replace(audit, total_out=vault.state.total_out))


class TryIsNotDurable(WrongCard):
    """VERIFY counts the try in RAM alone before it compares: power off and on gives it back."""

    requirement = "ECNY-PIN-03"

    def spoil(self) -> None:
        self.commit = self.inside.memory.commit

    def transmit(self, command: bytes) -> bytes:
        self.inside.memory.commit = self.fewer if command[1] == Ins.VERIFY else self.commit
        return super().transmit(command)

    def fewer(self, record: Any) -> None:
        if record.purse.pin_tries >= self.inside.state.pin_tries:
            self.commit(record)


class NoPinCosts(WrongCard):
    """What is no PIN block uses up a try."""

    requirement = "ECNY-PIN-05"

    def patches(self, command: bytes) -> Iterator[Patch]:
        vault = self.inside

        def check(block: bytes) -> bytes:
            try:
                return check_pin_block(block)
            except CodecError:
                if vault.state.pin_tries:
                    vault.commit_state(control.begin_pin_check(vault.state))
                raise

        yield applet, "check_pin_block", check


class ManyPays(WrongCard):
    """A verification is good for any number of payments."""

    requirement = "ECNY-PIN-06"

    def transmit(self, command: bytes) -> bytes:
        before = self.inside.pin_verified
        answer = super().transmit(command)
        if command[1] == Ins.PAY and self._vault is not None:
            self._vault.pin_verified = before
        return answer


class RemembersVerification(WrongCard):
    """Power taken right after VERIFY does not end the verification."""

    requirement = "ECNY-PIN-07"
    last = b"\0\0"

    def spoil(self) -> None:
        self.inside.pin_verified = self.verified if self.last[1] == Ins.VERIFY else False
        self.last = b"\0\0"

    def transmit(self, command: bytes) -> bytes:
        answer = super().transmit(command)
        self.last, self.verified = command, self.inside.pin_verified
        return answer


class NoHeadroom(WrongCard):
    """OPEN Requests reserve nothing."""

    requirement = "ECNY-REQ-04"

    def patches(self, command: bytes) -> Iterator[Patch]:
        yield PurseState, "open_amount", 0


class AsksTwice(WrongCard):
    """The same question without certificates makes another Request while the first is open."""

    requirement = "ECNY-REQ-02"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right = receive._same_question

        def same(state: PurseState, *rest: Any) -> Entry | None:
            entry: Entry | None = right(state, *rest)
            plainly = entry is not None and entry.payer_class is None
            return None if plainly and state.lifecycle is Lifecycle.ACTIVE else entry

        yield receive, "_same_question", same


class ForgetsFinalEntries(WrongCard):
    """A full table gives up a refused entry that no grant has acknowledged."""

    requirement = "ECNY-REQ-06"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right = PurseState.free_entry

        def free_entry(state: PurseState) -> int | None:
            refused = (i for i, entry in enumerate(state.table) if entry.state is EntryState.REFUSED)
            free = right(state)
            return free if free is not None else next(refused, None)

        yield PurseState, "free_entry", free_entry


class CreditsUnverified(WrongCard):
    """A Voucher below one yuan is credited without its signature being looked at."""

    requirement = "ECNY-COL-06"

    def patches(self, command: bytes) -> Iterator[Patch]:

        def check(signed: Any, certificate: Any) -> None:
            if not (isinstance(signed.message, Voucher) and signed.message.amount < 100):
                check_signature(signed, certificate)

        yield transfers, "check_signature", check


class WrongReceipt(WrongCard):
    """The Receipt shows the total in from before the credit."""

    requirement = "ECNY-COL-02"

    def spoil(self) -> None:
        sign, vault = self.inside.sign, self.inside

        def before(message: Any) -> Any:
            return sign(replace(message, total_in=vault.state.total_in) if isinstance(message, Receipt) else message)

        vault.sign = before


class TakesFromAnyCard(WrongCard):
    """A hard wallet takes value from another that it has not asked with certificates."""

    requirement = "ECNY-COL-16"

    def patches(self, command: bytes) -> Iterator[Patch]:
        def asked(state: PurseState, voucher: Voucher, _: Any) -> bool:
            return any(entry.request_hash == voucher.request_hash for entry in state.table)

        yield receive, "_asked_of_class", asked


class TellsAnyone(WrongCard):
    """RESEND any tells without a PIN who was paid."""

    requirement = "ECNY-RES-04"

    def transmit(self, command: bytes) -> bytes:
        listing, before = command[1:3] == bytes((Ins.RESEND, 2)), self.inside.pin_verified
        self.inside.pin_verified = before or listing
        answer = super().transmit(command)
        if listing:
            self.inside.pin_verified = before
        return answer


class BelievesTills(WrongCard):
    """ACKNOWLEDGE takes a till's word for what became of a payment."""

    requirement = "ECNY-ACK-09"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right = settle.acknowledge

        def acknowledge(state: PurseState, message: Any, *, payee_class: CertificateClass, verify: Any) -> PurseState:
            a_purse = CertificateClass.MERCHANT_PURSE if payee_class is CertificateClass.TILL else payee_class
            return right(state, message, payee_class=a_purse, verify=verify)

        yield endings, "PURSES", (*PURSES, CertificateClass.TILL)
        yield settle, "acknowledge", acknowledge


class GivesBackAgain(WrongCard):
    """The same Refusal gives the amount back each time."""

    requirement = "ECNY-ACK-04"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right, vault = settle.is_acknowledged, self.inside

        def is_acknowledged(state: PurseState, message: Any) -> bool:
            again = right(state, message)
            if again and isinstance(message, Refusal):
                vault.commit_state(replace(state, total_reversed=state.total_reversed + 1))
            return again

        yield settle, "is_acknowledged", is_acknowledged


class ClearsPending(WrongCard):
    """A grant that names a PENDING slot as reversed frees it."""

    requirement = "ECNY-GRA-07"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right = settle._may_go

        def may_go(slot: Any, outcome: int | None) -> bool:
            return right(slot, outcome) or (slot.state is SlotState.PENDING and outcome == SlotState.REVERSED)

        yield settle, "_may_go", may_go


class ClearsOpen(WrongCard):
    """A grant that lists the k of an OPEN entry frees it."""

    requirement = "ECNY-GRA-09"

    def patches(self, command: bytes) -> Iterator[Patch]:
        if command[1] == Ins.GRANT:
            yield Entry, "is_final", property(lambda entry: entry.state is not EntryState.FREE)


class WrongEntryLine(WrongCard):
    """A REPORT shows H(Request) for a collected entry, too."""

    requirement = "ECNY-REP-03"

    def patches(self, command: bytes) -> Iterator[Patch]:
        yield settle, "_entry_line", lambda entry: EntryLine(entry.k, entry.state, entry.request_hash)


class WrongBalance(WrongCard):
    """C5 of SELECT forgets what was given back."""

    requirement = "ECNY-SEL-06"

    def patches(self, command: bytes) -> Iterator[Patch]:
        if command[1] == Ins.SELECT:
            yield PurseState, "balance", property(lambda state: max(0, state.total_in - state.total_out))


class PolicyFalls(WrongCard):
    """A policy with an older version is stored."""

    requirement = "ECNY-POL-03"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right = setup._check_policy

        def check(vault: Vault, signed: Any) -> None:
            try:
                right(vault, signed)
            except PurseRefusal as refusal:
                if refusal.reason is not Refused.WRONG_STATE or vault.policy is None:
                    raise

        yield setup, "_check_policy", check


class HighBit(WrongCard):
    """A number of a signature whose first bit is set comes out of DER one byte off."""

    requirement = "ECNY-MSG-02"

    def spoil(self) -> None:
        sign = self.inside.sign

        def shifted(message: Any) -> Any:
            data = sign(message)
            if isinstance(message, CertificationRequest) or data[-64] < 0x80:
                return data
            return data[:-64] + b"\0" + data[-64:-33] + data[-32:]

        self.inside.sign = shifted


class LosesTheRest(WrongCard):
    """GET RESPONSE for a part of the rest drops what is left of it."""

    requirement = "ECNY-ISO-08"

    def spoil(self) -> None:
        more = self.os._more

        def once(apdu: CommandApdu) -> ResponseApdu:
            response: ResponseApdu = more(apdu)
            self.os._rest = b""
            return response

        self.os._more = once


class KeepsTheRest(WrongCard):
    """The rest of an answer is still there after another command."""

    requirement = "ECNY-ISO-09"

    def spoil(self) -> None:
        respond = self.os._respond

        def keeping(raw: bytes) -> Any:
            before = self.os._rest
            response = respond(raw)
            self.os._rest = self.os._rest or (before if raw[1] == Ins.GET_DATA else b"")
            return response

        self.os._respond = keeping


class WholePieces(WrongCard):
    """COLLECT is understood in pieces of 255 bytes only."""

    requirement = "ECNY-ISO-05"

    def spoil(self) -> None:
        chained = self.os._chained

        def full(apdu: CommandApdu) -> Any:
            if apdu.cla & CHAINING_BIT and apdu.ins == Ins.COLLECT and len(apdu.data) != 255:
                raise CardError(SW.WRONG_LENGTH)
            return chained(apdu)

        self.os._chained = full


class ShortMac(WrongCard):
    """A C-MAC is compared over as many bytes as came."""

    requirement = "ECNY-SCP-07"

    def spoil(self) -> None:
        secured = self.os._secured

        def padded(apdu: CommandApdu) -> bytes:
            session = self.os._session
            if session is not None and 0 < len(apdu.data) < 8:
                chaining = session._chaining
                right = session.add_mac(replace(apdu, data=b"")).data
                session._chaining = chaining
                if right.startswith(apdu.data):
                    apdu = replace(apdu, data=right)
            answer: bytes = secured(apdu)
            return answer

        self.os._secured = padded


class AnyLevel(WrongCard):
    """EXTERNAL AUTHENTICATE opens a channel without encrypted answers, too: level 13."""

    requirement = "ECNY-SCP-04"

    def spoil(self) -> None:
        self.right = self.os._external_authenticate
        self.os._external_authenticate = self.authenticate

    def authenticate(self, apdu: CommandApdu) -> bytes:
        if apdu.p1 == 0x13 and self.os._initialised:
            self.os._initialised = False
            self.os._session = self.os._handshake.external_authenticate(apdu)
            return b""
        answer: bytes = self.right(apdu)
        return answer


class SelectKeepsChannel(WrongCard):
    """SELECT leaves the secure channel open."""

    requirement = "ECNY-SCP-16"

    def spoil(self) -> None:
        close: Callable[[], None] = self.os._close_channel
        self.os._close_channel = lambda: None if self.selecting else close()

    def transmit(self, command: bytes) -> bytes:
        self.selecting = command[1] == Ins.SELECT
        return super().transmit(command)


class WayBack(WrongCard):
    """A blocked card can be activated again."""

    requirement = "ECNY-LIF-10"

    def patches(self, command: bytes) -> Iterator[Patch]:
        states = applet.TABLE[Activate][1] | {Lifecycle.BLOCKED}
        table = {**applet.TABLE, Activate: (applet.TABLE[Activate][0], states)}
        yield applet, "TABLE", table
        yield control, "_NEXT", {**control._NEXT, Lifecycle.BLOCKED: {Lifecycle.ACTIVE, Lifecycle.TERMINATED}}


class BelievesOperators(WrongCard):
    """The signature of an operator certificate that names the right authority is not looked at."""

    requirement = "ECNY-PER-06"

    def patches(self, command: bytes) -> Iterator[Patch]:
        right = setup._check_operator

        def check(vault: Vault, certificate: Certificate) -> None:
            anchor = vault.certificate(Store.AUTHORITY_CERTIFICATE)
            named = anchor is not None and certificate.issuer == anchor.subject
            if not named or certificate.subject_class is not CertificateClass.OPERATOR:
                right(vault, certificate)

        yield setup, "_check_operator", check


ALL: tuple[type[WrongCard], ...] = tuple(WrongCard.__subclasses__())
