"""The card's operating system: bytes → APDU → chain → secure channel → SELECT or applet; error → SW in one place.

ISO/IEC 7816-4:2020: short and extended length (5.2), chaining (5.3.3), 61xx and GET RESPONSE (5.3.4). All that is
here is volatile: selection, chain, rest of an answer and channel go with the power.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Final

from hardware.apdu import CommandApdu, ResponseApdu
from hardware.channel_opening import CHALLENGE_SIZE, DIVERSIFICATION_SIZE, I_R_ENC, I_R_MAC, CardHandshake
from hardware.commands import COMMANDS, Select, parse_command
from hardware.data_objects import AID
from hardware.emulator import applet
from hardware.emulator.flash import WornCellError
from hardware.emulator.vault import Vault
from hardware.exchange import CHAINING_BIT
from hardware.instructions import CLA_ISO, CLA_PURSE, Command, Ins, Store
from hardware.secure_channel import ALL_PROTECTED, SECURE_MESSAGING, SecureSession
from hardware.status_words import SW
from wallet_core.errors import (
    BadSignatureError,
    CardError,
    CodecError,
    EcnyError,
    MismatchError,
    OutOfRangeError,
    OversizedError,
    PurseRefusal,
    Refused,
    StorageError,
    TruncatedError,
    UnknownLabelError,
    VerificationError,
)
from wallet_core.purse.state import Lifecycle
from wallet_core.suites import Suite

MAX_CHAIN: Final = 4096
"""Longest command data field put together from a chain, bytes."""
MAX_WRAPPED: Final = 1024
"""Longest data field of a command through the secure channel, its C-MAC included, bytes."""
MAX_AID: Final = 16
_CHANNEL_BITS: Final = 0x03
_ISO_SECURE_MESSAGING: Final = 0x08
_THROUGH_CHANNEL: Final = frozenset(kind.INS for kind in COMMANDS if kind.CHANNEL)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Chain:
    header: bytes
    data: bytes


class CardOs:
    """One power session of the card. `process` answers every command; only PowerLost and a failing disk leave it."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._selected = False
        self._chain: _Chain | None = None
        self._rest = b""
        self._session: SecureSession | None = None
        self._initialised = False
        self._mute = False
        factory = vault.factory
        diversification = factory.serial.ljust(DIVERSIFICATION_SIZE, b"\0")
        self._handshake = CardHandshake(factory.keys, diversification, I_R_MAC | I_R_ENC)

    def process(self, raw: bytes) -> bytes:
        """Response data and status word. Raises StorageError when the memory under the card fails; passes PowerLost."""
        if self._mute:
            return ResponseApdu(b"", SW.NO_PRECISE_DIAGNOSIS).to_bytes()
        try:
            return self._respond(raw).to_bytes()
        except EcnyError as error:
            return ResponseApdu(b"", self._status(error)).to_bytes()
        except Exception as error:  # noqa: BLE001  # a card has nobody to raise to
            return ResponseApdu(b"", self._internal(error)).to_bytes()

    def _status(self, error: EcnyError) -> int:
        """The status word of an error: the one place where errors become words. Nothing of its text leaves the card."""
        match error:
            case CardError():
                return error.sw
            case PurseRefusal():
                return error.reason
            case CodecError():
                return SW.WRONG_DATA
            case WornCellError():
                return SW.MEMORY_FAILURE
            case StorageError():
                raise error
            case _:
                return self._internal(error)

    def _internal(self, error: Exception) -> int:
        """A mistake of the program: RAM may differ from the memory now, so the card is mute until its next power-up."""
        self._mute = True
        _log.error("internal error of the card: %s", type(error).__name__)
        return SW.NO_PRECISE_DIAGNOSIS

    def _respond(self, raw: bytes) -> ResponseApdu:
        try:
            apdu = CommandApdu.from_bytes(raw)
        except CodecError as exc:  # no command: a chain that was begun goes on, and a rest still waits
            raise CardError(SW.WRONG_LENGTH) from exc
        if apdu.ins == Ins.GET_RESPONSE and apdu.cla == CLA_ISO and self._selected:
            self._chain = None
            return self._more(apdu)
        self._rest = b""
        _check_cla(apdu.cla)
        whole = self._chained(apdu)
        if whole is None:
            return ResponseApdu(b"", SW.OK)
        return self._fit(self._run(whole), whole.ne)

    # Length of answers (clauses 5.3.4 and 11.8.1)

    def _more(self, apdu: CommandApdu) -> ResponseApdu:
        if apdu.p1 or apdu.p2:
            raise CardError(SW.INCORRECT_P1P2)
        if apdu.data or not apdu.ne:
            raise CardError(SW.WRONG_LENGTH)
        if not self._rest:
            raise PurseRefusal(Refused.WRONG_STATE, "there is no rest of an answer")
        return self._fit(self._rest, apdu.ne)

    def _fit(self, data: bytes, ne: int) -> ResponseApdu:
        """At most Ne bytes; the rest waits for GET RESPONSE and is announced."""
        if len(data) <= ne:
            self._rest = b""
            return ResponseApdu(data, SW.OK)
        self._rest = data[ne:]
        return ResponseApdu(data[:ne], 0x6100 | (len(self._rest) if len(self._rest) < 256 else 0))

    # Command chaining (clause 5.3.3)

    def _chained(self, apdu: CommandApdu) -> CommandApdu | None:
        """The whole command, or None while pieces are missing. A command with another header begins anew."""
        header = bytes((apdu.cla & ~CHAINING_BIT,)) + apdu.header[1:]
        begun = self._chain.data if self._chain and self._chain.header == header else b""
        self._chain = None
        if apdu.cla & CHAINING_BIT and not apdu.cla & CLA_PURSE:
            raise CardError(SW.CHAINING_NOT_SUPPORTED)
        data = begun + apdu.data
        if len(data) > MAX_CHAIN:
            raise CardError(SW.WRONG_LENGTH)
        if apdu.cla & CHAINING_BIT:
            self._chain = _Chain(header, data)
            return None
        return replace(apdu, data=data)

    # Dispatch

    def _run(self, apdu: CommandApdu) -> bytes:
        if (apdu.cla, apdu.ins) == (CLA_ISO, Ins.SELECT):
            return self._select(apdu)
        if not self._selected:
            raise CardError(SW.INS_NOT_SUPPORTED)
        if (apdu.cla, apdu.ins) == (CLA_PURSE, Ins.INITIALIZE_UPDATE):
            return self._initialize_update(apdu)
        if (apdu.cla, apdu.ins) == (CLA_PURSE | SECURE_MESSAGING, Ins.EXTERNAL_AUTHENTICATE):
            return self._external_authenticate(apdu)
        if apdu.cla & SECURE_MESSAGING:
            return self._secured(apdu)
        if _wants_channel(apdu):  # looked at before P1-P2, length and life cycle
            raise CardError(SW.SECURE_MESSAGING_NOT_SUPPORTED)
        return applet.execute(self._vault, _parse(apdu, self._vault.suite), secured=False)

    def _select(self, apdu: CommandApdu) -> bytes:
        """By full DF name only; what was selected stays so when the name is another (clause 11.2.2)."""
        if (apdu.p1, apdu.p2) != (Select.P1, Select.P2):
            raise CardError(SW.INCORRECT_P1P2)
        if len(apdu.data) > MAX_AID:
            raise CardError(SW.WRONG_LENGTH)
        if apdu.data != AID:
            raise CardError(SW.FILE_NOT_FOUND)
        self._close_channel()
        self._selected = True
        return applet.file_control(self._vault)

    # Secure channel (GlobalPlatform Amendment D)

    def _initialize_update(self, apdu: CommandApdu) -> bytes:
        self._close_channel()
        if self._vault.state.lifecycle is Lifecycle.TERMINATED:
            raise PurseRefusal(Refused.WRONG_STATE)
        try:
            answer = self._handshake.initialize_update(apdu, self._vault.random(CHALLENGE_SIZE))
        except OutOfRangeError as exc:
            raise CardError(SW.WRONG_LENGTH) from exc
        except MismatchError as exc:
            raise PurseRefusal(Refused.NOT_FOUND, "no such key version") from exc
        self._initialised = True
        return answer

    def _external_authenticate(self, apdu: CommandApdu) -> bytes:
        if not self._initialised:
            raise PurseRefusal(Refused.WRONG_STATE, "INITIALIZE UPDATE comes first")
        self._initialised = False
        if (apdu.p1, apdu.p2) != (ALL_PROTECTED, 0):  # without R-MAC a relay could answer in the card's place
            self._close_channel()
            raise CardError(SW.INCORRECT_P1P2)
        try:
            self._session = self._handshake.external_authenticate(apdu)
        except OutOfRangeError as exc:
            raise CardError(SW.WRONG_LENGTH) from exc
        except VerificationError as exc:
            raise CardError(SW.SECURE_MESSAGING_OBJECT_WRONG) from exc
        return b""

    def _secured(self, apdu: CommandApdu) -> bytes:
        """Unwrap, run, wrap the answer; an error word leaves unprotected (clause 6.2.5 of Amendment D)."""
        session = self._session
        if session is None:
            raise CardError(SW.SECURE_MESSAGING_NOT_SUPPORTED)
        try:
            if len(apdu.data) > MAX_WRAPPED:  # a chip has no room for it, so it cannot look at the C-MAC
                raise BadSignatureError("the C-MAC of a command of this length is not looked at")
            plain = session.unwrap_command(apdu)
        except VerificationError as exc:
            self._close_channel()
            raise CardError(SW.SECURE_MESSAGING_OBJECT_WRONG) from exc
        answer = applet.execute(self._vault, _parse(plain, self._vault.suite), secured=True)
        return session.wrap_response(ResponseApdu(answer, SW.OK)).data

    def _close_channel(self) -> None:
        self._handshake.abandon()
        self._initialised = False
        if self._session is not None:
            self._session.close()
        self._session = None


def _check_cla(cla: int) -> None:
    """Class byte (clause 5.4.1): 0X and 8X, basic channel, command chaining, GlobalPlatform secure messaging."""
    if cla & 0x60:
        raise CardError(SW.CHANNEL_NOT_SUPPORTED if cla & 0xC0 == 0x40 else SW.CLA_NOT_SUPPORTED)
    if cla & _CHANNEL_BITS:
        raise CardError(SW.CHANNEL_NOT_SUPPORTED)
    if cla & _ISO_SECURE_MESSAGING:
        raise CardError(SW.SECURE_MESSAGING_NOT_SUPPORTED)


def _wants_channel(apdu: CommandApdu) -> bool:
    """Whether a plain command is one of personalisation; a new policy for an active card is not."""
    is_policy = (apdu.ins, apdu.p1, apdu.p2) == (Ins.STORE_DATA, Store.POLICY, 0)
    return apdu.cla == CLA_PURSE and apdu.ins in _THROUGH_CHANNEL and not is_policy


def _parse(apdu: CommandApdu, suite: Suite) -> Command:
    """The command, whose data field has the sizes of `suite`: those of another one are a wrong length here."""
    try:
        command = parse_command(apdu)
        if command.suite not in (None, suite):
            raise OversizedError("the data field has the sizes of another suite")
        return command
    except UnknownLabelError as exc:
        raise CardError(SW.INS_NOT_SUPPORTED) from exc
    except (TruncatedError, OversizedError) as exc:
        raise CardError(SW.WRONG_LENGTH) from exc
    except OutOfRangeError as exc:
        raise CardError(SW.INCORRECT_P1P2) from exc
