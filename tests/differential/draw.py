"""Draws sequences: the emulator answers while they are drawn, so that each command fits what came before."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from differential.author import Author
from differential.cast import Cast
from differential.emulated import EmulatedSide
from differential.played import Exchange, Play
from differential.settings import Channel, Settings
from differential.states import State, papers_of
from hardware.apdu import HEADER
from hardware.commands import Select
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys

LENGTH = 20
"""Commands of a sequence, at most."""
_PERSONALISATION = ("blank", "key made", "half stored", "all stored", "personalised")


def draw(
    number: int, seed: str, states: Sequence[State], side: EmulatedSide, cast: Cast
) -> tuple[Play, list[Exchange]]:
    """Sequence `number` of a run: which it is follows from `seed` and number alone."""
    rng = Random(f"{seed} {number}")
    state = rng.choice(states)
    name = f"{seed} {number}"
    side.restore(state.snapshot, name)
    author = Author(cast, _settings(state, cast, side.serial, rng), side.card, rng)
    waiting = [Select().to_apdu().to_bytes()] if rng.random() < 0.95 else []
    commands: list[bytes] = []
    exchanges: list[Exchange] = []
    length = rng.randint(LENGTH // 2, LENGTH)
    while len(commands) < length:
        command = waiting.pop(0) if waiting else _first(waiting, author)
        exchange = side.exchange(command)
        author.settings.channel.saw(command, exchange.answer)
        author.history.append(command)
        commands.append(command)
        exchanges.append(exchange)
    return Play(side.profile, state.name, name, tuple(commands)), exchanges


def _settings(state: State, cast: Cast, serial: bytes, rng: Random) -> Settings:
    keys = transport_keys(TEST_BATCH_KEY, serial, production=False)
    secured = state.name in _PERSONALISATION or rng.random() < 0.15
    return Settings(Channel(keys), papers_of(state, cast, serial), secured)


def _first(waiting: list[bytes], author: Author) -> bytes:
    """The first piece of the next command. Fewer than 4 bytes never reach a card: its reader keeps them."""
    while True:
        pieces = author.draw()
        if all(len(one) >= HEADER for one in pieces):
            waiting.extend(pieces[1:])
            return pieces[0]
