"""What the applet holds while it has power: state, key and policy in RAM, and the one way to make a change last.

Everything durable is in `CardMemory`; this is its image in RAM, read once at power-up, so that a command parses nothing
twice. It is thrown away with the power.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from hardware.emulator.memory import CardMemory
from hardware.emulator.record import CardRecord
from hardware.instructions import OBJECTS, Store
from wallet_core.audit import NONCE_SIZE, AuditData
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    CodecError,
    PurseRefusal,
    Refused,
    UnknownSuiteError,
    VerificationError,
)
from wallet_core.ids import ID_SIZE
from wallet_core.keys import SoftwareKey
from wallet_core.messages import Policy, Signed, parse
from wallet_core.messages.layout import FixedMessage
from wallet_core.purse.state import PurseState
from wallet_core.suites import Suite
from wallet_core.trust import TrustStore

M = TypeVar("M", bound=FixedMessage)

_KEY_SEED_SIZE = 48
_OF_A_SUITE = tuple(target for target, part in OBJECTS.items() if not isinstance(part, int))  # what is signed

RandomBytes = Callable[[int], bytes]
"""A source of random bytes: a secure element's own, or one that a seed replays."""
RandomFor = Callable[[int], RandomBytes]
"""The source for one power session, by the session's first sequence number."""


class Vault:
    """State, key and objects of one power session. Raises StorageError when the memory holds no card that can start."""

    def __init__(self, memory: CardMemory, randomness: RandomFor) -> None:
        self.memory = memory
        self.record = memory.load()
        self.factory = memory.factory()
        # A power session has a sequence number of its own, so that a replayed source never repeats itself.
        self.random = randomness(memory.sequence)
        self.pin_verified = False
        self.signatures = 0
        """Signatures made since power-up."""
        self._key: SoftwareKey | None = None
        self._policy: Policy | None = None
        self._policy_bank = 0
        self._trust: TrustStore | None = None
        self._remember()

    @property
    def state(self) -> PurseState:
        return self.record.purse

    @property
    def policy(self) -> Policy | None:
        return self._policy

    @property
    def purse_id(self) -> bytes:
        """The thumbprint of the card's own key, 32 bytes; zeros before there is one."""
        return self._key.public.thumbprint if self._key else bytes(ID_SIZE)

    @property
    def suite(self) -> Suite:
        """Of the card's key pair, and so of everything that it signs and takes; ES256 before there is one."""
        return self.record.suite

    def require_known(self, message: FixedMessage) -> None:
        """Raise UnknownSuiteError for a suite after this card's own; one before it is the policy's to refuse."""
        if message.suite > self.suite:
            raise UnknownSuiteError(f"suite {message.suite} is not known to this card")

    def key(self) -> SoftwareKey:
        if self._key is None:
            raise PurseRefusal(Refused.WRONG_STATE, "this card has no key pair yet")
        return self._key

    def commit(self, record: CardRecord) -> None:
        """Make `record` durable, then believe it. Every area that it points to is written before."""
        self.memory.commit(record)
        self.record = record
        self._remember()

    def commit_state(self, state: PurseState) -> None:
        self.commit(replace(self.record, purse=state))

    def make_key(self, suite: Suite = Suite.ES256) -> SoftwareKey:
        """The card's own key pair, made here and never told: the same one when asked again.

        Raises PurseRefusal WRONG_STATE when there is one of another suite, or objects were stored before it that are.
        """
        if self._key is None:
            if suite is not self.suite and any(self.record.has(one) for one in _OF_A_SUITE):
                raise PurseRefusal(Refused.WRONG_STATE, "objects of another suite are stored on this card")
            fresh = SoftwareKey.from_secret(self.random(_KEY_SEED_SIZE), suite)
            self.memory.write_scalar(fresh.to_scalar())
            self.commit(replace(self.record, has_key=True, suite=suite))
        elif self.suite is not suite:
            raise PurseRefusal(Refused.WRONG_STATE, "this card has a key pair of another suite")
        return self.key()

    def sign(self, message: FixedMessage) -> bytes:
        """The signed message as its COSE bytes."""
        self.signatures += 1
        return Signed.sign(message, self.key()).to_bytes()

    def seal(self, audit: AuditData) -> bytes:
        key = self.memory.object(self.record, Store.AUDIT_KEY)
        if key is None:
            raise PurseRefusal(Refused.WRONG_STATE, "this card has no audit key")
        return audit.seal(key, self.random(NONCE_SIZE), self.suite)

    def certificate(self, target: Store) -> Certificate | None:
        """A certificate of the card's own chain."""
        content = self.memory.object(self.record, target)
        return None if content is None else Certificate.from_bytes(content)

    def trust(self) -> TrustStore:
        """The trust store on the card's own authority: it knows no dates, for a card has no clock (rule 10)."""
        if self._trust is None:
            root = self.certificate(Store.AUTHORITY_CERTIFICATE)
            if root is None:
                raise PurseRefusal(Refused.WRONG_STATE, "this card trusts no authority yet")
            self._trust = TrustStore(root, production=self.factory.production)
        return self._trust

    def verify_party(self, certificate: Certificate, operator: Certificate, *allowed: CertificateClass) -> None:
        """Check authority → operator → certificate, inside the card; raises PurseRefusal CERTIFICATE.

        The chain is the one that came: a certificate of an operator that the card knows already needs that operator's.
        """
        if certificate.issuer != operator.subject:
            raise PurseRefusal(Refused.CERTIFICATE, "another operator than the one named has certified this")
        try:
            trust = self.trust()
            if operator not in trust.operators:
                trust.add_operator(operator)
            trust.verify(certificate, now=None, allowed=allowed)
        except VerificationError as exc:
            raise PurseRefusal(Refused.CERTIFICATE, exc.message) from exc

    def _remember(self) -> None:
        """Read again what a commit may have replaced."""
        if self.record.has_key and self._key is None:
            self._key = SoftwareKey.from_scalar(self.memory.scalar(), self.suite)
        bank = self.record.objects[Store.POLICY]
        if bank != self._policy_bank:
            content = self.memory.object(self.record, Store.POLICY)
            self._policy = read_policy(content).message if content else None
            self._policy_bank = bank


def read_policy(content: bytes) -> Signed[Policy]:
    """Parse a signed policy; raises PurseRefusal MALFORMED."""
    try:
        return parse(Policy, content)
    except CodecError as exc:
        raise PurseRefusal(Refused.MALFORMED, exc.message) from exc


def check_signature(signed: Signed[M], certificate: Certificate) -> None:
    """Raises PurseRefusal SIGNATURE."""
    try:
        signed.verify(certificate.key)
    except BadSignatureError as exc:
        raise PurseRefusal(Refused.SIGNATURE, exc.message) from exc
