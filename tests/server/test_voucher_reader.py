"""The tight parser accepts what the general one accepts, and nothing else; and it finds the same values and hash."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from server.settlement import voucher_reader as reader
from support.keys import CARD, TILL
from wallet_core.audit import SEALED_SIZE
from wallet_core.errors import BadSignatureError, CodecError
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import DepositStatus, Signed, Voucher, parse
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.suites import Suite

COUNTER = st.integers(0, 2**32 - 1)
VOUCHERS = st.builds(
    Voucher,
    suite=st.just(Suite.ES256),
    payer=st.binary(min_size=32, max_size=32),
    epoch=COUNTER,
    n=COUNTER,
    payee=st.binary(min_size=32, max_size=32),
    k=COUNTER,
    amount=st.integers(0, MAX_MINOR_UNITS),
    request_hash=st.binary(min_size=32, max_size=32),
    policy_version=COUNTER,
    audit=st.binary(min_size=SEALED_SIZE, max_size=SEALED_SIZE),
)
GOOD = Signed.sign(
    Voucher(
        suite=Suite.ES256,
        payer=CARD.id,
        epoch=1,
        n=7,
        payee=TILL.id,
        k=3,
        amount=6_800,
        request_hash=b"\x05" * 32,
        policy_version=1,
        audit=bytes(SEALED_SIZE),
    ),
    CARD.key,
).to_bytes()


def by_the_general_parser(item: bytes) -> Voucher | None:
    try:
        message = parse(Voucher, item).message
    except (CodecError, BadSignatureError):
        return None
    return message if message.amount >= 1 and 1 <= message.n <= COUNTER_MAX else None


def agree(item: bytes) -> bool:
    """Both say the same; returns whether they accept."""
    general, values = by_the_general_parser(item), reader.read(item)
    assert (general is None) == (values is None)
    if general is None or values is None:
        assert reader.fault_of(item) in (DepositStatus.MALFORMED, DepositStatus.UNKNOWN_SUITE)
        return False
    assert general.payer == values[reader.AT_PAYER]
    assert general.epoch == values[reader.AT_EPOCH]
    assert general.n == values[reader.AT_N]
    assert general.payee == values[reader.AT_PAYEE]
    assert general.amount == values[reader.AT_AMOUNT]
    assert general.request_hash == values[reader.AT_REQUEST_HASH]
    assert item.endswith(values[reader.AT_SIGNATURE])
    assert general.hash == reader.hash_of(item)
    return True


def test_the_length_is_the_vouchers() -> None:
    assert len(GOOD) == reader.SIZE == 270
    assert agree(GOOD)


@given(VOUCHERS, st.binary(min_size=64, max_size=64))
def test_any_voucher(message: Voucher, signature: bytes) -> None:
    assert agree(Signed(message, signature).to_bytes()) == (message.amount >= 1 and 1 <= message.n <= COUNTER_MAX)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_any_byte_changed(at: int, change: int) -> None:
    agree(GOOD[:at] + bytes((GOOD[at] ^ change,)) + GOOD[at + 1 :])


def test_each_bit_flipped() -> None:
    accepted = 0
    for at in range(len(GOOD)):
        for bit in range(8):
            accepted += agree(GOOD[:at] + bytes((GOOD[at] ^ 1 << bit,)) + GOOD[at + 1 :])
    fields = 32 + 4 + 4 + 32 + 4 + 8 + 32 + 4 + SEALED_SIZE + 64
    assert accepted == 8 * fields - 11  # the amount's 11 bits from 2**53 on


@given(st.binary(max_size=300))
@example(b"")
def test_rubbish(item: bytes) -> None:
    assert not agree(item)


def test_every_truncation_and_one_byte_more() -> None:
    assert not any(agree(GOOD[:size]) for size in range(len(GOOD)))
    assert not agree(GOOD + b"\0")
    assert not agree(b"\0" + GOOD)


def test_the_fault_is_named() -> None:
    at = GOOD.index(bytes((0, 2, 1, Suite.ES256, 2))) + 3
    assert reader.fault_of(GOOD[:at] + b"\x02" + GOOD[at + 1 :]) is DepositStatus.UNKNOWN_SUITE
    assert reader.fault_of(GOOD[:-1]) is DepositStatus.MALFORMED
