"""Cards made ready from a seed: the same each time, strangers to none of their kind, and they pay."""

from __future__ import annotations

import pytest

from hardware.driver import HardWallet
from hardware.emulator.card import EmulatedCard, PlannedFaults
from hardware.emulator.faults import FaultPlan
from hardware.emulator.issuer import TEST_PIN, make_ready, published_issuer
from hardware.emulator.profiles import READY_PROFILES, find_ready
from hardware.exchange import CardConnection
from hardware.purse_transfer import transfer
from hardware.transports.in_process import InProcessTransport
from wallet_core.errors import OutcomeUnknownError, PurseRefusal, Refused, UsageError
from wallet_core.messages import Receipt, Voucher, parse
from wallet_core.purse.state import Lifecycle, SlotState

VISITOR, SAM, BLANK = (find_ready(name) for name in ("hk-visitor", "merchant-sam", "blank"))


def in_hand(card: EmulatedCard) -> HardWallet:
    wallet = HardWallet(CardConnection(InProcessTransport(card)))
    wallet.select()
    return wallet


@pytest.mark.parametrize("name", READY_PROFILES)
def test_the_same_seed_is_the_same_card(name: str) -> None:
    one, again, other = (make_ready(find_ready(name), seed).flash.snapshot() for seed in ("1", "1", "2"))
    assert one == again != other


def test_each_profile_is_as_it_says() -> None:
    visitor, sam, blank = (in_hand(make_ready(one, "1")).select() for one in (VISITOR, SAM, BLANK))
    assert (visitor.lifecycle, visitor.balance) == (Lifecycle.ACTIVE, 50_000)
    assert (sam.lifecycle, sam.balance) == (Lifecycle.ACTIVE, 0)
    assert (blank.lifecycle, blank.balance) == (Lifecycle.BLANK, 0)
    assert visitor.purse_id != sam.purse_id
    with pytest.raises(UsageError) as caught:
        find_ready("visitor")
    assert "hk-visitor, merchant-sam, blank" in caught.value.next_step


@pytest.mark.parametrize("amount", [6_800, 25_000])
def test_a_ready_card_pays_the_till_and_goes_online(amount: int) -> None:
    """Above the payee's threshold the card verifies the till; above the PIN's it wants the published PIN."""
    issuer, wallet = published_issuer(), in_hand(make_ready(VISITOR, "pays"))
    fci = wallet.select()
    request = issuer.till_request(fci, amount)
    if amount > 20_000:
        with pytest.raises(PurseRefusal) as caught:
            issuer.pay(wallet, fci, request)
        assert caught.value.reason is Refused.PIN_REQUIRED
        wallet.verify_pin(TEST_PIN)
    voucher = parse(Voucher, issuer.pay(wallet, fci, request)).message
    assert (voucher.payee, voucher.amount) == (issuer.till.id, amount)
    wallet.grant(issuer.grant(wallet.report()))
    assert {slot.state for slot in wallet.slots()} == {SlotState.FREE}
    assert parse(Receipt, issuer.load(wallet, amount)).message.payee == fci.purse_id
    assert wallet.select().balance == 50_000


def test_cards_of_two_seeds_trust_each_other() -> None:
    visitor, sam = in_hand(make_ready(VISITOR, "1")), in_hand(make_ready(SAM, "1"))
    done = transfer(visitor, sam, 1_200, bytes(32))
    assert (done.amount, sam.select().balance) == (1_200, 1_200)


def test_a_plan_is_for_its_use_and_not_for_its_making() -> None:
    plans = PlannedFaults(FaultPlan.parse("before@2"))
    wallet = in_hand(make_ready(VISITOR, "1", plans=plans))
    assert plans.armed() is not None
    with pytest.raises(OutcomeUnknownError):
        wallet.serial()


def test_a_card_that_wears_out() -> None:
    card = make_ready(VISITOR, "1", endurance=60)
    assert card.flash.left(range(card.flash.cells)) in range(60)
