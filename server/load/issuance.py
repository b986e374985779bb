"""Taking in what the authority has issued: an Issuance for the operator's purse, in order, each once."""

from __future__ import annotations

from server.ledger import books
from server.storage.protocol import Storage
from wallet_core.certificates import Certificate
from wallet_core.errors import ConfigurationError, MismatchError, OutOfRangeError
from wallet_core.messages import Issuance, parse


def take_in(storage: Storage, authority: Certificate, raw: bytes, *, now: int) -> Issuance:
    """Credit the operator's purse; the same Issuance again changes nothing.

    Raises CodecError, VerificationError (not by the authority, another purse, not the next serial), ConfigurationError.
    """
    signed = parse(Issuance, raw)
    issuance = signed.verify(authority.key)
    if issuance.authority != authority.subject:
        raise MismatchError("the Issuance names another authority than the one that signed it")
    if issuance.amount < 1:
        raise OutOfRangeError("an Issuance is of at least 1 fen")
    with storage.writing() as tx:
        purse = tx.operator_purse()
        if purse is None:
            raise ConfigurationError("the operator's purse is not installed", next_step="Run `ecny server install`.")
        if issuance.purse != purse.id:
            raise MismatchError("the Issuance is for another purse")
        if tx.has_issuance(signed.hash):
            return issuance
        expected = tx.last_issuance() + 1
        if issuance.serial != expected:
            raise MismatchError(
                f"Issuance {issuance.serial} is not the next one ({expected})",
                next_step="Take in the earlier ones first.",
            )
        tx.add_issuance(signed.hash, issuance.serial, raw)
        books.issue(tx, signed.hash, purse.account, issuance.amount, now=now)
    return issuance
