"""The purse applet: which command is allowed when, and who handles it.

A handler gets the `Vault` and a parsed command and returns the response data; whatever it cannot do it raises, and the
card OS turns that into a status word in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from typing import Any, Final

from hardware import commands as c
from hardware import ending_commands as e
from hardware.data_objects import Fci, Tag, Totals, slots_to_bytes
from hardware.emulator import endings, setup, transfers
from hardware.emulator.vault import Vault
from hardware.instructions import Command, Store
from hardware.pin import check_pin_block
from hardware.status_words import SW
from wallet_core.errors import CardError, CodecError, PurseRefusal, Refused
from wallet_core.purse import control
from wallet_core.purse.state import EntryState, Lifecycle, SlotState

_OBJECT_OF: Final = {
    Tag.PURSE_CERTIFICATE: Store.PURSE_CERTIFICATE,
    Tag.OPERATOR_CERTIFICATE: Store.OPERATOR_CERTIFICATE,
    Tag.AUTHORITY_CERTIFICATE: Store.AUTHORITY_CERTIFICATE,
    Tag.POLICY: Store.POLICY,
}


def file_control(vault: Vault) -> bytes:
    """File control information, the answer to SELECT (ISO/IEC 7816-4, clause 7.4): state, counters, balance."""
    state, policy = vault.state, vault.policy
    return Fci(
        lifecycle=state.lifecycle,
        purse_id=vault.purse_id if state.lifecycle is not Lifecycle.BLANK else bytes(32),
        epoch=state.epoch,
        next_n=state.next_n,
        next_k=state.next_k,
        balance=state.balance,
        free_slots=sum(slot.state is SlotState.FREE for slot in state.slots),
        free_entries=sum(entry.state is EntryState.FREE for entry in state.table),
        pin_tries=state.pin_tries,
        policy_version=policy.version if policy else 0,
        payee_threshold=policy.payee_threshold if policy else 0,
    ).to_bytes()


def get_data(vault: Vault, command: c.GetData) -> bytes:
    try:
        tag = Tag(command.tag)
    except ValueError as exc:
        raise PurseRefusal(Refused.NOT_FOUND, "no such data object") from exc
    match tag:
        case Tag.TOTALS:
            return Totals.of(vault.state).to_bytes()
        case Tag.SLOTS:
            return slots_to_bytes(vault.state)
        case Tag.SERIAL:
            return vault.factory.serial
    content = vault.memory.object(vault.record, _OBJECT_OF[tag])
    if content is None:
        raise PurseRefusal(Refused.NOT_FOUND, "this data object is not there yet")
    return content


def verify(vault: Vault, command: c.Verify) -> bytes:
    """One try less, durable, before the comparison; all tries back after it (docs/spec/transfer.md, rule 13)."""
    vault.pin_verified = False
    given = check_pin_block(command.pin_block)  # what is no PIN is no guess and costs no try
    vault.commit_state(control.begin_pin_check(vault.state))
    stored = vault.memory.object(vault.record, Store.PIN) or b""
    if not compare_digest(given, stored):
        raise CardError(0x63C0 | vault.state.pin_tries, "wrong PIN")
    vault.commit_state(control.pin_verified(vault.state))
    vault.pin_verified = True
    return b""


_ANY: Final = frozenset(Lifecycle)
_LIVE: Final = _ANY - {Lifecycle.TERMINATED}
_BLANK: Final = frozenset({Lifecycle.BLANK})
_FINISHED: Final = frozenset({Lifecycle.PERSONALISED})
_USED: Final = frozenset({Lifecycle.ACTIVE, Lifecycle.BLOCKED})
_BEGINNINGS: Final = (c.MakeRequest, c.MakeRequestVerified, c.Pay, c.PayVerified)

Handler = Callable[[Vault, Any], bytes]

TABLE: Final[dict[type[Command], tuple[Handler, frozenset[Lifecycle]]]] = {
    c.Select: (lambda vault, _: file_control(vault), _ANY),
    c.GetData: (get_data, _ANY),
    c.Verify: (verify, _USED),
    # A blocked purse still answers what is stored (rule 10); that it decides nothing new is wallet_core's part.
    c.MakeRequest: (transfers.request, _USED),
    c.MakeRequestVerified: (transfers.request_verified, _USED),
    c.Pay: (transfers.pay, _USED),
    c.PayVerified: (transfers.pay_verified, _USED),
    c.Collect: (transfers.collect, _USED),
    c.Refuse: (transfers.refuse, _USED),
    c.ResendByRequest: (transfers.resend_by_request, _USED),
    c.ResendByPayee: (transfers.resend_by_payee, _USED),
    c.ResendAny: (transfers.resend_any, _USED),
    c.ResendOpenRequest: (transfers.resend_open_request, _USED),
    e.Acknowledge: (endings.acknowledge, _USED),
    e.AcknowledgeRefusal: (endings.acknowledge_refusal, _USED),
    e.Reverse: (endings.reverse, _USED),
    e.MakeReport: (endings.report, _USED),
    e.TakeGrant: (endings.grant, _USED),
    c.GenerateKeyPair: (setup.generate_key_pair, _BLANK),
    c.GenerateSm2KeyPair: (setup.generate_key_pair, _BLANK),
    c.StoreData: (setup.store_data, _LIVE),
    # The steps may be repeated, so each is allowed where it leads to; the way back is wallet_core's to refuse.
    c.PersonaliseEnd: (lambda vault, _: setup.personalise_end(vault), _BLANK | _FINISHED),
    c.Activate: (lambda vault, _: setup.activate(vault), _FINISHED | {Lifecycle.ACTIVE}),
    c.Deactivate: (lambda vault, _: setup.deactivate(vault), _USED),
    c.Terminate: (lambda vault, _: setup.terminate(vault), _ANY),
}
"""Every command but those of the card OS itself: its handler and the life-cycle states in which it is heard."""


def execute(vault: Vault, command: Command, *, secured: bool) -> bytes:
    """Run one command. `secured`: it came through the secure channel.

    Raises PurseRefusal, CodecError, CardError, StorageError; PowerLost passes.
    """
    handler, states = TABLE[type(command)]
    if command.CHANNEL is not secured and (secured or not _is_open_policy(vault, command)):
        raise CardError(SW.SECURE_MESSAGING_NOT_SUPPORTED, "through the secure channel, or not: each has its way")
    lifecycle = vault.state.lifecycle
    blank_only = isinstance(command, c.StoreData) and command.target is not Store.POLICY
    if lifecycle not in (_BLANK if blank_only else states):
        raise PurseRefusal(Refused.WRONG_STATE, f"not while {lifecycle.name.lower()}")
    try:
        return handler(vault, command)
    except (CodecError, PurseRefusal) as exc:
        if lifecycle is Lifecycle.BLOCKED and isinstance(command, _BEGINNINGS):  # it answers only what is stored
            raise PurseRefusal(Refused.WRONG_STATE, "a blocked purse begins nothing") from exc
        raise


def _is_open_policy(vault: Vault, command: Command) -> bool:
    """A signed policy needs no channel once the purse is active: its signature and rising version are enough."""
    is_policy = isinstance(command, c.StoreData) and command.target is Store.POLICY
    return is_policy and vault.state.lifecycle is Lifecycle.ACTIVE
