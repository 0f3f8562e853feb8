"""StyleGAN3, configurations T and R: alias-free synthesis from Fourier features, with a pose; no compiled ops.

Karras et al., NeurIPS 2021 (arXiv:2106.12423). Parameter names are those of NVIDIA's PyTorch release; outputs were
checked against stylegan3 c233a91. Convolutions use one weight for the whole batch, as in `stylegan2`; styles are
normalised for each picture by itself, where NVIDIA's code takes one mean over the batch (demodulation cancels both).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eigan.errors import CheckpointError
from eigan.generators.base import Codes, NoiseMode, Stage, State
from eigan.generators.config import Config
from eigan.generators.layers import EPSILON, LRELU_GAIN, EqualizedLinear, MappingNetwork
from eigan.generators.style_based import StyleBasedGenerator
from eigan.generators.stylegan3_config import LayerPlan, StyleGAN3Config
from eigan.generators.stylegan3_filters import filtered_lrelu, lowpass
from eigan.generators.stylegan3_infer import infer_config
from eigan.layers import LayerRange
from eigan.pose import STILL, Pose


class FourierInput(nn.Module, Stage):
    """The stage "input": sines of fixed frequencies, turned and shifted by row 0 of the codes and by the pose.

    The map from a place in the picture to a place in the sines is R(w) T(w) · transform · pose: the buffer `transform`
    is the file's own, and the pose moves the picture that this gives.
    """

    layers = LayerRange(0, 1)
    freqs: Tensor
    phases: Tensor
    transform: Tensor
    weight: Tensor

    def __init__(self, config: StyleGAN3Config):
        super().__init__()
        self.name = "input"
        self.size, self.rate, self.bandwidth = config.input_size, config.input_rate, config.first_cutoff
        width = config.layers[0].in_channels
        self.affine = EqualizedLinear(config.w_dim, 4)
        self.weight = nn.Parameter(torch.empty(width, width))
        self.register_buffer("freqs", torch.zeros(width, 2))  # cycles per picture, along x and y
        self.register_buffer("phases", torch.zeros(width))
        self.register_buffer("transform", torch.zeros(3, 3))

    def forward(self, state: State, codes: Codes) -> State:
        place = self.placement(codes[:, 0], state.pose)  # (N, 3, 3)
        freqs = self.freqs @ place[:, :2, :2]  # (N, C, 2)
        phases = self.phases + place[:, :2, 2] @ self.freqs.t()  # (N, C)
        fade = 1 - (freqs.norm(dim=2) - self.bandwidth) / (self.rate / 2 - self.bandwidth)
        axis = (torch.arange(self.size, device=freqs.device) + 0.5 - self.size / 2) / self.rate  # in picture widths
        across = freqs[:, :, 0, None] * axis + phases[:, :, None]  # (N, C, W)
        down = freqs[:, :, 1, None] * axis  # (N, C, H)
        waves = torch.sin((across[:, :, None] + down[:, :, :, None]) * (2 * math.pi))
        waves = waves * fade.clamp(0, 1)[:, :, None, None]  # what lies beyond the band would alias
        x = F.conv2d(waves, (self.weight / math.sqrt(len(self.weight)))[:, :, None, None])
        return dataclasses.replace(state, features=x)

    def placement(self, w: Tensor, pose: Pose = STILL) -> Tensor:
        """(N, 3, 3): takes a place (x, y, 1) in the picture, y downwards, to a place in the sines."""
        turn_and_shift = self.affine(w)
        c, s, x, y = (turn_and_shift / turn_and_shift[:, :2].norm(dim=1, keepdim=True)).unbind(dim=1)
        zero, one = torch.zeros_like(c), torch.ones_like(c)
        rotation = torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=1).view(-1, 3, 3)
        shift = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).view(-1, 3, 3)
        place: Tensor = rotation @ shift @ self.transform
        return place if pose.is_still else place @ pose.matrix().to(place.device)

    def initialize(self, generator: torch.Generator) -> None:
        self.affine.initialize(generator)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
            self.weight.normal_(generator=generator)
            radii = self.freqs.normal_(generator=generator).norm(dim=1, keepdim=True)
            self.freqs.mul_(self.bandwidth / (radii * radii.square().exp().pow(0.25)))  # uniform over the disc
            self.phases.uniform_(-0.5, 0.5, generator=generator)
            self.transform.copy_(torch.eye(3))


class SynthesisLayer(nn.Module, Stage):
    """Modulated convolution, then bias and leaky ReLU between two resamplings; NVIDIA's name is the stage's.

    The last one, toRGB, has no demodulation and no leaky ReLU, and finishes the image.
    """

    layers: LayerRange
    weight: Tensor
    bias: Tensor
    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, plan: LayerPlan, config: StyleGAN3Config):
        super().__init__()
        self.name, self.plan = plan.name, plan
        self.layers = LayerRange(plan.index + 1, plan.index + 2)
        self.clamp, self.output_scale = config.conv_clamp, config.output_scale
        self.affine = EqualizedLinear(config.w_dim, plan.in_channels)
        self.weight = nn.Parameter(torch.empty(plan.out_channels, plan.in_channels, plan.kernel, plan.kernel))
        self.bias = nn.Parameter(torch.empty(plan.out_channels))
        self.register_buffer("magnitude_ema", torch.ones(()))  # mean square of the input, measured in training
        down_shape = (plan.down_taps,) * (2 if plan.radial else 1)
        self.register_buffer("up_filter", torch.zeros(plan.up_taps) if plan.up_taps > 1 else None)
        self.register_buffer("down_filter", torch.zeros(down_shape) if plan.down_taps > 1 else None)

    def forward(self, state: State, codes: Codes) -> State:
        style = self.affine(codes[:, self.layers.start])  # (N, I)
        x = self.to_rgb(state.features, style) if self.plan.is_torgb else self.convolve(state.features, style)
        image = x * self.output_scale if self.plan.is_torgb else None
        return dataclasses.replace(state, features=x, image=image)

    def convolve(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, O, out_size, out_size): y = d · conv(x s) / sqrt(magnitude), then the filtered leaky ReLU.

        With W and s first scaled to mean square 1 (for each output channel, each picture), d = 1/|W s|.
        """
        plan = self.plan
        style = style * style.square().mean(dim=1, keepdim=True).rsqrt()
        power = self.weight.square().sum(dim=(2, 3))  # (O, I)
        unit = (power.sum(dim=1) / self.weight[0].numel()).rsqrt()  # (O,) scales W's rows to mean square 1
        demodulation = (style.square() @ (power * unit[:, None].square()).t() + EPSILON).rsqrt() * unit  # (N, O)
        spare = max(0, plan.trim - (plan.kernel - 1))  # rows of x that nothing reads
        rows = slice(spare, plan.in_size - spare)
        x = F.conv2d(
            x[:, :, rows, rows] * style[:, :, None, None], self.weight, padding=max(0, plan.kernel - 1 - plan.trim)
        )
        return filtered_lrelu(
            x,
            demodulation * (self.magnitude_ema.rsqrt() * LRELU_GAIN),  # lrelu(g x) = g lrelu(x)
            self.bias * LRELU_GAIN,
            self.up_filter,
            self.down_filter,
            up=plan.up,
            down=plan.down,
            first=plan.first - plan.trim * plan.up,
            size=plan.out_size,
            clamp=self.clamp,
        )

    def to_rgb(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, img_channels, H, W): 1x1 convolution, style scaled by 1/√in."""
        style = style * (self.magnitude_ema.rsqrt() / math.sqrt(self.plan.in_channels))
        y = F.conv2d(x * style[:, :, None, None], self.weight, self.bias)
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)

    def initialize(self, generator: torch.Generator) -> None:
        plan = self.plan
        self.affine.initialize(generator, bias=1.0)
        with torch.no_grad():
            self.weight.normal_(generator=generator)
            self.bias.zero_()
            self.magnitude_ema.fill_(1)
            if self.up_filter is not None:
                self.up_filter.copy_(lowpass(plan.up_taps, plan.in_cutoff, 2 * plan.in_half_width, plan.rate))
            if self.down_filter is not None:
                band = (plan.out_cutoff, 2 * plan.out_half_width, plan.rate)
                self.down_filter.copy_(lowpass(plan.down_taps, *band, radial=plan.radial))


class StyleGAN3(StyleBasedGenerator):
    """StyleGAN3 generator; codes are w: row 0 places the input, row i + 1 is layer i's, the last row is toRGB's.

    There is no noise: both noise modes draw the same picture. Everything is float32.
    """

    architecture: ClassVar[str] = "stylegan3"
    config_class: ClassVar[type[Config]] = StyleGAN3Config
    settings: StyleGAN3Config
    published_prefixes: ClassVar[Mapping[str, str]] = {"mapper.": "mapping.", "blocks.": "synthesis."}
    has_pose: ClassVar[bool] = True

    def __init__(self, config: StyleGAN3Config):
        super().__init__()
        self.settings = config
        self.z_dim, self.c_dim, self.code_dim = config.z_dim, config.c_dim, config.w_dim
        self.resolution, self.num_layers = config.resolution, config.num_layers
        self.mapper = MappingNetwork(
            config.z_dim,
            config.c_dim,
            config.w_dim,
            num_layers=config.num_mapping_layers,
            layer_features=config.layer_features,
            embed_features=config.embed_features,
            lr_multiplier=config.mapping_lr_multiplier,
        )
        blocks: dict[str, nn.Module] = {"input": FourierInput(config)}
        self.blocks = nn.ModuleDict(blocks | {plan.name: SynthesisLayer(plan, config) for plan in config.layers})

    @classmethod
    def infer_config(cls, weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
        """`config()` of NVIDIA-named weights, None when they are another family's: `stylegan3_infer.infer_config`."""
        return infer_config(weights, hints)

    def load_weights(self, weights: Mapping[str, Tensor], *, assign: bool = False) -> None:
        """As every generator's; magnitudes that are not positive, of which pictures would be NaN, are refused too."""
        for name, tensor in weights.items():
            if name.endswith(".magnitude_ema") and bool((tensor <= 0).any()):
                raise CheckpointError(f"{name} is {float(tensor.min())}; wanted a positive number (a mean square)")
        super().load_weights(weights, assign=assign)

    @property
    def stages(self) -> Sequence[Stage]:
        return tuple(self.blocks.values())  # type: ignore[arg-type]

    def initial_state(self, codes: Codes, noise_mode: NoiseMode, pose: Pose = STILL) -> State:
        self.check_options(noise_mode, pose)
        size = self.settings.input_size
        return State(torch.empty(len(codes), 0, size, size, device=codes.device), None, noise_mode, pose)

    def map_to_w(self, z: Tensor, c: Tensor | int | str | None = None) -> Tensor:
        """w (N, w_dim), float32, of latents z (N, z_dim); not truncated."""
        return self.mapper(self.check_z(z), self.class_codes(c, len(z)))  # type: ignore[no-any-return]

    @property
    def w_avg(self) -> Tensor:
        return self.mapper.w_avg

    def style_weights(self, layers: LayerRange | None = None) -> Tensor:
        """(w_dim, M): affine weights of the layers side by side, raw (equalised scaling left out; it is one number).

        Row 0's four outputs turn and shift the picture and style nothing: they are left out, unless `layers` is row 0
        alone. The last row is toRGB's.
        """
        chosen = self.check_layers(layers)
        stages = list(self.blocks.values())[max(chosen.start, min(1, chosen.stop - 1)) : chosen.stop]
        affines = [stage.affine for stage in stages if isinstance(stage, (FourierInput, SynthesisLayer))]
        return torch.cat([affine.weight.detach().float().t() for affine in affines], dim=1)

    def initialize(self, generator: torch.Generator) -> None:
        """Random weights as at the start of training (Karras et al.), drawn from `generator`."""
        self.mapper.initialize(generator)
        for block in self.blocks.values():
            block.initialize(generator)  # type: ignore[operator]
