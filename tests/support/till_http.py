"""The operator of support.till behind a real HTTP server on the loopback interface, which misbehaves on request."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from merchant_pos.ports import Expected
from support.keys import AUTHORITY, OPERATOR, certify, key
from support.till import Operator
from wallet_core.certificates import CertificateClass
from wallet_core.messages import CertificationRequest, parse

COSE = "application/cose"
PROBLEM = "application/problem+json"
Reply = tuple[int, str, bytes]


class OperatorServer:
    """`faults`, one for each POST: "500" · "problem" · "drop" (nothing done, closed) · "after" (done, closed) · "half"
    (done, half the answer) · "silent" (no answer until the end) · "hold" (done, then silent) · "long" · a whole reply.
    None: as it should be.
    """

    def __init__(self) -> None:
        self.operator = Operator()
        self.codes: dict[str, bytes] = {}  # code → the certification request that used it
        self.open_codes = {"ONE-TIME-CODE"}
        self.faults: list[str | Reply | None] = []
        self.get_faults: list[str | Reply | None] = []  # the same for each GET
        self.revocations: bytes | None = None
        self.operators = [OPERATOR.certificate.to_bytes()]
        self.evidence: dict[bytes, int] = {}  # message → how often it came
        self.evidence_status = "recorded"
        self.report: Callable[[dict[str, Any]], dict[str, Any]] | None = None
        self.succeeded: dict[str, str] = {}  # till → the one that it succeeds
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.answered = 0
        self.closing = threading.Event()
        self.held = threading.Event()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.handle(self)

            def do_GET(self) -> None:
                outer.handle(self)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.01), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        with self._lock:
            if handler.command == "POST":
                self.posts.append((handler.path, dict(handler.headers), body))
                fault = self.faults.pop(0) if self.faults else None
            else:
                fault = self.get_faults.pop(0) if self.get_faults else None
            if fault in ("drop", "silent", "500", "problem", "long") or isinstance(fault, tuple):
                reply = None
            else:
                reply = self._serve(handler.path, body)
                self.answered += 1
        if isinstance(fault, tuple):
            return self._send(handler, *fault)
        if fault in ("silent", "hold"):
            self.held.set()
            self.closing.wait(30)
        if fault == "500":
            return self._send(handler, 500, "text/html", b"<h1>oops</h1>")
        if fault == "problem":
            problem = {"type": "urn:ecny:problem:storage", "title": "storage", "detail": "disk full", "status": 503}
            return self._send(handler, 503, PROBLEM, json.dumps(problem).encode())
        if fault == "long":
            return self._send(handler, 200, COSE, bytes(10**6))
        if fault == "half" and reply is not None:
            return self._send(handler, *reply, keep=len(reply[2]) // 2)
        if fault in ("drop", "after", "silent", "hold") or reply is None:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return None
        return self._send(handler, *reply)

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, status: int, kind: str, body: bytes, keep: int | None = None) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:keep])
        handler.close_connection = True

    def _serve(self, path: str, body: bytes) -> Reply:
        if path == "/v1/deposits":
            answer = self.operator.deposit(body)
            if isinstance(answer, Expected):
                return self._problem(
                    409,
                    "batch-out-of-order",
                    expected_number=answer.number,
                    last_hash=answer.last_hash.hex(),
                )
            return 200, COSE, answer
        if path == "/v1/tills":
            return self._enrol(json.loads(body))
        if path == "/v1/revocations" and self.revocations is not None:
            return 200, COSE, self.revocations
        if path == "/v1/trust":
            trust = {"authority": AUTHORITY.certificate.to_bytes().hex(), "production": False}
            return self._json(trust | {"operators": [one.hex() for one in self.operators]})
        if path == "/v1/evidence":
            messages = [bytes.fromhex(one) for one in json.loads(body)["messages"]]
            for message in messages:
                self.evidence[message] = self.evidence.get(message, 0) + 1
            return self._json({"statuses": [self.evidence_status] * len(messages)})
        if path == "/v1/reports" and self.report is not None:
            return self._json(self.report(json.loads(body)))
        return self._problem(404, "not-found")

    def _enrol(self, asked: dict[str, Any]) -> Reply:
        code, request = asked["code"], bytes.fromhex(asked["certification_request"])
        if code in self.codes and self.codes[code] != request:
            return self._problem(409, "code-used")
        if code not in self.open_codes:
            return self._problem(404, "not-found")
        self.codes[code] = request
        own_id = parse(CertificationRequest, request).message.key.thumbprint.hex()
        if "succeeds" in asked:
            self.succeeded[own_id] = asked["succeeds"]
        subject = parse(CertificationRequest, request).message
        certificate = certify(key("operator"), _Public(subject), CertificateClass.TILL)  # type: ignore[arg-type]
        document = {
            "till": certificate.subject.hex(),
            "certificate": certificate.to_bytes().hex(),
            "operator_certificate": OPERATOR.certificate.to_bytes().hex(),
            "authority_certificate": AUTHORITY.certificate.to_bytes().hex(),
            "merchant": "m-1",
            "merchant_name": "Luohu Tea House",
        }
        return self._json(document)

    @staticmethod
    def _json(document: dict[str, Any]) -> Reply:
        return 200, "application/json", json.dumps(document).encode()

    @staticmethod
    def _problem(status: int, name: str, **members: Any) -> Reply:
        document = {
            "type": f"urn:ecny:problem:{name}",
            "title": name,
            "status": status,
            "detail": f"it is {name}",
            "next_step": "Ask.",
            **members,
        }
        return status, PROBLEM, json.dumps(document).encode()


class _Public:
    """Just enough of a key to be certified."""

    def __init__(self, subject: CertificationRequest) -> None:
        self.public = subject.key


@contextmanager
def operator_server() -> Iterator[OperatorServer]:
    server = OperatorServer()
    try:
        yield server
    finally:
        server.close()
