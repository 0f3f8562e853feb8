"""What smaller pictures are planned with: what each stage cost lately, and the colours that early images still lack.

An early image of StyleGAN2's skip architecture is pale: later toRGB layers add most of the contrast. The map of colours
that brings it nearest to a finished picture of the same generator is found by least squares.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_RECENT = 5  # measurements that count


class StageLog:
    """Seconds that each stage took lately, by the number of pictures drawn at once, and how large the image was after.

    The middle one of the last few counts (of two, the smaller), so that neither a first, cold run nor one hiccup does.
    Safe to share between threads: nothing is changed, only replaced; of two that arrive at once, one may get lost.
    """

    def __init__(self) -> None:
        self._seconds: Mapping[tuple[int, int], tuple[float, ...]] = {}
        self._sizes: Mapping[int, int] = {}

    def add(self, stage: int, count: int, seconds: float, image: Tensor | None) -> None:
        """One run of the stage on `count` pictures; `image` (count, C, H, W) is what is gathered after it."""
        earlier = self._seconds.get((stage, count), ())
        self._seconds = {**self._seconds, (stage, count): (*earlier, seconds)[-NUM_RECENT:]}
        self._sizes = {**self._sizes, stage: 0 if image is None else image.shape[-1]}

    def expected(self, stages: range, count: int) -> float | None:
        """Seconds that these stages take together; None when one was never measured.

        A number of pictures that was not measured counts in proportion to the nearest that was.
        """
        found = [self._expected(stage, count) for stage in stages]
        known = [seconds for seconds in found if seconds is not None]
        return sum(known) if len(known) == len(found) else None

    def size(self, stage: int) -> int:
        """Pixels along one side of the image after this stage; 0 while there is none, or the stage was never run."""
        return self._sizes.get(stage, 0)

    def _expected(self, stage: int, count: int) -> float | None:
        measured = {n: seconds for (index, n), seconds in self._seconds.items() if index == stage}
        if not measured:
            return None
        nearest = min(measured, key=lambda n: (abs(n - count), n))
        return statistics.median_low(measured[nearest]) * count / nearest


def rgb(images: Tensor) -> Tensor:
    """Images (N, C, H, W) -> (N, 3, H, W), float32: grey is repeated, channels after the third are left out."""
    return (images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)).float()


def match_colours(early: Tensor, finished: Tensor) -> Tensor:
    """(4, 3), float64, CPU: the map [r g b 1] -> colours that brings early images (N, C, h, w) nearest to the finished
    ones (N, 3, h, w) of the same codes, in the mean square. Both count as they are seen: within [-1, 1]."""
    pixels, wanted = _pixels(_seen(early)), _pixels(_seen(finished))
    given = torch.cat([pixels, torch.ones_like(pixels[:, :1])], dim=1)  # (N h w, 4)
    colours: Tensor = torch.linalg.pinv(given.t() @ given, hermitian=True) @ (given.t() @ wanted)
    return colours


def repaint(images: Tensor, colours: Tensor) -> Tensor:
    """Images (N, C, h, w) after the map of `match_colours`: (N, 3, h, w), float32."""
    found = colours.to(images.device, torch.float32)
    return torch.einsum("nchw,cd->ndhw", _seen(images), found[:3]) + found[3, :, None, None]


def shrink(images: Tensor, size: int) -> Tensor:
    """Images (N, C, H, W) -> (N, C, size, size), averaged."""
    smaller: Tensor = F.adaptive_avg_pool2d(images, size)
    return smaller


def _seen(images: Tensor) -> Tensor:
    return rgb(images).nan_to_num(0.0).clamp(-1.0, 1.0)


def _pixels(images: Tensor) -> Tensor:
    return images.permute(0, 2, 3, 1).reshape(-1, 3).to("cpu", torch.float64)
