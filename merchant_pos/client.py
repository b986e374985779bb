"""The settlement server over HTTP (docs/spec/http.md). The only module that knows the HTTP library."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import httpx

from merchant_pos.ports import Expected
from wallet_core.certificates import Certificate
from wallet_core.errors import CodecError, ConfigurationError, ServerUnreachableError, SettlementError
from wallet_core.ids import HASH_SIZE
from wallet_core.messages.revocation import MAX_LIST_SIZE
from wallet_core.suites import Suite

COSE = "application/cose"
PROBLEM = "application/problem+json"
_ACCEPT = f"{COSE}, application/json, {PROBLEM}"
_PROBLEM_PREFIX = "urn:ecny:problem:"
MAX_ANSWER = 256 * 1024  # bytes; the longest signed answer has 64 KiB, an enrolment 2
_PASSING = {"in-progress"}  # a 409 that is no refusal: the same call is still at work


class HttpServer:
    """One server. Every failure to get a usable answer is ServerUnreachableError: the work stays queued."""

    def __init__(self, url: str, *, timeout_s: float = 30.0, transport: httpx.BaseTransport | None = None) -> None:
        try:
            base = httpx.URL(url)
        except (httpx.InvalidURL, TypeError) as exc:
            raise ConfigurationError(f"{url!r} is not an address: {exc}") from exc
        if base.scheme not in ("http", "https") or not base.host or base.userinfo or base.query or base.fragment:
            raise ConfigurationError(f"{url!r} is not an address like https://operator.example:8443")
        self._url = str(base).rstrip("/")
        self._timeout_s = timeout_s
        # The till talks to its server and to nobody in between: no proxy from the environment, no redirect followed.
        self._client = httpx.Client(
            base_url=self._url, timeout=timeout_s, transport=transport, trust_env=False, follow_redirects=False
        )

    @property
    def url(self) -> str:
        return self._url

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def enrol(self, code: str, certification_request: bytes, succeeds: bytes | None = None) -> Mapping[str, Any]:
        """Exchange a one-time code for certificates; the code is in the body, never in the address.

        `succeeds`: id of the till whose vouchers the new one may hand in. Raises SettlementError (code-used,
        not-found, …) or ServerUnreachableError.
        """
        asked = {"code": code, "certification_request": certification_request.hex()}
        if succeeds is not None:
            asked["succeeds"] = succeeds.hex()
        return self._object("POST", "/v1/tills", asked)

    def deposit(self, batch: bytes) -> bytes | Expected:
        """Send a frozen batch; the answer's bytes, not yet verified, or what the server expects instead."""
        status, kind, answer = self._exchange("POST", "/v1/deposits", batch, COSE)
        if status == 200 and kind == COSE:
            return answer
        if status == 200:
            raise ServerUnreachableError(f"the answer to a deposit is {kind or 'of no type'}, not {COSE}")
        problem = _problem(status, kind, answer)
        expected = _expected(answer) if problem.problem == "batch-out-of-order" else None
        if expected is None:
            raise problem
        return expected

    def evidence(self, messages: Sequence[bytes], certificates: Sequence[bytes]) -> tuple[str, ...]:
        """Hand in messages of purses; one status for each of them, in the server's words."""
        asked = {"messages": _hex(messages), "certificates": _hex(certificates)}
        statuses = self._object("POST", "/v1/evidence", asked).get("statuses")
        if not isinstance(statuses, list) or len(statuses) != len(messages):
            raise ServerUnreachableError("the answer to evidence has not one status for each message")
        return tuple(str(status) for status in statuses)

    def revocations(self) -> bytes:
        """The operator's signed RevocationList, not yet verified."""
        status, kind, answer = self._exchange("GET", "/v1/revocations", most=MAX_LIST_SIZE)
        if status != 200 or kind != COSE:
            raise _problem(status, kind, answer)
        return answer

    def suite(self) -> Suite:
        """The suite of the installation, that of its authority's certificate (`GET /v1/trust`)."""
        found = self._object("GET", "/v1/trust").get("authority")
        encoded = _octets([found], "authority")[0]
        try:
            return Certificate.from_bytes(encoded).suite
        except CodecError as exc:
            raise ServerUnreachableError(f"the server's authority is no certificate: {exc.message}") from exc

    def operators(self) -> tuple[bytes, ...]:
        """The operators' certificates that the server knows, not yet verified."""
        found = self._object("GET", "/v1/trust").get("operators")
        return _octets(found, "operators")

    def _object(self, method: str, path: str, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = json.dumps(asked).encode() if asked is not None else b""
        status, kind, answer = self._exchange(method, path, body, "application/json")
        if status not in (200, 201):
            raise _problem(status, kind, answer)
        document = _json(answer)
        if document is None:
            raise ServerUnreachableError(f"the answer to {path} is not a JSON object")
        return document

    def _exchange(
        self, method: str, path: str, body: bytes = b"", content_type: str = "", *, most: int = MAX_ANSWER
    ) -> tuple[int, str, bytes]:
        """Status, media type and whole body; a body that ends too soon or is longer than `most` bytes is no answer."""
        headers = {"Accept": _ACCEPT, "Accept-Encoding": "identity"}
        if body:
            headers["Content-Type"] = content_type
        try:
            with self._client.stream(method, path, content=body or None, headers=headers) as response:
                received, deadline = bytearray(), time.monotonic() + self._timeout_s
                for chunk in response.iter_raw():  # never unpacked: a small answer stays small
                    received += chunk
                    if time.monotonic() > deadline:
                        raise ServerUnreachableError("the server's answer comes too slowly")
                    if len(received) > most:
                        raise ServerUnreachableError(f"the server's answer is longer than {most} bytes")
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                return response.status_code, kind, bytes(received)
        except httpx.TimeoutException as exc:
            raise ServerUnreachableError("the server did not answer in time") from exc
        except httpx.HTTPError as exc:
            raise ServerUnreachableError(f"no usable answer from {self._url}: {exc or type(exc).__name__}") from exc


def _hex(items: Sequence[bytes]) -> list[str]:
    return [item.hex() for item in items]


def _octets(value: Any, name: str) -> tuple[bytes, ...]:
    try:
        return tuple(bytes.fromhex(item) for item in value)
    except (TypeError, ValueError) as exc:
        raise ServerUnreachableError(f"the server's answer has no usable {name}") from exc


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _problem(status: int, kind: str, body: bytes) -> SettlementError:
    """RFC 9457 → our tree. Only a 4xx with a problem document is the server's no; anything else is no usable answer."""
    document = _json(body) if kind == PROBLEM else None
    if document is None:
        return ServerUnreachableError(f"the server answered {status} without a problem document", status=status)
    name = str(document.get("type", "about:blank")).removeprefix(_PROBLEM_PREFIX)
    message = str(document.get("detail") or document.get("title") or name)
    next_step = document.get("next_step")
    if 400 <= status < 500 and name not in _PASSING:
        told = next_step if isinstance(next_step, str) else None
        return SettlementError(f"{name}: {message}", problem=name, status=status, next_step=told)
    return ServerUnreachableError(f"{name}: {message}", problem=name, status=status)


def _expected(body: bytes) -> Expected | None:
    document = _json(body) or {}
    number, last = document.get("expected_number"), document.get("last_hash")
    if type(number) is not int or not isinstance(last, str):
        return None
    try:
        last_hash = bytes.fromhex(last)
    except ValueError:
        return None
    return Expected(number, last_hash) if number >= 1 and len(last_hash) == HASH_SIZE else None
