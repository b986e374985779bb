"""docs/spec/messages.cddl as a judge: a schema for each of its rules.

The library (pycddl 0.6) applies a `.cbor` control inside an array to every item of that array, so an envelope, its
protected header and its payload are judged one by one: `bstr .cbor rule` is read as `bstr`, and the rule
is applied to what the byte string holds.

The page is written for suite 1; for suite 2 the three rules of its section *suite* are replaced as that section says.
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


def of_suite(suite: int) -> dict[str, str]:
    """The rules that the section *suite* gives for this one: name → what it stands for."""
    pattern = r"^(\w+) = (-?\d+) +;" if suite == 1 else rf"suite {suite}: (\w+) = (-?\d+)\b"
    section = TEXT.partition("; --- suite ---")[2].partition("; --- types ---")[0]
    return dict(re.findall(pattern, section, re.MULTILINE))


@cache
def schema(rule: str, suite: int = 1) -> pycddl.Schema:
    text = _FLAT
    for name, value in of_suite(suite).items():
        text, replaced = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        if replaced != 1:
            raise ValueError(f"messages.cddl has no one rule {name}")
    return pycddl.Schema(f"root = {rule}\n{text}")


def judge(rule: str, data: bytes, suite: int = 1) -> None:
    """Raise pycddl.ValidationError unless `data` is a message of `rule`, header and payload included."""
    for part in ("message", rule):
        schema(part, suite).validate_cbor(data)
    protected, _, payload, _ = cbor2.loads(data).value
    if rule == "certificate":
        schema("certificate-header", suite).validate_cbor(protected)
        schema("certificate-claims", suite).validate_cbor(payload)
    else:
        schema("header", suite).validate_cbor(protected)
        schema(f"{rule}-payload", suite).validate_cbor(payload)
