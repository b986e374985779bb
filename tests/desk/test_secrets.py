"""No PIN and no key in anything that the desk tells: traces, events, pictures, pages, files for download."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hardware.desk.acts import DeskTransport
from hardware.desk.traces import Exchange, TraceLog
from hardware.driver import HardWallet
from hardware.emulator.issuer import TEST_PIN, published_issuer
from hardware.emulator.memory import CARD_LAYOUT, CardMemory
from hardware.exchange import CardConnection
from hardware.instructions import Store
from hardware.personalisation import personalise
from hardware.pin import pin_block
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from support.desk import BLANK, HOST, VISITOR, DeskClient, open_desk

OTHER_PIN = "975310"


@pytest.fixture
def desk() -> Iterator[DeskClient]:
    with open_desk() as client:
        yield client


def everything(desk: DeskClient, card: str) -> str:
    """All that anybody can get of this card without knowing a secret."""
    parts: list[Any] = [desk.get("desk"), desk.get(f"cards/{card}"), desk.get(f"cards/{card}/trace")]
    parts += [desk.get(f"cards/{card}/flash"), desk.get(f"cards/{card}/snapshots")]
    parts += [desk.get(f"cards/{card}/flash/{cell}") for cell in range(CARD_LAYOUT.cells)]
    text = json.dumps(parts) + desk.call("GET", f"/api/cards/{card}/trace.jsonl").text + desk.call("GET", "/").text
    stream = desk.http.get("/api/events?after=boot1-0", headers={"Host": HOST})
    last = f"id: boot1-{desk.desk.events.newest}"
    for part in stream.response:
        text += part if isinstance(part, str) else part.decode()
        if last in text:
            break
    stream.close()
    return text


def secrets_of(desk: DeskClient, card: str) -> dict[str, str]:
    """Key, transport keys, PIN block and audit key of the card, from its own memory."""
    held = desk.desk.card(card)
    memory = CardMemory(held.flash)
    record = memory.load()
    keys = memory.factory().keys
    found = {"scalar": memory.scalar().hex(), "enc": keys.enc.hex(), "mac": keys.mac.hex()}
    for name, target in (("pin", Store.PIN), ("audit", Store.AUDIT_KEY)):
        found[name] = (memory.object(record, target) or b"").hex()
    assert all(len(one) >= 16 for one in found.values())
    return found


def hunt(text: str, secrets: dict[str, str], *pins: str) -> list[str]:
    """The names of the secrets that are in the text: as they are, or in hexadecimal."""
    lower = text.lower()
    found = [name for name, secret in secrets.items() if secret.lower() in lower]
    for pin in pins:
        found += [pin] if pin in text or pin.encode().hex() in lower or pin_block(pin).hex() in lower else []
    return found


def test_a_wallet_that_pays_with_its_pin(desk: DeskClient) -> None:
    desk.insert()
    desk.do(f"cards/{VISITOR}/verify", {"pin": TEST_PIN})
    desk.pay(25_000, pin=TEST_PIN)
    desk.refused(f"cards/{VISITOR}/verify", {"pin": OTHER_PIN})
    desk.do(f"cards/{VISITOR}/apdu", {"apdu": f"00200001 08 {pin_block(OTHER_PIN).hex()}"})
    desk.do(f"cards/{VISITOR}/apdu", {"apdu": f"10200001 08 {pin_block(OTHER_PIN).hex()}"})
    desk.tear("write@VERIFY:1")
    desk.refused(f"cards/{VISITOR}/verify", {"pin": TEST_PIN})
    desk.insert()
    desk.do(f"cards/{VISITOR}/snapshots")
    text = everything(desk, VISITOR)
    assert "[8 bytes hidden]" in text
    assert not hunt(text, secrets_of(desk, VISITOR), TEST_PIN, OTHER_PIN)


def test_a_pin_that_is_none_is_not_quoted(desk: DeskClient) -> None:
    desk.insert()
    for pin in ("975", "9753109753109", "97531O"):
        told = desk.refused(f"cards/{VISITOR}/verify", {"pin": pin})
        assert told["code"] == "malformed"
        assert pin not in told["detail"] + told["next_step"]
    told = desk.refused(f"cards/{VISITOR}/apdu", {"apdu": "0020000108" + "zz" + pin_block(OTHER_PIN).hex()})
    assert OTHER_PIN not in json.dumps(told)


def test_a_card_that_is_personalised_at_the_desk(desk: DeskClient) -> None:
    """Every byte of the secure channel is hidden, both ways, whatever its transport keys could make of it."""
    desk.insert(BLANK)
    wire: list[bytes] = []

    class Heard(DeskTransport):
        def transmit(self, command: bytes) -> bytes:
            answer = super().transmit(command)
            if command[0] & 0x0C:
                wire.extend((command[5:], answer[:-2]))
            return answer

    connection = CardConnection(Heard(desk.desk, BLANK))
    wallet = HardWallet(connection)
    personalise(wallet, _keys, bytes(8), published_issuer().papers, OTHER_PIN)
    text = everything(desk, BLANK)
    assert not hunt(text, secrets_of(desk, BLANK), OTHER_PIN)
    assert len(wire) > 16
    assert not [one.hex() for one in wire if len(one) > 8 and one.hex().upper() in text]
    assert "bytes hidden]" in text


def test_the_rest_of_a_secured_answer_is_hidden_too() -> None:
    """What GET RESPONSE fetches in plain is still of the channel, until the next command."""
    log = TraceLog("reader")
    secured = log.exchange(Exchange(bytes.fromhex("84460000 04 01020304 00"), bytes.fromhex("AABB6102"), 1, "pcsc"), 0)
    rest = log.exchange(Exchange(bytes.fromhex("00C0000002"), bytes.fromhex("CCDD9000"), 1, "pcsc"), 0)
    plain = log.exchange(Exchange(bytes.fromhex("00CADF0400"), bytes.fromhex("EEFF9000"), 1, "pcsc"), 0)
    assert (secured["command"], secured["hidden"], secured["response"], secured["response_hidden"]) == (
        "8446000004",
        5,
        "6102",
        2,
    )
    assert (rest["response"], rest["response_hidden"]) == ("9000", 2)
    assert (plain["response"], plain["response_hidden"]) == ("EEFF9000", 0)
    assert not {"AABB", "CCDD"} & {part for entry in log.entries for part in entry["received"].split()}


def test_secret_cells_are_told_by_their_kind(desk: DeskClient) -> None:
    cells = desk.get(f"cards/{VISITOR}/flash")["cells"]
    hidden = {one["area"] for one in cells if desk.get(f"cards/{VISITOR}/flash/{one['cell']}")["data"] is None}
    assert hidden == {"factory", "key", "pin 1", "pin 2", "audit_key 1", "audit_key 2"}


def _keys(serial: bytes) -> Any:
    return transport_keys(TEST_BATCH_KEY, serial, production=False)
