"""Attacks on suite 2: what libcrypto cannot say must never become a verdict or a signature, and nothing crosses over
from one suite to the other."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support import keys, samples, suite2
from support.keys import NOW, Party
from support.samples import Sample
from support.tree import ROOT
from wallet_core import libcrypto, sm2
from wallet_core.cose import Sign1, sig_structure
from wallet_core.errors import BadSignatureError, ConfigurationError, UnknownSuiteError, VerificationError
from wallet_core.keys import PublicKey, SoftwareKey
from wallet_core.messages import Signed, parse
from wallet_core.messages.deposit import MAX_BATCH_SIZE
from wallet_core.suites import Suite, profile

KEY = suite2.CARD.key
MESSAGE = b"a voucher"
SIGNATURE = KEY.sign(MESSAGE)


def fresh() -> PublicKey:
    """The public key, no point of it made yet."""
    return PublicKey(KEY.public.x, KEY.public.y, Suite.SM2)


def python(script: str, *words: str, **environment: str) -> str:
    """What `script` prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


VERIFY = """
import sys
from wallet_core.errors import EcnyError
from wallet_core.keys import PublicKey
from wallet_core.suites import Suite
x, y, signature = map(bytes.fromhex, sys.argv[1:])
try:
    PublicKey(x, y, Suite.SM2).verify(signature, b"a voucher")
    print("good")
except EcnyError as exc:
    print(exc.code)
"""
WITHOUT_SM2 = """
openssl_conf = init
[init]
providers = providers
[providers]
base = base
[base]
activate = 1
"""


def test_a_machine_that_switches_sm2_off_calls_no_signature_bad(tmp_path: Path) -> None:
    """As a FIPS set-up does: a deposit there must fail, not be answered BAD_SIGNATURE for good."""
    config = tmp_path / "openssl.cnf"
    config.write_text(WITHOUT_SM2)
    public = KEY.public
    said = [public.x.hex(), public.y.hex(), SIGNATURE.hex()]
    assert python(VERIFY, *said) == "good"
    assert python(VERIFY, *said, OPENSSL_CONF=str(config)) == "configuration"


MAKE = """
from wallet_core.errors import EcnyError
from wallet_core.keys import SoftwareKey
from wallet_core.suites import Suite
try:
    SoftwareKey.from_scalar(bytes(31) + b"\\7", Suite.SM2)
except EcnyError as exc:
    print(exc.code)
"""


def test_a_key_that_such_a_machine_cannot_make_is_an_error_of_the_tree(tmp_path: Path) -> None:
    config = tmp_path / "openssl.cnf"
    config.write_text(WITHOUT_SM2)
    assert python(MAKE, OPENSSL_CONF=str(config)) == "configuration"


class _Failing:
    """libcrypto, one function of which fails as it does without memory."""

    def __init__(self, name: str, result: int | None) -> None:
        self._library, self._name, self._result = libcrypto.library(), name, result

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            return lambda *_: self._result
        return getattr(self._library, name)


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("EVP_PKEY_CTX_new_from_name", None),
        ("EVP_PKEY_fromdata_init", 0),
        ("EVP_PKEY_CTX_new_from_pkey", None),
        ("EVP_PKEY_verify_init", 0),
        ("EVP_PKEY_verify", -1),
    ],
)
def test_what_fails_in_the_library_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, name: str, result: int | None
) -> None:
    failing = _Failing(name, result)
    monkeypatch.setattr(libcrypto, "library", lambda: failing)
    with pytest.raises(ConfigurationError):
        fresh().verify(SIGNATURE, MESSAGE)


@pytest.mark.parametrize("name", ["BN_new", "BN_secure_new", "EC_POINT_new", "EC_POINT_mul", "BN_bn2binpad"])
def test_a_signature_that_the_library_cannot_make_is_an_error_of_the_tree(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    failing = _Failing(name, 0)
    monkeypatch.setattr(libcrypto, "library", lambda: failing)
    with pytest.raises(ConfigurationError):
        KEY.sign(MESSAGE)


AT_EXIT = """
import atexit
def last():
    same = key.sign(b"a voucher") == first
    key.public.verify(first, b"a voucher")
    print("the same" if same else "another signature with the same k: the key is given away")
atexit.register(last)  # before anything of ours: so it runs after it
from wallet_core.keys import SoftwareKey
from wallet_core.suites import Suite
key = SoftwareKey.from_scalar(bytes(31) + b"\\7", Suite.SM2)
first = key.sign(b"a voucher")
key.public.verify(first, b"a voucher")
"""


def test_numbers_live_as_long_as_their_key_to_the_very_end_of_the_process() -> None:
    """Freed at exit under a thread or handler that still signs, they would give s for the same k from other bytes."""
    assert python(AT_EXIT) == "the same"


def test_numbers_are_cleared_and_freed_with_their_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[int] = []
    real = libcrypto.library()

    def free(at: int) -> None:
        freed.append(at)
        real.BN_clear_free(at)

    counting = SimpleNamespace(BN_new=real.BN_new, BN_clear_free=free, BN_bin2bn=real.BN_bin2bn)
    monkeypatch.setattr(libcrypto, "library", lambda: counting)
    number = libcrypto.Number(b"\7")
    at = number.at
    del number
    assert freed == [at]


def at_infinity(d: int, s: int) -> tuple[bytes, bytes]:
    """r and e with s·G + (r + s)·P at infinity, where P = d·G: t = -s/d, r = t - s."""
    n = sm2.ORDER
    t = -s * pow(d, -1, n) % n
    r = (t - s) % n
    return r.to_bytes(32, "big") + s.to_bytes(32, "big"), r.to_bytes(32, "big")


@pytest.mark.parametrize("e", [0, 1, sm2.ORDER - 1, sm2.ORDER, 2**256 - 1])
def test_values_by_which_a_key_s_owner_steers_into_infinity(e: int) -> None:
    """The owner of a key knows d: a verdict, not a failure, and never good."""
    key = SoftwareKey.from_scalar((7).to_bytes(32, "big"), Suite.SM2)
    signature, r = at_infinity(7, 12345)
    for digest in (e.to_bytes(32, "big"), r):
        with pytest.raises(BadSignatureError):
            key.public.verify_digest(signature, digest)


def test_r_and_s_whose_sum_is_the_order() -> None:
    r = 5
    signature = r.to_bytes(32, "big") + (sm2.ORDER - r).to_bytes(32, "big")
    with pytest.raises(BadSignatureError):
        KEY.public.verify_digest(signature, bytes(32))


def test_there_is_no_second_form_of_a_signature() -> None:
    n = sm2.ORDER
    r, s = int.from_bytes(SIGNATURE[:32], "big"), int.from_bytes(SIGNATURE[32:], "big")
    for first, second in ((r, n - s), (n - r, s), (n - r, n - s), (s, r), (r, -(r + s) % n)):
        with pytest.raises(BadSignatureError):
            KEY.public.verify(first.to_bytes(32, "big") + second.to_bytes(32, "big"), MESSAGE)


PAIRS = tuple(zip(samples.SAMPLES, suite2.SAMPLES, strict=True))
NAMES = [weak.name for weak, _ in PAIRS]


@pytest.mark.parametrize(("weak", "strong"), PAIRS, ids=NAMES)
def test_no_message_crosses_over_by_the_same_scalar(weak: Sample, strong: Sample) -> None:
    """What a key of the other suite with the very same scalar signs is believed under neither certificate."""
    for real, suite in ((strong, Suite.ES256), (weak, Suite.SM2)):
        twin = SoftwareKey.from_scalar(real.signer.key.to_scalar(), suite)
        said = Signed.sign(replace(real.message, suite=suite), twin)
        kind = type(real.message)
        assert parse(kind, said.to_bytes(), max_size=MAX_BATCH_SIZE).hash != real.signed.hash
        for key in (real.signer.key.public, keys.OPERATOR.key.public, suite2.OPERATOR.key.public):
            with pytest.raises(BadSignatureError):
                said.verify(key)


@pytest.mark.parametrize(("weak", "strong"), PAIRS, ids=NAMES)
def test_header_and_payload_of_two_suites_are_no_message(weak: Sample, strong: Sample) -> None:
    """Whichever of the two a key has signed, and by whichever scheme."""
    for head, body in ((weak, strong), (strong, weak)):
        header, payload = profile(head.message.suite).protected, body.message.to_payload()
        for key in (head.signer.key, body.signer.key):
            mixed = Sign1(header, payload, key.sign(sig_structure(header, payload))).to_bytes()
            with pytest.raises(UnknownSuiteError):
                parse(type(body.message), mixed, max_size=MAX_BATCH_SIZE)


@pytest.mark.parametrize(("weak", "strong"), tuple(zip(keys.PARTIES, suite2.PARTIES, strict=True)))
def test_no_certificate_crosses_over(weak: Party, strong: Party) -> None:
    """A chain of one suite, however valid, is nothing to the authority of the other; nor a twin of its own keys."""
    for party, store in ((weak, suite2.trust_store()), (strong, keys.trust_store())):
        with pytest.raises(VerificationError):
            store.verify(party.certificate, now=NOW)
    issuer = next(one for one in suite2.PARTIES if one.id == strong.certificate.issuer)
    twin = SoftwareKey.from_scalar(issuer.key.to_scalar(), Suite.ES256)
    made = replace(weak.certificate, issuer=twin.public.thumbprint).signed_by(twin)
    for claimed in (made, replace(made, issuer=issuer.id)):
        with pytest.raises(VerificationError):
            suite2.trust_store().verify(claimed, now=NOW)
