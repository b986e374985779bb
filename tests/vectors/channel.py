"""The host's end of SCP03 with every value in sight, for the vectors: nothing of hardware/secure_channel.py is used.

GlobalPlatform Card Specification 2.3, Amendment D 1.1.2; AES-128, S8 mode, security level 33 only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.cmac import CMAC

CARD_CRYPTOGRAM, HOST_CRYPTOGRAM, S_ENC, S_MAC, S_RMAC = 0x00, 0x01, 0x04, 0x06, 0x07
MAC = 8


def cmac(key: bytes, data: bytes) -> bytes:
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()


def derive(key: bytes, constant: int, context: bytes, size: int) -> bytes:
    """Clause 4.1.5: label of 12 bytes ending in the constant, separator, length in bits, counter 1, context."""
    return cmac(key, bytes(11) + bytes((constant, 0)) + (8 * size).to_bytes(2, "big") + b"\1" + context)[:size]


def icv(key: bytes, counter: int, *, response: bool) -> bytes:
    """Clauses 6.2.6 and 6.2.7: the encrypted counter; in an answer its first byte is 80."""
    block = counter.to_bytes(16, "big")
    encryptor = Cipher(AES(key), ECB()).encryptor()
    return encryptor.update((b"\x80" if response else b"\0") + block[1:]) + encryptor.finalize()


@dataclass
class HostChannel:
    """One session: `keys` K-ENC and K-MAC (16 bytes each), and the host's challenge (8 bytes)."""

    enc: bytes
    mac: bytes
    host_challenge: bytes
    card_challenge: bytes = b""
    chaining: bytes = bytes(16)
    counter: int = 0
    session: dict[str, bytes] = field(default_factory=dict)

    def hear(self, answer: bytes) -> dict[str, Any]:
        """Takes the answer to INITIALIZE UPDATE: 10 bytes of the card, version, 03, i, challenge, cryptogram."""
        self.card_challenge, told = answer[13:21], answer[21:29]
        context = self.host_challenge + self.card_challenge
        self.session = {
            "s_enc": derive(self.enc, S_ENC, context, 16),
            "s_mac": derive(self.mac, S_MAC, context, 16),
            "s_rmac": derive(self.mac, S_RMAC, context, 16),
        }
        mac = self.session["s_mac"]
        self.session["card_cryptogram"] = derive(mac, CARD_CRYPTOGRAM, context, 8)
        self.session["host_cryptogram"] = derive(mac, HOST_CRYPTOGRAM, context, 8)
        if told != self.session["card_cryptogram"]:
            raise ValueError("the card's cryptogram is another one")
        shown = {name: value.hex() for name, value in self.session.items()}
        return {"k_enc": self.enc.hex(), "k_mac": self.mac.hex(), "context": context.hex(), **shown}

    def authenticate(self, level: int = 0x33) -> tuple[bytes, dict[str, Any]]:
        """EXTERNAL AUTHENTICATE, and what it was made of."""
        return self._mac(bytes((0x84, 0x82, level, 0)), self.session["host_cryptogram"], b"")

    def wrap(self, plain: bytes) -> tuple[bytes, dict[str, Any]]:
        """A short command `CLA INS P1 P2 [Lc data] [Le]` through the channel; every one gets an Le for the R-MAC."""
        self.counter += 1
        header, data = plain[:4], b""
        if len(plain) > 5:
            data = plain[5 : 5 + plain[4]]
        details: dict[str, Any] = {"plain": plain.hex(), "counter": self.counter}
        if data:
            vector = icv(self.session["s_enc"], self.counter, response=False)
            padded = data + b"\x80" + bytes(-(len(data) + 1) % 16)
            encryptor = Cipher(AES(self.session["s_enc"]), CBC(vector)).encryptor()
            data = encryptor.update(padded) + encryptor.finalize()
            details |= {"icv": vector.hex(), "encrypted": data.hex()}
        command, macs = self._mac(bytes((header[0] | 4,)) + header[1:], data, b"\0")
        return command, details | macs

    def unwrap(self, answer: bytes, sw: int) -> tuple[bytes, dict[str, Any]]:
        """The plain answer to a 9000, its R-MAC verified."""
        data, mac = answer[:-MAC], answer[-MAC:]
        over = self.chaining + data + sw.to_bytes(2, "big")
        if cmac(self.session["s_rmac"], over)[:MAC] != mac:
            raise ValueError("the R-MAC is another one")
        details: dict[str, Any] = {"r_mac_over": over.hex(), "r_mac": mac.hex()}
        if data:
            vector = icv(self.session["s_enc"], self.counter, response=True)
            decryptor = Cipher(AES(self.session["s_enc"]), CBC(vector)).decryptor()
            data = (decryptor.update(data) + decryptor.finalize()).rstrip(b"\0")[:-1]
            details |= {"answer_icv": vector.hex()}
        return data, details | {"plain_answer": data.hex()}

    def _mac(self, header: bytes, data: bytes, le: bytes) -> tuple[bytes, dict[str, Any]]:
        """Lc counts the C-MAC that follows; Le is not in it (clause 6.2.4)."""
        over = self.chaining + header + bytes((len(data) + MAC,)) + data
        self.chaining = cmac(self.session["s_mac"], over)
        command = header + bytes((len(data) + MAC,)) + data + self.chaining[:MAC] + le
        return command, {"c_mac_over": over.hex(), "c_mac": self.chaining[:MAC].hex()}
