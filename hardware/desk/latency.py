"""The time a real card would take, by hardware.tap_model: added to the answers of an emulated card.

A chip and a bit rate are chosen. An exchange lasts as long as its frames on the line, the chip's work, and the S(WTX)
that it asks for meanwhile. What a reader and a host add is theirs and is not counted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from hardware.apdu import HEADER
from hardware.desk.problems import DeskProblem
from hardware.tap_model import DIVISORS, PUBLISHED, Link, command_ms, exchange_ms, extension_ms, extensions

KBPS: Final = tuple(DIVISORS)


@dataclass(frozen=True, slots=True)
class Latency:
    """A published chip by its name, and the bit rate of the field in kbit/s."""

    chip: str
    kbps: int

    def exchange_ms(self, command: bytes, answer: bytes) -> float:
        """From the first bit of the command to the last of its answer, ms."""
        link, sent, received = Link(self.kbps), len(command), len(answer)
        ins, p1 = (command[1], command[2]) if sent >= HEADER else (0, 0)
        card_ms = command_ms(PUBLISHED[self.chip], ins, p1, sent, received)
        return exchange_ms(link, sent, received) + card_ms + extensions(link, card_ms) * extension_ms(link)

    def facts(self) -> dict[str, Any]:
        return {"chip": self.chip, "kbps": self.kbps, "name": PUBLISHED[self.chip].chip}


def chips() -> list[dict[str, Any]]:
    """What can be chosen, oldest first, each with the origin of its figures."""
    return [{"chip": name, "name": one.chip, "source": one.source} for name, one in PUBLISHED.items()]


def chosen(chip: str, kbps: int) -> Latency:
    """Raises DeskProblem `malformed`."""
    if chip not in PUBLISHED:
        raise DeskProblem("malformed", f"The chips are {', '.join(PUBLISHED)}.")
    if kbps not in KBPS:
        raise DeskProblem("malformed", f"The bit rates are {', '.join(map(str, KBPS))} kbit/s.")
    return Latency(chip, kbps)
