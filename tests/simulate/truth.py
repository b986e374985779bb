"""The ground truth of a district, kept on the side: what dishonest parties did, and which evidence reached a server.

Nothing of it is ever read by the system under test. It is fed by the adversaries themselves and by an observer between
the network and the server; what the server concluded is read by `findings`, and only compared here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from simulate.network import Call, Reply
from wallet_core.errors import BadSignatureError, CodecError
from wallet_core.keys import PublicKey
from wallet_core.messages import DepositBatch, Refusal, Voucher, parse
from wallet_core.messages.deposit import MAX_BATCH_SIZE


class Fraud(NamedTuple):
    """`kind`: double-spend (of a counter), overspend (of a purse), two-outcomes (of a payee for one Request).

    `party`: id of the card or till; `subject`: (epoch, n), nothing, or H(Request).
    """

    kind: str
    party: bytes
    subject: bytes


DOUBLE_SPEND, OVERSPEND, TWO_OUTCOMES = "double-spend", "overspend", "two-outcomes"


def counter(epoch: int, n: int) -> bytes:
    return epoch.to_bytes(4) + n.to_bytes(4)


@dataclass
class Truth:
    """`keys`: of all cards; `broken`: ids of cards whose secure element is broken, and `inflow`: fen loaded onto them;
    `crooked`: ids of dishonest tills."""

    keys: dict[bytes, PublicKey] = field(default_factory=dict)
    broken: set[bytes] = field(default_factory=set)
    inflow: dict[bytes, int] = field(default_factory=lambda: defaultdict(int))
    crooked: set[bytes] = field(default_factory=set)
    _reached: dict[tuple[bytes, bytes], dict[bytes, int]] = field(default_factory=lambda: defaultdict(dict))
    _outcomes: dict[tuple[bytes, bytes], set[str]] = field(default_factory=lambda: defaultdict(set))

    def observe(self, call: Call, reply: Reply) -> None:
        """Between network and server: a deposit that the server has taken."""
        if call.path != "/v1/deposits" or reply.status != 200:
            return
        batch = parse(DepositBatch, call.body, max_size=MAX_BATCH_SIZE).message
        crooked = batch.payee in self.crooked
        for item in batch.vouchers:
            voucher = self._genuine(item, batch.payee, every=crooked)
            if voucher is None:
                continue
            if voucher.payer in self.broken:
                place = (voucher.payer, counter(voucher.epoch, voucher.n))
                self._reached[place][voucher.hash] = voucher.amount
            if crooked:
                self._outcomes[(batch.payee, voucher.request_hash)].add("deposited")
        if crooked:
            for item in batch.refusals:
                self._outcomes[(batch.payee, parse(Refusal, item).message.request_hash)].add("refused")

    def _genuine(self, item: bytes, payee: bytes, *, every: bool) -> Voucher | None:
        """The voucher in `item`, for `payee` and signed by its card; of broken cards, or of `every` one."""
        try:
            signed = parse(Voucher, item)
            voucher = signed.message
            if voucher.payee != payee or not (every or voucher.payer in self.broken):
                return None
            return signed.verify(self.keys[voucher.payer])
        except (CodecError, BadSignatureError):
            return None

    def frauds(self) -> frozenset[Fraud]:
        """Everything that whoever has seen what reached the server could prove."""
        found: set[Fraud] = set()
        spent: dict[bytes, int] = defaultdict(int)
        for (payer, place), vouchers in self._reached.items():
            if len(vouchers) > 1:
                found.add(Fraud(DOUBLE_SPEND, payer, place))
            spent[payer] += sum(vouchers.values())
        found |= {Fraud(OVERSPEND, payer, b"") for payer, sum_ in spent.items() if sum_ > self.inflow[payer]}
        found |= {
            Fraud(TWO_OUTCOMES, till, request) for (till, request), said in self._outcomes.items() if len(said) > 1
        }
        return frozenset(found)
