"""Cards of another operator of the same authority: a till that cannot settle them must not ask them for anything."""

from __future__ import annotations

from hardware.personalisation import CardPapers
from merchant_pos.sales import Order
from simulate.bank import Papers
from simulate.cards import Card
from simulate.chances import NO_FAULT
from simulate.streams import Streams
from simulate.tills import Till
from support.keys import EXPIRES, NOT_BEFORE
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.messages import CertificationRequest, parse


class _NoPin:
    def pin(self, tries_left: int) -> str | None:
        return None


def foreign_card(papers: Papers, streams: Streams) -> Card:
    """An active card that the operator of `papers` has personalised."""
    keyring = papers.keyring

    def certify_card(serial: bytes, request: bytes) -> CardPapers:
        own = parse(CertificationRequest, request).message.key
        certificate = Certificate(
            issuer=keyring.operator_certificate.subject,
            key=own,
            subject_class=CertificateClass.HARD_WALLET,
            not_before=NOT_BEFORE,
            expires=EXPIRES,
            test=True,
            epoch=1,
        ).signed_by(keyring.operator)
        return CardPapers(
            certificate=certificate.to_bytes(),
            operator_certificate=keyring.operator_certificate.to_bytes(),
            authority_certificate=keyring.authority_certificate.to_bytes(),
            policy=keyring.policy.to_bytes(),
            audit_key=keyring.audit_key(own.thumbprint),
        )

    card = Card.make(streams)
    card.personalise(certify_card, streams.digest("challenge")[:8])
    return card


def try_till(card: Card, till: Till) -> bool:
    """Hold it to the reader once; whether the till left it alone, as it must."""
    if till.open_sale() is not None:
        return True
    till.serve(card, Order(1_000, f"stranger-{card.serial.hex()}"), _NoPin(), NO_FAULT)
    return till.open_sale() is None and card.state().total_out == 0
