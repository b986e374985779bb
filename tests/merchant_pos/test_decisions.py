"""merchant_pos.decisions: each rule of docs/spec/till.md, without card, clock or disk."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from merchant_pos.decisions import (
    Shown,
    Step,
    balance_left,
    check_payer,
    check_policy,
    check_voucher,
    hold_to_policy,
    is_same_card,
    make_request,
    on_new_card,
    on_refusal,
)
from merchant_pos.sales import Order, Sale, SaleState
from support.keys import (
    CARD,
    FOREIGN_CARD,
    FOREIGN_OPERATOR,
    MERCHANT_PURSE,
    NOW,
    OPERATOR,
    OPERATOR_PURSE,
    OTHER_CARD,
    TILL,
    certify,
    key,
)
from support.samples import POLICY, VOUCHER
from wallet_core.certificates import CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    CodecError,
    MismatchError,
    PurseRefusal,
    Refused,
    TruncatedError,
    UntrustedCertificateError,
    VerificationError,
    WrongClassError,
)
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import Request, Signed, Voucher
from wallet_core.purse.state import Lifecycle

ORDER = Order(6_800, "two bowls of noodles")
SHOWN = Shown(CARD.id, 1, 5, Lifecycle.ACTIVE, 50_000, 20_000, POLICY.version, 3)
REQUEST = make_request(ORDER, SHOWN, till=TILL.id, k=9)


def sale(request: Request = REQUEST) -> Sale:
    return Sale(
        state=SaleState.UNKNOWN,
        order=ORDER.reference,
        request=request,
        voucher=None,
        voucher_hash=None,
        refusal=None,
        reason=None,
        left=None,
        asked_ms=NOW * 1000,
        decided_ms=None,
        batch=None,
        position=None,
        status=None,
    )


def voucher(**changes: object) -> Voucher:
    fields = {"payer": CARD.id, "epoch": 1, "n": 5, "payee": TILL.id, "k": 9, "amount": 6_800}
    return replace(VOUCHER, **{**fields, "request_hash": REQUEST.hash, **changes})  # type: ignore[arg-type]


# A card is shown ----------------------------------------------------------------------------------------------------


def test_a_request_is_for_the_card_shown_and_its_next_counter() -> None:
    assert (REQUEST.payer, REQUEST.epoch, REQUEST.n) == (CARD.id, 1, 5)
    assert (REQUEST.payee, REQUEST.k, REQUEST.amount) == (TILL.id, 9, 6_800)
    assert REQUEST.order_hash == ORDER.hash != Order(6_800, "one bowl").hash


@pytest.mark.parametrize(("amount", "verified"), [(1, False), (20_000, False), (20_001, True)])
def test_above_the_cards_threshold_the_payee_is_verified(amount: int, verified: bool) -> None:
    assert on_new_card(Order(amount, ""), SHOWN) is verified


@pytest.mark.parametrize("lifecycle", list(Lifecycle))
def test_the_card_of_the_open_sale_is_known_whatever_its_life_cycle(lifecycle: Lifecycle) -> None:
    assert is_same_card(sale(), replace(SHOWN, lifecycle=lifecycle, next_n=9, balance=0))


@pytest.mark.parametrize("other", [replace(SHOWN, purse=OTHER_CARD.id), replace(SHOWN, epoch=2)])
def test_another_purse_or_epoch_is_another_card(other: Shown) -> None:
    assert not is_same_card(sale(), other)


@pytest.mark.parametrize("lifecycle", [state for state in Lifecycle if state is not Lifecycle.ACTIVE])
def test_a_card_that_is_not_active_is_asked_nothing(lifecycle: Lifecycle) -> None:
    with pytest.raises(PurseRefusal) as caught:
        on_new_card(ORDER, replace(SHOWN, lifecycle=lifecycle))
    assert caught.value.reason is Refused.WRONG_STATE


@pytest.mark.parametrize("amount", [0, -1, 2**53])
def test_an_amount_is_at_least_one_fen_and_can_be_counted(amount: int) -> None:
    with pytest.raises(PurseRefusal) as caught:
        on_new_card(Order(amount, ""), SHOWN)
    assert caught.value.reason is Refused.AMOUNT


def test_a_card_without_counters_is_asked_nothing() -> None:
    with pytest.raises(PurseRefusal) as caught:
        on_new_card(ORDER, replace(SHOWN, next_n=COUNTER_MAX + 1))
    assert caught.value.reason is Refused.COUNTERS_EXHAUSTED


# Its policy ---------------------------------------------------------------------------------------------------------


def test_the_policy_is_the_operators_for_this_class_and_version() -> None:
    assert check_policy(POLICY, CARD.certificate, SHOWN) == POLICY


@pytest.mark.parametrize(
    "changes",
    [{"operator": TILL.id}, {"purse_class": CertificateClass.MERCHANT_PURSE}, {"version": 2}, {"version": 4}],
)
def test_another_policy_is_not(changes: dict[str, Any]) -> None:
    with pytest.raises(MismatchError):
        check_policy(replace(POLICY, **changes), CARD.certificate, SHOWN)


@pytest.mark.parametrize(("amount", "allowed"), [(1, True), (50_000, True), (50_001, False)])
def test_the_till_holds_to_the_limit_of_one_transfer(amount: int, allowed: bool) -> None:
    if allowed:
        hold_to_policy(amount, POLICY, CertificateClass.TILL)
        return
    with pytest.raises(PurseRefusal) as caught:
        hold_to_policy(amount, POLICY, CertificateClass.TILL)
    assert caught.value.reason is Refused.TRANSFER_LIMIT


@pytest.mark.parametrize(
    "payee", [CertificateClass.TILL, CertificateClass.MERCHANT_PURSE, CertificateClass.HARD_WALLET]
)
def test_the_till_holds_to_the_classes_of_payees(payee: CertificateClass) -> None:
    only = replace(POLICY, payee_classes=1 << payee)
    hold_to_policy(1, only, payee)
    for other in {CertificateClass.TILL, CertificateClass.MERCHANT_PURSE, CertificateClass.HARD_WALLET} - {payee}:
        with pytest.raises(PurseRefusal) as caught:
            hold_to_policy(1, only, other)
        assert caught.value.reason is Refused.PAYEE_CLASS


# A card refuses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [r for r in Refused if r not in (Refused.PIN_REQUIRED, Refused.PAYEE_UNVERIFIED)])
def test_a_refusal_of_the_first_pay_is_proof(reason: Refused) -> None:
    assert on_refusal(REQUEST, reason, SHOWN, asked_before=False, verified=False) is Step.GIVE_UP


def test_stale_proves_that_nothing_was_charged_once_n_has_passed() -> None:
    passed = replace(SHOWN, next_n=6)
    assert on_refusal(REQUEST, Refused.STALE, passed, asked_before=True, verified=False) is Step.GIVE_UP


@pytest.mark.parametrize("reason", [Refused.INSUFFICIENT, Refused.WRONG_STATE, Refused.OFFLINE_TOTAL])
def test_a_card_that_still_stands_at_n_has_not_charged(reason: Refused) -> None:
    assert on_refusal(REQUEST, reason, SHOWN, asked_before=True, verified=False) is Step.GIVE_UP


@pytest.mark.parametrize("reason", [r for r in Refused if r is not Refused.STALE])
def test_after_a_lost_answer_no_other_refusal_is_proof_once_n_has_passed(reason: Refused) -> None:
    passed = replace(SHOWN, next_n=6)
    assert on_refusal(REQUEST, reason, passed, asked_before=True, verified=False) is Step.STILL_UNKNOWN


def test_a_card_that_went_back_proves_nothing() -> None:
    back = replace(SHOWN, next_n=4)
    assert on_refusal(REQUEST, Refused.STALE, back, asked_before=True, verified=False) is Step.STILL_UNKNOWN


@pytest.mark.parametrize("asked_before", [False, True])
def test_pin_and_payee_can_be_given(asked_before: bool) -> None:
    def then(reason: Refused, *, verified: bool) -> Step:
        return on_refusal(REQUEST, reason, SHOWN, asked_before=asked_before, verified=verified)

    assert then(Refused.PIN_REQUIRED, verified=False) is Step.ENTER_PIN
    assert then(Refused.PAYEE_UNVERIFIED, verified=False) is Step.SEND_SIGNED
    assert then(Refused.PAYEE_UNVERIFIED, verified=True) is Step.GIVE_UP


# Certificates and vouchers ------------------------------------------------------------------------------------------


def test_a_visitors_card_and_a_merchants_purse_may_pay() -> None:
    assert check_payer(CARD.certificate, SHOWN, OPERATOR.id) == CARD.certificate
    shown = replace(SHOWN, purse=MERCHANT_PURSE.id)
    assert check_payer(MERCHANT_PURSE.certificate, shown, OPERATOR.id) == MERCHANT_PURSE.certificate


@pytest.mark.parametrize("party", [OPERATOR_PURSE, TILL])
def test_no_other_class_pays_at_a_till(party: type[object]) -> None:
    with pytest.raises(WrongClassError):
        check_payer(party.certificate, replace(SHOWN, purse=party.id), OPERATOR.id)  # type: ignore[attr-defined]


def test_a_purse_of_another_operator_does_not_pay_at_this_till() -> None:
    with pytest.raises(UntrustedCertificateError, match="another operator"):
        check_payer(CARD.certificate, SHOWN, FOREIGN_OPERATOR.id)


def test_the_certificate_is_of_this_purse_and_epoch() -> None:
    with pytest.raises(MismatchError, match="another purse"):
        check_payer(OTHER_CARD.certificate, SHOWN, OPERATOR.id)
    with pytest.raises(MismatchError, match="epoch"):
        check_payer(CARD.certificate, replace(SHOWN, epoch=2), OPERATOR.id)


def test_the_voucher_of_the_request_is_believed() -> None:
    signed = Signed.sign(voucher(), CARD.key)
    assert check_voucher(signed.to_bytes(), REQUEST, CARD.certificate) == signed


@pytest.mark.parametrize(
    "changes",
    [
        {"payer": OTHER_CARD.id},
        {"epoch": 2},
        {"n": 6},
        {"payee": OTHER_CARD.id},
        {"k": 10},
        {"amount": 6_799},
        {"amount": 6_801},
        {"request_hash": bytes(32)},
    ],
)
def test_a_voucher_that_answers_another_request_is_not(changes: dict[str, object]) -> None:
    signed = Signed.sign(voucher(**changes), CARD.key)
    with pytest.raises(MismatchError):
        check_voucher(signed.to_bytes(), REQUEST, CARD.certificate)


@pytest.mark.parametrize("signer", [OTHER_CARD, FOREIGN_CARD, TILL])
def test_a_voucher_signed_again_by_another_key_is_not(signer: type[object]) -> None:
    signed = Signed.sign(voucher(), signer.key)  # type: ignore[attr-defined]
    with pytest.raises(BadSignatureError):
        check_voucher(signed.to_bytes(), REQUEST, CARD.certificate)


def test_a_certificate_of_another_epoch_does_not_cover_the_voucher() -> None:
    other = certify(key("operator"), CARD.key, CertificateClass.HARD_WALLET, epoch=2)
    with pytest.raises(BadSignatureError):
        check_voucher(Signed.sign(voucher(), CARD.key).to_bytes(), REQUEST, other)


def test_half_a_voucher_and_another_message_are_none() -> None:
    answer = Signed.sign(voucher(), CARD.key).to_bytes()
    with pytest.raises(TruncatedError):
        check_voucher(answer[:-1], REQUEST, CARD.certificate)
    with pytest.raises(CodecError):
        check_voucher(Signed.sign(REQUEST, CARD.key).to_bytes(), REQUEST, CARD.certificate)


def test_every_bit_of_a_voucher_counts() -> None:
    answer = Signed.sign(voucher(), CARD.key).to_bytes()
    for at in range(0, len(answer), 3):
        bent = answer[:at] + bytes((answer[at] ^ 1,)) + answer[at + 1 :]
        with pytest.raises((CodecError, VerificationError)):
            check_voucher(bent, REQUEST, CARD.certificate)


@pytest.mark.parametrize(
    ("shown", "left"),
    [
        (SHOWN, 43_200),
        (replace(SHOWN, next_n=6, balance=43_200), 43_200),
        (replace(SHOWN, balance=6_799), None),
        (replace(SHOWN, next_n=7), None),
    ],
)
def test_what_is_left_is_said_only_where_it_is_known(shown: Shown, left: int | None) -> None:
    assert balance_left(REQUEST, shown) == left
