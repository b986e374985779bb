"""Opening the secure channel SCP03: INITIALIZE UPDATE and EXTERNAL AUTHENTICATE, the host's side and the card's.

GlobalPlatform Amendment D, version 1.1.2, clauses 5 to 7. Nothing here draws random numbers or sends anything:
challenges come in as arguments, APDUs go in and out as values, so a run can be replayed.

    host                                            card
    HostHandshake.initialize_update   ──80 50──►    CardHandshake.initialize_update
    HostHandshake.external_authenticate ◄──────     (challenge, card cryptogram)
                                      ──84 82──►    CardHandshake.external_authenticate

Either side gets a `SecureSession` (hardware/secure_channel.py), or an error and no session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wallet_core.errors import BadSignatureError, MismatchError, OutOfRangeError, VerificationError, WrongTypeError

from .apdu import CommandApdu, ResponseApdu
from .secure_channel import (
    ALL_PROTECTED,
    CRYPTOGRAM_SIZE,
    MAC_SIZE,
    SECURE_MESSAGING,
    SecureSession,
    SecurityLevel,
    StaticKeys,
)
from .status_words import SW

CLA_GP: Final = 0x80
INS_INITIALIZE_UPDATE: Final = 0x50
INS_EXTERNAL_AUTHENTICATE: Final = 0x82

CHALLENGE_SIZE: Final = 8
DIVERSIFICATION_SIZE: Final = 10
COUNTER_SIZE: Final = 3

SCP03: Final = 0x03
I_PSEUDO_RANDOM: Final = 0x10
I_R_MAC: Final = 0x20
I_R_ENC: Final = 0x40
"""Bits of the parameter i (clause 5.1): pseudo-random card challenge, R-MAC, response encryption."""


class HostHandshake:
    """The host's side of the opening: two commands, then a session. `host_challenge` is 8 fresh random bytes."""

    def __init__(self, keys: StaticKeys, host_challenge: bytes) -> None:
        if len(host_challenge) != CHALLENGE_SIZE:
            raise OutOfRangeError(f"a challenge has {CHALLENGE_SIZE} bytes")
        self._keys = keys
        self._challenge = host_challenge

    def initialize_update(self) -> CommandApdu:
        """INITIALIZE UPDATE (clause 7.1.1)."""
        return CommandApdu(CLA_GP, INS_INITIALIZE_UPDATE, self._keys.version, 0, self._challenge, ne=256)

    def external_authenticate(
        self, answer: bytes, level: SecurityLevel = ALL_PROTECTED
    ) -> tuple[CommandApdu, SecureSession]:
        """Checks the card's answer and returns EXTERNAL AUTHENTICATE (clause 7.1.2) with the session that it opens.

        The session counts once the card has answered 9000. Raises WrongTypeError (no SCP03 answer in S8 mode),
        MismatchError (other key version, or the card cannot do the level) or BadSignatureError (the card does not
        know the keys).
        """
        fixed = DIVERSIFICATION_SIZE + 3 + CHALLENGE_SIZE + CRYPTOGRAM_SIZE
        if len(answer) not in (fixed, fixed + COUNTER_SIZE) or answer[DIVERSIFICATION_SIZE + 1] != SCP03:
            raise WrongTypeError("the answer to INITIALIZE UPDATE is not SCP03 in S8 mode")
        version, _, options = answer[DIVERSIFICATION_SIZE : DIVERSIFICATION_SIZE + 3]
        if (len(answer) > fixed) != bool(options & I_PSEUDO_RANDOM):
            raise WrongTypeError("the sequence counter does not fit the options of the card")
        if version != self._keys.version:
            raise MismatchError(f"the card answered with key version {version}, not {self._keys.version}")
        if _missing(options, level):
            raise MismatchError(f"the card (i = {options:02X}) cannot do security level {level:02X}")
        at = DIVERSIFICATION_SIZE + 3
        card_challenge, cryptogram = answer[at : at + CHALLENGE_SIZE], answer[at + CHALLENGE_SIZE : fixed]
        session = SecureSession(self._keys, self._challenge + card_challenge)
        session.refuse_unless_equal(cryptogram, session.card_cryptogram, "card cryptogram")
        command = CommandApdu(CLA_GP | SECURE_MESSAGING, INS_EXTERNAL_AUTHENTICATE, level, 0, session.host_cryptogram)
        command = session.add_mac(command)
        session.raise_level(level)
        return command, session


class CardHandshake:
    """The card's side. One object per power-up or per INITIALIZE UPDATE; `options` is the parameter i (random
    challenge).

    `diversification` (10 bytes) identifies the card to whoever derives its keys.
    """

    def __init__(self, keys: StaticKeys, diversification: bytes, options: int = I_R_MAC | I_R_ENC) -> None:
        if len(diversification) != DIVERSIFICATION_SIZE:
            raise OutOfRangeError(f"key diversification data have {DIVERSIFICATION_SIZE} bytes")
        if options & ~(I_R_MAC | I_R_ENC):
            raise OutOfRangeError("this card makes random challenges and short MACs only: i is 00, 20 or 60")
        self._keys = keys
        self._head = diversification + bytes((keys.version, SCP03, options))
        self._options = options
        self._session: SecureSession | None = None

    def initialize_update(self, command: CommandApdu, card_challenge: bytes) -> bytes:
        """Answers INITIALIZE UPDATE with 29 bytes: diversification, key information, challenge, card cryptogram.

        `card_challenge` is 8 fresh random bytes. Raises OutOfRangeError (length) or MismatchError (another key
        version).
        """
        self.abandon()
        if len(command.data) != CHALLENGE_SIZE or len(card_challenge) != CHALLENGE_SIZE:
            raise OutOfRangeError(f"a challenge has {CHALLENGE_SIZE} bytes")
        if command.p1 not in (0, self._keys.version) or command.p2:
            raise MismatchError("no key with this version and identifier")
        session = SecureSession(self._keys, command.data + card_challenge)
        self._session = session
        return self._head + card_challenge + session.card_cryptogram

    def external_authenticate(self, command: CommandApdu) -> SecureSession:
        """Checks EXTERNAL AUTHENTICATE and returns the open session; one try per INITIALIZE UPDATE.

        Raises VerificationError (nothing was initialised), BadSignatureError (C-MAC or host cryptogram),
        MismatchError (a level that the card's options do not allow) or OutOfRangeError (length, or no such level).
        """
        session, self._session = self._session, None
        if session is None:
            raise VerificationError("INITIALIZE UPDATE comes first")
        if len(command.data) != CRYPTOGRAM_SIZE + MAC_SIZE:
            session.close()
            raise OutOfRangeError("EXTERNAL AUTHENTICATE carries a cryptogram and a MAC")
        bare = session.check_mac(command)
        session.refuse_unless_equal(bare.data, session.host_cryptogram, "host cryptogram")
        session.raise_level(command.p1)
        if _missing(self._options, command.p1):
            session.close()
            raise MismatchError(f"this card (i = {self._options:02X}) cannot do security level {command.p1:02X}")
        return session

    def abandon(self) -> None:
        """Forgets a handshake that was begun."""
        if self._session is not None:
            self._session.close()
        self._session = None


def _missing(options: int, level: int) -> bool:
    """Whether the level asks for response protection that the card's parameter i does not offer (clause 5.1)."""
    return bool(
        (level & SecurityLevel.R_MAC and not options & I_R_MAC)
        or (level & SecurityLevel.R_ENCRYPTION and not options & I_R_ENC)
    )


def open_channel(
    send: Callable[[CommandApdu], ResponseApdu],
    keys: StaticKeys,
    host_challenge: bytes,
    level: SecurityLevel = ALL_PROTECTED,
) -> SecureSession:
    """Opens a channel through `send` (plain) and returns the session; give it to `CardConnection.secure`.

    Raises what `HostHandshake.external_authenticate` raises, and MismatchError when the card answers an error word.
    """
    handshake = HostHandshake(keys, host_challenge)
    response = send(handshake.initialize_update())
    if response.sw != SW.OK:
        raise MismatchError(f"the card answered INITIALIZE UPDATE with {response.sw:04X}")
    command, session = handshake.external_authenticate(response.data, level)
    response = send(command)
    if response.sw != SW.OK:
        session.close()
        raise BadSignatureError(f"the card answered EXTERNAL AUTHENTICATE with {response.sw:04X}")
    return session
