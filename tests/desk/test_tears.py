"""Tears at the desk: what is told of them, what the flash looks like, and that a payment is made once."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hardware.desk.pictures import KINDS
from hardware.emulator.memory import CARD_LAYOUT
from support import tally
from support.desk import OTHER, VISITOR, DeskClient, open_desk

PAY_CELLS = 8  # a voucher in five cells, a record in two, its seal


@pytest.fixture
def desk() -> Iterator[DeskClient]:
    with open_desk() as client:
        yield client


def kinds_of(desk: DeskClient, area: str, card: str = VISITOR) -> list[str]:
    return [one["kind"] for one in desk.get(f"cards/{card}/flash")["cells"] if one["area"] == area]


@pytest.mark.parametrize(
    ("word", "meaning", "paid"),
    [
        ("before@PAY", "torn before the command was looked at", False),
        ("write@PAY:8:old", "torn in the middle of a write", False),
        ("write@PAY:8:new", "torn in the middle of a write", True),
        ("write@PAY:3", "torn in the middle of a write", False),
        ("after-commit@PAY", "torn after the commit, before the answer", True),
        ("answer@PAY", "torn on the answer's way back", True),
        ("before@2", "torn before the command was looked at", False),
        ("after-commit@2", "torn after the commit, before the answer", True),
    ],
)
def test_a_torn_payment_is_made_once(desk: DeskClient, word: str, meaning: str, paid: bool) -> None:
    desk.insert()
    assert desk.tear(word)["plan"].startswith(word)
    begun = desk.desk.events.newest
    told = desk.refused(f"cards/{VISITOR}/pay", {"amount": 6_800})
    assert (told["code"], told["next_step"]) == ("outcome-unknown", "TAP THE SAME CARD AGAIN, then pay again.")
    assert desk.kinds(begun) == ["exchange", "exchange", "torn"]
    torn = desk.events(begun)[-1].facts
    assert (torn["meaning"], torn["reader"]) == (meaning, 0)
    assert torn["plan"].startswith(word)
    card = desk.get(f"cards/{VISITOR}")
    assert (card["reader"], card["powered"], card["plan"]) == (None, False, None)
    assert card["as_of"] == ("undecided" if word.startswith("write") else "power-off")
    assert desk.insert()["face"]["balance"] == 50_000 - 6_800 * paid
    assert desk.pay(6_800) == {"act": "paid", "amount": 6_800, "n": 1, "recovered": paid}
    assert desk.get(f"cards/{VISITOR}")["face"]["balance"] == 43_200
    tally.record("power cuts", 1, wrong=0)


def test_a_payment_that_never_happened_is_not_asked_for_again_by_another_amount(desk: DeskClient) -> None:
    desk.insert()
    desk.tear("before@PAY")
    desk.refused(f"cards/{VISITOR}/pay", {"amount": 6_800})
    desk.insert()
    assert desk.pay(1_000)["amount"] == 6_800  # the open sale comes first
    assert desk.pay(1_000)["amount"] == 1_000


@pytest.mark.parametrize(
    ("word", "recovered"),
    [
        ("before@REQUEST", False),
        ("after-commit@REQUEST", True),
        ("before@COLLECT", True),
        ("after-commit@COLLECT", True),
    ],
)
def test_a_torn_load_is_made_once(desk: DeskClient, word: str, recovered: bool) -> None:
    desk.insert()
    desk.tear(word)
    assert desk.refused(f"cards/{VISITOR}/load", {"amount": 10_000})["code"] == "outcome-unknown"
    desk.insert()
    done = desk.do(f"cards/{VISITOR}/load", {"amount": 10_000})
    assert done == {"act": "loaded", "amount": 10_000, "recovered": recovered}
    assert desk.get(f"cards/{VISITOR}")["face"]["balance"] == 60_000
    tally.record("power cuts", 1, wrong=0)


def test_a_torn_load_that_a_grant_has_closed_is_not_made_again(desk: DeskClient) -> None:
    desk.insert()
    desk.tear("after-commit@COLLECT")
    desk.refused(f"cards/{VISITOR}/load", {"amount": 10_000})
    desk.insert()
    desk.do(f"cards/{VISITOR}/online")
    assert desk.do(f"cards/{VISITOR}/load", {"amount": 500})["recovered"]
    assert desk.get(f"cards/{VISITOR}")["face"]["balance"] == 60_000


def test_the_flash_shows_where_the_power_went(desk: DeskClient) -> None:
    desk.insert()
    assert kinds_of(desk, "slot 0") == ["empty"] * 5
    desk.tear("write@PAY:8")
    desk.refused(f"cards/{VISITOR}/pay", {"amount": 100})
    assert kinds_of(desk, "slot 0") == ["torn"] * 5
    picture = desk.get(f"cards/{VISITOR}/flash")
    torn = desk.events()[-2].facts["entry"]["cells"]
    assert len(torn) == PAY_CELLS
    assert [picture["cells"][cell]["kind"] for cell in torn] == ["torn"] * 7 + ["unreadable"]
    cell = desk.get(f"cards/{VISITOR}/flash/{torn[-1]}")
    assert (cell["part"], cell["kind"], len(cell["candidates"])) == ("seal", "unreadable", 2)
    desk.insert()
    assert "unreadable" not in {one["kind"] for one in desk.get(f"cards/{VISITOR}/flash")["cells"]}


def test_the_kinds_of_a_card_in_use(desk: DeskClient) -> None:
    desk.insert()
    desk.pay()
    picture = desk.get(f"cards/{VISITOR}/flash")
    assert set(picture["kinds"]) == set(KINDS)
    assert len(picture["cells"]) == CARD_LAYOUT.cells
    states = [one["state"] for one in picture["ring"]]
    assert (states.count("newest"), states.count("older"), states.count("erased")) == (1, 1, 6)
    assert kinds_of(desk, "header") == ["header"]
    assert set(kinds_of(desk, "slot 0")) == {"valid"}
    desk.do(f"cards/{VISITOR}/online")
    assert set(kinds_of(desk, "slot 0")) == {"old"}
    newest = next(one["position"] for one in picture["ring"] if one["state"] == "newest")
    assert kinds_of(desk, f"ring {newest}") == ["old"] * 3


def test_looking_is_no_event_in_a_cards_life(desk: DeskClient) -> None:
    desk.insert()
    desk.tear("write@PAY:8")
    desk.refused(f"cards/{VISITOR}/pay", {"amount": 100})
    held = desk.desk.card(VISITOR)
    before, event = held.flash.snapshot(), desk.desk.events.newest
    for cell in range(0, CARD_LAYOUT.cells, 7):
        desk.get(f"cards/{VISITOR}/flash/{cell}")
    desk.get(f"cards/{VISITOR}/flash")
    assert (held.flash.snapshot(), desk.desk.events.newest) == (before, event)


def test_a_card_wears_out_and_says_so(desk: DeskClient) -> None:
    worn = desk.do("cards", {"profile": "hk-visitor", "seed": "worn", "endurance": 40})["id"]
    desk.insert(worn)
    left = [desk.get(f"cards/{worn}/flash")["left_in_ring"]]
    while left[-1] > 0:
        desk.do(f"cards/{worn}/power-cycle")
        left.append(desk.get(f"cards/{worn}/flash")["left_in_ring"])
    assert left == sorted(left, reverse=True)
    assert "worn" in {one["kind"] for one in desk.get(f"cards/{worn}/flash")["cells"]}
    refused = desk.refused(f"cards/{worn}/pay", {"amount": 100})
    assert (refused["code"], refused["sw"]) == ("card-refused", "6581")


def test_a_torn_card_comes_back_by_itself(desk: DeskClient) -> None:
    desk.insert()
    desk.tear("answer@SELECT", reinsert_ms=1)
    begun = desk.desk.events.newest
    desk.refused(f"cards/{VISITOR}/apdu", {"apdu": "00A4040007F045434E59570100"})
    assert desk.desk.events.wait(begun + 3, 10)
    with desk.desk.lock:
        assert desk.desk.card(VISITOR).powered
    assert desk.kinds(begun) == ["exchange", "torn", "inserted", "powered"]


def test_disarmed_nothing_happens(desk: DeskClient) -> None:
    desk.insert()
    desk.tear("before@PAY")
    assert desk.do(f"cards/{VISITOR}/tear", method="DELETE")["plan"] is None
    assert desk.pay()["act"] == "paid"


def test_events_are_numbered_without_holes_while_two_cards_are_torn_at_once(desk: DeskClient) -> None:
    """And whoever has seen event N finds it in the state: a torn card is out before the event says so."""
    stop = threading.Event()
    seen: list[int] = []
    wrong: list[object] = []

    def watch() -> None:
        at = 0
        while not stop.is_set() or at < desk.desk.events.newest:
            desk.desk.events.wait(at, 0.01)
            gap, events = desk.desk.events.after(at)
            wrong.extend([gap] if gap else [])
            for event in events:
                at = event.number
                seen.append(at)
                facts = desk.desk.card_facts(event.facts["card"]) if "card" in event.facts else None
                if event.kind == "torn" and facts and int(facts["event"].split("-")[1]) < at:
                    wrong.append(event)

    def tear(card: str) -> int:
        cuts = 0
        for cell in range(1, PAY_CELLS + 1):
            desk.insert(card)
            desk.tear(f"write@PAY:{cell}", card)
            desk.refused(f"cards/{card}/pay", {"amount": 10})
            cuts += 1
            desk.insert(card)
            desk.pay(10, card)
            desk.do(f"cards/{card}/remove")
        return cuts

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(2) as pool:
        cuts = sum(pool.map(tear, (VISITOR, OTHER)))
    stop.set()
    watcher.join(10)
    assert seen == list(range(1, desk.desk.events.newest + 1))
    assert not wrong
    assert {desk.get(f"cards/{card}")["face"]["balance"] for card in (VISITOR, OTHER)} == {50_000 - 10 * PAY_CELLS}
    tally.record("power cuts", cuts, wrong=len(wrong))


# A real card's time ------------------------------------------------------------------------------------------------


def test_an_answer_takes_a_real_cards_time(desk: DeskClient) -> None:
    told = desk.do(f"cards/{VISITOR}/latency", {"chip": "jcop-4-p71", "kbps": 848}, method="PUT")["latency"]
    assert told["name"].startswith("NXP P71")
    desk.insert()
    begun = desk.desk.events.newest
    desk.pay()
    model = [event.facts["entry"]["model_ms"] for event in desk.events(begun)]
    assert len(model) == 3
    assert model[1] > 3 * max(model[0], model[2]) > 0  # PAY signs and writes; the others do not
    desk.do(f"cards/{VISITOR}/latency", method="DELETE")
    desk.do(f"cards/{VISITOR}/apdu", {"apdu": "00CADF0400"})
    assert "model_ms" not in desk.events()[-1].facts["entry"]


def test_who_takes_the_card_while_it_works_takes_its_answer(desk: DeskClient) -> None:
    """The commit is done: the next tap finds the payment."""
    desk.do(f"cards/{VISITOR}/latency", {"chip": "jcop-2.4.1", "kbps": 106}, method="PUT")
    desk.insert()
    with ThreadPoolExecutor(1) as pool:
        paying = pool.submit(desk.refused, f"cards/{VISITOR}/pay", {"amount": 500})
        begun = 0
        while not any(e.kind == "exchange" and e.facts["entry"]["name"] == "PAY" for e in desk.events()):
            begun = desk.desk.events.newest
            desk.desk.events.wait(begun, 10)
        desk.do(f"cards/{VISITOR}/remove")
        assert paying.result(10)["code"] == "outcome-unknown"
    assert set(desk.kinds(begun)) >= {"removed", "answer-lost"}
    desk.do(f"cards/{VISITOR}/latency", method="DELETE")
    desk.insert()
    assert desk.pay(500) == {"act": "paid", "amount": 500, "n": 1, "recovered": True}


def test_two_acts_at_once_on_one_card_are_not_mixed(desk: DeskClient) -> None:
    desk.do(f"cards/{VISITOR}/latency", {"chip": "jcop-2.4.1", "kbps": 106}, method="PUT")
    desk.insert()
    begun = desk.desk.events.newest
    with ThreadPoolExecutor(1) as pool:
        paying = pool.submit(desk.pay, 500)
        desk.desk.events.wait(begun, 10)
        assert desk.refused(f"cards/{VISITOR}/pay", {"amount": 600})["code"] == "busy"
        assert paying.result(10)["amount"] == 500


def test_exchange_numbers_are_those_of_the_tears(desk: DeskClient) -> None:
    """`#3` in the trace is the exchange that `before@3` strikes."""
    desk.insert()
    desk.tear("before@3")
    desk.refused(f"cards/{VISITOR}/pay", {"amount": 100})  # SELECT, PAY, GET RESPONSE
    entry = desk.events()[-2].facts["entry"]
    assert (entry["n"], entry["name"], entry["error"]) == (3, "GET RESPONSE", "outcome-unknown")
    assert re.fullmatch(r"A<< \([0-9.]+ ms\) no answer: torn before the command was looked at", entry["received"])
