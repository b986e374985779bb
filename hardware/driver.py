"""The driver of a hard wallet: one method for each command of docs/spec/apdu.md, refusals as PurseRefusal.

Messages go in and out as the bytes that travel: whoever asks verifies them (a till its vouchers, the server its
Receipts), and what is stored is exactly what the card said. Every method may be called again after a lost answer, with
the effect of once. OutcomeUnknownError passes through: after it only `select` and the very same call make sense.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wallet_core.errors import CardError, CodecError, PurseRefusal, Refused, WrongAppletError
from wallet_core.messages import Policy, Request, Signed, parse

from . import commands as c
from . import ending_commands as endings
from .apdu import ResponseApdu
from .data_objects import AID, Fci, SlotStatus, Tag, Totals, slots_from_bytes
from .exchange import CardConnection, expect_selected
from .instructions import Command, Store
from .pin import pin_block
from .status_words import SW, describe, memory_unchanged, refusal, tries_left

_MOST: Final = 256  # of what P2 counts
_TAP_AGAIN: Final = "Whether the card acted is not known: TAP THE SAME CARD AGAIN, it acts at most once."

NEXT_STEPS: Final = {
    Refused.WRONG_STATE: "Use an active card.",
    Refused.WRONG_PURSE: "Read the card again.",
    Refused.STALE: "This Request charged nothing: ask with the card's next counter.",
    Refused.SLOTS_FULL: "Bring the card online.",
    Refused.COUNTERS_EXHAUSTED: "Have the card replaced.",
    Refused.PAYEE_UNVERIFIED: "Send the signed Request with the payee's certificates.",
    Refused.TRANSFER_LIMIT: "Pay less.",
    Refused.OFFLINE_TOTAL: "Bring the card online.",
    Refused.OFFLINE_COUNT: "Bring the card online.",
    Refused.INSUFFICIENT: "Load the card.",
    Refused.BALANCE_LIMIT: "Load less.",
    Refused.PIN_BLOCKED: "Have the card blocked and refunded at the operator; what was paid is not lost.",
    Refused.PIN_REQUIRED: "Enter the PIN and tap again.",
    Refused.OUTCOME_FINAL: "This message and an earlier one contradict each other: hand both to the operator.",
    Refused.POLICY_OLD: "Store the operator's policy first.",
}
"""What to do, where a purse's reason leaves something to do (docs/spec/statuses.md)."""


def answer_data(response: ResponseApdu, doing: str) -> bytes:
    """The response data of a 9000; raises PurseRefusal for a purse's reason, CardError for any other word."""
    if response.sw == SW.OK:
        return response.data
    reason = refusal(response.sw)
    if reason is not None:
        words = reason.name.lower().replace("_", " ")
        raise PurseRefusal(reason, f"the card refuses {doing}: {words}", next_step=NEXT_STEPS.get(reason))
    raise CardError(
        response.sw,
        f"the card answered {doing} with {response.sw:04X}: {describe(response.sw)}",
        next_step=None if is_promised(response.sw) else _TAP_AGAIN,
    )


def is_promised(sw: int) -> bool:
    """Whether this word says what became of the command: nothing at all, or (63Cx) a PIN try less and nothing else.

    ISO/IEC 7816-4, clause 5.6: 67XX to 6EXX are checking errors, found before a command does anything.
    """
    return memory_unchanged(sw) or tries_left(sw) is not None or 0x67 <= sw >> 8 <= 0x6E


def balance_after(fci: Fci, request: Request) -> int:
    """Fen left once `request` is paid, from the FCI read before PAY was sent.

    A card that has paid it already (the answer was lost) counts beyond it: its balance is the one after.
    """
    return fci.balance if fci.next_n > request.n else fci.balance - request.amount


class HardWallet:
    """The purse behind `connection`. Raises what `CardConnection.send` raises, PurseRefusal and CardError."""

    def __init__(self, connection: CardConnection) -> None:
        self.connection = connection

    def select(self) -> Fci:
        """SELECT; first after every power-up. Raises WrongAppletError when the card does not carry the purse."""
        data = expect_selected(self.connection.send(c.Select(AID).to_apdu()))
        try:
            return Fci.from_bytes(data)
        except CodecError as exc:
            raise WrongAppletError(SW.OK, f"the answer to SELECT is not a purse's: {exc.message}") from exc

    # What the purse tells anyone

    def data(self, tag: Tag) -> bytes:
        """GET DATA; raises PurseRefusal NOT_FOUND for an object that is not there yet."""
        return self._run(c.GetData(tag))

    def certificate(self) -> bytes:
        return self.data(Tag.PURSE_CERTIFICATE)

    def operator_certificate(self) -> bytes:
        return self.data(Tag.OPERATOR_CERTIFICATE)

    def authority_certificate(self) -> bytes:
        return self.data(Tag.AUTHORITY_CERTIFICATE)

    def policy(self) -> Signed[Policy]:
        """The policy in force, signature not verified. Raises CodecError."""
        return parse(Policy, self.data(Tag.POLICY))

    def totals(self) -> Totals:
        return Totals.from_bytes(self.data(Tag.TOTALS))

    def slots(self) -> tuple[SlotStatus, ...]:
        return slots_from_bytes(self.data(Tag.SLOTS))

    def serial(self) -> bytes:
        """Serial number, 8 bytes, known before personalisation."""
        return self.data(Tag.SERIAL)

    # Paying

    def verify_pin(self, pin: str) -> None:
        """VERIFY: lets one PAY pass the PIN. Raises CardError 63Cx (wrong, x tries left), PurseRefusal PIN_BLOCKED."""
        self._run(c.Verify(pin_block(pin)))

    def pay(self, request: bytes) -> bytes:
        """PAY a Request payload (138 bytes); the signed Voucher."""
        return self._run(c.Pay(request))

    def pay_verified(self, signed_request: bytes, certificate: bytes, operator_certificate: bytes) -> bytes:
        """PAY a signed Request whose payee the card verifies; the signed Voucher."""
        return self._run(c.PayVerified(signed_request, certificate, operator_certificate))

    def resend(self, request_hash: bytes) -> bytes:
        """The signed Voucher that answers this H(Request); raises PurseRefusal NOT_FOUND."""
        return self._run(c.ResendByRequest(request_hash))

    def resend_to(self, payee: bytes) -> tuple[bytes, ...]:
        """All signed Vouchers of this payee, oldest first."""
        return self._numbered(lambda index: c.ResendByPayee(payee, index))

    def vouchers(self) -> tuple[bytes, ...]:
        """All signed Vouchers, oldest first. Wants `verify_pin` before; raises PurseRefusal PIN_REQUIRED."""
        return self._numbered(c.ResendAny)

    # Being paid

    def request(self, payer: bytes, epoch: int, n: int, amount: int, order_hash: bytes) -> bytes:
        """REQUEST `amount` fen of `payer` at its counter (epoch, n): the signed Request, headroom reserved."""
        return self._run(c.MakeRequest(payer, epoch, n, amount, order_hash))

    def request_verified(
        self,
        payer: bytes,
        epoch: int,
        n: int,
        amount: int,
        order_hash: bytes,
        certificate: bytes,
        operator_certificate: bytes,
    ) -> bytes:
        """As `request`, with the payer's certificates: the purse's policy decides about its class before it asks."""
        question = c.MakeRequest(payer, epoch, n, amount, order_hash)
        return self._run(c.MakeRequestVerified(question, certificate, operator_certificate))

    def open_requests(self) -> tuple[bytes, ...]:
        """The signed Requests that are OPEN, oldest first."""
        return self._numbered(c.ResendOpenRequest)

    def collect(self, voucher: bytes, certificate: bytes, operator_certificate: bytes) -> bytes:
        """COLLECT a signed Voucher with its payer's certificates: the signed Receipt, value credited."""
        return self._run(c.Collect(voucher, certificate, operator_certificate))

    def refuse(self, request_hash: bytes) -> bytes:
        """REFUSE the open Request with this hash: the signed Refusal, headroom free again."""
        return self._run(c.Refuse(request_hash))

    # How what was paid ends. An outcome that the slot has already is no error; without such a slot it is NOT_FOUND

    def acknowledge(self, receipt: bytes, certificate: bytes, operator_certificate: bytes) -> None:
        """ACKNOWLEDGE the payee's signed Receipt with its certificates: its slot is COLLECTED."""
        self._run(endings.Acknowledge(receipt, certificate, operator_certificate))

    def acknowledge_refusal(self, refusal: bytes, certificate: bytes, operator_certificate: bytes) -> None:
        """ACKNOWLEDGE the payee's signed Refusal with its certificates: the slot is REVERSED, the value is back."""
        self._run(endings.AcknowledgeRefusal(refusal, certificate, operator_certificate))

    def reverse(self, order: bytes) -> None:
        """REVERSE by a signed ReversalOrder of the purse's own operator: the slot is REVERSED, the value is back."""
        self._run(endings.Reverse(order))

    def report(self) -> bytes:
        """REPORT: the signed Report of all that the purse holds; it changes nothing."""
        return self._run(endings.MakeReport())

    def grant(self, grant: bytes) -> None:
        """GRANT: a signed Grant of the purse's own operator; limits count anew, what is final makes room."""
        self._run(endings.TakeGrant(grant))

    # Upkeep

    def store_policy(self, signed_policy: bytes) -> None:
        """STORE DATA of a new policy on an active purse: its signature and rising version are enough."""
        self._run(c.StoreData(Store.POLICY, signed_policy))

    def run(self, command: Command) -> bytes:
        """Any command of the purse, for personalisation and tools."""
        return self._run(command)

    def close(self) -> None:
        self.connection.close()

    def _run(self, command: Command) -> bytes:
        return answer_data(self.connection.send(command.to_apdu()), command.NAME)

    def _numbered(self, command: Callable[[int], Command]) -> tuple[bytes, ...]:
        """Ask for numbers 0, 1, … until the card has no more."""
        found: list[bytes] = []
        while len(found) < _MOST:
            try:
                found.append(self._run(command(len(found))))
            except PurseRefusal as end:
                if end.reason is not Refused.NOT_FOUND:
                    raise
                break
        return tuple(found)
