"""The card of a directory in a reader of this process: it outlives the process, its plans strike, one holds it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hardware.driver import HardWallet
from hardware.emulator import faults
from hardware.emulator.faults import FaultPlan, Tear
from hardware.emulator.image import CARD_FILE, FLASH_FILE
from hardware.emulator.in_reader import ImageTransport, create_card, has_card, open_card
from hardware.emulator.profiles import PROFILES, seeded
from hardware.exchange import CardConnection
from hardware.personalisation import personalise
from hardware.readers import open_transport
from hardware.taps import card_directory, reader_spec, tap
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from support.cards import PIN, SERIAL, World, make_world
from wallet_core.errors import (
    ConfigurationError,
    NoCardError,
    OutcomeUnknownError,
    ReaderBusyError,
    StorageError,
    UsageError,
)
from wallet_core.messages import Voucher, parse
from wallet_core.purse.state import Lifecycle

PROFILE = PROFILES["hk-visitor"]


@pytest.fixture
def world() -> World:
    return make_world("in reader")


@pytest.fixture
def data(tmp_path: Path, world: World) -> Path:
    """A data directory with an active card that holds RMB 10.00."""
    create_card(card_directory(tmp_path), PROFILE, SERIAL, seed=7)
    with tap("emulator", tmp_path) as wallet:
        personalise(
            wallet,
            lambda serial: transport_keys(TEST_BATCH_KEY, serial, production=False),
            bytes(8),
            world.papers,
            PIN,
        )
        request = wallet.request(world.operator_purse.id, 1, 1, 1_000, bytes(32))
        wallet.collect(*world.voucher_for(request))
    return tmp_path


def test_a_card_outlives_its_process(data: Path, world: World) -> None:
    with tap("auto", data) as wallet:
        fci = wallet.select()
        voucher = wallet.pay(world.till_request(fci, 400).to_payload())
    with tap(f"emulator:{data / 'card'}", data) as wallet:
        after = wallet.select()
        assert (after.balance, after.lifecycle) == (600, Lifecycle.ACTIVE)
        assert wallet.resend(parse(Voucher, voucher).message.request_hash) == voucher


def test_one_holds_the_card(data: Path) -> None:
    with tap("emulator", data) as wallet:
        wallet.select()
        with pytest.raises(ReaderBusyError):
            ImageTransport(card_directory(data))
    ImageTransport(card_directory(data)).close()


def test_a_torn_card_is_back_after_a_reset_or_when_opened_again(data: Path, world: World) -> None:
    directory = card_directory(data)
    with tap("emulator", data) as wallet:
        request = world.till_request(wallet.select(), 400)
        for tear in (Tear.BEFORE, Tear.AFTER_COMMIT):
            faults.arm(directory, FaultPlan(tear, command="PAY", reinsert_ms=400))
            with pytest.raises(OutcomeUnknownError):
                wallet.pay(request.to_payload())
            with pytest.raises(NoCardError):
                wallet.select()
            assert faults.armed(directory) is None
            wallet.connection.reset()
            if tear is Tear.AFTER_COMMIT:
                break
            assert wallet.select().balance == 1_000
        assert wallet.select().balance == 600
        faults.arm(directory, FaultPlan(Tear.ANSWER, command="PAY"))
        with pytest.raises(OutcomeUnknownError):
            wallet.pay(request.to_payload())
    with tap("emulator", data) as wallet:
        wallet.select()
        assert parse(Voucher, wallet.pay(request.to_payload())).message.amount == 400
        assert wallet.select().balance == 600


def test_chance_is_fresh_in_each_power_session_and_follows_from_the_seed() -> None:
    one, same, next_session, other = seeded(1)(5), seeded(1)(5), seeded(1)(6), seeded(2)(5)
    first = one(40)
    assert first == same(40)
    assert len({first, one(40), next_session(40), other(40)}) == 4
    assert len(one(1)) == 1


def test_which_reader_is_meant(data: Path, tmp_path: Path) -> None:
    own = f"emulator:{card_directory(data)}"
    assert reader_spec("auto", data) == reader_spec("emulator", data) == own
    assert reader_spec("emulator:elsewhere", data) == "emulator:elsewhere"
    assert reader_spec("Gemalto", data) == "Gemalto"
    empty = tmp_path / "empty"
    assert reader_spec("auto", empty) == "auto"
    assert not has_card(card_directory(empty))
    with pytest.raises(NoCardError):
        open_transport(reader_spec("emulator", empty))
    with pytest.raises(UsageError):
        open_transport("emulator:")


def test_a_damaged_image_is_told(data: Path) -> None:
    directory = card_directory(data)
    flash = directory / FLASH_FILE
    size = flash.stat().st_size
    flash.write_bytes(bytes(size))
    with pytest.raises(NoCardError):
        ImageTransport(directory)
    with pytest.raises(NoCardError):  # and the lock was let go
        ImageTransport(directory)
    facts = json.loads((directory / CARD_FILE).read_text())
    (directory / CARD_FILE).write_text(json.dumps({**facts, "profile": "platinum"}))
    with pytest.raises(UsageError):
        open_card(directory)


def test_a_card_of_another_kind_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        create_card(tmp_path / "card", PROFILE, bytes(7), 1)
    with pytest.raises(ConfigurationError):
        create_card(tmp_path / "card", PROFILES["hk-visitor-production"], SERIAL, 1)
    assert not has_card(tmp_path / "card")
    create_card(tmp_path / "card", PROFILE, SERIAL, 1)
    with pytest.raises(ConfigurationError):
        create_card(tmp_path / "card", PROFILE, SERIAL, 1)


def test_a_mistyped_plan_does_not_become_no_plan(data: Path) -> None:
    (card_directory(data) / faults.FAULT_FILE).write_text("{}")
    with tap("emulator", data) as wallet, pytest.raises(OutcomeUnknownError):
        wallet.select()


def test_a_disk_that_fails_loses_the_card_and_nothing_else(data: Path, world: World) -> None:
    transport = ImageTransport(card_directory(data))
    wallet = HardWallet(CardConnection(transport))
    request = world.till_request(wallet.select(), 400)

    class Full:
        def keep(self, *_: object) -> None:
            raise StorageError("no space left")

    transport.card.flash.keeper = Full()
    with pytest.raises(OutcomeUnknownError):
        wallet.pay(request.to_payload())
    wallet.close()
    with tap("emulator", data) as again:
        assert again.select().balance == 1_000
