"""A purse brought online at the till: the same as `ecny card report`, with what this till can prove beside it.

The purse signs its Report and verifies whatever comes back; the till carries, and adds what it has on disk: vouchers
made out to itself and to its SAM, which a purse shows without a PIN, and the answers of the payees that it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import httpx

from hardware.driver import HardWallet
from hardware.operator_client import Answered, OperatorClient
from hardware.reporting import Reported, report_purse
from merchant_pos.identity import Identity
from merchant_pos.journal import Journal
from merchant_pos.ports import Step, no_step

MOST = 64  # of each kind that a report may bring along (docs/spec/http.md, *Reports*): the newest matter


class TillDesk(OperatorClient):
    """The operator's server for a till's purses: each report carries what the till has on disk about the purse."""

    def __init__(
        self,
        url: str,
        *,
        journal: Journal,
        timeout_s: float = 30.0,
        step: Step = no_step,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, timeout_s=timeout_s, transport=transport)
        self._journal = journal
        self._step = step
        self._vouchers: tuple[bytes, ...] = ()
        self._receipts: tuple[bytes, ...] = ()
        self._refusals: tuple[bytes, ...] = ()
        self._certificates: tuple[bytes, ...] = ()

    def bring(self, purse: bytes, shown: Iterable[bytes]) -> None:
        """From now on with what the journal has about `purse`, and with the vouchers that it has `shown`."""
        own = self._journal.transfers("payer = ? OR payee = ?", (purse, purse))
        parties = dict.fromkeys(party for one in own for party in (one.payer, one.payee))
        certificates = map(self._journal.certificate, parties)
        self._vouchers = (*(one.voucher for one in own if one.voucher is not None), *shown)
        self._receipts = tuple(one.receipt for one in own if one.receipt is not None)
        self._refusals = tuple(one.refusal for one in own if one.refusal is not None)
        self._certificates = tuple(body for body in certificates if body is not None)

    def report(
        self,
        report: bytes,
        *,
        vouchers: Sequence[bytes] = (),
        receipts: Sequence[bytes] = (),
        refusals: Sequence[bytes] = (),
        certificates: Sequence[bytes] = (),
    ) -> Answered:
        self._step("reported")
        answer = super().report(
            report,
            vouchers=_newest(self._vouchers, vouchers),
            receipts=_newest(self._receipts, receipts),
            refusals=_newest(self._refusals, refusals),
            certificates=_newest(self._certificates, certificates),
        )
        self._step("granted")
        return answer


def _newest(own: Sequence[bytes], brought: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys((*own, *brought)))[-MOST:]


def report(
    wallet: HardWallet, desk: TillDesk, identity: Identity, journal: Journal, pin: str | None = None
) -> Reported:
    """REPORT to the operator, its policy, orders and grant back into the purse. Run it again after any error.

    With the holder's `pin` every voucher goes along, whoever it is for. Raises what `hardware.reporting` raises.
    """
    purse = wallet.select().purse_id
    payees = dict.fromkeys((identity.id, *(one.sam for one in journal.transfers())))
    desk.bring(purse, [voucher for payee in payees for voucher in wallet.resend_to(payee)])
    return report_purse(wallet, desk, pin)
