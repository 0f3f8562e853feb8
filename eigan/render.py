"""Renderer: codes to pictures, re-computing only the stages from the first changed layer on; smaller pictures while a
slider moves; strips and grids."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from eigan.edit import Edit
from eigan.errors import InvalidCodes
from eigan.generators.base import Codes, Generator, NoiseMode, State, iterate_batches
from eigan.pack import Direction
from eigan.pose import STILL, Pose
from eigan.preview import StageLog, match_colours, repaint, rgb, shrink

Pictures = npt.NDArray[np.uint8]  # (N, H, W, 3)

PREVIEW_SECONDS = 0.25
MIN_PREVIEW = 32  # pixels along one side
MAX_TRAIL_BYTES = 2**30  # a 1024 px StyleGAN2 leaves 127 MiB for each picture drawn at once


def to_uint8(images: Tensor) -> Pictures:
    """Images (N, C, H, W) in [-1, 1] -> (N, H, W, 3) uint8: clip(127.5 x + 128), truncated, as NVIDIA's generate.py.

    Grey images become RGB; channels after the third (alpha) are left out.
    """
    levels = (rgb(images) * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())


@dataclass(frozen=True)
class _Trail:
    """What the last batch left behind: its codes, the state before the first stage and after each that was run (but
    not after the last, which nothing starts from), and the picture, if it was drawn to the end."""

    codes: Codes
    noise_mode: NoiseMode
    pose: Pose
    states: tuple[State, ...]
    picture: Pictures | None = None


class Renderer:
    """Renders codes of one generator. The last batch's states are kept, so that moving a slider on late layers costs
    only the stages from there on; the result is the same to the last bit.

    One trail is kept, of at most `max_trail_bytes`; what is over is computed again. `clock` says seconds.

    Safe to share between threads: a trail is never changed, only replaced.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        batch_size: int = 8,
        max_trail_bytes: int = MAX_TRAIL_BYTES,
        clock: Callable[[], float] = time.perf_counter,
    ):
        if batch_size < 1:
            raise InvalidCodes(f"batch_size is {batch_size}; wanted 1 or more")
        self.generator = generator
        self.batch_size = batch_size
        self.max_trail_bytes = max_trail_bytes
        self._clock = clock
        self._log = StageLog()
        self._trail: _Trail | None = None
        self._colours: Mapping[int, Tensor] = {}  # by the stage after which an image is shown

    @property
    def trail_bytes(self) -> int:
        """Bytes of the states that are kept now."""
        return _num_bytes(self._trail.states) if self._trail else 0

    def render(
        self, codes: Codes, edit: Edit | None = None, *, noise_mode: NoiseMode = "const", pose: Pose = STILL
    ) -> Pictures:
        """Pictures (N, H, W, 3), uint8, of codes (N, L, D) after `edit`, shifted and turned by `pose`.

        Raises:
            InvalidCodes: codes, edit or pose do not fit the generator.
        """
        with torch.inference_mode():
            batches = self._batches(codes, edit, noise_mode, pose)
            pictures = [self._draw(batch, noise_mode, pose) for batch in batches]
        size = self.generator.resolution
        return np.concatenate(pictures) if pictures else np.zeros((0, size, size, 3), np.uint8)

    def preview(
        self,
        codes: Codes,
        edit: Edit | None = None,
        *,
        noise_mode: NoiseMode = "const",
        pose: Pose = STILL,
        seconds: float = PREVIEW_SECONDS,
    ) -> Pictures | None:
        """Smaller pictures (N, h, w, 3), uint8, of what `render` would draw, within about `seconds`: for a generator
        that is too slow to draw in full while a slider moves. A later `render` goes on from where they stopped.

        They are the image that the last stage within the time has gathered, 32 px or more, at least the first stage
        that the move reaches; in the colours of the last finished picture. None when pictures are best drawn in full:
        they are expected within `seconds`, none was drawn yet to take the time of, or no smaller image shows the move
        (its layers are read by the last stage alone; or no stage but the last makes an image, as in every family but
        StyleGAN2 with skip connections).

        Raises:
            InvalidCodes: codes, edit or pose do not fit the generator.
        """
        with torch.inference_mode():
            batches = self._batches(codes, edit, noise_mode, pose)
            stop = self._plan(batches[0], noise_mode, pose, seconds / len(batches)) if batches else None
            if stop is None:
                return None
            self._learn_colours()
            return np.concatenate([self._sketch(batch, noise_mode, pose, stop) for batch in batches])

    @property
    def has_previews(self) -> bool:
        """Whether a stage before the last has made an image that `preview` could show, as far as was drawn yet."""
        return any(self._log.size(index) >= MIN_PREVIEW for index in range(len(self.generator.stages) - 1))

    def expected_seconds(self, count: int = 1) -> float | None:
        """Seconds that `count` pictures (up to `batch_size`) take when nothing can be reused; None before the first."""
        return self._log.expected(range(len(self.generator.stages) + 1), count)

    def _batches(self, codes: Codes, edit: Edit | None, noise_mode: NoiseMode, pose: Pose) -> list[Codes]:
        self.generator.check_codes(codes)
        self.generator.check_options(noise_mode, pose)
        moved = (edit.apply(codes) if edit else codes).to(self.generator.device, torch.float32)
        return [moved[rows] for rows in iterate_batches(len(moved), self.batch_size)]

    def _draw(self, codes: Codes, noise_mode: NoiseMode, pose: Pose) -> Pictures:
        """The finished pictures of one batch; they stay in the trail, so the caller copies them."""
        trail, _ = self._holding(codes, noise_mode, pose)
        if trail.picture is not None:
            return trail.picture
        last = len(self.generator.stages)
        trail, state = self._walk(trail, last)
        start = self._clock()
        picture = to_uint8(self.generator.image_of(state))
        self._log.add(last, len(codes), self._clock() - start, state.image)
        self._trail = replace(trail, picture=picture)
        return picture

    def _sketch(self, codes: Codes, noise_mode: NoiseMode, pose: Pose, stop: int) -> Pictures:
        self._trail, state = self._walk(self._holding(codes, noise_mode, pose)[0], stop)
        image, colours = self.generator.image_of(state), self._colours.get(stop - 1)
        return to_uint8(image if colours is None else repaint(image, colours))

    def _walk(self, trail: _Trail, stop: int) -> tuple[_Trail, State]:
        """The trail after the stages before `stop`, as far as it may be kept, and the state there."""
        self._trail = trail  # what no longer holds is given up first: not both in memory
        stages, states = self.generator.stages, list(trail.states)
        state = states[min(stop, len(states) - 1)]
        for index in range(len(states) - 1, stop):
            start = self._clock()
            state = stages[index](state, trail.codes)
            self._log.add(index, len(trail.codes), self._clock() - start, state.image)
            is_wanted = len(states) == index + 1 < len(stages)
            if is_wanted and _num_bytes([*states, state]) <= self.max_trail_bytes:
                states.append(state)
        return replace(trail, codes=trail.codes.clone(), states=tuple(states)), state

    def _holding(self, codes: Codes, noise_mode: NoiseMode, pose: Pose) -> tuple[_Trail, int]:
        """What of the trail holds for these codes, and the first stage that they change (none: how many there are)."""
        trail = self._trail
        first = -1 if trail is None else self._first_stale(trail, codes, noise_mode, pose)
        if trail is None or first < 0:
            return _Trail(codes, noise_mode, pose, (self.generator.initial_state(codes, noise_mode, pose),)), 0
        if first < len(self.generator.stages):
            return _Trail(codes, noise_mode, pose, trail.states[: first + 1]), first
        return trail, first

    def _first_stale(self, trail: _Trail, codes: Codes, noise_mode: NoiseMode, pose: Pose) -> int:
        """Index of the first stage to compute again; -1 when nothing of the trail holds."""
        if (trail.noise_mode, trail.pose) != (noise_mode, pose):
            return -1
        if trail.codes.shape != codes.shape or trail.codes.device != codes.device:
            return -1
        changed = (trail.codes != codes).any(dim=2).any(dim=0).nonzero().flatten().tolist()
        for index, stage in enumerate(self.generator.stages):
            if stage.layers is not None and any(layer in stage.layers for layer in changed):
                return index
        return len(self.generator.stages)

    def _plan(self, codes: Codes, noise_mode: NoiseMode, pose: Pose, seconds: float) -> int | None:
        """The stage to stop before, so that what is gathered by then can be shown; None when nothing is gained."""
        trail, changed = self._holding(codes, noise_mode, pose)
        last, begun = len(self.generator.stages), len(trail.states) - 1

        def is_quick(stages: range) -> bool:  # what was never measured is tried
            expected = self._log.expected(stages, len(codes))
            return expected is None or expected <= seconds

        if trail.picture is not None or is_quick(range(begun, last + 1)):
            return None
        lowest = 1 if changed == last else changed + 1
        stops = [stop for stop in range(lowest, last) if self._log.size(stop - 1) >= MIN_PREVIEW]
        fitting = [stop for stop in stops if is_quick(range(begun, stop))]
        return max(fitting) if fitting else min(stops, default=None)

    def _learn_colours(self) -> None:
        """Take the colours of the last finished picture for the early images, if it is still there."""
        trail = self._trail
        if trail is None or trail.picture is None:
            return
        finished = (torch.from_numpy(trail.picture).permute(0, 3, 1, 2).float() - 127.5) / 127.5
        colours = {}
        for index in range(len(trail.states) - 2, -1, -1):  # large to small: each is shrunk from the one before
            image = trail.states[index + 1].image
            if image is not None and image.shape[-1] >= MIN_PREVIEW:
                finished = shrink(finished, image.shape[-1])
                colours[index] = match_colours(self.generator.image_of(trail.states[index + 1]), finished)
        self._colours = colours


def _num_bytes(states: Sequence[State]) -> int:
    """Bytes of the tensors of `states`, each counted once."""
    tensors = [t for state in states for t in (state.features, state.image, *state.kept.values()) if t is not None]
    storages = [t.untyped_storage() for t in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def strip(renderer: Renderer, codes: Codes, direction: Direction, amounts: Sequence[float]) -> Image.Image:
    """One row for each of codes (N, L, D), one column for each amount in sigmas."""
    rows = [renderer.render(codes, direction * amount) for amount in amounts]
    return grid(np.stack(rows, axis=1).reshape(-1, *rows[0].shape[1:]), columns=len(amounts))


def grid(
    images: Pictures, columns: int, *, gap: int = 2, background: tuple[int, int, int] = (255, 255, 255)
) -> Image.Image:
    """Pictures (N, H, W, 3) laid out in rows of `columns`, `gap` pixels apart."""
    count, height, width = images.shape[:3]
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), background)
    for i, picture in enumerate(images):
        row, column = divmod(i, columns)
        sheet.paste(Image.fromarray(picture), (column * (width + gap), row * (height + gap)))
    return sheet
