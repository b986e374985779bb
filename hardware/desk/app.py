"""The desk as a Flask application: wiring, errors as problem documents, and the page."""

from __future__ import annotations

import json
from collections.abc import Callable

from flask import Flask, Response, render_template
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from hardware.desk.acts import Acts
from hardware.desk.api import make_api
from hardware.desk.desk import Desk
from hardware.desk.events import HEARTBEAT_S
from hardware.desk.guard import Guard, harden
from hardware.desk.keeping import Keeping
from hardware.desk.pictures import KINDS
from hardware.desk.problems import DeskProblem, problem_of
from wallet_core.errors import EcnyError

_BY_STATUS = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 415: "unsupported-media-type"}


def create_app(desk: Desk, guard: Guard, *, now_ms: Callable[[], int], heartbeat_s: float = HEARTBEAT_S) -> Flask:
    """The application around one desk; it starts no thread and opens no socket."""
    app = Flask(__name__)
    keeping = Keeping(desk, now_ms=now_ms)
    app.register_blueprint(make_api(desk, keeping, Acts(desk), heartbeat_s))
    app.before_request(guard.check)
    app.after_request(harden)
    app.register_error_handler(EcnyError, _refused)
    app.register_error_handler(HTTPException, _not_served)
    app.register_error_handler(Exception, _failed)

    @app.get("/")
    def page() -> ResponseReturnValue:
        return render_template("desk.html", token=guard.token, position=desk.events.position, kinds=KINDS)

    return app


def _refused(error: Exception) -> Response:
    if not isinstance(error, EcnyError):
        return _failed(error)
    return _document(problem_of(error))


def _not_served(error: Exception) -> Response:
    status = error.code if isinstance(error, HTTPException) else None
    name = _BY_STATUS.get(status or 500, "malformed" if status and 400 <= status < 500 else "internal-error")
    words = error.description if isinstance(error, HTTPException) and error.description else "No such call."
    return _document(DeskProblem(name, words))


def _failed(_: Exception) -> Response:
    """Its words may hold what nobody should see: nothing of it is told."""
    return _document(DeskProblem("internal-error", "Something went wrong here.", next_step="Report what you did."))


def _document(problem: DeskProblem) -> Response:
    text = json.dumps(problem.document()) + "\n"
    return Response(text, status=problem.status.value, mimetype="application/problem+json")
