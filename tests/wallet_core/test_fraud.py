"""Proofs of fraud: what convicts, what does not, and that nobody can make one of what honest devices have said."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations
from typing import Any

import pytest

from support.keys import (
    AUTHORITY,
    CARD,
    EXPIRES,
    FOREIGN_CARD,
    FOREIGN_OPERATOR,
    MERCHANT_PURSE,
    NOT_BEFORE,
    OPERATOR,
    OPERATOR_PURSE,
    OTHER_CARD,
    TILL,
    Party,
    certify,
    trust_store,
)
from support.purses import UNLIMITED, Purse
from support.samples import LOAD_RECEIPT, LOAD_REQUEST, LOAD_VOUCHER, REPORT, REQUEST, SAMPLES, VOUCHER, digest
from wallet_core import codec, fraud
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    CodecError,
    MismatchError,
    NotCanonicalError,
    OutOfRangeError,
    OversizedError,
    TestKeyRefusedError,
    TruncatedError,
    UnknownLabelError,
    UnknownSuiteError,
    UntrustedCertificateError,
    WrongClassError,
    WrongTypeError,
)
from wallet_core.fraud import MAX_CERTIFICATES, MAX_PROOF_SIZE, Culprit, FraudKind, FraudProof, check, make
from wallet_core.messages import Receipt, Refusal, Report, Request, Signed, SpendMode, Voucher, parse
from wallet_core.messages.ending import SlotLine, pack_slots
from wallet_core.purse import settle
from wallet_core.purse.state import SlotState
from wallet_core.suites import Suite
from wallet_core.trust import TrustStore

CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CHAIN = (CARD.certificate, OPERATOR.certificate)

SECOND_REQUEST = replace(REQUEST, payee=MERCHANT_PURSE.id, k=1, amount=1)
SECOND = replace(VOUCHER, payee=MERCHANT_PURSE.id, k=1, amount=1, request_hash=SECOND_REQUEST.hash)
CONTRADICTING = replace(REPORT, slots=pack_slots([SlotLine(1, SlotState.PENDING, SECOND.hash)]))
DENIAL = Refusal(suite=Suite.ES256, payee=CARD.id, k=1, request_hash=LOAD_REQUEST.hash)


def by(party: Party, message: Any) -> Signed[Any]:
    return Signed.sign(message, party.key)


def other_form(signed: Signed[Any]) -> Signed[Any]:
    """The second valid signature that anyone can make from the first: (r, n - s)."""
    s = int.from_bytes(signed.signature[32:], "big")
    return replace(signed, signature=signed.signature[:32] + (CURVE_ORDER - s).to_bytes(32, "big"))


DOUBLE_SPEND = make([by(CARD, VOUCHER), by(CARD, SECOND)], CHAIN)
BY_REPORT = make([by(CARD, VOUCHER), by(CARD, CONTRADICTING)], CHAIN)
TWO_OUTCOMES = make([by(CARD, LOAD_RECEIPT), by(CARD, DENIAL), by(OPERATOR_PURSE, LOAD_VOUCHER)], CHAIN)
PROOFS = {"two vouchers": DOUBLE_SPEND, "voucher and report": BY_REPORT, "receipt and refusal": TWO_OUTCOMES}
every_proof = pytest.mark.parametrize("proof", PROOFS.values(), ids=PROOFS.keys())


# What convicts


@every_proof
def test_anyone_can_check_it(proof: FraudProof) -> None:
    """With the authority's certificate alone: the proof brings the operator's along."""
    data = proof.to_bytes()
    read = FraudProof.from_bytes(data)
    assert read == proof
    assert read.to_bytes() == data
    assert len(data) <= MAX_PROOF_SIZE
    for trust in (TrustStore(AUTHORITY.certificate, production=False), trust_store()):
        culprit = check(read, trust)
        assert (culprit.id, culprit.subject_class, culprit.kind) == (CARD.id, CertificateClass.HARD_WALLET, proof.kind)


@pytest.mark.parametrize(
    ("proof", "kind", "words"),
    [
        (
            DOUBLE_SPEND,
            FraudKind.DOUBLE_SPEND,
            {
                "two vouchers",
                "counter 1",
                f"6800 fen to {TILL.id.hex()[:8]}",
                f"1 fen to {MERCHANT_PURSE.id.hex()[:8]}",
            },
        ),
        (BY_REPORT, FraudKind.DOUBLE_SPEND, {"a voucher", "a report", "counter 1", "6800 fen"}),
        (TWO_OUTCOMES, FraudKind.TWO_OUTCOMES, {"a receipt and a refusal", "50000 fen", "k 1"}),
    ],
    ids=PROOFS.keys(),
)
def test_it_says_what_was_done(proof: FraudProof, kind: FraudKind, words: set[str]) -> None:
    culprit = check(proof, trust_store())
    assert isinstance(culprit, Culprit)
    assert culprit.kind is kind is proof.kind
    assert all(word in culprit.what for word in words), culprit.what


@every_proof
def test_the_order_in_which_the_evidence_came_is_not_seen(proof: FraudProof) -> None:
    """One fraud, one proof: I9."""
    others = [OTHER_CARD.certificate, TILL.certificate, OPERATOR_PURSE.certificate]
    made = {
        make(messages, certificates).to_bytes()
        for messages in permutations(proof.messages)
        for certificates in ([*CHAIN, *others], [*others, *reversed(CHAIN)], [*CHAIN, *CHAIN])
    }
    assert made == {proof.to_bytes()}


@pytest.mark.parametrize("party", [CARD, OPERATOR_PURSE, MERCHANT_PURSE], ids=lambda party: party.name)
def test_a_purse_of_any_class(party: Party) -> None:
    first, second = (by(party, replace(one, payer=party.id)) for one in (VOUCHER, SECOND))
    proof = make([first, second], [party.certificate, OPERATOR.certificate])
    assert check(proof, trust_store()).subject_class is party.certificate.subject_class


def test_a_till_that_gives_both_outcomes() -> None:
    """It has no secure element and no business with receipts; what it signs twice convicts it all the same."""
    receipt = replace(LOAD_RECEIPT, payee=TILL.id, k=7, voucher_hash=VOUCHER.hash)
    denial = replace(DENIAL, payee=TILL.id, k=7, request_hash=REQUEST.hash)
    messages = [by(TILL, receipt), by(TILL, denial), by(CARD, VOUCHER)]
    culprit = check(make(messages, [TILL.certificate, OPERATOR.certificate]), trust_store())
    assert (culprit.id, culprit.subject_class) == (TILL.id, CertificateClass.TILL)


def test_the_payees_own_receipt_fixes_the_voucher() -> None:
    """Who signs H(Voucher) answers for it: the payer's certificate is not needed."""
    unsigned = Signed(LOAD_VOUCHER, bytes(64))
    proof = make([by(CARD, LOAD_RECEIPT), by(CARD, DENIAL), unsigned], CHAIN)
    assert check(proof, trust_store()).id == CARD.id


@every_proof
def test_a_fraud_does_not_expire(proof: FraudProof) -> None:
    old = certify(OPERATOR.key, CARD.key, CertificateClass.HARD_WALLET, expires=NOT_BEFORE + 1)
    assert NOT_BEFORE + 1 < EXPIRES
    assert check(make(proof.messages, [old, OPERATOR.certificate]), trust_store()).id == CARD.id


def test_a_report_finds_the_other_voucher_among_many() -> None:
    lines = [SlotLine(n, SlotState.COLLECTED, digest(f"voucher {n}")) for n in range(2, 17)]
    for state in (SlotState.PENDING, SlotState.COLLECTED, SlotState.REVERSED):
        report = replace(REPORT, slots=pack_slots([SlotLine(1, state, SECOND.hash), *lines]))
        assert check(make([by(CARD, VOUCHER), by(CARD, report)], CHAIN), trust_store()).id == CARD.id


# What does not


def test_the_other_form_of_a_signature_is_no_second_voucher() -> None:
    """I8: ECDSA signatures are malleable, payload hashes are not."""
    signed = by(CARD, VOUCHER)
    again = other_form(signed)
    assert again != signed
    assert again.verify(CARD.key.public) == VOUCHER
    with pytest.raises(MismatchError):
        make([signed, again], CHAIN)
    forged = replace(DOUBLE_SPEND, messages=(signed, again))
    with pytest.raises(MismatchError):
        check(FraudProof.from_bytes(forged.to_bytes()), trust_store())


@every_proof
def test_the_other_form_proves_as_well(proof: FraudProof) -> None:
    """A culprit gains nothing by it either."""
    changed = replace(proof, messages=tuple(other_form(one) for one in proof.messages))
    assert check(FraudProof.from_bytes(changed.to_bytes()), trust_store()) == check(proof, trust_store())


@pytest.mark.parametrize(
    "changes",
    [{"n": 2}, {"epoch": 2}, {"payer": OTHER_CARD.id}, {"n": 2, "amount": 1}, {"n": 0}],
    ids=["counter", "epoch", "payer", "counter and amount", "no counter"],
)
def test_vouchers_that_do_not_contradict(changes: dict[str, Any]) -> None:
    with pytest.raises(MismatchError):
        make([by(CARD, VOUCHER), by(CARD, replace(VOUCHER, **changes))], CHAIN)
    first, second = sorted((by(CARD, VOUCHER), by(CARD, replace(SECOND, **changes))), key=lambda one: one.hash)
    with pytest.raises(MismatchError):
        check(replace(DOUBLE_SPEND, messages=(first, second)), trust_store())


@pytest.mark.parametrize(
    "report",
    [
        REPORT,
        replace(CONTRADICTING, epoch=2),
        replace(CONTRADICTING, purse=OTHER_CARD.id),
        replace(REPORT, slots=pack_slots([])),
        replace(REPORT, slots=pack_slots([SlotLine(2, SlotState.PENDING, SECOND.hash)])),
    ],
    ids=["the same voucher", "another epoch", "another purse", "slot freed", "another counter"],
)
def test_a_report_that_does_not_contradict(report: Report) -> None:
    with pytest.raises(MismatchError):
        make([by(CARD, VOUCHER), by(CARD, report)], CHAIN)


@pytest.mark.parametrize(
    ("receipt", "refusal", "voucher"),
    [
        ({"voucher_hash": VOUCHER.hash}, {}, {}),
        ({}, {"request_hash": REQUEST.hash}, {}),
        ({}, {"payee": OTHER_CARD.id}, {}),
        ({"payee": OTHER_CARD.id}, {}, {}),
        ({"payee": OTHER_CARD.id}, {"payee": OTHER_CARD.id}, {}),
        ({}, {}, {"request_hash": REQUEST.hash}),
        ({}, {}, {"amount": 1}),
    ],
    ids=[
        "other voucher",
        "other request",
        "refused by another",
        "received by another",
        "of others",
        "unlinked",
        "other",
    ],
)
def test_outcomes_that_do_not_contradict(
    receipt: dict[str, Any], refusal: dict[str, Any], voucher: dict[str, Any]
) -> None:
    messages = (
        by(CARD, replace(LOAD_RECEIPT, **receipt)),
        by(CARD, replace(DENIAL, **refusal)),
        by(OPERATOR_PURSE, replace(LOAD_VOUCHER, **voucher)),
    )
    with pytest.raises(MismatchError):
        make(messages, CHAIN)
    with pytest.raises(MismatchError):
        check(replace(TWO_OUTCOMES, messages=messages), trust_store())


def test_messages_that_are_no_proof_of_any_kind() -> None:
    signed = [sample.signed for sample in SAMPLES]
    for some in [*combinations(signed, 1), *combinations(signed, 2), [], [*DOUBLE_SPEND.messages, by(CARD, REPORT)]]:
        with pytest.raises(MismatchError):
            make(some, CHAIN)


@every_proof
def test_only_the_signer_can_convict_itself(proof: FraudProof) -> None:
    """What another key has signed in its name proves nothing, one message or all of them."""
    for at in range(2):
        forged = tuple(by(OTHER_CARD, one.message) if i == at else one for i, one in enumerate(proof.messages))
        with pytest.raises(BadSignatureError):
            check(replace(proof, messages=forged), trust_store())
        with pytest.raises(MismatchError):
            check(replace(proof, messages=forged, certificates=(OTHER_CARD.certificate,)), trust_store())


@every_proof
def test_without_the_right_certificate(proof: FraudProof) -> None:
    def certified(*certificates: Certificate) -> FraudProof:
        return replace(proof, certificates=certificates)

    with pytest.raises(MismatchError):
        check(certified(OPERATOR.certificate), trust_store())
    with pytest.raises(MismatchError):
        check(certified(OTHER_CARD.certificate), trust_store())
    with pytest.raises(UntrustedCertificateError):  # the operator is not known
        check(certified(CARD.certificate), TrustStore(AUTHORITY.certificate, production=False))
    real = certify(AUTHORITY.key, AUTHORITY.key, CertificateClass.AUTHORITY, test=False)
    production = TrustStore(real, production=True)
    with pytest.raises(TestKeyRefusedError):
        check(proof, production)
    foreign = certify(FOREIGN_OPERATOR.key, CARD.key, CertificateClass.HARD_WALLET)
    with pytest.raises(UntrustedCertificateError):
        check(certified(foreign), trust_store())
    with pytest.raises(UntrustedCertificateError):
        check(certified(foreign, FOREIGN_OPERATOR.certificate), trust_store())
    assert check(certified(foreign, *CHAIN), trust_store()).id == CARD.id


def test_a_class_that_cannot_pay() -> None:
    for party in (TILL, OPERATOR):
        first, second = (by(party, replace(one, payer=party.id)) for one in (VOUCHER, SECOND))
        certificate = certify(OPERATOR.key, party.key, CertificateClass.TILL, epoch=1)
        with pytest.raises(WrongClassError):
            check(make([first, second], [certificate]), trust_store())


def test_the_certificate_is_of_the_epoch_of_the_counter() -> None:
    of_two = certify(OPERATOR.key, CARD.key, CertificateClass.HARD_WALLET, epoch=2)
    with pytest.raises(MismatchError):
        check(replace(DOUBLE_SPEND, certificates=(of_two, OPERATOR.certificate)), trust_store())
    second = make([by(CARD, replace(one, epoch=2)) for one in (VOUCHER, SECOND)], [of_two, *CHAIN])
    assert check(second, trust_store()).id == CARD.id


def test_the_callers_trust_learns_nothing() -> None:
    """Nobody's file may put an operator's old certificate in the place of its new one."""
    trust = TrustStore(AUTHORITY.certificate, production=False)
    check(DOUBLE_SPEND, trust)
    assert trust.operators == ()
    with pytest.raises(UntrustedCertificateError):
        trust.verify(CARD.certificate, now=None)


def test_what_honest_purses_say_proves_nothing() -> None:
    """Every message of a card that pays, is refused, is paid, reports: no two or three of them convict anyone (I8)."""
    policy = replace(UNLIMITED, mode=SpendMode.INTERMITTENT)
    card, shop, bank = (Purse(party, policy) for party in (CARD, MERCHANT_PURSE, OPERATOR_PURSE))
    bank.endow(90_000)
    said: list[Signed[Any]] = []

    def heard(kind: type[Any], data: bytes, signer: Party) -> bytes:
        signed: Signed[Any] = parse(kind, data)
        said.extend([signed, other_form(signed)])
        return data

    def report(purse: Purse) -> None:
        shown = settle.report(purse.state, purse.id, suite=Suite.ES256, policy_version=1)
        heard(Report, by(purse.party, shown).to_bytes(), purse.party)

    for payer, payee, amount, refuses in (
        (bank, card, 40_000, False),
        (card, shop, 10_000, False),
        (card, shop, 5_000, True),
        (shop, card, 1_000, False),
        (bank, card, 7_000, True),
    ):
        request = payee.ask(payer, amount)
        voucher = heard(Voucher, payer.pay(request), payer.party)
        report(payer)
        if refuses:
            heard(Refusal, payee.refuse(parse(Request, request).hash), payee.party)
        else:
            heard(Receipt, payee.collect(voucher, payer.party.certificate.subject_class), payee.party)
        report(payee)
    certificates = [party.certificate for party in (CARD, MERCHANT_PURSE, OPERATOR_PURSE, OPERATOR)]
    tried = 0
    for size in (2, 3):
        for some in combinations(said, size):
            tried += 1
            with pytest.raises(MismatchError):
                make(some, certificates)
    assert tried > 5_000


# Encodings


def content(proof: FraudProof) -> dict[int, Any]:
    decoded: dict[int, Any] = codec.decode(proof.to_bytes(), max_size=MAX_PROOF_SIZE)
    return decoded


@every_proof
def test_cut_and_stretched(proof: FraudProof) -> None:
    data = proof.to_bytes()
    assert fraud.is_proof(data)
    for end in range(len(data)):
        with pytest.raises(TruncatedError):
            FraudProof.from_bytes(data[:end])
    with pytest.raises(OversizedError):
        FraudProof.from_bytes(data + b"\0")
    with pytest.raises(OversizedError):
        FraudProof.from_bytes(data + bytes(MAX_PROOF_SIZE))


@every_proof
def test_each_bit_counts(proof: FraudProof) -> None:
    """A flipped bit is refused by the codec or fails to verify; the linking voucher's signature alone is not read."""
    data, trust = proof.to_bytes(), TrustStore(AUTHORITY.certificate, production=False)
    free = proof.messages[2].signature if proof.kind is FraudKind.TWO_OUTCOMES else b"\0"
    unread = range(data.index(free), data.index(free) + len(free)) if len(free) == 64 else range(0)
    for at in range(0, len(data), 3):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        try:
            culprit = check(FraudProof.from_bytes(bytes(changed)), trust)
        except (CodecError, MismatchError, BadSignatureError, UntrustedCertificateError, WrongClassError):
            continue
        assert at in unread
        assert culprit == check(proof, trust)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_no_signed_message_is_a_proof(sample: Any) -> None:
    assert not fraud.is_proof(sample.signed.to_bytes())
    with pytest.raises(CodecError):
        FraudProof.from_bytes(sample.signed.to_bytes())
    with pytest.raises(WrongTypeError):
        FraudProof.from_bytes(sample.message.to_payload())


GOOD = content(DOUBLE_SPEND)
FIRST, OTHER = GOOD[3]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({0: 14}, WrongTypeError),
        ({0: True}, WrongTypeError),
        ({1: 2}, UnknownSuiteError),
        ({1: 0}, UnknownSuiteError),
        ({1: b"\1"}, OutOfRangeError),
        ({2: 0}, UnknownLabelError),
        ({2: 3}, UnknownLabelError),
        ({2: True}, OutOfRangeError),
        ({2: "1"}, OutOfRangeError),
        ({2: 2}, OutOfRangeError),
        ({3: []}, OutOfRangeError),
        ({3: [FIRST]}, OutOfRangeError),
        ({3: [FIRST, OTHER, OTHER]}, OutOfRangeError),
        ({3: [FIRST, OTHER] * 2}, OutOfRangeError),
        ({3: [OTHER, FIRST]}, NotCanonicalError),
        ({3: [FIRST, "voucher"]}, OutOfRangeError),
        ({3: {0: FIRST, 1: OTHER}}, OutOfRangeError),
        ({3: [FIRST, by(CARD, REPORT).to_bytes()[:-1]]}, TruncatedError),
        ({3: [by(CARD, REPORT).to_bytes(), FIRST]}, WrongTypeError),
        ({3: [FIRST, by(TILL, REQUEST).to_bytes()]}, WrongTypeError),
        ({3: [FIRST, bytes(1281)]}, OversizedError),
        ({4: []}, OutOfRangeError),
        ({4: GOOD[4][::-1]}, NotCanonicalError),
        ({4: [GOOD[4][0]] * 2}, NotCanonicalError),
        ({4: [bytes((i,)) for i in range(MAX_CERTIFICATES + 1)]}, OutOfRangeError),
        ({4: [bytes(513)]}, OversizedError),
        ({4: [FIRST]}, WrongTypeError),
        ({4: [b""]}, TruncatedError),
        ({4: b""}, OutOfRangeError),
        ({5: []}, UnknownLabelError),
        ({-1: []}, UnknownLabelError),
    ],
    ids=str,
)
def test_what_is_not_a_proof(changes: dict[int, Any], error: type[CodecError]) -> None:
    with pytest.raises(error):
        FraudProof.from_bytes(codec.encode({**GOOD, **changes}))


@pytest.mark.parametrize("label", [0, 1, 2, 3, 4])
def test_a_label_that_is_missing(label: int) -> None:
    rest = {key: value for key, value in GOOD.items() if key != label}
    with pytest.raises(TruncatedError if label else WrongTypeError):
        FraudProof.from_bytes(codec.encode(rest))


def test_as_many_certificates_as_fit() -> None:
    more = [certify(OPERATOR.key, CARD.key, CertificateClass.HARD_WALLET, epoch=number) for number in range(2, 10)]
    proof = make(DOUBLE_SPEND.messages, [*CHAIN, *more[:6]])
    assert len(proof.certificates) == MAX_CERTIFICATES
    assert check(proof, trust_store()).id == CARD.id
    with pytest.raises(OutOfRangeError):
        make(DOUBLE_SPEND.messages, [*CHAIN, *more])
    with pytest.raises(OutOfRangeError):
        make(DOUBLE_SPEND.messages, [])
    with pytest.raises(OutOfRangeError):
        make(DOUBLE_SPEND.messages, [FOREIGN_CARD.certificate])
