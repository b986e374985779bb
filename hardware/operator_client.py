"""The operator's server as a card desk uses it: certify a card, load it, bring it online (docs/spec/http.md).

The only module here that knows the HTTP library. Without a usable answer it raises ServerUnreachableError, so that
whoever asked can ask again: each of these calls may be repeated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx

from wallet_core.certificates import Certificate
from wallet_core.errors import CodecError, ConfigurationError, ServerUnreachableError, SettlementError
from wallet_core.ids import HASH_SIZE, ID_SIZE
from wallet_core.messages import RevocationList, RevocationReason, parse
from wallet_core.messages.revocation import MAX_LIST_SIZE
from wallet_core.suites import Suite

from .personalisation import CardPapers

COSE: Final = "application/cose"
MAX_ANSWER: Final = 256 * 1024  # bytes
_PROBLEM_PREFIX: Final = "urn:ecny:problem:"
_BEGUN: Final = (200, 201)
_TOKEN: Final = re.compile(r"[\x21-\x7e]{0,512}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """What the operator's purse wants to be asked: payer id, its epoch and next counter, H(order)."""

    load: str
    payer: bytes
    epoch: int
    n: int
    order_hash: bytes


@dataclass(frozen=True, slots=True)
class PaidLoad:
    """A load that the operator's purse has paid: what COLLECT wants."""

    voucher: bytes
    payer_certificate: bytes
    operator_certificate: bytes
    load: str = ""


@dataclass(frozen=True, slots=True)
class UnloadOrder:
    """What the operator's purse asks of a purse that is unloaded: signed Request and its signer's certificates."""

    unload: str
    request: bytes
    payee_certificate: bytes
    operator_certificate: bytes


@dataclass(frozen=True, slots=True)
class PaidOut:
    """The operator purse's signed Receipt for an unload, and its certificates: what ACKNOWLEDGE wants."""

    receipt: bytes
    payee_certificate: bytes
    operator_certificate: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """To a Report: signed Grant and ReversalOrders, and a newer signed Policy, which goes in before the grant."""

    grant: bytes
    orders: tuple[bytes, ...]
    policy: bytes | None


class StaleCounterError(SettlementError):
    """The operator's purse has moved on: refuse the Request on the card and ask again with this epoch and n."""

    def __init__(self, message: str, epoch: int, n: int) -> None:
        super().__init__(message, problem="stale-counter", status=409)
        self.epoch, self.n = epoch, n


class OperatorClient:
    """One server. `token` (the operator's) may be empty for the calls that are open to anyone; it is never shown."""

    def __init__(
        self, url: str, token: str = "", *, timeout_s: float = 30.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        if _TOKEN.fullmatch(token) is None:
            raise ConfigurationError("the operator's token is one word of visible characters")
        try:
            base = httpx.URL(url)
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            # Straight to the server: no proxy from the environment, no redirect that would carry the token elsewhere.
            self._client = httpx.Client(
                base_url=base, headers=headers, timeout=timeout_s, transport=transport, trust_env=False
            )
        except (httpx.InvalidURL, TypeError, ValueError) as exc:
            raise ConfigurationError(f"{url!r} is not an address") from exc
        if base.scheme not in ("http", "https") or not base.host:
            raise ConfigurationError(f"{url!r} is not an address like https://operator.example:8443")

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def suite(self) -> Suite:
        """The suite of this installation, that of its authority's certificate (`GET /v1/trust`)."""
        encoded = _octets(self._answer("GET", "/v1/trust"), "authority")
        try:
            return Certificate.from_bytes(encoded).suite
        except CodecError as exc:
            raise _unusable("authority") from exc

    def certify(
        self, serial: bytes, certification_request: bytes, *, merchant: str = "", replaces: bytes = b""
    ) -> CardPapers:
        """`POST /v1/cards`: the papers of the card with this serial number (8 bytes).

        `merchant`: whose purse it is (a SAM); `replaces`: id of the card whose value it is to have.
        """
        asked = {"serial": serial.hex(), "certification_request": certification_request.hex()}
        asked |= {"merchant": merchant} if merchant else {}
        asked |= {"replaces": replaces.hex()} if replaces else {}
        document = self._json("/v1/cards", asked)
        return CardPapers(
            certificate=_octets(document, "certificate"),
            operator_certificate=_octets(document, "operator_certificate"),
            authority_certificate=_octets(document, "authority_certificate"),
            policy=_octets(document, "policy"),
            audit_key=_octets(document, "audit_key"),
        )

    def begin_load(self, card: bytes, amount: int, key: str) -> LoadOrder:
        """`POST /v1/loads` for `amount` fen; the same idempotency key is the same load."""
        document = self._json("/v1/loads", {"card": card.hex(), "amount": amount}, {"Idempotency-Key": key})
        return LoadOrder(
            load=_text(document, "load"),
            payer=_octets(document, "payer", ID_SIZE),
            epoch=_number(document, "epoch"),
            n=_number(document, "n"),
            order_hash=_octets(document, "order_hash", HASH_SIZE),
        )

    def pay_load(self, load: str, signed_request: bytes) -> PaidLoad:
        """`POST /v1/loads/{load}/request`: the voucher for the card's Request. Raises StaleCounterError."""
        return _paid(self._answer("POST", f"/v1/loads/{load}/request", signed_request, COSE), load)

    def pending_loads(self, card: bytes) -> tuple[PaidLoad, ...]:
        """`GET /v1/cards/{id}/loads`: paid, no Receipt yet."""
        found = self._answer("GET", f"/v1/cards/{card.hex()}/loads").get("loads")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise _unusable("loads")
        return tuple(_paid(one, _text(one, "load")) for one in found)

    def hand_in(self, receipt: bytes) -> None:
        """`POST /v1/receipts`: a card's signed Receipt."""
        self._answer("POST", "/v1/receipts", receipt, COSE)

    def begin_unload(self, purse: bytes, epoch: int, n: int, amount: int, key: str) -> UnloadOrder:
        """`POST /v1/unloads` of `amount` fen at the purse's counter (epoch, n); the same key is the same unload."""
        asked = {"purse": purse.hex(), "epoch": epoch, "n": n, "amount": amount}
        document = self._json("/v1/unloads", asked, {"Idempotency-Key": key})
        return UnloadOrder(
            _text(document, "unload"),
            _octets(document, "request"),
            _octets(document, "payee_certificate"),
            _octets(document, "operator_certificate"),
        )

    def pay_out(self, unload: str, voucher: bytes) -> PaidOut:
        """`POST /v1/unloads/{unload}/voucher`: the purse's voucher, once; the same one again: the same Receipt."""
        document = self._answer("POST", f"/v1/unloads/{unload}/voucher", voucher, COSE)
        return PaidOut(
            _octets(document, "receipt"),
            _octets(document, "payee_certificate"),
            _octets(document, "operator_certificate"),
        )

    def report(
        self,
        report: bytes,
        *,
        vouchers: Sequence[bytes] = (),
        receipts: Sequence[bytes] = (),
        refusals: Sequence[bytes] = (),
        certificates: Sequence[bytes] = (),
    ) -> Answered:
        """`POST /v1/reports`: a purse's signed Report, with the signed messages that are at hand."""
        document = self._json(
            "/v1/reports",
            {
                "report": report.hex(),
                "vouchers": _hex(vouchers),
                "receipts": _hex(receipts),
                "refusals": _hex(refusals),
                "certificates": _hex(certificates),
            },
        )
        policy = None if document.get("policy") is None else _octets(document, "policy")
        return Answered(_octets(document, "grant"), _list(document, "orders"), policy)

    def evidence(self, messages: Sequence[bytes], certificates: Sequence[bytes]) -> tuple[str, ...]:
        """`POST /v1/evidence`: signed Vouchers, Receipts and Refusals of purses; what became of each."""
        document = self._json("/v1/evidence", {"messages": _hex(messages), "certificates": _hex(certificates)})
        statuses = document.get("statuses")
        if not isinstance(statuses, list) or [type(one) for one in statuses] != [str] * len(messages):
            raise _unusable("statuses")
        return tuple(statuses)

    def revocations(self) -> Mapping[bytes, RevocationReason]:
        """`GET /v1/revocations`: id → reason. Its signature is not verified here: it only says what is asked for."""
        response = self._send("GET", "/v1/revocations")
        if response.status_code != _BEGUN[0]:
            raise _problem(response.status_code, _document(response))
        try:
            return parse(RevocationList, response.content, max_size=MAX_LIST_SIZE).message.entries
        except CodecError as exc:
            raise _unusable("revocation list") from exc

    def _json(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        return self._answer("POST", path, json.dumps(body).encode(), "application/json", headers)

    def _answer(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON object of a 200 or 201; raises SettlementError for a problem, ServerUnreachableError otherwise."""
        sent = {**(headers or {}), **({"Content-Type": content_type} if content_type else {})}
        response = self._send(method, path, body, sent)
        document = _document(response)
        if response.status_code in _BEGUN and document is not None:
            return document
        raise _problem(response.status_code, document)

    def _send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        try:
            return self._client.request(method, path, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise ServerUnreachableError(
                f"the server at {self._client.base_url} does not answer: {type(exc).__name__}",
                next_step="Start the server, or check its address; then run the same command again.",
            ) from exc


def _document(response: httpx.Response) -> dict[str, Any] | None:
    if len(response.content) > MAX_ANSWER:
        return None
    try:
        document = json.loads(response.content)
    except ValueError:  # half an answer, or another server's page
        return None
    return document if isinstance(document, dict) else None


def _problem(status: int, document: dict[str, Any] | None) -> SettlementError:
    """A problem document (RFC 9457) as an error; what is none, and any 5xx, is no answer at all."""
    kind = document.get("type") if document else None
    if document is None or not isinstance(kind, str) or not kind.startswith(_PROBLEM_PREFIX) or status >= 500:
        return ServerUnreachableError(
            f"the server gave no usable answer (HTTP {status})", next_step="Run the same command again in a while."
        )
    name = kind.removeprefix(_PROBLEM_PREFIX)
    message = str(document.get("detail") or document.get("title") or name)
    if name == "in-progress":
        return ServerUnreachableError(message, next_step="Run the same command again in a moment.")
    if name == "stale-counter":
        return StaleCounterError(message, _number(document, "epoch"), _number(document, "n"))
    step = document.get("next_step")
    return SettlementError(message, problem=name, status=status, next_step=step if isinstance(step, str) else None)


def _paid(document: dict[str, Any], load: str) -> PaidLoad:
    return PaidLoad(
        voucher=_octets(document, "voucher"),
        payer_certificate=_octets(document, "payer_certificate"),
        operator_certificate=_octets(document, "operator_certificate"),
        load=load,
    )


def _octets(document: Mapping[str, Any], name: str, size: int | None = None) -> bytes:
    try:
        value = bytes.fromhex(_text(document, name))
    except ValueError as exc:
        raise _unusable(name) from exc
    if size is not None and len(value) != size:
        raise _unusable(name)
    return value


def _hex(messages: Sequence[bytes]) -> list[str]:
    return [one.hex() for one in messages]


def _list(document: Mapping[str, Any], name: str) -> tuple[bytes, ...]:
    found = document.get(name)
    if not isinstance(found, list):
        raise _unusable(name)
    return tuple(_octets({name: one}, name) for one in found)


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise _unusable(name)
    return value


def _number(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name)
    if type(value) is not int or not 0 <= value < 2**32:
        raise _unusable(name)
    return value


def _unusable(name: str) -> ServerUnreachableError:
    return ServerUnreachableError(f"the server's answer has no usable {name!r}")
