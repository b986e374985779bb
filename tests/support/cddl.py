"""docs/spec/messages.cddl as a judge: a schema for each of its rules.

The library (pycddl 0.6) applies a `.cbor` control inside an array to every item of that array, so an envelope, its
protected header and its payload are judged one by one: `bstr .cbor rule` is read as `bstr`, and the rule
is applied to what the byte string holds.
"""

from __future__ import annotations

import re
from functools import cache

import cbor2
import pycddl

from support.tree import ROOT

TEXT = (ROOT / "docs" / "spec" / "messages.cddl").read_text(encoding="utf-8")
_FLAT = re.sub(r"bstr \.cbor [a-z0-9-]+", "bstr", TEXT)


def rules() -> list[str]:
    """The names on the left side, in order; generic rules without their parameter."""
    return re.findall(r"^([a-z0-9-]+)(?:<[a-z]+>)? =", TEXT, re.MULTILINE)


def messages() -> list[str]:
    """The choices of the first rule."""
    first = re.search(r"^message = (.*?)\n\n", TEXT, re.MULTILINE | re.DOTALL)
    if first is None:
        raise ValueError("messages.cddl does not begin with the rule message")
    return re.findall(r"[a-z0-9-]+", first[1])


@cache
def schema(rule: str) -> pycddl.Schema:
    return pycddl.Schema(f"root = {rule}\n{_FLAT}")


def judge(rule: str, data: bytes) -> None:
    """Raise pycddl.ValidationError unless `data` is a message of `rule`, header and payload included."""
    for part in ("message", rule):
        schema(part).validate_cbor(data)
    protected, _, payload, _ = cbor2.loads(data).value
    if rule == "certificate":
        schema("certificate-header").validate_cbor(protected)
        schema("certificate-claims").validate_cbor(payload)
    else:
        schema("es256-header").validate_cbor(protected)
        schema(f"{rule}-payload").validate_cbor(payload)
