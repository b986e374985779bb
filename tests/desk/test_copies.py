"""Snapshots, clones, resets, replays, and the desk that is opened again: a card is what it was, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from hardware.cli_tools import trace as trace_command
from hardware.desk.store import Store
from hardware.emulator.memory import CARD_LAYOUT
from hardware.transports.replay import ReplayTransport
from support.desk import BLANK, OTHER, SAM, VISITOR, DeskClient, open_desk
from wallet_core.errors import ConfigurationError, ReaderBusyError, StorageError


@pytest.fixture(params=["memory", "disk"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DeskClient]:
    with open_desk(tmp_path if request.param == "disk" else None) as client:
        yield client


def flash(desk: DeskClient, card: str = VISITOR) -> bytes:
    return desk.desk.card(card).flash.snapshot()


def recorded(desk: DeskClient, card: str = VISITOR) -> str:
    return desk.call("GET", f"/api/cards/{card}/trace.jsonl").text


def test_restored_is_as_it_was(desk: DeskClient) -> None:
    desk.insert()
    desk.pay()
    before, state = flash(desk), desk.get(f"cards/{VISITOR}")["state"]
    kept = desk.do(f"cards/{VISITOR}/snapshots", {"name": "paid-once"})
    assert (kept["name"], kept["balance"]) == ("paid-once", 43_200)
    desk.pay(1_000)
    assert flash(desk) != before
    begun = desk.desk.events.newest
    card = desk.do(f"cards/{VISITOR}/restore", {"name": "paid-once"})
    assert desk.kinds(begun) == ["removed", "restored", "inserted", "powered"]
    assert card["reader"] == 0
    assert {**card["state"], "sequence": 0} == {**state, "sequence": 0}
    desk.do(f"cards/{VISITOR}/remove")
    desk.do(f"cards/{VISITOR}/restore", {"name": "paid-once"})
    assert flash(desk) == before
    assert [one["name"] for one in desk.get(f"cards/{VISITOR}/snapshots")["snapshots"]] == ["paid-once"]
    assert desk.refused(f"cards/{VISITOR}/snapshots", {"name": "paid-once"})["code"] == "card-exists"
    desk.do(f"cards/{VISITOR}/snapshots/paid-once", method="DELETE")
    assert desk.get(f"cards/{VISITOR}/snapshots") == {"snapshots": []}


def test_a_torn_card_is_restored_with_its_unreadable_cell(desk: DeskClient) -> None:
    desk.insert()
    desk.tear("write@PAY:8")
    desk.refused(f"cards/{VISITOR}/pay", {"amount": 100})
    before, picture = flash(desk), desk.get(f"cards/{VISITOR}/flash")
    desk.do(f"cards/{VISITOR}/snapshots")
    desk.insert()
    decided = desk.get(f"cards/{VISITOR}")["face"]["balance"]
    for _ in range(3):  # the card's chance is a seed's: it decides alike each time
        desk.do(f"cards/{VISITOR}/remove")
        assert desk.do(f"cards/{VISITOR}/restore", {"name": "snapshot-1"})["as_of"] == "undecided"
        assert flash(desk) == before
        assert desk.get(f"cards/{VISITOR}/flash")["cells"] == picture["cells"]
        assert desk.insert()["face"]["balance"] == decided


def test_a_clone_is_the_same_card_twice(desk: DeskClient) -> None:
    desk.insert()
    desk.pay()
    twin = desk.do(f"cards/{VISITOR}/clone")
    assert twin["id"] == f"{VISITOR}-clone"
    assert flash(desk, twin["id"]) == flash(desk)
    desk.do(f"cards/{VISITOR}/remove")
    desk.insert(twin["id"])
    assert desk.pay(100, twin["id"])["n"] == 2
    desk.insert()
    assert desk.pay(100)["n"] == 2  # the same counter spent twice: what the operator convicts


def test_reset_is_what_the_seed_makes(desk: DeskClient) -> None:
    fresh = flash(desk)
    desk.insert()
    desk.pay()
    desk.tear("before@9")
    card = desk.do(f"cards/{VISITOR}/reset")
    assert (card["face"]["balance"], card["face"]["last"], card["plan"]) == (50_000, None, None)
    desk.do(f"cards/{VISITOR}/remove")
    desk.do(f"cards/{VISITOR}/reset")
    assert flash(desk) == fresh
    assert flash(desk, desk.do("cards", {"profile": "hk-visitor", "seed": "1"})["id"]) == fresh


def test_deleted_with_its_snapshots(desk: DeskClient) -> None:
    desk.insert()
    desk.do(f"cards/{VISITOR}/snapshots")
    desk.do(f"cards/{VISITOR}", method="DELETE")
    assert desk.refused(f"cards/{VISITOR}", method="GET")["code"] == "not-found"
    desk.do("cards", {"profile": "hk-visitor", "seed": "1"})
    assert desk.get(f"cards/{VISITOR}/snapshots") == {"snapshots": []}


# The desk that is opened again -------------------------------------------------------------------------------------


def test_cards_are_there_again(tmp_path: Path) -> None:
    with open_desk(tmp_path) as first:
        first.insert()
        first.pay()
        first.do(f"cards/{VISITOR}/snapshots", {"name": "one"})
        first.do(f"cards/{VISITOR}/latency", {"chip": "jcop-4-p71", "kbps": 424}, method="PUT")
        first.do(f"cards/{BLANK}", method="DELETE")
        first.tear("write@GRANT:1", VISITOR)
        first.do(f"cards/{VISITOR}/latency", method="DELETE")
        first.refused(f"cards/{VISITOR}/online")
        kept, before = first.get(f"cards/{VISITOR}"), flash(first)
        with pytest.raises(ReaderBusyError):
            Store(tmp_path)
    with open_desk(tmp_path) as second:
        again = second.get(f"cards/{VISITOR}")
        assert flash(second) == before
        assert {**again, "event": ""} == {**kept, "event": ""}
        assert [one["id"] for one in second.get("cards")["cards"]] == [VISITOR, OTHER, SAM]
        assert [one["name"] for one in second.get(f"cards/{VISITOR}/snapshots")["snapshots"]] == ["one"]
    for path in tmp_path.rglob("*.*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert "debug, insecure" in (tmp_path / "cards" / f"{VISITOR}.json").read_text()


@pytest.mark.parametrize(
    "damage", ["{", "[]", "{}", '{"profile": "gold", "seed": "1", "endurance": null, "memory": {}}']
)
def test_a_damaged_card_is_named(tmp_path: Path, damage: str) -> None:
    with open_desk(tmp_path):
        pass
    (tmp_path / "cards" / f"{VISITOR}.json").write_text(damage)
    with pytest.raises(ConfigurationError) as caught, open_desk(tmp_path):
        pass
    assert VISITOR in caught.value.message


def test_what_is_told_is_on_disk_before(tmp_path: Path) -> None:
    """A look at the files from within each event: they hold the flash that the event speaks of."""
    with open_desk(tmp_path) as desk:
        desk.insert()
        emit, late = desk.desk.events.emit, []

        def check(kind: str, **facts: object) -> int:
            if kind in ("exchange", "powered", "torn"):
                on_disk = (tmp_path / "cards" / f"{VISITOR}.flash").read_bytes()
                if on_disk != flash(desk):
                    late.append(kind)
            return emit(kind, **facts)

        desk.desk.events.emit = check  # type: ignore[method-assign]
        desk.pay()
        desk.tear("write@PAY:4")
        desk.refused(f"cards/{VISITOR}/pay", {"amount": 100})
        desk.insert()
        assert not late


def test_what_the_disk_refuses_is_told_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_desk(tmp_path) as desk:
        desk.insert()
        before = desk.desk.events.newest

        def full(*_: object) -> None:
            raise StorageError("the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(Store, "save_card", full)
            told = desk.refused(f"cards/{VISITOR}/apdu", {"apdu": "00A4040007F045434E59570100"})
        assert (told["code"], told["detail"]) == ("storage", "the disk is full")
        assert desk.kinds(before) == ["removed"]
        assert not desk.desk.card(VISITOR).powered
        desk.insert()
        assert desk.pay()["act"] == "paid"


# Traces and replays ------------------------------------------------------------------------------------------------


def test_a_replay_on_the_restored_card_finds_no_difference(desk: DeskClient) -> None:
    """Signatures and sealed blocks included: a card's randomness follows from its seed and its memory."""
    desk.do(f"cards/{VISITOR}/snapshots", {"name": "begin"})
    desk.insert()
    desk.pay()
    desk.pay(1_000)
    desk.do(f"cards/{VISITOR}/online")
    text = recorded(desk)
    desk.do(f"cards/{VISITOR}/remove")
    desk.do(f"cards/{VISITOR}/restore", {"name": "begin"})
    done = desk.do(f"cards/{VISITOR}/replay", {"trace": text, "on_clone": True})
    assert done["difference"] is None
    assert done["sent"] == sum('"exchange"' in line for line in text.splitlines()) > 10
    assert done["passed_over"] == 0
    assert desk.get(f"cards/{VISITOR}")["face"]["balance"] == 50_000  # the clone paid, and is gone
    assert [one["id"] for one in desk.get("cards")["cards"]] == [VISITOR, OTHER, SAM, BLANK]


def test_a_replay_names_the_first_difference(desk: DeskClient) -> None:
    desk.insert()
    desk.pay()
    lines = recorded(desk).splitlines()
    other = desk.do(f"cards/{OTHER}/replay", {"trace": "\n".join(lines), "on_clone": True})["difference"]
    assert (other["line"], other["name"], other["what"]) == (3, "SELECT", "data")
    assert other["expected"]["data"][2 * other["byte"] :][:2] != other["came"]["data"][2 * other["byte"] :][:2]
    assert other["expected"]["data"][: 2 * other["byte"]] == other["came"]["data"][: 2 * other["byte"]]
    pay = json.loads(lines[3])
    pay["response"] = pay["response"][:-4] + "6A84"
    changed = [lines[0], lines[1], json.dumps(pay)]
    found = desk.do(f"cards/{BLANK}/replay", {"trace": "\n".join(changed), "on_clone": True})["difference"]
    assert (found["what"], found["expected"]["sw"], found["came"]["sw"]) == ("status word", "6A84", "6D00")
    cut = {**pay, "response": "9000"}
    longer = desk.do(f"cards/{VISITOR}/replay", {"trace": "\n".join([*lines[:3], json.dumps(cut)])})["difference"]
    assert longer["line"] in (3, 4)


def test_a_replay_on_the_card_itself_wants_it_inserted(desk: DeskClient) -> None:
    desk.insert()
    desk.do(f"cards/{VISITOR}/apdu", {"apdu": "00CADF0400"})
    text = recorded(desk)
    assert desk.do(f"cards/{VISITOR}/replay", {"trace": text})["difference"] is None
    desk.do(f"cards/{VISITOR}/remove")
    assert desk.refused(f"cards/{VISITOR}/replay", {"trace": text})["code"] == "card-not-inserted"


def test_a_recorded_tear_is_a_difference_to_a_card_that_answers(desk: DeskClient) -> None:
    desk.insert()
    desk.tear("before@1")
    desk.refused(f"cards/{VISITOR}/apdu", {"apdu": "00CADF0400"})
    desk.insert()
    found = desk.do(f"cards/{VISITOR}/replay", {"trace": recorded(desk)})["difference"]
    assert (found["what"], found["expected"], found["came"]["sw"]) == ("answer", None, "6D00")


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        '{"event": 1}',
        '{"event": "open", "reader": "r", "atr": ""}',
        '{"event": "exchange"}',
        '{"event": "exchange", "command": "zz", "response": "9000"}',
        '{"event": "exchange", "command": "00A40400", "response": 5}',
        '{"event": "exchange", "command": "00A40400", "response": "9000", "hidden": -1}',
        '{"event": "reset"}\n' * 2_001,
    ],
)
def test_a_trace_that_is_none(desk: DeskClient, text: str) -> None:
    assert desk.refused(f"cards/{VISITOR}/replay", {"trace": text})["code"] == "malformed"


def test_the_file_is_what_the_other_tools_read(desk: DeskClient, tmp_path: Path) -> None:
    desk.insert()
    desk.do(f"cards/{VISITOR}/apdu", {"apdu": "00CADF0400"})
    desk.pay()
    text = recorded(desk)
    replayed = ReplayTransport(text.splitlines())
    replayed.reset()
    assert replayed.transmit(bytes.fromhex("00CADF0400")) == bytes.fromhex("6D00")
    (tmp_path / "trace.jsonl").write_text(text)
    shown = CliRunner().invoke(trace_command, ["--show", str(tmp_path / "trace.jsonl")])
    assert shown.exit_code == 0, shown.output
    assert "A>> 00CADF0400" in shown.output


def test_a_trace_is_paged_and_cleared(desk: DeskClient) -> None:
    desk.insert()
    desk.pay()
    entries = desk.get(f"cards/{VISITOR}/trace")["entries"]
    assert [one["i"] for one in entries] == [1, 2, 3, 4]
    assert desk.get(f"cards/{VISITOR}/trace?after=2")["entries"] == entries[2:]
    desk.do(f"cards/{VISITOR}/trace", method="DELETE")
    assert desk.get(f"cards/{VISITOR}/trace")["entries"] == []
    desk.do(f"cards/{VISITOR}/apdu", {"apdu": "00CADF0400"})
    assert [one["i"] for one in desk.get(f"cards/{VISITOR}/trace")["entries"]] == [5]


def test_a_replay_on_a_copy_needs_no_reader_and_is_no_event(desk: DeskClient) -> None:
    desk.insert()
    desk.do(f"cards/{VISITOR}/apdu", {"apdu": "00A4040007F045434E59570100"})
    text = recorded(desk)
    desk.insert(OTHER)
    before = desk.desk.events.newest
    assert desk.do(f"cards/{SAM}/replay", {"trace": text, "on_clone": True})["difference"]["what"] == "data"
    assert desk.desk.events.newest == before


def test_a_card_without_a_record_is_dead_and_says_so(tmp_path: Path) -> None:
    """All seals blank: no cut does that, but a disk may."""
    with open_desk(tmp_path) as desk:
        snapshot = bytearray(flash(desk))
    head = len(snapshot) - 4 - 4 * CARD_LAYOUT.cells - CARD_LAYOUT.cells * CARD_LAYOUT.cell_size
    for position in range(CARD_LAYOUT.positions):
        start = head + CARD_LAYOUT.seal_cell(position) * CARD_LAYOUT.cell_size
        snapshot[start : start + CARD_LAYOUT.cell_size] = b"\xff" * CARD_LAYOUT.cell_size
    (tmp_path / "cards" / f"{VISITOR}.flash").write_bytes(snapshot)
    with open_desk(tmp_path) as desk:
        assert desk.refused(f"cards/{VISITOR}/insert")["code"] == "card-dead"
        card = desk.get(f"cards/{VISITOR}")
        assert (card["as_of"], card["powered"], card["reader"]) == ("dead", False, 0)
        assert {one["state"] for one in desk.get(f"cards/{VISITOR}/flash")["ring"]} == {"erased"}
        assert desk.refused(f"cards/{VISITOR}/apdu", {"apdu": "00CADF0400"})["code"] == "card-dead"
        assert desk.kinds()[-1] == "dead"
        desk.do(f"cards/{VISITOR}/reset")
        assert desk.get(f"cards/{VISITOR}")["face"]["balance"] == 50_000
