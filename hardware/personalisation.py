"""Personalisation as the operator does it: the card makes its key, the operator certifies it, the rest goes in.

blank → personalised → active, over SCP03 (docs/spec/apdu.md, *STORE DATA*). A card that was taken away in the middle is
personalised again from the beginning: it keeps its key pair, and every step may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from wallet_core.certificates import Certificate
from wallet_core.errors import CardError, MismatchError, PurseRefusal, Refused
from wallet_core.messages import CertificationRequest, parse
from wallet_core.purse.state import Lifecycle
from wallet_core.suites import Suite, profile

from .channel_opening import open_channel
from .commands import Activate, Deactivate, GenerateKeyPair, GenerateSm2KeyPair, PersonaliseEnd, StoreData, Terminate
from .data_objects import Fci
from .driver import HardWallet
from .instructions import Command, Store
from .pin import pin_block
from .secure_channel import StaticKeys
from .status_words import tries_left


@dataclass(frozen=True, slots=True)
class CardPapers:
    """What the operator gives a card: three certificates, a signed policy, the card's audit key (16 bytes)."""

    certificate: bytes
    operator_certificate: bytes
    authority_certificate: bytes
    policy: bytes
    audit_key: bytes = field(repr=False)


class OtherPinError(CardError):
    """The card is active, and its PIN is the one that an earlier, interrupted run gave it."""

    code = "other-pin"
    default_next_step = "Use the PIN of the first run; verified once, it gives the used try back."


Certify = Callable[[bytes, bytes], CardPapers]
"""The operator: serial number (8 bytes) and signed CertificationRequest in, papers out; repeatable."""
_GENERATE: dict[Suite, Callable[[bytes], Command]] = {Suite.ES256: GenerateKeyPair, Suite.SM2: GenerateSm2KeyPair}

KeysFor = Callable[[bytes], StaticKeys]
"""The transport keys of the card with this serial number (8 bytes)."""


def personalise(
    wallet: HardWallet,
    keys_for: KeysFor,
    host_challenge: bytes,
    certify: Certify,
    pin: str,
    *,
    suite: Suite = Suite.ES256,
) -> Fci:
    """Make a blank card an active one; returns its FCI. `host_challenge`: 8 fresh random bytes.

    `suite`: the operator's, of which the card makes its key pair; a card that cannot answers a wrong P1-P2 (CardError).

    A card that an earlier run left personalised keeps the PIN of that run; another `pin` is OtherPinError once it is
    active. Raises PurseRefusal WRONG_STATE for a card that is neither blank nor personalised, VerificationError when
    card or operator does not answer what was asked, UsageError for a PIN that is none, and what `certify` raises.
    """
    block = pin_block(pin)
    fci = wallet.select()
    if fci.lifecycle not in (Lifecycle.BLANK, Lifecycle.PERSONALISED):
        raise PurseRefusal(
            Refused.WRONG_STATE,
            f"this card is {fci.lifecycle.name.lower()} already",
            next_step="Personalise a blank card; an active one is ready to use.",
        )
    serial = wallet.serial()
    with _Channel(wallet, keys_for(serial), host_challenge) as send:
        if fci.lifecycle is Lifecycle.BLANK:
            challenge = profile(suite).digest(serial)
            request = send(_GENERATE[suite](challenge))
            _check_request(request, challenge, suite)
            papers = certify(serial, request)
            _check_papers(papers, request)
            send(StoreData(Store.AUTHORITY_CERTIFICATE, papers.authority_certificate))
            send(StoreData(Store.OPERATOR_CERTIFICATE, papers.operator_certificate))
            send(StoreData(Store.PURSE_CERTIFICATE, papers.certificate))
            send(StoreData(Store.POLICY, papers.policy))
            send(StoreData(Store.PIN, block))
            send(StoreData(Store.AUDIT_KEY, papers.audit_key))
            send(PersonaliseEnd())
        send(Activate())
    if fci.lifecycle is Lifecycle.PERSONALISED:
        _check_pin(wallet, pin)
    return wallet.select()


def block(wallet: HardWallet, keys_for: KeysFor, host_challenge: bytes) -> None:
    """Active → blocked: no new payments, what was paid or requested can still be finished."""
    _step(wallet, keys_for, host_challenge, Deactivate())


def terminate(wallet: HardWallet, keys_for: KeysFor, host_challenge: bytes) -> None:
    """Any state → terminated, for good."""
    _step(wallet, keys_for, host_challenge, Terminate())


def _step(wallet: HardWallet, keys_for: KeysFor, host_challenge: bytes, command: Command) -> None:
    wallet.select()
    with _Channel(wallet, keys_for(wallet.serial()), host_challenge) as send:
        send(command)


class _Channel:
    """The wallet's connection through SCP03, for the length of a `with` block."""

    def __init__(self, wallet: HardWallet, keys: StaticKeys, host_challenge: bytes) -> None:
        self._wallet, self._keys, self._challenge = wallet, keys, host_challenge

    def __enter__(self) -> Callable[[Command], bytes]:
        connection = self._wallet.connection
        connection.secure(open_channel(connection.send, self._keys, self._challenge))
        return self._wallet.run

    def __exit__(self, *_: object) -> None:
        self._wallet.connection.plain()


def _check_pin(wallet: HardWallet, pin: str) -> None:
    """The PIN went in with the earlier run: say so if it was another one. Raises OtherPinError, CardError."""
    try:
        wallet.verify_pin(pin)
    except CardError as wrong:
        left = tries_left(wrong.sw)
        if left is None:
            raise
        message = f"the card is active with the PIN of the earlier run, which is another one ({left} tries left)"
        raise OtherPinError(wrong.sw, message) from wrong


def _check_request(request: bytes, challenge: bytes, suite: Suite) -> None:
    """Proof of possession over our challenge, in the suite asked for; raises VerificationError or CodecError."""
    signed = parse(CertificationRequest, request)
    message = signed.verify(signed.message.key)
    if message.suite is not suite:
        raise MismatchError("the card made a key of another suite")
    if message.challenge != challenge:
        raise MismatchError("the card answered another challenge")


def _check_papers(papers: CardPapers, request: bytes) -> None:
    """The certificate is for the key that the card proved; raises VerificationError or CodecError."""
    certificate = Certificate.from_bytes(papers.certificate)
    operator = Certificate.from_bytes(papers.operator_certificate)
    if certificate.key != parse(CertificationRequest, request).message.key:
        raise MismatchError("the operator certified another key than the card's")
    certificate.verify_signature(operator.key)
