"""Animations of what is on the page: the whole edit, or one slider, there and back; in bounded time and memory.

No Gradio; frames and files are `eigan.animate`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image

from eigan.animate import Frame, frames, write_mp4, write_webp
from eigan.edit import Edit
from eigan.errors import PackFormatError
from eigan.pack import DirectionPack
from eigan.recipe import PictureRecipe
from eigan.render import Renderer
from eigan.reproduce import recipe_codes, recipe_edit

WRITERS: Mapping[str, Callable[..., None]] = {".webp": write_webp, ".mp4": write_mp4}
COUNT = (4, 40)  # frames on the way there
FPS = (5, 30)
SIZES = (64, 1024)  # pixels
USUAL_SIZES = (256, 512)  # small generators are enlarged to the first, large ones shrunk to the second
MAX_PIXELS = 2**25  # of all frames, which are in memory together: 100 MB
SECONDS = 60.0  # of drawing that one person may ask for at once


def sizes_for(resolution: int) -> list[int]:
    """Widths that an animation may have: the generator's own, and its doubles and halves within bounds; ascending."""
    doubles = [resolution * 2**k for k in range(5)] + [resolution // 2**k for k in range(1, 5)]
    return sorted({resolution, *(size for size in doubles if SIZES[0] <= size <= SIZES[1])})


def usual_size(resolution: int) -> int:
    """The one of them to begin with."""
    low, high = USUAL_SIZES
    wanted = min(max(resolution, low), high)
    return min(sizes_for(resolution), key=lambda size: abs(size - wanted))


def most_frames(renderer: Renderer) -> int:
    """How many frames one way this machine draws in SECONDS, within COUNT."""
    return affordable(renderer, SECONDS, *COUNT)


def affordable(renderer: Renderer, seconds: float, least: int, most: int) -> int:
    """How many pictures are drawn in so many seconds here, `least` to `most`; `most` before the first was drawn."""
    each = renderer.expected_seconds() or 0.0
    return int(min(max(seconds / each, least), most)) if each else most


@dataclass(frozen=True)
class Shape:
    """count: frames one way. fps: frames a second. size: width of the pictures in pixels."""

    count: int
    fps: float
    size: int

    @classmethod
    def of(cls, count: float | None, fps: float | None, size: float | None, resolution: int) -> Shape:
        """As the page sends it: a box that was emptied sends None, and so does a size that was not filled in yet."""
        return cls(int(count or 0), float(fps or 0), int(size or usual_size(resolution)))


def check_affordable(renderer: Renderer, shape: Shape) -> None:
    """Raise PackFormatError for an animation that is too long or too large."""
    count, size = shape.count, shape.size
    most = most_frames(renderer)
    if not COUNT[0] <= count <= most:
        raise PackFormatError(f"{count} frames were asked for; of this generator, wanted {COUNT[0]} to {most} here")
    if not FPS[0] <= shape.fps <= FPS[1]:
        raise PackFormatError(f"{shape.fps:g} frames a second were asked for; wanted {FPS[0]} to {FPS[1]}")
    if not 1 <= size <= SIZES[1]:
        raise PackFormatError(f"the size is {size} pixels; wanted at most {SIZES[1]}")
    if (2 * count - 2) * size**2 > MAX_PIXELS:
        fitting = MAX_PIXELS // size**2 // 2 + 1
        raise PackFormatError(f"{count} frames of {size} pixels are too much; choose {fitting} frames or smaller ones")


def whole_move(recipe: PictureRecipe, pack: DirectionPack) -> tuple[Edit, Edit]:
    """From no edit to the recipe's. Raises PackFormatError: it makes none."""
    if not recipe.amounts:
        raise PackFormatError("nothing is moved yet, so nothing would move; move a slider, or choose 'One slider'")
    return Edit(), recipe_edit(recipe, pack)


def sweep(recipe: PictureRecipe, pack: DirectionPack, name: str) -> tuple[Edit, Edit]:
    """From one end of a direction's range to the other; the recipe's other moves stay. Raises EiganError."""
    ends = (replace(recipe, amounts={**recipe.amounts, name: end}) for end in pack[name].amount_range)
    low, high = (recipe_edit(end, pack) for end in ends)
    return low, high


def draw_move(
    renderer: Renderer, recipe: PictureRecipe, move: tuple[Edit, Edit], count: int, size: int
) -> Iterator[Frame]:
    """Frames (size, size, 3) of the recipe's picture going from move[0] to move[1] and back, in a loop without a seam.

    Raises as `eigan.animate.frames` does.
    """
    with torch.inference_mode():
        codes = recipe_codes(recipe, renderer.generator)
    start, end = move
    options: dict[str, Any] = {"noise_mode": recipe.noise_mode, "pose": recipe.pose}
    for frame in frames(renderer, codes, end, count, start=start, size=size, **options):
        yield _enlarged(frame, size)


def encode(drawn: Sequence[Frame], suffix: str, fps: float) -> bytes:
    """The frames as a file of the kind that `suffix` says. Raises EiganError."""
    buffer = BytesIO()
    WRITERS[suffix](drawn, buffer, fps)
    return buffer.getvalue()


def _enlarged(frame: Frame, size: int) -> Frame:
    height, width = frame.shape[:2]
    if width >= size:
        return frame
    picture = Image.fromarray(frame).resize((size, round(size * height / width)), Image.Resampling.BICUBIC)
    return np.asarray(picture)
