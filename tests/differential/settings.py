"""The operator's desk of one sequence: the host's end of the secure channel, and what STORE DATA is given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from differential.cast import Cast
from differential.wire import flip
from hardware.apdu import CommandApdu
from hardware.channel_opening import HostHandshake
from hardware.commands import Activate, Deactivate, GenerateKeyPair, PersonaliseEnd, StoreData, Terminate
from hardware.emulator.vault import Vault
from hardware.instructions import Command, Store
from hardware.pin import pin_block
from hardware.secure_channel import ALL_PROTECTED, COMMANDS_PROTECTED, SECURE_MESSAGING, SecureSession, StaticKeys
from hardware.status_words import SW
from support.cards import PIN
from wallet_core.certificates import CertificateClass
from wallet_core.messages import CertificationRequest, Signed
from wallet_core.suites import Suite

_CERTIFICATES = (Store.AUTHORITY_CERTIFICATE, Store.OPERATOR_CERTIFICATE, Store.PURSE_CERTIFICATE)
_NO_PIN = bytes.fromhex("2F1234FFFFFFFFFF")


class Channel:
    """The host's end. `keys` None: this sequence never opens a channel. `saw` is told of every exchange."""

    def __init__(self, keys: StaticKeys | None) -> None:
        self._keys = keys
        self._handshake: HostHandshake | None = None
        self._answer = b""
        self._next: SecureSession | None = None
        self._session: SecureSession | None = None
        self._sent = b""

    @property
    def is_known(self) -> bool:
        return self._keys is not None

    @property
    def is_open(self) -> bool:
        return self._session is not None

    def opening(self, rng: Random) -> bytes:
        """INITIALIZE UPDATE, or after it EXTERNAL AUTHENTICATE, now and then at another level or with a wrong MAC."""
        if self._keys is None:
            raise ValueError("this host has no keys")
        if not self._answer or self._handshake is None:
            self._handshake = HostHandshake(self._keys, rng.randbytes(8))
            self._sent = self._handshake.initialize_update().to_bytes()
            return self._sent
        level = COMMANDS_PROTECTED if rng.random() < 0.03 else ALL_PROTECTED
        command, self._next = self._handshake.external_authenticate(self._answer, level)
        self._answer = b""
        if rng.random() < 0.05:
            command = replace(command, data=flip(command.data, rng))
        self._sent = command.to_bytes()
        return self._sent

    def wrap(self, command: CommandApdu, rng: Random) -> CommandApdu:
        """The command secured; now and then by a host that forgot a command and is one counter behind."""
        if self._session is None:
            raise ValueError("this channel is not open")
        if rng.random() < 0.04:  # a right MAC over what is no ciphertext
            rubbish = rng.randbytes(rng.choice((1, 15, 16, 16, 32, 48)))
            return self._session.add_mac(replace(command, cla=command.cla | SECURE_MESSAGING, data=rubbish))
        if rng.random() < 0.01:  # rightly wrapped, and longer than anything that a card wants
            command = replace(command, data=rng.randbytes(rng.choice((990, 1007, 1008, 1040, 1300, 4060, 4100))))
        wrapped = self._session.wrap_command(command)
        return self._session.wrap_command(command) if rng.random() < 0.03 else wrapped

    def saw(self, sent: bytes, answer: bytes) -> None:
        """Follows what the card did: any answer but those of the opening leaves this end as it is."""
        sw = int.from_bytes(answer[-2:], "big")
        if not sent or sent != self._sent:
            if sw == SW.SECURE_MESSAGING_OBJECT_WRONG or (sent[:2] == b"\x00\xa4" and sw == SW.OK):
                self._session = None
            return
        self._sent = b""
        if sent[1] == 0x50 and len(answer) == 31:
            self._answer, self._session = answer[:-2], None
        elif sent[1] == 0x82 and sw == SW.OK:
            self._session = self._next


@dataclass(frozen=True)
class Papers:
    """What the operator gives this card, right or wrong in one thing."""

    cast: Cast
    serial: bytes
    subject_class: CertificateClass = CertificateClass.HARD_WALLET
    policy_changes: dict[str, object] = field(default_factory=dict)

    def draw(self, vault: Vault, rng: Random) -> CommandApdu:
        """A command of personalisation or life cycle."""
        steps: tuple[Command, ...] = (PersonaliseEnd(), Activate(), Deactivate(), Terminate())
        chance = rng.random()
        if chance < 0.12:
            return GenerateKeyPair(rng.randbytes(32)).to_apdu()
        if chance < 0.32:
            return rng.choices(steps, (6, 6, 3, 1))[0].to_apdu()
        target = rng.choice(tuple(Store))
        return StoreData(target, self.content(target, vault, rng)).to_apdu()

    def content(self, target: Store, vault: Vault, rng: Random) -> bytes:
        """One object of STORE DATA: the stored one again, the right one, or a wrong one."""
        stored = vault.memory.object(vault.record, target)
        if stored is not None and rng.random() < 0.3:
            return stored
        good = self.right(target, vault, rng)
        if rng.random() < 0.15:
            return flip(good, rng)
        if target in _CERTIFICATES and rng.random() < 0.3:
            papers = rng.choice((*self.cast.good, *self.cast.bad))
            return rng.choice((papers.certificate, papers.operator))
        return good

    def right(self, target: Store, vault: Vault, rng: Random) -> bytes:
        """What this card should be given as `target`."""
        match target:
            case Store.AUTHORITY_CERTIFICATE:
                return self.cast.world.authority.certificate.to_bytes()
            case Store.OPERATOR_CERTIFICATE:
                operator = self.cast.other_operator if rng.random() < 0.1 else self.cast.world.operator
                return operator.certificate.to_bytes()
            case Store.PURSE_CERTIFICATE:
                return self._certificate(vault, rng)
            case Store.POLICY:
                return self.policy(vault, rng)
            case Store.PIN:
                return _NO_PIN if rng.random() < 0.05 else pin_block(rng.choice((PIN, "1234", "123456789012")))
            case Store.AUDIT_KEY:
                return rng.choice((self.cast.world.audit_key(self.serial), bytes(16)))

    def _certificate(self, vault: Vault, rng: Random) -> bytes:
        """A certificate for the card's own key, mostly of the right class; before there is a key, for the till's."""
        world = self.cast.world
        key = vault.key().public if vault.record.has_key else world.till.key.public
        request = CertificationRequest(
            suite=Suite.ES256, x=key.x, y=key.y, subject_class=self.subject_class, challenge=bytes(32)
        )
        if rng.random() < 0.2:
            request = replace(request, subject_class=rng.choice(tuple(CertificateClass)))
        signed = Signed.sign(request, world.till.key).to_bytes()
        return world.papers(self.serial, signed).certificate

    def policy(self, vault: Vault, rng: Random) -> bytes:
        """A signed policy whose version rises, mostly."""
        world = self.cast.world
        version = vault.policy.version if vault.policy else 0
        changes: dict[str, object] = {"purse_class": self.subject_class, **self.policy_changes}
        changes["version"] = version + rng.choice((1, 1, 1, 0))
        if rng.random() < 0.2:
            wrong: tuple[dict[str, object], ...] = (
                {"operator": bytes(32)},
                {"purse_class": CertificateClass.TILL},
                {"least_suite": 3},
                {"offline_count": 0},
                {"balance_limit": 0},
                {"payee_classes": 0},
            )
            changes.update(rng.choice(wrong))
        signed = world.signed_policy(**changes)
        return flip(signed, rng) if rng.random() < 0.1 else signed


@dataclass(frozen=True)
class Settings:
    """What one sequence is played with. `secured`: a third of it goes through the channel."""

    channel: Channel
    papers: Papers
    secured: bool
