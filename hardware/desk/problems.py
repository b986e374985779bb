"""What the desk answers when it says no: problem documents (RFC 9457), by the names of docs/spec/desk.md."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from wallet_core.errors import (
    CardError,
    CodecError,
    EcnyError,
    OutcomeUnknownError,
    PurseRefusal,
    StorageError,
    TransportError,
    UsageError,
    VerificationError,
)

URN: Final = "urn:ecny:problem:"

PROBLEMS: Final[dict[str, tuple[HTTPStatus, str]]] = {
    "malformed": (HTTPStatus.BAD_REQUEST, "The request is malformed"),
    "not-authorised": (HTTPStatus.FORBIDDEN, "This call changes something and carries no token of this boot"),
    "wrong-origin": (HTTPStatus.FORBIDDEN, "The desk answers its own page only"),
    "wrong-host": (HTTPStatus.MISDIRECTED_REQUEST, "The desk answers under its own address only"),
    "not-found": (HTTPStatus.NOT_FOUND, "Nothing has this name"),
    "method-not-allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "This address has other methods"),
    "too-large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large"),
    "unsupported-media-type": (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is of another media type"),
    "card-exists": (HTTPStatus.CONFLICT, "A card or snapshot has this name already"),
    "card-inserted": (HTTPStatus.CONFLICT, "The card is in a reader already"),
    "card-not-inserted": (HTTPStatus.CONFLICT, "The card is in no reader"),
    "reader-occupied": (HTTPStatus.CONFLICT, "Another card is in this reader"),
    "busy": (HTTPStatus.CONFLICT, "The same card is still at work"),
    "card-dead": (HTTPStatus.CONFLICT, "The card does not start any more"),
    "outcome-unknown": (HTTPStatus.CONFLICT, "Sent, but no answer came: the card may or may not have acted"),
    "no-card": (HTTPStatus.CONFLICT, "The card was lost before the command was sent"),
    "card-refused": (HTTPStatus.UNPROCESSABLE_ENTITY, "The card refused"),
    "not-verified": (HTTPStatus.UNPROCESSABLE_ENTITY, "What the card said is not to be believed"),
    "too-many": (HTTPStatus.CONFLICT, "No more of these"),
    "too-many-streams": (HTTPStatus.SERVICE_UNAVAILABLE, "All streams of events are taken"),
    "storage": (HTTPStatus.SERVICE_UNAVAILABLE, "The disk refused"),
    "internal-error": (HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error"),
}

_BY_CLASS: Final[tuple[tuple[type[EcnyError], str], ...]] = (
    (UsageError, "malformed"),
    (CodecError, "malformed"),
    (VerificationError, "not-verified"),
    (PurseRefusal, "card-refused"),
    (CardError, "card-refused"),
    (OutcomeUnknownError, "outcome-unknown"),
    (TransportError, "no-card"),
    (StorageError, "storage"),
)


class DeskProblem(EcnyError):
    """A refusal of the desk by its name in `PROBLEMS`; `members` are added to the document."""

    code = "desk-problem"
    default_next_step = "See docs/spec/desk.md for what this call takes."

    def __init__(self, name: str, detail: str, *, next_step: str | None = None, **members: Any) -> None:
        super().__init__(detail, next_step=next_step)
        self.name = name
        self.status, self.title = PROBLEMS[name]
        self.members = members

    def document(self) -> dict[str, Any]:
        """The RFC 9457 object; `code` is the typed name that a program goes by."""
        return {
            "type": URN + self.name,
            "title": self.title,
            "status": self.status.value,
            "detail": self.message,
            "next_step": self.next_step,
            "code": self.name,
            **self.members,
        }


def problem_of(error: EcnyError) -> DeskProblem:
    """The problem that an error of the tree becomes."""
    if isinstance(error, DeskProblem):
        return error
    for kind, name in _BY_CLASS:
        if isinstance(error, kind):
            members: dict[str, Any] = {"error": error.code}
            if isinstance(error, PurseRefusal):
                members["reason"] = error.reason.name
            if isinstance(error, CardError):
                members["sw"] = f"{error.sw:04X}"
            return DeskProblem(name, error.message, next_step=error.next_step, **members)
    return DeskProblem("internal-error", "Something went wrong here.", next_step="Run again with ECNY_DEBUG=1.")
