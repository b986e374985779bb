"""`make up`: a seeded server with an enrolled till and a loaded card, until Ctrl-C. Test money."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from pathlib import Path

from demo.processes import DemoError, Ecny, Server
from demo.setting import Setting, certify_operator, enrol_till, load_card, personalise_card

DATA = Path("build/up")
LOAD = 50_000  # fen


def main() -> int:
    parser = argparse.ArgumentParser(prog="make up", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="where the state is kept")
    data: Path = parser.parse_args().data
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server ends with this program, however it is ended
    try:
        serve(data.resolve(), data)
    except DemoError as exc:
        print(f"up: {exc}", file=sys.stderr)
        return exc.exit_code
    except KeyboardInterrupt:
        print("\nstopped; the state is kept")
    return 0


def serve(data: Path, shown: Path) -> None:
    """Seed `data` when it is new, then run the server in it until a signal comes."""
    setting = Setting(data)
    fresh = not setting.token.exists()
    if fresh:
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        setting.write_pin()
    ecny = Ecny(data, print, {"ECNY_VIRTUAL_ONLY": "1", "ECNY_READER": "emulator"})
    if fresh:
        certify_operator(ecny, setting, LOAD)
        ecny.run("card", "new", "--profile", "hk-visitor")
    with Server(ecny, _last_port(setting)) as server:
        if fresh:
            enrol_till(ecny, setting, server)
            personalise_card(ecny, setting, server)
            load_card(ecny, setting, server, LOAD)
        print(f"\nserver: {server.url}\nIn another terminal (test money):")
        print(f"  export ECNY_HOME={shown} ECNY_READER=emulator")
        print("  .venv/bin/ecny pos charge 68.00\n  .venv/bin/ecny card info\n  .venv/bin/ecny pos sync", flush=True)
        signal.pause()


def _last_port(setting: Setting) -> int:
    """The port that the till was enrolled at; 0, a free one, the first time."""
    try:
        return int(setting.address.read_text().strip().rpartition(":")[2])
    except (FileNotFoundError, ValueError):
        return 0


if __name__ == "__main__":
    sys.exit(main())
