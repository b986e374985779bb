"""Who speaks to the two cards: good parties, parties of a foreign authority, and certificates with one fault each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from support.cards import World, make_world
from support.keys import Party, certify
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.keys import PublicKey, SoftwareKey

C = CertificateClass
SEED = "differential"


@dataclass(frozen=True)
class Papers:
    """What a party shows: its own certificate and its operator's, as bytes that may be wrong."""

    party: Party
    certificate: bytes
    operator: bytes


@dataclass(frozen=True)
class Cast:
    """`good` chain to the authority of the cards; `bad` have a fault in one of their certificates, or are strangers."""

    world: World
    other_operator: Party
    good: tuple[Papers, ...]
    bad: tuple[Papers, ...]

    def papers(self, rng: Random) -> Papers:
        """Mostly good ones: what fails at its certificate fails early."""
        return rng.choice(self.good if rng.random() < 0.8 else self.bad)

    def of(self, subject_class: CertificateClass) -> Papers:
        """The good party of this class under the cards' own operator."""
        return next(one for one in self.good if one.party.certificate.subject_class is subject_class)


@cache
def make_cast() -> Cast:
    """The same cast each time."""
    world = make_world(SEED)
    other = _party(world, "other operator", C.OPERATOR, world.authority.key)
    own = [_party(world, one.name, one, world.operator.key) for one in (C.HARD_WALLET, C.MERCHANT_PURSE)]
    theirs = [_party(world, f"their {one.name}", one, other.key) for one in (C.HARD_WALLET, C.MERCHANT_PURSE, C.TILL)]
    operator = world.operator.certificate.to_bytes()
    parties = (world.operator_purse, world.till, *own)
    good = [Papers(one, one.certificate.to_bytes(), operator) for one in parties]
    good += [Papers(one, one.certificate.to_bytes(), other.certificate.to_bytes()) for one in theirs]
    return Cast(world, other, tuple(good), tuple(_strangers(world, other, good)))


def _party(world: World, name: str, subject_class: CertificateClass, issuer: SoftwareKey) -> Party:
    key = world.key(name)
    return Party(name, key, certify(issuer, key, subject_class))


def _strangers(world: World, other: Party, good: list[Papers]) -> Iterator[Papers]:
    authority, operator = world.authority, world.operator
    foreign = make_world("nobody trusts it")
    yield Papers(foreign.till, foreign.till.certificate.to_bytes(), foreign.operator.certificate.to_bytes())
    yield Papers(foreign.till, foreign.till.certificate.to_bytes(), operator.certificate.to_bytes())
    yield Papers(operator, operator.certificate.to_bytes(), operator.certificate.to_bytes())
    yield Papers(operator, operator.certificate.to_bytes(), authority.certificate.to_bytes())
    yield Papers(authority, authority.certificate.to_bytes(), authority.certificate.to_bytes())
    for one in good[:4]:
        yield Papers(one.party, one.certificate, other.certificate.to_bytes())  # another operator than its own
        yield Papers(one.party, one.certificate, one.certificate)
        yield Papers(one.party, _again(one, authority.key).to_bytes(), one.operator)  # by the authority itself
        for changed in _changed(one.party.certificate):
            yield Papers(one.party, changed, one.operator)
            yield Papers(one.party, _signed_again(one.party, changed, operator.key), one.operator)
        yield Papers(one.party, one.certificate, _flipped(one.operator))
    broken = Party("off the curve", world.key("x"), replace(world.till.certificate, key=_off_curve(world)))
    signed = broken.certificate.signed_by(operator.key)
    yield Papers(broken, signed.to_bytes(), operator.certificate.to_bytes())
    crooked = replace(operator.certificate, key=_off_curve(world)).signed_by(authority.key)
    beneath = replace(world.till.certificate, issuer=crooked.subject)
    yield Papers(world.till, beneath.to_bytes(), crooked.to_bytes())


def _again(one: Papers, issuer: SoftwareKey) -> Certificate:
    return replace(one.party.certificate, issuer=issuer.public.thumbprint).signed_by(issuer)


def _changed(certificate: Certificate) -> Iterator[bytes]:
    """One claim of each kind changed, the signature as it was."""
    for subject_class in C:
        yield replace(certificate, subject_class=subject_class).to_bytes()
    for changes in ({"test": False}, {"epoch": 7}, {"expires": certificate.expires - 1}, {"not_before": 70_000}):
        yield replace(certificate, **changes).to_bytes()
    yield replace(certificate, signature=bytes(64)).to_bytes()
    yield replace(certificate, signature=b"\xff" * 64).to_bytes()
    yield _flipped(certificate.to_bytes())


def _signed_again(party: Party, changed: bytes, issuer: SoftwareKey) -> bytes:
    return Certificate.from_bytes(changed).signed_by(issuer).to_bytes()


def _flipped(encoded: bytes) -> bytes:
    return encoded[:-1] + bytes((encoded[-1] ^ 1,))


def _off_curve(world: World) -> PublicKey:
    good = world.till.key.public
    return replace(good, y=good.x)
