"""The GPU, where there is one: the device that generators live on, and the door to ZeroGPU's.

On a ZeroGPU Space this process has no GPU. A function decorated by `on_gpu` runs in a fork of it that has one, for the
seconds that it asked for, which count against the visitor's minutes of the day; what it takes and gives is pickled. So
sliders and small pictures stay on this process's CPU, and heavy work alone goes through the door. Anywhere else the
decorator leaves a function as it is, and the package `spaces` need not be there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, wraps
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from eigan.checkpoint import Checkpoint
from eigan.edit import Edit
from eigan.errors import EiganError, UnknownName
from eigan.generators.base import Codes, Generator, NoiseMode
from eigan.pose import STILL, Pose
from eigan.render import PREVIEW_SECONDS, Pictures, Renderer

DEVICE_ENV = "EIGAN_DEVICE"
ZERO_GPU_ENV = "SPACES_ZERO_GPU"
HEAVY_PIXELS = 2**18  # of all pictures asked for at once: 1 of 512 px, 4 of 256 px. Less is quick enough on two cores
START_SECONDS = 5.0  # asked for each time: the fork, the weights' way to it, CUDA
PIXELS_PER_SECOND = 2**23  # a StyleGAN3 of 1024 px on a GPU of 2020 or later, with room to spare
UNMEASURED_SECONDS = 1.0  # what a heavy picture takes on a CPU, until one was drawn

P = ParamSpec("P")
R = TypeVar("R")
Array = npt.NDArray[np.float32]
log = logging.getLogger(__name__)


def is_zero_gpu() -> bool:
    """Whether this is a ZeroGPU Space: its variable is set, and the package `spaces` is installed."""
    return os.environ.get(ZERO_GPU_ENV, "").lower() in ("1", "t", "true") and find_spec("spaces") is not None


def work_device() -> torch.device:
    """Where generators of this process live: where EIGAN_DEVICE says; else on the GPU, if it is this process's own
    (ZeroGPU's is not, whatever torch says there); else on the CPU.

    Raises:
        UnknownName: EIGAN_DEVICE is no device of torch's, or this process has no such one.
    """
    wanted = os.environ.get(DEVICE_ENV, "").strip()
    has_cuda = torch.cuda.is_available() and not is_zero_gpu()
    if not wanted:
        return torch.device("cuda" if has_cuda else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UnknownName(f"{DEVICE_ENV} is {wanted!r}; wanted cpu, cuda, cuda:1 or mps") from None
    found = {"cpu": 1, "cuda": torch.cuda.device_count() if has_cuda else 0, "mps": int(_has_mps())}
    if (device.index or 0) >= found.get(device.type, 0):
        there = ", ".join(name for name, count in found.items() if count)
        raise UnknownName(
            f"{DEVICE_ENV} is {wanted!r}, which is not here; here: {there}. Leave it out to have one chosen."
        )
    return device


def on_gpu(duration: float | Callable[..., float]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: on a ZeroGPU Space the function runs where the GPU is, for up to `duration` seconds (or as many as
    `duration` of the same arguments says); anywhere else it is not touched.

    Its arguments and result must be picklable, and not on a GPU. It cannot count on what this process has loaded or
    opened since it was first called: send a generator as a `Parcel`. EiganErrors arrive as they were raised.
    """

    def decorate(task: Callable[P, R]) -> Callable[P, R]:
        if not is_zero_gpu():
            return task
        import spaces

        home = os.getpid()

        @wraps(task)
        def answer(*args: P.args, **kwargs: P.kwargs) -> R | EiganError:
            if os.getpid() != home:
                torch.set_num_threads(1)  # the others stayed behind in the process that was forked: never wait for them
            try:
                return task(*args, **kwargs)
            except EiganError as error:
                return error  # raised through the door it would lose its words

        far = spaces.GPU(duration=duration)(answer)

        @wraps(task)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            found: R | EiganError = far(*args, **kwargs)
            if isinstance(found, EiganError):
                raise found
            return found

        return call

    return decorate


@dataclass(frozen=True, eq=False)
class Parcel:
    """A generator as plain values, to be sent to where the GPU is. resolution: of its pictures."""

    architecture: str
    resolution: int
    config: Mapping[str, Any]
    weights: Mapping[str, Array] = field(repr=False)
    source: str = ""

    @classmethod
    def of(cls, generator: Generator) -> Parcel:
        """`generator`, its weights not copied where it is on the CPU."""
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in generator.weights().items()}
        return cls(generator.architecture, generator.resolution, generator.config(), weights, generator.source)

    def build(self, device: torch.device) -> Generator:
        """The generator again, on `device`. Raises CheckpointError on weights that do not fit."""
        weights = {name: torch.from_numpy(array) for name, array in self.weights.items()}
        return Checkpoint(self.architecture, self.config, weights, "parcel", self.source).build().to(device)


def _seconds_on_gpu(parcel: Parcel, codes: Array, *_: object) -> float:
    return START_SECONDS + len(codes) * parcel.resolution**2 / PIXELS_PER_SECOND


@on_gpu(_seconds_on_gpu)
def render_parcel(parcel: Parcel, codes: Array, noise_mode: NoiseMode, pose: Pose) -> Pictures:
    """Pictures (N, H, W, 3), uint8, of codes (N, L, D), drawn on the GPU. Raises InvalidCodes as `Renderer.render`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    renderer = Renderer(parcel.build(device), max_trail_bytes=0)
    return renderer.render(torch.from_numpy(codes).to(device), noise_mode=noise_mode, pose=pose)


class ZeroGpuRenderer(Renderer):
    """A Renderer of a ZeroGPU Space: heavy batches are drawn where the GPU is, everything else and all previews here.

    Where the GPU is refused (the visitor's minutes are spent, it is taken), a picture is drawn here too, in seconds.
    """

    def render(
        self, codes: Codes, edit: Edit | None = None, *, noise_mode: NoiseMode = "const", pose: Pose = STILL
    ) -> Pictures:
        """As `Renderer.render`; the GPU may round a colour level the other way."""
        import gradio as gr

        if self._is_heavy(len(codes)):
            self.generator.check_codes(codes)
            self.generator.check_options(noise_mode, pose)
            with torch.inference_mode():
                moved = (edit.apply(codes) if edit else codes).to("cpu", torch.float32).numpy()
            try:
                return render_parcel(self._parcel, moved, noise_mode, pose)
            except gr.Error as error:
                log.warning("no GPU for %d pictures, drawn on the CPU: %s", len(codes), error.message)
        return super().render(codes, edit, noise_mode=noise_mode, pose=pose)

    def preview(
        self,
        codes: Codes,
        edit: Edit | None = None,
        *,
        noise_mode: NoiseMode = "const",
        pose: Pose = STILL,
        seconds: float = PREVIEW_SECONDS,
    ) -> Pictures | None:
        """As `Renderer.preview`. The first draws a whole picture here, to learn what stages cost."""
        if super().expected_seconds() is None:
            super().render(codes, noise_mode=noise_mode, pose=pose)
        return super().preview(codes, edit, noise_mode=noise_mode, pose=pose, seconds=seconds)

    def expected_seconds(self, count: int = 1) -> float | None:
        """As `Renderer.expected_seconds`, on this process's CPU; heavy pictures are slow before one was measured."""
        measured = super().expected_seconds(count)
        return UNMEASURED_SECONDS if measured is None and self._is_heavy(count) else measured

    def _is_heavy(self, count: int) -> bool:
        return count * self.generator.resolution**2 >= HEAVY_PIXELS

    @cached_property
    def _parcel(self) -> Parcel:
        return Parcel.of(self.generator)


def make_renderer(generator: Generator) -> Renderer:
    """The renderer of a generator that many visitors share."""
    return ZeroGpuRenderer(generator) if is_zero_gpu() else Renderer(generator)


def _has_mps() -> bool:
    return torch.backends.mps.is_available()
