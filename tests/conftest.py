"""Set up before any test module is imported: no test ever talks to the real Hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.fakehub.session import HUB  # its import sets the environment; it stands before anything of huggingface_hub

from huggingface_hub import constants  # isort: skip
from huggingface_hub.utils import _http  # isort: skip

from eigan import hub as eigan_hub  # isort: skip
from tests.fakehub.server import FakeHub  # isort: skip


NUM_THREADS = torch.get_num_threads()


@pytest.fixture(autouse=True)
def as_many_threads() -> Iterator[None]:
    """Rounding of pictures depends on the number of threads: whatever a test sets, the next begins as the first did."""
    torch.set_num_threads(NUM_THREADS)
    yield
    torch.set_num_threads(NUM_THREADS)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """An empty Hub, an empty cache, and clients that do not sleep between attempts: `hub.pauses` has the seconds."""
    HUB.reset()
    pauses: list[float] = []
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(eigan_hub, "sleep", pauses.append)
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=pauses.append, time=_http.time.time))
    HUB.pauses = pauses
    yield HUB
    HUB.reset()
