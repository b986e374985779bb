"""What the operator is ready to lose and how long it waits; the rest follows from the cards' signed policy.

DATA/server/risk.json, if it is there, changes some of them: {"review_cap": fen, "allowance": fen, "grace_s": seconds,
"deposit_delay_s": seconds, "revocation_delay_s": seconds, "taps_per_day": number}.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from wallet_core.certificates import CertificateClass
from wallet_core.cli import read_bytes
from wallet_core.errors import ConfigurationError
from wallet_core.messages import Policy, SpendMode

RISK_FILE: Final = "risk.json"
DAY: Final = 86_400
_CHANGEABLE = ("review_cap", "allowance", "grace_s", "deposit_delay_s", "revocation_delay_s", "taps_per_day")


@dataclass(frozen=True, slots=True)
class RiskSettings:
    """Amounts in fen, times in seconds.

    `review_cap`: the most that `loss` pays to the good-faith payees of one card. `allowance`: how much more than its
    proved inflow any card may spend before its vouchers wait. `grace_s`: how long after a certificate's expiry a
    voucher may still turn up. `deposit_delay_s`: until a till hands in what it has taken; `revocation_delay_s`: until
    every till has a new revocation list; `taps_per_day`: how often one card can be shown in a day, all three for
    `ecny server loss-bound`. `late_inflow`: a card may spend what another purse has paid it before the operator has
    heard of that.
    """

    review_cap: int
    offline_total: int
    transfer_limit: int
    balance_limit: int
    late_inflow: bool
    allowance: int = 0
    grace_s: int = 30 * DAY
    deposit_delay_s: int = DAY
    revocation_delay_s: int = DAY
    taps_per_day: int = 200

    @classmethod
    def of_policy(cls, policy: Policy) -> RiskSettings:
        """The defaults: the review cap is the offline total."""
        other_payers = policy.payer_classes & ~(1 << CertificateClass.OPERATOR_PURSE)
        return cls(
            review_cap=policy.offline_total,
            offline_total=policy.offline_total,
            transfer_limit=policy.transfer_limit,
            balance_limit=policy.balance_limit,
            # A staged card spends only what a grant has acknowledged, and a load: both are in the books before.
            late_inflow=policy.mode is SpendMode.INTERMITTENT and bool(other_payers),
        )

    @classmethod
    def of_directory(cls, policy: Policy, directory: Path) -> RiskSettings:
        """The defaults, with what DATA/server/risk.json changes; raises ConfigurationError."""
        defaults = cls.of_policy(policy)
        file = directory / RISK_FILE
        if not file.exists():
            return defaults
        try:
            found: Any = json.loads(read_bytes(file, max_size=4096))
        except ValueError as exc:
            raise ConfigurationError(f"{file} is not JSON") from exc
        if not isinstance(found, dict) or not set(found) <= set(_CHANGEABLE):
            raise ConfigurationError(f"{file} may change {', '.join(_CHANGEABLE)}, and nothing else")
        if any(type(value) is not int or value < 0 for value in found.values()):
            raise ConfigurationError(f"every value in {file} is a whole number from 0")
        return replace(defaults, **found)
