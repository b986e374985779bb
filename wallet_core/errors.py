"""The one error tree of the project; every package raises from here and the command line maps it to exit codes.

    EcnyError                         1   internal error
    ├── UsageError                    2   an argument is wrong
    ├── ConfigurationError           10   keys, files or settings are missing or do not fit
    ├── CodecError                   13   bytes that are not a canonical message
    │   ├── TruncatedError                ends too soon
    │   ├── OversizedError                longer than the message can be
    │   ├── NotCanonicalError             same meaning, other bytes: refused
    │   ├── UnknownLabelError             a label, type or status this version does not know
    │   ├── WrongTypeError                a message of another type
    │   ├── UnknownSuiteError             a suite this version does not know or the policy forbids
    │   └── OutOfRangeError               a field outside its limits
    ├── VerificationError            13   well-formed, but not to be believed
    │   ├── BadSignatureError
    │   ├── UntrustedCertificateError     no chain to the authority
    │   ├── ExpiredCertificateError       outside nbf..exp
    │   ├── WrongClassError               a certificate of a class that may not do this
    │   ├── TestKeyRefusedError           a test key in a production trust store
    │   └── MismatchError                 signed, but answers another question (other payee, amount, counter…)
    ├── PurseRefusal                  7   a purse decided no, before any debit (carries its Refused reason)
    ├── CardError                     7   the card answered a status word other than 9000 (carries it)
    │   └── WrongAppletError          6   the card does not carry the purse
    ├── TransportError                5   nothing is known to have reached the card
    │   ├── NoServiceError            3   the PC/SC service does not answer
    │   ├── NoReaderError             4   no such reader
    │   ├── NoCardError               5   no card in the reader
    │   ├── ReaderBusyError           4   another program holds the reader or the card image
    │   └── OutcomeUnknownError       8   sent, but no answer came: the card may or may not have acted
    ├── StorageError                 11   the disk refused; nothing was acknowledged
    └── SettlementError               9   the server refused (carries the problem type)
        └── ServerUnreachableError   12   no usable answer: the work stays queued

*Outcome unknown* is a class of its own under transport and is never shown as a failure nor as a success.
Foreign exceptions are translated once each, in the module that imports the foreign library.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of the `ecny` command (docs/spec/statuses.md, section *Exit codes*)."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    NO_SERVICE = 3
    NO_READER = 4
    NO_CARD = 5
    WRONG_APPLET = 6
    CARD_REFUSED = 7
    OUTCOME_UNKNOWN = 8
    SERVER_REFUSED = 9
    CONFIGURATION = 10
    STORAGE = 11
    SERVER_UNREACHABLE = 12
    VERDICT_NEGATIVE = 13
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class EcnyError(Exception):
    """Root of the tree: says what is wrong and what to do next.

    `code` is stable and kebab-case: it names the class on the command line (`--json`) and in problem documents.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL
    code: ClassVar[str] = "internal-error"
    default_next_step: ClassVar[str] = "Report this with the command that you ran."

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step if next_step is not None else self.default_next_step


class UsageError(EcnyError):
    exit_code = ExitCode.USAGE
    code = "usage"
    default_next_step = "See --help for what this command takes."


class ConfigurationError(EcnyError):
    exit_code = ExitCode.CONFIGURATION
    code = "configuration"
    default_next_step = "Check the data directory (--data or ECNY_HOME) and run `ecny doctor`."


class CodecError(EcnyError):
    exit_code = ExitCode.VERDICT_NEGATIVE
    code = "malformed"
    default_next_step = "Ask the sender for the message again; do not repair it by hand."


class TruncatedError(CodecError):
    code = "truncated"


class OversizedError(CodecError):
    code = "oversized"


class NotCanonicalError(CodecError):
    code = "not-canonical"


class UnknownLabelError(CodecError):
    code = "unknown-label"


class WrongTypeError(CodecError):
    code = "wrong-type"


class UnknownSuiteError(CodecError):
    code = "unknown-suite"


class OutOfRangeError(CodecError):
    code = "out-of-range"


class VerificationError(EcnyError):
    exit_code = ExitCode.VERDICT_NEGATIVE
    code = "not-verified"
    default_next_step = "Do not act on this message; keep it as evidence."


class BadSignatureError(VerificationError):
    code = "bad-signature"


class UntrustedCertificateError(VerificationError):
    code = "untrusted-certificate"


class ExpiredCertificateError(VerificationError):
    code = "expired-certificate"


class WrongClassError(VerificationError):
    code = "wrong-class"


class TestKeyRefusedError(VerificationError):
    __test__ = False  # the name starts with Test, but it is no test class
    code = "test-key-refused"


class MismatchError(VerificationError):
    code = "mismatch"


class Refused(IntEnum):
    """Why a purse refused, in order of precedence: the first that applies is the answer (docs/spec/statuses.md).

    Each value is the ISO 7816-4 status word the card answers with; none of them leaves a trace in the card's memory.
    """

    WRONG_STATE = 0x6985  # the purse is not in the life-cycle state that this command needs
    MALFORMED = 0x6A80  # not a canonical message
    WRONG_PURSE = 0x69EC  # names another purse, epoch or payer than this one
    SUITE = 0x69EE  # a suite below the policy's least
    STALE = 0x69E1  # n is not the next counter and no slot holds this Request
    SLOTS_FULL = 0x6A84  # no free slot (or no free entry in the table of Requests)
    COUNTERS_EXHAUSTED = 0x69EF  # n or k has reached its last value
    PAYEE_CLASS = 0x69E7  # this class of payer may not pay this class of payee
    PAYEE_UNVERIFIED = 0x69E9  # above the threshold the Request must be signed and certified
    CERTIFICATE = 0x69EB  # a certificate does not verify here
    SIGNATURE = 0x69EA  # a signature does not verify here
    SELF_PAYMENT = 0x69E0  # payer and payee are the same purse
    AMOUNT = 0x69E6  # amount is 0 or above what a purse can count
    TRANSFER_LIMIT = 0x69E3  # above the limit for one transfer
    OFFLINE_TOTAL = 0x69E4  # above what may be spent before the next grant
    OFFLINE_COUNT = 0x69E5  # as many payments as may be made before the next grant
    INSUFFICIENT = 0x69E2  # above what the purse may spend
    BALANCE_LIMIT = 0x69E8  # balance and open Requests would pass the limit
    PIN_BLOCKED = 0x6983  # no tries left; finishing and recovery still work
    PIN_REQUIRED = 0x6982  # verify the PIN first
    REQUEST_CLOSED = 0x69ED  # not an open Request of this purse
    OUTCOME_FINAL = 0x69F1  # the slot has the other final outcome already
    POLICY_OLD = 0x69F0  # the grant wants a newer policy than the purse has
    NOT_FOUND = 0x6A88  # nothing stored under this reference


class PurseRefusal(EcnyError):
    """A purse decided no, before any debit: nothing has moved."""

    exit_code = ExitCode.CARD_REFUSED
    code = "purse-refused"
    default_next_step = "Nothing was charged. Correct what the reason names and try again."

    def __init__(self, reason: Refused, message: str | None = None, *, next_step: str | None = None) -> None:
        super().__init__(message or reason.name.lower().replace("_", " "), next_step=next_step)
        self.reason = reason


class CardError(EcnyError):
    """The card answered with a status word other than 9000."""

    exit_code = ExitCode.CARD_REFUSED
    code = "card-refused"
    default_next_step = "Nothing was charged by this command. Check the card with `ecny card info`."

    def __init__(self, sw: int, message: str | None = None, *, next_step: str | None = None) -> None:
        super().__init__(message or f"the card answered {sw:04X}", next_step=next_step)
        self.sw = sw


class WrongAppletError(CardError):
    exit_code = ExitCode.WRONG_APPLET
    code = "wrong-applet"
    default_next_step = "This card does not carry the purse; use a hard-wallet card."


class TransportError(EcnyError):
    """Nothing is known to have reached the card."""

    exit_code = ExitCode.NO_CARD
    code = "transport"
    default_next_step = "Put the card back on the reader and try again."


class NoServiceError(TransportError):
    exit_code = ExitCode.NO_SERVICE
    code = "no-pcsc-service"
    default_next_step = "Start pcscd (the PC/SC service) and run `ecny doctor`."


class NoReaderError(TransportError):
    exit_code = ExitCode.NO_READER
    code = "no-reader"
    default_next_step = "Plug the reader in; `ecny card readers` lists what is there."


class ReaderBusyError(TransportError):
    exit_code = ExitCode.NO_READER
    code = "reader-busy"
    default_next_step = "Close the other program that uses this reader or card image."


class NoCardError(TransportError):
    exit_code = ExitCode.NO_CARD
    code = "no-card"


class OutcomeUnknownError(TransportError):
    """A command was sent and no answer came: the card may or may not have acted."""

    exit_code = ExitCode.OUTCOME_UNKNOWN
    code = "outcome-unknown"
    default_next_step = "TAP THE SAME CARD AGAIN: it is charged at most once."


class StorageError(EcnyError):
    exit_code = ExitCode.STORAGE
    code = "storage"
    default_next_step = "Free disk space or repair the disk; nothing was acknowledged."


class SettlementError(EcnyError):
    """The server refused; `problem` is the RFC 9457 problem type's last path segment."""

    exit_code = ExitCode.SERVER_REFUSED
    code = "server-refused"
    default_next_step = "Read the problem's detail; the work is still stored here."

    def __init__(
        self, message: str, *, problem: str = "about:blank", status: int = 0, next_step: str | None = None
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.problem = problem
        self.status = status


class ServerUnreachableError(SettlementError):
    exit_code = ExitCode.SERVER_UNREACHABLE
    code = "server-unreachable"
    default_next_step = "The work is queued and goes out with the next sync."
