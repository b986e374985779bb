"""docs/spec/messages.cddl, apdu.md and transfer.md say the same numbers as the code that makes the bytes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from support import cddl
from support.keys import OPERATOR, PARTIES
from support.samples import BATCH, REVOCATIONS, SAMPLES, Sample
from support.tree import ROOT
from wallet_core import audit, certificates, codec, ids, money
from wallet_core.certificates import CertificateClass
from wallet_core.fraud import MAX_CERTIFICATES as MAX_CERTIFICATES_OF_A_PROOF
from wallet_core.fraud import MAX_PROOF_SIZE, FraudKind
from wallet_core.messages import MessageType, RevocationReason, Signed, SpendMode
from wallet_core.messages.deposit import MAX_BATCH_SIZE, MAX_CERTIFICATES, MAX_ITEM_SIZE, MAX_REFUSALS, MAX_VOUCHERS
from wallet_core.messages.layout import FixedMessage, Kind, Slot
from wallet_core.messages.revocation import MAX_ENTRIES, MAX_LIST_SIZE
from wallet_core.messages.signed import MAX_FIXED_SIZE
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE, EntryState, Lifecycle, SlotState
from wallet_core.suites import Suite, profile

APDU = (ROOT / "docs" / "spec" / "apdu.md").read_text(encoding="utf-8")
TRANSFER = (ROOT / "docs" / "spec" / "transfer.md").read_text(encoding="utf-8")
FIXED = [sample for sample in SAMPLES if isinstance(sample.message, FixedMessage)]
every_message = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
every_fixed = pytest.mark.parametrize("sample", FIXED, ids=lambda sample: sample.name)


def body(rule: str) -> str:
    """What is between the braces of a map rule."""
    found = re.search(rf"^{rule} = \{{(.*?)^\}}", cddl.TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"no rule {rule}"
    return found[1]


def stated_size(rule: str) -> int:
    found = re.search(r"\A\s*; (\d+) bytes", body(rule))
    assert found, f"{rule} does not say its size"
    return int(found[1])


def members(rule: str) -> dict[int, str]:
    """Label → type of a map rule, without comments."""
    text = re.sub(r";.*", "", body(rule))
    return {int(label): kind.strip() for label, kind in re.findall(r"(-?\d+) => ([^,}]+(?:\{[^}]*\}[^,]*)?)", text)}


def number_after(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, f"nothing says {pattern}"
    return int(found[1].replace(",", ""))


@every_fixed
def test_the_size_of_a_payload(sample: Sample) -> None:
    assert stated_size(f"{sample.rule}-payload") == sample.message.layout().size == len(sample.message.to_payload())


def test_the_size_of_a_certificate() -> None:
    assert stated_size("certificate-claims") == certificates.PAYLOAD_SIZE
    whole = number_after(r"\]\) +; (\d+) bytes\ncertificate-header", cddl.TEXT)
    assert {len(party.certificate.to_bytes()) for party in PARTIES} == {whole}


def cddl_type(slot: Slot) -> set[str]:
    """How a field may be written in the CDDL."""
    spec = slot.spec
    if spec.kind is Kind.OCTETS:
        named = {"id", "hash"} if spec.size == ids.ID_SIZE else set()
        return {f"bstr .size {spec.size}"} | named
    if spec.kind is Kind.UNSIGNED:
        return {f"bstr .size {spec.size}", "counter", "epoch"}
    if spec.kind is Kind.MONEY:
        return {"fen"}
    classes = {"class"} if (spec.least, spec.most) == (min(CertificateClass), max(CertificateClass)) else set()
    modes = {"1 / 2"} if (spec.least, spec.most) == (min(SpendMode), max(SpendMode)) else set()
    return classes | modes | {f"{spec.least}..{spec.most}"} | ({"suite"} if slot.name == "suite" else set())


@every_fixed
def test_labels_and_types_of_a_fixed_message(sample: Sample) -> None:
    written = members(f"{sample.rule}-payload")
    assert written.pop(0) == str(sample.message.TYPE.value)
    slots = {slot.spec.label: slot for slot in sample.message.layout().slots}
    assert list(written) == list(slots)
    for label, slot in slots.items():
        assert written[label] in cddl_type(slot), slot.name


@every_message
def test_labels_of_every_message(sample: Sample) -> None:
    found: dict[int, Any] = codec.decode(sample.message.to_payload(), max_size=MAX_BATCH_SIZE)
    written = members(f"{sample.rule}-payload")
    assert list(written) == list(found)
    assert written[0] == str(sample.message.TYPE.value) == str(found[0])


def test_every_type_is_in_the_cddl() -> None:
    """A fraud proof is the one type that is no signed message."""
    rules = [rule for rule in cddl.messages() if rule != "certificate"]
    found = {int(members(f"{rule}-payload")[0]): rule for rule in rules}
    assert len(found) == len(rules)
    found[int(members("fraud-proof")[0])] = "fraud-proof"
    assert found == {one.value: one.name.lower().replace("_", "-") for one in MessageType}


def test_every_message_of_the_cddl_has_a_sample() -> None:
    assert {sample.rule for sample in SAMPLES} | {"certificate"} == set(cddl.messages())
    assert {type(sample.message).__name__.lower() for sample in SAMPLES} == {
        sample.rule.replace("-", "") for sample in SAMPLES
    }


def test_every_rule_is_used() -> None:
    code = re.sub(r";.*", "", cddl.TEXT)
    for rule in cddl.rules():
        if rule not in ("message", "fraud-proof"):  # what a file may hold
            uses = len(re.findall(rf"(?<![\w-]){re.escape(rule)}(?![\w-])", code))
            assert uses > 1, f"{rule} is defined, but nothing refers to it"


def test_numbers_of_the_cddl() -> None:
    assert number_after(r"\bid = bstr \.size (\d+)", cddl.TEXT) == ids.ID_SIZE
    assert number_after(r"\bhash = bstr \.size (\d+)", cddl.TEXT) == ids.HASH_SIZE
    assert 2 ** number_after(r"unsigned, 1 \.\. 2\^(\d+) - 2", cddl.TEXT) - 2 == ids.COUNTER_MAX
    assert 2 ** number_after(r"unsigned, 0 \.\. 2\^(\d+) - 1", cddl.TEXT) - 1 == money.MAX_MINOR_UNITS
    assert number_after(r"by a till; at most (\d+) MiB", cddl.TEXT) * 2**20 == MAX_BATCH_SIZE
    limits = [int(number) for number in re.findall(r"\[0\*(\d+) item\]", cddl.TEXT)]
    assert limits == [MAX_VOUCHERS, MAX_REFUSALS, MAX_CERTIFICATES]
    assert number_after(r"item = bstr \.size \(0\.\.(\d+)\)", cddl.TEXT) == MAX_ITEM_SIZE


def test_lines_of_report_and_grant() -> None:
    for rule, label, count, size in (
        ("report", 18, SLOT_COUNT, 4 + 1 + ids.HASH_SIZE),
        ("report", 19, TABLE_SIZE, 4 + 1 + ids.HASH_SIZE),
        ("grant", 18, SLOT_COUNT, 4 + 1),
        ("grant", 19, TABLE_SIZE, 4),
    ):
        line = next(line for line in body(f"{rule}-payload").splitlines() if f"{label} =>" in line)
        assert number_after(r"bstr \.size (\d+)", line) == count * size, line
        assert number_after(r"; (\d+) ", line) == count, line
    for rule, label, states in (("report", 18, SlotState), ("report", 19, EntryState), ("grant", 18, SlotState)):
        line = next(line for line in body(f"{rule}-payload").splitlines() if f"{label} =>" in line)
        listed = line.split("(")[1].split(")")[0]
        named = {int(number): name for number, name in re.findall(r"(\d) ([a-z]+)", listed)}
        final = {one.value: one.name.lower() for one in states if one.name not in ("FREE", "PENDING")}
        assert named == (final if rule == "grant" else {one.value: one.name.lower() for one in states if one}), line


def test_the_fraud_proof() -> None:
    assert members("fraud-proof")[2] == f"{min(FraudKind)} / {max(FraudKind)}"
    assert number_after(r"4 => \[1\*(\d+) bstr\]", body("fraud-proof")) == MAX_CERTIFICATES_OF_A_PROOF
    largest = 3 * MAX_FIXED_SIZE + MAX_CERTIFICATES_OF_A_PROOF * certificates.MAX_CERTIFICATE_SIZE
    assert largest < MAX_PROOF_SIZE


def test_a_fixed_message_fits_its_limit() -> None:
    assert max(signed_size(sample.rule) for sample in FIXED) == signed_size("report") <= MAX_FIXED_SIZE


def test_the_revocation_list() -> None:
    entries = re.search(r"\[0\*(\d+) \[id, 1\.\.(\d)\]\], +; rising ids; (.*)", body("revocation-list-payload"))
    assert entries
    assert (int(entries[1]), int(entries[2])) == (MAX_ENTRIES, max(RevocationReason))
    named = [(int(number), name.upper()) for number, name in re.findall(r"(\d) ([a-z]+)", entries[3])]
    assert named == [(reason.value, reason.name) for reason in RevocationReason]
    most = number_after(r"by an operator; at most (\d+) MiB", cddl.TEXT) * 2**20
    ids_ = (number.to_bytes(ids.ID_SIZE, "big") for number in range(MAX_ENTRIES))
    fullest = replace(REVOCATIONS, entries=dict.fromkeys(ids_, RevocationReason.DEAD))
    assert len(Signed.sign(fullest, OPERATOR.key).to_bytes()) <= most <= MAX_LIST_SIZE


def test_classes_and_modes() -> None:
    listed = re.search(r"\nclass = (\d)\.\.(\d) +; (.*)", cddl.TEXT)
    assert listed
    assert (int(listed[1]), int(listed[2])) == (min(CertificateClass), max(CertificateClass))
    names = {int(number): name for number, name in re.findall(r"(\d) ([a-z ]+)", listed[3])}
    assert names == {one.value: one.name.lower().replace("_", " ") for one in CertificateClass}
    modes = dict(re.findall(r"(\d) (staged|intermittent)", cddl.TEXT))
    assert modes == {str(one.value): one.name.lower() for one in SpendMode}


@pytest.mark.parametrize("suite", list(Suite))
def test_what_a_suite_replaces(suite: Suite) -> None:
    known = profile(suite)
    written = {name: int(value) for name, value in cddl.of_suite(suite).items()}
    assert written == {"suite": suite, "alg": known.cose_alg, "curve": known.cose_curve}
    assert codec.decode(known.protected, max_size=8) == {1: written["alg"]}


def test_headers() -> None:
    assert "\nheader = { 1 => alg }" in cddl.TEXT
    assert "certificate-header = { 1 => alg, 4 => id, 16 => 61 }" in cddl.TEXT
    assert "-1 => curve" in cddl.TEXT


def test_the_audit_block() -> None:
    parts = re.search(
        r"nonce (\d+) \| n (\d+) \| total in (\d+) \| total out (\d+) \| total reversed (\d+) \| exposure (\d+)",
        cddl.TEXT,
    )
    assert parts
    assert sum(int(part) for part in parts.groups()) == audit.SEALED_SIZE
    assert int(parts[1]) == audit.NONCE_SIZE


def signed_size(rule: str) -> int:
    return next(len(sample.signed.to_bytes()) for sample in SAMPLES if sample.rule == rule)


def test_sizes_in_apdu_md() -> None:
    assert {int(size) for size in re.findall(r"Request payload \((\d+)\)", APDU)} == {stated_size("request-payload")}
    for words, rule in (
        ("signed Request", "request"),
        ("signed Voucher", "voucher"),
        ("signed CertificationRequest", "certification-request"),
        ("signed Receipt", "receipt"),
        ("signed Refusal", "refusal"),
        ("signed ReversalOrder", "reversal-order"),
        ("signed Report", "report"),
        ("signed Grant", "grant"),
    ):
        assert {int(size) for size in re.findall(rf"{words} \((\d+)\)", APDU)} == {signed_size(rule)}, words
    assert number_after(r"certificates have (\d+) bytes", APDU) == len(PARTIES[0].certificate.to_bytes())
    asked = number_after(r"payer id ‖ epoch ‖ n ‖ amount ‖ order hash \((\d+)\)", APDU)
    assert asked == ids.ID_SIZE + 4 + 4 + 8 + ids.HASH_SIZE
    assert f"{SLOT_COUNT} × (state 1 ‖ n 4)" in APDU
    assert number_after(r"audit key, (\d+) bytes", APDU) == audit.KEY_SIZE


def test_pay_and_its_answer_fit_a_short_apdu_and_one_get_response() -> None:
    assert stated_size("request-payload") <= 255
    assert 256 < signed_size("voucher") <= 256 + 255
    assert f"`61{signed_size('voucher') - 256:02X}`" in APDU


def test_numbers_of_transfer_md() -> None:
    assert number_after(r"makes at most (\d+) payments", TRANSFER) == SLOT_COUNT
    assert number_after(r"is loaded\s+at most (\d+) times", TRANSFER) == TABLE_SIZE
    cycle = " → ".join(state.name.lower() for state in Lifecycle)
    assert cycle in TRANSFER
    rows = re.search(r"`C0` \| 1 \| life cycle: (.*) \|", APDU)
    assert rows
    assert rows[1] == ", ".join(f"{state.value} {state.name.lower()}" for state in Lifecycle)


def test_a_deposit_carries_what_its_rules_say() -> None:
    """The items of a batch are messages of this page themselves."""
    for rule, items in (("voucher", BATCH.vouchers), ("refusal", BATCH.refusals), ("certificate", BATCH.certificates)):
        for item in items:
            cddl.judge(rule, item)
