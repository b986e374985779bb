"""How much each benchmark does: full for the published figures, quick to look, tiny for the smoke test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rounds:
    """`count` steady rounds are wanted, `spare` more are tried; `max_drift`: how far a control may move in a round."""

    count: int
    spare: int
    max_drift: float = 0.15


@dataclass(frozen=True, slots=True)
class Sizes:
    """`batches`: for each till and round, `vouchers` in each; `cards`: purses that pay them, at random."""

    settle: Rounds
    tills: int
    batches: int
    vouchers: int
    cards: int
    tap: Rounds
    taps: int
    exchanges: int

    @property
    def round_vouchers(self) -> int:
        """Vouchers of one round, all tills together."""
        return self.tills * self.batches * self.vouchers


FULL = Sizes(Rounds(7, 5), tills=4, batches=10, vouchers=1000, cards=4000, tap=Rounds(7, 5), taps=40, exchanges=1000)
QUICK = Sizes(Rounds(3, 4), tills=4, batches=4, vouchers=1000, cards=2000, tap=Rounds(3, 4), taps=20, exchanges=300)
TINY = Sizes(
    Rounds(1, 0, 10.0), tills=2, batches=2, vouchers=40, cards=16, tap=Rounds(1, 0, 10.0), taps=2, exchanges=10
)
