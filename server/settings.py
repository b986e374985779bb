"""What one server needs to run: keys, database, clock, randomness and limits, all passed in, nothing looked up."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from server.keyring import DATABASE, Keyring, load_keyring
from server.risk.settings import RiskSettings

Clock = Callable[[], int]
Entropy = Callable[[int], bytes]
Checkpoint = Callable[[str], None]

DAY = 86_400


def no_checkpoint(_name: str) -> None:
    """Nothing watches the steps."""


def system_clock() -> int:
    """Seconds since 1970."""
    return int(time.time())


@dataclass(frozen=True)
class Settings:
    """`clock`: seconds since 1970; `entropy(n)`: n unpredictable bytes; `workers`: processes that verify, 0 for none.

    `checkpoint` is told the name of each step of a deposit or load as it is reached (docs/spec/ledger.md, *Steps*):
    tests kill the process there. The limits of a card are in its signed policy, not here. `risk`: what the operator is
    ready to lose; None for what follows from the policy.
    """

    keyring: Keyring
    database: Path
    clock: Clock = system_clock
    entropy: Entropy = field(default=secrets.token_bytes, repr=False)
    workers: int = 2
    busy_timeout_ms: int = 5_000
    checkpoint: Checkpoint = no_checkpoint
    risk: RiskSettings | None = None
    card_lifetime_s: int = 3 * 365 * DAY
    till_lifetime_s: int = 365 * DAY
    code_lifetime_s: int = 7 * DAY

    @classmethod
    def of_directory(cls, directory: Path) -> Settings:
        """Settings for DATA/server; raises ConfigurationError when it is not installed."""
        keyring = load_keyring(directory)
        risk = RiskSettings.of_directory(keyring.policy.message, directory)
        return cls(keyring=keyring, database=directory / DATABASE, risk=risk)

    @property
    def ready_to_lose(self) -> RiskSettings:
        """`risk`, or the defaults of the cards' policy."""
        return self.risk if self.risk is not None else RiskSettings.of_policy(self.keyring.policy.message)
