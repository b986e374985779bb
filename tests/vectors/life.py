"""One card's life as a list of exchanges: what is sent is made from what came before, so that any card can be asked.

A `Life` talks to a card through a transport and writes down every exchange; the sessions (sessions.py) are functions
over it. The same functions run against another card, whose keys and random numbers are its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Protocol

from channel import HostChannel

from hardware.apdu import CommandApdu
from hardware.commands import (
    Activate,
    GenerateKeyPair,
    GenerateSm2KeyPair,
    MakeRequest,
    PersonaliseEnd,
    Select,
    StoreData,
)
from hardware.data_objects import Fci
from hardware.instructions import Command, Store
from hardware.pin import pin_block
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from support import keys, samples, suite2
from support.cards import World
from wallet_core.errors import CodecError
from wallet_core.messages import CertificationRequest, Request, SpendMode, Voucher, parse
from wallet_core.messages import Signed as SignedMessage
from wallet_core.suites import Suite, profile

PIN = "246810"
OK = 0x9000
SIGNATURE = 64
CERTIFICATES = {len(one.AUTHORITY.certificate.to_bytes()) for one in (keys, suite2)}
WORLD = World(
    "vectors",
    keys.AUTHORITY,
    keys.OPERATOR,
    keys.OPERATOR_PURSE,
    keys.TILL,
    replace(samples.POLICY, version=1, mode=SpendMode.STAGED),
)
WORLD_2 = World(
    "vectors of suite 2",
    suite2.AUTHORITY,
    suite2.OPERATOR,
    suite2.OPERATOR_PURSE,
    suite2.TILL,
    replace(WORLD.policy, suite=Suite.SM2, least_suite=Suite.SM2, operator=suite2.OPERATOR.id),
)
WORLDS = {Suite.ES256: WORLD, Suite.SM2: WORLD_2}
KEY_PAIRS: dict[Suite, type[GenerateKeyPair | GenerateSm2KeyPair]] = {
    Suite.ES256: GenerateKeyPair,
    Suite.SM2: GenerateSm2KeyPair,
}


class Reader(Protocol):
    """What a life needs of a transport."""

    @property
    def atr(self) -> bytes: ...
    def transmit(self, command: bytes) -> bytes: ...
    def reset(self) -> None: ...


class UnexpectedAnswerError(Exception):
    """The card did not answer what the specification says."""


class Life:
    """Exchanges with one blank card of serial number `serial`."""

    def __init__(self, reader: Reader, serial: bytes, suite: Suite = Suite.ES256) -> None:
        self.reader, self.serial, self.suite, self.world = reader, serial, suite, WORLDS[suite]
        self.steps: list[dict[str, Any]] = []
        self.channel: HostChannel | None = None
        self.report = b""
        self._challenges = 0
        self._known: dict[bytes, str] = {}
        """Values that follow from the card's own key or choice, by what they are."""

    # Exchanges

    def power(self) -> None:
        """Power off and on: nothing is selected, verified or open."""
        self.reader.reset()
        self.channel = None
        self.steps.append({"do": "power off and on", "atr": self.reader.atr.hex()})

    def raw(self, do: str, command: bytes, sw: int = OK, **facts: Any) -> bytes:
        """One command APDU; raises UnexpectedAnswerError unless it ends with `sw`."""
        answer = self.reader.transmit(command)
        data, found = answer[:-2], int.from_bytes(answer[-2:], "big")
        if found != sw:
            raise UnexpectedAnswerError(f"{do}: {found:04X} instead of {sw:04X} (step {len(self.steps)})")
        step = {"do": do, "command": command.hex(), **facts, "answer": data.hex(), "sw": f"{found:04X}"}
        self.steps.append(step)
        return data

    def send(self, command: Command, sw: int = OK, why: str = "", *, do: str = "") -> bytes:
        """A command of apdu.md, short or extended as it fits; the rest of its answer with GET RESPONSE."""
        apdu = command.to_apdu()
        facts: dict[str, Any] = {"why": why} if why else {}
        name = do or command.NAME
        parts = _parts(command)
        for part in fields(command):
            if isinstance(value := getattr(command, part.name), bytes):
                self._learn(value)  # made for this card: its hash comes back in answers
        if len(parts) > 1:
            facts["parts"] = parts
        apdu = replace(apdu, ne=65_536) if apdu.ne and not apdu.fits_short else apdu
        answer = self.reader.transmit(apdu.to_bytes())
        found, data, pieces = int.from_bytes(answer[-2:], "big"), answer[:-2], []
        pieces.append({"do": name, "command": apdu.to_bytes().hex(), **facts, "answer": data.hex()})
        pieces[-1]["sw"] = f"{found:04X}"
        while found >> 8 == 0x61:
            more = CommandApdu(0, 0xC0, 0, 0, ne=found & 0xFF or 256).to_bytes()
            answer = self.reader.transmit(more)
            found = int.from_bytes(answer[-2:], "big")
            pieces.append({"do": "GET RESPONSE", "command": more.hex(), "answer": answer[:-2].hex()})
            pieces[-1]["sw"] = f"{found:04X}"
            data += answer[:-2]
        if found != sw:
            raise UnexpectedAnswerError(f"{name} {why}: {found:04X} instead of {sw:04X} (step {len(self.steps)})")
        self._mark(data, pieces)
        self.steps += pieces
        return data

    def _mark(self, data: bytes, pieces: list[dict[str, Any]]) -> None:
        """`free`: [offset, size, what] of each piece: bytes that the card chose, or that follow from what it chose."""
        at = 0
        spans = self._spans(data)
        for piece in pieces:
            size = len(piece["answer"]) // 2
            inside = [
                [max(start, at) - at, min(start + length, at + size) - max(start, at), what]
                for start, length, what in spans
                if start < at + size and start + length > at
            ]
            if inside:
                piece["free"] = inside
            at += size

    def _spans(self, data: bytes) -> list[tuple[int, int, str]]:
        found = []
        if data[:1] == b"\xd2" and len(data) not in CERTIFICATES:
            found.append((len(data) - SIGNATURE, SIGNATURE, "signature"))
            self._learn(data)
        for value, what in self._known.items():
            start = data.find(value)
            while start >= 0:
                found.append((start, len(value), what))
                start = data.find(value, start + 1)
        return sorted(found)

    def _learn(self, data: bytes) -> None:
        """A signed message by this card or for it: its hash, and what is random in it."""
        for kind in (Request, Voucher):
            try:
                signed = parse(kind, data)
            except CodecError:
                continue
            self.know(signed.hash, "hash of what is free")
            if isinstance(signed.message, Voucher):
                self.know(signed.message.audit, "random")
                self.know(signed.message.request_hash, "hash of what is free")

    def know(self, value: bytes, what: str) -> None:
        self._known[value] = what

    # The secure channel

    def open_channel(self) -> HostChannel:
        """INITIALIZE UPDATE and EXTERNAL AUTHENTICATE with the test keys of this serial number."""
        channel = self.begin_channel()
        command, macs = channel.authenticate()
        self.raw("EXTERNAL AUTHENTICATE", command, channel=macs)
        self.channel = channel
        return channel

    def begin_channel(self) -> HostChannel:
        static = transport_keys(TEST_BATCH_KEY, self.serial, production=False)
        self._challenges += 1
        challenge = hashlib.sha256(b"host challenge %d" % self._challenges).digest()[:8]
        channel = HostChannel(static.enc, static.mac, challenge)
        answer = self.raw("INITIALIZE UPDATE", bytes.fromhex("8050010008") + challenge + b"\0")
        self.steps[-1]["channel"] = channel.hear(answer)
        self.steps[-1]["free"] = [[13, 8, "random"], [21, 8, "cryptogram of what is free"]]
        return channel

    def secured(self, command: Command, sw: int = OK, why: str = "", *, do: str = "") -> bytes:
        """A command through the open channel; the plain answer."""
        if self.channel is None:
            raise RuntimeError("no channel is open")
        wrapped, details = self.channel.wrap(command.to_apdu().to_bytes())
        facts: dict[str, Any] = {"why": why} if why else {}
        data = self.raw(do or command.NAME, wrapped, sw, **facts, channel=details)
        if sw != OK:
            return b""
        plain, more = self.channel.unwrap(data, sw)
        details |= more
        self.steps[-1]["free"] = [[0, len(data), "protected by the session"]]
        return plain

    # What every life begins with

    def select(self) -> Fci:
        return Fci.from_bytes(self.send(Select()))

    def certified(self, request: bytes, **policy: Any) -> dict[Store, bytes]:
        """What the operator answers to a CertificationRequest: the six objects of STORE DATA."""
        told = parse(CertificationRequest, request).message
        own = told.key
        for value, what in ((own.thumbprint, "own key"), (own.x, "own key"), (own.y, "own key")):
            self.know(value, what)
        policy.setdefault("purse_class", told.subject_class)
        papers = self.world.papers(self.serial, request, **policy)
        self.know(papers.certificate, "certificate of the own key")
        return {
            Store.AUTHORITY_CERTIFICATE: papers.authority_certificate,
            Store.OPERATOR_CERTIFICATE: papers.operator_certificate,
            Store.PURSE_CERTIFICATE: papers.certificate,
            Store.POLICY: papers.policy,
            Store.PIN: pin_block(PIN),
            Store.AUDIT_KEY: samples.AUDIT_KEY,
        }

    def personalise(self, **policy: Any) -> Fci:
        """Blank → active, without a detour; `policy`: changed fields."""
        self.power()
        self.select()
        self.open_channel()
        request = self.secured(KEY_PAIRS[self.suite](profile(self.suite).digest(self.serial)))
        for target, content in self.certified(request, **policy).items():
            self.secured(StoreData(target, content), do=f"STORE DATA {target.name}")
        self.secured(PersonaliseEnd())
        self.secured(Activate())
        self.power()
        return self.select()


def _parts(command: Command) -> Sequence[tuple[str, int]]:
    """Name and size of what the command data field is made of."""
    values = {name: getattr(command, name) for name in (part.name for part in fields(command))}
    if isinstance(values.get("question"), MakeRequest):
        values["question"] = values["question"].to_apdu().data
    return [(name, len(value)) for name, value in values.items() if isinstance(value, bytes)]


def sign(message: Any, by: keys.Party) -> bytes:
    return SignedMessage.sign(message, by.key).to_bytes()
