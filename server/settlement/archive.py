"""The signed bytes of a voucher that has a row: out of the batch that brought it, or from the loose ones."""

from __future__ import annotations

from collections.abc import Sequence

from server.settlement.voucher_reader import hash_of, read
from server.storage.protocol import Reader
from server.storage.records import VoucherRecord
from wallet_core.errors import StorageError
from wallet_core.messages import DepositBatch, parse
from wallet_core.messages.deposit import MAX_BATCH_SIZE

_BATCH_NUMBER = 0xFFFFFFFF


class Archive:
    """Each batch is opened once. `current`: a batch that is not stored yet, by its key."""

    def __init__(self, tx: Reader, current: tuple[int, Sequence[bytes]] | None = None) -> None:
        self._tx = tx
        self._current = current
        self._by_hash: dict[int, dict[bytes, bytes]] = {}

    def bytes_of(self, record: VoucherRecord) -> bytes:
        """Raises StorageError when they are not there."""
        if record.batch & _BATCH_NUMBER == 0:
            found = self._tx.loose_voucher(record.hash)
        else:
            if record.batch not in self._by_hash:
                self._by_hash[record.batch] = {
                    hash_of(item): item for item in self._items_of(record.batch) if read(item) is not None
                }
            found = self._by_hash[record.batch].get(record.hash)
        if found is None:
            raise StorageError("the bytes of a voucher are missing", next_step="Restore the database; report this.")
        return found

    def _items_of(self, batch: int) -> Sequence[bytes]:
        if self._current is not None and self._current[0] == batch:
            return self._current[1]
        stored = self._tx.batch(batch)
        if stored is None:
            raise StorageError("a voucher's batch is missing", next_step="Restore the database; report this.")
        return parse(DepositBatch, stored.raw, max_size=MAX_BATCH_SIZE).message.vouchers


def bytes_of(tx: Reader, record: VoucherRecord) -> bytes:
    """One voucher's signed bytes; raises StorageError when they are not there."""
    return Archive(tx).bytes_of(record)
