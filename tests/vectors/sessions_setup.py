"""Sessions before any payment: a blank card, lengths and chaining, the secure channel, personalisation, the PIN."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from life import PIN, WORLD, Life

from hardware import commands as c
from hardware.data_objects import Tag
from hardware.ending_commands import MakeReport
from hardware.instructions import Store
from hardware.pin import pin_block
from support.keys import CARD, FOREIGN_AUTHORITY, FOREIGN_OPERATOR, OPERATOR, OPERATOR_PURSE
from support.samples import AUDIT_KEY, digest
from wallet_core.certificates import CertificateClass

SELECT = bytes.fromhex("00A4040007F045434E59570100")


def blank(life: Life) -> None:
    """What is looked at first: CLA and INS, secure messaging, P1-P2 and length, then the life cycle."""
    life.power()
    life.raw("PAY", bytes.fromhex("8032000000"), 0x6D00, why="nothing is selected: only SELECT is known")
    life.raw("GET DATA DF04", bytes.fromhex("00CADF0400"), 0x6D00)
    life.raw("SELECT", bytes.fromhex("00A4040007F045434E59570200"), 0x6A82, why="another interface version")
    life.raw("SELECT", bytes.fromhex("00A40000023F0000"), 0x6A86, why="by file identifier")
    life.raw("SELECT", SELECT)
    life.raw("SELECT", bytes.fromhex("00A4040007A000000003101000"), 0x6A82, why="another application: nothing changes")
    life.send(c.GetData(Tag.SERIAL), do="GET DATA DF04")
    life.send(c.GetData(Tag.TOTALS), do="GET DATA DF02")
    life.send(c.GetData(Tag.SLOTS), do="GET DATA DF03")
    for tag in (Tag.PURSE_CERTIFICATE, Tag.OPERATOR_CERTIFICATE, Tag.AUTHORITY_CERTIFICATE, Tag.POLICY):
        life.send(c.GetData(tag), 0x6A88, "not there yet", do=f"GET DATA {tag:04X}")
    for command, sw, why in (
        ("C032000000", 0x6E00, "an unknown class"),
        ("4032000000", 0x6881, "another logical channel"),
        ("8132000000", 0x6881, "another logical channel, basic class"),
        ("0CCADF0400", 0x6882, "ISO secure messaging"),
        ("80FF000000", 0x6D00, "an unknown instruction"),
        ("00320000" + "8A" + "00" * 138, 0x6D00, "a known instruction in another class"),
        ("8032020000", 0x6A86, "wrong P1, before the length"),
        ("8032000000", 0x6700, "no Request, before the life cycle"),
        ("80320000" + "8A" + "00" * 138 + "00", 0x6985, "a blank card, before the Request is read"),
        ("80300000" + "50" + "00" * 80 + "00", 0x6985, ""),
        ("80360000" + "20" + "00" * 32 + "00", 0x6985, ""),
        ("80380000" + "20" + "00" * 32 + "00", 0x6985, ""),
        ("803E000000", 0x6985, ""),
        ("0020000108" + pin_block(PIN).hex(), 0x6985, ""),
        ("0020000208" + pin_block(PIN).hex(), 0x6A86, "another reference"),
        ("0020000107" + pin_block(PIN).hex()[2:], 0x6700, "seven bytes"),
        ("80E2040000", 0x6700, "a policy without content"),
        ("80E2050008" + pin_block(PIN).hex(), 0x6882, "only through the channel"),
        ("80440100", 0x6882, "only through the channel"),
        ("84440100", 0x6882, "no channel is open"),
    ):
        life.raw("refused", bytes.fromhex(command), sw, why=why)


def lengths(life: Life) -> None:
    """Malformed APDUs, chaining, and an answer in pieces."""
    life.power()
    life.raw("cut", bytes.fromhex("80320000"), 0x6D00, why="no length at all is a command without data")
    life.raw("SELECT", SELECT)
    life.raw("cut", bytes.fromhex("803200008A0102"), 0x6700, why="Lc says more than follows")
    life.raw("cut", bytes.fromhex("00CADF04000000"), why="extended Le")
    life.raw("cut", bytes.fromhex("00CADF040000"), 0x6700, why="an extended field of two bytes")
    life.raw("GET RESPONSE", bytes.fromhex("00C0000000"), 0x6985, why="nothing waits")
    life.raw("GET RESPONSE", bytes.fromhex("00C0010000"), 0x6A86)
    life.raw("GET RESPONSE", bytes.fromhex("00C00000"), 0x6700, why="no Le")
    fci = life.raw("SELECT", SELECT[:-1] + b"\x10", 0x6155, why="Le 16: the rest waits")
    rest = life.raw("GET RESPONSE", bytes.fromhex("00C0000040"), 0x6115, why="a part of it")
    rest += life.raw("GET RESPONSE", bytes.fromhex("00C0000000"), why="the rest, at most 256")
    if len(fci + rest) != 101:
        raise ValueError("the answer to SELECT has 101 bytes")
    life.raw("SELECT", SELECT[:-1] + b"\x10", 0x6155)
    life.raw("GET DATA DF04", bytes.fromhex("00CADF0400"), why="any other command drops the rest")
    life.raw("GET RESPONSE", bytes.fromhex("00C0000000"), 0x6985)
    life.raw("chained", bytes.fromhex("10CADF0400"), 0x6884, why="no chaining in the ISO class")
    piece = bytes.fromhex("903600000401020304")
    life.raw("REFUSE", piece, why="a first piece is taken whatever is in it")
    life.raw("REFUSE", bytes.fromhex("8036000004") + bytes(4) + b"\0", 0x6700, why="eight bytes in all")
    life.raw("REFUSE", piece)
    life.raw("GET DATA DF04", bytes.fromhex("00CADF0400"), why="another command ends the chain")
    life.raw("REFUSE", bytes.fromhex("803600001C") + bytes(28) + b"\0", 0x6700, why="28 bytes, and not 32")


def channel_refusals(life: Life) -> None:
    """Opening the channel and what breaks it."""
    life.power()
    life.raw("SELECT", SELECT)
    authenticate = bytes.fromhex("8482330010") + bytes(16)
    life.raw("EXTERNAL AUTHENTICATE", authenticate, 0x6985, why="INITIALIZE UPDATE comes first")
    life.raw("INITIALIZE UPDATE", bytes.fromhex("8050020008") + bytes(9), 0x6A88, why="no such key version")
    life.raw("INITIALIZE UPDATE", bytes.fromhex("80500100070000000000000000"), 0x6700, why="seven bytes")
    channel = life.begin_channel()
    command, macs = channel.authenticate()
    wrong = command[:5] + bytes((command[5] ^ 1,)) + command[6:]
    life.raw("EXTERNAL AUTHENTICATE", wrong, 0x6988, why="one bit of the cryptogram: the C-MAC is over another one")
    life.raw("EXTERNAL AUTHENTICATE", command, 0x6985, why="one try for each INITIALIZE UPDATE")
    for level in (0x00, 0x01, 0x03, 0x13):
        weaker, macs = life.begin_channel().authenticate(level)
        life.raw(
            "EXTERNAL AUTHENTICATE", weaker, 0x6A86, why="a level without R-MAC or without encryption", channel=macs
        )
    channel = life.begin_channel()
    command, macs = channel.authenticate()
    life.raw("EXTERNAL AUTHENTICATE", command[:-1], 0x6700, why="Lc says more than follows")
    channel = life.open_channel()
    wrapped, details = channel.wrap(c.PersonaliseEnd().to_apdu().to_bytes())
    life.raw("PERSONALISE END", wrapped, 0x6985, why="nothing is stored: refused inside the channel", channel=details)
    life.send(c.GetData(Tag.SERIAL), do="GET DATA DF04", why="plain commands are heard beside it")
    life.secured(c.GenerateKeyPair(digest("challenge")), why="an error word leaves the channel open")
    bare, details = channel.wrap(c.StoreData(Store.PIN, pin_block(PIN)).to_apdu().to_bytes())
    waiting = life.raw("STORE DATA PIN", bare[:-1], 0x6108, why="no Le: the R-MAC waits", channel=details)
    waiting += life.raw("GET RESPONSE", bytes.fromhex("00C0000008"))
    channel.unwrap(waiting, 0x9000)
    life.steps[-1]["free"] = [[0, 8, "protected by the session"]]
    inside, details = channel.wrap(bytes.fromhex("80360000") + b"\x20" + bytes(32) + b"\0")
    life.raw("REFUSE", inside, 0x6882, why="not heard through the channel", channel=details)
    wrapped, details = channel.wrap(c.PersonaliseEnd().to_apdu().to_bytes())
    flipped = wrapped[:-2] + bytes((wrapped[-2] ^ 1,)) + wrapped[-1:]
    life.raw("PERSONALISE END", flipped, 0x6988, why="a wrong C-MAC closes the channel", channel=details)
    life.raw("PERSONALISE END", wrapped, 0x6882, why="no channel is open")
    channel = life.open_channel()
    wrapped, details = channel.wrap(c.PersonaliseEnd().to_apdu().to_bytes())
    life.raw("PERSONALISE END", wrapped, 0x6985, channel=details)
    life.raw("PERSONALISE END", wrapped, 0x6988, why="the same bytes again are a replay", channel=details)
    life.open_channel()
    life.raw("SELECT", SELECT, why="SELECT closes it")
    life.raw("PERSONALISE END", wrapped, 0x6882)


def personalisation(life: Life) -> None:
    """Every object refused and stored, every step too early and again."""
    life.power()
    life.select()
    life.open_channel()
    challenge = hashlib.sha256(life.serial).digest()
    request = life.secured(c.GenerateKeyPair(challenge))
    life.secured(c.GenerateKeyPair(challenge), why="again: the same key")
    papers = life.certified(request)

    def store(target: Store, content: bytes, sw: int = 0x9000, why: str = "") -> None:
        life.secured(c.StoreData(target, content), sw, why, do=f"STORE DATA {target.name}")

    store(Store.OPERATOR_CERTIFICATE, OPERATOR.certificate.to_bytes(), 0x6985, "no authority yet")
    store(Store.AUTHORITY_CERTIFICATE, OPERATOR.certificate.to_bytes(), 0x69EB, "not an authority's")
    store(Store.AUTHORITY_CERTIFICATE, bytes(227), 0x6A80, "no certificate")
    store(Store.AUTHORITY_CERTIFICATE, papers[Store.AUTHORITY_CERTIFICATE])
    store(Store.AUTHORITY_CERTIFICATE, papers[Store.AUTHORITY_CERTIFICATE], why="the same bytes again")
    store(Store.AUTHORITY_CERTIFICATE, FOREIGN_AUTHORITY.certificate.to_bytes(), 0x6985, "the anchor is stored once")
    store(Store.PURSE_CERTIFICATE, papers[Store.PURSE_CERTIFICATE], 0x6985, "no operator yet")
    store(Store.POLICY, papers[Store.POLICY], 0x6985, "no operator yet")
    store(Store.OPERATOR_CERTIFICATE, FOREIGN_OPERATOR.certificate.to_bytes(), 0x69EB, "of another authority")
    store(Store.OPERATOR_CERTIFICATE, papers[Store.PURSE_CERTIFICATE], 0x69EB, "not an operator's")
    store(Store.OPERATOR_CERTIFICATE, papers[Store.OPERATOR_CERTIFICATE])
    store(Store.PURSE_CERTIFICATE, CARD.certificate.to_bytes(), 0x69EB, "of another key")
    store(Store.PURSE_CERTIFICATE, papers[Store.PURSE_CERTIFICATE])
    wrong = WORLD.signed_policy(purse_class=CertificateClass.MERCHANT_PURSE)
    store(Store.POLICY, wrong, 0x69EC, "for another class of purse")
    store(Store.POLICY, WORLD.signed_policy(operator=FOREIGN_OPERATOR.id), 0x69EC, "of another operator")
    flipped = papers[Store.POLICY][:-1] + bytes((papers[Store.POLICY][-1] ^ 1,))
    store(Store.POLICY, flipped, 0x69EA, "one bit of its signature")
    life.secured(c.PersonaliseEnd(), 0x6985, "three objects are missing")
    store(Store.POLICY, WORLD.signed_policy(version=2))
    store(Store.POLICY, papers[Store.POLICY], 0x6985, "an older version")
    store(Store.PIN, bytes(8), 0x6A80, "no PIN block")
    store(Store.PIN, pin_block("1234"))
    store(Store.PIN, papers[Store.PIN], why="replaced while blank")
    life.secured(c.StoreData(Store.AUDIT_KEY, AUDIT_KEY[:-1]), 0x6700, "15 bytes")
    store(Store.AUDIT_KEY, AUDIT_KEY)
    life.raw(
        "GENERATE ASYMMETRIC KEY PAIR", bytes.fromhex("8046000020") + challenge + b"\0", 0x6882, why="in the clear"
    )
    life.secured(c.Activate(), 0x6985, "not personalised")
    life.secured(c.Deactivate(), 0x6985, "not active")
    life.raw("TERMINATE", bytes.fromhex("80E60000"), 0x6882, why="in the clear")
    life.secured(c.PersonaliseEnd())
    life.secured(c.PersonaliseEnd(), why="again")
    store(Store.PIN, papers[Store.PIN], 0x6985, "no longer blank")
    life.secured(c.GenerateKeyPair(challenge), 0x6985, "no longer blank")
    life.raw("VERIFY", bytes.fromhex("0020000108") + pin_block(PIN), 0x6985, why="not active")
    life.secured(c.Activate())
    life.secured(c.Activate(), why="again")
    life.secured(c.PersonaliseEnd(), 0x6985, "there is no way back")
    life.select()
    third = WORLD.signed_policy(version=3)
    head = bytes.fromhex("80E20400") + bytes((len(third),))
    life.raw("STORE DATA POLICY", head + flipped, 0x69EA, why="in the clear, once active: the signature decides")
    life.raw("STORE DATA POLICY", head + third)
    life.raw("STORE DATA POLICY", head + third, why="the same bytes again")
    life.raw("STORE DATA POLICY", head + WORLD.signed_policy(version=2), 0x6985, why="the version only rises")
    life.raw("STORE DATA PIN", bytes.fromhex("80E2050008") + papers[Store.PIN], 0x6882, why="only a policy may")
    life.select()


def pin(life: Life) -> None:
    """A try is used up before the comparison, and three are all there are."""
    life.personalise(pin_threshold=100, unverified_total=100)
    right, wrong = c.Verify(pin_block(PIN)), c.Verify(pin_block("000000"))
    life.send(c.MakeRequest(OPERATOR_PURSE.id, 1, 1, 1_000, digest("load")))
    request = life.send(c.ResendOpenRequest(0))
    life.send(c.Collect(*WORLD.voucher_for(request)))
    life.send(c.ResendAny(0), 0x6982, "whom it paid is told to its holder only")
    life.raw(
        "VERIFY",
        bytes.fromhex("0020000108") + b"\x26" + bytes.fromhex("24681FFFFFFFFF"),
        0x6A80,
        why="no digit where one belongs: no try is used up",
    )
    life.raw(
        "VERIFY", bytes.fromhex("0020000108") + b"\x23" + bytes.fromhex("123FFFFFFFFFFF"), 0x6A80, why="three digits"
    )
    life.send(wrong, 0x63C2)
    life.send(right, why="all three are back")
    life.send(wrong, 0x63C2)
    life.send(c.ResendAny(0), 0x6982, "a wrong PIN ends the verification")
    life.send(right)
    life.send(c.ResendAny(0), 0x6A88, "nothing was paid yet")
    first = WORLD.till_request(life.select(), 200)
    life.send(c.Pay(first.to_payload()), why="one PAY for each verification")
    second = replace(first, n=2, k=2)
    life.send(c.Pay(second.to_payload()), 0x6982)
    life.send(right)
    life.power()
    life.select()
    life.send(c.Pay(second.to_payload()), 0x6982, "the verification ended with the power")
    life.send(wrong, 0x63C2)
    life.power()
    life.select()
    life.send(wrong, 0x63C1, "tries do not come back with the power")
    life.send(wrong, 0x63C0)
    life.send(right, 0x6983, "blocked, whatever comes")
    life.send(c.Pay(replace(second, amount=1).to_payload()), 0x6983, "below the threshold too")
    life.send(c.MakeRequest(OPERATOR_PURSE.id, 1, 2, 1, digest("load")), 0x6983)
    life.send(c.Pay(first.to_payload()), why="what is paid is still answered")
    life.send(MakeReport(), why="and reported")
