"""A desk that carries a purse's report to its operator, and what the operator answers back into the purse.

It is a relay and no more: the purse signs the report and verifies all that comes back; the server verifies the report.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from explore.scripts import SERVER, Call, Response, Script
from explore.servers import Asked
from hardware.driver import HardWallet
from wallet_core.errors import PurseRefusal, Refused

ROUNDS = 2  # a grant after an order says so of the slot that the order has reversed


def carry_report(script: Script, purse: HardWallet, payees: Sequence[bytes], others: Sequence[bytes] = ()) -> str:
    """Report, orders, grant, and once more where orders have changed something. `payees`: whose vouchers the purse
    shows; `others`: certificates of parties that the server may not know yet."""
    purse.select()
    certificates = [purse.certificate(), *others]
    for _ in range(ROUNDS):
        report = purse.report()
        vouchers = [voucher for payee in payees for voucher in purse.resend_to(payee)]
        document = {
            "report": report.hex(),
            "vouchers": [voucher.hex() for voucher in vouchers],
            "certificates": [certificate.hex() for certificate in certificates],
        }
        reply = script.ask(Call(SERVER, Asked("POST", "/v1/reports", "application/json", _encoded(document))))
        if not isinstance(reply, Response) or reply.status != 200:
            return "no answer"
        answer = json.loads(reply.body)
        if answer["policy"] is not None:
            purse.store_policy(bytes.fromhex(answer["policy"]))
        done = sum(_reverse(purse, bytes.fromhex(order)) for order in answer["orders"])
        purse.grant(bytes.fromhex(answer["grant"]))
        if not done:
            return "granted"
    return "reversed"


def _reverse(purse: HardWallet, order: bytes) -> bool:
    """Whether the purse takes the order. An order that came late finds the slot ended: then it changes nothing."""
    try:
        purse.reverse(order)
    except PurseRefusal as refusal:
        if refusal.reason not in (Refused.NOT_FOUND, Refused.OUTCOME_FINAL):
            raise
        return False
    return True


def _encoded(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()
