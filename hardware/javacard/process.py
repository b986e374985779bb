"""A simulated Java Card as a child process: started, told what to do to itself, and ended by its own process id."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from hardware.data_objects import SERIAL_SIZE
from hardware.javacard.parts import command_line
from hardware.javacard.reader import HOST, LoopbackReader
from hardware.transports.in_process import InProcessTransport
from wallet_core.certificates import CertificateClass
from wallet_core.errors import NoCardError, TransportError, UsageError

STOP_TIMEOUT_S: Final = 10.0
SEED_VARIABLE: Final = "ECNY_CARD_SEED"
COMMIT_BYTES: Final = 512
"""Old values that a transaction may hold; current chips have 256 to 2,048 bytes."""


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """What the applet takes of a chip, in bytes, and what it has done since it was installed.

    persistent_bytes: fields, arrays, keys; a chip adds a header to each of `persistent_objects`. commit_high_water: the
    fullest that the commit buffer was since the process started, with 4 bytes for each entry. allocations: objects made
    after installation, 0 on a card.
    """

    persistent_bytes: int
    persistent_objects: int
    transient_reset_bytes: int
    transient_deselect_bytes: int
    commit_capacity: int
    commit_high_water: int
    writes: int
    allocations: int

    def after(self, before: MemoryReport) -> MemoryReport:
        """This report of a card that was started again, and the one of its process before."""
        return replace(
            self,
            commit_high_water=max(self.commit_high_water, before.commit_high_water),
            writes=self.writes + before.writes,
            allocations=self.allocations + before.allocations,
        )

    @property
    def line(self) -> str:
        """For people, on one line."""
        return (
            f"applet memory: {self.persistent_bytes} bytes persistent in {self.persistent_objects} objects, "
            f"transient {self.transient_reset_bytes} (reset) + {self.transient_deselect_bytes} (deselect) bytes, "
            f"commit buffer at most {self.commit_high_water} of {self.commit_capacity} bytes, "
            f"{self.allocations} allocations after installation"
        )


class JavaCardProcess:
    """One card, from `with` to its end; `reader` is the card as a `CardLike`, and the methods reach inside it.

    serial: 8 bytes (None: random); seed: makes its randomness repeatable; image: a file that keeps its memory; no
    image, and the card is gone with its process. Raises JavaMissingError, NoCardError (it did not come up), UsageError.
    """

    def __init__(
        self,
        *,
        serial: bytes | None = None,
        seed: str | None = None,
        subject_class: CertificateClass = CertificateClass.HARD_WALLET,
        image: Path | None = None,
        commit_bytes: int = COMMIT_BYTES,
    ) -> None:
        if serial is not None and len(serial) != SERIAL_SIZE:
            raise UsageError(f"a serial number has {SERIAL_SIZE} bytes")
        words = command_line()
        self.reader = LoopbackReader()
        words += ["--host", HOST, "--port", str(self.reader.port), "--control", "--reinsert-ms", "0"]
        words += ["--class", str(int(subject_class)), "--commit-bytes", str(commit_bytes)]
        words += ["--serial", serial.hex()] if serial is not None else []
        words += ["--image", str(image)] if image is not None else []
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe that nobody reads would fill up
        # Its key pair follows from the seed, which therefore is in no list of processes.
        environment = {**os.environ, SEED_VARIABLE: seed} if seed is not None else None
        self._process = subprocess.Popen(
            words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True
        )
        try:
            self._await()
        except BaseException:
            self.close()
            raise

    def _await(self) -> None:
        """A card that could not be made ends at once, and says why on standard error."""
        self.request("hash", True)
        self.reader.await_card()

    @property
    def pid(self) -> int:
        """The process id: what ends it, if anything else must."""
        return self._process.pid

    def transport(self, name: str = "Java Card in process") -> InProcessTransport:
        """The card, powered, behind the contract of `hardware.transports.base`."""
        return InProcessTransport(self.reader, name)

    # The control line

    def request(self, what: str, value: object) -> dict[str, Any]:
        """One request of the control line. Raises UsageError (refused), NoCardError (the process is gone)."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise TransportError("the card has no control line")
        try:
            stdin.write(json.dumps({what: value}) + "\n")
            stdin.flush()
            line = stdout.readline()
        except (OSError, ValueError) as error:
            raise NoCardError(f"the Java card is gone ({error})") from error
        if not line:
            raise NoCardError(f"the Java card ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if not answer.pop("ok"):
            raise UsageError(f"the card refuses {what}: {answer.get('error')}")
        return answer

    def tear_at_write(self, n: int) -> None:
        """Takes the power at the n-th persistent write from now, from 1."""
        self.request("tear", {"at_write": n})

    def tear_before_answer(self, n: int = 1) -> None:
        """Takes the power when the n-th command from now is done and not answered."""
        self.request("tear", {"before_answer": n})

    def forget_tears(self) -> None:
        self.request("tear", None)

    def snapshot(self, name: str) -> None:
        """Keeps persistent memory under a name, until the process ends."""
        self.request("snapshot", name)

    def restore(self, name: str) -> None:
        """Puts persistent memory back; the card loses its power, and what is transient with it."""
        self.request("restore", name)

    def memory_hash(self) -> bytes:
        """SHA-256 of persistent memory."""
        return bytes.fromhex(self.request("hash", True)["hash"])

    def report(self) -> MemoryReport:
        answer = self.request("report", True)
        return MemoryReport(**{name: answer[name] for name in MemoryReport.__slots__})

    def last_error(self) -> str | None:
        """What ended the last command as 6F00 without the applet saying so."""
        error: str | None = self.request("report", True)["last_error"]
        return error

    # The end

    def close(self) -> None:
        """Ends the process. May be repeated, and never raises."""
        self.reader.close()
        process = self._process
        if process.stdin is not None and not process.stdin.closed:
            try:
                process.stdin.close()
            except OSError:
                process.kill()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._said.close()

    def _last_words(self) -> str:
        self._process.wait(STOP_TIMEOUT_S)
        self._said.seek(0)
        lines = [line for line in self._said.read().decode(errors="replace").splitlines() if line.startswith("card: ")]
        return lines[-1] if lines else f"exit code {self._process.returncode}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
