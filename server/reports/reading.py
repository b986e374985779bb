"""Evidence as it comes: parsed, its signers looked up, its signatures checked; outside any transaction.

Nothing is believed that does not lead to the authority. Dates are not checked: expiry never stops the finishing of a
transfer (docs/spec/transfer.md, rule 10).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from server.settlement.payers import Payer, PayerDirectory
from wallet_core.errors import BadSignatureError, CodecError, OutOfRangeError, WrongTypeError
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import Receipt, Refusal, Report, Signed, Voucher, parse


class EvidenceStatus(StrEnum):
    """What became of one message; the first that applies (docs/spec/http.md)."""

    MALFORMED = "malformed"  # not a Voucher, Receipt or Refusal in its one encoding
    UNKNOWN_SIGNER = "unknown-signer"  # no certificate of its signer leads to the authority
    NOT_A_PURSE = "not-a-purse"  # a till's answers come in its batches; or another epoch than the certificate's
    BAD_SIGNATURE = "bad-signature"
    UNKNOWN_PAYEE = "unknown-payee"  # a voucher to somebody of whom no certificate is here: send it along
    NOT_ASKED = "not-asked"  # a voucher to the operator's purse that answers no unload, or to the payer itself
    WAITING = "waiting"  # kept: it counts when its voucher comes
    RECORDED = "recorded"


Message = Signed[Voucher] | Signed[Receipt] | Signed[Refusal]


@dataclass(frozen=True, slots=True)
class Genuine:
    """A message whose signature holds. `signer`: the purse's id; `raw`: the signed bytes as they came."""

    signed: Message
    raw: bytes
    signer: bytes


class EvidenceReader:
    """Reads what anybody sends. `own`: id and key of the operator's purse, whose messages are known from the books."""

    def __init__(self, payers: PayerDirectory, own: bytes) -> None:
        self._payers = payers
        self._own = own

    def read(
        self, messages: Sequence[bytes], certificates: Sequence[bytes], *, now: int
    ) -> list[Genuine | EvidenceStatus]:
        """Each message, or what is wrong with it. Purses of `certificates` that a message names become known."""
        parsed = [_parsed(raw) for raw in messages]
        known = self._payers.resolve(_named(parsed) - {self._own}, certificates, now=now)
        found: list[Genuine | EvidenceStatus] = []
        for raw, signed in zip(messages, parsed, strict=True):
            if signed is None:
                found.append(EvidenceStatus.MALFORMED)
            else:
                fault = _fault(signed, known.get(_signer(signed)))
                found.append(fault or Genuine(signed, raw, _signer(signed)))
        return found

    def report(self, raw: bytes, certificates: Sequence[bytes], *, now: int) -> Signed[Report]:
        """A Report whose signature holds; raises CodecError, VerificationError for a purse that is not known."""
        signed = parse(Report, raw)
        report = signed.message
        signer = self._payers.resolve({report.purse}, certificates, now=now).get(report.purse)
        if signer is None or not signer.is_purse or signer.epoch != report.epoch:
            raise BadSignatureError(
                "no certificate of this purse and epoch leads to the authority",
                next_step="Send the purse's certificate along.",
            )
        signed.verify(signer.public)
        for line in report.slot_lines:
            if not 1 <= line.n <= COUNTER_MAX or not 1 <= line.state <= 3:
                raise OutOfRangeError("a slot of the report is none that a purse can have")
        for entry in report.entry_lines:
            if not 1 <= entry.k <= COUNTER_MAX or not 1 <= entry.state <= 3:
                raise OutOfRangeError("an entry of the report is none that a purse can have")
        return signed


_READERS: tuple[Callable[[bytes], Message], ...] = (
    lambda raw: parse(Voucher, raw),
    lambda raw: parse(Receipt, raw),
    lambda raw: parse(Refusal, raw),
)


def _parsed(raw: bytes) -> Message | None:
    for reader in _READERS:
        try:
            signed = reader(raw)
        except WrongTypeError:
            continue
        except (CodecError, BadSignatureError):
            return None
        if isinstance(signed.message, Voucher) and not _payable(signed.message):
            return None
        return signed
    return None


def _payable(voucher: Voucher) -> bool:
    return voucher.amount >= 1 and 1 <= voucher.n <= COUNTER_MAX


def _named(parsed: Iterable[Message | None]) -> set[bytes]:
    """Signers, and the payees of vouchers."""
    named: set[bytes] = set()
    for signed in parsed:
        if signed is not None:
            named.add(signed.message.payee)
            named.add(_signer(signed))
    return named


def _signer(signed: Message) -> bytes:
    message = signed.message
    return message.payer if isinstance(message, Voucher) else message.payee


def _fault(signed: Message, signer: Payer | None) -> EvidenceStatus | None:
    if signer is None:
        return EvidenceStatus.UNKNOWN_SIGNER
    message = signed.message
    if not signer.is_purse or (isinstance(message, Voucher) and message.epoch != signer.epoch):
        return EvidenceStatus.NOT_A_PURSE
    try:
        signed.verify(signer.public)
    except BadSignatureError:
        return EvidenceStatus.BAD_SIGNATURE
    return None
