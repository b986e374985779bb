"""The few functions of OpenSSL 3's libcrypto that SM2 needs, by ctypes: pyca/cryptography has SM3 and SM4, but no SM2.

The library is loaded when the first SM2 key is used, so that an installation of suite ES256 never needs it. A call that
fails says nothing about a signature: it is a ConfigurationError, never a verdict, and names no key. Only functions that
OpenSSL 3 does not deprecate are called. Pointers to secrets are cleared when their owner goes.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from wallet_core.errors import BadSignatureError, ConfigurationError

NID_SM2: Final = 1172  # sm2p256v1, 1.2.156.10197.1.301
_NAMES: Final = ("libcrypto.so.3", "libcrypto.so.4", "libcrypto.3.dylib", "libcrypto-3-x64.dll")
_CONSTANT_TIME: Final = 0x04  # BN_FLG_CONSTTIME
_PUBLIC_KEY: Final = 0x86  # EVP_PKEY_PUBLIC_KEY
_UTF8, _OCTETS, _END = 4, 5, 0  # types of OSSL_PARAM
_INSTALL: Final = "Install OpenSSL 3 with SM2 (Debian, Ubuntu: apt-get install libssl3), or use suite es256."

_P, _I, _B, _N = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t
_PROTOTYPES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "BN_new": (_P, ()),
    "BN_secure_new": (_P, ()),
    "BN_clear_free": (None, (_P,)),
    "BN_bin2bn": (_P, (_B, _I, _P)),
    "BN_bn2binpad": (_I, (_P, _B, _I)),
    "BN_set_flags": (None, (_P, _I)),
    "BN_is_zero": (_I, (_P,)),
    "BN_value_one": (_P, ()),
    "BN_cmp": (_I, (_P, _P)),
    "BN_mod_add": (_I, (_P, _P, _P, _P, _P)),
    "BN_mod_sub": (_I, (_P, _P, _P, _P, _P)),
    "BN_mod_mul": (_I, (_P, _P, _P, _P, _P)),
    "BN_mod_inverse": (_P, (_P, _P, _P, _P)),
    "BN_CTX_new": (_P, ()),
    "BN_CTX_free": (None, (_P,)),
    "EC_GROUP_new_by_curve_name": (_P, (_I,)),
    "EC_GROUP_get0_order": (_P, (_P,)),
    "EC_POINT_new": (_P, (_P,)),
    "EC_POINT_clear_free": (None, (_P,)),
    "EC_POINT_mul": (_I, (_P, _P, _P, _P, _P, _P)),
    "EC_POINT_get_affine_coordinates": (_I, (_P, _P, _P, _P, _P)),
    "EVP_PKEY_CTX_new_from_name": (_P, (_P, _B, _P)),
    "EVP_PKEY_CTX_new_from_pkey": (_P, (_P, _P, _P)),
    "EVP_PKEY_CTX_free": (None, (_P,)),
    "EVP_PKEY_free": (None, (_P,)),
    "EVP_PKEY_fromdata_init": (_I, (_P,)),
    "EVP_PKEY_fromdata": (_I, (_P, ctypes.POINTER(_P), _I, _P)),
    "EVP_PKEY_public_check": (_I, (_P,)),
    "EVP_PKEY_verify_init": (_I, (_P,)),
    "EVP_PKEY_verify": (_I, (_P, _B, _N, _B, _N)),
    "ERR_clear_error": (None, ()),
}


class _Param(ctypes.Structure):
    """OSSL_PARAM."""

    _fields_ = (
        ("key", ctypes.c_char_p),
        ("type", ctypes.c_uint),
        ("data", ctypes.c_char_p),
        ("size", ctypes.c_size_t),
        ("returned", ctypes.c_size_t),
    )


@cache
def library() -> ctypes.CDLL:
    """libcrypto with its prototypes set; raises ConfigurationError where there is none, or an older one."""
    for name in _NAMES:
        try:
            loaded = ctypes.CDLL(name)
            for function, (result, arguments) in _PROTOTYPES.items():
                prototype = getattr(loaded, function)
                prototype.restype, prototype.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        return loaded
    raise ConfigurationError("suite sm2 needs OpenSSL's libcrypto 3, which is not here", next_step=_INSTALL)


@cache
def _group() -> int:
    found: int | None = library().EC_GROUP_new_by_curve_name(NID_SM2)
    if not found:
        library().ERR_clear_error()
        raise ConfigurationError("this libcrypto is built without the curve sm2p256v1", next_step=_INSTALL)
    return found


def _must(result: int | None) -> int:
    """`result` of a call unless it is NULL, 0 or negative: then ConfigurationError, with the error queue empty."""
    if not result or result < 0:
        raise _failure()
    return result


def _failure() -> ConfigurationError:
    """The library's own text is not passed on."""
    library().ERR_clear_error()
    return ConfigurationError("libcrypto has failed, or SM2 is switched off in it", next_step=_INSTALL)


def _free_with(owner: object, free: Callable[[int], None], at: int) -> None:
    """Free `at` when `owner` goes, and not before: at exit a thread may still sign, and with freed numbers it would
    give a second s for the same k."""
    weakref.finalize(owner, free, at).atexit = False


class Number:
    """A BIGNUM, cleared when it goes. A secret one is used by constant-time code, and lives in libcrypto's secure heap
    where the process has set one up."""

    def __init__(self, value: bytes = b"", *, secret: bool = False) -> None:
        lib = library()
        self.at: int = _must(lib.BN_secure_new() if secret else lib.BN_new())
        _free_with(self, lib.BN_clear_free, self.at)
        if secret:
            lib.BN_set_flags(self.at, _CONSTANT_TIME)
        if value:
            _must(lib.BN_bin2bn(value, len(value), self.at))

    def __bytes__(self) -> bytes:
        """32 bytes, big-endian."""
        content = ctypes.create_string_buffer(32)
        if library().BN_bn2binpad(self.at, content, 32) != 32:
            raise _failure()
        return content.raw

    @property
    def is_zero(self) -> bool:
        return bool(library().BN_is_zero(self.at))


class Field:
    """Numbers modulo the order n of sm2p256v1, and multiples of its generator; good for one thread at a time."""

    def __init__(self) -> None:
        lib = library()
        self._group = _group()
        self._order: int = lib.EC_GROUP_get0_order(self._group)
        self._context: int = _must(lib.BN_CTX_new())
        _free_with(self, lib.BN_CTX_free, self._context)

    def plus(self, a: Number, b: Number, *, secret: bool = False) -> Number:
        return self._by(library().BN_mod_add, a, b, secret=secret)

    def minus(self, a: Number, b: Number, *, secret: bool = False) -> Number:
        return self._by(library().BN_mod_sub, a, b, secret=secret)

    def times(self, a: Number, b: Number, *, secret: bool = False) -> Number:
        return self._by(library().BN_mod_mul, a, b, secret=secret)

    def _by(self, function: Any, a: Number, b: Number, *, secret: bool) -> Number:
        result = Number(secret=secret)
        _must(function(result.at, a.at, b.at, self._order, self._context))
        return result

    def inverse(self, a: Number) -> Number:
        """Of a secret number; raises ConfigurationError for 0."""
        result = Number(secret=True)
        _must(library().BN_mod_inverse(result.at, a.at, self._order, self._context))
        return result

    def point(self, scalar: Number) -> tuple[Number, Number]:
        """x and y of `scalar` × generator, by libcrypto's Montgomery ladder; raises ConfigurationError at infinity."""
        lib = library()
        point: int = _must(lib.EC_POINT_new(self._group))
        try:
            _must(lib.EC_POINT_mul(self._group, point, scalar.at, None, None, self._context))
            x, y = Number(), Number()
            _must(lib.EC_POINT_get_affine_coordinates(self._group, point, x.at, y.at, self._context))
        finally:
            lib.EC_POINT_clear_free(point)
        return x, y


class PublicPoint:
    """A point that libcrypto has checked to be on the curve, to verify with; safe to use from several threads."""

    def __init__(self, encoded: bytes) -> None:
        """`encoded`: 04 ‖ x ‖ y. Raises BadSignatureError for what is no point, ConfigurationError without SM2."""
        _group()
        lib = library()
        parameters = (_Param * 3)(
            _Param(b"group", _UTF8, b"SM2", 3, 0), _Param(b"pub", _OCTETS, encoded, len(encoded), 0), _Param(type=_END)
        )
        made = _P()
        with _context(lib.EVP_PKEY_CTX_new_from_name(None, b"SM2", None)) as making:
            _must(lib.EVP_PKEY_fromdata_init(making))
            known = lib.EVP_PKEY_fromdata(making, ctypes.byref(made), _PUBLIC_KEY, parameters)
        if known <= 0 or not made.value:
            raise _no_point()
        self._key: int = made.value
        _free_with(self, lib.EVP_PKEY_free, self._key)
        with self._using() as checking:
            if lib.EVP_PKEY_public_check(checking) <= 0:
                raise _no_point()

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Whether `signature`, SEQUENCE { r, s } in DER, is good for `digest`, 32 bytes: Z is in it already.

        Raises ConfigurationError where that cannot be said: EVP_PKEY_verify is 0 for a signature that is not good.
        """
        lib = library()
        with self._using() as verifying:
            _must(lib.EVP_PKEY_verify_init(verifying))
            good: int = lib.EVP_PKEY_verify(verifying, signature, len(signature), digest, len(digest))
        if good < 0:
            raise _failure()
        if good != 1:
            lib.ERR_clear_error()
        return good == 1

    def _using(self) -> Any:
        return _context(library().EVP_PKEY_CTX_new_from_pkey(None, self._key, None))


def _no_point() -> BadSignatureError:
    library().ERR_clear_error()
    return BadSignatureError("the public key is not a point of sm2p256v1")


@contextmanager
def _context(made: int | None) -> Iterator[int]:
    context = _must(made)
    try:
        yield context
    finally:
        library().EVP_PKEY_CTX_free(context)
