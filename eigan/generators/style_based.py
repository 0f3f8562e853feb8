"""What the StyleGAN families share: codes are w, one row per layer, truncated towards the average w.

Karras et al., CVPR 2019 (arXiv:1812.04948); the truncation cutoff counts rows, as in NVIDIA's mapping networks.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from eigan.errors import InvalidCodes
from eigan.generators.base import Codes, Generator


class StyleBasedGenerator(Generator):
    """A generator whose mapping network gives one w for all layers."""

    code_space = "w"

    @abstractmethod
    def map_to_w(self, z: Tensor, c: Tensor | int | str | None = None) -> Tensor:
        """w (N, w_dim), float32, of latents z (N, z_dim); not truncated."""

    @property
    @abstractmethod
    def w_avg(self) -> Tensor:
        """The average w (w_dim,), the target of truncation."""

    def mapping(
        self,
        z: Tensor,
        c: Tensor | int | str | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Codes:
        """Codes (N, L, w_dim): w repeated over the layers, then w_avg + psi (w - w_avg) on the first `cutoff` rows."""
        codes = self.map_to_w(z, c)[:, None].repeat(1, self.num_layers, 1)
        return self.truncate(codes, truncation_psi, truncation_cutoff)

    def truncate(self, codes: Codes, psi: float, cutoff: int | None = None) -> Codes:
        """Codes moved towards w_avg on the first `cutoff` rows (all when None). Raises InvalidCodes on a bad cutoff."""
        if not math.isfinite(psi):
            raise InvalidCodes(f"truncation_psi is {psi}; wanted a finite number (1 leaves the picture alone)")
        if cutoff is not None and not 0 <= cutoff <= self.num_layers:
            raise InvalidCodes(f"truncation_cutoff is {cutoff}; this generator has {self.num_layers} layers")
        if psi == 1.0:
            return codes
        moved = self.w_avg.lerp(codes[:, :cutoff], psi)
        return moved if cutoff is None else torch.cat([moved, codes[:, cutoff:]], dim=1)
