"""One worker and one server for a session of tests, in a base folder with a toy generator and its pack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from eigan.generators.base import Generator
from eigan.pack import DirectionPack
from eigan.readers.safetensors import save_generator
from eigan.render import Renderer
from eigan.sources import load_generator
from tests.fakehub.server import FakeHub
from tests.plugin.comfyui import PLUGIN, Server, Worker, make_base, person_environ
from tests.plugin.core import NoCore, find_core, is_ci
from tests.toys import toy_generator, toy_pack

LOCAL_GENERATOR = "toy/model.safetensors"
LOCAL_PACK = "toy/directions.safetensors"


@dataclass(frozen=True)
class Toys:
    """What lies in the base folder's models, as the tests' own process knows it."""

    generator: Generator
    pack: DirectionPack
    renderer: Renderer

    @classmethod
    def make(cls, folder: Path) -> Toys:
        """The generator out of a file in `folder`, as nodes open it: weights that a test has made lie elsewhere in
        memory, and their products are rounded otherwise, one level of one pixel now and then."""
        save_generator(toy_generator(), folder, dtype="fp32")
        generator = load_generator(folder)
        generator.source = ""
        return cls(generator, toy_pack(generator), Renderer(generator, batch_size=1))


@pytest.fixture(scope="session")
def core() -> Path:
    """ComfyUI's core. Where it cannot be had the tests are skipped, but never in CI."""
    try:
        return find_core()
    except NoCore as problem:
        if is_ci():
            raise
        pytest.skip(f"no ComfyUI here: {problem}")


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    return Toys.make(tmp_path_factory.mktemp("toys"))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, toys: Toys) -> Path:
    """A ComfyUI with our nodes linked in, and the toys in models/."""
    folder = make_base(tmp_path_factory.mktemp("comfyui"))
    (folder / "custom_nodes" / "eigan").symlink_to(PLUGIN)
    fill_models(folder, toys)
    return folder


@pytest.fixture(scope="session")
def hub() -> FakeHub:
    """The Hub that the worker's ComfyUI sees; empty at first."""
    return FakeHub().start()


@pytest.fixture(scope="session")
def worker(core: Path, base: Path, hub: FakeHub) -> Iterator[Worker]:
    """The core without a server: for what a prompt gives, and for functions that run inside."""
    running = Worker(core, base, person_environ(HF_ENDPOINT=hub.url, HF_HOME=str(base / "hf")))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def server(core: Path, base: Path) -> Iterator[Server]:
    """ComfyUI with HTTP and websocket: for what only they show."""
    running = Server(core, base, person_environ())
    yield running
    running.stop()


def fill_models(base: Path, toys: Toys) -> None:
    """The toys as files of ComfyUI's own folders, and a second generator, which the pack does not fit."""
    save_generator(toys.generator, base / "models/gan_generators/toy", dtype="fp32")
    save_generator(toy_generator(seed=1), base / "models/gan_generators/other", dtype="fp32")
    toys.pack.save(base / "models/gan_directions/toy")
