"""Renderer: codes to pictures, re-computing only the stages from the first changed layer on; strips and grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

Pictures = npt.NDArray[np.uint8]  # (N, H, W, 3)


def to_uint8(images: Tensor) -> Pictures:
    """Images (N, C, H, W) in [-1, 1] -> (N, H, W, 3) uint8: clip(127.5 x + 128), truncated, as NVIDIA's generate.py.

    Grey images become RGB; channels after the third (alpha) are left out.
    """
    rgb = images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
    levels = (rgb.float() * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())


@dataclass(frozen=True)
class _Trail:
    """What the last render left behind: its codes and the state before every stage, and after the last."""

    codes: Codes
    noise_mode: NoiseMode
    pose: Pose
    states: tuple[State, ...]


class Renderer:
    """Renders codes of one generator. The last batch's states are kept, so that moving a slider on late layers costs
    only the stages from there on; the result is the same to the last bit.

    Safe to share between threads: a trail is never changed, only replaced.
    """

    def __init__(self, generator: Generator, *, batch_size: int = 8):
        if batch_size < 1:
            raise InvalidCodes(f"batch_size is {batch_size}; wanted 1 or more")
        self.generator = generator
        self.batch_size = batch_size
        self._trail: _Trail | None = None

    def render(
        self, codes: Codes, edit: Edit | None = None, *, noise_mode: NoiseMode = "const", pose: Pose = STILL
    ) -> Pictures:
        """Pictures (N, H, W, 3), uint8, of codes (N, L, D) after `edit`, shifted and turned by `pose`.

        Raises:
            InvalidCodes: codes, edit or pose do not fit the generator.
        """
        self.generator.check_codes(codes)
        self.generator.check_options(noise_mode, pose)
        with torch.inference_mode():
            moved = (edit.apply(codes) if edit else codes).to(self.generator.device, torch.float32)
            batches = [
                self._render_batch(moved[rows], noise_mode, pose)
                for rows in iterate_batches(len(moved), self.batch_size)
            ]
        size = self.generator.resolution
        return np.concatenate(batches) if batches else np.zeros((0, size, size, 3), np.uint8)

    def _render_batch(self, codes: Codes, noise_mode: NoiseMode, pose: Pose) -> Pictures:
        stages = self.generator.stages
        trail = self._trail
        states = [] if trail is None else list(trail.states[: self._first_stale(trail, codes, noise_mode, pose) + 1])
        if not states:
            states = [self.generator.initial_state(codes, noise_mode, pose)]
        for stage in stages[len(states) - 1 :]:
            states.append(stage(states[-1], codes))
        self._trail = _Trail(codes.clone(), noise_mode, pose, tuple(states))
        return to_uint8(self.generator.image_of(states[-1]))

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
