"""The points at which tests end a till's process (docs/spec/till.md, *Crash points*), by what it does."""

from __future__ import annotations

CHARGE = ("card-read", "before-asked", "asked", "answered", "verified", "paid", "shown")
SYNC = ("before-frozen", "frozen", "before-sent", "answered", "verified", "settled")
TRANSFER = (
    *("sam-read", "card-read", "before-asking", "asking", "requested", "asked", "answered", "verified"),
    *("held", "collected", "paid", "shown", "acknowledged"),
)
UPKEEP = ("before-told", "told", "list-verified", "list-kept")
REPORT = ("reported", "granted")
OTHER = ("key-saved", "enrolled", "inherited", "unknown", "refused", "renewed")
ALL = frozenset((*CHARGE, *SYNC, *TRANSFER, *UPKEEP, *REPORT, *OTHER))
