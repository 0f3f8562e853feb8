"""A generator folder that the command line can open."""

from __future__ import annotations

from pathlib import Path

import pytest

from eigan.readers.safetensors import save_generator
from tests.toys import toy_generator


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generators") / "toy-32"
    save_generator(toy_generator(), folder, dtype="fp32", license="cc0-1.0")
    return folder
