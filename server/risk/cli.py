"""`ecny server card|till|purse|fraud|review|loss-bound`: lost, dishonest and dead parties, at the operator's desk."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from server.cli_desk import DIRECTORY, octets, open_parts
from server.installation import new_epoch
from server.risk.facts import bound_facts, fraud_facts, reckoning_facts, review_facts
from server.risk.loss_bound import NOT_BOUNDED, loss_bound
from server.risk.lost import Reckoning
from server.settings import Settings, system_clock
from wallet_core.cli import Context, common_options, write_file
from wallet_core.ids import short
from wallet_core.money import fen


@click.group("card")
def card_group() -> None:
    """Lost, blocked and replaced cards."""


@card_group.command("freeze")
@click.argument("card")
@common_options
def freeze_command(ctx: Context, card: str) -> None:
    """A card is lost: nothing new begins with it, for good. What it has paid still settles."""
    with open_parts(ctx) as parts:
        status = parts.desk.freeze(octets("CARD", card), system_clock())
    ctx.emit({"card": card, "status": status.name}, f"{short(bytes.fromhex(card))} is {status.name}")


@card_group.command("reckoning")
@click.argument("card")
@common_options
def reckoning_command(ctx: Context, card: str) -> None:
    """What may be given back for a lost card, line by line."""
    with open_parts(ctx) as parts:
        found = parts.desk.reckoning(octets("CARD", card), system_clock())
    ctx.emit(reckoning_facts(found), _reckoning_text(found))


@card_group.command("refund")
@click.argument("card")
@click.option("--to", "destination", help="Id of the replacement to load; without it the holder is paid.")
@common_options
def refund_command(ctx: Context, card: str, destination: str | None) -> None:
    """Give back what is refundable now; again: nothing more."""
    to = octets("--to", destination) if destination is not None else None
    with open_parts(ctx) as parts:
        after, amount = parts.desk.refund(octets("CARD", card), to, system_clock())
    done = f"refunded {fen(amount)} ({amount} fen)" if amount else "nothing is refundable now"
    if amount and to is not None:
        done += f"\n  in the operator's purse: load it with `ecny card load {amount}` on {short(to)}"
    ctx.emit({"refunded": amount, "reckoning": reckoning_facts(after)}, f"{done}\n\n{_reckoning_text(after)}")


@card_group.command("replace")
@click.argument("old")
@click.argument("new")
@common_options
def replace_command(ctx: Context, old: str, new: str) -> None:
    """An enrolled card takes the place of another; nothing of the old one's state passes on."""
    with open_parts(ctx) as parts:
        parts.desk.replace(octets("OLD", old), octets("NEW", new), system_clock())
    ctx.emit({"replaced": old, "by": new}, f"{old[:8]} is REPLACED by {new[:8]}")


@click.command("standing")
@common_options
def standing_command(ctx: Context) -> None:
    """Every purse and till with which nothing new begins, and why."""
    with open_parts(ctx) as parts:
        found = parts.desk.standings()
    facts = [{"id": one.id.hex(), "status": one.status.name, "why": one.why, "at": one.at} for one in found]
    lines = [f"{one.id.hex()}  {one.status.name:<9} {_day(one.at)}  {one.why}" for one in found]
    ctx.emit({"standings": facts}, "\n".join(lines) or "everyone is ACTIVE")


@click.group("till")
def till_group() -> None:
    """Tills that are gone."""


@till_group.command("dead")
@click.argument("till")
@common_options
def dead_command(ctx: Context, till: str) -> None:
    """A till is gone with its journal: its merchant gets what cards' reports bring."""
    with open_parts(ctx) as parts:
        collected = parts.desk.declare_dead(octets("TILL", till), system_clock())
    ctx.emit({"till": till, "collected": collected}, f"{till[:8]} is DEAD; {collected} vouchers for it were here")


@click.group("purse")
def purse_group() -> None:
    """The operator's own purse."""


@purse_group.command("new-epoch")
@click.option("--epoch", type=click.IntRange(2, 2**32 - 1), help="A higher one than the next, after an old backup.")
@common_options
def new_epoch_command(ctx: Context, epoch: int | None) -> None:
    """The purse was restored: certify it anew in a new epoch, counting from 1. Restart the server afterwards."""
    with open_parts(ctx) as parts:
        made = new_epoch(ctx.data / DIRECTORY, parts.storage, epoch)
    ctx.emit({"purse": made.subject.hex(), "epoch": made.epoch}, f"epoch {made.epoch}: restart the server")


@click.group("fraud")
def fraud_group() -> None:
    """Proofs of fraud, and purses that have spent too much."""


@fraud_group.command("list")
@common_options
def fraud_list_command(ctx: Context) -> None:
    """Every proof, and every purse whose proved spending exceeds what it is proved to have received."""
    with open_parts(ctx) as parts:
        found = parts.desk.frauds(system_clock())
    lines = [f"{one.culprit.hex()}  {one.kind.name:<13} {one.what}" for one in found.proofs]
    lines += [
        f"{one.payer.hex()}  OVERSPENT     {one.overspent:,} fen beyond {one.received:,}" for one in found.overspent
    ]
    ctx.emit(fraud_facts(found), "\n".join(lines) or "no fraud is proved, no purse has spent too much")


@fraud_group.command("export")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Directory for the files.")
@common_options
def fraud_export_command(ctx: Context, out: Path) -> None:
    """Write each proof as a file that `ecny verify fraud-proof` checks with public keys only."""
    with open_parts(ctx) as parts:
        found = parts.desk.frauds(system_clock())
    files: list[str] = []
    for number, one in enumerate(found.proofs, start=1):
        if one.file is not None:
            path = out / f"{one.culprit.hex()[:16]}-{number}.fraud"
            write_file(path, one.file)
            files.append(str(path))
    ctx.emit({"files": files}, "\n".join(files) or "no fraud is proved")


@click.group("review")
def review_group() -> None:
    """Vouchers that wait because their payer is not proved to have received so much."""


@review_group.command("list")
@common_options
def review_list_command(ctx: Context) -> None:
    """Every voucher that waits."""
    with open_parts(ctx) as parts:
        found = parts.desk.reviews()
    lines = [
        f"{one.voucher_hash.hex()}  {one.amount:>10,} fen  of {short(one.payer)} to {short(one.payee)}" for one in found
    ]
    ctx.emit({"reviews": [review_facts(one) for one in found]}, "\n".join(lines) or "no voucher waits")


@review_group.command("pay")
@click.argument("voucher")
@common_options
def review_pay_command(ctx: Context, voucher: str) -> None:
    """Pay one, from the operator's own pocket as far as nothing covers it, up to its card's review cap."""
    with open_parts(ctx) as parts:
        loss = parts.desk.pay_review(octets("VOUCHER", voucher), system_clock())
    ctx.emit({"voucher": voucher, "loss": loss}, f"paid; {loss:,} fen of it are the operator's loss")


@click.command("loss-bound")
@common_options
def loss_bound_command(ctx: Context) -> None:
    """What one broken secure element can cost at most, and whom."""
    bound = loss_bound(Settings.of_directory(ctx.data / DIRECTORY).ready_to_lose)
    text = "\n".join(f"{name:<58}{number:>14,} {unit}" for name, number, unit in bound.lines)
    ctx.emit(bound_facts(bound), f"{text}\n{NOT_BOUNDED}")


def _reckoning_text(found: Reckoning) -> str:
    head = f"card {found.card.hex()}  {found.status.name}; {found.sources} messages of it are known"
    lines = [f"  {name:<46}{amount:>14,} fen" for name, amount in found.lines]
    return "\n".join([head, *lines, f"  the rest is due on {_day(found.due_at)}"])


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


COMMANDS: tuple[Any, ...] = (
    card_group,
    till_group,
    purse_group,
    fraud_group,
    review_group,
    loss_bound_command,
    standing_command,
)
