"""The Chromium of this machine, driven by Playwright; also in a private network namespace, where it reaches nobody."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from wallet_core.errors import ConfigurationError

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str:
    """Raises ConfigurationError where there is none."""
    for name in NAMES:
        if (found := shutil.which(name)) is not None:
            return found
    raise ConfigurationError("no Chromium is installed", next_step="Install it: Debian has the package chromium.")


@contextmanager
def chromium(directory: Path, inside: Sequence[str] = ()) -> Iterator[Browser]:
    """`inside`: words before the command, as of `PrivatePcscd.inside`. Playwright talks to it through a pipe."""
    starter = directory / "chromium"
    starter.write_text(f'#!/bin/sh\nexec {shlex.join([*inside, find_chromium()])} "$@"\n')
    starter.chmod(0o700)
    with sync_playwright() as playwright:
        # Its own sandbox wants what a test as root, or in a container, does not have; it sees our own page only.
        browser = playwright.chromium.launch(executable_path=str(starter), args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()
