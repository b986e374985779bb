"""The till's view of a hard wallet and of a reader, over hardware.driver: one powered card is one tap."""

from __future__ import annotations

from pathlib import Path

from hardware.data_objects import Tag
from hardware.driver import HardWallet
from hardware.exchange import CardConnection
from hardware.taps import open_reader
from merchant_pos.decisions import Shown
from merchant_pos.ports import Clock, PurseSource
from wallet_core.errors import NoCardError

_LOOK_S = 0.1  # between two looks into a reader that cannot tell when a card comes


class Wallet:
    """A card in the reader, as merchant_pos.ports.Purse."""

    def __init__(self, wallet: HardWallet) -> None:
        self._wallet = wallet

    def select(self) -> Shown:
        fci = self._wallet.select()
        return Shown(
            purse=fci.purse_id,
            epoch=fci.epoch,
            next_n=fci.next_n,
            lifecycle=fci.lifecycle,
            balance=fci.balance,
            payee_threshold=fci.payee_threshold,
            policy_version=fci.policy_version,
            pin_tries=fci.pin_tries,
        )

    def certificate(self) -> bytes:
        return self._wallet.certificate()

    def policy(self) -> bytes:
        return self._wallet.data(Tag.POLICY)

    def pay(self, request: bytes) -> bytes:
        return self._wallet.pay(request)

    def pay_verified(self, signed_request: bytes, certificate: bytes, operator_certificate: bytes) -> bytes:
        return self._wallet.pay_verified(signed_request, certificate, operator_certificate)

    def verify_pin(self, pin: str) -> None:
        self._wallet.verify_pin(pin)

    def resend(self, request_hash: bytes) -> bytes:
        return self._wallet.resend(request_hash)

    def request(self, payer: bytes, epoch: int, n: int, amount: int, order_hash: bytes) -> bytes:
        return self._wallet.request(payer, epoch, n, amount, order_hash)

    def request_verified(
        self,
        payer: bytes,
        epoch: int,
        n: int,
        amount: int,
        order_hash: bytes,
        certificate: bytes,
        operator_certificate: bytes,
    ) -> bytes:
        return self._wallet.request_verified(payer, epoch, n, amount, order_hash, certificate, operator_certificate)

    def open_requests(self) -> tuple[bytes, ...]:
        return self._wallet.open_requests()

    def collect(self, voucher: bytes, certificate: bytes, operator_certificate: bytes) -> bytes:
        return self._wallet.collect(voucher, certificate, operator_certificate)

    def refuse(self, request_hash: bytes) -> bytes:
        return self._wallet.refuse(request_hash)

    def acknowledge(self, receipt: bytes, certificate: bytes, operator_certificate: bytes) -> None:
        self._wallet.acknowledge(receipt, certificate, operator_certificate)

    def acknowledge_refusal(self, refusal: bytes, certificate: bytes, operator_certificate: bytes) -> None:
        self._wallet.acknowledge_refusal(refusal, certificate, operator_certificate)

    def close(self) -> None:
        self._wallet.close()


class ReaderSource:
    """The reader that `--reader` names (hardware.taps); `data`: the data directory, for the emulated card in it."""

    def __init__(self, reader: str, data: Path, clock: Clock) -> None:
        self._reader = reader
        self._data = data
        self._clock = clock

    def card(self, timeout_s: float) -> Wallet:
        """A freshly powered card. Raises NoCardError when none comes in time, and what opening a reader raises."""
        deadline = self._clock.monotonic() + timeout_s
        while True:
            left = max(0.0, deadline - self._clock.monotonic())
            try:
                transport = open_reader(self._reader, self._data, wait_ms=int(left * 1000))
            except NoCardError:
                if self._clock.monotonic() >= deadline:
                    raise
                self._clock.wait(min(_LOOK_S, left))
            else:
                return Wallet(HardWallet(CardConnection(transport)))


def open_source(reader: str, data: Path, clock: Clock) -> PurseSource:
    return ReaderSource(reader, data, clock)
