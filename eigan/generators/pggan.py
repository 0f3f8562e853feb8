"""PGGAN (ProGAN): progressive growing, pixel norm, nearest upsampling; classes, any level of detail.

Karras et al., ICLR 2018 (arXiv:1710.10196). Parameter names are genforce's; outputs were checked against genforce
197feee (and its SeFa, 0d16060) and pytorch_GAN_zoo b75dee4. A layer normalises its input, as genforce writes it; to
normalise the output of the layer before is the same. The equalised learning rate is one factor on that norm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eigan.generators.base import Codes, Generator, NoiseMode, Stage, State, Truncation
from eigan.generators.config import Config
from eigan.generators.doubling import DoublingConvolution, double
from eigan.generators.layers import EPSILON, LRELU_GAIN
from eigan.generators.pggan_config import PGGANConfig, infer_config
from eigan.layers import LayerRange
from eigan.pose import STILL, Pose


def pixel_norm(x: Tensor, gain: float = 1.0) -> Tensor:
    """x (N, C, ...) with the mean square over its channels brought to gain², at every pixel."""
    return x * ((x.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt() * gain)


class PixelNormConv(nn.Module):
    """Pixel norm, nearest upsampling when `up`, convolution scaled by gain/√fan_in, bias, leaky ReLU unless linear."""

    weight: Tensor
    bias: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, slope: float | None, up: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.slope, self.padding = slope, kernel_size // 2
        self.doubling = DoublingConvolution() if up else None
        self.scale = (1.0 if slope is None else LRELU_GAIN) / math.sqrt(in_channels * kernel_size**2)

    def forward(self, x: Tensor) -> Tensor:
        x = pixel_norm(x, self.scale)
        if self.doubling is None:
            y = F.conv2d(x, self.weight, self.bias, padding=self.padding)
        else:
            y = self.doubling(x, self.weight, self.bias)
        return y if self.slope is None else F.leaky_relu(y, self.slope, inplace=True)

    def initialize(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.zero_() if name == "bias" else parameter.normal_(generator=generator)


class CodeConv(PixelNormConv):
    """The first layer: a row of codes (N, z_dim + c_dim) is one pixel, padded by 3 and convolved to (N, C, 4, 4).

    So `weight` is the dense layer's matrix, flipped on both axes. The norm covers z and class together.
    """

    label_weight: Tensor

    def __init__(self, config: PGGANConfig):
        super().__init__(config.z_dim, config.channels[4], 4, slope=config.lrelu_slope)
        self.z_dim = config.z_dim
        self.scale = LRELU_GAIN / math.sqrt(16 * (config.z_dim + config.c_dim))
        if config.c_dim:
            self.label_weight = nn.Parameter(torch.empty(config.channels[4], config.c_dim, 4, 4))
        if config.bias_per_pixel:
            self.bias = nn.Parameter(torch.empty(config.channels[4], 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = pixel_norm(x, self.scale)[:, :, None, None]  # (N, D, 1, 1)
        y = F.conv2d(x[:, : self.z_dim], self.weight, padding=3)  # (N, C, 4, 4)
        if x.shape[1] > self.z_dim:
            y = y + F.conv2d(x[:, self.z_dim :], self.label_weight, padding=3)
        bias = self.bias if self.bias.ndim == 3 else self.bias[:, None, None]
        return F.leaky_relu(y + bias, self.slope or 0.0)


class LayerStage(Stage):
    """One convolution; the second of a resolution also brings the image up to it. Named as genforce names the layer.

    level: how many doublings below the full resolution. At a level of detail `lod` the layers of levels below lod - 1
    rest and the image is only doubled; in between, the finer toRGB counts 1 - (lod - level).
    """

    def __init__(self, index: int, layer: PixelNormConv, output: PixelNormConv | None, level: int, lod: float):
        self.name, self.layer, self.output = f"layer{index}", layer, output
        self.layers = LayerRange(0, 1) if index == 0 else None
        self.is_last_of_size = index % 2 == 1
        self.rests, self.starts = lod >= level + 1, lod > level - 1
        self.blend = max(lod - level, 0.0)

    def __call__(self, state: State, codes: Codes) -> State:
        x, image = state.features, state.image
        if not self.rests:
            x = self.layer(codes[:, 0] if self.layers else x)
        if self.is_last_of_size:
            image = self.draw(x, image)
        return replace(state, features=x, image=image)

    def draw(self, x: Tensor, image: Tensor | None) -> Tensor | None:
        """The image (N, img_channels, H, W) at this size; None while it is smaller than the level of detail shows."""
        below = None if image is None else double(image)
        if self.rests or self.output is None or not self.starts:
            return below
        colours: Tensor = self.output(x)
        return colours if below is None or not self.blend else colours * (1.0 - self.blend) + below * self.blend


class PGGAN(Generator):
    """PGGAN generator. Codes are one row [z, class], pixel-normalised; the first layer alone reads it."""

    architecture: ClassVar[str] = "pggan"
    config_class: ClassVar[type[Config]] = PGGANConfig
    settings: PGGANConfig
    published_prefixes: ClassVar[Mapping[str, str]] = {"convolutions.": "", "outputs.": ""}
    truncation: ClassVar[Truncation] = "none"
    default_psi: ClassVar[float] = 1.0
    code_space: Literal["z", "w"] = "z"

    lod: Tensor

    def __init__(self, config: PGGANConfig):
        super().__init__()
        self.settings = config
        self.z_dim, self.c_dim, self.code_dim = config.z_dim, config.c_dim, config.z_dim + config.c_dim
        self.resolution, self.num_layers = config.resolution, 1
        self.convolutions, self.outputs = nn.ModuleDict(), nn.ModuleDict()
        slope = config.lrelu_slope
        for block, resolution in enumerate(config.resolutions):
            width = config.channels[resolution]
            first = CodeConv(config) if block == 0 else None
            below = config.channels.get(resolution // 2, 0)
            self.convolutions[f"layer{2 * block}"] = first or PixelNormConv(below, width, 3, slope=slope, up=True)
            self.convolutions[f"layer{2 * block + 1}"] = PixelNormConv(width, width, 3, slope=slope)
            if config.has_output(resolution):
                self.outputs[f"output{block}"] = PixelNormConv(width, config.img_channels, 1, slope=None)
        self.register_buffer("lod", torch.zeros(()))

    @classmethod
    def infer_config(cls, weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
        """`config()` of genforce-named weights, None when they are another family's: `pggan_config.infer_config`."""
        return infer_config(weights, hints)

    @property
    def stages(self) -> Sequence[Stage]:
        """One for each convolution, at the level of detail that the weights hold."""
        self.settings.check_lod(self.lod)
        lod = float(self.lod)
        top, outputs = len(self.settings.resolutions) - 1, dict(self.outputs.items())
        return tuple(
            LayerStage(i, layer, outputs.get(f"output{i // 2}"), top - i // 2, lod)  # type: ignore[arg-type]
            for i, layer in enumerate(self.convolutions.values())
        )

    def initial_state(self, codes: Codes, noise_mode: NoiseMode, pose: Pose = STILL) -> State:
        """The state before the first stage. There is no noise: both modes draw the same."""
        self.check_options(noise_mode, pose)
        return State(codes.new_empty(len(codes), 0, 4, 4), None, noise_mode)

    def image_of(self, state: State) -> Tensor:
        image = super().image_of(state)
        return image.tanh() if self.settings.final_tanh else image

    def mapping(
        self,
        z: Tensor,
        c: Tensor | int | str | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Codes:
        """Codes (N, 1, z_dim + c_dim): [z, class] with mean square 1. An edit leaves that sphere; the first layer
        brings it back. Raises InvalidCodes on any truncation.
        """
        self.refuse_truncation(truncation_psi, truncation_cutoff)
        z, labels = self.check_z(z), self.class_codes(c, len(z))
        z = pixel_norm(z) if self.settings.norm_z_alone else z
        return pixel_norm(z if labels is None else torch.cat([z, labels], dim=1))[:, None]

    def style_weights(self, layers: LayerRange | None = None) -> Tensor:
        """(z_dim + c_dim, 16 C): the first layer as the dense matrix it is (spatially flipped), raw.

        Rows of the class are zero: directions move z and leave the class alone.
        """
        self.check_layers(layers)
        weight = self.weights()["layer0.weight"].detach().float()  # (C, z_dim, 4, 4)
        matrix = weight.flip(2, 3).transpose(0, 1).reshape(self.z_dim, -1)
        return torch.cat([matrix, matrix.new_zeros(self.c_dim, matrix.shape[1])])

    def initialize(self, generator: torch.Generator) -> None:
        """Random weights as at the start of training (Karras et al.), drawn from `generator`."""
        for layer in [*self.convolutions.values(), *self.outputs.values()]:
            layer.initialize(generator)  # type: ignore[operator]
        self.lod.zero_()
