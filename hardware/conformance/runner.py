"""Runs the checks over one card, in the order of its life, and says of each requirement what was found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from hardware.channel_opening import HostHandshake
from hardware.commands import GetData
from hardware.conformance.bench import SELECT, Bench
from hardware.conformance.checks import lifecycle, personalise
from hardware.conformance.lab import Lab
from hardware.conformance.requirements import (
    Nonconformity,
    NotApplicable,
    NotTried,
    Requirement,
    Stage,
    in_order,
    registered,
)
from hardware.conformance.trace import Exchange
from hardware.data_objects import AID, FciTag, Tag
from hardware.status_words import SW, describe
from hardware.transports.base import Transport
from wallet_core.certificates import Certificate
from wallet_core.errors import (
    ConfigurationError,
    EcnyError,
    NoCardError,
    NoReaderError,
    NoServiceError,
    UsageError,
    VerificationError,
    WrongAppletError,
)
from wallet_core.purse.state import Lifecycle

_ATTEMPTS: Final = 2
"""To power a card up that has fallen silent: one reset may be too short for it."""
_LIFECYCLE_AT: Final = 2 + 2 + len(AID) + 2 + 2
"""Of the value of C0 in the FCI."""


NOTICE: Final = "Test money. An open reference, not affiliated with the People's Bank of China or any bank."
"""What every report says, so that nobody takes it for a certificate of theirs."""


class Conclusion(Enum):
    """What a run says about the card as a whole."""

    CONFORMS = "conforms"  # everything that can be tried was, and nothing failed
    NO_FAULT = "no fault found"  # in what was tried
    NOTHING_TRIED = "nothing was tried"
    DOES_NOT_CONFORM = "does not conform"

    @property
    def is_good(self) -> bool:
        return self in (Conclusion.CONFORMS, Conclusion.NO_FAULT)


class Verdict(Enum):
    """What was found of one requirement."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"
    NOT_TRIED = "not tried"
    UNTESTABLE = "untestable"


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one requirement, why (nothing where it passed), and the exchanges that show it."""

    requirement: Requirement
    verdict: Verdict
    why: str = ""
    exchanges: tuple[Exchange, ...] = ()


@dataclass(frozen=True, slots=True)
class Examination:
    """One run: which card, in which reader, and the findings. `serial`: 8 bytes; `begun` and `ended` its life cycle."""

    reader: str
    atr: bytes
    serial: bytes
    begun: str
    ended: str
    exchanges: int
    findings: tuple[Finding, ...] = field(repr=False)

    def count(self, verdict: Verdict) -> int:
        return sum(one.verdict is verdict for one in self.findings)

    @property
    def conclusion(self) -> Conclusion:
        return conclude({one.requirement.id: one.verdict for one in self.findings})


def conclude(verdicts: Mapping[str, Verdict]) -> Conclusion:
    """From the verdicts by id; a requirement of this version that is not among them was not tried."""
    found = set(verdicts.values())
    if Verdict.FAILED in found:
        return Conclusion.DOES_NOT_CONFORM
    if Verdict.PASSED not in found:
        return Conclusion.NOTHING_TRIED
    whole = Verdict.NOT_TRIED not in found and {one.id for one in registered()} <= set(verdicts)
    return Conclusion.CONFORMS if whole else Conclusion.NO_FAULT


def chosen(only: Collection[str] = ()) -> tuple[Requirement, ...]:
    """All requirements, or those with these ids or of these areas (`PAY`). Raises UsageError for an unknown one."""
    every = registered()
    unknown = [name for name in only if not any(_named(one, name) for one in every)]
    if unknown:
        raise UsageError(f"there is no requirement {unknown[0]}", next_step="See `ecny card conform --list`.")
    return tuple(one for one in every if not only or any(_named(one, name) for name in only))


def _named(one: Requirement, name: str) -> bool:
    wanted = name.upper()
    wanted = wanted if wanted.startswith("ECNY-") else f"ECNY-{wanted}"
    return one.id == wanted or one.id.startswith(f"{wanted}-")


def examine(
    transport: Transport,
    *,
    random: Callable[[int], bytes],
    only: Collection[str] = (),
    destructive: bool = False,
    lab: Lab | None = None,
    told: Callable[[Finding], object] = lambda _: None,
) -> Examination:
    """Examine the card behind `transport`, and tell of each finding as it is made.

    Raises UsageError (an unknown id), ConfigurationError (a production card; a destructive run on a card that is not
    the laboratory's), WrongAppletError, and the errors of a reader without a card. Nothing a card answers is raised.
    """
    return _Run(Bench(transport, lab or Lab(), random), chosen(only), destructive, told).go()


class _Run:
    """The state of one examination: how far in its life the card is."""

    def __init__(
        self, bench: Bench, wanted: tuple[Requirement, ...], destructive: bool, told: Callable[[Finding], object]
    ) -> None:
        self._bench = bench
        self._wanted = wanted
        self._destructive = destructive
        self._told = told
        self._stages: dict[Stage, str] = {}
        """Why a stage cannot be reached any more."""
        self._gone = ""
        """Why there is no card any more."""

    def go(self) -> Examination:
        bench = self._bench
        serial, begun = self._admit()
        findings: dict[str, Finding] = {}
        for stage in Stage:
            mine = [one for one in self._wanted if one.stage is stage and one.check]
            if stage in self._stages or not any(one.stage >= stage for one in self._wanted if one.check):
                why = self._stages.get(stage, "")
            else:
                why = self._enter(stage)
            for one in mine:
                findings[one.id] = self._try(one, why)
                self._told(findings[one.id])
        for one in self._wanted:
            if one.check is None:
                findings[one.id] = Finding(one, Verdict.UNTESTABLE, one.untestable)
        ended = self._lifecycle()
        ordered = tuple(findings[one.id] for one in in_order(self._wanted))
        return Examination(
            bench.recorder.name, bench.recorder.atr, serial, begun.lower(), ended.lower(), bench.recorder.count, ordered
        )

    # Which card this is, and what may be done to it

    def _admit(self) -> tuple[bytes, str]:
        """Serial number and life cycle of a card that may be examined; what cannot be tried is noted."""
        bench = self._bench
        with bench.quietly():
            bench.power()
            answer = bench.raw(SELECT)
            if answer.sw != SW.OK:
                raise WrongAppletError(answer.sw, f"SELECT was answered {answer.sw:04X}: {describe(answer.sw)}")
            lifecycle_now = _state_of(answer.data)
            if lifecycle_now is None:
                raise WrongAppletError(answer.sw, "the answer to SELECT is not a purse's")
            serial = bench.serial()
            foreign = self._foreign()
            if not foreign and lifecycle_now is not Lifecycle.TERMINATED:
                self._check_transport_keys()
        if self._destructive and foreign:
            raise ConfigurationError(
                f"a destructive run wants a card of the laboratory: {foreign}",
                next_step="Take a blank test card, or leave --destructive out.",
            )
        if foreign:
            self._stages |= dict.fromkeys((Stage.BLANK, Stage.PERSONALISED, Stage.ACTIVE, Stage.CLOSING), foreign)
        elif lifecycle_now is not Lifecycle.BLANK:
            passed = f"the card is {lifecycle_now.name.lower()}; a blank one shows this"
            gone = [stage for stage in (Stage.BLANK, Stage.PERSONALISED) if int(stage) - 1 < lifecycle_now]
            if lifecycle_now > Lifecycle.ACTIVE:
                gone += [Stage.ACTIVE, Stage.CLOSING]
            self._stages |= dict.fromkeys(gone, passed)
        return serial, lifecycle_now.name

    def _foreign(self) -> str:
        """Why the card is nobody's to examine in full: another authority has certified it. Raises ConfigurationError
        for a production card."""
        bench = self._bench
        for tag in (Tag.AUTHORITY_CERTIFICATE, Tag.PURSE_CERTIFICATE):
            response = bench.do(GetData(tag))
            if response.sw == SW.OK and not Certificate.from_bytes(response.data).test:
                raise ConfigurationError(
                    "this is a production card: its certificate has no test mark",
                    next_step="Examine test cards only; nothing was sent to this one but SELECT and GET DATA.",
                )
        response = bench.do(GetData(Tag.AUTHORITY_CERTIFICATE))
        if response.sw == SW.OK and response.data != bench.lab.authority.certificate.to_bytes():
            return "another authority has personalised this card"
        return ""

    def _check_transport_keys(self) -> None:
        """INITIALIZE UPDATE shows whether the card has the published test keys; no try of any kind is used up."""
        bench = self._bench
        handshake = HostHandshake(bench.keys(), bench.random(8))
        answer = bench.apdu(handshake.initialize_update())
        try:
            handshake.external_authenticate(answer.data)
        except VerificationError as other:
            raise ConfigurationError(
                "the card does not have the published transport keys of test cards",
                next_step="Examine a test card: these keys are derived from its serial number.",
            ) from other
        except EcnyError:
            return  # no answer of SCP03 at all: the checks of the channel will say so

    def _lifecycle(self) -> str:
        with self._bench.quietly():
            try:
                state = _state_of(self._bench.tap())
            except (EcnyError, Nonconformity):
                state = None
        return state.name if state is not None else "unknown"

    # Stages

    def _enter(self, stage: Stage) -> str:
        """Brings the card into a stage; returns why it cannot be, or nothing. What is irreversible happens here."""
        bench = self._bench
        if self._gone or (stage is Stage.CLOSING and not self._destructive):
            return self._gone
        moves: dict[Stage, Callable[[Bench], None]] = {
            Stage.PERSONALISED: personalise.complete,
            Stage.ACTIVE: personalise.activate,
            Stage.CLOSING: lifecycle.prepare,
        }
        move = moves.get(stage)
        later = [other for other in (Stage.PERSONALISED, Stage.ACTIVE, Stage.CLOSING) if other >= stage]
        if move is None or (stage is Stage.ACTIVE and self._lifecycle() == Lifecycle.ACTIVE.name):
            return ""
        with bench.quietly():
            try:
                move(bench)
            except (EcnyError, Nonconformity) as wrong:
                why = f"the card could not be brought there: {_text(wrong)}"
                self._stages |= dict.fromkeys(later[1:], why)
                return why
        return ""

    def _try(self, one: Requirement, unreachable: str) -> Finding:
        bench = self._bench
        if self._gone:
            return Finding(one, Verdict.NOT_TRIED, self._gone)
        if one.destructive and not self._destructive:
            return Finding(one, Verdict.NOT_TRIED, "it blocks or terminates the card: --destructive tries it")
        if unreachable.startswith("the card could not"):
            return Finding(one, Verdict.FAILED, unreachable)
        if unreachable:
            return Finding(one, Verdict.NOT_TRIED, unreachable)
        bench.recorder.take()
        try:
            if one.stage is Stage.ACTIVE:
                with bench.quietly():
                    bench.prepare()
            if one.check is not None:
                one.check(bench)
        except NotApplicable as reason:
            return Finding(one, Verdict.NOT_APPLICABLE, str(reason), bench.recorder.take())
        except NotTried as reason:
            return Finding(one, Verdict.NOT_TRIED, str(reason), bench.recorder.take())
        except (NoServiceError, NoReaderError):
            raise
        except (Nonconformity, EcnyError) as wrong:
            self._revive()
            return Finding(one, Verdict.FAILED, _text(wrong), bench.recorder.take())
        return Finding(one, Verdict.PASSED, "", bench.recorder.take())

    def _revive(self) -> None:
        """After a failure: power off and on. A card that does not come back is gone, and what follows is not tried."""
        bench = self._bench
        with bench.quietly():
            bench.connection.plain()
            for _ in range(_ATTEMPTS):
                try:
                    bench.power()
                except NoCardError as lost:
                    self._gone = f"the card has not come back: {lost.message}"
                else:
                    self._gone = ""
                    return


def _state_of(fci: bytes) -> Lifecycle | None:
    """C0 of the answer to SELECT, where it stands in a purse's; None for any other answer."""
    if fci[2 : 4 + len(AID)] != bytes((FciTag.AID, len(AID))) + AID or len(fci) <= _LIFECYCLE_AT:
        return None
    try:
        return Lifecycle(fci[_LIFECYCLE_AT])
    except ValueError:
        return None


def _text(wrong: Exception) -> str:
    return wrong.message if isinstance(wrong, EcnyError) else str(wrong)
