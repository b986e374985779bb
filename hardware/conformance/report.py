"""An examination for people and machines: a summary, facts for JSON, and JUnit XML for a build server."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final

from hardware.conformance.requirements import Requirement
from hardware.conformance.runner import NOTICE, Examination, Finding, Verdict
from hardware.conformance.trace import Exchange

_SKIPPED: Final = frozenset({Verdict.NOT_APPLICABLE, Verdict.NOT_TRIED, Verdict.UNTESTABLE})
_AREAS: Final = {
    "ISO": "lengths, chaining, order of checks",
    "SEL": "SELECT",
    "DAT": "GET DATA",
    "PER": "personalisation",
    "POL": "policy",
    "PIN": "VERIFY",
    "PAY": "PAY",
    "REQ": "REQUEST",
    "COL": "COLLECT",
    "REF": "REFUSE",
    "RES": "RESEND",
    "ACK": "ACKNOWLEDGE",
    "REV": "REVERSE",
    "REP": "REPORT",
    "GRA": "GRANT",
    "PRE": "precedence of reasons",
    "MSG": "messages and signatures",
    "ATM": "commit before answer",
    "SCP": "secure channel",
    "LIF": "blocked and terminated",
}


def area_name(code: str) -> str:
    return _AREAS[code]


def link(one: Requirement) -> str:
    """The clause, as a link from docs/spec: `apdu.md#pay`; of a CDDL file the file alone."""
    if not one.page.endswith(".md"):
        return one.page
    return f"{one.page}#{re.sub(r'[^-a-z0-9 _]', '', one.heading.lower()).replace(' ', '-')}"


# For people


def summary(found: Examination) -> str:
    """One line for each area, then every failure with its exchanges, then the verdict."""
    lines = [f"card {found.serial.hex()} in {found.reader}: {found.begun}, now {found.ended}"]
    for code, some in groupby(found.findings, key=lambda one: one.requirement.area):
        lines.append("  " + _area_line(code, list(some)))
    for one in found.findings:
        if one.verdict is Verdict.FAILED:
            lines += ["", *failure_lines(one)]
    lines += ["", verdict_line(found), NOTICE]
    return "\n".join(lines)


def _area_line(code: str, some: list[Finding]) -> str:
    counts = [(verdict, sum(one.verdict is verdict for one in some)) for verdict in Verdict]
    told = ", ".join(f"{count} {verdict.value}" for verdict, count in counts if count)
    return f"{code}  {_AREAS[code]:<35} {told}"


def failure_lines(one: Finding) -> list[str]:
    """What a requirement asks, what the card did, and the exchanges."""
    head = [f"{one.requirement.id} FAILED: {one.requirement.text}", f"  {link(one.requirement)}", f"  {one.why}"]
    return head + [f"    {line}" for exchange in one.exchanges for line in exchange.lines()]


def verdict_line(found: Examination) -> str:
    counts = ", ".join(f"{found.count(one)} {one.value}" for one in Verdict)
    return f"{found.conclusion.value.upper()}: {counts}; {found.exchanges} exchanges"


def listing(requirements: Iterable[Requirement]) -> str:
    """`--list`: each requirement with its clause, and where it is tried."""
    lines = []
    for one in requirements:
        where = "untestable" if one.untestable else one.stage.name.lower()
        lines += [f"{one.id}  {one.text}", f"    {link(one)}  [{where}]  {one.how}"]
    return "\n".join(lines)


# For machines


def requirement_facts(one: Requirement) -> dict[str, Any]:
    stage = None if one.untestable else one.stage.name.lower()
    return {"id": one.id, "text": one.text, "clause": link(one), "how": one.how, "stage": stage}


def facts(found: Examination) -> dict[str, Any]:
    """The whole examination as JSON can say it; bytes in hexadecimal."""
    return {
        "notice": NOTICE,
        "verdict": found.conclusion.value,
        "reader": found.reader,
        "atr": found.atr.hex(),
        "serial": found.serial.hex(),
        "begun": found.begun,
        "ended": found.ended,
        "exchanges": found.exchanges,
        "counts": {one.value: found.count(one) for one in Verdict},
        "requirements": [_finding_facts(one) for one in found.findings],
    }


def _finding_facts(one: Finding) -> dict[str, Any]:
    shown = [_exchange_facts(exchange) for exchange in one.exchanges]
    return {**requirement_facts(one.requirement), "verdict": one.verdict.value, "why": one.why, "exchanges": shown}


def _exchange_facts(one: Exchange) -> dict[str, Any]:
    return {"command": one.command.hex(), "hidden": one.hidden, "answer": one.answer.hex(), "meaning": one.words}


def to_json(found: Examination) -> bytes:
    """`facts` as a file."""
    return (json.dumps(facts(found), ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()


def junit(found: Examination) -> bytes:
    """JUnit XML: an area is a suite, a requirement a case, its exchanges the case's output."""
    root = ET.Element("testsuites", name="ecny card conform")
    for code, group in groupby(found.findings, key=lambda one: one.requirement.area):
        some = list(group)
        suite = ET.SubElement(root, "testsuite", name=f"ECNY-{code}", tests=str(len(some)))
        suite.set("failures", str(sum(one.verdict is Verdict.FAILED for one in some)))
        suite.set("skipped", str(sum(one.verdict in _SKIPPED for one in some)))
        ET.SubElement(ET.SubElement(suite, "properties"), "property", name="notice", value=NOTICE)
        for one in some:
            _case(suite, code, one)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _case(suite: ET.Element, code: str, one: Finding) -> None:
    name = f"{one.requirement.id} {one.requirement.text}"
    case = ET.SubElement(suite, "testcase", classname=f"ECNY-{code}", name=name)
    if one.verdict is Verdict.FAILED:
        ET.SubElement(case, "failure", message=one.why)
    elif one.verdict in _SKIPPED:
        ET.SubElement(case, "skipped", message=f"{one.verdict.value}: {one.why}")
    if one.exchanges:
        shown = [line for exchange in one.exchanges for line in exchange.lines()]
        ET.SubElement(case, "system-out").text = "\n".join(shown)
