"""`make demo`: a visitor pays with nobody online; the till syncs later; the server settles; not a fen is missing."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
from pathlib import Path

from demo import readers
from demo.books import Books, read_books
from demo.processes import DemoError, Ecny, Emulator, Server, step
from demo.setting import Setting, certify_operator, enrol_till, load_card, personalise_card
from hardware.javacard.in_reader import memory_report
from hardware.taps import card_directory

REINSERT_MS = 700
DATA = Path("build/demo")


def main() -> int:
    arguments = _parse()
    try:
        with readers.open_desk(arguments.reader, arguments.card) as desk:
            where, load, sales = arguments.data.resolve(), arguments.load, arguments.sales
            return Story(where, load, sales, desk, arguments.card, arguments.suite).play()
    except DemoError as exc:
        print(f"demo: {exc}", file=sys.stderr)
        return exc.exit_code


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--load", type=_fen, default=50000, help="fen loaded onto the card (LOAD=)")
    parser.add_argument(
        "--sales", type=_sales, default=[6800, 3600], help="fen, comma separated; the last is torn (SALES=)"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="where the state is left")
    parser.add_argument("--reader", choices=readers.CHOICES, default="auto", help="(READER=)")
    parser.add_argument("--card", choices=tuple(readers.CARDS), default="emulator", help="the visitor's card (CARD=)")
    parser.add_argument("--suite", choices=("es256", "sm2"), default="es256", help="of the installation (SUITE=)")
    arguments = parser.parse_args()
    if (arguments.card, arguments.suite) == ("javacard", "sm2"):
        parser.error("the Java Card applet is of suite es256: that API has no SM2 (docs/spec/suites.md)")
    return arguments


def _fen(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 2**53 - 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of fen from 1 on")
    return int(text)


def _sales(text: str) -> list[int]:
    return [_fen(part.strip()) for part in text.split(",")]


def rmb(fen: int) -> str:
    return f"RMB {fen // 100:,}.{fen % 100:02d}"


class Story:
    """The four acts. Amounts in fen."""

    def __init__(self, data: Path, load: int, sales: list[int], desk: readers.Desk, card: str, suite: str) -> None:
        self._load, self._sales, self._desk, self._card, self._suite = load, sales, desk, card, suite
        self._port = 0
        if data.exists():
            shutil.rmtree(data)
        data.mkdir(parents=True)
        self._setting = Setting(data)
        self._setting.write_pin()
        self._ecny = Ecny(data, self._say, {"ECNY_VIRTUAL_ONLY": "1", **desk.environment})

    @staticmethod
    def _say(line: str) -> None:
        print(line, flush=True)

    def play(self) -> int:
        self._say("Test money. An open reference, not affiliated with the People's Bank of China or any bank.")
        self._say(self._desk.line)
        with contextlib.ExitStack() as stack:
            self._certify()
            if self._desk.inside is not None:
                stack.enter_context(Emulator(self._ecny, self._desk.inside, readers.VPCD_ADDRESS))
            self._prepare_online()
            self._sell_offline()
            self._settle()
            books = read_books(self._ecny, self._setting)
        return self._balance(books)

    def _certify(self) -> None:
        step(self._say, ["1. The authority certifies an operator and issues test money; the operator gets a server."])
        certify_operator(self._ecny, self._setting, self._load, self._suite)
        kind = () if self._card == "emulator" else ("--card", self._card)
        self._ecny.run("card", "new", *kind, "--profile", "hk-visitor")

    def _prepare_online(self) -> None:
        with Server(self._ecny) as server:
            self._port = server.port  # it comes back under the address that the till knows
            enrol_till(self._ecny, self._setting, server)
            step(self._say, [f"2. A visitor's card is personalised and loaded with {rmb(self._load)}."])
            personalise_card(self._ecny, self._setting, server)
            load_card(self._ecny, self._setting, server, self._load)

    def _sell_offline(self) -> None:
        step(self._say, ["3. The server goes away. The till sells offline; the last card is pulled after its debit."])
        for sale in self._sales[:-1]:
            self._charge(sale)
        self._ecny.run("card", "fault", "--tear", "after-commit", "--command", "PAY", "--reinsert-ms", str(REINSERT_MS))
        printed = self._charge(self._sales[-1])
        if "TAP THE SAME CARD AGAIN" not in printed:
            raise DemoError("the torn sale did not ask for the same card again")
        self._ecny.run("pos", "status")

    def _charge(self, fen: int) -> str:
        printed = self._ecny.run("pos", "charge", f"{fen // 100}.{fen % 100:02d}", "--pin-file", self._setting.pin)
        if "PAID" not in printed:
            raise DemoError("a sale did not end with PAID")
        return printed

    def _settle(self) -> None:
        step(self._say, ["4. The server comes back; the till syncs; the merchant's wallet is credited."])
        with Server(self._ecny, self._port):
            self._ecny.run("pos", "sync")
            self._ecny.run("server", "ledger")

    def _balance(self, books: Books) -> int:
        self._say("")
        for fault in books.faults:
            self._say(f"WRONG: {fault}")
        expected = (self._load - sum(self._sales), sum(self._sales), 0)
        if (books.cards, books.wallets, books.in_flight) != expected:
            self._say(f"WRONG: expected cards, wallets, in flight {expected}")
            return 1
        if books.faults:
            return 1
        report = memory_report(card_directory(self._ecny.data))
        if report is not None:
            self._say(report.line)
        self._say(books.line)
        return 0


if __name__ == "__main__":
    sys.exit(main())
