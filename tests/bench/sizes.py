"""How much each benchmark does: full for the published figures, quick to look, tiny for the smoke test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rounds:
    """`count` steady rounds are wanted, `least` must be, `spare` more are tried.

    `max_drift`: how far apart the two controls of a round may be, as a part of their mean; `max_elsewhere`: how many
    cores others may keep busy meanwhile.
    """

    count: int
    least: int
    spare: int
    max_drift: float = 0.15
    max_elsewhere: float = 0.1


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
    relay_taps: int

    @property
    def round_vouchers(self) -> int:
        """Vouchers of one round, all tills together."""
        return self.tills * self.batches * self.vouchers


_ANY = Rounds(count=1, least=1, spare=0, max_drift=10, max_elsewhere=1000)
_FEW = Rounds(count=3, least=1, spare=4)
_FULL = Rounds(count=5, least=3, spare=3)

FULL = Sizes(
    settle=_FULL, tills=4, batches=5, vouchers=1000, cards=1000, tap=_FULL, taps=100, exchanges=1000, relay_taps=400
)
QUICK = Sizes(
    settle=_FEW, tills=4, batches=3, vouchers=2000, cards=2000, tap=_FEW, taps=40, exchanges=300, relay_taps=150
)
TINY = Sizes(settle=_ANY, tills=2, batches=2, vouchers=40, cards=16, tap=_ANY, taps=2, exchanges=10, relay_taps=4)
