"""HTTP of reports and evidence: open to anyone, because everything in them is signed."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from server.reports.service import ReportService
from server.settings import Clock
from server.web import json_body, messages, octets

MAX_EVIDENCE = 1_000  # messages at once; as many certificates
MAX_ATTACHED = 64  # of each kind, with one report
MAX_EVIDENCE_BODY = 3 * 1024 * 1024  # bytes
MAX_REPORT_BODY = 256 * 1024
_ATTACHED = ("vouchers", "receipts", "refusals")


def blueprint(reports: ReportService, clock: Clock) -> Blueprint:
    views = Blueprint("reports", __name__, url_prefix="/v1")

    @views.post("/evidence")
    def evidence() -> dict[str, Any]:
        asked = json_body({"certificates": list}, MAX_EVIDENCE_BODY, messages=list)
        brought = messages("messages", asked["messages"], MAX_EVIDENCE)
        certificates = messages("certificates", asked.get("certificates", []), MAX_EVIDENCE)
        return {"statuses": [status.value for status in reports.evidence(brought, certificates, clock())]}

    @views.post("/reports")
    def report() -> dict[str, Any]:
        optional = dict.fromkeys((*_ATTACHED, "certificates"), list)
        asked = json_body(optional, MAX_REPORT_BODY, report=str)
        attached = [one for name in _ATTACHED for one in messages(name, asked.get(name, []), MAX_ATTACHED)]
        certificates = messages("certificates", asked.get("certificates", []), MAX_ATTACHED)
        answered = reports.report(octets("report", asked["report"]), attached, certificates, clock())
        return {
            "grant": answered.grant.hex(),
            "orders": [order.hex() for order in answered.orders],
            "policy": answered.policy.hex() if answered.policy is not None else None,
        }

    return views
