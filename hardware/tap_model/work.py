"""What each command costs the card itself, from the specification's steps and one chip's published times.

`WORK` says what the Java Card applet (hardware/applet) does for a command of docs/spec/apdu.md: signatures made and
verified, bytes hashed and sealed, bytes written before the commit, commits; and how many bytecodes it executes and how
often it calls the API, counted in its simulator (tests/bench/bytecodes.py counts again). A certificate of the card's
own operator is known to it and needs one verification less than said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from hardware.instructions import (
    CERTIFICATE_SIZE,
    OBJECT_SIZES,
    SIGNED_GRANT_SIZE,
    SIGNED_ORDER_SIZE,
    SIGNED_RECEIPT_SIZE,
    SIGNED_REFUSAL_SIZE,
    SIGNED_REQUEST_SIZE,
    SIGNED_VOUCHER_SIZE,
    Ins,
    Store,
    signed_size,
)
from hardware.tap_model.chips import CardTimes
from wallet_core.audit import SEALED_SIZE
from wallet_core.messages import CertificationRequest, Report

COMMIT_BYTES: Final = 97
"""The applet's state record: what one commit changes."""
_ENVELOPE: Final = 56  # by which a Sig_structure is shorter than its COSE_Sign1: other head, no signature
_SHA256_TAIL: Final = 9  # of the padding, at least
_AES_BLOCK: Final = 16
_STATUS_WORD: Final = 2
_SCALAR: Final = 32


@dataclass(frozen=True, slots=True)
class Work:
    """Operations of one command. Bytes: `hashed` of each message, `sealed` by AES, `written` to NVM before a commit.

    `bytecodes` of the applet, `calls` of the API.
    """

    signs: int = 0
    verifies: int = 0
    hashed: tuple[int, ...] = ()
    sealed: int = 0
    written: int = 0
    commits: int = 0
    commit_bytes: int = COMMIT_BYTES
    bytecodes: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class CardShare:
    """Milliseconds of one command inside the card: cryptography, NVM, and everything else of the applet."""

    crypto: float = 0.0
    nvm: float = 0.0
    applet: float = 0.0

    @property
    def total(self) -> float:
        return self.crypto + self.nvm + self.applet


def hashed(*signed: int) -> tuple[int, ...]:
    """What is hashed of signed messages of these sizes."""
    return tuple(size - _ENVELOPE for size in signed)


_CHAIN: Final = hashed(CERTIFICATE_SIZE, CERTIFICATE_SIZE)  # operator, party
_PAID: Final = hashed(SIGNED_REQUEST_SIZE, SIGNED_VOUCHER_SIZE)


def _storing(target: Store, *, verified: bool) -> Work:
    size = OBJECT_SIZES[target]
    return Work(verifies=int(verified), hashed=hashed(size) if verified else (), written=size, commits=1)


_COMMIT: Final = Work(commits=1)
WORK: Final[Mapping[tuple[int, int], Work]] = MappingProxyType(
    {
        (Ins.VERIFY, 0): Work(commits=2),
        (Ins.PAY, 0): Work(signs=1, hashed=_PAID, sealed=SEALED_SIZE, written=SIGNED_VOUCHER_SIZE, commits=1),
        (Ins.PAY, 1): Work(
            signs=1, verifies=3, hashed=(*_CHAIN, *_PAID), sealed=SEALED_SIZE, written=SIGNED_VOUCHER_SIZE, commits=1
        ),
        (Ins.REQUEST, 0): Work(signs=1, hashed=hashed(SIGNED_REQUEST_SIZE), written=SIGNED_REQUEST_SIZE, commits=1),
        (Ins.REQUEST, 1): Work(
            signs=1,
            verifies=2,
            hashed=(*_CHAIN, *hashed(SIGNED_REQUEST_SIZE)),
            written=SIGNED_REQUEST_SIZE + 1,
            commits=1,
        ),
        (Ins.COLLECT, 0): Work(
            signs=1,
            verifies=3,
            hashed=(*_CHAIN, *hashed(SIGNED_VOUCHER_SIZE, SIGNED_RECEIPT_SIZE)),
            written=SIGNED_RECEIPT_SIZE,
            commits=1,
        ),
        (Ins.REFUSE, 0): Work(signs=1, hashed=hashed(SIGNED_REFUSAL_SIZE), written=SIGNED_REFUSAL_SIZE, commits=1),
        (Ins.ACKNOWLEDGE, 0): Work(verifies=3, hashed=(*_CHAIN, *hashed(SIGNED_RECEIPT_SIZE)), commits=1),
        (Ins.ACKNOWLEDGE, 1): Work(verifies=3, hashed=(*_CHAIN, *hashed(SIGNED_REFUSAL_SIZE)), commits=1),
        (Ins.REVERSE, 0): Work(verifies=1, hashed=hashed(SIGNED_ORDER_SIZE), commits=1),
        (Ins.REPORT, 0): Work(signs=1, hashed=hashed(signed_size(Report))),
        (Ins.GRANT, 0): Work(verifies=1, hashed=hashed(SIGNED_GRANT_SIZE), commits=1),
        # A key pair takes as long as a signature, at least.
        (Ins.GENERATE_KEY_PAIR, 0): Work(
            signs=2, hashed=hashed(signed_size(CertificationRequest)), written=_SCALAR, commits=1
        ),
        (Ins.STORE_DATA, Store.AUTHORITY_CERTIFICATE): _storing(Store.AUTHORITY_CERTIFICATE, verified=False),
        (Ins.STORE_DATA, Store.OPERATOR_CERTIFICATE): _storing(Store.OPERATOR_CERTIFICATE, verified=True),
        (Ins.STORE_DATA, Store.PURSE_CERTIFICATE): _storing(Store.PURSE_CERTIFICATE, verified=True),
        (Ins.STORE_DATA, Store.POLICY): _storing(Store.POLICY, verified=True),
        (Ins.STORE_DATA, Store.PIN): _storing(Store.PIN, verified=False),
        (Ins.STORE_DATA, Store.AUDIT_KEY): _storing(Store.AUDIT_KEY, verified=False),
        (Ins.SET_STATE, 1): Work(verifies=2, hashed=_CHAIN, commits=1),
        (Ins.SET_STATE, 2): _COMMIT,
        (Ins.DEACTIVATE, 0): _COMMIT,
        (Ins.TERMINATE, 0): _COMMIT,
    }
)
"""(INS, P1) → operations. A command that is not here has no cryptography and writes nothing."""
_COUNTED: Final[Mapping[tuple[int, int | None], tuple[int, int]]] = MappingProxyType(
    {
        (Ins.SELECT, None): (1_810, 14),
        (Ins.GET_DATA, None): (1_040, 11),
        (Ins.GET_RESPONSE, None): (110, 7),
        (Ins.VERIFY, None): (4_900, 15),
        (Ins.PAY, 0): (10_650, 36),
        (Ins.PAY, 1): (23_900, 77),
        (Ins.REQUEST, 0): (6_350, 21),
        (Ins.REQUEST, 1): (12_600, 45),  # between PAY's difference and COLLECT's
        (Ins.COLLECT, None): (20_450, 79),
        (Ins.REFUSE, None): (2_370, 34),
        (Ins.REPORT, None): (7_000, 25),
    }
)
"""(INS, P1) → bytecodes and calls of the API, counted in the applet's simulator."""
_PER_VERIFICATION: Final = 4_400
_ANSWERING: Final = (Ins.PAY, Ins.REQUEST, Ins.COLLECT, Ins.REFUSE, Ins.REPORT, Ins.GENERATE_KEY_PAIR)


_UNCOUNTED: Final = Work(bytecodes=2000, calls=15)  # as VERIFY


def work_of(ins: int, p1: int) -> Work:
    """What the applet does for this command, with its bytecodes; a command that is not known is small."""
    work = WORK.get((ins, p1), Work())
    bytecodes, calls = _COUNTED.get((ins, p1)) or _COUNTED.get((ins, None)) or (0, 0)
    if not bytecodes:
        bytecodes, calls = _UNCOUNTED.bytecodes + work.verifies * _PER_VERIFICATION, _UNCOUNTED.calls
    return replace(work, bytecodes=bytecodes, calls=calls)


def command_share(times: CardTimes, ins: int, p1: int, sent: int, received: int) -> CardShare:
    """The card's own time for one command of `sent` bytes that was answered with `received` bytes.

    Two bytes where data was due are a refusal, which costs the dispatch only. A stored answer looks like a fresh one
    and is counted as one: the figure is an upper bound then. The AES of the secure channel is not counted.
    """
    work = work_of(ins, p1)
    if ins in _ANSWERING and received <= _STATUS_WORD:
        work = _UNCOUNTED
    return work_share(times, work, carried=sent + received)


def work_share(times: CardTimes, work: Work, carried: int) -> CardShare:
    """These operations on this chip; `carried`: bytes that came and went."""
    hashing = sum(sha256_blocks(size) for size in work.hashed) * times.sha256_block
    signing = work.signs * (times.use_key + times.sign)
    loads = work.verifies + 1 if work.verifies else 0  # at the end the applet puts a constant key back
    verifying = loads * times.load_key + work.verifies * (times.use_key + times.verify)
    sealing = times.aes_init + work.sealed / _AES_BLOCK * times.aes_block if work.sealed else 0.0
    return CardShare(
        crypto=hashing + signing + verifying + sealing,
        nvm=times.write_ms(work.written) + work.commits * (times.commit + times.write_ms(work.commit_bytes)),
        applet=times.apdu + work.bytecodes * times.bytecode + (work.calls + carried / 256) * times.copy_256,
    )


def command_ms(times: CardTimes, ins: int, p1: int, sent: int, received: int) -> float:
    """The sum of `command_share`, ms."""
    return command_share(times, ins, p1, sent, received).total


def sha256_blocks(size: int) -> int:
    """Compressions for a message of `size` bytes."""
    return -(-(size + _SHA256_TAIL) // 64)
