"""What a simulated Java Card needs on this machine: a Java runtime, and the jar that the set-up builds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from wallet_core.errors import ConfigurationError

JAR: Final = Path(__file__).resolve().parents[1] / "applet" / "target" / "ecny-card.jar"
"""Where `scripts/setup.sh` builds it; it finds its libraries beside itself in `lib/`."""
# A card answers within milliseconds and lives for minutes: the small collector and the quick compiler start sooner.
_JVM_OPTIONS: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx256m")


class JavaMissingError(ConfigurationError):
    """There is no Java, or no card to run in it. `next_step` names the package or the target to make."""


def find_java() -> str:
    """The Java runtime: `ECNY_JAVA`, or `java` on the PATH. Raises JavaMissingError."""
    wanted = os.environ.get("ECNY_JAVA", "java")
    found = shutil.which(wanted)
    if found is None:
        raise JavaMissingError(
            f"no Java runtime: {wanted} was not found",
            next_step="Install one (`sudo apt-get install default-jre-headless`), or name it with ECNY_JAVA.",
        )
    return found


def find_jar() -> Path:
    """The applet and its runtime. Raises JavaMissingError."""
    jar = Path(os.environ.get("ECNY_CARD_JAR", JAR))
    if not jar.is_file():
        raise JavaMissingError(
            f"the Java card is not built: {jar} is missing",
            next_step="`make demo CARD=javacard` or `make test` builds it; ECNY_CARD_JAR names one elsewhere.",
        )
    return jar


def command_line() -> list[str]:
    """The words that start the card, before its own options. Raises JavaMissingError."""
    return [find_java(), *_JVM_OPTIONS, "-jar", str(find_jar())]
