"""The desk over HTTP, `/api/…` (docs/spec/desk.md): each view parses, calls one thing, and tells what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from hardware.desk.acts import Acts
from hardware.desk.bodies import MAX_TRACE_BODY, amount, json_body, octets
from hardware.desk.desk import Desk
from hardware.desk.events import HEARTBEAT_S, stream
from hardware.desk.held import LEAST_ENDURANCE, Origin
from hardware.desk.keeping import Keeping
from hardware.desk.latency import KBPS, chips, chosen
from hardware.desk.pictures import cell_facts, picture
from hardware.desk.problems import DeskProblem
from hardware.desk.replays import Aside, Inserted, parse_trace, replay
from hardware.emulator.card import ATR
from hardware.emulator.faults import COMMAND_NAMES, OUTCOMES, SPOKEN, FaultPlan
from hardware.emulator.profiles import READY_PROFILES
from hardware.status_words import describe

MAX_SEED = 64
MAX_AWAY_MS = 60_000


def make_api(desk: Desk, keeping: Keeping, acts: Acts, heartbeat_s: float = HEARTBEAT_S) -> Blueprint:
    """All views. `heartbeat_s`: of the event stream."""
    api = Blueprint("api", __name__, url_prefix="/api")
    _add_desk(api, desk, heartbeat_s)
    _add_cards(api, desk, keeping, acts)
    _add_card_settings(api, desk)
    _add_keeping(api, desk, keeping, acts)
    _add_wire(api, desk, keeping)
    _add_acts(api, acts)
    return api


def _add_desk(api: Blueprint, desk: Desk, heartbeat_s: float) -> None:
    @api.get("/desk")
    def show_desk() -> ResponseReturnValue:
        return jsonify(
            {
                **desk.facts(),
                "profiles": list(READY_PROFILES),
                "chips": chips(),
                "kbps": KBPS,
                "tears": {"where": list(SPOKEN), "commands": COMMAND_NAMES, "outcomes": list(OUTCOMES)},
            }
        )

    @api.get("/events")
    def events() -> ResponseReturnValue:
        position = request.headers.get("Last-Event-ID") or request.args.get("after")
        seat = desk.events.seat()
        seat.__enter__()

        def told() -> Iterator[str]:
            yield from stream(desk.events, position, heartbeat_s)

        try:
            desk.events.start_of(position)
            response = Response(told(), mimetype="text/event-stream")
        except DeskProblem:
            seat.__exit__(None, None, None)
            raise
        response.call_on_close(lambda: seat.__exit__(None, None, None))
        response.headers["X-Accel-Buffering"] = "no"
        return response


def _add_cards(api: Blueprint, desk: Desk, keeping: Keeping, acts: Acts) -> None:
    @api.get("/cards")
    def cards() -> ResponseReturnValue:
        facts = desk.facts()
        return jsonify({"event": facts["event"], "cards": facts["cards"]})

    @api.post("/cards")
    def create() -> ResponseReturnValue:
        body = json_body({"profile": str}, {"seed": str, "name": str, "endurance": int})
        if body["profile"] not in READY_PROFILES:
            raise DeskProblem("malformed", f"The profiles are {', '.join(READY_PROFILES)}.")
        seed = body["seed"] or "1"
        if len(seed) > MAX_SEED or not seed.isprintable():
            raise DeskProblem("malformed", f"A seed has at most {MAX_SEED} characters.")
        endurance = body["endurance"]
        if endurance is not None and not LEAST_ENDURANCE <= endurance <= 10_000_000:
            raise DeskProblem("malformed", f"An endurance is {LEAST_ENDURANCE} to 10,000,000 programmings of a cell.")
        held = desk.create(Origin(body["profile"], seed, endurance), body["name"])
        return jsonify(desk.card_facts(held.id)), 201

    @api.get("/cards/<card_id>")
    def card(card_id: str) -> ResponseReturnValue:
        return jsonify(desk.card_facts(card_id))

    @api.delete("/cards/<card_id>")
    def delete(card_id: str) -> ResponseReturnValue:
        desk.delete(card_id)
        keeping.drop(card_id)
        acts.forget(card_id)
        return "", 204

    @api.post("/cards/<card_id>/insert")
    def insert(card_id: str) -> ResponseReturnValue:
        slot = desk.insert(card_id, json_body({}, {"reader": int})["reader"])
        return jsonify({**desk.card_facts(card_id), "via": slot.facts()["via"]})

    @api.post("/cards/<card_id>/remove")
    def remove(card_id: str) -> ResponseReturnValue:
        json_body({})
        desk.remove(card_id)
        return jsonify(desk.card_facts(card_id))

    @api.post("/cards/<card_id>/power-cycle")
    def power_cycle(card_id: str) -> ResponseReturnValue:
        json_body({})
        desk.power_cycle(card_id)
        return jsonify(desk.card_facts(card_id))


def _add_card_settings(api: Blueprint, desk: Desk) -> None:
    @api.put("/cards/<card_id>/tear")
    def arm(card_id: str) -> ResponseReturnValue:
        body = json_body({"tear": str}, {"reinsert_ms": int})
        away = body["reinsert_ms"] or 0
        if not 0 <= away <= MAX_AWAY_MS:
            raise DeskProblem("malformed", f"A card comes back after at most {MAX_AWAY_MS} ms; 0: not by itself.")
        desk.arm(card_id, FaultPlan.parse(body["tear"], reinsert_ms=away))
        return jsonify(desk.card_facts(card_id))

    @api.delete("/cards/<card_id>/tear")
    def disarm(card_id: str) -> ResponseReturnValue:
        desk.arm(card_id, None)
        return jsonify(desk.card_facts(card_id))

    @api.put("/cards/<card_id>/latency")
    def latency(card_id: str) -> ResponseReturnValue:
        body = json_body({"chip": str, "kbps": int})
        desk.set_latency(card_id, chosen(body["chip"], body["kbps"]))
        return jsonify(desk.card_facts(card_id))

    @api.delete("/cards/<card_id>/latency")
    def no_latency(card_id: str) -> ResponseReturnValue:
        desk.set_latency(card_id, None)
        return jsonify(desk.card_facts(card_id))


def _add_keeping(api: Blueprint, desk: Desk, keeping: Keeping, acts: Acts) -> None:
    @api.get("/cards/<card_id>/snapshots")
    def snapshots(card_id: str) -> ResponseReturnValue:
        return jsonify({"snapshots": keeping.names(card_id)})

    @api.post("/cards/<card_id>/snapshots")
    def take(card_id: str) -> ResponseReturnValue:
        return jsonify(keeping.take(card_id, json_body({}, {"name": str})["name"])), 201

    @api.delete("/cards/<card_id>/snapshots/<name>")
    def forget(card_id: str, name: str) -> ResponseReturnValue:
        keeping.forget(card_id, name)
        return "", 204

    @api.post("/cards/<card_id>/restore")
    def restore(card_id: str) -> ResponseReturnValue:
        keeping.restore(card_id, json_body({"name": str})["name"])
        acts.forget(card_id)
        return jsonify(desk.card_facts(card_id))

    @api.post("/cards/<card_id>/clone")
    def clone(card_id: str) -> ResponseReturnValue:
        twin = keeping.clone(card_id, json_body({}, {"name": str})["name"])
        return jsonify(desk.card_facts(twin.id)), 201

    @api.post("/cards/<card_id>/reset")
    def reset(card_id: str) -> ResponseReturnValue:
        json_body({})
        keeping.reset(card_id)
        acts.forget(card_id)
        return jsonify(desk.card_facts(card_id))

    @api.get("/cards/<card_id>/flash")
    def flash(card_id: str) -> ResponseReturnValue:
        with desk.lock:
            held = desk.card(card_id)
            return jsonify({"event": desk.events.position, **picture(held.flash, held.torn_cells)})

    @api.get("/cards/<card_id>/flash/<int:cell>")
    def one_cell(card_id: str, cell: int) -> ResponseReturnValue:
        with desk.lock:
            held = desk.card(card_id)
            if cell >= held.flash.cells:
                raise DeskProblem("not-found", f"The cells are 0 to {held.flash.cells - 1}.")
            return jsonify(cell_facts(held.flash, cell, held.torn_cells))


def _add_wire(api: Blueprint, desk: Desk, keeping: Keeping) -> None:
    @api.post("/cards/<card_id>/apdu")
    def apdu(card_id: str) -> ResponseReturnValue:
        answer = desk.exchange(card_id, octets("apdu", json_body({"apdu": str})["apdu"]), "console")
        sw = int.from_bytes(answer[-2:], "big")
        return jsonify({"data": answer[:-2].hex().upper(), "sw": f"{sw:04X}", "meaning": describe(sw)})

    @api.get("/cards/<card_id>/trace")
    def trace(card_id: str) -> ResponseReturnValue:
        after = request.args.get("after", "0")
        if not (after.isascii() and after.isdecimal() and len(after) <= 15):
            raise DeskProblem("malformed", "after is the number of an entry.")
        with desk.lock:
            held = desk.card(card_id)
            return jsonify({"event": desk.events.position, "entries": held.trace.after(int(after))})

    @api.get("/cards/<card_id>/trace.jsonl")
    def trace_lines(card_id: str) -> ResponseReturnValue:
        with desk.lock:
            text = "".join(desk.card(card_id).trace.lines(ATR))
        headers = {"Content-Disposition": f'attachment; filename="{card_id}.jsonl"'}
        return Response(text, mimetype="application/jsonl", headers=headers)

    @api.delete("/cards/<card_id>/trace")
    def clear(card_id: str) -> ResponseReturnValue:
        with desk.lock:
            desk.card(card_id).trace.clear()
            desk.events.emit("trace-cleared", card=card_id)
        return "", 204

    @api.post("/cards/<card_id>/replay")
    def play(card_id: str) -> ResponseReturnValue:
        body = json_body({"trace": str}, {"on_clone": bool}, limit=MAX_TRACE_BODY)
        recorded = parse_trace(body["trace"])
        target = Aside(keeping.twin(card_id, "aside")) if body["on_clone"] else Inserted(desk, card_id)
        return jsonify({**replay(target, recorded), "card": card_id})


def _add_acts(api: Blueprint, acts: Acts) -> None:
    @api.post("/cards/<card_id>/pay")
    def pay(card_id: str) -> ResponseReturnValue:
        body = json_body({"amount": int}, {"pin": str})
        return jsonify(acts.pay(card_id, amount(body["amount"]), body["pin"]))

    @api.post("/cards/<card_id>/load")
    def load(card_id: str) -> ResponseReturnValue:
        return jsonify(acts.load(card_id, amount(json_body({"amount": int})["amount"])))

    @api.post("/cards/<card_id>/online")
    def online(card_id: str) -> ResponseReturnValue:
        json_body({})
        return jsonify(acts.go_online(card_id))

    @api.post("/cards/<card_id>/verify")
    def verify(card_id: str) -> ResponseReturnValue:
        return jsonify(acts.verify(card_id, json_body({"pin": str})["pin"]))

    @api.post("/cards/<card_id>/transfer")
    def transfer(card_id: str) -> ResponseReturnValue:
        body = json_body({"to": str, "amount": int}, {"pin": str})
        done: dict[str, Any] = acts.transfer(card_id, body["to"], amount(body["amount"]), body["pin"])
        return jsonify(done)
