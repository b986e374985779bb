"""Every call of the desk, what it refuses, and who may call it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from hardware.desk.events import MAX_STREAMS
from hardware.desk.guard import TOKEN_HEADER
from hardware.desk.problems import PROBLEMS
from hardware.emulator.issuer import TEST_PIN
from support.desk import BLANK, HOST, OTHER, SAM, VISITOR, DeskClient, open_desk, problem
from support.tree import ROOT

PAGE = (ROOT / "docs" / "spec" / "desk.md").read_text(encoding="utf-8")


@pytest.fixture
def desk() -> Iterator[DeskClient]:
    with open_desk() as client:
        yield client


@pytest.fixture(scope="module")
def still() -> Iterator[DeskClient]:
    """A desk for tests that change nothing on it."""
    with open_desk() as client:
        yield client


# The specification and the code ------------------------------------------------------------------------------------


def test_the_page_lists_the_calls_that_there_are(desk: DeskClient) -> None:
    listed = set(re.findall(r"^\| `([A-Z]+) (/api/\S+)`", PAGE, re.MULTILINE))
    app = desk.http.application
    there = {
        (method, re.sub(r"<(?:int:)?(\w+)>", r"{\1}", rule.rule).replace("{card_id}", "{card}"))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert listed == there


def test_the_page_lists_the_problems_with_their_statuses() -> None:
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|$", PAGE, re.MULTILINE))
    assert listed == {name: str(status.value) for name, (status, _) in PROBLEMS.items()}


def test_the_page_lists_the_events_that_the_code_emits() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "hardware" / "desk").glob("*.py"))
    emitted = set(re.findall(r"events\.emit\(\s*\"([a-z-]+)\"", code)) | {"gap"}
    section = PAGE.split("## Events")[1].split("## Problems")[0]
    rows = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \|", section, re.MULTILINE)
    assert {kind for row in rows for kind in re.findall(r"`([a-z-]+)`", row)} == emitted
    script = (ROOT / "hardware" / "desk" / "static" / "desk.js").read_text(encoding="utf-8")
    kinds = re.search(r"const KINDS = \[(.*?)\];", script)
    assert kinds
    assert set(re.findall(r"'([a-z-]+)'", kinds[1])) == emitted - {"gap"}


# Who may call ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:80", "localhost:4712", ""])
def test_under_another_name_the_desk_does_not_answer(still: DeskClient, host: str) -> None:
    for path in ("/", "/api/desk", "/static/desk.js"):
        assert problem(still.http.get(path, headers={"Host": host}))["code"] == "wrong-host"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://{HOST}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_from_elsewhere_is_refused_even_with_the_token(still: DeskClient, headers: dict[str, str]) -> None:
    assert problem(still.call("GET", "/api/desk", **headers))["code"] == "wrong-origin"
    assert problem(still.call("POST", f"/api/cards/{VISITOR}/insert", **headers))["code"] == "wrong-origin"
    assert still.desk.card(VISITOR).slot is None


def test_the_desks_own_page_is_answered(desk: DeskClient) -> None:
    for headers in (
        {"Origin": f"http://{HOST}"},
        {"Origin": "http://localhost:4711"},
        {"Sec-Fetch-Site": "same-origin"},
    ):
        assert desk.call("GET", "/api/desk", **headers).status_code == 200


@pytest.mark.parametrize("token", [None, "", "another", "token-of-this-boo"])
def test_nothing_changes_without_the_token(still: DeskClient, token: str | None) -> None:
    before = still.desk.events.newest
    given = {"Host": HOST} | ({} if token is None else {TOKEN_HEADER: token})
    rules = [rule for rule in still.http.application.url_map.iter_rules() if rule.rule.startswith("/api/")]
    tried = 0
    for rule in rules:
        for method in (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}:
            path = re.sub(r"<card_id>", VISITOR, rule.rule).replace("<name>", "x").replace("<int:cell>", "0")
            assert problem(still.http.open(path, method=method, json={}, headers=given))["code"] == "not-authorised"
            tried += 1
    assert tried > 15
    assert still.desk.events.newest == before


def test_every_answer_is_hardened_and_the_page_says_what_it_is(desk: DeskClient) -> None:
    page = desk.call("GET", "/")
    assert "Debug, insecure" in page.text
    assert "test money, test keys" in page.text
    assert "not affiliated with the People’s Bank of China or any bank" in page.text
    for answer in (
        page,
        desk.call("GET", "/api/desk"),
        desk.call("GET", "/nothing"),
        desk.call("GET", "/static/desk.js"),
    ):
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_page_asks_nobody_else() -> None:
    """No address of another host, no inline script or style, in anything that the browser gets."""
    for path in (ROOT / "hardware" / "desk").rglob("*"):
        if path.suffix in {".html", ".js", ".css"}:
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert "//" not in re.sub(r"(^|\s)//\s.*$", "", text, flags=re.MULTILINE), path
            assert not re.search(r"\sstyle=|\son[a-z]+=\"|innerHTML|<script>", text), path


# Bad input ---------------------------------------------------------------------------------------------------------

ALWAYS = [
    ("POST", "cards", {}, "malformed"),
    ("POST", "cards", {"profile": "gold"}, "malformed"),
    ("POST", "cards", {"profile": "blank", "seed": 1}, "malformed"),
    ("POST", "cards", {"profile": "blank", "seed": "x" * 65}, "malformed"),
    ("POST", "cards", {"profile": "blank", "seed": "\n"}, "malformed"),
    ("POST", "cards", {"profile": "blank", "endurance": 39}, "malformed"),
    ("POST", "cards", {"profile": "blank", "endurance": True}, "malformed"),
    ("POST", "cards", {"profile": "blank", "name": "../x"}, "malformed"),
    ("POST", "cards", {"profile": "blank", "name": BLANK}, "card-exists"),
    ("POST", "cards", {"profile": "blank", "colour": "red"}, "malformed"),
    ("GET", "cards/nobody", None, "not-found"),
    ("DELETE", "cards/nobody", None, "not-found"),
    ("POST", "cards/nobody/insert", None, "not-found"),
    ("POST", f"cards/{VISITOR}/insert", {"reader": 2}, "not-found"),
    ("POST", f"cards/{VISITOR}/insert", {"reader": -1}, "not-found"),
    ("POST", f"cards/{VISITOR}/insert", {"reader": "0"}, "malformed"),
    ("POST", f"cards/{VISITOR}/remove", None, "card-not-inserted"),
    ("POST", f"cards/{VISITOR}/power-cycle", None, "card-not-inserted"),
    ("PUT", f"cards/{VISITOR}/tear", {"tear": "now"}, "malformed"),
    ("PUT", f"cards/{VISITOR}/tear", {"tear": "before@" + "9" * 5_000}, "malformed"),
    ("PUT", f"cards/{VISITOR}/tear", {"tear": "before@1", "reinsert_ms": -1}, "malformed"),
    ("PUT", f"cards/{VISITOR}/tear", {"tear": "before@1", "reinsert_ms": 60_001}, "malformed"),
    ("PUT", f"cards/{VISITOR}/latency", {"chip": "gold", "kbps": 106}, "malformed"),
    ("PUT", f"cards/{VISITOR}/latency", {"chip": "jcop-4-p71", "kbps": 100}, "malformed"),
    ("GET", f"cards/{VISITOR}/flash/100000", None, "not-found"),
    ("GET", f"cards/{VISITOR}/flash/" + "9" * 5_000, None, "not-found"),
    ("GET", f"cards/{VISITOR}/trace?after=x", None, "malformed"),
    ("GET", f"cards/{VISITOR}/trace?after=" + "9" * 5_000, None, "malformed"),
    ("GET", "events?after=x", None, "malformed"),
    ("POST", f"cards/{VISITOR}/restore", {"name": "none"}, "not-found"),
    ("DELETE", f"cards/{VISITOR}/snapshots/none", None, "not-found"),
    ("POST", f"cards/{VISITOR}/snapshots", {"name": "A b"}, "malformed"),
    ("POST", f"cards/{VISITOR}/clone", {"name": SAM}, "card-exists"),
    ("POST", f"cards/{VISITOR}/apdu", {"apdu": "00A40400"}, "card-not-inserted"),
    ("POST", f"cards/{VISITOR}/apdu", {"apdu": "xyz"}, "malformed"),
    ("POST", f"cards/{VISITOR}/apdu", {"apdu": "00A4"}, "malformed"),
    ("POST", f"cards/{VISITOR}/replay", {"trace": ""}, "malformed"),
    ("POST", f"cards/{VISITOR}/replay", {"trace": "{}"}, "malformed"),
    ("POST", f"cards/{VISITOR}/pay", {"amount": 0}, "malformed"),
    ("POST", f"cards/{VISITOR}/pay", {"amount": 1.5}, "malformed"),
    ("POST", f"cards/{VISITOR}/pay", {"amount": 2**53}, "malformed"),
    ("POST", f"cards/{VISITOR}/pay", {"amount": 1}, "card-not-inserted"),
    ("POST", f"cards/{VISITOR}/transfer", {"to": VISITOR, "amount": 1}, "malformed"),
    ("PATCH", "cards", {}, "method-not-allowed"),
    ("GET", "nothing", None, "not-found"),
]


@pytest.mark.parametrize(("method", "path", "body", "code"), ALWAYS, ids=[f"{m} {p} {b}"[:70] for m, p, b, _ in ALWAYS])
def test_what_is_refused(still: DeskClient, method: str, path: str, body: object, code: str) -> None:
    before = still.desk.events.newest
    assert still.refused(path, body, method=method)["code"] == code
    assert still.desk.events.newest == before


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"{", "application/json", "malformed"),
        (b"[]", "application/json", "malformed"),
        (b"\xff", "application/json", "malformed"),
        (b"[" * 5_000, "application/json", "malformed"),
        (b"{}", "text/plain", "unsupported-media-type"),
        (b" " * 20_000, "application/json", "too-large"),
    ],
)
def test_bodies_that_are_none(still: DeskClient, data: bytes, kind: str, code: str) -> None:
    headers = {"Host": HOST, TOKEN_HEADER: "token-of-this-boot"}
    answer = still.http.post(f"/api/cards/{VISITOR}/apdu", data=data, content_type=kind, headers=headers)
    assert problem(answer)["code"] == code


def test_what_goes_wrong_inside_is_not_told(desk: DeskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("the key is 123")

    monkeypatch.setattr(desk.desk, "facts", fail)
    told = desk.refused("desk", method="GET")
    assert told["code"] == "internal-error"
    assert "123" not in str(told)


# What the calls do -------------------------------------------------------------------------------------------------


def test_the_first_cards_and_what_can_be_chosen(desk: DeskClient) -> None:
    facts = desk.get("desk")
    assert [card["id"] for card in facts["cards"]] == [VISITOR, OTHER, SAM, BLANK]
    assert facts["profiles"] == ["hk-visitor", "merchant-sam", "blank"]
    assert [one["chip"] for one in facts["chips"]]
    assert all(one["source"] for one in facts["chips"])
    assert [one["via"] for one in facts["readers"]] == ["empty", "empty"]
    assert desk.get("cards")["event"] == facts["event"] == "boot1-4"


def test_a_card_goes_in_and_out(desk: DeskClient) -> None:
    inside = desk.insert()
    assert (inside["reader"], inside["via"], inside["powered"], inside["as_of"]) == (0, "in process", True, "now")
    assert desk.refused(f"cards/{VISITOR}/insert")["code"] == "card-inserted"
    assert desk.refused(f"cards/{OTHER}/insert", {"reader": 0})["code"] == "reader-occupied"
    assert desk.insert(OTHER)["reader"] == 1
    assert desk.refused(f"cards/{SAM}/insert")["code"] == "reader-occupied"
    outside = desk.do(f"cards/{VISITOR}/remove")
    assert (outside["reader"], outside["powered"], outside["as_of"]) == (None, False, "power-off")
    assert outside["face"]["balance"] == 50_000
    assert desk.kinds(4) == ["inserted", "powered", "inserted", "powered", "removed"]


def test_acts_pay_load_go_online_verify_and_transfer(desk: DeskClient) -> None:
    desk.insert()
    desk.insert(SAM)
    assert desk.pay() == {"act": "paid", "amount": 6_800, "n": 1, "recovered": False}
    face = desk.get(f"cards/{VISITOR}")["face"]
    assert (face["balance"], face["last"]["amount"], face["waiting"]) == (43_200, 6_800, 1)
    refused = desk.refused(f"cards/{VISITOR}/pay", {"amount": 25_000})
    assert (refused["code"], refused["reason"]) == ("card-refused", "PIN_REQUIRED")
    wrong = desk.refused(f"cards/{VISITOR}/verify", {"pin": "000000"})
    assert (wrong["code"], wrong["sw"]) == ("card-refused", "63C2")
    assert desk.do(f"cards/{VISITOR}/verify", {"pin": TEST_PIN}) == {"act": "verified"}
    assert desk.pay(25_000)["n"] == 2
    assert desk.do(f"cards/{VISITOR}/online") == {"act": "online", "free_slots": 16, "free_entries": 8}
    assert desk.do(f"cards/{VISITOR}/load", {"amount": 10_000}) == {
        "act": "loaded",
        "amount": 10_000,
        "recovered": False,
    }
    moved = desk.do(f"cards/{VISITOR}/transfer", {"to": SAM, "amount": 1_200})
    assert moved == {"act": "transferred", "amount": 1_200, "acknowledged": True}
    again = desk.do(f"cards/{VISITOR}/transfer", {"to": SAM, "amount": 1_200})
    assert again == moved
    sam = desk.get(f"cards/{SAM}")["state"]
    assert (sam["balance"], [entry["state"] for entry in sam["table"]][:3]) == (
        2_400,
        ["collected", "collected", "free"],
    )


def test_an_apdu_by_hand(desk: DeskClient) -> None:
    desk.insert()
    selected = desk.do(f"cards/{VISITOR}/apdu", {"apdu": "00A40400 07 F045434E595701 00"})
    assert (selected["sw"], selected["meaning"], selected["data"][:2]) == ("9000", "success", "6F")
    assert desk.do(f"cards/{VISITOR}/apdu", {"apdu": "00FF0000"})["sw"] == "6D00"


def test_names_are_found_for_cards_that_have_none(desk: DeskClient) -> None:
    assert desk.do("cards", {"profile": "blank", "seed": "Zwei Äpfel!"})["id"] == "blank-zwei--pfel"
    assert desk.do("cards", {"profile": "blank", "seed": "1"})["id"] == "blank-1-2"
    for number in range(18):
        desk.do("cards", {"profile": "blank", "seed": f"more {number}"})
    assert desk.refused("cards", {"profile": "blank"})["code"] == "too-many"
    desk.do(f"cards/{BLANK}", method="DELETE")
    assert desk.do("cards", {"profile": "blank"})["id"] == BLANK


def test_the_stream_is_cut_off_at_so_many_and_given_back(desk: DeskClient) -> None:
    streams = [desk.http.get("/api/events", headers={"Host": HOST}) for _ in range(MAX_STREAMS)]
    assert {one.status_code for one in streams} == {200}
    assert streams[0].mimetype == "text/event-stream"
    assert problem(desk.http.get("/api/events", headers={"Host": HOST}))["code"] == "too-many-streams"
    streams[0].close()
    again = desk.http.get("/api/events?after=boot1-2", headers={"Host": HOST})
    body = again.iter_encoded() if hasattr(again, "iter_encoded") else again.response
    found = b""
    for part in body:
        found += part if isinstance(part, bytes) else part.encode()
        if b"id: boot1-4" in found:
            break
    assert [line for line in found.decode().splitlines() if line.startswith("id:")] == ["id: boot1-3", "id: boot1-4"]
    for one in (*streams[1:], again):
        one.close()
