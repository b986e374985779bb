"""One zygote for all process tests of a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.till_process import TillProcess
from support.till_zygote import Zygote

MakeTill = Callable[..., TillProcess]


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    with Zygote() as made:
        yield made


@pytest.fixture
def make_till(tmp_path: Path, zygote: Zygote) -> MakeTill:
    """A till over a loaded card; the argument is its server's address, None for a till that is not enrolled."""

    def make(server: str | None = "http://127.0.0.1:9") -> TillProcess:
        return TillProcess(tmp_path / "data", zygote, server)

    return make
