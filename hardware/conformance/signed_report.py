"""An examination that a laboratory has signed: a COSE_Sign1 whose payload docs/spec/conformance.cddl describes.

The protected header names the type, so that no other message of this project can be taken for a report. The key is in
the payload; whose key it is, the reader of a report asks the laboratory (its id is shown).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from hardware.conformance.runner import NOTICE, Conclusion, Examination, Verdict, conclude
from hardware.conformance.trace import Exchange
from wallet_core import codec
from wallet_core.cose import Sign1
from wallet_core.errors import BadSignatureError, ConfigurationError, MismatchError, OutOfRangeError, WrongTypeError
from wallet_core.keys import PublicKey, SoftwareKey
from wallet_core.suites import Suite

MAX_SIZE: Final = 1 << 24
MAX_TIME: Final = 253_402_300_799  # the end of the year 9999
TYPE: Final = "application/ecny-conformance+cbor"
PROTECTED: Final = codec.encode({1: -7, 16: TYPE})
_VERDICTS: Final = tuple(Verdict)
_FIELDS: Final[dict[int, type]] = dict(
    enumerate((bytes, bytes, int, str, str, bytes, bytes, str, str, int, list, str), start=2)
)


@dataclass(frozen=True, slots=True)
class SignedReport:
    """What a signed report says. `lab`: thumbprint of the key that signed; `made_at`: seconds since 1970; `verdicts`:
    id → verdict, and why it is so."""

    lab: bytes
    made_at: int
    software: str
    reader: str
    atr: bytes
    serial: bytes
    begun: str
    ended: str
    verdicts: dict[str, tuple[Verdict, str]]
    notice: str

    @property
    def conclusion(self) -> Conclusion:
        """By the requirements of this version: a report of an older one may lack some."""
        return conclude({name: verdict for name, (verdict, _) in self.verdicts.items()})


def sign(found: Examination, key: SoftwareKey, *, made_at: int, software: str) -> bytes:
    """The signed report of an examination; `made_at` in seconds since 1970. Raises ConfigurationError for a key that is
    not P-256."""
    if key.public.suite is not Suite.ES256:
        raise ConfigurationError("a laboratory signs with a P-256 key", next_step="Make one, as a PEM file.")
    findings = [
        [one.requirement.id, _VERDICTS.index(one.verdict), _shown(one.why), *_columns(one.exchanges)]
        for one in found.findings
    ]
    payload = codec.encode(
        {
            2: key.public.x,
            3: key.public.y,
            4: made_at,
            5: software,
            6: _shown(found.reader),
            7: found.atr,
            8: found.serial,
            9: found.begun,
            10: found.ended,
            11: found.exchanges,
            12: findings,
            13: NOTICE,
        }
    )
    unsigned = Sign1(PROTECTED, payload, b"")
    return Sign1(PROTECTED, payload, key.sign(unsigned.signed_bytes)).to_bytes()


def _shown(text: str) -> str:
    """On one line, without what a terminal would obey: a reader's name, or a reason, may be anybody's."""
    return "".join(one if one.isprintable() else " " for one in text)


def _columns(exchanges: Iterable[Exchange]) -> tuple[list[bytes], list[int], list[bytes]]:
    """All commands, all numbers of hidden bytes, all answers: the codec allows no deeper nesting."""
    some = tuple(exchanges)
    return [one.command for one in some], [one.hidden for one in some], [one.answer for one in some]


def verify(data: bytes, lab: bytes | None = None) -> SignedReport:
    """Open a signed report; `lab`: the id that must have signed it (32 bytes), None: whoever did.

    Raises a CodecError for what is no report, BadSignatureError, and MismatchError where another lab has signed.
    """
    sign1 = Sign1.from_bytes(data, max_size=MAX_SIZE)
    if sign1.protected != PROTECTED:
        raise WrongTypeError("not a signed conformance report: the protected header names another type")
    fields = codec.decode(sign1.payload, max_size=MAX_SIZE)
    if not isinstance(fields, dict) or set(fields) != set(_FIELDS):
        raise WrongTypeError("the payload has not the labels of a conformance report")
    for label, kind in _FIELDS.items():
        if type(fields[label]) is not kind:
            raise WrongTypeError(f"label {label} of the report is no {kind.__name__}")
        if kind is str and not fields[label].isprintable():  # it is shown on a terminal
            raise OutOfRangeError(f"label {label} of the report has characters that cannot be shown")
    if not 0 <= fields[4] <= MAX_TIME:
        raise OutOfRangeError("the report was made at no time that there is")
    key = PublicKey(fields[2], fields[3])
    try:
        key.verify(sign1.signature, sign1.signed_bytes)
    except BadSignatureError as wrong:
        raise BadSignatureError(
            "the report's signature does not verify: it was changed, or another key made it"
        ) from wrong
    if lab is not None and key.thumbprint != lab:
        raise MismatchError(f"another laboratory has signed this report: {key.thumbprint.hex()}")
    verdicts = dict(_verdict(one) for one in fields[12])
    if len(verdicts) != len(fields[12]):  # the second one would hide the first
        raise OutOfRangeError("a requirement has two findings")
    return SignedReport(
        lab=key.thumbprint,
        made_at=fields[4],
        software=fields[5],
        reader=fields[6],
        atr=fields[7],
        serial=fields[8],
        begun=fields[9],
        ended=fields[10],
        verdicts=verdicts,
        notice=fields[13],
    )


def _verdict(finding: Any) -> tuple[str, tuple[Verdict, str]]:
    fits = (
        isinstance(finding, list)
        and len(finding) == 6
        and isinstance(finding[0], str)
        and type(finding[1]) is int
        and isinstance(finding[2], str)
    )
    if not fits:
        raise WrongTypeError("a finding is not an id, a verdict, a reason and its exchanges")
    if not 0 <= finding[1] < len(_VERDICTS):
        raise OutOfRangeError(f"verdict {finding[1]} is not known here")
    if not (finding[0] + finding[2]).isprintable():
        raise OutOfRangeError("a finding has characters that cannot be shown")
    return finding[0], (_VERDICTS[finding[1]], finding[2])
