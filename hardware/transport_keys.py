"""Transport keys: how the card maker and the operator come to the same SCP03 keys for one card.

The card maker holds one key for a batch of cards; each card leaves the factory with keys derived from it and from its
serial number, so that a card that is broken open gives away no other. The batch key of test cards is published here: it
protects nothing, and a card of a production profile is never made with it.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from wallet_core.errors import ConfigurationError

from .data_objects import SERIAL_SIZE
from .secure_channel import KEY_SIZE, StaticKeys

BATCH_KEY_SIZE: Final = 32
TEST_BATCH_KEY: Final = hashlib.sha256(b"ecny test batch of cards: this key is public").digest()
TEST_KEY_VERSION: Final = 1
_ENC, _MAC = b"ecny transport key ENC", b"ecny transport key MAC"


def transport_keys(batch_key: bytes, serial: bytes, *, production: bool, version: int = TEST_KEY_VERSION) -> StaticKeys:
    """The keys of the card with this serial number (8 bytes): HMAC-SHA-256 under the batch key (32 bytes), cut to 16.

    Raises ConfigurationError for a key or serial number of another size, and for the published key in production.
    """
    if len(batch_key) != BATCH_KEY_SIZE or len(serial) != SERIAL_SIZE:
        raise ConfigurationError(f"a batch key has {BATCH_KEY_SIZE} bytes, a serial number {SERIAL_SIZE}")
    if production and hmac.compare_digest(batch_key, TEST_BATCH_KEY):
        raise ConfigurationError(
            "the published test batch key cannot make production cards",
            next_step="Use the card maker's own batch key, or a test profile.",
        )
    enc, mac = (hmac.digest(batch_key, label + serial, "sha256")[:KEY_SIZE] for label in (_ENC, _MAC))
    return StaticKeys(enc, mac, version)
