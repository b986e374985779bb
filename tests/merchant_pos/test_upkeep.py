"""merchant_pos.upkeep: evidence, revocation list and renewed operator, each again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.emulator.faults import Tear
from merchant_pos.identity import load_identity, renew_operator
from merchant_pos.transfers import Told
from merchant_pos.upkeep import RENEW_BEFORE_S, Done, Upkeep
from support.keys import (
    AUTHORITY,
    CARD,
    EXPIRES,
    FOREIGN_OPERATOR,
    NOW,
    OPERATOR,
    OTHER_CARD,
    certify,
    key,
)
from support.sam_till import SamTill, card, sam, tear
from support.till import revocation_list, save_identity
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    CodecError,
    EcnyError,
    MismatchError,
    ServerUnreachableError,
    SettlementError,
)
from wallet_core.messages import RevocationReason, Signed

AWAY = ServerUnreachableError("no connection")
LOST = RevocationReason.FROZEN


class Server:
    """What the till asks for; `fault` is raised by each call, after it was carried out where `after` says so."""

    def __init__(self) -> None:
        self.list: bytes | None = None
        self.certificates = [OPERATOR.certificate.to_bytes()]
        self.status = "recorded"
        self.messages: list[bytes] = []
        self.came_along: list[bytes] = []
        self.fault: EcnyError | None = None
        self.asked_for_operators = 0

    def evidence(self, messages: Sequence[bytes], certificates: Sequence[bytes]) -> tuple[str, ...]:
        self.messages += messages
        self.came_along += certificates
        if self.fault is not None:
            raise self.fault
        return (self.status,) * len(messages)

    def revocations(self) -> bytes:
        if self.list is None:
            raise SettlementError("not-found: none", problem="not-found", status=404)
        return self.list

    def operators(self) -> tuple[bytes, ...]:
        self.asked_for_operators += 1
        return tuple(self.certificates)


@pytest.fixture
def till(tmp_path: Path) -> Iterator[SamTill]:
    made = SamTill(tmp_path / "till.db")
    yield made
    made.journal.close()


def upkeep(till: SamTill, server: Server) -> Upkeep:
    return Upkeep(journal=till.journal, identity=till.identity, server=server, clock=till.clock)


# Evidence -----------------------------------------------------------------------------------------------------------


def test_voucher_and_receipt_are_told_once(till: SamTill) -> None:
    server = Server()
    till.charge(card(1), sam())
    assert upkeep(till, server).run() == Done(told=1)
    (one,) = till.journal.transfers()
    assert server.messages == [one.voucher, one.receipt]
    assert {Certificate.from_bytes(body).subject for body in server.came_along} == {one.card, one.sam}
    assert (one.told, one.verdicts) == (Told.ALL, "recorded recorded")
    assert upkeep(till, server).run() == Done()
    assert len(server.messages) == 2


def test_what_is_held_is_told_too_and_its_end_later(till: SamTill) -> None:
    server, payee = Server(), sam()
    tear(payee, "COLLECT", Tear.BEFORE)
    till.charge(card(1), till.reader(payee, None))
    assert upkeep(till, server).run().told == 1
    assert till.journal.transfers()[0].told is Told.VOUCHER
    assert upkeep(till, server).run().told == 0
    till.resume(None, payee)
    assert upkeep(till, server).run().told == 1
    (one,) = till.journal.transfers()
    assert server.messages == [one.voucher, one.voucher, one.receipt]


def test_a_refusal_is_told(till: SamTill) -> None:
    server = Server()
    till.charge(card(1, load=100), sam())
    assert upkeep(till, server).run().told == 1
    assert server.messages == [till.journal.transfers()[0].refusal]


def test_a_lost_answer_leaves_the_queue_as_it_was(till: SamTill) -> None:
    server = Server()
    till.charge(card(1), sam())
    server.fault = AWAY
    with pytest.raises(ServerUnreachableError):
        upkeep(till, server).run()
    assert till.journal.transfers()[0].told is Told.NOTHING
    server.fault = None
    assert upkeep(till, server).run().told == 1
    assert server.messages[:2] == server.messages[2:]


@pytest.mark.parametrize(
    ("status", "told"), [("waiting", Told.ALL), ("unknown-signer", Told.NOTHING), ("bad-signature", Told.NOTHING)]
)
def test_what_the_server_does_not_take_stays_queued_with_its_word(till: SamTill, status: str, told: Told) -> None:
    server = Server()
    server.status = status
    till.charge(card(1), sam())
    assert upkeep(till, server).run().told == int(told is Told.ALL)
    (one,) = till.journal.transfers()
    assert (one.told, one.verdicts) == (told, f"{status} {status}")
    assert bool(till.journal.untold()) is (told is Told.NOTHING)


# Revocations --------------------------------------------------------------------------------------------------------


def test_the_list_is_kept_and_replaced_by_a_newer_one(till: SamTill) -> None:
    server = Server()
    assert upkeep(till, server).run() == Done()
    server.list = revocation_list({CARD.id: LOST}, serial=3).to_bytes()
    assert upkeep(till, server).run() == Done(serial=3, revoked=1)
    assert (till.journal.revoked(CARD.id), till.journal.revoked(OTHER_CARD.id)) == (LOST, None)
    server.list = revocation_list({OTHER_CARD.id: RevocationReason.REPLACED}, serial=4).to_bytes()
    assert upkeep(till, server).run() == Done(serial=4, revoked=1)
    assert (till.journal.revoked(CARD.id), till.journal.revoked(OTHER_CARD.id)) == (None, RevocationReason.REPLACED)
    assert upkeep(till, server).run() == Done(serial=4, revoked=1)


def bent(body: bytes) -> bytes:
    return body[:-1] + bytes((body[-1] ^ 1,))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (revocation_list({}, serial=2).to_bytes(), MismatchError),
        (revocation_list({}, serial=3).to_bytes(), MismatchError),
        (revocation_list({}, serial=9, by=FOREIGN_OPERATOR).to_bytes(), MismatchError),
        (
            Signed.sign(revocation_list({}, serial=9).message, FOREIGN_OPERATOR.key).to_bytes(),
            BadSignatureError,
        ),
        (bent(revocation_list({}, serial=9).to_bytes()), BadSignatureError),
        (revocation_list({}, serial=9).to_bytes()[:-1], CodecError),
        (b"", CodecError),
    ],
    ids=["older", "another of this serial", "foreign", "signed by another", "bent", "half", "nothing"],
)
def test_a_list_that_is_not_to_be_believed_changes_nothing(till: SamTill, body: bytes, error: type[EcnyError]) -> None:
    server = Server()
    server.list = revocation_list({CARD.id: LOST}, serial=3).to_bytes()
    upkeep(till, server).run()
    server.list = body
    with pytest.raises(error):
        upkeep(till, server).run()
    assert till.journal.revoked(CARD.id) is LOST


def test_a_server_without_a_list_takes_none_away(till: SamTill) -> None:
    server = Server()
    server.list = revocation_list({CARD.id: LOST}, serial=3).to_bytes()
    upkeep(till, server).run()
    server.list = None
    assert upkeep(till, server).run().serial == 3
    assert till.journal.revoked(CARD.id) is LOST


def test_one_fault_does_not_keep_the_others_back(till: SamTill) -> None:
    server = Server()
    till.charge(card(1), sam())
    server.fault = AWAY
    server.list = revocation_list({CARD.id: LOST}).to_bytes()
    with pytest.raises(ServerUnreachableError):
        upkeep(till, server).run()
    assert till.journal.revoked(CARD.id) is LOST


# The operator's certificate -----------------------------------------------------------------------------------------

LATER = certify(key("authority"), key("operator"), CertificateClass.OPERATOR, expires=EXPIRES + 1_000)
UNSIGNED = replace(LATER, expires=EXPIRES + 2_000)
OTHER_KEY = certify(key("authority"), key("second operator"), CertificateClass.OPERATOR, expires=EXPIRES + 3_000)


@pytest.mark.parametrize(
    ("left", "found"),
    [(RENEW_BEFORE_S + 1, None), (RENEW_BEFORE_S, LATER), (-NOW, LATER)],
    ids=["long", "soon", "over"],
)
def test_a_later_certificate_of_the_same_key_is_looked_for_in_time(
    till: SamTill, left: int, found: Certificate | None
) -> None:
    server = Server()
    server.certificates = [
        body.to_bytes() for body in (OTHER_KEY, UNSIGNED, OPERATOR.certificate, LATER, AUTHORITY.certificate)
    ]
    till.clock.seconds = EXPIRES - left
    assert upkeep(till, server).run().renewed == found
    assert server.asked_for_operators == int(left <= RENEW_BEFORE_S)


def test_nothing_better_is_no_fault(till: SamTill) -> None:
    server = Server()
    server.certificates = [b"", OPERATOR.certificate.to_bytes(), OTHER_KEY.to_bytes(), UNSIGNED.to_bytes()]
    till.clock.seconds = EXPIRES
    assert upkeep(till, server).run().renewed is None


def test_a_renewed_certificate_is_written_down(tmp_path: Path) -> None:
    identity = save_identity(tmp_path, "http://127.0.0.1:9")
    renewed = renew_operator(tmp_path, identity, LATER)
    assert (renewed.operator, load_identity(tmp_path).operator) == (LATER, LATER)
    with pytest.raises(MismatchError):
        renew_operator(tmp_path, identity, OTHER_KEY)
    assert load_identity(tmp_path).operator == LATER
