"""What is between the parties: the answer on its way, copies that a relay has kept, and every message it has heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from explore.facts import heard
from explore.interning import Store, digest
from explore.scripts import Call, Reply, Response
from wallet_core.keys import PublicKey

Change = Callable[["Net"], "Net"]
MORE = 0x61
GET_RESPONSE = b"\x00\xc0\x00\x00"


class Net(NamedTuple):
    """`air`: (from whom, answer), or nothing; `last`: the answer before it; `part`: of an answer that comes in parts;
    `held`: calls that may still be delivered; `heard`: signed messages that have left a device, in their order."""

    air: tuple[int, Reply] | None = None
    last: tuple[int, Reply] | None = None
    part: bytes = b""
    held: tuple[Call, ...] = ()
    heard: tuple[bytes, ...] = ()


class Networks:
    """All states of the network; each change is computed once."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        """`keys`: of the purses; what they have not signed is not heard."""
        self.keys = frozenset(keys)
        self.store: Store[Net] = Store()
        self._changes: dict[tuple[object, ...], int] = {}
        self.first = self._number(Net())

    def __getitem__(self, state: int) -> Net:
        return self.store.values[state]

    def answered(self, state: int, call: Call, reply: Reply) -> int:
        """The answer to `call` is on its way."""
        return self._change((state, "answered", call, reply), lambda net: self._answered(net, call, reply))

    def arrived(self, state: int) -> int:
        """The answer is where it was to go, or lost."""
        return self._change((state, "arrived"), lambda net: net._replace(air=None, last=net.air))

    def overheard(self, state: int, reply: Reply) -> int:
        """An answer that nobody waits for."""
        return self._change((state, "overheard", reply), lambda net: self._listen(net, reply))

    def hold(self, state: int, call: Call) -> int:
        """A copy of `call` is kept, to be delivered at any time."""
        return self._change(
            (state, "hold", call), lambda net: net._replace(held=tuple(sorted((*net.held, call), key=_order)))
        )

    def release(self, state: int, call: Call) -> int:
        """The copy is delivered."""
        return self._change(
            (state, "release", call), lambda net: net._replace(held=tuple(one for one in net.held if one != call))
        )

    def idle(self, state: int) -> int:
        """The program has ended: nothing that was on its way matters to anyone."""
        return self._change((state, "idle"), lambda net: net._replace(air=None, last=None, part=b""))

    def _change(self, key: tuple[object, ...], change: Change) -> int:
        found = self._changes.get(key)
        if found is None:
            state = key[0]
            if not isinstance(state, int):
                raise TypeError("a change begins with the state that it changes")
            found = self._changes[key] = self._number(change(self.store.values[state]))
        return found

    def _number(self, net: Net) -> int:
        return self.store.add(digest((repr(net[:4]).encode(), *net.heard)), net)

    def _answered(self, net: Net, call: Call, reply: Reply) -> Net:
        if isinstance(reply, Response) or reply is None:
            return net._replace(air=(call.to, reply), part=b"")
        begun = net.part if isinstance(call.data, bytes) and call.data[:4] == GET_RESPONSE else b""
        whole = begun + reply[:-2]
        after = self._listen(net, whole + reply[-2:])
        return after._replace(air=(call.to, reply), part=whole if reply[-2] == MORE else b"")

    def _listen(self, net: Net, reply: Reply) -> Net:
        """Whoever relays an answer has what is signed in it."""
        if not isinstance(reply, bytes):
            return net
        message = reply[:-2]
        said = heard(message, self.keys)
        if said is None or message in net.heard:
            return net
        return net._replace(heard=tuple(sorted((*net.heard, message))))


def _order(call: Call) -> str:
    return repr(call)
