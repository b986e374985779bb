"""Cards, merchants, codes and tills in SQLite."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from server.ledger.accounts import AccountKind
from server.storage.records import CodeRecord, MerchantRecord, PurseRecord, TillRecord
from server.storage.records_risk import Predecessor
from server.storage.sqlite_session import Row, SqliteSession

PURSE = "SELECT number, id, certificate, serial, card_account, flight_account, merchant FROM purse"
TILL = (
    "SELECT t.number, t.id, t.certificate, t.merchant, m.wallet, t.last_number, t.last_hash, t.succeeds "
    "FROM till t JOIN merchant m ON m.id = t.merchant"
)
_PREDECESSORS = """
    WITH RECURSIVE line (number, depth) AS (
        VALUES (?, 1) UNION SELECT t.succeeds, depth + 1 FROM till t JOIN line ON line.number = t.number
        WHERE t.succeeds IS NOT NULL
    )
    SELECT t.number, t.id, t.certificate FROM line JOIN till t ON t.number = line.number ORDER BY depth
"""
_IDS_AT_ONCE = 500


class SqliteParties(SqliteSession):
    """`PartyReader` and `PartyWriter`."""

    def purse(self, purse_id: bytes) -> PurseRecord | None:
        row = self._row(f"{PURSE} WHERE id = ?", purse_id)
        return PurseRecord(*row) if row else None

    def purse_by_serial(self, serial: bytes) -> PurseRecord | None:
        row = self._row(f"{PURSE} WHERE serial = ?", serial)
        return PurseRecord(*row) if row else None

    def purse_by_number(self, number: int) -> PurseRecord | None:
        row = self._row(f"{PURSE} WHERE number = ?", number)
        return PurseRecord(*row) if row else None

    def purses(self, purse_ids: Collection[bytes]) -> list[PurseRecord]:
        wanted, found = list(purse_ids), list[PurseRecord]()
        for at in range(0, len(wanted), _IDS_AT_ONCE):
            part = wanted[at : at + _IDS_AT_ONCE]
            marks = ", ".join("?" * len(part))
            found += [PurseRecord(*row) for row in self._rows(f"{PURSE} WHERE id IN ({marks})", *part)]
        return found

    def merchant(self, merchant_id: str) -> MerchantRecord | None:
        row = self._row("SELECT id, name, wallet FROM merchant WHERE id = ?", merchant_id)
        return MerchantRecord(*row) if row else None

    def till(self, till_id: bytes) -> TillRecord | None:
        row = self._row(f"{TILL} WHERE t.id = ?", till_id)
        return self._till(row) if row else None

    def _till(self, row: Row) -> TillRecord:
        """Predecessors are asked for only where there are some: next to no till has any."""
        line = self._rows(_PREDECESSORS, row[-1]) if row[-1] is not None else []
        return replace(TillRecord(*row[:-1]), predecessors=tuple(Predecessor(*one) for one in line))

    def code(self, digest: bytes) -> CodeRecord | None:
        row = self._row("SELECT digest, merchant, expires, till FROM enrolment_code WHERE digest = ?", digest)
        return CodeRecord(*row) if row else None

    def add_purse(
        self, purse_id: bytes, certificate: bytes, serial: bytes | None, *, now: int, merchant: str | None = None
    ) -> PurseRecord:
        card = self._new_account(AccountKind.CARD, purse_id.hex())
        flight = self._new_account(AccountKind.LOAD_IN_FLIGHT, purse_id.hex())
        number = self._insert(
            "INSERT INTO purse (id, certificate, serial, card_account, flight_account, enrolled_at, merchant) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(purse_id, certificate, serial, card, flight, now, merchant),
        )
        return PurseRecord(number, purse_id, certificate, serial, card, flight, merchant)

    def add_merchant(self, merchant_id: str, name: str, *, now: int) -> MerchantRecord:
        wallet = self._new_account(AccountKind.WALLET, merchant_id)
        self._insert("INSERT INTO merchant VALUES (?, ?, ?, ?)", merchant_id, name, wallet, now)
        return MerchantRecord(merchant_id, name, wallet)

    def add_code(self, digest: bytes, merchant: str, *, expires: int) -> None:
        sql = "INSERT INTO enrolment_code (digest, merchant, expires) VALUES (?, ?, ?)"
        self._insert(sql, digest, merchant, expires)

    def add_till(self, till_id: bytes, certificate: bytes, merchant: str, code_digest: bytes, *, now: int) -> None:
        self._insert(
            "INSERT INTO till (id, certificate, merchant, enrolled_at) VALUES (?, ?, ?, ?)",
            *(till_id, certificate, merchant, now),
        )
        self._change_one("UPDATE enrolment_code SET till = ? WHERE digest = ? AND till IS NULL", till_id, code_digest)
