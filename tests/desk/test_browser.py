"""The desk as its users have it: a process, a real PC/SC service, Chromium on the page, `ecny card` on the card.

All of it runs in the private network namespace of the PC/SC service, so the page could not ask anybody else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from hardware.taps import tap
from hardware.transports.card_wait import ReaderWatch
from support.browser import chromium
from support.desk import BLANK, VISITOR
from support.pcscd import READERS, PrivatePcscd
from wallet_core.errors import OutcomeUnknownError

pytestmark = pytest.mark.pcsc
ECNY = Path(sys.executable).with_name("ecny")
PATIENCE_MS = 30_000  # for a machine that has much else to do; nothing waits that long otherwise
expect.set_options(timeout=PATIENCE_MS)
TARGET = 44  # px, of everything that is pressed

# Everything that can be pressed or typed into, by the box that takes the press; a box that is ticked is pressed by its
# label too.
SMALL = """() => [...document.querySelectorAll('button, a.button, input, select, summary')]
    .filter((one) => one.checkVisibility() && !one.closest('.visually-hidden'))
    .map((one) => ['radio', 'checkbox', 'file'].includes(one.type) ? one.closest('label') : one)
    .filter((one) => one.getBoundingClientRect().height < 43.5).map((one) => one.outerHTML.slice(0, 120))"""
NAMELESS = """() => [...document.querySelectorAll('button, a, input, select, [role=button]')]
    .filter((one) => !(one.ariaLabel || one.labels?.length || one.textContent.trim())).map((one) => one.outerHTML)"""


@dataclass
class Desk:
    """The process, and what its environment has to be for programs that use the same readers."""

    url: str
    data: Path
    environment: dict[str, str]
    wrong: list[str] = field(default_factory=list)

    def info(self) -> Any:
        """What `ecny card info` tells of the card in the first reader."""
        words = ["card", "info", "--reader", f"pcsc:{READERS[0]}", "--wait-seconds", "10", "--json"]
        told = subprocess.run([ECNY, *words], env=self.environment, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout)

    def balance(self) -> int:
        """As a till of this process reads it, over PC/SC."""
        with tap(f"pcsc:{READERS[0]}", self.data, wait_ms=PATIENCE_MS) as wallet:
            return wallet.select().balance

    def page(self, browser: Browser, width: int, scheme: str) -> Page:
        """The page, ready; whatever its console or its requests say against it is in `wrong`."""
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        page.on("console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(self.url) else self.wrong.append(asked.url))
        page.goto(self.url)
        page.wait_for_selector("body[data-ready]")
        return page


@contextmanager
def running(data: Path, stack: PrivatePcscd) -> Iterator[Desk]:
    environment = {**stack.environment(), "ECNY_HOME": str(data)}
    process = subprocess.Popen(
        [*stack.inside, str(ECNY), "card", "desk", "--json"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        ready = json.loads(process.stdout.readline()) if process.stdout else {}
        assert ready["notice"] == "debug, insecure: test money, test keys"
        assert ready["url"].startswith("http://127.0.0.1:")
        assert Path(ready["token_file"]).stat().st_mode & 0o077 == 0
        yield Desk(ready["url"], data, environment)
    finally:
        process.terminate()
        code = process.wait(PATIENCE_MS / 1000)
        if process.stdout:
            process.stdout.close()
    assert code == 0
    assert not (data / "desk" / "token").exists()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, Browser]]:
    directory = tmp_path_factory.mktemp("desk")
    with PrivatePcscd() as stack, running(directory, stack) as desk, chromium(directory, stack.inside) as browser:
        yield desk, browser


def test_any_program_sees_the_card_that_the_page_inserts(parts: tuple[Desk, Browser]) -> None:
    desk, browser = parts
    page = desk.page(browser, 1280, "light")
    with ReaderWatch(READERS[0]) as watch:
        page.click("#insert")
        watch.wait_for_card(PATIENCE_MS)
        expect(page.locator("#readers li").first).to_contain_text("PC/SC sees it")
        info = desk.info()
        assert (info["lifecycle"], info["balance"]) == ("active", 50_000)
        expect(page.locator("#trace")).to_contain_text("PC/SC")
        expect(page.locator("#trace")).to_contain_text("GET DATA")
        # The desk's own till, beside them; torn, the card is out for everybody.
        page.click("#pay button")
        expect(page.locator("#face")).to_contain_text("432.00")
        page.click("#tear button[type=submit]")
        expect(page.locator("#armed")).to_contain_text("write@PAY:8:unstable waits")
        page.click("#pay button")
        expect(page.get_by_role("alert")).to_contain_text("TAP THE SAME CARD AGAIN")
        assert watch.wait_for_removal(PATIENCE_MS)
        expect(page.locator(".ring .k-unreadable").first).to_be_visible()
        expect(page.locator("#trace .s-lost")).to_contain_text("torn in the middle of a write")
        page.click("#insert")
        watch.wait_for_card(PATIENCE_MS)
        assert desk.balance() in (43_200, 50_000 - 2 * 6_800)
        page.click("#pay button")
        expect(page.locator("#slots tbody tr")).to_have_count(3)
        assert desk.balance() == 50_000 - 2 * 6_800
        # Torn under another program's command, it comes back by itself.
        page.check("input[value=before]")
        page.select_option("#commands", "SELECT")
        page.select_option("select[name=reinsert_ms]", "600")
        page.click("#tear button[type=submit]")
        expect(page.locator("#armed")).to_contain_text("before@SELECT waits")
        with pytest.raises(OutcomeUnknownError):
            desk.balance()
        assert watch.wait_for_removal(PATIENCE_MS)
        watch.wait_for_card(PATIENCE_MS)
        assert desk.balance() == 50_000 - 2 * 6_800
        page.click("#remove")
        assert watch.wait_for_removal(PATIENCE_MS)
    assert [one for one in desk.wrong if "409" not in one] == []  # the torn payment was told as a problem
    page.close()


def test_the_page_works_with_little_room_by_keyboard_and_in_the_dark(parts: tuple[Desk, Browser]) -> None:
    desk, browser = parts
    desk.wrong.clear()
    page = desk.page(browser, 360, "dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate(SMALL) == []
    assert page.evaluate(NAMELESS) == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    expect(page.locator(".notice")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#card")).to_be_focused()
    # A card chosen, an APDU sent and an area of the flash opened without a mouse.
    page.locator(f"[data-card='{BLANK}']").press("Enter")
    expect(page.locator("#held-title")).to_have_text(BLANK)
    page.locator("#insert").press("Enter")
    expect(page.locator("#remove")).to_be_enabled()
    page.locator("#apdu-text").fill("00A40400 07 F045434E595701 00")
    page.locator("#apdu-text").press("Enter")
    expect(page.locator("#trace .s-ok .sw")).to_contain_text("9000 success")
    page.locator("[data-area='ring 1']").press("Enter")
    expect(page.locator("#look .one")).to_have_count(3)
    page.locator("[data-area='key']").press("Enter")
    expect(page.locator("#look")).to_contain_text("its bytes are not shown")
    page.locator("#remove").press("Enter")
    expect(page.locator("#insert")).to_be_enabled()
    assert desk.wrong == []
    page.close()


def test_two_pages_show_the_same_desk(parts: tuple[Desk, Browser]) -> None:
    desk, browser = parts
    one, other = desk.page(browser, 1280, "light"), desk.page(browser, 1280, "dark")
    one.click("#clone")
    expect(one.locator("#held-title")).to_have_text(f"{VISITOR}-clone")
    expect(other.locator("#cards")).to_contain_text(f"{VISITOR}-clone")
    one.on("dialog", lambda dialog: dialog.accept())
    one.click("#delete")
    expect(other.locator("#cards")).not_to_contain_text(f"{VISITOR}-clone")
    expect(one.locator("#held-title")).to_have_text(VISITOR)
    one.close()
    other.close()
