"""The emulated card of a directory in a reader of this process: `emulator:DIR`.

One process holds a card at a time (`CardImage`); another gets ReaderBusyError, as from a reader in exclusive use. A
tear loses the card; `reset`, or opening it again, is the next tap.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

from hardware.data_objects import SERIAL_SIZE
from hardware.emulator.card import EmulatedCard, ImageFaults
from hardware.emulator.image import CARD_FILE, CardFacts, CardImage
from hardware.emulator.memory import CARD_LAYOUT
from hardware.emulator.profiles import CardProfile, find_profile, manufacture, seeded
from hardware.readers import Options, register
from hardware.transports.in_process import InProcessTransport
from wallet_core.errors import ConfigurationError, NoCardError, UsageError

SCHEME: Final = "emulator"


def create_card(directory: Path, profile: CardProfile, serial: bytes, seed: int) -> CardFacts:
    """Make a blank card in `directory` (which `ecny card new` does); `seed` gives all its randomness.

    Raises ConfigurationError when there is a card already or for a production profile, StorageError.
    """
    if len(serial) != SERIAL_SIZE:
        raise UsageError(f"a serial number has {SERIAL_SIZE} bytes")
    if profile.production:
        # Its private key would lie on this disk in the clear.
        raise ConfigurationError(
            "an emulated card cannot be a production card", next_step="Take a profile of a test card."
        )
    facts = CardFacts(profile.name, serial, seed, CARD_LAYOUT.cells)
    with CardImage.create(directory, facts, rng=_rng(seed)) as image:
        manufacture(image.flash, profile, serial)
    return facts


def has_card(directory: Path) -> bool:
    """Whether a card image lies there."""
    return (directory / CARD_FILE).is_file()


def open_card(directory: Path) -> tuple[CardImage, EmulatedCard]:
    """The card of this directory, held until the image is closed. Raises NoCardError, ReaderBusyError, StorageError."""
    if not has_card(directory):
        raise NoCardError(f"{directory} holds no card image", next_step="Make a card with `ecny card new`.")
    facts = CardFacts.from_json((directory / CARD_FILE).read_bytes())
    find_profile(facts.profile)
    image = CardImage.open(directory, rng=_rng(facts.seed))
    return image, EmulatedCard(image.flash, seeded(facts.seed), ImageFaults(directory))


class ImageTransport(InProcessTransport):
    """A card image in a reader of this process; `close` lets the image go."""

    def __init__(self, directory: Path) -> None:
        self._image, self.card = open_card(directory)
        try:
            super().__init__(self.card, f"emulator {directory}")
        except BaseException:
            self._image.close()
            raise

    def close(self) -> None:
        super().close()
        self._image.close()


def _open(rest: str, _: Options) -> ImageTransport:
    return ImageTransport(Path(rest))


def _rng(seed: int) -> Random:
    """What unstable cells read as: chance that a seed replays, nothing secret."""
    return Random(seed)  # noqa: S311


register(SCHEME, _open)
