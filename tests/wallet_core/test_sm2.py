"""SM2, SM3 and SM4 against what the standards print, and what no signature, no key and no scalar is."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from wallet_core import der, libcrypto, sm2
from wallet_core.audit import AuditData
from wallet_core.digests import sm3
from wallet_core.errors import BadSignatureError, ConfigurationError
from wallet_core.keys import PublicKey, SoftwareKey
from wallet_core.suites import Suite

# GB/T 32918.5-2017, annex A.2 (the same as GM/T 0003.5-2012, A.2).
SCALAR = bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
X = bytes.fromhex("09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020")
Y = bytes.fromhex("CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13")
Z = bytes.fromhex("B2E14C5C79C6DF5B85F4FE7ED8DB7A262B9DA7E07CCB0EA9F4747B8CCDA8A4F3")
MESSAGE = b"message digest"
E = bytes.fromhex("F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640")
K = bytes.fromhex("59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21")
R = bytes.fromhex("F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3")
S = bytes.fromhex("B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA")

KEY = SoftwareKey.from_scalar(SCALAR, Suite.SM2)
PUBLIC = PublicKey(X, Y, Suite.SM2)


def wide(value: int) -> bytes:
    return value.to_bytes(32, "big")


def test_the_example_of_the_standard() -> None:
    assert KEY.public == PUBLIC
    assert sm2.identity(X, Y) == Z == PUBLIC.identity
    assert sm3(Z + MESSAGE) == E == PUBLIC.signed_digest(MESSAGE)
    assert sm2.SigningKey(SCALAR).sign_with(K, E) == R + S
    PUBLIC.verify(R + S, MESSAGE)
    PUBLIC.verify_digest(R + S, E)


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        (b"abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
        (b"abcd" * 16, "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"),
    ],
)
def test_sm3_of_gb_t_32905_annex_a(message: bytes, digest: str) -> None:
    assert sm3(message).hex() == digest


def block(key: bytes, plain: bytes) -> bytes:
    encryptor = Cipher(algorithms.SM4(key), modes.ECB()).encryptor()
    return encryptor.update(plain) + encryptor.finalize()


def test_the_audit_block_is_sm4_in_cbc_mode() -> None:
    """The cipher is that of GB/T 32907, annex A.1; the chaining is done once more here."""
    example = bytes.fromhex("0123456789abcdeffedcba9876543210")
    assert block(example, example).hex() == "681edf34d206965e86b3e94f536e4246"
    data, nonce = AuditData(7, 50_000, 6_800, 0, 6_800), bytes(range(12))
    sealed = data.seal(example, nonce, Suite.SM2)
    numbers = (50_000, 6_800, 0, 6_800)
    plain = nonce + (7).to_bytes(4, "big") + b"".join(number.to_bytes(8, "big") for number in numbers)
    chained, last = b"", bytes(16)
    for at in range(0, len(plain), 16):
        last = block(example, bytes(a ^ b for a, b in zip(plain[at : at + 16], last, strict=True)))
        chained += last
    assert sealed == chained
    assert AuditData.open(example, sealed, 7, Suite.SM2) == data
    assert sealed != data.seal(example, nonce)


def test_a_signature_is_deterministic_and_its_message_s_own() -> None:
    made = KEY.sign(MESSAGE)
    assert KEY.sign(MESSAGE) == made != KEY.sign(MESSAGE + b"!")
    PUBLIC.verify(made, MESSAGE)
    with pytest.raises(BadSignatureError):
        PUBLIC.verify(made, MESSAGE + b"!")


def test_the_first_nonce_is_that_of_rfc_6979() -> None:
    """Worked out once more from the definition, with HMAC written out over SM3 (GM/T 0042, as RFC 2104)."""

    def mac(key: bytes, data: bytes) -> bytes:
        key = key.ljust(64, b"\0")
        return sm3(bytes(b ^ 0x5C for b in key) + sm3(bytes(b ^ 0x36 for b in key) + data))

    key, value = bytes(32), b"\1" * 32
    key = mac(key, value + b"\0" + SCALAR + wide(int.from_bytes(E, "big") % sm2.ORDER))
    value = mac(key, value)
    key = mac(key, value + b"\1" + SCALAR + wide(int.from_bytes(E, "big") % sm2.ORDER))
    value = mac(key, mac(key, value))
    assert next(sm2.nonces(SCALAR, E)) == value
    assert KEY.sign(MESSAGE) == sm2.SigningKey(SCALAR).sign_with(value, E)


def test_nonces_go_on() -> None:
    found = sm2.nonces(SCALAR, E)
    several = {next(found) for _ in range(4)}
    assert len(several) == 4
    assert all(0 < int.from_bytes(one, "big") < sm2.ORDER for one in several)


def test_a_candidate_above_the_order_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """That happens once in 2**32 times; with a quarter of the order it happens three times out of four."""
    least = [next(sm2.nonces(SCALAR, wide(number))) for number in range(12)]
    bound = wide(sm2.ORDER >> 2)
    assert max(least) > bound
    monkeypatch.setattr(sm2, "_ORDER_BYTES", bound)
    assert all(next(sm2.nonces(SCALAR, wide(number))) < bound for number in range(12))


def test_a_nonce_that_gives_nothing() -> None:
    """r = 0 and r + k = n: the standard asks for another k."""
    signing = sm2.SigningKey(SCALAR)
    x = int.from_bytes(SoftwareKey.from_scalar(K, Suite.SM2).public.x, "big")
    assert signing.sign_with(K, wide(-x % sm2.ORDER)) is None
    assert signing.sign_with(K, wide((-x - int.from_bytes(K, "big")) % sm2.ORDER)) is None


@pytest.mark.parametrize(
    "signature",
    [
        bytes(32) + S,
        R + bytes(32),
        wide(sm2.ORDER) + S,
        R + wide(sm2.ORDER),
        b"\xff" * 64,
        S + R,
        R + wide(sm2.ORDER - int.from_bytes(R, "big")),
        R + wide(sm2.ORDER - int.from_bytes(S, "big")),
        (R + S)[:63],
        R + S + b"\0",
    ],
    ids=["r=0", "s=0", "r=n", "s=n", "max", "exchanged", "r+s=n", "n-s", "short", "long"],
)
def test_values_that_are_no_signature(signature: bytes) -> None:
    """Unlike ECDSA, SM2 has no second valid form (r, n - s)."""
    with pytest.raises(BadSignatureError):
        PUBLIC.verify(signature, MESSAGE)


def test_each_byte_counts() -> None:
    for at in range(64):
        changed = bytearray(R + S)
        changed[at] ^= 0x10
        with pytest.raises(BadSignatureError):
            PUBLIC.verify(bytes(changed), MESSAGE)


def test_another_identifier_or_none_is_another_signature() -> None:
    """Z is in what is signed: an implementation with another identifier, or without Z, does not verify here."""
    signing = sm2.SigningKey(SCALAR)
    for prefix in (sm2.identity(X, Y, b"ALICE123@YAHOO.COM"), sm2.identity(X, Y, b""), sm2.identity(Y, X), b""):
        with pytest.raises(BadSignatureError):
            PUBLIC.verify(signing.sign(sm3(prefix + MESSAGE)), MESSAGE)


@pytest.mark.parametrize(
    ("x", "y"),
    [(X, wide(int.from_bytes(Y, "big") + 1)), (Y, X), (bytes(32), bytes(32)), (b"\xff" * 32, Y)],
    ids=["beside the curve", "exchanged", "zeros", "above the prime"],
)
def test_what_is_no_point(x: bytes, y: bytes) -> None:
    with pytest.raises(BadSignatureError, match="not a point of sm2p256v1"):
        PublicKey(x, y, Suite.SM2).verify(R + S, MESSAGE)


def test_a_point_of_p_256_is_none_of_sm2() -> None:
    other = SoftwareKey.from_secret(bytes(32)).public
    with pytest.raises(BadSignatureError):
        PublicKey(other.x, other.y, Suite.SM2).verify(R + S, MESSAGE)
    with pytest.raises(BadSignatureError):
        PUBLIC.native()


@pytest.mark.parametrize("scalar", [bytes(32), wide(sm2.ORDER - 1), wide(sm2.ORDER), b"\xff" * 32, SCALAR[1:]])
def test_what_is_no_scalar(scalar: bytes) -> None:
    """n - 1 is none: 1 + d would have no inverse."""
    with pytest.raises(ConfigurationError) as refused:
        SoftwareKey.from_scalar(scalar, Suite.SM2)
    assert scalar.hex() not in str(refused.value)


def test_one_secret_gives_unrelated_keys() -> None:
    secret = bytes(range(48))
    one, two = SoftwareKey.from_secret(secret), SoftwareKey.from_secret(secret, Suite.SM2)
    assert one.to_scalar() != two.to_scalar()
    assert SoftwareKey.from_scalar(two.to_scalar(), Suite.SM2).public == two.public
    assert SCALAR.hex() not in repr(KEY)


def test_a_key_file_is_read_again() -> None:
    again = SoftwareKey.from_pem(KEY.to_pem())
    assert (again.public, again.to_scalar(), again.public.suite) == (PUBLIC, SCALAR, Suite.SM2)


def test_a_key_file_whose_halves_do_not_fit() -> None:
    other = SoftwareKey.from_secret(bytes(32), Suite.SM2)
    mixed = sm2.SigningKey(SCALAR)
    mixed.x, mixed.y = other.public.x, other.public.y
    with pytest.raises(ConfigurationError, match="do not belong together"):
        SoftwareKey.from_pem(sm2.write_pem(mixed))


@pytest.mark.parametrize("cut", [0, 30, 60, 150, 200])
def test_a_damaged_key_file(cut: int) -> None:
    pem = KEY.to_pem()
    with pytest.raises(ConfigurationError):
        SoftwareKey.from_pem(pem[:cut] + b"!" + pem[cut + 1 :])


def test_openssl_reads_the_key_file_and_agrees(tmp_path: Path) -> None:
    """Both ways: it verifies what is signed here, and what it signs with its own k verifies here."""
    (tmp_path / "key.pem").write_bytes(KEY.to_pem())
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "ours").write_bytes(der.integers(KEY.sign(MESSAGE)[:32], KEY.sign(MESSAGE)[32:]))

    def run(*arguments: str) -> str:
        sm2_sign = ("pkeyutl", "-inkey", "key.pem", "-rawin", "-in", "message", "-digest", "sm3")
        identifier = ("-pkeyopt", f"distid:{sm2.IDENTIFIER.decode()}")
        done = subprocess.run(
            ["openssl", *sm2_sign, *identifier, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    assert "Verified Successfully" in run("-verify", "-sigfile", "ours")
    assert "rror" not in run("-sign", "-out", "theirs")
    theirs = (tmp_path / "theirs").read_bytes()
    r_size = theirs[3]
    r, s = theirs[4 : 4 + r_size], theirs[6 + r_size :]
    PUBLIC.verify(wide(int.from_bytes(r, "big")) + wide(int.from_bytes(s, "big")), MESSAGE)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(name)

    monkeypatch.setattr(libcrypto, "library", libcrypto.library.__wrapped__)
    monkeypatch.setattr(ctypes, "CDLL", missing)


@pytest.mark.usefixtures("no_library")
def test_without_libcrypto_the_error_says_what_to_install() -> None:
    with pytest.raises(ConfigurationError) as refused:
        libcrypto.library()
    assert "libssl3" in (refused.value.next_step or "")
