"""What one broken secure element can cost at most, and whom (docs/spec/ledger.md, *Loss bound*)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from server.risk.settings import DAY, RiskSettings

NOT_BOUNDED: Final = (
    "That is a broken payer. A broken payee that signs a Receipt and a Refusal costs what it had\n"
    "received and spent until the contradiction reaches the server; the review cap does not bound that."
)
"""What the numbers leave out, for people: a payee takes what others choose to pay it, so no setting bounds it."""


@dataclass(frozen=True, slots=True)
class LossBound:
    """Of one card, fen: `minted` = `operator` + `merchants`."""

    taps_per_day: int
    transfer_limit: int
    seconds_unseen: int
    taps: int
    minted: int
    operator: int
    merchants: int

    @property
    def lines(self) -> tuple[tuple[str, int, str], ...]:
        """Name, number, unit."""
        return (
            ("payments that one card can make in a day", self.taps_per_day, "payments"),
            ("each of them at most", self.transfer_limit, "fen"),
            ("from the first false payment until every till refuses it", self.seconds_unseen, "s"),
            ("payments in that time", self.taps, "payments"),
            ("minted at most", self.minted, "fen"),
            ("of it the operator's, up to the review cap", self.operator, "fen"),
            ("of it the merchants'", self.merchants, "fen"),
        )


def loss_bound(risk: RiskSettings) -> LossBound:
    """The bound from policy, delays and review cap, of a broken payer.

    A broken element obeys no limit of its own; what bounds it is that a till takes no payment above the transfer limit,
    that it takes time to be shown, and that the first contradiction which is handed in puts it on the revocation list.
    """
    seconds = risk.deposit_delay_s + risk.revocation_delay_s
    taps = -(-risk.taps_per_day * seconds // DAY)
    minted = taps * risk.transfer_limit
    operator = min(minted, risk.review_cap)
    return LossBound(risk.taps_per_day, risk.transfer_limit, seconds, taps, minted, operator, minted - operator)
