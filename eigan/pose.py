"""Pose: where StyleGAN3 draws its picture, given to its input as a transform (Karras et al., NeurIPS 2021).

arXiv:2106.12423; the order of shift and turn is that of NVIDIA's gen_images.py (stylegan3 c233a91).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from eigan.errors import InvalidCodes

LIMITS = {"x": 1.0, "y": 1.0, "angle": 360.0}


@dataclass(frozen=True)
class Pose:
    """The picture turned counter-clockwise by `angle` degrees about its middle, then moved.

    x is to the right and y down, both in picture widths.

    Raises:
        InvalidCodes: a value that is not finite, a shift beyond 1 or an angle beyond 360.
    """

    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0

    def __post_init__(self) -> None:
        for name, limit in LIMITS.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and abs(value) <= limit):
                raise InvalidCodes(f"pose {name} is {value}; wanted {-limit:g} to {limit:g}")
            object.__setattr__(self, name, float(value))

    @property
    def is_still(self) -> bool:
        """Whether the picture stays where it is."""
        return not (self.x or self.y or self.angle)

    def matrix(self) -> Tensor:
        """(3, 3), float32: the transform of the network's input, the inverse of what the picture does.

        M⁻¹ with M = [[cos, sin, x], [-sin, cos, y], [0, 0, 1]] on places (x, y, 1) in the picture; y points down.
        """
        turn = math.radians(self.angle)
        c, s = math.cos(turn), math.sin(turn)
        m = torch.tensor([[c, s, self.x], [-s, c, self.y], [0.0, 0.0, 1.0]], dtype=torch.float64)
        inverse: Tensor = torch.linalg.inv(m)
        return inverse.float()


STILL = Pose()
