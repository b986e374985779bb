"""The modelled taps are those of the real driver and the emulated card, and the sums are right."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from bench.taps import SCENES as PLAYED
from bench.taps import play
from bench.virtual_card import RenewedCard
from hardware.instructions import CERTIFICATE_SIZE, SIGNED_REQUEST_SIZE, SIGNED_VOUCHER_SIZE, Ins
from hardware.tap_model import (
    CURRENT,
    DIVISORS,
    PUBLISHED,
    SCENES,
    TYPICAL,
    WORST,
    CardTimes,
    Link,
    chip,
    command_ms,
    command_share,
    floor_shares,
    tap_shares,
)
from hardware.tap_model.chips import Measured, from_measured
from hardware.tap_model.work import WORK, hashed, sha256_blocks, work_of
from support.cards import CardInHand, make_world, personalised_card
from wallet_core.cose import Sign1
from wallet_core.errors import UsageError
from wallet_core.keys import PublicKey
from wallet_core.messages import Request, parse

NOW = PUBLISHED[CURRENT]
CHIPS = pytest.mark.parametrize("times", PUBLISHED.values(), ids=PUBLISHED)
RATES = pytest.mark.parametrize("rate", DIVISORS)
TAPS = pytest.mark.parametrize("name", SCENES)


@pytest.fixture(scope="module")
def hand() -> CardInHand:
    return personalised_card(make_world("tap model"), load=50_000)


@TAPS
def test_the_exchanges_are_those_of_the_real_driver(name: str) -> None:
    traffic, _ = play(PLAYED[name])
    assert traffic.exchanges == SCENES[name]
    assert sum(WORK[one.ins, one.p1].signs for one in SCENES[name] if one.ins == Ins.PAY) == traffic.signatures


def test_every_way_to_pay_is_modelled() -> None:
    assert set(SCENES) == set(PLAYED)


@pytest.mark.parametrize(("name", "p1"), [("known_card", 0), ("verified_payee", 1)])
def test_the_card_verifies_as_often_as_the_model_says(name: str, p1: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted while the card answers PAY; what the test and the till verify is not the card's."""
    inside, counted = [False], [0]
    real, transmit = PublicKey._check, RenewedCard.transmit

    def check(self: PublicKey, *words: Any) -> None:
        counted[0] += inside[0]
        real(self, *words)

    def answer(self: RenewedCard, command: bytes) -> bytes:
        inside[0] = command[1] == Ins.PAY
        try:
            return transmit(self, command)
        finally:
            inside[0] = False

    monkeypatch.setattr(PublicKey, "_check", check)
    monkeypatch.setattr(RenewedCard, "transmit", answer)
    traffic, _ = play(PLAYED[name])
    assert WORK[Ins.PAY, p1].verifies == traffic.verifications
    anchor = int(p1 == 1)  # our trust store checks its root's own signature, too; a chip believes what it was given
    assert counted[0] == traffic.verifications + anchor


def test_the_card_writes_as_many_pages_as_the_model_says(hand: CardInHand) -> None:
    """The emulated journal: the voucher's cells, a record of 80 bytes, its seal. The model, as the applet: the pages
    of the voucher, a record of 97 bytes, and two pages more for the transaction.
    """
    begun = hand.flash.programmed
    fci = hand.wallet.select()
    hand.wallet.pay(make_world("tap model").till_request(fci, 6_800).to_payload())
    work = WORK[Ins.PAY, 0]
    pages = (NOW.write_ms(work.written) + work.commits * (NOW.commit + NOW.write_ms(work.commit_bytes))) / NOW.page_ms
    assert hand.flash.cell_size == NOW.page_bytes
    assert hand.flash.programmed - begun == 5 + 2 + 1
    assert pages == 5 + 2 + 2


def test_what_is_hashed_is_what_the_signature_covers(hand: CardInHand) -> None:
    certificate = hand.wallet.certificate()
    assert len(certificate) == CERTIFICATE_SIZE
    assert hashed(CERTIFICATE_SIZE) == (len(Sign1.from_bytes(certificate, max_size=4096).signed_bytes),)
    request, _, _ = make_world("tap model").signed_by_till(
        make_world("tap model").till_request(hand.wallet.select(), 1)
    )
    parsed = Sign1.from_bytes(request, max_size=4096)
    assert parse(Request, request).to_bytes() == request
    assert hashed(SIGNED_REQUEST_SIZE) == (len(parsed.signed_bytes),)


def test_blocks_of_a_hash() -> None:
    assert [sha256_blocks(size) for size in (0, 55, 56, 119, 120)] == [1, 1, 2, 2, 3]


def test_the_times_are_derived_from_the_published_ones() -> None:
    figures = Measured(
        sign_sha1=30,
        verify_sha1=40,
        init=3,
        set_public=4,
        sha1=5,
        sha256=10,
        aes_cbc=16,
        aes_init=6,
        copy=0.5,
        xor_16=1.6,
        empty_command=33,
    )
    made = from_measured("x", "X", "old", 2020, "somewhere", figures)
    assert (made.sign, made.verify, made.sha256_block, made.aes_block, made.apdu) == (25, 35, 2, 1, 5)
    assert made.bytecode == pytest.approx(0.01)
    assert made.source == "JCAlgTest database, somewhere"
    assert (made.write_ms(0), made.write_ms(64), made.write_ms(65)) == (0, 4, 8)


def test_old_typical_and_current_chips_are_there_each_with_its_source() -> None:
    assert [one.age for one in PUBLISHED.values()] == ["old", "typical", "current"]
    assert all(str(one.year) in one.source for one in PUBLISHED.values())
    signs = [one.sign for one in PUBLISHED.values()]
    assert signs == sorted(signs, reverse=True)
    with pytest.raises(UsageError, match="no published times"):
        chip("somebody's")


@CHIPS
def test_the_dispatch_is_below_its_published_bound(times: CardTimes) -> None:
    assert 0 < times.apdu < times.empty_command


def test_pay_by_hand() -> None:
    """3 blocks of the Request, 4 of the Voucher, one signature, three blocks of AES; 9 pages; 9,200 bytecodes."""
    share = command_share(NOW, Ins.PAY, 0, 144, 258)
    assert sha256_blocks(*hashed(SIGNED_REQUEST_SIZE)) == 3
    assert sha256_blocks(*hashed(SIGNED_VOUCHER_SIZE)) == 4
    crypto = 7 * 8.54 / 5 + (33.06 - 5.73) + 8.85 + 6.64 + 3 * 1.95 / 16
    assert share.crypto == pytest.approx(crypto)
    assert share.nvm == 36
    assert share.applet == pytest.approx(1.9 + 10_650 * 1.55 / 160 + (36 + 402 / 256) * 0.19)
    assert command_ms(NOW, Ins.PAY, 0, 144, 258) == pytest.approx(share.total)


def test_a_command_that_nobody_counted_is_small_and_dearer_with_verifications() -> None:
    assert work_of(Ins.RESEND, 0).bytecodes == 2_000
    assert work_of(Ins.ACKNOWLEDGE, 0).bytecodes == 2_000 + 3 * 4_400
    assert work_of(Ins.GET_DATA, 0x7F).bytecodes == work_of(Ins.GET_DATA, 0xDF).bytecodes == 1_040


def test_a_refusal_costs_the_dispatch_only() -> None:
    refused = command_share(NOW, Ins.PAY, 0, 144, 2)
    assert (refused.crypto, refused.nvm) == (0, 0)
    assert refused.applet < command_share(NOW, Ins.PAY, 0, 144, 258).applet / 3
    assert command_share(NOW, Ins.VERIFY, 0, 13, 2).nvm == 2 * (8 + 8)
    assert command_share(NOW, Ins.GET_DATA, 0x7F, 5, 229).crypto == 0


def test_three_verifications_more() -> None:
    more = command_share(NOW, Ins.PAY, 1, 676, 258).crypto - command_share(NOW, Ins.PAY, 0, 144, 258).crypto
    certificates = 2 * sha256_blocks(*hashed(CERTIFICATE_SIZE)) * NOW.sha256_block
    assert more == pytest.approx(4 * NOW.load_key + 3 * (NOW.use_key + NOW.verify) + certificates)


@TAPS
@CHIPS
@RATES
def test_the_parts_are_the_whole_and_worst_is_worst(name: str, times: CardTimes, rate: int) -> None:
    link = Link(rate)
    typical, worst = (tap_shares(SCENES[name], times, link, setting) for setting in (TYPICAL, WORST))
    floor = floor_shares(times, link)
    assert typical.total == pytest.approx(sum(typical.parts().values()))
    assert all(part >= 0 for part in typical.parts().values())
    assert all(worst.parts()[part] >= ms for part, ms in typical.parts().items())
    assert all(floor.parts()[part] <= ms for part, ms in typical.parts().items())


@CHIPS
@TAPS
def test_a_faster_link_never_makes_a_tap_slower(times: CardTimes, name: str) -> None:
    totals = [tap_shares(SCENES[name], times, Link(rate)).total for rate in DIVISORS]
    assert all(fast < slow for slow, fast in pairwise(totals))


def test_a_known_card_takes_at_most_300_ms_at_424_kbit() -> None:
    """The acceptance: on published times of a current chip."""
    assert tap_shares(SCENES["known_card"], NOW, Link(424)).total <= 300


def test_the_setting_decides_about_extensions() -> None:
    patient, default = (tap_shares(SCENES["known_card"], NOW, Link(424), replace(TYPICAL, fwi=fwi)) for fwi in (14, 4))
    assert patient.extensions == 0
    assert default.extensions > tap_shares(SCENES["known_card"], NOW, Link(424)).extensions > 0
