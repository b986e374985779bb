"""Published times of real cards, an operation at a time; milliseconds. Nothing here was measured by this project.

The source of all but one kind of figure is the JCAlgTest database (P. Svenda and others, Masaryk University; method in
"JCAlgTest: Robust identification metadata for certified smartcards", SECRYPT 2022), which times each call of the Java
Card API on the card, fifty repetitions in one command, less an empty command:

    measured    ECDSA on P-256 with SHA-1 over 256 bytes, SHA-256 and AES-128-CBC over 256 bytes, setting keys, a
                copy within RAM, an atomic copy of 256 bytes from RAM to NVM
    derived     ECDSA of a digest = measured, less SHA-1 over 256 bytes; one block of SHA-256 = 256 bytes / 5 blocks
                (the padding is one); one block of AES = 256 bytes / 16

A repeated copy writes what is there already, and a card may see that and write nothing: the times of NVM are the larger
of the atomic copy and what data sheets of such memories give for a page (`page_ms`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from wallet_core.errors import UsageError

_DATABASE: Final = "JCAlgTest database"


@dataclass(frozen=True, slots=True)
class CardTimes:
    """Milliseconds of one chip for each operation.

    sign, verify    P-256 ECDSA of a digest that is there
    use_key         Signature.init: a key is made ready for one operation
    load_key        a public key (from a certificate) is set
    sha256_block    64 bytes
    aes_block       16 bytes; aes_init is a key made ready
    page_ms         one page of `page_bytes` in NVM erased and programmed
    copy_256        256 bytes copied from RAM to RAM: what an applet does with every byte that comes or goes
    commit          what a transaction takes beside the pages it changes: log and marker
    apdu            dispatch, parsing and checks of one command, before and after the crypto
    """

    name: str
    chip: str
    age: str  # old, typical, current
    year: int  # in which it was measured
    source: str
    sign: float
    verify: float
    use_key: float
    load_key: float
    sha256_block: float
    aes_block: float
    aes_init: float
    copy_256: float
    page_bytes: int
    page_ms: float
    commit: float
    apdu: float

    def write_ms(self, size: int) -> float:
        """`size` bytes programmed into NVM, by whole pages."""
        return -(-size // self.page_bytes) * self.page_ms


_OLD: Final = CardTimes(
    name="jcop-2.4.1",
    chip="NXP J2A080, JCOP 2.4.1 (chip made in 2011), contacts",
    age="old",
    year=2021,
    source=f"{_DATABASE}, NXP J2A080 80K, 2021-10-21",
    sign=110.9,
    verify=180.65,
    use_key=12.75,
    load_key=21.93,
    sha256_block=11.99,
    aes_block=5.76,
    aes_init=12.14,
    copy_256=0.75,
    page_bytes=64,
    page_ms=3.0,
    commit=12.1,
    apdu=5.0,
)
_TYPICAL: Final = CardTimes(
    name="jcop-3-p60",
    chip="NXP J3H145, JCOP 3 on P60 (chip made in 2018), contacts",
    age="typical",
    year=2021,
    source=f"{_DATABASE}, NXP JCOP3 J3H145g P60, 2021-10-19",
    sign=48.36,
    verify=42.39,
    use_key=5.75,
    load_key=11.67,
    sha256_block=1.73,
    aes_block=0.56,
    aes_init=13.66,
    copy_256=0.44,
    page_bytes=64,
    page_ms=2.5,
    commit=5.0,
    apdu=3.0,
)
_CURRENT: Final = CardTimes(
    name="jcop-4-p71",
    chip="NXP P71D321, JCOP 4 (chip made in 2018), contactless",
    age="current",
    year=2020,
    source=f"{_DATABASE}, NXP JCOP4 P71D321 (Riley Gall), 2020-01-13",
    sign=27.33,
    verify=25.55,
    use_key=8.85,
    load_key=3.7,
    sha256_block=1.71,
    aes_block=0.12,
    aes_init=6.64,
    copy_256=0.19,
    page_bytes=64,
    page_ms=2.5,
    commit=5.0,
    apdu=2.0,
)

PUBLISHED: Final[Mapping[str, CardTimes]] = MappingProxyType({one.name: one for one in (_OLD, _TYPICAL, _CURRENT)})
"""Chips by name, oldest first."""
CURRENT: Final = _CURRENT.name


def chip(name: str) -> CardTimes:
    """Raises UsageError for a name that is not in `PUBLISHED`."""
    if name not in PUBLISHED:
        raise UsageError(f"no published times of a chip called {name}", next_step=f"Known: {', '.join(PUBLISHED)}.")
    return PUBLISHED[name]
