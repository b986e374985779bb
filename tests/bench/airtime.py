"""What went over the line in a tap: exchanges counted, and what `hardware.tap_model` makes of them in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.tap_model import CardTimes, Link, Setting, Shares, tap_shares
from hardware.tap_model.link import blocks
from hardware.tap_model.taps import Exchange


@dataclass(frozen=True, slots=True)
class Traffic:
    """The exchanges of one tap, and the P-256 operations that the card made for it."""

    exchanges: tuple[Exchange, ...]
    signatures: int
    verifications: int = 0

    @property
    def bytes_out(self) -> int:
        return sum(one.sent for one in self.exchanges)

    @property
    def bytes_in(self) -> int:
        return sum(one.received for one in self.exchanges)

    def blocks(self, link: Link) -> int:
        """I-blocks, both ways; all but the last of a chain are acknowledged."""
        return sum(blocks(one.sent, link.fsc) + blocks(one.received, link.fsd) for one in self.exchanges)

    def shares(self, times: CardTimes, link: Link, setting: Setting) -> Shares:
        return tap_shares(self.exchanges, times, link, setting)
