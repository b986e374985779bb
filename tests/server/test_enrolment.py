"""Enrolment: a key is certified once, for one serial or one code, and only with its proof of possession."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.enrolment.certifying import Certifier, proven_key
from server.enrolment.policy_profiles import DEFAULT_PROFILE, policy
from server.problems import Problem
from support.keys import NOW, OPERATOR, key
from support.operator_world import Bank, World, certification_request
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    CodecError,
    ConfigurationError,
    ExpiredCertificateError,
    MismatchError,
    UsageError,
    WrongClassError,
)
from wallet_core.messages import SpendMode

SERIAL = bytes(range(8))
CARD, TILL = CertificateClass.HARD_WALLET, CertificateClass.TILL


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path))
    yield made
    made.close()


def problem(action: Callable[[], object]) -> str:
    with pytest.raises(Problem) as caught:
        action()
    return caught.value.problem


class TestCards:
    def test_certificate_and_audit_key(self, bank: Bank) -> None:
        own = key("a")
        card = bank.parts.cards.enrol(SERIAL, certification_request(own, CARD, SERIAL), NOW)
        certificate = Certificate.from_bytes(card.certificate)
        bank.world.keyring.trust().verify(certificate, now=NOW, allowed=(CARD,))
        assert (card.card, certificate.subject) == (own.public.thumbprint, own.public.thumbprint)
        assert (certificate.test, certificate.epoch) == (True, 1)
        assert card.audit_key == bank.world.keyring.audit_key(card.card)
        assert card.audit_key != bank.world.keyring.audit_key(b"\1" * 32)
        assert bank.parts.cards.certificate(card.card) == card.certificate
        assert card.audit_key.hex() not in repr(card)

    def test_the_same_key_again_gets_the_stored_certificate(self, bank: Bank) -> None:
        request = certification_request(key("a"), CARD, SERIAL)
        first = bank.parts.cards.enrol(SERIAL, request, NOW)
        assert bank.parts.cards.enrol(SERIAL, request, NOW + 999) == first

    def test_one_serial_one_key(self, bank: Bank) -> None:
        bank.parts.cards.enrol(SERIAL, certification_request(key("a"), CARD, SERIAL), NOW)
        other = certification_request(key("b"), CARD, SERIAL)
        assert problem(lambda: bank.parts.cards.enrol(SERIAL, other, NOW)) == "idempotency-mismatch"
        elsewhere = certification_request(key("a"), CARD, bytes(8))
        assert problem(lambda: bank.parts.cards.enrol(bytes(8), elsewhere, NOW)) == "idempotency-mismatch"

    def test_an_unknown_card(self, bank: Bank) -> None:
        assert problem(lambda: bank.parts.cards.certificate(bytes(32))) == "not-found"


class TestProofOfPossession:
    def test_for_another_serial(self) -> None:
        with pytest.raises(MismatchError):
            proven_key(certification_request(key("a"), CARD, SERIAL), CARD, bytes(8))

    @pytest.mark.parametrize("wanted", [c for c in CertificateClass if c is not CARD])
    def test_for_another_class(self, wanted: CertificateClass) -> None:
        with pytest.raises(WrongClassError):
            proven_key(certification_request(key("a"), wanted, SERIAL), CARD, SERIAL)

    def test_by_another_key(self) -> None:
        raw = certification_request(key("a"), CARD, SERIAL)
        stolen = certification_request(key("b"), CARD, SERIAL)
        with pytest.raises(BadSignatureError):
            proven_key(raw[:-64] + stolen[-64:], CARD, SERIAL)

    def test_every_truncation(self) -> None:
        raw = certification_request(key("a"), CARD, SERIAL)
        for size in range(len(raw)):
            with pytest.raises((CodecError, BadSignatureError)):
                proven_key(raw[:size], CARD, SERIAL)


class TestTills:
    def request(self, code: str, name: str = "till") -> bytes:
        return certification_request(key(name), TILL, code.encode())

    def test_with_a_code(self, bank: Bank) -> None:
        made = bank.parts.tills.add_merchant("羅湖茶室", NOW)
        till = bank.parts.tills.enrol(made.code, self.request(made.code), NOW)
        bank.world.keyring.trust().verify(Certificate.from_bytes(till.certificate), now=NOW, allowed=(TILL,))
        assert (till.till, till.merchant) == (key("till").public.thumbprint, made.merchant)
        assert till.merchant_name == "羅湖茶室"

    def test_the_same_till_again_even_later(self, bank: Bank) -> None:
        made = bank.parts.tills.add_merchant("M", NOW)
        first = bank.parts.tills.enrol(made.code, self.request(made.code), NOW)
        late = NOW + bank.settings.code_lifetime_s + 1
        assert bank.parts.tills.enrol(made.code, self.request(made.code), late) == first

    def test_a_used_code(self, bank: Bank) -> None:
        made = bank.parts.tills.add_merchant("M", NOW)
        bank.parts.tills.enrol(made.code, self.request(made.code), NOW)
        other = self.request(made.code, "other")
        assert problem(lambda: bank.parts.tills.enrol(made.code, other, NOW)) == "code-used"

    def test_an_unknown_code(self, bank: Bank) -> None:
        assert problem(lambda: bank.parts.tills.enrol("x", self.request("x"), NOW)) == "not-authorised"

    def test_a_code_that_is_too_old(self, bank: Bank) -> None:
        made = bank.parts.tills.add_merchant("M", NOW)
        late = NOW + bank.settings.code_lifetime_s
        assert problem(lambda: bank.parts.tills.enrol(made.code, self.request(made.code), late)) == "not-authorised"

    def test_a_key_that_has_its_place_already(self, bank: Bank) -> None:
        first, second = (bank.parts.tills.add_merchant(name, NOW) for name in "MN")
        bank.parts.tills.enrol(first.code, self.request(first.code), NOW)
        again = self.request(second.code)
        assert problem(lambda: bank.parts.tills.enrol(second.code, again, NOW)) == "idempotency-mismatch"
        assert bank.parts.tills.enrol(second.code, self.request(second.code, "new"), NOW).merchant == second.merchant

    def test_a_second_till_of_a_merchant(self, bank: Bank) -> None:
        made = bank.parts.tills.add_merchant("M", NOW)
        code = bank.parts.tills.new_code(made.merchant, NOW)
        assert code != made.code
        assert bank.parts.tills.enrol(code, self.request(code), NOW).merchant == made.merchant
        assert problem(lambda: bank.parts.tills.new_code("nobody", NOW)) == "not-found"

    def test_codes_are_stored_hashed_and_not_shown(self, bank: Bank) -> None:
        made = bank.parts.tills.add_merchant("M", NOW)
        bank.parts.storage.probe()
        files = b"".join(path.read_bytes() for path in bank.world.directory.iterdir() if path.is_file())
        assert bank.world.keyring.code_digest(made.code) in files
        assert made.code.encode() not in files
        assert made.code not in repr(made)

    @pytest.mark.parametrize("name", ["", "   ", "x" * 65, "line\nbreak", "bell\x07", "\u202ereversed"])
    def test_an_unusable_name(self, bank: Bank, name: str) -> None:
        with pytest.raises(UsageError):
            bank.parts.tills.add_merchant(name, NOW)


def test_no_certificate_outlives_the_operators(tmp_path: Path) -> None:
    keyring = World.make(tmp_path).keyring
    certifier = Certifier(keyring)
    end = OPERATOR.certificate.expires
    made = certifier.certify(key("a").public, CARD, now=end - 5, lifetime_s=999)
    assert made.expires == end
    for moment in (end, OPERATOR.certificate.not_before - 1):
        with pytest.raises(ExpiredCertificateError):
            certifier.certify(key("a").public, CARD, now=moment, lifetime_s=999)


def test_the_policy_is_data() -> None:
    made = policy(DEFAULT_PROFILE, OPERATOR.id)
    assert (made.balance_limit, made.transfer_limit) == (100_000, 50_000)
    assert (made.offline_total, made.offline_count) == (100_000, 16)
    assert (made.pin_threshold, made.unverified_total, made.payee_threshold) == (20_000, 30_000, 20_000)
    assert (made.mode, made.operator, made.version) == (SpendMode.STAGED, OPERATOR.id, 1)
    allowed = {c for c in CertificateClass if made.payee_classes >> c & 1}
    assert allowed == {TILL, CertificateClass.MERCHANT_PURSE, CertificateClass.OPERATOR_PURSE}


@pytest.mark.parametrize("name", ["none", "../keyring", ""])
def test_an_unknown_profile(name: str) -> None:
    with pytest.raises(ConfigurationError):
        policy(name, OPERATOR.id)
