"""DirectionModel: directions that depend on the code. A small network for each direction gives its unit vector.

LatentCLR: Yüksel et al., ICCV 2021, arXiv:2104.00820; numerics checked against catlab-team/latentclr, commit f02a70d:
z + alpha * D_k(z) / |D_k(z)|, batch normalisation by its running statistics.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Step:
    """One layer of all K networks: weight (K, O, I), bias (K, O); scale and shift (K, O) of the normalisation after it.

    bends: whether a ReLU follows.
    """

    weight: Tensor
    bias: Tensor | None
    scale: Tensor | None
    shift: Tensor | None
    bends: bool

    def __call__(self, x: Tensor) -> Tensor:
        """x (K, N, I) -> (K, N, O)."""
        x = x @ self.weight.mT
        x = x if self.bias is None else x + self.bias[:, None]
        if self.scale is not None and self.shift is not None:
            x = x * self.scale[:, None] + self.shift[:, None]
        return x.relu() if self.bends else x

    def only(self, k: int) -> Step:
        """The layer of network k alone."""
        bias, scale, shift = (None if t is None else t[k : k + 1] for t in (self.bias, self.scale, self.shift))
        return Step(self.weight[k : k + 1], bias, scale, shift, self.bends)


@dataclass(frozen=True, eq=False)
class DirectionModel:
    """K directions in a space of `size` numbers: `fixed` (K, size), or made of each code by `steps`."""

    count: int
    size: int
    fixed: Tensor | None = None
    steps: tuple[Step, ...] = ()

    @property
    def kind(self) -> str:
        return "global" if self.fixed is not None else "linear" if len(self.steps) == 1 else "nonlinear"

    def directions(self, z: Tensor, *, normalize: bool = True) -> Tensor:
        """D_k(z) for z (N, size): (K, N, size), unit rows unless `normalize` is off."""
        if self.fixed is not None:
            found = self.fixed[:, None].expand(-1, len(z), -1)
        else:
            found = z.expand(self.count, *z.shape)
            for step in self.steps:
                found = step(found)
        return found / found.norm(dim=-1, keepdim=True) if normalize else found

    def forward(self, z: Tensor, alpha: float, *, normalize: bool = True) -> Tensor:
        """z moved along every direction, direction-major: (K * N, size), row k * N + n is z[n] along direction k."""
        return (z + alpha * self.directions(z, normalize=normalize)).flatten(0, 1)

    def single(self, z: Tensor, k: int, alpha: float, *, normalize: bool = True) -> Tensor:
        """z (N, size) moved along direction k."""
        return z + alpha * self.only(k).directions(z, normalize=normalize)[0]

    def only(self, k: int) -> DirectionModel:
        """The model of direction k alone."""
        if self.fixed is not None:
            return DirectionModel(1, self.size, self.fixed[k : k + 1])
        return DirectionModel(1, self.size, None, tuple(step.only(k) for step in self.steps))
