"""The application factory: it wires storage, services and views together, and does nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import structlog
from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

import server.enrolment.views
import server.health
import server.load.views
import server.reports.views
import server.risk.views
import server.settlement.views
from server.enrolment.cards import CardEnrolment
from server.enrolment.tills import TillEnrolment
from server.load.purse import OperatorPurse
from server.load.service import LoadService
from server.load.unloads import UnloadService
from server.problems import Problem, problem_of
from server.reports.closing import ClosingService
from server.reports.service import ReportService
from server.risk.desk import RiskDesk
from server.risk.revocations import Revocations
from server.settings import Settings
from server.settlement.pool import verifier
from server.settlement.service import SettlementService
from server.settlement.signatures import Verifier
from server.storage.protocol import Storage
from server.storage.sqlite import SqliteStorage
from server.web import KEYRING
from wallet_core.errors import EcnyError

_log = structlog.get_logger()
PROBLEM_JSON = "application/problem+json"
PARTS = "ecny-parts"


@dataclass(frozen=True)
class Parts:
    """What a server is made of; close it when the server stops."""

    storage: Storage
    verifier: Verifier
    cards: CardEnrolment
    tills: TillEnrolment
    loads: LoadService
    unloads: UnloadService
    reports: ReportService
    closings: ClosingService
    settlement: SettlementService
    desk: RiskDesk
    revocations: Revocations

    @classmethod
    def of(cls, settings: Settings, storage: Storage | None = None) -> Parts:
        """Services as the settings say; `storage` may be another than the SQLite file they name."""
        keyring = settings.keyring
        trust = keyring.trust()
        store = (
            storage
            if storage is not None
            else SqliteStorage(settings.database, busy_timeout_ms=settings.busy_timeout_ms)
        )
        checks = verifier(settings.workers, keyring.suite)
        certificate = keyring.purse_certificate
        purse = OperatorPurse(keyring.purse, certificate, keyring.audit_key(certificate.subject))
        risk = settings.ready_to_lose
        unloads = UnloadService(
            storage=store, purse=purse, risk=risk, entropy=settings.entropy, checkpoint=settings.checkpoint
        )
        return cls(
            storage=store,
            verifier=checks,
            cards=CardEnrolment(store, keyring, lifetime_s=settings.card_lifetime_s),
            tills=TillEnrolment(
                store,
                keyring,
                settings.entropy,
                lifetime_s=settings.till_lifetime_s,
                code_lifetime_s=settings.code_lifetime_s,
            ),
            loads=LoadService(
                storage=store,
                trust=trust,
                purse=purse,
                balance_limit=keyring.policy.message.balance_limit,
                risk=risk,
                entropy=settings.entropy,
                checkpoint=settings.checkpoint,
            ),
            unloads=unloads,
            reports=ReportService(
                storage=store,
                trust=trust,
                signer=keyring.operator,
                unloads=unloads,
                policies=keyring.policies(),
                risk=risk,
                checkpoint=settings.checkpoint,
            ),
            closings=ClosingService(store, keyring.operator),
            settlement=SettlementService(
                storage=store,
                trust=trust,
                signer=keyring.operator,
                verifier=checks,
                risk=risk,
                checkpoint=settings.checkpoint,
            ),
            desk=RiskDesk(store, keyring, risk, settings.checkpoint),
            revocations=Revocations(store, keyring.operator, since=keyring.operator_certificate.not_before),
        )

    def close(self) -> None:
        self.verifier.close()
        self.storage.close()


def create_app(settings: Settings, parts: Parts | None = None) -> Flask:
    """A WSGI application. `parts` made elsewhere are used instead; `app.extensions["ecny-parts"]` is to be closed."""
    app = Flask("server", static_folder=None)
    parts = parts if parts is not None else Parts.of(settings)
    keyring, clock = settings.keyring, settings.clock
    app.extensions[KEYRING] = keyring
    app.extensions[PARTS] = parts
    app.register_blueprint(server.health.blueprint(parts.storage, keyring, clock))
    app.register_blueprint(server.enrolment.views.blueprint(parts.cards, parts.tills, keyring, clock))
    app.register_blueprint(server.load.views.blueprint(parts.loads, parts.unloads, keyring, clock))
    app.register_blueprint(server.reports.views.blueprint(parts.reports, clock))
    app.register_blueprint(server.risk.views.blueprint(parts.desk, parts.revocations, clock))
    app.register_blueprint(server.settlement.views.blueprint(parts.settlement, clock))
    app.register_error_handler(EcnyError, _refusal)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)
    app.before_request(_begin)
    app.after_request(_finish)
    return app


def _render(problem: Problem, code: str | None = None) -> Response:
    g.problem = problem.problem
    response = jsonify(problem.document(code))
    response.status_code = problem.status
    response.mimetype = PROBLEM_JSON
    if problem.problem == "not-authorised":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _refusal(error: EcnyError) -> Response:
    problem = problem_of(error)
    if problem.problem == "internal-error" and problem is not error:
        return _unexpected(error)
    if problem.problem == "storage":
        _log.error("storage", detail=error.message)
    return _render(problem, None if problem is error else error.code)


def _http_error(error: HTTPException) -> Response:
    if isinstance(error, NotFound):
        return _render(Problem("not-found", "There is no such address.", next_step="See docs/spec/http.md."))
    if isinstance(error, MethodNotAllowed):
        response = _render(
            Problem("method-not-allowed", "This address has other methods.", next_step="See the Allow header.")
        )
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response
    return _render(Problem("malformed", error.description or "The request is not understood."))


def _unexpected(error: Exception) -> Response:
    """The trace goes to the log, not to the caller."""
    _log.error("internal error", exc_info=error)
    return _render(
        Problem("internal-error", "Something went wrong here; nothing is half done.", next_step="Send it again.")
    )


def _begin() -> None:
    g.started = time.monotonic()


def _finish(response: Response) -> Response:
    """One line for each request: the rule instead of the address, so that no id or code is written."""
    fields: dict[str, Any] = {"problem": g.problem} if "problem" in g else {}
    rule = request.url_rule.rule if request.url_rule is not None else "(none)"
    _log.info(
        "request",
        method=request.method,
        rule=rule,
        status=response.status_code,
        ms=round((time.monotonic() - g.started) * 1000, 1),
        **fields,
    )
    return response
