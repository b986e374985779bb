"""An operator: the real settlement server with its SQLite books, a WSGI application that is killed and started again.

A killed server loses what it has not committed: its parts are thrown away and made anew from the same database file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import httpx

from server.app import Parts, create_app
from server.enrolment.policy_profiles import DEFAULT_PROFILE, policy
from server.enrolment.tills import NewMerchant
from server.installation import register_purse
from server.keyring import Keyring
from server.ledger.report import LedgerReport, read_ledger
from server.load.issuance import take_in
from server.settings import Settings
from simulate.chances import SERVER_STEPS, Weather
from simulate.clock import CityClock
from simulate.network import Call, Reply, ServerDied
from simulate.streams import Streams
from support.keys import Party, certify
from wallet_core.certificates import CertificateClass
from wallet_core.messages import Issuance, Signed
from wallet_core.suites import Suite

ISSUED = 10**12  # fen: no city runs out of test money
DATABASE = "server.db"
ADDRESS = "http://operator.example"

Observer = Callable[[Call, Reply], None]


@dataclass(frozen=True)
class Papers:
    """The authority of the city and one of its operators; everything follows from the seed."""

    authority: Party
    keyring: Keyring

    @classmethod
    def make(cls, city: Streams, number: int) -> Papers:
        root = city.key("authority")
        authority = Party("authority", root, certify(root, root, CertificateClass.AUTHORITY))
        own = city.under("operator", number)
        operator, purse = own.key("operator"), own.key("purse")
        operator_certificate = certify(root, operator, CertificateClass.OPERATOR)
        keyring = Keyring(
            operator=operator,
            operator_certificate=operator_certificate,
            authority_certificate=authority.certificate,
            purse=purse,
            purse_certificate=certify(operator, purse, CertificateClass.OPERATOR_PURSE),
            policy=Signed.sign(policy(DEFAULT_PROFILE, operator_certificate.subject), operator),
            master=own.digest("master"),
            admin_token=own.digest("token").hex(),
        )
        return cls(authority, keyring)


class Operator:
    """The server of one district. `rng` draws when it dies; `directory` keeps its database."""

    def __init__(
        self, papers: Papers, directory: Path, clock: CityClock, weather: Weather, streams: Streams, rng: Random
    ) -> None:
        self.papers = papers
        self.observers: list[Observer] = []
        self.deaths = 0
        self._clock = clock
        self._weather = weather
        self._rng = rng
        self._die_at = ""
        self.settings = Settings(
            keyring=papers.keyring,
            database=directory / DATABASE,
            clock=clock.now,
            entropy=streams.entropy("server"),
            workers=0,
            checkpoint=self._checkpoint,
        )
        self._start()
        register_purse(self.parts.storage, papers.keyring)
        self._issue()

    @property
    def token(self) -> str:
        return self.papers.keyring.admin_token

    def _start(self) -> None:
        self.parts = Parts.of(self.settings)
        self._wsgi = httpx.WSGITransport(app=create_app(self.settings, self.parts))

    def close(self) -> None:
        self.parts.close()

    def _issue(self) -> None:
        keyring, authority = self.papers.keyring, self.papers.authority
        message = Issuance(
            suite=Suite.ES256,
            authority=authority.id,
            purse=keyring.purse_certificate.subject,
            serial=1,
            amount=ISSUED,
        )
        raw = Signed.sign(message, authority.key).to_bytes()
        take_in(self.parts.storage, keyring.authority_certificate, raw, now=self._clock.now())

    def _checkpoint(self, name: str) -> None:
        if name == self._die_at:
            self._die_at = ""
            raise ServerDied(name)

    def deliver(self, call: Call) -> Reply:
        """One call; raises httpx.ReadError when the server dies over it, and starts it again."""
        steps = SERVER_STEPS.get(call.path.split("/")[2], ())
        self._die_at = self._weather.step(self._rng, self._weather.chances.server_dies, steps)
        request = httpx.Request(call.method, ADDRESS + call.path, headers=dict(call.headers), content=call.body)
        try:
            response = self._wsgi.handle_request(request)
            reply = Reply(response.status_code, {"content-type": response.headers["content-type"]}, response.read())
        except ServerDied as died:
            self.deaths += 1
            self.parts.close()
            self._start()
            raise httpx.ReadError(f"the server died at {died}") from None
        finally:
            self._die_at = ""
        for observer in self.observers:
            observer(call, reply)
        return reply

    def open_epoch(self) -> None:
        """The operator's purse was restored, so its counter cannot be trusted: a new certified epoch begins."""
        keyring, issuer = self.papers.keyring, self.papers.keyring.operator
        before = keyring.purse_certificate
        made = replace(before, epoch=before.epoch + 1, signature=b"").signed_by(issuer)
        keyring = replace(
            keyring, purse_certificate=made, old_purse_certificates=(*keyring.old_purse_certificates, before)
        )
        with self.parts.storage.writing() as tx:
            tx.open_epoch(made.epoch)
        self.parts.close()
        self.papers = replace(self.papers, keyring=keyring)
        self.settings = replace(self.settings, keyring=keyring)
        self._start()

    def add_merchant(self, name: str) -> NewMerchant:
        return self.parts.tills.add_merchant(name, self._clock.now())

    def code(self, merchant: str) -> str:
        """Another enrolment code."""
        return self.parts.tills.new_code(merchant, self._clock.now())

    def ledger(self) -> LedgerReport:
        with self.parts.storage.reading() as tx:
            return read_ledger(tx)
