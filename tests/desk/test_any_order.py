"""Whatever is done to the cards of a desk, in any order: no call ends otherwise than said, and no fen appears.

The model is small: what each card has been given and what its till was told it paid. A tear may hide a payment until
the card is asked again; from then on card and till agree.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.desk import OTHER, VISITOR, DeskClient, open_desk, problem

CARDS = st.sampled_from((VISITOR, OTHER))
REFUSALS = {"card-inserted", "card-not-inserted", "reader-occupied", "outcome-unknown", "no-card", "card-refused"}
TEARS = st.builds(
    lambda where, when, cell: f"{where}@{when}" + (f":{cell}" if where == "write" else ""),
    st.sampled_from(("before", "write", "after-commit", "answer")),
    st.sampled_from(("PAY", "COLLECT", "GRANT", "SELECT", "1", "2", "3")),
    st.integers(1, 9),
)


class AnyOrder(RuleBasedStateMachine):
    """A desk on disk with two cards in use."""

    desk: DeskClient

    @initialize()
    def begin(self) -> None:
        self.directory = TemporaryDirectory()
        self.held = open_desk(Path(self.directory.name))
        self.desk = self.held.__enter__()
        self.given = dict.fromkeys((VISITOR, OTHER), 50_000)
        self.paid = dict.fromkeys((VISITOR, OTHER), 0)
        self.unknown: dict[str, str] = {}
        """The act of which nobody knows yet whether it was done."""

    def act(self, card: str, path: str, body: Any = None, method: str = "POST") -> Any:
        """The answer, or None for one of the refusals that may come at any time."""
        answer = self.desk.call(method, f"/api/cards/{card}/{path}", body)
        if answer.status_code < 400:
            return answer.json
        code = problem(answer)["code"]
        assert code in REFUSALS, answer.text
        if code in ("outcome-unknown", "no-card"):
            self.unknown.setdefault(card, path)
        return None

    @rule(card=CARDS)
    def insert(self, card: str) -> None:
        self.act(card, "insert")

    @rule(card=CARDS)
    def remove(self, card: str) -> None:
        self.act(card, "remove")

    @rule(card=CARDS)
    def cycle(self, card: str) -> None:
        self.act(card, "power-cycle")

    @rule(card=CARDS, word=TEARS)
    def tear(self, card: str, word: str) -> None:
        self.act(card, "tear", {"tear": word}, "PUT")

    @rule(card=CARDS, amount=st.integers(1, 3_000))
    def pay(self, card: str, amount: int) -> None:
        done = self.act(card, "pay", {"amount": amount})
        if done is not None:
            self.paid[card] += done["amount"]
            if self.unknown.get(card) == "pay":
                del self.unknown[card]

    @rule(card=CARDS, amount=st.integers(1, 3_000))
    def load(self, card: str, amount: int) -> None:
        done = self.act(card, "load", {"amount": amount})
        if done is not None:
            self.given[card] += done["amount"]
            if self.unknown.get(card) == "load":
                del self.unknown[card]

    @rule(card=CARDS, word=TEARS, amount=st.integers(1, 3_000), paying=st.booleans())
    def torn_and_tapped_again(self, card: str, word: str, amount: int, paying: bool) -> None:
        again = self.pay if paying else self.load
        self.insert(card)
        self.tear(card, word)
        again(card, amount)
        self.insert(card)
        again(card, amount)

    @rule(card=CARDS)
    def online(self, card: str) -> None:
        self.act(card, "online")

    @rule(card=CARDS, data=st.binary(min_size=4, max_size=8))
    def rubbish(self, card: str, data: bytes) -> None:
        if data[1] not in (0x32, 0x34):  # what would be a payment or a load is not ours to count
            self.act(card, "apdu", {"apdu": data.hex()})

    @precondition(lambda self: not self.unknown)
    @rule(card=CARDS)
    def there_and_back(self, card: str) -> None:
        """A snapshot, a payment, the snapshot again: as if nothing had been."""
        name = self.desk.do(f"cards/{card}/snapshots")["name"]
        self.desk.do(f"cards/{card}/tear", method="DELETE")
        self.act(card, "pay", {"amount": 1})
        self.unknown.pop(card, None)
        self.desk.do(f"cards/{card}/restore", {"name": name})
        self.desk.do(f"cards/{card}/snapshots/{name}", method="DELETE")

    @invariant()
    def events_have_no_holes(self) -> None:
        gap, events = self.desk.desk.events.after(0)
        assert gap is None
        assert [one.number for one in events] == list(range(1, len(events) + 1))

    @invariant()
    def the_disk_has_what_was_told(self) -> None:
        for card in (VISITOR, OTHER):
            kept = (Path(self.directory.name) / "cards" / f"{card}.flash").read_bytes()
            assert kept == self.desk.desk.card(card).flash.snapshot()

    @invariant()
    def no_fen_appears(self) -> None:
        """With all outcomes known, card and till agree; asked again, a card that was torn tells."""
        for card in (VISITOR, OTHER):
            state = self.desk.get(f"cards/{card}")["state"]
            if card not in self.unknown and state:
                assert state["balance"] == self.given[card] - self.paid[card], (card, state["balance"])

    def teardown(self) -> None:
        if hasattr(self, "held"):
            self.held.__exit__(None, None, None)
            self.directory.cleanup()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=8, stateful_step_count=20, deadline=None, phases=[Phase.explicit, Phase.generate]
)
