"""Value from purse to purse over two readers, both sides offline (docs/spec/transfer.md, *Both sides offline*).

    payee REQUEST ──► payer PAY ──► payee COLLECT ──► payer ACKNOWLEDGE

The terminal keeps nothing: whatever was interrupted, and wherever, is read back from the two purses, and the same call
finishes it. A Request whose answer is unknown is finished, or REFUSED by the payee, before anything new (rule 9). What
a purse has not answered is OutcomeUnknownError: tap both again. Every message is verified inside the purses; here it
is only carried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import CardError, MismatchError, PurseRefusal, Refused, TransportError
from wallet_core.ids import HASH_SIZE
from wallet_core.messages import Receipt, Request, Signed, Voucher, parse
from wallet_core.purse.state import SlotState

from .driver import HardWallet

AskPin = Callable[[], str | None]
"""Called when the payer wants its PIN, once a payment; None leaves the Request open for the next run."""

_NEVER_COLLECTED: Final = (Refused.REQUEST_CLOSED, Refused.PAYEE_CLASS, Refused.CERTIFICATE, Refused.SIGNATURE)


@dataclass(frozen=True, slots=True)
class Transferred:
    """The payee has the value. `receipt`: its signed bytes, None where a grant let the payee forget them.

    `acknowledged`: the payer has heard it; if not, its slot stays PENDING until the two meet again or it goes online.
    """

    voucher: Signed[Voucher]
    receipt: bytes | None
    acknowledged: bool

    @property
    def amount(self) -> int:
        return self.voucher.message.amount


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The payee never takes this. `refusal`: its signed bytes; `returned`: fen that the payer has back, 0 if unpaid.

    `reason`: why the payee would not collect; None where the payer had paid nothing.
    """

    request_hash: bytes
    refusal: bytes
    returned: int
    reason: Refused | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """What `finish` found open between two purses, and how it ended.

    `left`: paid, and the payee has forgotten the Request: a grant has acknowledged its outcome, so the payer's own
    operator knows it.
    """

    transferred: tuple[Transferred, ...]
    given_up: tuple[GivenUp, ...]
    left: tuple[Signed[Voucher], ...] = ()


def no_pin() -> str | None:
    return None


def transfer(
    payer: HardWallet,
    payee: HardWallet,
    amount: int,
    order_hash: bytes | None = None,
    *,
    ask_pin: AskPin = no_pin,
) -> Transferred:
    """Move `amount` fen; what is open between the two is ended first, and if it is this transfer it *is* this one.

    `order_hash` (32 bytes) tells transfers apart: the same amount under the same hash moves once, as long as the
    payer's slot remembers it. Without it, an interrupted transfer of this amount is this one, and a finished one is
    not. An open Request for anything else that is not yet paid is REFUSED: nobody asks for it any more.

    Raises PurseRefusal (nothing moved now, and no Request is left open, except after PIN_REQUIRED; REQUEST_CLOSED also
    where this transfer was paid and the payee has forgotten how it ended), CardError (63Cx: wrong PIN),
    OutcomeUnknownError and other TransportErrors (do the same again), MismatchError.
    """
    pair = _Pair(payer, payee)
    this: Transferred | None = None
    is_forgotten = False
    for voucher, state in pair.vouchers():
        is_this = pair.answers(voucher, amount, order_hash)
        if state is SlotState.PENDING:
            ended = pair.settle(voucher)
            if is_this and isinstance(ended, Transferred):
                this = ended
            is_forgotten |= is_this and ended is None
        elif state is SlotState.COLLECTED and is_this and order_hash is not None:
            this = Transferred(voucher, pair.stored_receipt(voucher), acknowledged=True)
    if this is not None:
        return this
    if is_forgotten:  # collected or refused: the purses do not know any more, and to pay again might be to pay twice
        raise PurseRefusal(
            Refused.REQUEST_CLOSED,
            "the payee has forgotten this Request, and the payer has not heard how it ended",
            next_step="Bring the payer's card online: what the payee has refused comes back. Another order moves anew.",
        )
    paid = pair.pay_resumed(amount, order_hash, ask_pin)
    if paid is None:
        paid = pair.pay_or_refuse(pair.ask(amount, order_hash or bytes(HASH_SIZE)), ask_pin)
    ended = pair.settle(paid)
    if isinstance(ended, Transferred):
        return ended
    reason = Refused.REQUEST_CLOSED if ended is None else ended.reason or Refused.REQUEST_CLOSED
    raise PurseRefusal(
        reason,
        f"the payee refuses to collect: {reason.name.lower().replace('_', ' ')}",
        next_step="The payer has its value back." if ended else "Bring the payer's card online.",
    )


def finish(payer: HardWallet, payee: HardWallet, *, ask_pin: AskPin = no_pin) -> Finished:
    """End what is open between two purses: collect and acknowledge what was paid, pay what was asked and not answered.

    A Request whose counter has passed is REFUSED: STALE proves that it charged nothing. So is one whose payment the
    payer's operator has given back (its stored voucher must not be collected any more). Raises what `transfer` raises;
    another refusal of the payer (limits, PIN) leaves the Request open: pay it later, or `give_up`.
    """
    pair = _Pair(payer, payee)
    transferred: list[Transferred] = []
    given_up: list[GivenUp] = []
    left: list[Signed[Voucher]] = []

    def settle(voucher: Signed[Voucher]) -> None:
        ended = pair.settle(voucher)
        if isinstance(ended, Transferred):
            transferred.append(ended)
        elif ended is not None:
            given_up.append(ended)
        else:
            left.append(voucher)

    returned: set[bytes] = set()
    for voucher, state in pair.vouchers():
        if state is SlotState.PENDING:
            settle(voucher)
        elif state is SlotState.REVERSED:
            returned.add(voucher.message.request_hash)
    for request in pair.open_requests():
        try:
            paid = None if request.hash in returned else pair.pay(request, ask_pin)
        except PurseRefusal as refusal:
            if refusal.reason is not Refused.STALE:
                raise
            paid = None
        if paid is None:
            given_up.append(GivenUp(request.hash, payee.refuse(request.hash), 0))
        else:
            settle(paid)
    return Finished(tuple(transferred), tuple(given_up), tuple(left))


def give_up(payer: HardWallet, payee: HardWallet, request_hash: bytes) -> GivenUp:
    """The payee refuses this Request for good; then the payer, if it had paid, takes its value back.

    Raises PurseRefusal REQUEST_CLOSED where the payee has collected it already, or does not know it (any more).
    """
    return _Pair(payer, payee).refuse(request_hash)


class _Pair:
    """Two selected purses, with what each tells the other about itself."""

    def __init__(self, payer: HardWallet, payee: HardWallet) -> None:
        self._payer, self._payee = payer, payee
        self._payer_fci, self._payee_fci = payer.select(), payee.select()
        if self._payer_fci.purse_id == self._payee_fci.purse_id:
            raise PurseRefusal(Refused.SELF_PAYMENT, "both readers show the same purse")
        self._payer_papers = payer.certificate(), payer.operator_certificate()
        self._payee_papers = payee.certificate(), payee.operator_certificate()
        payee_class = Certificate.from_bytes(self._payee_papers[0]).subject_class
        self._to_card = payee_class is CertificateClass.HARD_WALLET

    def vouchers(self) -> list[tuple[Signed[Voucher], SlotState]]:
        """What the payer holds for this payee, oldest first, with the state of its slot."""
        held = self._payer.resend_to(self._payee_fci.purse_id)
        states = {slot.n: slot.state for slot in self._payer.slots()} if held else {}
        parsed = [parse(Voucher, one) for one in held]
        return [(one, states.get(one.message.n, SlotState.FREE)) for one in parsed]

    def open_requests(self) -> list[Signed[Request]]:
        """The payee's OPEN Requests to this payer; those to others are not ours to end."""
        asked = [parse(Request, one) for one in self._payee.open_requests()]
        payer = (self._payer_fci.purse_id, self._payer_fci.epoch)
        return [one for one in asked if (one.message.payer, one.message.epoch) == payer]

    def answers(self, voucher: Signed[Voucher], amount: int, order_hash: bytes | None) -> bool:
        """Whether this voucher is of this transfer: it names H(Request), which the order hash is a part of."""
        paid = voucher.message
        if order_hash is None or paid.amount != amount:
            return paid.amount == amount
        asked = Request(
            suite=paid.suite,
            payer=paid.payer,
            epoch=paid.epoch,
            n=paid.n,
            payee=paid.payee,
            k=paid.k,
            amount=amount,
            order_hash=order_hash,
        )
        return asked.hash == paid.request_hash

    def pay_resumed(self, amount: int, order_hash: bytes | None, ask_pin: AskPin) -> Signed[Voucher] | None:
        """PAY the open Request of this transfer, where one can still be paid; all other Requests are REFUSED first."""
        this: Signed[Request] | None = None
        for request in self.open_requests():
            asked = request.message
            is_this = asked.amount == amount and order_hash in (None, asked.order_hash)
            if this is None and is_this and asked.n == self._payer_fci.next_n:
                this = request
            else:
                self._payee.refuse(request.hash)
        if this is not None and self._to_card:
            this = self._asked_with_papers(this)
        return None if this is None else self.pay_or_refuse(this, ask_pin)

    def _asked_with_papers(self, request: Signed[Request]) -> Signed[Request]:
        """This open Request, if the card has made it with the payer's certificate; if not it would be paid and never
        collected, and whoever left it there had only to ask: it is REFUSED, and the same question put as it should be.
        """
        question = request.message.amount, request.message.order_hash
        try:
            asked = self.ask(*question)
        except PurseRefusal:  # perhaps for want of the very room that the other one takes
            self._payee.refuse(request.hash)
            return self.ask(*question)
        if asked.hash != request.hash:
            self._payee.refuse(request.hash)
        return asked

    def ask(self, amount: int, order_hash: bytes) -> Signed[Request]:
        """REQUEST; a card asks with the payer's certificate, so that its policy decides from whom it takes value."""
        fci = self._payer_fci
        question = (fci.purse_id, fci.epoch, fci.next_n, amount, order_hash)
        if self._to_card:
            return parse(Request, self._payee.request_verified(*question, *self._payer_papers))
        return parse(Request, self._payee.request(*question))

    def pay(self, request: Signed[Request], ask_pin: AskPin) -> Signed[Voucher]:
        """PAY, once more with the PIN where the payer wants it; what the payer refuses leaves the Request open."""
        try:
            return self._pay(request)
        except PurseRefusal as refusal:
            pin = ask_pin() if refusal.reason is Refused.PIN_REQUIRED else None
            if pin is None:
                raise
        if self._payer.select().purse_id != self._payer_fci.purse_id:  # cards are swapped without a sound
            raise MismatchError("another card than the payer's is in its reader")
        self._payer.verify_pin(pin)
        return self._pay(request)

    def pay_or_refuse(self, request: Signed[Request], ask_pin: AskPin) -> Signed[Voucher]:
        """PAY; a Request that the payer refuses gives its headroom back. After PIN_REQUIRED the PIN may still come."""
        try:
            return self.pay(request, ask_pin)
        except PurseRefusal as refusal:
            if refusal.reason is not Refused.PIN_REQUIRED:
                self._payee.refuse(request.hash)
            raise

    def settle(self, voucher: Signed[Voucher]) -> Transferred | GivenUp | None:
        """COLLECT, then ACKNOWLEDGE; where the payee will never take it, its Refusal gives the value back.

        None: the payee has forgotten this Request.
        """
        try:
            receipt = self._payee.collect(voucher.to_bytes(), *self._payer_papers)
        except PurseRefusal as refusal:
            if refusal.reason not in _NEVER_COLLECTED:
                raise
            return self._returned(voucher, refusal.reason)
        if parse(Receipt, receipt).message.voucher_hash != voucher.hash:
            raise MismatchError("the payee's Receipt is for another voucher")
        return Transferred(voucher, receipt, self._acknowledged(receipt))

    def stored_receipt(self, voucher: Signed[Voucher]) -> bytes | None:
        """None where the payee has forgotten: a card then does not know either that it asked for a card's value."""
        try:
            return self._payee.collect(voucher.to_bytes(), *self._payer_papers)
        except PurseRefusal as refusal:
            if refusal.reason not in (Refused.REQUEST_CLOSED, Refused.PAYEE_CLASS):
                raise
            return None

    def refuse(self, request_hash: bytes, reason: Refused | None = None) -> GivenUp:
        """REFUSE at the payee, durable; only then the payer gets its value back."""
        refusal = self._payee.refuse(request_hash)
        before = self._payer.totals().total_reversed
        try:
            self._payer.acknowledge_refusal(refusal, *self._payee_papers)
        except PurseRefusal as unpaid:
            if unpaid.reason is not Refused.NOT_FOUND:
                raise
        return GivenUp(request_hash, refusal, self._payer.totals().total_reversed - before, reason)

    def _returned(self, voucher: Signed[Voucher], reason: Refused) -> GivenUp | None:
        try:
            return self.refuse(voucher.message.request_hash, reason)
        except PurseRefusal as refusal:
            if refusal.reason is not Refused.REQUEST_CLOSED:
                raise
            return None

    def _pay(self, request: Signed[Request]) -> Signed[Voucher]:
        """Verified by the payer above its threshold; and a card to a card always, so that its policy decides, too."""
        if self._to_card or request.message.amount > self._payer_fci.payee_threshold:
            paid = self._payer.pay_verified(request.to_bytes(), *self._payee_papers)
        else:
            paid = self._payer.pay(request.message.to_payload())
        voucher = parse(Voucher, paid)
        if voucher.message.request_hash != request.hash:
            raise MismatchError("the payer's voucher answers another Request")
        return voucher

    def _acknowledged(self, receipt: bytes) -> bool:
        """Whether the payer has heard. The value has moved already: what goes wrong here undoes nothing."""
        try:
            self._payer.acknowledge(receipt, *self._payee_papers)
        except PurseRefusal as refusal:
            if refusal.reason is Refused.OUTCOME_FINAL:
                raise
            return refusal.reason is Refused.NOT_FOUND  # freed by a grant, which knew the outcome already
        except (TransportError, CardError):
            return False
        return True
