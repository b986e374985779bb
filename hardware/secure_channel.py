"""GlobalPlatform secure channel SCP03, AES-128, S8 mode: the authenticated channel of personalisation.

GlobalPlatform Card Technology, Secure Channel Protocol '03', Card Specification v2.3 Amendment D, version 1.1.2;
clause numbers below are of that document. Both ends are here and do no input or output: APDUs go in and out as values.

    host    SecureSession.wrap_command     ──84 ..──►  SecureSession.unwrap_command   card
            SecureSession.unwrap_response  ◄─────────  SecureSession.wrap_response

A session is opened by hardware/channel_opening.py. Any error closes the session for good: a closed one refuses
everything. The C-MAC is taken over the whole command as it is before command chaining, with an Lc field of three
bytes where Nc (MAC included) is above 255.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import Final, NoReturn

from cryptography.hazmat.primitives import constant_time
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.cmac import CMAC

from wallet_core.errors import BadSignatureError, OutOfRangeError, VerificationError

from .apdu import CommandApdu, ResponseApdu
from .status_words import SW

KEY_SIZE: Final = 16
BLOCK: Final = 16
MAC_SIZE: Final = 8
CRYPTOGRAM_SIZE: Final = 8
MAX_NC: Final = 65_535 - BLOCK - MAC_SIZE
"""Longest command data field that can be wrapped, in bytes."""

SECURE_MESSAGING: Final = 0x04

# Data derivation constants (table 4-1).
_CARD_CRYPTOGRAM: Final = 0x00
_HOST_CRYPTOGRAM: Final = 0x01
_S_ENC: Final = 0x04
_S_MAC: Final = 0x06
_S_RMAC: Final = 0x07


class SecurityLevel(IntFlag):
    """P1 of EXTERNAL AUTHENTICATE (clause 7.1.2). A level names what *every* command and response of the session
    carries.
    """

    C_MAC = 0x01
    C_DECRYPTION = 0x02
    R_MAC = 0x10
    R_ENCRYPTION = 0x20


COMMANDS_PROTECTED: Final = SecurityLevel.C_MAC | SecurityLevel.C_DECRYPTION
"""0x03: commands are authenticated and encrypted, answers are not: no level of this project's cards."""
ALL_PROTECTED: Final = COMMANDS_PROTECTED | SecurityLevel.R_MAC | SecurityLevel.R_ENCRYPTION
"""0x33: answers too; the one level of this project's personalisation. At a level without R-MAC whatever sits between
host and card could answer in the card's place, with a key of its own to be certified."""
_LEVELS: Final = frozenset({0x01, 0x03, 0x11, 0x13, 0x33})


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """The long-lived key set of one card: K-ENC and K-MAC, 16 bytes each, and the key version number (1..127).

    K-DEK is not used: what this project sends is encrypted by the session. Raises OutOfRangeError for other sizes.
    """

    enc: bytes = field(repr=False)
    mac: bytes = field(repr=False)
    version: int = 1

    def __post_init__(self) -> None:
        if len(self.enc) != KEY_SIZE or len(self.mac) != KEY_SIZE:
            raise OutOfRangeError(f"the keys of a secure channel have {KEY_SIZE} bytes")
        if not 1 <= self.version <= 0x7F:
            raise OutOfRangeError("a key version number is 1..127")


def _derive(key: bytes, constant: int, context: bytes, size: int) -> bytes:
    """KDF in counter mode with CMAC as PRF (clause 4.1.5; NIST SP 800-108): at most one block, so the counter is 1."""
    label = bytes(11) + bytes((constant, 0)) + (size * 8).to_bytes(2, "big") + b"\x01"
    return _cmac(key, label + context)[:size]


def _cmac(key: bytes, data: bytes) -> bytes:
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()


def _aes_block(key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(AES(key), ECB()).encryptor()  # noqa: S305  # one block, as clause 6.2.6 has it for the ICV
    return encryptor.update(block) + encryptor.finalize()


def _pad(data: bytes) -> bytes:
    """Padding method 2 of ISO/IEC 9797-1: 80, then zeros to the block (clause 4.1.4)."""
    return data + b"\x80" + bytes(-(len(data) + 1) % BLOCK)


def _mac_input(command: CommandApdu) -> bytes:
    """Header, Lc and data as the C-MAC sees them: Lc counts the MAC that is to follow, Le is left out (clause
    6.2.4).
    """
    nc = len(command.data) + MAC_SIZE
    lc = bytes((nc,)) if nc <= 255 else b"\0" + nc.to_bytes(2, "big")
    return command.header + lc + command.data


class SecureSession:
    """One open session; the same class serves host (`wrap_command`, `unwrap_response`) and card (the other two).

    Raises VerificationError when closed, BadSignatureError when a MAC or a padding is wrong (which also closes it).
    """

    def __init__(self, keys: StaticKeys, context: bytes) -> None:
        self._s_enc = _derive(keys.enc, _S_ENC, context, KEY_SIZE)
        self._s_mac = _derive(keys.mac, _S_MAC, context, KEY_SIZE)
        self._s_rmac = _derive(keys.mac, _S_RMAC, context, KEY_SIZE)
        self.card_cryptogram = _derive(self._s_mac, _CARD_CRYPTOGRAM, context, CRYPTOGRAM_SIZE)
        self.host_cryptogram = _derive(self._s_mac, _HOST_CRYPTOGRAM, context, CRYPTOGRAM_SIZE)
        self._chaining = bytes(BLOCK)  # clause 6.2.3: zeros before EXTERNAL AUTHENTICATE
        self._counter = 0  # clause 6.2.6: 1 for the first command after EXTERNAL AUTHENTICATE
        self._level = SecurityLevel.C_MAC
        self._open = True

    @property
    def is_open(self) -> bool:
        return self._open

    @property
    def level(self) -> SecurityLevel:
        return self._level

    def close(self) -> None:
        """Ends the session and forgets its keys."""
        self._open = False
        self._s_enc = self._s_mac = self._s_rmac = self._chaining = b""

    def wrap_command(self, command: CommandApdu) -> CommandApdu:
        """Host: encrypts the data field, if there is one, and appends the C-MAC; sets the secure messaging bit of
        CLA.
        """
        self._need_open()
        if len(command.data) > MAX_NC:
            self._refuse(OutOfRangeError(f"a wrapped command carries at most {MAX_NC} bytes of data"))
        self._counter += 1
        data = command.data
        if data and self._level & SecurityLevel.C_DECRYPTION:
            data = self._cipher(response=False).encryptor().update(_pad(data))
        return self.add_mac(replace(command, cla=command.cla | SECURE_MESSAGING, data=data))

    def unwrap_command(self, command: CommandApdu) -> CommandApdu:
        """Card: verifies the C-MAC, decrypts, and clears the secure messaging bit of CLA."""
        self._need_open()
        self._counter += 1
        command = self.check_mac(command)
        data = command.data
        if data and self._level & SecurityLevel.C_DECRYPTION:
            data = self._decrypt(data, response=False)
        return replace(command, cla=command.cla & ~SECURE_MESSAGING, data=data)

    def wrap_response(self, response: ResponseApdu) -> ResponseApdu:
        """Card: encrypts and appends the R-MAC, if the level says so; error words carry neither (clause 6.2.5)."""
        self._need_open()
        if not self._level & SecurityLevel.R_MAC:
            return response
        if not _is_protected(response.sw):
            if response.data:
                self._refuse(OutOfRangeError("an error response carries no data"))
            return response
        data = response.data
        if data and self._level & SecurityLevel.R_ENCRYPTION:
            data = self._cipher(response=True).encryptor().update(_pad(data))
        return ResponseApdu(data + self._r_mac(data, response.sw), response.sw)

    def unwrap_response(self, response: ResponseApdu) -> ResponseApdu:
        """Host: verifies the R-MAC and decrypts, if the level says so. Data beside an error word is refused."""
        self._need_open()
        if not self._level & SecurityLevel.R_MAC:
            return response
        if not _is_protected(response.sw):
            if response.data:
                self._refuse(BadSignatureError("an error response carries data that nothing authenticates"))
            return response
        if len(response.data) < MAC_SIZE:
            self._refuse(BadSignatureError("the response carries no R-MAC"))
        data, mac = response.data[:-MAC_SIZE], response.data[-MAC_SIZE:]
        if not constant_time.bytes_eq(mac, self._r_mac(data, response.sw)):
            self._refuse(BadSignatureError("the R-MAC does not verify"))
        if data and self._level & SecurityLevel.R_ENCRYPTION:
            data = self._decrypt(data, response=True)
        return ResponseApdu(data, response.sw)

    def add_mac(self, command: CommandApdu) -> CommandApdu:
        """Appends the C-MAC and moves the chaining value on (clause 6.2.4)."""
        self._chaining = _cmac(self._s_mac, self._chaining + _mac_input(command))
        return replace(command, data=command.data + self._chaining[:MAC_SIZE])

    def check_mac(self, command: CommandApdu) -> CommandApdu:
        """Verifies and removes the C-MAC and moves the chaining value on."""
        if not command.cla & SECURE_MESSAGING or len(command.data) < MAC_SIZE:
            self._refuse(BadSignatureError("the command carries no C-MAC"))
        bare = replace(command, data=command.data[:-MAC_SIZE])
        chaining = _cmac(self._s_mac, self._chaining + _mac_input(bare))
        if not constant_time.bytes_eq(command.data[-MAC_SIZE:], chaining[:MAC_SIZE]):
            self._refuse(BadSignatureError("the C-MAC does not verify"))
        self._chaining = chaining
        return bare

    def raise_level(self, level: int) -> None:
        """Fixes what is carried from EXTERNAL AUTHENTICATE on. Raises OutOfRangeError for a level that does not
        exist.
        """
        if level not in _LEVELS:
            self._refuse(OutOfRangeError(f"no security level {level:02X}"))
        self._level = SecurityLevel(level)

    def refuse_unless_equal(self, given: bytes, right: bytes, what: str) -> None:
        """Compares in constant time; a difference closes the session."""
        if not constant_time.bytes_eq(given, right):
            self._refuse(BadSignatureError(f"the {what} does not verify"))

    def _r_mac(self, data: bytes, sw: int) -> bytes:
        return _cmac(self._s_rmac, self._chaining + data + sw.to_bytes(2, "big"))[:MAC_SIZE]

    def _cipher(self, *, response: bool) -> Cipher[CBC]:
        counter = bytearray(self._counter.to_bytes(BLOCK, "big"))
        if response:
            counter[0] = 0x80  # clause 6.2.7: the same counter, another first byte
        return Cipher(AES(self._s_enc), CBC(_aes_block(self._s_enc, bytes(counter))))

    def _decrypt(self, data: bytes, *, response: bool) -> bytes:
        if len(data) % BLOCK:
            self._refuse(BadSignatureError("the encrypted data are no whole blocks"))
        body, mark, zeros = self._cipher(response=response).decryptor().update(data).rpartition(b"\x80")
        if not mark or any(zeros) or len(zeros) >= BLOCK:
            self._refuse(BadSignatureError("the padding is wrong"))
        return body

    def _need_open(self) -> None:
        if not self._open:
            raise VerificationError("the secure channel is closed", next_step="Start the secure channel again.")

    def _refuse(self, error: Exception) -> NoReturn:
        self.close()
        raise error


def _is_protected(sw: int) -> bool:
    """Success and warnings carry an R-MAC, errors do not (clause 6.2.5)."""
    return sw == SW.OK or sw >> 8 in {0x62, 0x63}
