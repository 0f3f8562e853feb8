"""FastGANs put together from torch's own modules, as their authors' files have them: what a reader must take, and an
oracle for the numbers. Pictures without noise.
"""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

MULTIPLES = {4: 16.0, 8: 8.0, 16: 4.0, 32: 2.0, 64: 2.0, 128: 1.0, 256: 0.5, 512: 0.25, 1024: 0.125}
BLOCKS, NETWORKS = "pg_modules.blocks", "pg_modules.networks_fastgan"


def convolution(inputs: int, outputs: int, size: int, padding: int = 0, *, bias: bool = False) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, size, padding=padding, bias=bias))


class GLU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.glu(x, dim=1)


class Swish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.sigmoid()


class NoiseInjection(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x


class InitLayer(nn.Module):
    def __init__(self, z_dim: int, channels: int):
        super().__init__()
        grown = spectral_norm(nn.ConvTranspose2d(z_dim, 2 * channels, 4, bias=False))
        self.init = nn.Sequential(grown, nn.BatchNorm2d(2 * channels), GLU())

    def forward(self, z: Tensor) -> Tensor:
        return self.init(z[:, :, None, None])  # type: ignore[no-any-return]


class SEBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        squeeze, excite = convolution(inputs, outputs, 4), convolution(outputs, outputs, 1)
        self.main = nn.Sequential(nn.AdaptiveAvgPool2d(4), squeeze, Swish(), excite, nn.Sigmoid())

    def forward(self, early: Tensor, late: Tensor) -> Tensor:
        return late * self.main(early)  # type: ignore[no-any-return]


def block(inputs: int, outputs: int, *, big: bool) -> nn.Sequential:
    def half(width: int) -> list[nn.Module]:
        noise: list[nn.Module] = [NoiseInjection()] if big else []
        return [convolution(width, 2 * outputs, 3, 1), *noise, nn.BatchNorm2d(2 * outputs), GLU()]

    return nn.Sequential(nn.Upsample(scale_factor=2), *half(inputs), *(half(outputs) if big else []))


class FastganSynthesis(nn.Module):
    """blocks: "alternate", "big" or "small". official: with `to_128`, without bias, tanh at 1024."""

    def __init__(self, resolution: int, *, ngf: int = 8, z_dim: int = 12, blocks: str = "alternate", official: bool):
        super().__init__()
        self.resolution, self.official = resolution, official
        widths = {r: int(ngf * multiple) for r, multiple in MULTIPLES.items()}
        self.init = InitLayer(z_dim, widths[4])
        self.sizes = [r for r in widths if 4 < r <= max(resolution, 128 if official else 256)]
        for r in self.sizes:
            big = blocks == "big" or (blocks == "alternate" and r in (8, 32, 128, 512))
            self.add_module(f"feat_{r}", block(widths[r // 2], widths[r], big=big))
            if 64 <= r <= 512:
                self.add_module(f"se_{r}", SEBlock(widths[r // 16], widths[r]))
        if official:
            self.to_128 = convolution(widths[128], 3, 1)
        self.to_big = convolution(widths[resolution], 3, 3, 1, bias=not official)

    def forward(self, z: Tensor) -> Tensor:
        z = z if self.official else z / z.square().mean(dim=1, keepdim=True).sqrt()
        maps = {4: self.init(z)}
        for r in self.sizes:
            late = self.get_submodule(f"feat_{r}")(maps[r // 2])
            maps[r] = self.get_submodule(f"se_{r}")(maps[r // 16], late) if 64 <= r <= 512 else late
        picture: Tensor = self.to_big(maps[self.resolution])
        return picture.tanh() if self.official and self.resolution == 1024 else picture


class DummyMapping(nn.Module):
    pass


class Generator(nn.Module):
    """projected-gan's, of this synthesis network."""

    def __init__(self, synthesis: FastganSynthesis, c_dim: int = 0):
        super().__init__()
        self.z_dim, self.c_dim = int(synthesis.init.init[0].weight_orig.shape[0]), c_dim
        self.img_resolution, self.img_channels = synthesis.resolution, 3
        self.mapping, self.synthesis = DummyMapping(), synthesis


def trained(network: nn.Module, z_dim: int = 12) -> nn.Module:
    """Statistics and singular vectors as some steps of training leave them; frozen, in evaluation."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=random)
                module.bias.normal_(generator=random).mul_(0.3)
        for _ in range(2):
            network.train()(torch.randn(3, z_dim, generator=random))
    return network.eval().requires_grad_(False)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pickle write these classes under projected-gan's names."""
    for module, kinds in (
        (BLOCKS, (GLU, Swish, NoiseInjection, InitLayer, SEBlock)),
        (NETWORKS, (FastganSynthesis, DummyMapping, Generator)),
    ):
        named = ModuleType(module)
        for kind in kinds:
            monkeypatch.setattr(kind, "__module__", module)
            setattr(named, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, module, named)
    package = ModuleType("pg_modules")
    monkeypatch.setitem(sys.modules, "pg_modules", package)
