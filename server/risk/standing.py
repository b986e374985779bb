"""Where a purse or till stands. Revocation stops what is new, never the finishing of a transfer (rule 10)."""

from __future__ import annotations

import structlog

from server.problems import Problem
from server.storage.protocol import Reader, Writer
from server.storage.records_risk import PurseStatus, StandingRecord
from wallet_core.ids import short

_log = structlog.get_logger()


def status_of(tx: Reader, party: bytes) -> PurseStatus:
    """ACTIVE for everyone about whom nothing is known."""
    return standing_of(tx, party).status


def standing_of(tx: Reader, party: bytes) -> StandingRecord:
    """With the reason, for the operator."""
    return tx.standing(party) or StandingRecord(party, PurseStatus.ACTIVE, "", 0, 0)


def require_active(tx: Reader, party: bytes) -> None:
    """The gate before a load, a Request, an enrolment; raises Problem `revoked`."""
    status = status_of(tx, party)
    if status is not PurseStatus.ACTIVE:
        raise Problem(
            "revoked",
            f"This purse or till is {status.name.lower()}.",
            next_step="Nothing new begins with it; what was begun can be finished.",
        )


def move_to(tx: Writer, party: bytes, status: PurseStatus, why: str, *, now: int) -> bool:
    """Change the standing, only ever to a higher rank; False when there is nothing to change. `now`: s since 1970."""
    if status.rank <= status_of(tx, party).rank:
        return False
    tx.set_standing(party, status, why, now=now)
    _log.warning("standing", party=short(party), status=status.name, why=why)
    return True
