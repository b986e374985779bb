"""The grammar: draws the commands of one sequence, good ones aimed at the card's present state, and maims some of them.

It looks into the emulated card, so that a Request names the next counter and a Voucher answers an open Request. The
other card is never asked: both get the bytes that are drawn here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from differential.cast import Cast, Papers
from differential.settings import Settings
from differential.wire import chain, encode, flip, maim, rubbish
from hardware.apdu import CommandApdu
from hardware.commands import (
    Collect,
    GetData,
    MakeRequest,
    MakeRequestVerified,
    Pay,
    PayVerified,
    Refuse,
    ResendAny,
    ResendByPayee,
    ResendByRequest,
    ResendOpenRequest,
    Select,
    StoreData,
    Verify,
)
from hardware.data_objects import AID, Tag
from hardware.emulator.card import EmulatedCard
from hardware.emulator.vault import Vault
from hardware.ending_commands import Acknowledge, AcknowledgeRefusal, MakeReport, Reverse, TakeGrant
from hardware.instructions import Command, Store
from hardware.pin import pin_block
from support.cards import PIN, signed_grant
from support.keys import Party
from wallet_core.errors import ConfigurationError
from wallet_core.messages import Report, Request, Signed, Voucher, parse
from wallet_core.messages.ending import EntryLine, SlotLine, pack_entries, pack_slots
from wallet_core.purse.state import EntryState, Slot, SlotState
from wallet_core.suites import Suite

_AMOUNTS = (1, 100, 100, 100, 3_600, 6_800, 20_000, 20_001, 30_001, 50_000, 50_001, 100_001, 2**53 - 1)
_MALFORMED_AMOUNTS = (0, 2**53, 2**64 - 1)
_BLOCKS = ("2412345FFFFFFFFF", "2000000000000000", "241234FFFFFFFFFE", "34123456FFFFFFFF", "2D1234567890123F")


class Author:
    """Draws for one card and one sequence. `history` is what this sequence has sent so far."""

    def __init__(self, cast: Cast, settings: Settings, card: EmulatedCard, rng: Random) -> None:
        self.cast, self.settings, self.card, self.rng = cast, settings, card, rng
        self.history: list[bytes] = []
        transfer: list[tuple[int, Callable[[], CommandApdu]]] = [
            (5, self._select),
            (8, self._get_data),
            (6, self._verify),
            (9, self._request),
            (3, self._request_verified),
            (10, self._pay),
            (4, self._pay_verified),
            (6, self._collect),
            (5, self._refuse),
            (8, self._resend),
            (5, self._acknowledge),
            (3, self._reverse),
            (1, self._report),
            (4, self._grant),
            (3, self._open_policy),
            (3, self._update),
        ]
        self._weights = [weight for weight, _ in transfer]
        self._kinds = [kind for _, kind in transfer]

    def draw(self) -> list[bytes]:
        """The next command: one APDU or the pieces of a chain."""
        chance = self.rng.random()
        if chance < 0.05:
            return [rubbish(self.rng)]
        if chance < 0.12 and self.history:
            return [self.rng.choice(self.history)]
        if chance < 0.20:
            return [CommandApdu(0, 0xC0, 0, 0, b"", self.rng.choice((256, 256, 256, 14, 1, 0))).to_bytes()]
        if chance < (0.45 if self.settings.secured else 0.25) and self.settings.channel.is_known:
            return self._through_channel()
        pieces = encode(self.good(), self.rng)
        if chance > 0.70:
            at = self.rng.randrange(len(pieces))
            pieces[at] = maim(pieces[at], self.rng)
        if len(pieces) > 1 and self.rng.random() < 0.1:
            pieces.pop(self.rng.randrange(len(pieces)))
        return pieces

    def good(self) -> CommandApdu:
        """A well-formed command that is not secured; it may still be one that this card refuses."""
        if self.vault.pin_verified and self.rng.random() < 0.4:  # else hardly anything shows that it is
            return self.rng.choice((self._verify, ResendAny(0).to_apdu, self._pay))()
        return self.rng.choices(self._kinds, self._weights)[0]()

    @property
    def vault(self) -> Vault:
        if self.card.vault is None:
            raise ConfigurationError("the emulated card has no power")
        return self.card.vault

    # The secure channel

    def _through_channel(self) -> list[bytes]:
        channel, rng = self.settings.channel, self.rng
        if not channel.is_open or rng.random() < 0.1:
            return [channel.opening(rng)]
        command = self._secured() if rng.random() < 0.85 else self.good()
        wrapped = channel.wrap(command, rng)
        if rng.random() < 0.12:
            return [maim(wrapped.to_bytes(), rng)]
        return chain(wrapped, rng) if rng.random() < 0.1 else encode(wrapped, rng)

    def _secured(self) -> CommandApdu:
        return self.settings.papers.draw(self.vault, self.rng)

    def _update(self) -> CommandApdu:
        version = self.rng.choice((0, 1, 1, 2, 0x7F))
        return CommandApdu(0x80, 0x50, version, 0, self.rng.randbytes(self.rng.choice((8, 8, 8, 7, 9))), 256)

    # Anybody's commands

    def _select(self) -> CommandApdu:
        aid = self.rng.choice((AID, AID, AID, AID[:5], AID + b"\1", bytes(7), b"", bytes(17)))
        return replace(Select(aid).to_apdu(), ne=self.rng.choice((256, 256, 0, 4)))

    def _get_data(self) -> CommandApdu:
        tag = self.rng.choice((*Tag, *Tag, *Tag, 0x7F24, 0xDF05, 0, 0xFFFF))
        return GetData(tag).to_apdu()

    def _verify(self) -> CommandApdu:
        chance = self.rng.random()
        if chance < 0.15:
            return Verify(bytes.fromhex(self.rng.choice(_BLOCKS))).to_apdu()
        return Verify(pin_block(PIN if chance < 0.6 else "000000")).to_apdu()

    # The payee's side

    def _question(self) -> MakeRequest:
        rng = self.rng
        still_open = [entry for entry in self.vault.state.table if entry.state is EntryState.OPEN]
        if still_open and rng.random() < 0.3:  # the same question again
            asked = parse(Request, rng.choice(still_open).request).message
            return MakeRequest(asked.payer, asked.epoch, asked.n, asked.amount, asked.order_hash)
        payer = rng.choice(self.cast.good).party.id if rng.random() < 0.9 else self.vault.purse_id
        return MakeRequest(payer, 1, rng.randrange(1, 4), self._amount(), rng.randbytes(32))

    def _request(self) -> CommandApdu:
        return self._question().to_apdu()

    def _request_verified(self) -> CommandApdu:
        papers, question = self.cast.papers(self.rng), self._question()
        if self.rng.random() < 0.8:
            question = replace(question, payer=papers.party.id)
        return MakeRequestVerified(question, papers.certificate, papers.operator).to_apdu()

    def _collect(self) -> CommandApdu:
        """A Voucher for an open Request, one collected already, or one that nobody asked for."""
        rng = self.rng
        known = [entry.request for entry in self.vault.state.table if entry.state is not EntryState.FREE]
        papers = self.cast.papers(rng)
        if known and rng.random() < 0.9:
            stored = rng.choice(known)
            asked = parse(Request, stored).message
            theirs = [one for one in (*self.cast.good, *self.cast.bad) if one.party.id == asked.payer]
            if theirs and rng.random() < 0.9:
                papers = theirs[0] if rng.random() < 0.8 else rng.choice(theirs)
        else:
            asked = self._till_request(papers)
            asked = replace(asked, payee=self.vault.purse_id, payer=papers.party.id)
            stored = Signed.sign(asked, papers.party.key).to_bytes()
        changes = rng.choice(({}, {}, {}, {}, {}, {"amount": 1}, {"k": 77}, {"request_hash": bytes(32)}, {"n": 9}))
        voucher = self.cast.world.voucher_for(stored, papers.party, **changes)[0]
        return Collect(voucher, papers.certificate, papers.operator).to_apdu()

    def _refuse(self) -> CommandApdu:
        hashes = [entry.request_hash for entry in self.vault.state.table if entry.state is not EntryState.FREE]
        return Refuse(self._one_of(hashes)).to_apdu()

    # The payer's side

    def _amount(self) -> int:
        if self.rng.random() < 0.05:
            return self.rng.choice(_MALFORMED_AMOUNTS)
        return self.rng.choice(_AMOUNTS)

    def _till_request(self, papers: Papers) -> Request:
        """A Request of this payee to the card, mostly for its next counter."""
        rng, state = self.rng, self.vault.state
        request = Request(
            suite=Suite.ES256,
            payer=self.vault.purse_id,
            epoch=state.epoch,
            n=state.next_n,
            payee=papers.party.id,
            k=rng.randrange(1, 9),
            amount=min(self._amount(), 2**53 - 1),
            order_hash=rng.randbytes(32),
        )
        if rng.random() < 0.2:
            changes = ({"payer": bytes(32)}, {"epoch": 9}, {"n": state.next_n + 1}, {"n": 1}, {"payee": request.payer})
            return replace(request, **rng.choice(changes))
        return request

    def _pay(self) -> CommandApdu:
        payload = self._till_request(self.cast.papers(self.rng)).to_payload()
        again = [one for one in self.history if one[1:4] == b"\x32\0\0" and len(one) > 142]
        if again and self.rng.random() < 0.2:
            payload = self.rng.choice(again)[5:143]
        return Pay(payload[:138]).to_apdu()

    def _pay_verified(self) -> CommandApdu:
        papers = self.cast.papers(self.rng)
        signed = Signed.sign(self._till_request(papers), papers.party.key).to_bytes()
        if self.rng.random() < 0.1:
            signed = flip(signed, self.rng)
        return PayVerified(signed, papers.certificate, papers.operator).to_apdu()

    def _resend(self) -> CommandApdu:
        rng, slots, index = self.rng, self._used(), self.rng.choice((0, 0, 1, 2, 15, 16, 255))
        commands: tuple[Command, ...] = (
            ResendByRequest(self._one_of([slot.request_hash for slot in slots])),
            ResendByPayee(self._one_of([slot.payee for slot in slots]), index),
            ResendAny(index),
            ResendOpenRequest(index),
        )
        return rng.choice(commands).to_apdu()

    def _used(self) -> list[Slot]:
        return [slot for slot in self.vault.state.slots if slot.state is not SlotState.FREE]

    def _one_of(self, found: list[bytes]) -> bytes:
        return self.rng.choice(found) if found and self.rng.random() < 0.9 else self.rng.randbytes(32)

    # Endings

    def _paid(self) -> tuple[bytes, Papers]:
        """A voucher of this card (or one that it has not made) with its payee's papers, or another's."""
        rng, slots = self.rng, self._used()
        if not slots or rng.random() < 0.1:
            papers = self.cast.papers(rng)
            request = Signed.sign(replace(self._till_request(papers), n=999), papers.party.key).to_bytes()
            return self.cast.world.voucher_for(request, papers.party)[0], papers
        final = [slot for slot in slots if slot.state is not SlotState.PENDING]
        slot = rng.choice(final if final and rng.random() < 0.3 else slots)
        theirs = [one for one in (*self.cast.good, *self.cast.bad) if one.party.id == slot.payee]
        papers = rng.choice(theirs) if theirs and rng.random() < 0.9 else self.cast.papers(rng)
        return slot.voucher, papers

    def _acknowledge(self) -> CommandApdu:
        voucher, papers = self._paid()
        payee = Party(papers.party.name, papers.party.key, papers.party.certificate)
        if self.rng.random() < 0.5:
            receipt = self.cast.world.receipt_for(voucher, payee)[0]
            return Acknowledge(receipt, papers.certificate, papers.operator).to_apdu()
        refusal = self.cast.world.refusal_for(voucher, payee)[0]
        return AcknowledgeRefusal(refusal, papers.certificate, papers.operator).to_apdu()

    def _reverse(self) -> CommandApdu:
        voucher, _ = self._paid()
        paid = parse(Voucher, voucher).message
        mine: dict[str, Any] = {"payer": self.vault.purse_id} if paid.n == 999 else {}
        order = self.cast.world.order_for(voucher, **self._wrong(mine, {"epoch": 2}, {"n": 5}, {"payer": bytes(32)}))
        return Reverse(flip(order, self.rng) if self.rng.random() < 0.1 else order).to_apdu()

    def _report(self) -> CommandApdu:
        return MakeReport().to_apdu()

    def _grant(self) -> CommandApdu:
        state, world = self.vault.state, self.cast.world
        slots = sorted(self._used(), key=lambda slot: slot.n)
        entries = sorted((one for one in state.table if one.state is not EntryState.FREE), key=lambda one: one.k)
        report = Report(
            suite=Suite.ES256,
            purse=self.vault.purse_id,
            epoch=state.epoch,
            next_n=state.next_n,
            next_k=state.next_k,
            policy_version=self.vault.policy.version if self.vault.policy else 0,
            total_in=state.total_in,
            total_out=state.total_out,
            total_reversed=state.total_reversed,
            out_acked=state.out_acked,
            in_acked=state.in_acked,
            slots=pack_slots(SlotLine(slot.n, slot.state, slot.voucher_hash) for slot in slots),
            entries=pack_entries(EntryLine(one.k, one.state, one.request_hash) for one in entries),
            lifecycle=state.lifecycle,
        )
        told = Signed.sign(report, world.operator.key).to_bytes()  # whoever signed it: only its content counts here
        collected = [slot.n for slot in slots if slot.state is SlotState.PENDING and self.rng.random() < 0.3]
        changes = self._wrong({}, {"epoch": 2}, {"policy_version": 99}, {"out_acked": 2**53 - 1}, {"purse": bytes(32)})
        by = self.cast.other_operator.key if self.rng.random() < 0.05 else world.operator.key
        grant = signed_grant(by, told, collected, **changes)
        return TakeGrant(flip(grant, self.rng) if self.rng.random() < 0.1 else grant).to_apdu()

    def _wrong(self, right: dict[str, Any], *wrong: dict[str, Any]) -> dict[str, Any]:
        return right if self.rng.random() < 0.75 else {**right, **self.rng.choice(wrong)}

    def _open_policy(self) -> CommandApdu:
        return StoreData(Store.POLICY, self.settings.papers.policy(self.vault, self.rng)).to_apdu()
