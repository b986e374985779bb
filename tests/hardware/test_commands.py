"""Commands, data objects and PIN blocks; docs/spec/apdu.md says the same as the code."""

from __future__ import annotations

import re

import pytest

from hardware import commands as c
from hardware import ending_commands as e
from hardware.apdu import CommandApdu
from hardware.data_objects import AID, FCI_SIZES, Fci, FciTag, SlotStatus, Tag, Totals, slots_from_bytes, slots_to_bytes
from hardware.instructions import (
    CERTIFICATE_SIZE,
    SIGNED_GRANT_SIZE,
    SIGNED_ORDER_SIZE,
    SIGNED_RECEIPT_SIZE,
    SIGNED_REFUSAL_SIZE,
    SIGNED_REQUEST_SIZE,
    SIGNED_VOUCHER_SIZE,
    Command,
    Ins,
    Store,
    signed_size,
)
from hardware.pin import check_pin_block, pin_block
from support.keys import CARD
from support.samples import SAMPLES, VOUCHER
from support.tree import ROOT
from wallet_core.errors import (
    CodecError,
    OutOfRangeError,
    OversizedError,
    TruncatedError,
    UnknownLabelError,
    UsageError,
)
from wallet_core.messages import CertificationRequest
from wallet_core.purse.state import SLOT_COUNT, Lifecycle, PurseState, Slot, SlotState

HASH, ID = bytes(range(32)), bytes(range(32, 64))
CERT = bytes(CERTIFICATE_SIZE)

# A command, and the header and data that docs/spec/apdu.md gives it.
COMMANDS: list[tuple[Command, str, bytes]] = [
    (c.Select(), "00A40400", AID),
    (c.GetData(Tag.TOTALS), "00CADF02", b""),
    (c.Verify(bytes(8)), "00200001", bytes(8)),
    (
        c.MakeRequest(ID, 1, 2, 3, HASH),
        "80300000",
        ID + bytes.fromhex("00000001 00000002 0000000000000003") + HASH,
    ),
    (
        c.MakeRequestVerified(c.MakeRequest(ID, 1, 2, 3, HASH), CERT, CERT[::-1]),
        "80300100",
        ID + bytes.fromhex("00000001 00000002 0000000000000003") + HASH + CERT + CERT[::-1],
    ),
    (c.Pay(bytes(138)), "80320000", bytes(138)),
    (c.PayVerified(bytes(213), CERT, CERT[::-1]), "80320100", bytes(213) + CERT + CERT[::-1]),
    (c.Collect(bytes(270), CERT, CERT), "80340000", bytes(270) + CERT + CERT),
    (c.Refuse(HASH), "80360000", HASH),
    (c.ResendByRequest(HASH), "80380000", HASH),
    (c.ResendByPayee(ID, 7), "80380107", ID),
    (c.ResendAny(3), "80380203", b""),
    (c.ResendOpenRequest(255), "803803FF", b""),
    (e.Acknowledge(bytes(SIGNED_RECEIPT_SIZE), CERT, CERT), "803A0000", bytes(SIGNED_RECEIPT_SIZE) + CERT + CERT),
    (e.AcknowledgeRefusal(bytes(SIGNED_REFUSAL_SIZE), CERT, CERT), "803A0100", bytes(SIGNED_REFUSAL_SIZE) + CERT * 2),
    (e.Reverse(bytes(SIGNED_ORDER_SIZE)), "803C0000", bytes(SIGNED_ORDER_SIZE)),
    (e.MakeReport(), "803E0000", b""),
    (e.TakeGrant(bytes(SIGNED_GRANT_SIZE)), "80400000", bytes(SIGNED_GRANT_SIZE)),
    (c.GenerateKeyPair(HASH), "80460000", HASH),
    (c.GenerateSm2KeyPair(HASH), "80460002", HASH),
    (c.StoreData(Store.PIN, bytes(8)), "80E20500", bytes(8)),
    (c.PersonaliseEnd(), "80440100", b""),
    (c.Activate(), "80440200", b""),
    (c.Deactivate(), "80040000", b""),
    (c.Terminate(), "80E60000", b""),
]


@pytest.mark.parametrize(("command", "header", "data"), COMMANDS, ids=lambda one: getattr(one, "NAME", ""))
def test_a_command_is_these_bytes_and_back(command: Command, header: str, data: bytes) -> None:
    apdu = command.to_apdu()
    assert apdu.header.hex().upper() == header
    assert apdu.data == data
    assert apdu.ne == (256 if command.ANSWERS else 0)
    assert c.parse_command(apdu) == command
    assert type(command).from_apdu(apdu) == command
    assert c.name_of(apdu) == command.NAME


def test_every_command_is_tried_above() -> None:
    assert [type(command) for command, _, _ in COMMANDS] == list(c.COMMANDS)


@pytest.mark.parametrize("command", [one for one, _, data in COMMANDS if data])
def test_a_command_of_another_length_is_refused(command: Command) -> None:
    apdu = command.to_apdu()
    with pytest.raises(TruncatedError):
        c.parse_command(CommandApdu(apdu.cla, apdu.ins, apdu.p1, apdu.p2, apdu.data[:4]))
    with pytest.raises((OversizedError, TruncatedError)):
        c.parse_command(CommandApdu(apdu.cla, apdu.ins, apdu.p1, apdu.p2, apdu.data + bytes(17)))


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ("80320200", OutOfRangeError),
        ("80320001", OutOfRangeError),
        ("80380400", OutOfRangeError),
        ("80E20000", OutOfRangeError),
        ("80E20700", OutOfRangeError),
        ("80440300", OutOfRangeError),
        ("00200000", OutOfRangeError),
        ("00320000", UnknownLabelError),
        ("80A40400", UnknownLabelError),
        ("80990000", UnknownLabelError),
    ],
)
def test_a_header_that_no_command_has(header: str, error: type[CodecError]) -> None:
    cla, ins, p1, p2 = bytes.fromhex(header)
    with pytest.raises(error):
        c.parse_command(CommandApdu(cla, ins, p1, p2))


def test_from_apdu_of_another_command() -> None:
    with pytest.raises(OutOfRangeError):
        c.Pay.from_apdu(c.Refuse(HASH).to_apdu())


def test_a_name_for_what_is_no_command() -> None:
    assert c.name_of(CommandApdu(0, 0xC0, 0, 0)) == "GET RESPONSE"
    assert c.name_of(CommandApdu(0x84, 0xE2, 6, 0)) == "STORE DATA"
    assert c.name_of(CommandApdu(0, 0x99, 0, 0)) == "INS 99"


def test_secrets_are_not_in_a_representation() -> None:
    assert "313233" not in repr(c.Verify(b"1234secr")) + repr(c.StoreData(Store.AUDIT_KEY, b"secret"))
    assert "secr" not in repr(c.Verify(b"1234secr")) + repr(c.StoreData(Store.AUDIT_KEY, b"secret"))


def test_sizes_are_those_of_the_messages() -> None:
    sizes = {sample.name: len(sample.signed.to_bytes()) for sample in SAMPLES}
    assert sizes["request"] == SIGNED_REQUEST_SIZE
    assert sizes["voucher"] == SIGNED_VOUCHER_SIZE
    assert sizes["certification request"] == signed_size(CertificationRequest) == 187
    assert len(CARD.certificate.to_bytes()) == CERTIFICATE_SIZE == 227


# The specification

SPEC = (ROOT / "docs" / "spec" / "apdu.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the first table after a heading, without its head."""
    rows = re.search(rf"^#+ {heading}[\s\S]*?\n\|.*\n\|[-|]+\n((?:\|.*\n)+)", SPEC, re.MULTILINE)
    assert rows is not None, heading
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.group(1).splitlines()]


def test_the_specification_lists_these_commands() -> None:
    listed = {row[0]: re.sub(r"[ `]", "", row[1]) for row in table("Commands")}
    own = {}
    for command in c.COMMANDS:
        cla = command.CLA | (4 if command.CHANNEL else 0)
        p1 = "P1" if command.P1 is None else f"{command.P1:02X}"
        p2 = {None: "i"}.get(command.P2, f"{command.P2 or 0:02X}")
        own[command.NAME] = f"{cla:02X}{command.INS:02X}{p1}{p2}"
    own["GET DATA"] = "00CAtag"
    own["STORE DATA"] = "84E2P100"
    own["DEACTIVATE (block)"] = own.pop("DEACTIVATE")
    card_os = {
        "GET RESPONSE": f"00{Ins.GET_RESPONSE:02X}0000",
        "INITIALIZE UPDATE": f"80{Ins.INITIALIZE_UPDATE:02X}kv00",
        "EXTERNAL AUTHENTICATE": f"84{Ins.EXTERNAL_AUTHENTICATE:02X}3300",
    }
    assert listed == own | card_os
    assert {command.INS for command in c.COMMANDS} | {Ins(int(text[2:4], 16)) for text in card_os.values()} == set(Ins)


def test_the_specification_lists_these_objects() -> None:
    fci = [(int(row[0].strip("`"), 16), int(row[1])) for row in table("SELECT: file control information")]
    assert fci == [(int(tag), size) for tag, size in FCI_SIZES.items()]
    assert [int(row[0].strip("`"), 16) for row in table("GET DATA")] == [int(tag) for tag in Tag]
    assert [int(row[0].strip("`"), 16) for row in table("STORE DATA")] == [int(store) for store in Store]


# Data objects

FCI = Fci(
    lifecycle=Lifecycle.ACTIVE,
    purse_id=ID,
    epoch=1,
    next_n=2**32 - 1,
    next_k=3,
    balance=2**53 - 1,
    free_slots=16,
    free_entries=8,
    pin_tries=3,
    policy_version=7,
    payee_threshold=20_000,
)


def test_fci_round_trip() -> None:
    raw = FCI.to_bytes()
    assert raw[:2] == bytes((FciTag.FCI, len(raw) - 2))
    assert Fci.from_bytes(raw) == FCI


@pytest.mark.parametrize("cut", range(len(FCI.to_bytes())))
def test_a_cut_fci_is_refused(cut: int) -> None:
    with pytest.raises(CodecError):
        Fci.from_bytes(FCI.to_bytes()[:cut])


def _changed(raw: bytes, old: str, new: str) -> bytes:
    assert bytes.fromhex(old) in raw
    return raw.replace(bytes.fromhex(old), bytes.fromhex(new), 1)


@pytest.mark.parametrize(
    "raw",
    [
        FCI.to_bytes() + b"\0\0",
        _changed(FCI.to_bytes(), "F045434E595701", "F045434E595702"),
        _changed(FCI.to_bytes(), "C00102", "C00105"),
        _changed(FCI.to_bytes(), "C70103", "C60103"),
        _changed(FCI.to_bytes(), "6F63", "6F8163"),
        _changed(FCI.to_bytes(), "6F63", "7063"),
    ],
    ids=["longer", "other applet", "life cycle", "tag twice", "long length", "no FCI"],
)
def test_a_changed_fci_is_refused(raw: bytes) -> None:
    with pytest.raises(CodecError):
        Fci.from_bytes(raw)


def test_totals_round_trip() -> None:
    state = PurseState(total_in=5, total_out=3, total_reversed=2, out_acked=1, in_acked=4, unverified=6, next_n=9)
    totals = Totals.of(state)
    assert Totals.from_bytes(totals.to_bytes()) == totals
    assert totals.balance == state.balance == 4
    for wrong in (totals.to_bytes()[:-1], totals.to_bytes() + b"\0"):
        with pytest.raises(CodecError):
            Totals.from_bytes(wrong)


def test_slots_round_trip() -> None:
    pending = Slot(SlotState.PENDING, 7, VOUCHER.request_hash, VOUCHER.payee, b"secret")
    raw = slots_to_bytes(PurseState(slots=(pending, *(Slot(),) * (SLOT_COUNT - 1))))
    assert len(raw) == 5 * SLOT_COUNT
    assert slots_from_bytes(raw)[:2] == (SlotStatus(SlotState.PENDING, 7), SlotStatus(SlotState.FREE, 0))
    for wrong in (raw[:-1], b"\x09" + raw[1:]):
        with pytest.raises(CodecError):
            slots_from_bytes(wrong)


# PIN


@pytest.mark.parametrize(
    ("pin", "block"),
    [("1234", "241234FFFFFFFFFF"), ("12345", "2512345FFFFFFFFF"), ("123456789012", "2C123456789012FF")],
)
def test_a_pin_block_is_iso_9564_format_2(pin: str, block: str) -> None:
    assert pin_block(pin) == bytes.fromhex(block)
    assert check_pin_block(pin_block(pin)) == bytes.fromhex(block)


@pytest.mark.parametrize("pin", ["", "123", "1234567890123", "12a4", "١٢٣٤", "12 34", "-1234"])
def test_what_is_no_pin(pin: str) -> None:
    with pytest.raises(UsageError) as caught:
        pin_block(pin)
    assert not pin or pin not in str(caught.value)


@pytest.mark.parametrize(
    "block",
    [
        "",
        "24",
        "241234FFFFFFFF",
        "241234FFFFFFFFFFFF",
        "341234FFFFFFFFFF",
        "23123FFFFFFFFFFF",
        "2D12345678901234",
        "24123AFFFFFFFFFF",
        "2412340FFFFFFFFF",
        "241234FFFFFFFFF0",
    ],
)
def test_what_is_no_pin_block(block: str) -> None:
    with pytest.raises(OutOfRangeError):
        check_pin_block(bytes.fromhex(block))
