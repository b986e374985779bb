"""A till that takes over from another one of its merchant: new key, new directory, what the old one has not settled.

A till restored from an old backup may not go on under its old key: its numbers have been used (docs/spec/transfer.md,
rule 12). Its vouchers are still worth what they say. The successor hands them in under its own key, and the server
credits each voucher once, whoever brings it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from merchant_pos.identity import JOURNAL_FILE, Identity, load_identity
from merchant_pos.journal import Journal
from merchant_pos.sales import Sale, SaleState
from merchant_pos.transfers import FINAL, Told, Transfer
from wallet_core.errors import ConfigurationError, OutcomeUnknownError
from wallet_core.messages import DepositStatus

SUCCESSOR_FACT = "successor"
PREDECESSOR_FACT = "predecessor"


@dataclass(frozen=True, slots=True)
class Inherited:
    """How many came over: vouchers and refusals to hand in, transfers of the SAM, certificates."""

    sales: int
    transfers: int
    certificates: int


class Predecessor:
    """The old till in its directory `till`; it keeps its files, and begins nothing any more once it is succeeded.

    Raises ConfigurationError where there is none, OutcomeUnknownError while a sale is open in it: only its own key can
    finish or refuse that.
    """

    def __init__(self, till: Path, now_ms: Callable[[], int]) -> None:
        self.identity = load_identity(till)
        self._journal = Journal(till / JOURNAL_FILE, till=self.identity.id, now_ms=now_ms)
        if self._journal.open_sale() is not None or self._journal.open_transfer() is not None:
            self._journal.close()
            raise OutcomeUnknownError(
                "a sale is open in the old till",
                next_step="Finish it there with `ecny pos resume`, or give it up with `ecny pos cancel`; then enrol.",
            )

    def close(self) -> None:
        self._journal.close()

    def hand_over(self, successor: Identity, journal: Journal) -> Inherited:
        """Copy what is not settled into the successor's `journal`; done twice it is done once."""
        if self.identity.operator.subject != successor.operator.subject:
            raise ConfigurationError("the new till has another operator: it cannot hand in what the old one took")
        taken = self._journal.fact(SUCCESSOR_FACT)
        if taken is not None and taken != successor.id:
            raise ConfigurationError(
                f"another till ({taken.hex()[:8]}) has succeeded this one already",
                next_step="Use that one; what it has not settled goes over from there.",
            )
        sales = [sale for sale in (*self._journal.inherited(), *self._journal.sales()) if _is_due(sale)]
        transfers = [one for one in self._journal.transfers() if _is_unfinished(one)]
        parties = dict.fromkeys(
            (*(sale.request.payer for sale in sales), *(id_ for one in transfers for id_ in (one.payer, one.payee)))
        )
        certificates = 0
        for subject, body, of_class in self._journal.certificates():
            if subject in parties:
                journal.keep_certificate(subject, of_class, body)
                certificates += 1
        came = Inherited(journal.inherit(sales), journal.adopt(transfers), certificates)
        journal.keep_fact(PREDECESSOR_FACT, self.identity.id)
        return came

    def retire(self, successor: Identity) -> None:
        """Write down in the old journal who has taken over: from then on it begins no sale and hands nothing in."""
        self._journal.keep_fact(SUCCESSOR_FACT, successor.id)


def require_not_succeeded(journal: Journal) -> None:
    """Raise ConfigurationError for the journal of a till that another one has succeeded."""
    successor = journal.fact(SUCCESSOR_FACT)
    if successor is not None:
        raise ConfigurationError(
            f"this till has been succeeded by till {successor.hex()[:8]}",
            next_step="Use that one: what was not settled here is handed in there.",
        )


def _is_due(sale: Sale) -> bool:
    """Paid and not settled for good, or refused and not told. What was sent may be settled: then it is, once."""
    if sale.state is SaleState.REFUSED:
        return sale.status is None
    if sale.state is SaleState.REJECTED:
        return sale.status == DepositStatus.REVIEW
    return sale.state in (SaleState.PAID, SaleState.SENT)


def _is_unfinished(transfer: Transfer) -> bool:
    """Undecided, not told, or with an answer that its payer has not heard; and each refund, which counts against the
    sale that it was for."""
    return transfer.request is not None and (
        transfer.state not in FINAL
        or transfer.told is not Told.ALL
        or not transfer.acknowledged
        or transfer.plan.original is not None
    )
