"""A generator folder that the command line can open, and one thread for tests that draw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from eigan.readers.safetensors import save_generator
from tests.toys import toy_generator


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generators") / "toy-32"
    save_generator(toy_generator(), folder, dtype="fp32", license="cc0-1.0")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small pictures are drawn quickest so, above all beside other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
