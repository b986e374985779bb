"""What each command costs the card itself, from the specification's steps and one chip's published times.

`WORK` says which operations a command of docs/spec/apdu.md cannot be done without: signatures made and verified, bytes
hashed and sealed, bytes written before the commit, commits. A card whose applet keeps its policy and state parsed does
no more than these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from hardware.instructions import CERTIFICATE_SIZE, SIGNED_REQUEST_SIZE, SIGNED_VOUCHER_SIZE, Ins
from hardware.tap_model.chips import CardTimes
from wallet_core.audit import SEALED_SIZE

_SIGNATURE: Final = 66  # of a COSE_Sign1 with its head: what is not hashed
_PADDING: Final = 9  # of SHA-256, at least
_STATUS_WORD: Final = 2
COMMIT_BYTES: Final = 64
"""Totals, counter, slot state and hash: what one commit of a payment changes."""


@dataclass(frozen=True, slots=True)
class Work:
    """Operations of one command. `hashed`: bytes of each message hashed; `written`: bytes to NVM before the commit."""

    signs: int = 0
    verifies: int = 0
    hashed: tuple[int, ...] = ()
    sealed: int = 0
    written: int = 0
    commits: int = 0


@dataclass(frozen=True, slots=True)
class CardShare:
    """Milliseconds of one command inside the card: cryptography, NVM, and everything else of the applet."""

    crypto: float = 0.0
    nvm: float = 0.0
    applet: float = 0.0

    @property
    def total(self) -> float:
        return self.crypto + self.nvm + self.applet


_VOUCHER: Final = SIGNED_VOUCHER_SIZE - _SIGNATURE
_REQUEST: Final = SIGNED_REQUEST_SIZE - _SIGNATURE
_CERTIFICATE: Final = CERTIFICATE_SIZE - _SIGNATURE
_CHAIN: Final = (_CERTIFICATE, _CERTIFICATE)

WORK: Final[Mapping[tuple[int, int], Work]] = MappingProxyType(
    {
        (Ins.VERIFY, 0): Work(commits=2),
        (Ins.PAY, 0): Work(
            signs=1, hashed=(_REQUEST, _VOUCHER), sealed=SEALED_SIZE, written=SIGNED_VOUCHER_SIZE, commits=1
        ),
        (Ins.PAY, 1): Work(
            signs=1,
            verifies=3,
            hashed=(*_CHAIN, _REQUEST, _VOUCHER),
            sealed=SEALED_SIZE,
            written=SIGNED_VOUCHER_SIZE,
            commits=1,
        ),
        (Ins.REQUEST, 0): Work(signs=1, hashed=(_REQUEST,), written=SIGNED_REQUEST_SIZE, commits=1),
        (Ins.REQUEST, 1): Work(signs=1, verifies=2, hashed=(*_CHAIN, _REQUEST), written=SIGNED_REQUEST_SIZE, commits=1),
        (Ins.COLLECT, 0): Work(signs=1, verifies=3, hashed=(*_CHAIN, _VOUCHER, 120), written=186, commits=1),
        (Ins.REFUSE, 0): Work(signs=1, hashed=(90,), written=156, commits=1),
        (Ins.ACKNOWLEDGE, 0): Work(verifies=3, hashed=(*_CHAIN, 120), commits=1),
        (Ins.ACKNOWLEDGE, 1): Work(verifies=3, hashed=(*_CHAIN, 90), commits=1),
        (Ins.REVERSE, 0): Work(verifies=1, hashed=(131,), commits=1),
        (Ins.REPORT, 0): Work(signs=1, hashed=(1022,)),
        (Ins.GRANT, 0): Work(verifies=1, hashed=(240,), commits=1),
    }
)
"""(INS, P1) → operations. A command that is not here has no cryptography and writes nothing."""


def command_share(times: CardTimes, ins: int, p1: int, sent: int, received: int) -> CardShare:
    """The card's own time for one command of `sent` bytes that was answered with `received` bytes.

    Two bytes where data was due are a refusal, which costs the dispatch only. A stored answer looks like a fresh one
    and is counted as one: the figure is an upper bound then.
    """
    work = WORK.get((ins, p1), Work())
    answers = ins not in (Ins.VERIFY, Ins.ACKNOWLEDGE, Ins.REVERSE, Ins.GRANT)
    if answers and received <= _STATUS_WORD:
        work = Work()
    hashing = sum(sha256_blocks(size) for size in work.hashed) * times.sha256_block
    asymmetric = work.signs * (times.use_key + times.sign) + work.verifies * (
        times.load_key + times.use_key + times.verify
    )
    sealing = times.aes_init + work.sealed / 16 * times.aes_block if work.sealed else 0.0
    commits = work.commits * (times.commit + times.write_ms(COMMIT_BYTES))
    return CardShare(
        crypto=hashing + asymmetric + sealing,
        nvm=times.write_ms(work.written) + commits,
        applet=times.apdu + (sent + received) / 256 * times.copy_256,
    )


def command_ms(times: CardTimes, ins: int, p1: int, sent: int, received: int) -> float:
    """The sum of `command_share`, ms."""
    return command_share(times, ins, p1, sent, received).total


def sha256_blocks(size: int) -> int:
    """Compressions for a message of `size` bytes."""
    return -(-(size + _PADDING) // 64)
