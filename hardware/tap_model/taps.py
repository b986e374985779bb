"""A whole tap, from the card in the field to the sale durable at the till: milliseconds, with the share of each part.

`SCENES` are the exchanges of the real driver with the emulated card, byte for byte; a test plays them again. What is
around the card is a `Setting`:

    polling     until the reader asks for this kind of card, and the 5 ms of field that a card may need before it hears
                (ISO/IEC 14443-3, 5.3); worst: 100 ms, what a reader of several systems spends (Consult Hyperion, "Real
                data on contactless EMV in transit", 2013, of TfL's buses)
    reader      what an exchange takes beside line and card. Typical: two frames of USB full speed, 1 ms each (USB 2.0,
                clause 8.4.3; CCID wants one transfer each way). Worst: 24 ms, a telephone as the reader: 100 to 120 ms
                in five exchanges (wwopenfare.com, "IsoDep Transceive Times")
    host        verifying the voucher, 0.1 ms, and two durable commits, ASKED and PAID. `make bench` finds 0.3 to 4 ms a
                commit, by the disk: typical is the slow end; worst: 20 ms each, a till on a memory card (assumed)
    fwi         7, 38.7 ms, is taken as what a payment card asks for; ISO's default of 4 is the worst: more S(WTX)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Final

from hardware.instructions import Ins
from hardware.tap_model.chips import CardTimes
from hardware.tap_model.link import Link, activation_ms, exchange_ms, extension_ms, extensions
from hardware.tap_model.work import Work, command_share, work_share
from wallet_core.audit import SEALED_SIZE


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command and its answer: bytes with headers and status words."""

    ins: int
    p1: int
    sent: int
    received: int


_SELECT: Final = Exchange(Ins.SELECT, 4, 13, 103)
_CERTIFICATE: Final = Exchange(Ins.GET_DATA, 0x7F, 5, 229)
_POLICY: Final = Exchange(Ins.GET_DATA, 0xDF, 5, 207)
_PAY: Final = (Exchange(Ins.PAY, 0, 144, 258), Exchange(Ins.GET_RESPONSE, 0, 5, 16))

SCENES: Final[Mapping[str, tuple[Exchange, ...]]] = MappingProxyType(
    {
        "known_card": (_SELECT, *_PAY),
        "unknown_card": (_SELECT, _CERTIFICATE, *_PAY),
        "unknown_policy": (_SELECT, _CERTIFICATE, _POLICY, *_PAY),
        "verified_payee": (
            _SELECT,
            Exchange(Ins.VERIFY, 0, 13, 2),
            Exchange(Ins.PAY, 1, 676, 258),
            Exchange(Ins.GET_RESPONSE, 0, 5, 16),
        ),
    }
)
"""The ways to pay (docs/spec/apdu.md, *How the till uses it*); the holder's typing of the PIN is nobody's time."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What surrounds the card, ms, and the waiting time that it has agreed on."""

    polling: float
    reader: float
    host: float
    fwi: int


TYPICAL: Final = Setting(polling=10.0, reader=2.0, host=8.1, fwi=7)
WORST: Final = Setting(polling=100.0, reader=24.0, host=40.1, fwi=4)


@dataclass(frozen=True, slots=True)
class Shares:
    """Milliseconds of one tap, part by part, in the order in which a picture stacks them."""

    activation: float
    frames: float
    crypto: float
    nvm: float
    applet: float
    extensions: float
    reader: float
    host: float

    @property
    def total(self) -> float:
        return sum(self.parts().values())

    def parts(self) -> dict[str, float]:
        return {part.name: getattr(self, part.name) for part in fields(self)}


def tap_shares(exchanges: tuple[Exchange, ...], times: CardTimes, link: Link, setting: Setting = TYPICAL) -> Shares:
    """One tap on this chip, link and setting (whose `fwi` replaces the link's)."""
    link = replace(link, fwi=setting.fwi)
    cards = [command_share(times, one.ins, one.p1, one.sent, one.received) for one in exchanges]
    return Shares(
        activation=setting.polling + activation_ms(link),
        frames=sum(exchange_ms(link, one.sent, one.received) for one in exchanges),
        crypto=sum(card.crypto for card in cards),
        nvm=sum(card.nvm for card in cards),
        applet=sum(card.applet for card in cards),
        extensions=sum(extensions(link, card.total) for card in cards) * extension_ms(link),
        reader=len(exchanges) * setting.reader,
        host=setting.host,
    )


FLOOR_EXCHANGES: Final = ((13, 2 + 32 + 4 + 4), (6 + 32 + 4 + 8 + 32, 64 + SEALED_SIZE + 2))
"""Bytes that no design of this kind can leave out. There: the AID; who asks, his counter, amount, order. Back: who the
card is, its epoch and counter; a signature and the sealed totals. All else the other side knows or can derive."""
_FLOOR_SIGNED: Final = 32 + 4 + 4 + FLOOR_EXCHANGES[1][0] - 6 + SEALED_SIZE  # payer, epoch, counter, question, totals
_FLOOR_WORK: Final = Work(signs=1, hashed=(_FLOOR_SIGNED,), sealed=SEALED_SIZE, commits=1, commit_bytes=64)


def floor_shares(times: CardTimes, link: Link, setting: Setting = TYPICAL) -> Shares:
    """What is left when nothing can be left out any more: two exchanges (the payer's counter has to be in what is
    asked), the bytes of `FLOOR_EXCHANGES`, one signature over them, the totals sealed, one commit of one page (a
    deterministic signature can be made again, and need not be stored), no S(WTX), and a card whose own code takes no
    time, as native code nearly does."""
    link = replace(link, fwi=setting.fwi)
    carried = [there + back for there, back in FLOOR_EXCHANGES]
    paying = work_share(times, _FLOOR_WORK, carried[1])
    reading = work_share(times, Work(), carried[0])
    return Shares(
        activation=setting.polling + activation_ms(link),
        frames=sum(exchange_ms(link, there, back) for there, back in FLOOR_EXCHANGES),
        crypto=paying.crypto,
        nvm=paying.nvm,
        applet=paying.applet + reading.applet,
        extensions=0.0,
        reader=len(FLOOR_EXCHANGES) * setting.reader,
        host=setting.host,
    )
