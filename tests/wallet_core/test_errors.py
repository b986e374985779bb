"""The error tree: as drawn, each class with a code of its own, an exit code and something to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from wallet_core import errors
from wallet_core.errors import CardError, EcnyError, ExitCode, PurseRefusal, Refused, SettlementError

DRAWN = re.findall(r"^[ │├└─]+(\w+(?:Error|Refusal))(?: +(\d+)\b)?", errors.__doc__ or "", re.MULTILINE)


def family(root: type[EcnyError]) -> Iterator[type[EcnyError]]:
    yield root
    for child in root.__subclasses__():
        yield from family(child)


CLASSES = [kind for kind in family(EcnyError) if kind.__module__ == "wallet_core.errors"]


def sample(kind: type[EcnyError]) -> EcnyError:
    if issubclass(kind, PurseRefusal):
        return kind(Refused.STALE)
    return kind(0x6A82) if issubclass(kind, CardError) else kind("something is wrong")


def test_the_drawing_is_the_tree() -> None:
    """Each class is drawn once, under its parent."""
    drawn: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"^    ([ │├└─]*)(\w+(?:Error|Refusal))\b", line):
            depth, name = len(found[1]) // 4, found[2]
            above = [*above[:depth], name]
            assert name not in drawn
            drawn[name] = above[depth - 1] if depth else None
    parents = {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES}
    assert drawn == {**parents, "EcnyError": None}


@pytest.mark.parametrize("name", [name for name, _ in DRAWN])
def test_the_drawing_has_the_exit_codes(name: str) -> None:
    kind = getattr(errors, name)
    drawn = dict(DRAWN)[name]
    parents = [parent for parent in kind.__mro__ if issubclass(parent, EcnyError)]
    inherited = next(code for code in (dict(DRAWN)[parent.__name__] for parent in parents) if code)
    assert kind.exit_code == int(drawn or inherited)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_says_what_and_what_next(kind: type[EcnyError]) -> None:
    error = sample(kind)
    assert error.message
    assert str(error) == error.message
    assert error.next_step == kind.default_next_step != ""
    assert isinstance(error.exit_code, ExitCode)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in CLASSES]
    assert len(codes) == len(set(codes))


def test_a_next_step_of_its_own() -> None:
    assert EcnyError("no", next_step="Ask.").next_step == "Ask."
    assert EcnyError("no", next_step="").next_step == ""
    assert PurseRefusal(Refused.AMOUNT, next_step="Pay more.").next_step == "Pay more."


def test_what_errors_carry() -> None:
    assert PurseRefusal(Refused.SELF_PAYMENT).reason is Refused.SELF_PAYMENT
    assert PurseRefusal(Refused.SELF_PAYMENT).message == "self payment"
    assert PurseRefusal(Refused.STALE, "old").message == "old"
    assert CardError(0x6985).sw == 0x6985
    assert "6985" in CardError(0x6985).message
    refused = SettlementError("no", problem="stale-counter", status=409)
    assert (refused.problem, refused.status) == ("stale-counter", 409)


def test_outcome_unknown_is_neither_failure_nor_success() -> None:
    codes = [kind.exit_code for kind in CLASSES]
    assert codes.count(ExitCode.OUTCOME_UNKNOWN) == 1
    assert ExitCode.OUTCOME_UNKNOWN not in (ExitCode.OK, ExitCode.CARD_REFUSED, ExitCode.NO_CARD)


def test_status_words_promise_that_nothing_was_written() -> None:
    """ISO 7816-4, table 6: 69xx and 6Axx are checking errors, process aborted."""
    assert {reason.value >> 8 for reason in Refused} <= {0x69, 0x6A}
    assert len({reason.value for reason in Refused}) == len(list(Refused))
