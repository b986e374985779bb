"""Unloading a purse at a desk: it pays the operator's purse, which pays out (docs/spec/http.md, *Unloads*).

    operator's purse: Request ──► purse: PAY, payee verified ──► server: Receipt, paid out ──► purse: ACKNOWLEDGE

Nothing is kept here: the idempotency key follows from purse, counter and amount, so that whoever finds the voucher in
the purse finds its unload again, and an unload that was interrupted anywhere is finished by doing it again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from wallet_core.errors import CardError, MismatchError, PurseRefusal, Refused, SettlementError, TransportError
from wallet_core.messages import Request, Signed, Voucher, parse
from wallet_core.purse.state import SlotState

from .data_objects import Fci
from .driver import HardWallet
from .operator_client import OperatorClient, UnloadOrder
from .purse_transfer import AskPin, no_pin

NOT_COVERED: Final = "not-covered"  # the voucher is kept and paid out once it is
REVOKED: Final = "revoked"  # nothing new begins with this purse; what was begun is finished (rule 10)
_KEY: Final = b"ecny-unload-key-1"


@dataclass(frozen=True, slots=True)
class Unloaded:
    """`amount`: fen paid by the purse for the unload that was asked for; `finished`: for interrupted ones of others.

    `receipt`: the operator purse's signed bytes; None while the payout waits, because the operator has not seen yet
    what the purse had received: it is made with the report that shows it, and nothing is to be done again.
    `acknowledged`: the purse has heard the Receipt; if not, a grant will tell it.
    """

    amount: int
    receipt: bytes | None
    acknowledged: bool
    finished: tuple[int, ...] = ()


def unload_purse(wallet: HardWallet, server: OperatorClient, amount: int, *, ask_pin: AskPin = no_pin) -> Unloaded:
    """Pay `amount` fen out of the purse; an interrupted unload of this amount *is* this one.

    Raises PurseRefusal (nothing was paid), CardError, TransportError, SettlementError: do it again.
    """
    fci = wallet.select()
    try:
        order = _begin(server, fci, fci.next_n, amount)
    except SettlementError as refused:
        paid = _paid_before(wallet, server, fci, amount) if refused.problem == REVOKED else None
        if paid is None:
            raise
        return _deliver(wallet, server, *paid)
    request = parse(Request, order.request)
    this: Unloaded | None = None
    finished: list[int] = []
    for voucher in _pending(wallet, request.message.payee):
        begun = _begin(server, fci, voucher.message.n, voucher.message.amount)
        if parse(Request, begun.request).hash != voucher.message.request_hash:
            continue  # begun in another way: its report brings it in, and a grant its outcome
        done = _deliver(wallet, server, begun, voucher)
        if this is None and done.amount == amount:
            this = done
        else:
            finished.append(done.amount)
    if this is None:
        this = _deliver(wallet, server, order, _pay(wallet, fci, order, request, ask_pin))
    return Unloaded(this.amount, this.receipt, this.acknowledged, tuple(finished))


def _begin(server: OperatorClient, fci: Fci, n: int, amount: int) -> UnloadOrder:
    about = fci.purse_id + fci.epoch.to_bytes(4, "big") + n.to_bytes(4, "big") + amount.to_bytes(8, "big")
    key = hashlib.sha256(_KEY + about).hexdigest()
    return server.begin_unload(fci.purse_id, fci.epoch, n, amount, key)


def _paid_before(
    wallet: HardWallet, server: OperatorClient, fci: Fci, amount: int
) -> tuple[UnloadOrder, Signed[Voucher]] | None:
    """The unload of this amount that a purse has paid before it was frozen or revoked, oldest first."""
    for slot in sorted(wallet.slots(), key=lambda one: one.n):
        if slot.state is not SlotState.PENDING:
            continue
        try:
            order = _begin(server, fci, slot.n, amount)
            return order, parse(Voucher, wallet.resend(parse(Request, order.request).hash))
        except SettlementError as unknown:
            if unknown.problem != REVOKED:
                raise
        except PurseRefusal as other:
            if other.reason is not Refused.NOT_FOUND:
                raise
    return None


def _pending(wallet: HardWallet, payee: bytes) -> list[Signed[Voucher]]:
    """What the purse has paid to the operator's purse and has no outcome of, oldest first."""
    held = wallet.resend_to(payee)
    states = {slot.n: slot.state for slot in wallet.slots()} if held else {}
    parsed = [parse(Voucher, one) for one in held]
    return [one for one in parsed if states.get(one.message.n) is SlotState.PENDING]


def _pay(
    wallet: HardWallet, fci: Fci, order: UnloadOrder, request: Signed[Request], ask_pin: AskPin
) -> Signed[Voucher]:
    papers = order.payee_certificate, order.operator_certificate
    try:
        paid = wallet.pay_verified(order.request, *papers)
    except PurseRefusal as refusal:
        pin = ask_pin() if refusal.reason is Refused.PIN_REQUIRED else None
        if pin is None:
            raise
        if wallet.select().purse_id != fci.purse_id:  # cards are swapped without a sound
            raise MismatchError("another card is in the reader") from refusal
        wallet.verify_pin(pin)
        paid = wallet.pay_verified(order.request, *papers)
    voucher = parse(Voucher, paid)
    if voucher.message.request_hash != request.hash:
        raise MismatchError("the purse's voucher answers another Request")
    return voucher


def _deliver(wallet: HardWallet, server: OperatorClient, order: UnloadOrder, voucher: Signed[Voucher]) -> Unloaded:
    try:
        paid = server.pay_out(order.unload, voucher.to_bytes())
    except SettlementError as waits:
        if waits.problem != NOT_COVERED:
            raise
        return Unloaded(voucher.message.amount, None, acknowledged=False)
    acknowledged = True
    try:
        wallet.acknowledge(paid.receipt, paid.payee_certificate, paid.operator_certificate)
    except PurseRefusal as refusal:
        if refusal.reason is not Refused.NOT_FOUND:
            raise
    except (TransportError, CardError):  # it is paid out: a grant will tell the purse
        acknowledged = False
    return Unloaded(voucher.message.amount, paid.receipt, acknowledged)
