"""Policies as data: the limits of a profile with version, effective date and source; amounts in fen."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from wallet_core.certificates import CertificateClass
from wallet_core.errors import ConfigurationError
from wallet_core.messages import Policy, SpendMode
from wallet_core.suites import Suite

DEFAULT_PROFILE = "hk-visitor"
PROFILES: dict[CertificateClass, str] = {
    CertificateClass.HARD_WALLET: DEFAULT_PROFILE,
    CertificateClass.MERCHANT_PURSE: "merchant-sam",
}
"""The profile of each class of purse that is enrolled here."""


def policy(profile: str, operator: bytes, suite: Suite = Suite.ES256) -> Policy:
    """The unsigned policy of `operator`, whose keys are of `suite`, for purses of this profile.

    An operator's purses take nothing of a suite before its own. Raises ConfigurationError.
    """
    data = _data(profile)
    try:
        return Policy(
            suite=suite,
            operator=operator,
            version=data["version"],
            purse_class=CertificateClass[data["purse_class"]],
            least_suite=max(suite, Suite[data["least_suite"]]),
            mode=SpendMode[data["mode"]],
            balance_limit=data["balance_limit"],
            transfer_limit=data["transfer_limit"],
            offline_total=data["offline_total"],
            offline_count=data["offline_count"],
            pin_threshold=data["pin_threshold"],
            unverified_total=data["unverified_total"],
            payee_threshold=data["payee_threshold"],
            payee_classes=sum(1 << CertificateClass[name] for name in data["payee_classes"]),
            payer_classes=sum(1 << CertificateClass[name] for name in data["payer_classes"]),
        )
    except (KeyError, TypeError) as exc:
        raise ConfigurationError(f"the policy profile {profile} is not complete") from exc


def _data(profile: str) -> dict[str, Any]:
    if not profile.replace("-", "").isalnum():
        raise ConfigurationError("a profile's name has letters, digits and hyphens only")
    try:
        text = resources.files("server.enrolment").joinpath(f"{profile}.policy.json").read_text(encoding="utf-8")
        data: dict[str, Any] = json.loads(text)
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"there is no policy profile {profile}") from exc
    return data
