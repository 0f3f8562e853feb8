"""The only file that imports ComfyUI: folders, files, devices, progress, the layout of pictures, and nodes' base class.

Written for V3 nodes (`comfy_api.latest`), which ComfyUI's own nodes are made of; a module that exported V1 mappings too
would have its V3 nodes ignored. Tested with ComfyUI 0.3.75, the floor.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import comfy.model_management as mm
import folder_paths
import numpy as np
import torch
from comfy.cli_args import args
from comfy.model_patcher import ModelPatcher
from comfy.utils import ProgressBar
from comfy_api.latest import ComfyExtension, io, ui
from PIL import Image
from torch import Tensor, nn

from eigan.errors import InvalidCodes, UnknownName, list_names
from eigan.generators.base import Generator
from eigan.plain_files import file_digest
from eigan.readers import LONE_SUFFIXES
from eigan.render import Pictures, Renderer

from .values import GanGenerator

__all__ = ["ComfyExtension", "io", "ui"]  # and what is defined here

GENERATORS = "gan_generators"
DIRECTIONS = "gan_directions"
SUFFIXES = {GENERATORS: set(LONE_SUFFIXES), DIRECTIONS: {".safetensors"}}
MAX_TRAIL_BYTES = 256 * 2**20  # of what is kept of the last picture beside the weights: two 1024 px StyleGAN2's
WORKING_BYTES = 1200  # of activations for each pixel of a picture in the making; a 1024 px StyleGAN2 peaks at 1 GB
PREVIEW = 512  # pixels along one side of the picture shown while a batch is drawn

GanGeneratorType = io.Custom("GAN_GENERATOR")
GanLatentType = io.Custom("GAN_LATENT")
DirectionPackType = io.Custom("DIRECTION_PACK")
GanEditType = io.Custom("GAN_EDIT")


@contextmanager
def ordinary_tensors() -> Iterator[None]:
    """ComfyUI runs nodes under `torch.inference_mode`, whose tensors no gradient ever passes: weights and codes made
    so could not be inverted or fitted by another node. Free of it here, and no gradients until somebody asks for them.
    """
    with torch.inference_mode(False), torch.no_grad():
        yield


class GanNode(io.ComfyNode):
    """A node of ours: `define_schema`, and a class method `run` in place of `execute`, which takes the inputs by name.

    What it cannot do, it raises as an EiganError: a sentence that ComfyUI shows.
    """

    run: ClassVar[Callable[..., io.NodeOutput]]

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        with ordinary_tensors():
            return cls.run(**inputs)


def register_folders() -> None:
    """models/gan_generators and models/gan_directions, where files for our loaders lie; made if they are not there.

    Further folders for them may stand in extra_model_paths.yaml, which was read before.
    """
    for name, suffixes in SUFFIXES.items():
        folder = Path(folder_paths.models_dir) / name
        with suppress(OSError):  # of a disk that may only be read
            folder.mkdir(parents=True, exist_ok=True)
        folder_paths.add_model_folder_path(name, str(folder), is_default=True)
        folder_paths.folder_names_and_paths[name] = (folder_paths.get_folder_paths(name), suffixes)


def listed(folder: str) -> list[str]:
    """The files of a registered folder, by paths in it, "/" between their parts."""
    return [PurePosixPath(*Path(name).parts).as_posix() for name in folder_paths.get_filename_list(folder)]


def find(folder: str, name: str) -> Path:
    """Where the listed file called `name` lies.

    Raises:
        UnknownName: it is not listed; the message says what is. Nothing else on the disk can be named.
    """
    path = folder_paths.get_full_path(folder, name) if name in listed(folder) else None
    if path is None:
        there = list_names(listed(folder)) or "nothing yet"
        raise UnknownName(f"no file {name!r} in models/{folder}, where there is: {there}. Put it there and press R.")
    return Path(path)


def input_files(suffixes: Sequence[str]) -> list[str]:
    """The files of ComfyUI's input folder that end so, by paths in it."""
    found, _ = folder_paths.recursive_search(folder_paths.get_input_directory())
    return sorted(Path(name).as_posix() for name in found if name.lower().endswith(tuple(suffixes)))


def find_input(name: str, suffixes: Sequence[str]) -> Path:
    """Where the file of the input folder called `name` lies. Raises UnknownName, also for what lies outside."""
    there = input_files(suffixes)
    if name not in there:
        found = list_names(there) or "none yet"
        raise UnknownName(f"no file {name!r} in ComfyUI's input folder; of {', '.join(suffixes)} there is: {found}")
    return Path(folder_paths.get_input_directory()) / name


def digest(path: Path) -> str:
    """What changes when the file's content does; "missing" where there is none. It is read again when it is touched."""
    try:
        found = path.stat()
        return _digest(str(path), found.st_mtime_ns, found.st_size)
    except OSError:
        return "missing"


@lru_cache(maxsize=64)
def _digest(path: str, modified: int, size: int) -> str:
    return file_digest(Path(path))


@dataclass(frozen=True)
class Place:
    """Where the next files of an output node go: `folder`/`stem`_00001_.png and so on."""

    folder: Path
    stem: str
    counter: int
    subfolder: str

    def path(self, index: int, suffix: str) -> Path:
        return self.folder / f"{self.stem.replace('%batch_num%', str(index))}_{self.counter + index:05}_{suffix}"

    def result(self, path: Path) -> ui.SavedResult:
        return ui.SavedResult(path.name, self.subfolder, io.FolderType.output)


def output_place(prefix: str, width: int = 0, height: int = 0) -> Place:
    """Where files called `prefix` go in ComfyUI's output folder, %date% and the like filled in, nothing overwritten.

    Raises:
        UnknownName: the prefix leads out of the output folder, or is no name at all.
    """
    if not prefix.strip() or "\0" in prefix:
        raise UnknownName("no file name given; give one like eigan/head")
    try:
        folder, stem, counter, subfolder, _ = folder_paths.get_save_image_path(
            prefix, folder_paths.get_output_directory(), width, height
        )
    except Exception:  # noqa: BLE001  # what it raises for a path outside
        raise UnknownName(f"{prefix!r} leads out of ComfyUI's output folder; give a name like eigan/head") from None
    return Place(Path(folder), stem, counter, subfolder)


def workflow_texts(node: type[GanNode]) -> dict[str, str]:
    """What ComfyUI writes into PNGs, so that dropping one opens its workflow; nothing where that is switched off."""
    if args.disable_metadata or not node.hidden:
        return {}
    texts = {"prompt": node.hidden.prompt} if node.hidden.prompt else {}
    return {key: json.dumps(value) for key, value in (texts | (node.hidden.extra_pnginfo or {})).items()}


def to_image(pictures: Pictures) -> Tensor:
    """Pictures (N, H, W, 3), uint8 -> ComfyUI's IMAGE: float32, 0 to 1; saved by any node, the same bytes again."""
    return (torch.from_numpy(pictures).float() / 255).to(mm.intermediate_device())


def from_image(image: Tensor) -> Pictures:
    """IMAGE (N, H, W, C) -> pictures (N, H, W, 3), uint8, rounded; grey becomes RGB, alpha is left out.

    Raises:
        InvalidCodes: it is of another shape.
    """
    if image.ndim != 4 or image.shape[3] not in (1, 3, 4):
        raise InvalidCodes(f"an image has shape {tuple(image.shape)}; wanted (pictures, height, width, 3)")
    colours = image[..., :3].expand(-1, -1, -1, 3)
    return np.ascontiguousarray((colours.float() * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy())


def check_interrupt() -> None:
    """Stop here when the person pressed Cancel."""
    mm.throw_exception_if_processing_interrupted()


def clock() -> float:
    """Seconds. A Renderer looks at its clock around every stage, and so stops between two of them when asked to."""
    check_interrupt()
    return time.perf_counter()


class Progress:
    """The bar on the node that runs. A step of it stops the node when the person pressed Cancel."""

    def __init__(self, total: int):
        self._bar = ProgressBar(max(total, 1))

    def at(self, done: int, total: int | None = None, picture: Pictures | None = None) -> None:
        """`done` of `total`; `picture` (H, W, 3) is shown on the node where previews are switched on."""
        check_interrupt()
        preview = None if picture is None else ("JPEG", Image.fromarray(picture), PREVIEW)
        self._bar.update_absolute(done, total, preview)


class Holder(nn.Module):
    """What ComfyUI moves about. It sets attributes on it (device, ...) that a Generator has of its own."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = generator


class WholePatcher(ModelPatcher):
    """A generator in ComfyUI's hands: it lies on a device whole or not at all.

    ComfyUI moves parts of a model by leaf modules; a generator has parameters and buffers (noise, w_avg) beside
    children, which would be left behind. So nothing is loaded or unloaded in part, whatever the memory mode.
    """

    def __init__(self, generator: Generator):
        super().__init__(Holder(generator), mm.get_torch_device(), mm.unet_offload_device())
        self.renderer = self._fresh()

    def load_whole(self) -> None:
        """Onto the device that ComfyUI has for models, others pushed out where there is no room."""
        needed = WORKING_BYTES * self._generator.resolution**2 + MAX_TRAIL_BYTES
        mm.load_models_gpu([self], memory_required=needed, force_full_load=True)

    def partially_load(
        self, device_to: torch.device, extra_memory: float = 0, force_patch_weights: bool = False
    ) -> Any:
        with ordinary_tensors():
            return super().partially_load(device_to, 1e32, force_patch_weights=force_patch_weights)

    def partially_unload(self, device_to: torch.device, memory_to_free: float = 0, **others: Any) -> int:
        return 0  # so that it is unloaded whole

    def detach(self, unpatch_all: bool = True) -> Any:
        if unpatch_all:
            self.renderer = self._fresh()  # what it kept of the last picture lies on the device, too
        with ordinary_tensors():  # whichever node pushes it out
            return super().detach(unpatch_all)

    @property
    def _generator(self) -> Generator:
        holder: Holder = self.model
        return holder.generator

    def _fresh(self) -> Renderer:
        return Renderer(self._generator, batch_size=1, max_trail_bytes=MAX_TRAIL_BYTES, clock=clock)


@dataclass(frozen=True, eq=False)
class Managed:
    """The `Handle` of a generator that ComfyUI's memory management knows."""

    patcher: WholePatcher

    @property
    def renderer(self) -> Renderer:
        return self.patcher.renderer

    def load(self) -> None:
        self.patcher.load_whole()


def managed(generator: Generator) -> GanGenerator:
    """`generator` as it goes on a wire: ComfyUI decides where it lies and when it goes."""
    return GanGenerator(generator, Managed(WholePatcher(generator)))


def draw(renderer: Renderer, codes: Tensor, **options: Any) -> Pictures:
    """Pictures (N, H, W, 3), uint8, of codes (N, L, D), one at a time: each as if drawn alone, with the node's bar.

    options: those of `Renderer.render`. Raises InvalidCodes, and ComfyUI's interrupt.
    """
    pictures: list[Pictures] = []
    bar = Progress(len(codes))
    for row in codes:
        pictures.append(renderer.render(row[None], **options))
        bar.at(len(pictures), picture=pictures[-1][0])
    return np.concatenate(pictures)
