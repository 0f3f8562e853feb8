"""StyleGAN2 and StyleGAN2-ADA: skip, orig and resnet synthesis, conditional, any mapping depth, no compiled ops.

Karras et al., CVPR 2020 (arXiv:1912.04958) and NeurIPS 2020 (arXiv:2006.06676). Parameter names are those of NVIDIA's
PyTorch releases; outputs were checked against stylegan2-ada-pytorch d72cc7d and stylegan3 c233a91. Convolutions use one
weight for the whole batch: the style scales the activations before, the demodulation after (same algebra, no
per-sample weights).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eigan.generators.base import Codes, NoiseMode, Stage, State
from eigan.generators.config import Config
from eigan.generators.layers import (
    EPSILON,
    LRELU_GAIN,
    LRELU_SLOPE,
    EqualizedLinear,
    MappingNetwork,
    fir_filter,
    up_convolution,
    upsample2d,
)
from eigan.generators.style_based import StyleBasedGenerator
from eigan.generators.stylegan2_config import StyleGAN2Config, infer_config
from eigan.layers import LayerRange
from eigan.pose import STILL, Pose


class ModulatedConv(nn.Module):
    """Style affine plus convolution: y = d * conv(x * s), s = affine(w), d = 1/|w s| per output channel.

    The affine has 1 as its neutral bias. Demodulation is exact: |w s|^2 = sum_i s_i^2 sum_k w_oik^2.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, w_dim: int):
        super().__init__()
        self.affine = EqualizedLinear(w_dim, in_channels)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels))

    def demodulation(self, style: Tensor) -> Tensor:
        """(N, out_channels), float32."""
        power = self.weight.float().square().sum(dim=(2, 3))  # (O, I)
        return (style.square() @ power.t() + EPSILON).rsqrt()

    def initialize(self, generator: torch.Generator) -> None:
        self.affine.initialize(generator, bias=1.0)
        with torch.no_grad():
            self.weight.normal_(generator=generator)
            self.bias.zero_()


class StyledConv(ModulatedConv):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU (gain √2), clamp; doubles the size when `up`."""

    noise_const: Tensor
    noise_strength: Tensor
    resample_filter: Tensor

    def __init__(self, in_channels: int, out_channels: int, resolution: int, config: StyleGAN2Config, *, up: bool):
        super().__init__(in_channels, out_channels, 3, config.w_dim)
        self.up, self.use_noise, self.conv_clamp = up, config.use_noise, config.conv_clamp
        taps = config.filter_taps if up else config.unused_filter_taps
        self.register_buffer("resample_filter", torch.zeros(taps, taps))
        if config.use_noise:
            self.register_buffer("noise_const", torch.zeros(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode, gain: float = 1.0) -> Tensor:
        style = self.affine(w).float()  # (N, I)
        demodulation = self.demodulation(style)  # (N, O)
        x = x * style.to(x.dtype)[:, :, None, None]
        weight = self.weight.to(x.dtype)
        x = up_convolution(x, weight, self.resample_filter) if self.up else F.conv2d(x, weight, padding=1)
        total = LRELU_GAIN * gain  # lrelu(g x) = g lrelu(x), so the gain rides on the small factors
        x = x * (demodulation * total).to(x.dtype)[:, :, None, None]
        shift = (self.bias * total).to(x.dtype)[None, :, None, None]
        if self.use_noise and noise_mode == "const":
            shift = shift + (self.noise_const * self.noise_strength * total).to(x.dtype)
        x = F.leaky_relu(x + shift, LRELU_SLOPE)
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp * gain, self.conv_clamp * gain)

    def initialize(self, generator: torch.Generator) -> None:
        super().initialize(generator)
        with torch.no_grad():
            self.resample_filter.copy_(fir_filter())
            if self.use_noise:
                self.noise_const.normal_(generator=generator)
                self.noise_strength.zero_()


class ToRGB(ModulatedConv):
    """Modulated 1x1 convolution to the image, no demodulation, style scaled by 1/√in, float32 out."""

    def __init__(self, in_channels: int, img_channels: int, config: StyleGAN2Config):
        super().__init__(in_channels, img_channels, 1, config.w_dim)
        self.conv_clamp = config.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) / math.sqrt(self.weight.shape[1])
        y = F.conv2d(x * style.to(x.dtype)[:, :, None, None], self.weight.to(x.dtype)).float()
        y = y + self.bias[None, :, None, None]
        return y if self.conv_clamp is None else y.clamp(-self.conv_clamp, self.conv_clamp)


class ResidualSkip(nn.Module):
    """The resnet skeleton's shortcut: 1x1 convolution scaled by 1/√in, then FIR upsampling."""

    weight: Tensor
    resample_filter: Tensor

    def __init__(self, in_channels: int, out_channels: int, config: StyleGAN2Config):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 1, 1))
        self.register_buffer("resample_filter", torch.zeros(config.filter_taps, config.filter_taps))

    def forward(self, x: Tensor, gain: float) -> Tensor:
        y = F.conv2d(x, (self.weight * (gain / math.sqrt(self.weight.shape[1]))).to(x.dtype))
        return upsample2d(y, self.resample_filter)

    def initialize(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            self.weight.normal_(generator=generator)
            self.resample_filter.copy_(fir_filter())


class SynthesisBlock(nn.Module, Stage):
    """All layers at one resolution; the stage "b{resolution}" (NVIDIA's name)."""

    layers: LayerRange
    const: Tensor
    resample_filter: Tensor

    def __init__(self, resolution: int, config: StyleGAN2Config):
        super().__init__()
        self.name = f"b{resolution}"
        self.resolution, self.skeleton = resolution, config.architecture
        width = config.channels[resolution]
        self.register_buffer("resample_filter", torch.zeros(config.filter_taps, config.filter_taps))
        if resolution == 4:
            self.const = nn.Parameter(torch.empty(width, 4, 4))
        else:
            below = config.channels[resolution // 2]
            self.conv0 = StyledConv(below, width, resolution, config, up=True)
            if config.architecture == "resnet":
                self.skip = ResidualSkip(below, width, config)
        self.conv1 = StyledConv(width, width, resolution, config, up=False)
        self.torgb = ToRGB(width, config.img_channels, config) if config.has_torgb(resolution) else None
        first = 0 if resolution == 4 else 2 * int(math.log2(resolution)) - 5
        num_convs = 1 if resolution == 4 else 2
        self.layers = LayerRange(first, first + num_convs + (self.torgb is not None))

    @property
    def convolutions(self) -> list[StyledConv]:
        """conv0 (absent at 4 px) and conv1."""
        return [self.conv1] if self.resolution == 4 else [self.conv0, self.conv1]

    def forward(self, state: State, codes: Codes) -> State:
        rows = iter(codes[:, self.layers.slice].unbind(dim=1))
        x = self._features(state, rows)
        image = state.image if state.image is None else upsample2d(state.image, self.resample_filter)
        if self.torgb is not None:
            colours = self.torgb(x, next(rows))
            image = colours if image is None else image + colours
        return State(x, image, state.noise_mode)

    def _features(self, state: State, rows: Any) -> Tensor:
        x, noise_mode = state.features, state.noise_mode
        if self.resolution == 4:
            x = self.const.to(x.dtype)[None].expand(len(x), -1, -1, -1)
            return self.conv1(x, next(rows), noise_mode)  # type: ignore[no-any-return]
        if self.skeleton != "resnet":
            x = self.conv0(x, next(rows), noise_mode)
            return self.conv1(x, next(rows), noise_mode)  # type: ignore[no-any-return]
        gain = math.sqrt(0.5)
        shortcut = self.skip(x, gain)
        x = self.conv0(x, next(rows), noise_mode)
        return shortcut + self.conv1(x, next(rows), noise_mode, gain)  # type: ignore[no-any-return]

    def initialize(self, generator: torch.Generator) -> None:
        for module in self.children():
            module.initialize(generator)  # type: ignore[operator]
        with torch.no_grad():
            self.resample_filter.copy_(fir_filter())
            if self.resolution == 4:
                self.const.normal_(generator=generator)


class StyleGAN2(StyleBasedGenerator):
    """StyleGAN2 generator; codes are w, one row per convolution plus one for the last toRGB (2 log2(r) - 2 rows).

    `compute_dtype` is the precision of the feature maps; mapping, demodulation and image stay float32.
    """

    architecture: ClassVar[str] = "stylegan2"
    config_class: ClassVar[type[Config]] = StyleGAN2Config
    settings: StyleGAN2Config
    published_prefixes: ClassVar[Mapping[str, str]] = {"mapper.": "mapping.", "blocks.": "synthesis."}

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.settings = config
        self.z_dim, self.c_dim, self.code_dim = config.z_dim, config.c_dim, config.w_dim
        self.resolution, self.num_layers = config.resolution, config.num_layers
        self.compute_dtype = torch.float32
        self.mapper = MappingNetwork(
            config.z_dim,
            config.c_dim,
            config.w_dim,
            num_layers=config.num_mapping_layers,
            layer_features=config.layer_features,
            embed_features=config.embed_features,
            lr_multiplier=config.mapping_lr_multiplier,
            joint_labels=config.joint_labels,
        )
        self.blocks = nn.ModuleDict({f"b{r}": SynthesisBlock(r, config) for r in config.resolutions})

    @classmethod
    def infer_config(cls, weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
        """`config()` of NVIDIA-named weights, None when they are another family's: `stylegan2_config.infer_config`."""
        return infer_config(weights, hints)

    @property
    def stages(self) -> Sequence[Stage]:
        return tuple(self.blocks.values())  # type: ignore[arg-type]

    @property
    def has_noise(self) -> bool:
        return self.settings.use_noise

    def initial_state(self, codes: Codes, noise_mode: NoiseMode, pose: Pose = STILL) -> State:
        self.check_options(noise_mode, pose)
        empty = torch.empty(len(codes), 0, 4, 4, device=codes.device, dtype=self.compute_dtype)
        return State(empty, None, noise_mode)

    def map_to_w(self, z: Tensor, c: Tensor | int | str | None = None) -> Tensor:
        """w (N, w_dim), float32, of latents z (N, z_dim); not truncated."""
        return self.mapper(self.check_z(z), self.class_codes(c, len(z)))  # type: ignore[no-any-return]

    @property
    def w_avg(self) -> Tensor:
        return self.mapper.w_avg

    def style_weights(self, layers: LayerRange | None = None) -> Tensor:
        """(w_dim, M): affine weights of the layers side by side, raw (equalised scaling left out; it is one number).

        Row l of the codes feeds convolution l; the last row feeds the last toRGB alone. Other toRGB affines share
        their row with a convolution and are left out, as SeFa's own code does.
        """
        chosen = self.check_layers(layers)
        blocks = [block for block in self.blocks.values() if isinstance(block, SynthesisBlock)]
        affines = [conv.affine for block in blocks for conv in block.convolutions]
        affines += [blocks[-1].torgb.affine] if blocks[-1].torgb else []
        return torch.cat([affine.weight.detach().float().t() for affine in affines[chosen.slice]], dim=1)

    def initialize(self, generator: torch.Generator) -> None:
        """Random weights as at the start of training (Karras et al.), drawn from `generator`."""
        self.mapper.initialize(generator)
        for block in self.blocks.values():
            block.initialize(generator)  # type: ignore[operator]
