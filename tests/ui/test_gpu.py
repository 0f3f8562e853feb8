"""The door to ZeroGPU, with a stand-in for `spaces` that forks and pickles; and which device is chosen."""

from __future__ import annotations

import importlib
import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import gradio as gr
import numpy as np
import pytest
import torch

from eigan.errors import InvalidCodes, UnknownName
from eigan.pose import STILL
from eigan.render import Renderer
from eigan.ui import gpu
from tests.generators.test_contract import TOYS, codes_of
from tests.toys import toy_direction, toy_generator

STAND_IN = Path(__file__).parent / "zero_gpu"
REPOSITORY = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture
def spaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A ZeroGPU Space, as far as this process can tell."""
    monkeypatch.syspath_prepend(STAND_IN)
    monkeypatch.setenv(gpu.ZERO_GPU_ENV, "true")
    module = importlib.import_module("spaces")
    yield module
    sys.modules.pop("spaces", None)


def add(a: float, b: float = 1.0) -> float:
    return a + b


def test_the_decorator_touches_nothing_without_spaces_or_without_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(gpu.ZERO_GPU_ENV, raising=False)
    assert gpu.on_gpu(5)(add) is add
    monkeypatch.setenv(gpu.ZERO_GPU_ENV, "true")
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    assert gpu.on_gpu(5)(add) is add and not gpu.is_zero_gpu()
    monkeypatch.undo()
    monkeypatch.syspath_prepend(STAND_IN)
    monkeypatch.setenv(gpu.ZERO_GPU_ENV, "false")
    assert gpu.on_gpu(5)(add) is add, "a Space with `spaces` on other hardware"
    assert type(gpu.make_renderer(toy_generator())) is Renderer


def test_a_decorated_function_runs_in_another_process_for_the_seconds_it_asks(spaces: ModuleType) -> None:
    assert gpu.is_zero_gpu()

    @gpu.on_gpu(lambda a, b=1.0: 2 * a + b)
    def tell(a: float, b: float = 1.0) -> tuple[float, int, int]:
        return a + b, os.getpid(), torch.get_num_threads()

    total, process, threads = tell(3.0, b=4.0)
    assert (total, threads) == (7.0, 1)
    assert process != os.getpid() and tell.__name__ == "tell"
    assert spaces.decorated == ["tell"] and spaces.asked == [10.0]


def test_what_is_wrong_is_said_in_its_own_words(spaces: ModuleType) -> None:
    @gpu.on_gpu(5)
    def refuse() -> None:
        raise InvalidCodes("codes have the shape of an egg")

    @gpu.on_gpu(5)
    def break_down() -> None:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(InvalidCodes, match="the shape of an egg"):
        refuse()
    with pytest.raises(gr.Error, match="ZeroDivisionError"):
        break_down()


@pytest.mark.parametrize("name", TOYS)
def test_a_parcel_holds_the_whole_generator(name: str) -> None:
    generator = TOYS[name]()
    again = pickle.loads(pickle.dumps(gpu.Parcel.of(generator))).build(CPU)
    codes = codes_of(generator, [1])
    assert torch.equal(again.synthesis(codes), generator.synthesis(codes))
    assert again.fingerprint == generator.fingerprint


def zero_gpu_renderer(generator, monkeypatch: pytest.MonkeyPatch) -> Renderer:
    """A renderer whose door is open, and for which two pictures of 32 px are heavy."""
    monkeypatch.setattr(gpu, "HEAVY_PIXELS", 2 * 32**2)
    monkeypatch.setattr(gpu, "render_parcel", gpu.on_gpu(gpu._seconds_on_gpu)(gpu.render_parcel))
    return gpu.make_renderer(generator)


def test_heavy_pictures_are_drawn_in_the_other_process_and_light_ones_here(
    spaces: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, edit = toy_generator(), toy_direction() * 1.5
    renderer = zero_gpu_renderer(generator, monkeypatch)
    two, one = codes_of(generator, [1, 2]), codes_of(generator, [1])
    direct = Renderer(generator)
    drawn = renderer.render(two, edit, noise_mode="none")
    assert np.abs(drawn.astype(int) - direct.render(two, edit, noise_mode="none")).max() <= 1  # other threads
    assert len(spaces.asked) == 1 and spaces.asked[0] == pytest.approx(gpu.START_SECONDS, abs=0.01)
    assert np.array_equal(renderer.render(one, edit), direct.render(one, edit))
    assert len(spaces.asked) == 1
    with pytest.raises(InvalidCodes):
        renderer.render(two[:, :2])
    with pytest.raises(InvalidCodes):
        renderer.render(two, noise_mode="loud")  # type: ignore[arg-type]
    assert len(spaces.asked) == 1, "what is wrong is refused before a GPU is asked for"


def test_without_a_gpu_to_be_had_the_picture_is_drawn_here(
    spaces: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    generator = toy_generator()
    renderer = zero_gpu_renderer(generator, monkeypatch)
    monkeypatch.setattr(spaces, "REFUSAL", "no minutes left today")
    codes = codes_of(generator, [1, 2])
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(renderer.render(codes), Renderer(generator).render(codes))
    assert "no minutes left today" in caplog.text


def test_previews_are_drawn_here_and_dragging_never_asks_for_a_gpu(
    spaces: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = TOYS["stylegan2"]()
    renderer = zero_gpu_renderer(generator, monkeypatch)
    monkeypatch.setattr(gpu, "HEAVY_PIXELS", 1)
    monkeypatch.setattr("eigan.render.MIN_PREVIEW", 16)
    assert renderer.expected_seconds() == gpu.UNMEASURED_SECONDS
    codes = codes_of(generator, [1])
    preview = renderer.preview(codes, toy_direction() * 1.0, seconds=0.0)
    assert preview is not None and preview.shape == (1, 16, 16, 3)
    measured = renderer.expected_seconds()
    assert measured is not None and measured != gpu.UNMEASURED_SECONDS
    assert spaces.asked == []


def test_the_device_is_what_is_here_or_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(gpu.DEVICE_ENV, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.work_device() == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert gpu.work_device() == torch.device("cuda")
    for wanted in ("cpu", "cuda", "cuda:1"):
        monkeypatch.setenv(gpu.DEVICE_ENV, wanted)
        assert gpu.work_device() == torch.device(wanted)
    for wanted in ("cuda:2", "gpu", "xpu", "cuda:x"):
        monkeypatch.setenv(gpu.DEVICE_ENV, wanted)
        with pytest.raises(UnknownName, match=wanted):
            gpu.work_device()


def test_zero_gpus_card_is_not_this_processs_own(spaces: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """There torch says that CUDA is available, in every process."""
    monkeypatch.delenv(gpu.DEVICE_ENV, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert gpu.work_device() == CPU
    monkeypatch.setenv(gpu.DEVICE_ENV, "cuda")
    with pytest.raises(UnknownName, match="not here"):
        gpu.work_device()


START_UP = """
import json, sys
import numpy, app, spaces, torch
from eigan.latents import seeded_z
from eigan.pose import STILL
from eigan.render import Renderer
from eigan.ui import gpu
from tests.toys import toy_generator
generator = toy_generator()
codes = generator.mapping(seeded_z([1], 16))
here = Renderer(generator).render(codes)
torch.randn(1000, 1000) @ torch.randn(1000, 1000)  # wakes the threads that a fork leaves behind
there = gpu.render_parcel(gpu.Parcel.of(generator), codes.numpy(), "const", STILL)
print(json.dumps([spaces.TORCH_CAME_FIRST, spaces.decorated, int(numpy.abs(here.astype(int) - there).max())]))
"""


def test_app_on_a_zero_gpu_space_imports_spaces_first_and_has_a_function_on_the_gpu() -> None:
    paths = os.pathsep.join([str(STAND_IN), str(REPOSITORY)])
    environ = os.environ | {gpu.ZERO_GPU_ENV: "true", "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", START_UP], env=environ, cwd=REPOSITORY, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    torch_came_first, decorated, difference = json.loads(done.stdout.splitlines()[-1])
    assert not torch_came_first
    assert decorated == ["render_parcel"]
    assert difference <= 1


def test_a_pose_goes_through_the_door(spaces: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = TOYS["stylegan3-t"]()
    renderer = zero_gpu_renderer(generator, monkeypatch)
    monkeypatch.setattr(gpu, "HEAVY_PIXELS", 1)
    turned = type(STILL)(0.1, 0.0, 45.0)
    codes = codes_of(generator, [3])
    drawn, expected = renderer.render(codes, pose=turned), Renderer(generator).render(codes, pose=turned)
    assert np.abs(drawn.astype(int) - expected).max() <= 1 and len(spaces.asked) == 1
