"""What all views share: bodies with a limit and one media type, strict JSON, hexadecimal, the operator's token."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from flask import Response, current_app, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from server.keyring import Keyring
from server.problems import Problem

F = TypeVar("F", bound=Callable[..., Any])

COSE = "application/cose"
JSON = "application/json"
MAX_JSON = 4096  # bytes
MAX_MESSAGE = 1024  # bytes; no signed message that is a body of its own is longer
KEYRING = "ecny-keyring"
_HEX = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)
_BEARER = re.compile(r"Bearer ([\x21-\x7e]{1,200})", re.ASCII | re.IGNORECASE)


def body(media_type: str, limit: int) -> bytes:
    """The whole body; raises Problem `unsupported-media-type`, `too-large` or `malformed`."""
    if request.mimetype != media_type:
        raise Problem("unsupported-media-type", f"The body has to be {media_type}.")
    request.max_content_length = limit
    try:
        return request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise Problem("too-large", f"The body has more than {limit} bytes.", limit=limit) from None
    except ClientDisconnected:
        raise Problem("malformed", "The body ended too soon.") from None


def json_body(optional: Mapping[str, type] | None = None, limit: int = MAX_JSON, /, **kinds: type) -> dict[str, Any]:
    """A JSON object with exactly these members, and perhaps those of `optional`, each of its kind (bool is no int).

    `limit`: bytes. Raises Problem `malformed`, `too-large`.
    """
    try:
        value = json.loads(body(JSON, limit), object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise Problem("malformed", "The body is not JSON.") from None
    allowed = {**kinds, **(optional or {})}
    if not isinstance(value, dict) or not kinds.keys() <= value.keys() <= allowed.keys():
        raise Problem("malformed", f"The body is an object with the members {', '.join(kinds)}, and no others.")
    for name, content in value.items():
        if type(content) is not allowed[name]:
            raise Problem("malformed", f"{name} is not of the right kind.")
    return value


def messages(name: str, items: list[Any], most: int) -> list[bytes]:
    """A list of at most `most` byte strings in hexadecimal; raises Problem `malformed`, `too-large`."""
    if len(items) > most:
        raise Problem("too-large", f"{name} has more than {most} entries.", limit=most)
    if not all(isinstance(item, str) for item in items):
        raise Problem("malformed", f"{name} is not a list of texts.")
    return [octets(name, item) for item in items]


def octets(name: str, text: str, size: int | None = None) -> bytes:
    """Bytes from lower-case hexadecimal; raises Problem `malformed`."""
    if _HEX.fullmatch(text) is None or (size is not None and len(text) != 2 * size):
        digits = "" if size is None else f"{2 * size} "
        raise Problem("malformed", f"{name} is not {digits}lower-case hexadecimal digits.")
    return bytes.fromhex(text)


def cose(message: bytes) -> Response:
    """A signed message as it is."""
    return Response(message, mimetype=COSE)


def operator_only(view: F) -> F:
    """Wants the operator's bearer token (RFC 6750); raises Problem `not-authorised`."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        keyring: Keyring = current_app.extensions[KEYRING]
        match = _BEARER.fullmatch(request.headers.get("Authorization", ""))
        if match is None or not keyring.is_admin(match.group(1)):
            raise Problem("not-authorised", "This call wants the operator's token.", next_step="Pass --token-file.")
        return view(*args, **kwargs)

    return guarded  # type: ignore[return-value]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member is there twice")
    return value
