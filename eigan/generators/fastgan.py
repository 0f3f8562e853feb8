"""FastGAN: the official network, and the projected GANs' variants (big or small blocks everywhere, classes).

Liu et al., ICLR 2021 (arXiv:2101.04775); Sauer et al., NeurIPS 2021 (arXiv:2111.01007). Parameter names are the
official ones, with the spectral norm folded into the weights. Outputs were checked against terra-FastGAN-pytorch
af8400d and projected-gan e1c246b, in evaluation: batch normalisation takes its stored statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eigan.errors import InvalidCodes
from eigan.generators.base import Codes, Generator, NoiseMode, Stage, State
from eigan.generators.batch_norm import AffineBatchNorm, ClassBatchNorm
from eigan.generators.config import Config
from eigan.generators.doubling import DoublingConvolution
from eigan.generators.fastgan_config import GATED_BY, SIDE_RESOLUTION, FastGANConfig, infer_config
from eigan.generators.layers import normalize_second_moment
from eigan.layers import LayerRange
from eigan.pose import STILL, Pose

NOISE_SEED = 2101_04775
"""The fixed noise map of convolution k (0 and 1 at 8 px, 2 and 3 at 16 px, ...) is `torch.randn(1, 1, r, r)` from a CPU
generator seeded with NOISE_SEED + k. A change changes every picture of a FastGAN with noise."""


class NoiseInjection(nn.Module):
    """x + weight * noise, noise (1, 1, H, W) fixed for good: training draws it anew for every picture.

    maps: noise by call (a block with classes calls its one module twice), made when first wanted. They are no weights:
    no file holds them, and every sample gets the same. (N, 1, H, W) may be set in their place, a map for each sample.
    """

    weight: Tensor

    def __init__(self, resolution: int, first_call: int = 0):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.first_seed = NOISE_SEED + 2 * (resolution.bit_length() - 4) + first_call
        self.maps: dict[int, Tensor] = {}

    def forward(self, x: Tensor, noise_mode: NoiseMode, call: int = 0) -> Tensor:
        if noise_mode == "none":
            return x
        return x + self.weight * self.noise_for(x, call)

    def noise_for(self, x: Tensor, call: int) -> Tensor:
        """The map of this call, on x's device and in its type."""
        found = self.maps.get(call)
        if found is None or found.device != x.device:
            with torch.inference_mode(False):
                found = self.draw(x.shape[2], x.shape[3], call) if found is None else found
                found = self.maps[call] = found.to(x.device)
        return found.to(x.dtype)

    def draw(self, height: int, width: int, call: int) -> Tensor:
        random = torch.Generator("cpu").manual_seed(self.first_seed + call)
        return torch.randn(1, 1, height, width, generator=random, device="cpu")


class InitLayer(nn.Module):
    """z (N, z_dim) -> (N, C, 4, 4): a transposed convolution from one pixel, normalised, gated linear unit."""

    def __init__(self, z_dim: int, channels: int):
        super().__init__()
        convolution = nn.ConvTranspose2d(z_dim, 2 * channels, 4, bias=False)
        self.init = nn.ModuleDict({"0": convolution, "1": AffineBatchNorm(2 * channels)})

    @property
    def weight(self) -> Tensor:
        return self.init["0"].weight  # type: ignore[return-value]

    def forward(self, z: Tensor) -> Tensor:
        x = (z @ self.weight.flatten(1)).view(len(z), *self.weight.shape[1:])  # (N, 2C, 4, 4)
        return F.glu(self.init["1"](x), dim=1)


class UpBlock(nn.ModuleDict):
    """Nearest upsampling, then one convolution (small) or two with noise (big); each is normalised and gated (GLU).

    The modules' names are their places in the official sequence.
    """

    def __init__(self, resolution: int, in_channels: int, channels: int, *, big: bool):
        convolution = nn.Conv2d(in_channels, 2 * channels, 3, padding=1, bias=False)
        norms = AffineBatchNorm(2 * channels), AffineBatchNorm(2 * channels)
        parts: dict[str, nn.Module] = {"1": convolution, "2": norms[0]}
        if big:
            second = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)
            noises = NoiseInjection(resolution), NoiseInjection(resolution, first_call=1)
            parts |= {"2": noises[0], "3": norms[0], "5": second, "6": noises[1], "7": norms[1]}
        super().__init__(parts)
        self.doubling = DoublingConvolution()

    def forward(self, x: Tensor, c: Tensor | None, noise_mode: NoiseMode) -> Tensor:
        """x (N, I, H, W) -> (N, C, 2H, 2W)."""
        x = self.doubling(x, self["1"].weight)
        if "5" not in self:
            return F.glu(self["2"](x), dim=1)
        x = F.glu(self["3"](self["2"](x, noise_mode)), dim=1)
        return F.glu(self["7"](self["6"](self["5"](x), noise_mode)), dim=1)


class ClassUpBlock(nn.ModuleDict):
    """UpBlock whose normalisations are steered by the class; both convolutions of a big one share a noise weight."""

    def __init__(self, resolution: int, in_channels: int, channels: int, embedding_dim: int, *, big: bool):
        convolution = nn.Conv2d(in_channels, 2 * channels, 3, padding=1, bias=False)
        norms = (ClassBatchNorm(2 * channels, embedding_dim) for _ in range(1 + big))
        parts: dict[str, nn.Module] = {"conv": convolution, "bn": next(norms)}
        if big:
            second = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)
            parts = {"conv1": convolution, "conv2": second, "bn1": parts["bn"], "bn2": next(norms)}
            parts["noise"] = NoiseInjection(resolution)
        super().__init__(parts)
        self.doubling = DoublingConvolution()

    def forward(self, x: Tensor, c: Tensor | None, noise_mode: NoiseMode) -> Tensor:
        """x (N, I, H, W), class embeddings c (N, D) -> (N, C, 2H, 2W)."""
        if "conv" in self:
            return F.glu(self["bn"](self.doubling(x, self["conv"].weight), c), dim=1)
        x = self.doubling(x, self["conv1"].weight)
        x = F.glu(self["bn1"](self["noise"](x, noise_mode, 0), c), dim=1)
        return F.glu(self["bn2"](self["noise"](self["conv2"](x), noise_mode, 1), c), dim=1)


class SkipExcitation(nn.Module):
    """Skip-layer excitation: a gate (N, C, 1, 1) in (0, 1) for late feature maps, from early ones."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        squeeze, excite = nn.Conv2d(in_channels, channels, 4, bias=False), nn.Conv2d(channels, channels, 1, bias=False)
        self.main = nn.ModuleDict({"1": squeeze, "3": excite})

    def forward(self, early: Tensor) -> Tensor:
        squeezed = self.main["1"](F.adaptive_avg_pool2d(early, 4))
        return torch.sigmoid(self.main["3"](F.silu(squeezed)))


class InitStage(Stage):
    """The stage "init": the codes' z to 4 x 4 pixels."""

    name, layers = "init", LayerRange(0, 1)

    def __init__(self, layer: InitLayer, z_dim: int):
        self.layer, self.z_dim = layer, z_dim

    def __call__(self, state: State, codes: Codes) -> State:
        x = self.layer(codes[:, 0, : self.z_dim].float())
        return replace(state, features=x, kept={"feat_4": x})


class BlockStage(Stage):
    """The stage "feat_{resolution}": a block and, where there is one, its gate. It reads the codes for their class."""

    def __init__(self, resolution: int, generator: FastGAN):
        self.name = f"feat_{resolution}"
        self.block = generator.get_submodule(self.name)
        self.gate = generator.get_submodule(f"se_{resolution}") if resolution in GATED_BY else None
        self.gated_by = f"feat_{GATED_BY[resolution]}" if resolution in GATED_BY else ""
        self.gates_later = resolution in GATED_BY.values()
        self.z_dim, self.has_classes = generator.z_dim, bool(generator.c_dim)
        self.layers = LayerRange(0, 1) if self.has_classes else None

    def __call__(self, state: State, codes: Codes) -> State:
        c = codes[:, 0, self.z_dim :].float() if self.has_classes else None
        x = self.block(state.features, c, state.noise_mode)
        if self.gate is not None:
            x = x * self.gate(state.kept[self.gated_by])
        kept = {name: early for name, early in state.kept.items() if name != self.gated_by}
        return replace(state, features=x, kept={**kept, self.name: x} if self.gates_later else kept)


class PictureStage(Stage):
    """The stage "to_big": feature maps to the picture, bounded by tanh where the official code does so."""

    name, layers = "to_big", None

    def __init__(self, convolution: nn.Module, *, has_tanh: bool):
        self.convolution, self.has_tanh = convolution, has_tanh

    def __call__(self, state: State, codes: Codes) -> State:
        image = self.convolution(state.features)
        return replace(state, image=image.tanh() if self.has_tanh else image)


class FastGAN(Generator):
    """One row of codes: z as the network takes it (a projected GAN's has mean square 1), then the class's embedding.

    Nothing is truncated; there is no w and no average code.
    """

    architecture: ClassVar[str] = "fastgan"
    config_class: ClassVar[type[Config]] = FastGANConfig
    settings: FastGANConfig
    truncation = "none"
    default_psi = 1.0
    code_space = "z"

    def __init__(self, config: FastGANConfig):
        super().__init__()
        self.settings = config
        self.z_dim, self.c_dim, self.code_dim = config.z_dim, config.c_dim, config.code_dim
        self.resolution, self.num_layers = config.resolution, 1
        widths, sizes = config.channels, config.block_resolutions
        self.init = InitLayer(config.z_dim, widths[4])
        for size in sizes[1:]:
            self.add_module(f"feat_{size}", make_block(size, config))
            if size in GATED_BY:
                self.add_module(f"se_{size}", SkipExcitation(widths[GATED_BY[size]], widths[size]))
        if config.is_official:
            self.to_128 = nn.Conv2d(widths[SIDE_RESOLUTION], config.img_channels, 1, bias=False)
        last = widths[config.resolution]
        self.to_big = nn.Conv2d(last, config.img_channels, 3, padding=1, bias=not config.is_official)
        if config.c_dim:
            self.embed = nn.Embedding(config.c_dim, config.z_dim)
        blocks = [BlockStage(size, self) for size in sizes[1:]]
        self._side_blocks = [block for block, size in zip(blocks, sizes[1:], strict=True) if size <= SIDE_RESOLUTION]
        blocks = [block for block, size in zip(blocks, sizes[1:], strict=True) if size <= config.resolution]
        self._first = InitStage(self.init, config.z_dim)
        self._stages = (self._first, *blocks, PictureStage(self.to_big, has_tanh=config.has_tanh))

    @classmethod
    def infer_config(cls, weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
        """`config()` of officially named weights without spectral norm: `fastgan_config.infer_config`."""
        return infer_config(weights, hints)

    @property
    def stages(self) -> Sequence[Stage]:
        return self._stages

    @property
    def has_noise(self) -> bool:
        return True

    def initial_state(self, codes: Codes, noise_mode: NoiseMode, pose: Pose = STILL) -> State:
        self.check_options(noise_mode, pose)
        return State(torch.empty(len(codes), 0, 1, 1, device=codes.device), None, noise_mode)

    def mapping(
        self,
        z: Tensor,
        c: Tensor | int | str | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Codes:
        """Codes (N, 1, D): z, of mean square 1 in projected GANs, then the embedding of the class.

        c: soft labels stand for the largest of them, as in the official code. There is no truncation.
        """
        self.refuse_truncation(truncation_psi, truncation_cutoff)
        z = self.check_z(z)
        row = z if self.settings.is_official else normalize_second_moment(z)
        labels = self.class_codes(c, len(z))
        if labels is not None:
            row = torch.cat([row, self.embed(labels.argmax(dim=1))], dim=1)
        return row[:, None]

    def side_picture(self, codes: Codes, *, noise_mode: NoiseMode = "const") -> Tensor:
        """The official network's second picture (N, img_channels, 128, 128), drawn from the 128 px features.

        Raises:
            InvalidCodes: as `synthesis`; or a projected GAN, which has none.
        """
        self.check_codes(codes)
        if not self.settings.is_official:
            raise InvalidCodes(f"{self.describe()} has no second picture; only the official FastGAN draws one")
        state = self.initial_state(codes, noise_mode)
        for stage in (self._first, *self._side_blocks):
            state = stage(state, codes)
        picture: Tensor = self.to_128(state.features)
        return (picture.tanh() if self.settings.has_tanh else picture).float()

    def style_weights(self, layers: LayerRange | None = None) -> Tensor:
        """(D, M): what z meets first, the 4 x 4 transposed convolution, values and gates of its linear unit alike.

        The embedding's rows are zero: it reaches the picture through the normalisations, not through this matrix.
        """
        self.check_layers(layers)
        weight = self.init.weight.detach().float().flatten(1)
        return torch.cat([weight, weight.new_zeros(self.code_dim - self.z_dim, weight.shape[1])])

    def initialize(self, generator: torch.Generator) -> None:
        """Random weights that keep the features' scale, drawn from `generator`; noise and biases zero."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim > 1:
                    fan_in = parameter.shape[0] if name == "init.init.0.weight" else parameter[0].numel()
                    parameter.normal_(generator=generator).mul_(1 if name == "embed.weight" else fan_in**-0.5)
                elif name.endswith(".bias"):
                    parameter.zero_()  # linear layers come with random ones


def make_block(resolution: int, config: FastGANConfig) -> UpBlock | ClassUpBlock:
    """The block that ends at `resolution`."""
    before, after, big = config.channels[resolution // 2], config.channels[resolution], config.is_big(resolution)
    if config.c_dim:
        return ClassUpBlock(resolution, before, after, config.z_dim, big=big)
    return UpBlock(resolution, before, after, big=big)
