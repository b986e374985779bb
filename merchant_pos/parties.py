"""What the journal knows about others: certificates and policies of purses, and whom the operator has revoked."""

from __future__ import annotations

from merchant_pos.database import Database
from wallet_core.messages import RevocationList, RevocationReason

LIST_FACT = "revocation list"


class Parties(Database):
    """Everything here is verified before it is kept."""

    def certificate(self, subject: bytes) -> bytes | None:
        """The certificate that was stored for this id, as its own bytes."""
        rows = self._rows("SELECT body FROM certificates WHERE subject = ?", (subject,))
        return rows[0][0] if rows else None

    def certificates(self) -> list[tuple[bytes, bytes, int]]:
        """Subject, body and class of every one that is stored."""
        return [(row[0], row[1], row[2]) for row in self._rows("SELECT subject, body, class FROM certificates")]

    def keep_certificate(self, subject: bytes, of_class: int, body: bytes) -> None:
        """Store a verified certificate; a renewed one replaces the one before."""
        with self._write() as db:
            db.execute(
                "INSERT INTO certificates (subject, class, body) VALUES (?, ?, ?) "
                "ON CONFLICT (subject) DO UPDATE SET class = excluded.class, body = excluded.body",
                (subject, of_class, body),
            )

    def policy(self, operator: bytes, of_class: int, version: int) -> bytes | None:
        """The signed Policy that was stored for these, as its own bytes."""
        rows = self._rows(
            "SELECT body FROM policies WHERE operator = ? AND class = ? AND version = ?", (operator, of_class, version)
        )
        return rows[0][0] if rows else None

    def keep_policy(self, operator: bytes, of_class: int, version: int, body: bytes) -> None:
        """Store a verified policy; one version has one content."""
        with self._write() as db:
            db.execute(
                "INSERT INTO policies (operator, class, version, body) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (operator, of_class, version, body),
            )

    def revoked(self, subject: bytes) -> RevocationReason | None:
        """Why nothing new may be asked of this id; None while it is in good standing, as far as this till has heard."""
        rows = self._rows("SELECT reason FROM revocations WHERE subject = ?", (subject,))
        return RevocationReason(rows[0][0]) if rows else None

    def revocation_list(self) -> bytes | None:
        """The newest signed list, as its own bytes."""
        return self.fact(LIST_FACT)

    def keep_revocations(self, revocations: RevocationList, body: bytes) -> None:
        """Replace the list by a verified newer one, in one commit."""
        with self._write() as db:
            db.execute(
                "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (LIST_FACT, body),
            )
            db.execute("DELETE FROM revocations")
            db.executemany(
                "INSERT INTO revocations (subject, reason) VALUES (?, ?)",
                [(subject, int(reason)) for subject, reason in revocations.entries.items()],
            )
