"""A card desk in this process: no socket, no reader, a clock that moves with each look; and a client with its token."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from hardware.desk.app import create_app
from hardware.desk.desk import Desk
from hardware.desk.events import EventLog
from hardware.desk.guard import TOKEN_HEADER, Guard
from hardware.desk.store import Store

TOKEN = "token-of-this-boot"
HOST = "127.0.0.1:4711"
VISITOR, OTHER, SAM, BLANK = "hk-visitor-1", "hk-visitor-2", "merchant-sam-1", "blank-1"


class DeskClient:
    """Calls the desk as its page does."""

    def __init__(self, desk: Desk, http: FlaskClient) -> None:
        self.desk, self.http = desk, http

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        given = {"Host": HOST, TOKEN_HEADER: TOKEN, **{name.replace("_", "-"): one for name, one in headers.items()}}
        return self.http.open(path, method=method, json=body, headers=given, buffered=True)

    def get(self, path: str) -> Any:
        answer = self.call("GET", f"/api/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json

    def do(self, path: str, body: Any = None, *, method: str = "POST") -> Any:
        answer = self.call(method, f"/api/{path}", body)
        assert answer.status_code in (200, 201, 204), answer.text
        return answer.json if answer.data else None

    def refused(self, path: str, body: Any = None, *, method: str = "POST") -> dict[str, Any]:
        """The problem document of a call that is refused; it is one in every respect."""
        answer = self.call(method, f"/api/{path}", body)
        return problem(answer)

    def insert(self, card: str = VISITOR) -> Any:
        return self.do(f"cards/{card}/insert")

    def pay(self, amount: int = 6_800, card: str = VISITOR, **more: Any) -> Any:
        return self.do(f"cards/{card}/pay", {"amount": amount, **more})

    def tear(self, word: str, card: str = VISITOR, **more: Any) -> Any:
        return self.do(f"cards/{card}/tear", {"tear": word, **more}, method="PUT")

    def events(self, after: int = 0) -> list[Any]:
        return self.desk.events.after(after)[1]

    def kinds(self, after: int = 0) -> list[str]:
        return [event.kind for event in self.events(after)]


def problem(answer: TestResponse) -> dict[str, Any]:
    assert answer.mimetype == "application/problem+json", answer.text
    told: dict[str, Any] = json.loads(answer.data)
    assert told["status"] == answer.status_code >= 400
    assert told["type"] == f"urn:ecny:problem:{told['code']}"
    assert told["title"]
    assert told["detail"]
    assert told["next_step"]
    return told


@contextmanager
def open_desk(directory: Path | None = None, *, window: int = 2_000) -> Iterator[DeskClient]:
    """`directory` keeps its cards; `window`: events kept."""
    ticks = itertools.count(1_800_000_000_000)

    def now_ms() -> int:
        return next(ticks)

    store = Store(directory) if directory else None
    desk = Desk(EventLog("boot1", now_ms=now_ms, window=window), now_ms=now_ms, store=store)
    app = create_app(desk, Guard(TOKEN, frozenset({HOST, "localhost:4711"})), now_ms=now_ms, heartbeat_s=0.01)
    try:
        yield DeskClient(desk, app.test_client())
    finally:
        desk.close()
