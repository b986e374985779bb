"""How long a tap with a real card takes: a link of ISO/IEC 14443, a chip's published times, the commands counted."""

from hardware.tap_model.chips import CURRENT, PUBLISHED, CardTimes, chip
from hardware.tap_model.link import DIVISORS, Link, activation_ms, exchange_ms, extension_ms, extensions
from hardware.tap_model.taps import SCENES, TYPICAL, WORST, Setting, Shares, floor_shares, tap_shares
from hardware.tap_model.work import CardShare, command_ms, command_share

__all__ = [
    "CURRENT",
    "DIVISORS",
    "PUBLISHED",
    "SCENES",
    "TYPICAL",
    "WORST",
    "CardShare",
    "CardTimes",
    "Link",
    "Setting",
    "Shares",
    "activation_ms",
    "chip",
    "command_ms",
    "command_share",
    "exchange_ms",
    "extension_ms",
    "extensions",
    "floor_shares",
    "tap_shares",
]
