"""What the server answers when it says no: RFC 9457 problems, the same names as in docs/spec/http.md."""

from __future__ import annotations

from http import HTTPStatus

from wallet_core.errors import (
    CodecError,
    ConfigurationError,
    EcnyError,
    SettlementError,
    StorageError,
    VerificationError,
)

URN = "urn:ecny:problem:"

# name → status, title
PROBLEMS: dict[str, tuple[HTTPStatus, str]] = {
    "malformed": (HTTPStatus.BAD_REQUEST, "The message is malformed"),
    "not-authorised": (HTTPStatus.UNAUTHORIZED, "Not authorised"),
    "not-found": (HTTPStatus.NOT_FOUND, "Nothing is stored under this name"),
    "method-not-allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "This address has other methods"),
    "in-progress": (HTTPStatus.CONFLICT, "The same call is still at work"),
    "stale-counter": (HTTPStatus.CONFLICT, "The operator's purse has moved on"),
    "load-settled": (HTTPStatus.CONFLICT, "This load is paid under another Request"),
    "request-refused": (HTTPStatus.CONFLICT, "The payee has refused this Request"),
    "settled": (HTTPStatus.CONFLICT, "The voucher of this Request is credited"),
    "not-covered": (HTTPStatus.CONFLICT, "More than the purse is proved to have received"),
    "batch-number-used": (HTTPStatus.CONFLICT, "Another batch has this number"),
    "batch-out-of-order": (HTTPStatus.CONFLICT, "The batch does not continue this till's chain"),
    "code-used": (HTTPStatus.CONFLICT, "The enrolment code was used by another key"),
    "revoked": (HTTPStatus.FORBIDDEN, "This purse or till begins nothing new"),
    "not-due": (HTTPStatus.CONFLICT, "Not yet"),
    "too-large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large"),
    "unsupported-media-type": (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is of another media type"),
    "not-verified": (HTTPStatus.UNPROCESSABLE_ENTITY, "The message is well-formed, but not to be believed"),
    "idempotency-mismatch": (HTTPStatus.UNPROCESSABLE_ENTITY, "The same key was used for something else"),
    "limit": (HTTPStatus.UNPROCESSABLE_ENTITY, "Above a limit"),
    "purse-empty": (HTTPStatus.UNPROCESSABLE_ENTITY, "The operator's purse has not enough value"),
    "internal-error": (HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error"),
    "storage": (HTTPStatus.SERVICE_UNAVAILABLE, "The storage refuses; nothing was done"),
    "not-ready": (HTTPStatus.SERVICE_UNAVAILABLE, "The server is not ready"),
}

_BY_CLASS: tuple[tuple[type[EcnyError], str], ...] = (
    (CodecError, "malformed"),
    (VerificationError, "not-verified"),
    (StorageError, "storage"),
    (ConfigurationError, "not-ready"),
)


class Problem(SettlementError):
    """A refusal by name; `members` are added to the problem document (docs/spec/http.md, *Members of a problem*)."""

    def __init__(self, name: str, detail: str, *, next_step: str | None = None, **members: int | str) -> None:
        status, self.title = PROBLEMS[name]
        super().__init__(detail, problem=name, status=status.value, next_step=next_step)
        self.members = members

    def document(self, code: str | None = None) -> dict[str, int | str]:
        """The RFC 9457 object. `code` is the error's stable name, by default the problem's."""
        return {
            "type": URN + self.problem,
            "title": self.title,
            "status": self.status,
            "detail": self.message,
            "next_step": self.next_step,
            "code": code or self.problem,
            **self.members,
        }


def problem_of(error: EcnyError) -> Problem:
    """The problem that an error of the tree becomes; what is no fault of the caller is not described to it."""
    if isinstance(error, Problem):
        return error
    for kind, name in _BY_CLASS:
        if isinstance(error, kind):
            return Problem(name, error.message, next_step=error.next_step)
    return Problem("internal-error", "Something went wrong here.", next_step="Try again; then report the time.")
