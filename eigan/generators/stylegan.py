"""StyleGAN, the first: styles by instance normalisation, nearest or transposed upsampling, any level of detail.

Karras et al., CVPR 2019 (arXiv:1812.04948). Weight names are those of genforce's PyTorch port; outputs were checked
against genforce 197feee. The scale of equalised convolutions is never multiplied in: leaky ReLU lets it through and
instance normalisation takes it out, so noise, bias and epsilon are divided by it instead (same algebra).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eigan.generators.base import Codes, NoiseMode, Stage, State
from eigan.generators.config import Config
from eigan.generators.doubling import DoublingConvolution, double, sum_shifts
from eigan.generators.layers import (
    EPSILON,
    LRELU_GAIN,
    LRELU_SLOPE,
    EqualizedLinear,
    fir_filter,
    normalize_second_moment,
)
from eigan.generators.style_based import StyleBasedGenerator
from eigan.generators.stylegan_config import StyleGANConfig, infer_config
from eigan.layers import LayerRange
from eigan.pose import STILL, Pose


def fused_up_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """Transposed convolution of stride 2 with the sum of `weight` (O, I, 3, 3) shifted to the corners of 4 x 4.

    (N, I, H, W) -> (N, O, 2H, 2W). The kernel is not flipped, so this is not what `DoublingConvolution` gives;
    networks are trained with the one or the other.
    """
    return F.conv_transpose2d(x, sum_shifts(weight), stride=2, padding=1)


def normalize_and_style(x: Tensor, style: Tensor, epsilon: float) -> Tensor:
    """(x - mean) / sqrt(var + epsilon) per channel of each picture, times s0 + 1, plus s1. style (N, 2C) = [s0, s1]."""
    x = x - x.mean(dim=(2, 3), keepdim=True)
    variance = x.square().mean(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
    gain, shift = style.view(len(x), 2, -1, 1, 1).unbind(dim=1)
    return torch.addcmul(shift, x, (gain + 1.0) * (variance + epsilon).rsqrt())


class Noise(nn.Module):
    """A fixed picture of noise (1, 1, r, r) and how much of it every channel takes."""

    noise: Tensor

    def __init__(self, channels: int, resolution: int):
        super().__init__()
        self.register_buffer("noise", torch.zeros(1, 1, resolution, resolution))
        self.weight = nn.Parameter(torch.zeros(channels))


class Blur(nn.Module):
    """A 3 x 3 low-pass filter, one copy for each channel."""

    kernel: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("kernel", torch.zeros(channels, 1, 3, 3))


class StyledLayer(nn.Module, ABC):
    """What ends every layer: noise, bias, leaky ReLU, instance normalisation, style. The first starts from a constant.

    scale: what `features` left out of its result; noise, bias and epsilon are taken by the same measure.
    """

    scale: float = 1.0

    def __init__(self, channels: int, resolution: int, config: StyleGANConfig):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.apply_noise = Noise(channels, resolution) if config.use_noise else None
        self.style = EqualizedLinear(config.w_dim, 2 * channels)

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode) -> Tensor:
        y = self.features(x, self.bias / self.scale)
        if self.apply_noise is not None and noise_mode == "const":
            y = torch.addcmul(y, self.apply_noise.noise, (self.apply_noise.weight / self.scale)[:, None, None])
        y = F.leaky_relu(y, LRELU_SLOPE)
        return normalize_and_style(y, self.style(w), EPSILON / self.scale**2)

    @abstractmethod
    def features(self, x: Tensor, bias: Tensor) -> Tensor:
        """The layer's linear part, divided by `scale`, plus `bias` (C,)."""

    def initialize(self, generator: torch.Generator) -> None:
        self.style.initialize(generator)
        with torch.no_grad():
            self.bias.zero_()
            if self.apply_noise is not None:
                self.apply_noise.noise.normal_(generator=generator)
                self.apply_noise.weight.zero_()


class ConstLayer(StyledLayer):
    """The first layer: a learned 4 x 4 picture."""

    def __init__(self, channels: int, config: StyleGANConfig):
        super().__init__(channels, 4, config)
        self.const = nn.Parameter(torch.ones(1, channels, 4, 4))

    def features(self, x: Tensor, bias: Tensor) -> Tensor:
        return (self.const + bias[:, None, None]).expand(len(x), -1, -1, -1)

    def initialize(self, generator: torch.Generator) -> None:
        super().initialize(generator)
        with torch.no_grad():
            self.const.fill_(1.0)


class ConvLayer(StyledLayer):
    """3 x 3 convolution scaled by √2/√(9 in); doubles the size and blurs when `up`."""

    def __init__(self, in_channels: int, channels: int, resolution: int, config: StyleGANConfig, *, up: bool):
        super().__init__(channels, resolution, config)
        self.weight = nn.Parameter(torch.empty(channels, in_channels, 3, 3))
        self.blur = Blur(channels) if up else None
        self.doubling = DoublingConvolution() if up and not config.is_fused(resolution) else None
        self.scale = LRELU_GAIN / math.sqrt(9 * in_channels)

    def features(self, x: Tensor, bias: Tensor) -> Tensor:
        if self.blur is None:
            return F.conv2d(x, self.weight, bias, padding=1)
        y = fused_up_convolution(x, self.weight) if self.doubling is None else self.doubling(x, self.weight)
        return F.conv2d(y, self.blur.kernel, bias, padding=1, groups=y.shape[1])

    def initialize(self, generator: torch.Generator) -> None:
        super().initialize(generator)
        with torch.no_grad():
            self.weight.normal_(generator=generator)
            if self.blur is not None:
                self.blur.kernel.copy_(fir_filter((1, 2, 1)))


class ToRGB(nn.Module):
    """1 x 1 convolution to the image, scaled by 1/√in; it has no style."""

    def __init__(self, in_channels: int, img_channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.empty(img_channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight / math.sqrt(self.weight.shape[1]), self.bias)

    def initialize(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            self.weight.normal_(generator=generator)
            self.bias.zero_()


class SynthesisNetwork(nn.Module):
    """layer0, layer1 and output0 at 4 px, layer2, layer3 and output1 at 8 px, ...; `lod` says which output draws."""

    lod: Tensor

    def __init__(self, config: StyleGANConfig):
        super().__init__()
        self.register_buffer("lod", torch.zeros(()))
        below = 0
        for block, resolution in enumerate(config.resolutions):
            width = config.channels[resolution]
            first = ConvLayer(below, width, resolution, config, up=True) if block else ConstLayer(width, config)
            self.add_module(f"layer{2 * block}", first)
            self.add_module(f"layer{2 * block + 1}", ConvLayer(width, width, resolution, config, up=False))
            if config.has_torgb(resolution):
                self.add_module(f"output{block}", ToRGB(width, config.img_channels))
            below = width

    def initialize(self, generator: torch.Generator) -> None:
        for module in self.children():
            module.initialize(generator)  # type: ignore[operator]
        self.lod.zero_()


class SynthesisBlock(Stage):
    """Both layers at one resolution, and its toRGB where the level of detail asks for it; the stage "b{resolution}".

    Level of detail d: pictures are drawn at resolution / 2^d and enlarged pixel by pixel; between two levels, the
    picture of the finer one is mixed with the enlarged picture of the coarser (progressive growing, Karras et al.,
    ICLR 2018, arXiv:1710.10196). Trained networks have 0 there.
    """

    layers: LayerRange

    def __init__(self, network: SynthesisNetwork, block: int, config: StyleGANConfig):
        self.network, self.block = network, block
        self.level = len(config.resolutions) - 1 - block  # halvings from the full resolution down to this block's
        self.name = f"b{config.resolutions[block]}"
        self.layers = LayerRange(2 * block, 2 * block + 2)

    def __call__(self, state: State, codes: Codes) -> State:
        finer = float(self.network.lod) - self.level  # up to 0: this block is wanted; 1 and more: it is too fine
        coarse = None if state.image is None else double(state.image)
        if finer >= 1:
            return replace(state, image=coarse)
        x = state.features
        for layer in range(self.layers.start, self.layers.stop):
            x = self.network.get_submodule(f"layer{layer}")(x, codes[:, layer], state.noise_mode)
        if finer <= -1:
            return replace(state, features=x)
        image = self.network.get_submodule(f"output{self.block}")(x)
        if finer > 0 and coarse is not None:
            image = coarse.lerp(image, 1.0 - finer)
        return replace(state, features=x, image=image)


class Dense(nn.Module):
    """y = lrelu(x Wᵀ √2 lr/√in + b lr): the gain rides on the weights, not on the bias."""

    def __init__(self, in_features: int, out_features: int, lr_multiplier: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features))
        self.lr_multiplier = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        scale = LRELU_GAIN * self.lr_multiplier / math.sqrt(self.weight.shape[1])
        y = torch.addmm(self.bias, x, self.weight.t(), beta=self.lr_multiplier, alpha=scale)
        return F.leaky_relu(y, LRELU_SLOPE)

    def initialize(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            self.weight.normal_(generator=generator).div_(self.lr_multiplier)
            self.bias.zero_()


class MappingNetwork(nn.Module):
    """z (N, z_dim), class c (N, c_dim) or None -> w (N, w_dim): [z, c E] normalised, then dense layers."""

    def __init__(self, config: StyleGANConfig):
        super().__init__()
        self.num_layers = config.num_mapping_layers
        hidden = [config.layer_features] * (self.num_layers - 1)
        widths = [config.z_dim * (2 if config.c_dim else 1), *hidden, config.w_dim]
        for i in range(self.num_layers):
            self.add_module(f"dense{i}", Dense(widths[i], widths[i + 1], config.mapping_lr_multiplier))
        self.label_weight = nn.Parameter(torch.empty(config.c_dim, config.z_dim)) if config.c_dim else None

    def forward(self, z: Tensor, c: Tensor | None) -> Tensor:
        if self.label_weight is not None and c is not None:
            z = torch.cat([z, c @ self.label_weight], dim=1)
        x = normalize_second_moment(z)
        for i in range(self.num_layers):
            x = self.get_submodule(f"dense{i}")(x)
        return x

    def initialize(self, generator: torch.Generator) -> None:
        for module in self.children():
            module.initialize(generator)  # type: ignore[operator]
        if self.label_weight is not None:
            with torch.no_grad():
                self.label_weight.normal_(generator=generator)


class StyleGAN(StyleBasedGenerator):
    """StyleGAN generator; codes are w, one row for each of the 2 log2(r) - 2 layers (toRGB has no style)."""

    architecture: ClassVar[str] = "stylegan"
    config_class: ClassVar[type[Config]] = StyleGANConfig
    settings: StyleGANConfig
    published_prefixes: ClassVar[Mapping[str, str]] = {
        "mapper.": "mapping.",
        "blocks.": "synthesis.",
        "average": "truncation.w_avg",
    }
    average: Tensor

    def __init__(self, config: StyleGANConfig):
        super().__init__()
        self.settings = config
        self.z_dim, self.c_dim, self.code_dim = config.z_dim, config.c_dim, config.w_dim
        self.resolution, self.num_layers = config.resolution, config.num_layers
        self.mapper = MappingNetwork(config)
        self.blocks = SynthesisNetwork(config)
        self.register_buffer("average", torch.zeros(config.w_dim))
        self._stages = tuple(SynthesisBlock(self.blocks, i, config) for i in range(len(config.resolutions)))

    @classmethod
    def infer_config(cls, weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
        """`config()` of genforce-named weights, None when they are another family's: `stylegan_config.infer_config`."""
        return infer_config(weights, hints)

    @property
    def stages(self) -> Sequence[Stage]:
        return self._stages

    @property
    def has_noise(self) -> bool:
        return self.settings.use_noise

    def initial_state(self, codes: Codes, noise_mode: NoiseMode, pose: Pose = STILL) -> State:
        self.check_options(noise_mode, pose)
        self.settings.check_lod(self.blocks.lod)
        return State(torch.empty(len(codes), 0, 4, 4, device=codes.device), None, noise_mode)

    def map_to_w(self, z: Tensor, c: Tensor | int | str | None = None) -> Tensor:
        """w (N, w_dim), float32, of latents z (N, z_dim); not truncated."""
        return self.mapper(self.check_z(z), self.class_codes(c, len(z)))  # type: ignore[no-any-return]

    @property
    def w_avg(self) -> Tensor:
        return self.average

    def style_weights(self, layers: LayerRange | None = None) -> Tensor:
        """(w_dim, M): style weights of the layers side by side, raw, scale rows and shift rows both, as SeFa's code."""
        chosen = self.check_layers(layers)
        weights = [self.blocks.get_submodule(f"layer{i}.style").weight for i in range(chosen.start, chosen.stop)]
        return torch.cat([weight.detach().float().t() for weight in weights], dim=1)  # type: ignore[union-attr, operator]

    def initialize(self, generator: torch.Generator) -> None:
        """Random weights as at the start of training (Karras et al.), drawn from `generator`."""
        self.mapper.initialize(generator)
        self.blocks.initialize(generator)
        self.average.zero_()
