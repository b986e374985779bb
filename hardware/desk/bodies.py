"""Bodies of requests: JSON objects with exactly the members that a call takes."""

from __future__ import annotations

import json
from typing import Any, Final

from flask import request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from hardware.desk.problems import DeskProblem
from wallet_core.money import MAX_MINOR_UNITS

MAX_BODY: Final = 16_384
MAX_TRACE_BODY: Final = 2 * 1024 * 1024


def json_body(
    required: dict[str, type], optional: dict[str, type] | None = None, limit: int = MAX_BODY
) -> dict[str, Any]:
    """The members, those of `optional` None where they are missing or null. `limit`: bytes.

    Raises DeskProblem `malformed`, `too-large`, `unsupported-media-type`.
    """
    optional = optional or {}
    value = _object(limit, may_be_empty=not required)
    unknown = value.keys() - required.keys() - optional.keys()
    if unknown or required.keys() - value.keys():
        takes = ", ".join([*required, *(f"{name} (optional)" for name in optional)]) or "none"
        raise DeskProblem("malformed", f"The members of this body: {takes}.")
    for name, kind in (required | optional).items():
        found = value.setdefault(name, None)
        if found is None and name in optional:
            continue
        if type(found) is not kind:  # a bool is no int
            raise DeskProblem("malformed", f"{name} is not of the right kind.")
    return value


def amount(value: int) -> int:
    """Fen, at least 1; raises DeskProblem `malformed`."""
    if not 1 <= value <= MAX_MINOR_UNITS:
        raise DeskProblem("malformed", "An amount is in fen, 1 or more.")
    return value


def octets(name: str, text: str) -> bytes:
    """Bytes from hexadecimal digits, spaces allowed; raises DeskProblem `malformed`, which does not quote them."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise DeskProblem("malformed", f"{name} is not written in hexadecimal digits.") from None


def _object(limit: int, *, may_be_empty: bool) -> dict[str, Any]:
    request.max_content_length = limit
    try:
        raw = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise DeskProblem("too-large", f"The body has more than {limit} bytes.", limit=limit) from None
    except ClientDisconnected:
        raise DeskProblem("malformed", "The body ended too soon.") from None
    if not raw and may_be_empty:
        return {}
    if request.mimetype != "application/json":
        raise DeskProblem("unsupported-media-type", "The body has to be application/json.")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise DeskProblem("malformed", "The body is not JSON.") from None
    if not isinstance(value, dict):
        raise DeskProblem("malformed", "The body is a JSON object.")
    return value
