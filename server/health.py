"""Is the process there, is it ready, and whom does it trust."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from server.keyring import Keyring
from server.problems import Problem
from server.settings import Clock
from server.storage.protocol import Storage
from wallet_core.errors import StorageError, VerificationError


def blueprint(storage: Storage, keyring: Keyring, clock: Clock) -> Blueprint:
    views = Blueprint("health", __name__)

    @views.get("/healthz")
    def healthz() -> dict[str, Any]:
        return {"status": "ok"}

    @views.get("/readyz")
    def readyz() -> dict[str, Any]:
        """The database takes a durable write, and the operator's certificates hold today."""
        try:
            storage.probe()
            with storage.reading() as tx:
                installed = tx.operator_purse() is not None
            keyring.trust().verify(keyring.purse_certificate, now=clock())
        except (StorageError, VerificationError) as exc:
            raise Problem("not-ready", exc.message, next_step=exc.next_step) from exc
        if not installed:
            raise Problem("not-ready", "The operator's purse is not installed.", next_step="Run `ecny server install`.")
        return {"status": "ready"}

    @views.get("/v1/trust")
    def trust() -> dict[str, Any]:
        return {
            "authority": keyring.authority_certificate.to_bytes().hex(),
            "operators": [keyring.operator_certificate.to_bytes().hex()],
            "production": keyring.production,
        }

    return views
