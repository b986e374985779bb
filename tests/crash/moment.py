"""What was promised and what was under way at one moment of a recorded day, and whether a disk keeps the promises."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crash.books import PAID_STATES, Acknowledged, Harm
from crash.recorder import SAID, SENT, Record
from crash.recording import Begun
from merchant_pos.identity import JOURNAL_FILE, is_enrolled, load_identity
from merchant_pos.journal import Journal
from server.keyring import DATABASE
from server.ledger.report import read_ledger
from server.storage.protocol import Reader
from server.storage.records import batch_key
from server.storage.sqlite import SqliteStorage
from wallet_core.certificates import Certificate
from wallet_core.errors import EcnyError, WrongTypeError
from wallet_core.messages import DepositAnswer, Voucher, parse
from wallet_core.messages.deposit import MAX_ANSWER_SIZE

Answer = tuple[str, bytes]
"""Media type and body of a whole answer (200) of the server."""


@dataclass
class Words:
    """Everything that was said up to a moment: by a process on its standard output, by the server to a port."""

    said: defaultdict[int, bytes] = field(default_factory=lambda: defaultdict(bytes))
    heard: defaultdict[int, bytes] = field(default_factory=lambda: defaultdict(bytes))

    def take(self, record: Record, server: int) -> None:
        if record.op == SAID:
            self.said[record.pid] += record.data
        elif record.op == SENT and record.inode == server:
            self.heard[record.offset] += record.data

    def answers(self) -> list[Answer]:
        found = []
        for stream in self.heard.values():
            at = 0
            while (end := stream.find(b"\r\n\r\n", at)) >= 0:
                status, *lines = stream[at:end].decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                at = end + 4 + int(headers["content-length"])
                if at > len(stream):
                    break
                if status.split()[1] == "200":
                    found.append((headers["content-type"].partition(";")[0], stream[end + 4 : at]))
        return found


@dataclass
class Moment:
    """Cards go by their number. `sale`: card, order, amount in fen of the sale under way; `load`: card and amount of
    what the desk has under way, amount 0 while it personalises; `purses`: ids of the cards that were personalised."""

    told: Acknowledged = field(default_factory=Acknowledged)
    enrolled: bool = False
    settled: int = 0
    sale: tuple[str, str, int] | None = None
    load: tuple[str, int] | None = None
    purses: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, begun: list[Begun], at: int, words: Words) -> Moment:
        """When the log had `at` bytes and `words` had been said."""
        moment = cls()
        for one in begun:
            if one.at < at:
                moment._see(one, words.said[one.pid].decode())
        return moment

    def _see(self, one: Begun, said: str) -> None:
        command = " ".join(one.words[:2])
        done = said.endswith("\n")
        if command == "pos enrol":
            self.enrolled = done
        elif command == "pos charge":
            amount = round(100 * float(one.words[2]))
            self.sale = (_number(one), one.option("--order"), amount)
            if "PAID" in said:
                self.told.paid[one.option("--order")] = amount
                self.sale = None
        elif command == "pos sync" and done:
            self.settled += json.loads(said)["settled"]
        elif command in ("card personalise", "card load"):
            self._see_desk(one, json.loads(said) if done else None)

    def _see_desk(self, one: Begun, facts: dict[str, Any] | None) -> None:
        number = _number(one)
        amount = int(one.words[2]) if one.words[1] == "load" else 0
        self.load = (number, amount) if facts is None else None
        if facts is not None:
            self.purses[number] = facts["purse"]
            self.told.loaded[facts["purse"]] += amount


def _number(one: Begun) -> str:
    return one.option("--reader").rpartition("/")[2]


def till_keeps(home: Path, moment: Moment) -> Harm:
    """Whether the till of `home` has what it showed: its enrolment, each PAID sale once, each SETTLED one."""
    harm, directory = Harm(), home / "till"
    if not is_enrolled(directory):
        return Harm(lost=["the till's enrolment"] if moment.enrolled else [])
    try:
        journal = Journal(directory / JOURNAL_FILE, till=load_identity(directory).id, now_ms=lambda: 0)
        with contextlib.closing(journal):
            sales = [sale for sale in journal.sales() if sale.state in PAID_STATES]
    except EcnyError as exc:
        return Harm(lost=[f"the till: {exc.message}"])
    for order, amount in moment.told.paid.items():
        harm.differ(f"order {order} in the journal", sum(one.amount for one in sales if one.order == order), amount)
    if sum(sale.state == "SETTLED" for sale in sales) < moment.settled:
        harm.lost.append("sales that were shown as settled")
    return harm


def server_keeps(directory: Path, answers: list[Answer]) -> Harm:
    """Whether the server's database holds all that the server has answered, and is sound."""
    try:
        with contextlib.closing(SqliteStorage(directory / DATABASE)) as storage, storage.reading() as tx:
            faults = [f"the ledger says: {fault}" for fault in read_ledger(tx).faults]
            return Harm(lost=faults + _broken(tx, answers))
    except EcnyError as exc:
        return Harm(lost=[f"the server: {exc.message}"])


def _broken(tx: Reader, answers: list[Answer]) -> list[str]:
    lost, vouchers, receipts = [], set[bytes](), 0
    for media, body in answers:
        if media == "application/cose":
            try:
                answer = parse(DepositAnswer, body, max_size=MAX_ANSWER_SIZE).message
            except WrongTypeError:
                continue  # a list of revocations: signed afresh, it promises no row
            till = tx.till(answer.payee)
            batch = tx.batch(batch_key(till.number, answer.number)) if till is not None else None
            if batch is None or batch.answer != body:
                lost.append(f"batch {answer.number}, which was answered")
            continue
        document = json.loads(body)
        if "voucher" in document:
            vouchers.add(parse(Voucher, bytes.fromhex(document["voucher"])).hash)
        elif "order_hash" in document and tx.load(document["load"]) is None:
            lost.append(f"load {document['load']}, which was begun")
        elif "till" in document and tx.till(bytes.fromhex(document["till"])) is None:
            lost.append("a till that was enrolled")
        elif "audit_key" in document and tx.purse(_subject(document["certificate"])) is None:
            lost.append("a card that was enrolled")
        receipts += document.get("status") == "recorded"
    loads = [tx.load_by_voucher(one) for one in vouchers]
    lost += ["a load that was paid" for one in loads if one is None]
    if sum(one is not None and one.receipt is not None for one in loads) < receipts:
        lost.append("a Receipt that was recorded")
    return lost


def _subject(certificate: str) -> bytes:
    return Certificate.from_bytes(bytes.fromhex(certificate)).subject
