"""Keys: raw coordinates and signatures outside; what is no point, no scalar or no signature is refused."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from support.keys import CARD, TILL, key, seed
from support.vectors import by_name, read
from wallet_core import codec, der
from wallet_core.errors import BadSignatureError, ConfigurationError, OutOfRangeError
from wallet_core.keys import PublicKey, SoftwareKey

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
MESSAGE = b"68.00"
SIGNER = CARD.key
PUBLIC = SIGNER.public
SIGNATURE = SIGNER.sign(MESSAGE)
R, S = SIGNATURE[:32], SIGNATURE[32:]


def wide(value: int) -> bytes:
    return value.to_bytes(32, "big")


def test_a_signature_verifies() -> None:
    PUBLIC.verify(SIGNATURE, MESSAGE)
    PUBLIC.verify_digest(SIGNATURE, hashlib.sha256(MESSAGE).digest())
    assert len(SIGNATURE) == 64


def test_signatures_are_deterministic() -> None:
    """RFC 6979, A.2.5: P-256 with SHA-256, message "sample"."""
    scalar = bytes.fromhex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
    signature = SoftwareKey.from_scalar(scalar).sign(b"sample")
    assert signature.hex() == (
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )
    assert SIGNER.sign(MESSAGE) == SIGNATURE


def test_the_other_form_of_a_signature_is_good_too() -> None:
    """ECDSA cannot tell (r, s) from (r, n - s): hence messages are compared by payload hash."""
    other = R + wide(ORDER - int.from_bytes(S, "big"))
    assert other != SIGNATURE
    PUBLIC.verify(other, MESSAGE)


@pytest.mark.parametrize(
    "signature",
    [
        bytes(32) + S,
        R + bytes(32),
        bytes(64),
        wide(ORDER) + S,
        R + wide(ORDER),
        wide(ORDER + 1) + S,
        b"\xff" * 32 + S,
        R + b"\xff" * 32,
        S + R,
        R + R,
        wide(1) + wide(1),
    ],
    ids=["r=0", "s=0", "both 0", "r=n", "s=n", "r=n+1", "r max", "s max", "exchanged", "r twice", "ones"],
)
def test_values_that_are_no_signature(signature: bytes) -> None:
    with pytest.raises(BadSignatureError):
        PUBLIC.verify(signature, MESSAGE)
    with pytest.raises(BadSignatureError):
        PUBLIC.verify_digest(signature, hashlib.sha256(MESSAGE).digest())


@pytest.mark.parametrize("size", [0, 1, 32, 63, 65, 70, 72, 128])
def test_another_size(size: int) -> None:
    with pytest.raises(BadSignatureError):
        PUBLIC.verify((SIGNATURE * 2)[:size], MESSAGE)


NUMBERS = [1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, *(1 << bit for bit in range(16, 256, 8)), ORDER - 1]
NUMBERS += [0x7F << 248, 0x80 << 248, (1 << 255) - 1, 0x80 << 240, 0xFF << 240]
NUMBERS += [(1 << bit) - 1 for bit in range(16, 256, 8)] + [0x80 << bit for bit in range(8, 248, 8)]


@pytest.mark.parametrize("s", [1, 0x80, 1 << 248, ORDER - 1])
@pytest.mark.parametrize("r", NUMBERS)
def test_numbers_go_to_the_library_as_der(r: int, s: int) -> None:
    assert der.integers(wide(r), wide(s)) == encode_dss_signature(r, s)


def test_each_bit_counts() -> None:
    for bit in range(512):
        changed = bytearray(SIGNATURE)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignatureError):
            PUBLIC.verify(bytes(changed), MESSAGE)


@pytest.mark.parametrize("message", [b"", b"68.0", b"68.01", b"68.00\0", MESSAGE * 2])
def test_another_message(message: bytes) -> None:
    with pytest.raises(BadSignatureError):
        PUBLIC.verify(SIGNATURE, message)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_digest_has_one_size(size: int) -> None:
    with pytest.raises(OutOfRangeError):
        PUBLIC.verify_digest(SIGNATURE, bytes(size))


def test_another_key() -> None:
    with pytest.raises(BadSignatureError):
        TILL.key.public.verify(SIGNATURE, MESSAGE)


@pytest.mark.parametrize("name", ["leading zero in r", "leading zero in s"])
def test_leading_zeros_of_a_signature_stay(name: str) -> None:
    vector = by_name("messages.json", name)
    signature = bytes.fromhex(vector["signature"])
    assert 0 in (signature[0], signature[32])
    assert TILL.key.sign(bytes.fromhex(vector["sig_structure"])) == signature
    TILL.key.public.verify(signature, bytes.fromhex(vector["sig_structure"]))


@pytest.mark.parametrize("what", ["x", "y"])
def test_leading_zeros_of_a_coordinate_stay(what: str) -> None:
    vector = next(one for one in read("keys.json")["keys"] if one["name"].startswith(f"leading zero in {what}"))
    public = SoftwareKey.from_scalar(bytes.fromhex(vector["scalar"])).public
    assert getattr(public, what)[0] == 0
    assert len(public.x) == len(public.y) == 32
    public.verify(SoftwareKey.from_secret(bytes.fromhex(vector["seed"])).sign(MESSAGE), MESSAGE)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (PUBLIC.x, wide(int.from_bytes(PUBLIC.y, "big") ^ 1)),
        (PUBLIC.y, PUBLIC.x),
        (bytes(32), bytes(32)),
        (bytes(32), wide(1)),
        (b"\xff" * 32, b"\xff" * 32),
        (wide(PRIME), PUBLIC.y),
        (PUBLIC.x, wide(PRIME)),
    ],
)
def test_a_point_off_the_curve(x: bytes, y: bytes) -> None:
    public = PublicKey(x, y)
    for _ in range(2):
        with pytest.raises(BadSignatureError):
            public.native()
        with pytest.raises(BadSignatureError):
            public.verify(SIGNATURE, MESSAGE)


@pytest.mark.parametrize(("x", "y"), [(31, 32), (32, 31), (33, 32), (32, 33), (0, 0), (32, 0)])
def test_coordinates_of_another_size(x: int, y: int) -> None:
    with pytest.raises(OutOfRangeError):
        PublicKey(bytes(x), bytes(y))


def test_the_thumbprint_covers_the_required_members_only() -> None:
    encoded = codec.encode({1: 2, -1: 1, -2: PUBLIC.x, -3: PUBLIC.y})
    assert PUBLIC.cose_key == encoded
    assert PUBLIC.thumbprint == hashlib.sha256(encoded).digest()


def test_keys_compare_by_value() -> None:
    again = PublicKey(PUBLIC.x, PUBLIC.y)
    again.native()
    assert again == PUBLIC
    assert hash(again) == hash(PUBLIC)
    assert again != TILL.key.public


def test_ways_in_and_out() -> None:
    assert SoftwareKey.from_scalar(SIGNER.to_scalar()).public == PUBLIC
    assert SoftwareKey.from_pem(SIGNER.to_pem()).sign(MESSAGE) == SIGNATURE
    assert SoftwareKey.from_secret(seed("card")).public == PUBLIC
    assert SoftwareKey.from_secret(seed("card") + b"\0").public != PUBLIC


@pytest.mark.parametrize("size", [0, 16, 31])
def test_too_little_secret(size: int) -> None:
    with pytest.raises(ConfigurationError):
        SoftwareKey.from_secret(bytes(size))


@pytest.mark.parametrize(
    "scalar", [b"", bytes(31), bytes(33), bytes(32), wide(ORDER), wide(ORDER + 1), b"\xff" * 32, b"\0" + wide(5)]
)
def test_what_is_no_scalar(scalar: bytes) -> None:
    with pytest.raises(ConfigurationError):
        SoftwareKey.from_scalar(scalar)


@pytest.mark.parametrize("scalar", [1, 2, ORDER - 1])
def test_the_least_and_the_greatest_scalar(scalar: int) -> None:
    key = SoftwareKey.from_scalar(wide(scalar))
    assert key.to_scalar() == wide(scalar)
    key.public.verify(key.sign(MESSAGE), MESSAGE)


def pem(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)


def test_what_is_no_key_file() -> None:
    p256 = ec.derive_private_key(5, ec.SECP256R1())
    public = p256.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    p384 = pem(ec.derive_private_key(5, ec.SECP384R1()))
    whole = SIGNER.to_pem()
    for content in (b"", b"\xff\xfe", whole[:-40], public, p384, pem(p256, b"secret")):
        with pytest.raises(ConfigurationError) as caught:
            SoftwareKey.from_pem(content)
        assert caught.value.__cause__ is None, "the library's words may quote the key"


def test_another_kind_of_key() -> None:
    with pytest.raises(ConfigurationError):
        SoftwareKey.from_pem(pem(rsa.generate_private_key(65537, 2048)))
    with pytest.raises(ConfigurationError):
        SoftwareKey(ec.derive_private_key(5, ec.SECP384R1()))


def test_a_private_key_does_not_show_itself() -> None:
    shown = f"{SIGNER!r} {SIGNER}"
    assert PUBLIC.thumbprint.hex()[:8] in shown
    assert SIGNER.to_scalar().hex() not in shown
    assert key("card") is key("card")
