"""Published times of real cards, an operation at a time; milliseconds. Nothing here was measured by this project.

All but the times of NVM come from the JCAlgTest database (P. Svenda and others, CRoCS, Masaryk University; method in
"JCAlgTest: Robust identification metadata for certified smartcards", SECRYPT 2022). It times each call of the Java
Card API on the card, fifty repetitions in one command, less the same command without the call (`Measured`). What the
model needs is derived from that (`from_measured`):

    one block of SHA-256    a digest of 256 bytes, through 5: the padding makes one
    ECDSA of a digest       ECDSA with SHA-1 over 256 bytes, less SHA-1 over 256 bytes
    one block of AES        CBC over 256 bytes, through 16
    NVM                     from data sheets, see below

**NVM.** A copy that is repeated writes what is there already. A card may see that and program nothing, and some of the
published copies are too fast for anything else. So a page is taken from a data sheet: at most 4 ms for 64 bytes,
erased and programmed (STMicroelectronics, M95256-A125, DocID022807 rev. 6, 2015; an EEPROM of a smart card's size and
technology). A transaction costs two pages more, its log and its marker. With that the atomic copy of 256 bytes takes
24 ms; published are 24.1 (J2A080), 10.4 (SECORA ID X), 6.2 (SPA1-1), 3.1 (P71D321) and 1.5 (J3H145): the figure is the
slow end.

**The applet's own code.** A bytecode is timed by the exclusive-or of 16 bytes in an unrolled loop: 160 bytecodes, most
of them on arrays and fields, which are the slow ones, so the figure is the slow end, too. Each call of the API is
charged as a copy of 256 bytes.

What the card's system takes around an applet (`apdu`) is not published; it is set to ten copies of 256 bytes.
`empty_command` bounds it from above: the whole round trip of a command that does nothing fifty times, reader and line
included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from wallet_core.errors import UsageError

_DATABASE: Final = "JCAlgTest database"
_SHA256_BLOCKS: Final = 5  # of 256 bytes and the padding
_AES_BLOCKS: Final = 16
_XOR_BYTECODES: Final = 16 * 10
_PAGE_BYTES: Final = 64
_PAGE_MS: Final = 4.0
_TRANSACTION_PAGES: Final = 2


@dataclass(frozen=True, slots=True)
class Measured:
    """As published, ms: each over 256 bytes where there are bytes; `empty_command` in whole ms."""

    sign_sha1: float
    verify_sha1: float
    init: float
    set_public: float
    sha1: float
    sha256: float
    aes_cbc: float
    aes_init: float
    copy: float
    xor_16: float
    empty_command: float


@dataclass(frozen=True, slots=True)
class CardTimes:
    """Milliseconds of one chip for each operation.

    sign, verify    P-256 ECDSA of a digest that is there
    use_key         a key is made ready for one signature (Signature.init)
    load_key        a public key out of a certificate is set
    sha256_block    64 bytes
    aes_block       16 bytes; aes_init is a key made ready
    copy_256        256 bytes within RAM
    bytecode        one bytecode of the applet
    page_ms         one page of `page_bytes` of NVM erased and programmed
    commit          what a transaction takes beside the pages that it changes
    apdu            the card's system before and after the applet; empty_command is its published upper bound
    """

    name: str
    chip: str
    age: str  # old, typical, current
    year: int  # of the measurement
    source: str
    sign: float
    verify: float
    use_key: float
    load_key: float
    sha256_block: float
    aes_block: float
    aes_init: float
    copy_256: float
    bytecode: float
    apdu: float
    empty_command: float
    page_bytes: int = _PAGE_BYTES
    page_ms: float = _PAGE_MS
    commit: float = _TRANSACTION_PAGES * _PAGE_MS

    def write_ms(self, size: int) -> float:
        """`size` bytes programmed into NVM, by whole pages."""
        return -(-size // self.page_bytes) * self.page_ms


def from_measured(name: str, chip: str, age: str, year: int, source: str, measured: Measured) -> CardTimes:
    """The times of one chip, derived as the head of this module says."""
    return CardTimes(
        name=name,
        chip=chip,
        age=age,
        year=year,
        source=f"{_DATABASE}, {source}",
        sign=measured.sign_sha1 - measured.sha1,
        verify=measured.verify_sha1 - measured.sha1,
        use_key=measured.init,
        load_key=measured.set_public,
        sha256_block=measured.sha256 / _SHA256_BLOCKS,
        aes_block=measured.aes_cbc / _AES_BLOCKS,
        aes_init=measured.aes_init,
        copy_256=measured.copy,
        bytecode=measured.xor_16 / _XOR_BYTECODES,
        apdu=10 * measured.copy,
        empty_command=measured.empty_command,
    )


_CHIPS: Final = (
    from_measured(
        "jcop-2.4.1",
        "NXP J2A080, JCOP 2.4.1, made in 2011, over contacts",
        "old",
        2021,
        "NXP J2A080 80K, 2021-10-21",
        Measured(
            sign_sha1=141.79,
            verify_sha1=211.54,
            init=12.75,
            set_public=21.93,
            sha1=30.89,
            sha256=59.95,
            aes_cbc=92.16,
            aes_init=12.14,
            copy=0.75,
            xor_16=3.98,
            empty_command=87,
        ),
    ),
    from_measured(
        "jcop-3-p60",
        "NXP J3H145, JCOP 3 on P60, made in 2018, over contacts",
        "typical",
        2021,
        "NXP JCOP3 J3H145g P60, 2021-10-19",
        Measured(
            sign_sha1=56.29,
            verify_sha1=50.32,
            init=5.75,
            set_public=11.67,
            sha1=7.93,
            sha256=8.63,
            aes_cbc=9.01,
            aes_init=13.66,
            copy=0.44,
            xor_16=3.56,
            empty_command=36,
        ),
    ),
    from_measured(
        "jcop-4-p71",
        "NXP P71D321, JCOP 4, made in 2018, contactless",
        "current",
        2020,
        "NXP JCOP4 P71D321 (Riley Gall), 2020-01-13",
        Measured(
            sign_sha1=33.06,
            verify_sha1=31.28,
            init=8.85,
            set_public=3.70,
            sha1=5.73,
            sha256=8.54,
            aes_cbc=1.95,
            aes_init=6.64,
            copy=0.19,
            xor_16=1.55,
            empty_command=33,
        ),
    ),
)

PUBLISHED: Final[Mapping[str, CardTimes]] = MappingProxyType({one.name: one for one in _CHIPS})
"""Chips by name, oldest first."""
CURRENT: Final = _CHIPS[-1].name


def chip(name: str) -> CardTimes:
    """Raises UsageError for a name that is not in `PUBLISHED`."""
    if name not in PUBLISHED:
        raise UsageError(f"no published times of a chip called {name}", next_step=f"Known: {', '.join(PUBLISHED)}.")
    return PUBLISHED[name]
