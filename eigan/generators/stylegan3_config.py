"""What a StyleGAN3 is besides its weights: the settings, their limits, and how its layers follow from them.

Karras et al., NeurIPS 2021 (arXiv:2106.12423, section 3.2 and appendix G.3), checked against stylegan3 c233a91. How
they are read off a checkpoint is in `stylegan3_infer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from eigan.errors import CheckpointError
from eigan.generators.config import (
    Classes,
    Config,
    HiddenWidth,
    MappingDepth,
    Positive,
    Width,
    check_resolution,
)

MAX_LAYERS = 64
LAST_STOPBAND = 2.0**0.3
FIRST_STOPBAND = 2.0**2.1


@dataclass(frozen=True)
class LayerPlan:
    """One layer of synthesis, as it follows from the settings. Rates, cutoffs and widths are in samples per picture."""

    index: int
    in_channels: int
    out_channels: int
    in_size: int
    out_size: int
    in_rate: int
    out_rate: int
    in_cutoff: float
    out_cutoff: float
    in_half_width: float
    out_half_width: float
    kernel: int
    up: int
    down: int
    up_taps: int  # 1: there is no filter
    down_taps: int
    radial: bool
    is_torgb: bool

    @property
    def name(self) -> str:
        """NVIDIA's name: index, size, channels."""
        return f"L{self.index}_{self.out_size}_{self.out_channels}"

    @property
    def rate(self) -> int:
        """Sampling rate between enlarging and reducing."""
        return self.in_rate * self.up

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros before and after each axis of the convolution's enlarged output (negative: samples left out).

        So many that `out_size` samples come out, with the picture's middle where it was.
        """
        total = (self.out_size - 1) * self.down + 1 - (self.in_size + self.kernel - 1) * self.up
        total += self.up_taps + self.down_taps - 2
        before = (total + self.up) // 2
        return before, total - before

    @property
    def first(self) -> int:
        """Which sample of the full response to the enlargement is the first that is kept."""
        return self.up_taps - 1 - self.padding[0]

    @property
    def trim(self) -> int:
        """Rows at either end of the convolution's output that nothing reads."""
        rows = self.in_size + self.kernel - 1
        last = self.first + (self.out_size - 1) * self.down + self.down_taps - 1
        before = max(0, -((self.up_taps - 1 - self.first) // self.up))
        return max(0, min(before, rows - 1 - last // self.up))


class StyleGAN3Config(Config):
    """What the weights' shapes do not say twice. `channels[i]` is the width of layer i, the last one the image's.

    num_critical: how many layers, before the last, are critically sampled. margin_size: rows kept around the picture.
    first_cutoff, first_stopband: of the input, in cycles per picture; last_stopband_rel: the last layer's stopband,
    as a multiple of its cutoff. conv_clamp: None for no clamp.

    Raises:
        CheckpointError: a value no StyleGAN3 has (checked before anything is allocated).
    """

    family: ClassVar[str] = "StyleGAN3"

    z_dim: Width
    c_dim: Classes
    w_dim: Width
    resolution: int
    channels: Annotated[tuple[Width, ...], Field(strict=False, min_length=2, max_length=MAX_LAYERS + 1)]
    num_critical: Annotated[int, Field(ge=0, lt=MAX_LAYERS)] = 2
    first_cutoff: Positive = 2.0
    first_stopband: Positive = FIRST_STOPBAND
    last_stopband_rel: Positive = LAST_STOPBAND
    margin_size: Annotated[int, Field(ge=0, le=1024)] = 10
    output_scale: Positive = 0.25
    conv_kernel: Annotated[int, Field(ge=1, le=15)] = 3
    filter_size: Annotated[int, Field(ge=1, le=64)] = 6
    lrelu_upsampling: Annotated[int, Field(ge=1, le=8)] = 2
    use_radial_filters: bool = False
    conv_clamp: Positive | None = 256.0
    num_mapping_layers: MappingDepth = 2
    layer_features: HiddenWidth = 0
    embed_features: HiddenWidth = 0
    mapping_lr_multiplier: Positive = 0.01

    def check(self) -> None:
        check_resolution(self.resolution)
        check_critical(self.num_critical, len(self.channels) - 1)
        self.layers  # noqa: B018  # planned at once, so that layers which cannot be are refused

    @cached_property
    def layers(self) -> tuple[LayerPlan, ...]:
        return plan_layers(self)

    @property
    def num_layers(self) -> int:
        """Rows of the codes: the input's, and one for each layer (toRGB's among them)."""
        return len(self.channels) + 1

    @property
    def img_channels(self) -> int:
        return self.channels[-1]

    @property
    def input_size(self) -> int:
        return self.layers[0].in_size

    @property
    def input_rate(self) -> int:
        return self.layers[0].in_rate


def check_critical(num_critical: int, num_layers: int) -> None:
    """Raise CheckpointError unless layers are left that are not critically sampled."""
    if num_critical >= num_layers:
        raise CheckpointError(f"num_critical is {num_critical} of {num_layers} layers; wanted fewer")


@dataclass(frozen=True)
class Bands:
    """What the layers' signals hold, one number for each layer 0 ... n: cutoff and half the transition band in cycles
    per picture, sampling rate in samples per picture."""

    cutoffs: tuple[float, ...]
    half_widths: tuple[float, ...]
    rates: tuple[int, ...]


def band_limits(
    resolution: int,
    num_layers: int,
    num_critical: int = 2,
    first_cutoff: float = 2.0,
    first_stopband: float = FIRST_STOPBAND,
    last_stopband_rel: float = LAST_STOPBAND,
) -> Bands:
    """Cutoffs and stopbands grow geometrically up to the critically sampled layers; layer i < num_layers, then toRGB.

    f_c[i] = f_c0 (R/2 / f_c0)^min(i / (n - critical), 1), f_t likewise from f_t0 to R/2 · last_stopband_rel;
    s[i] = 2^ceil(log2(min(2 f_t[i], R))), half width max(f_t[i], s[i]/2) - f_c[i].

    Raises:
        CheckpointError: limits that no signal can keep to.
    """
    last_cutoff = resolution / 2
    exponents = np.minimum(np.arange(num_layers + 1) / (num_layers - num_critical), 1)
    cutoffs = first_cutoff * (last_cutoff / first_cutoff) ** exponents
    stopbands = first_stopband * (last_cutoff * last_stopband_rel / first_stopband) ** exponents
    rates = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, resolution))))
    half_widths = np.maximum(stopbands, rates / 2) - cutoffs
    if not (rates.min() >= 1 and half_widths.min() >= 0):
        raise CheckpointError(
            f"cutoffs from {first_cutoff:g} to {last_cutoff:g} do not lie below stopbands from {first_stopband:g} to "
            f"{last_cutoff * last_stopband_rel:g}"
        )
    return Bands(tuple(cutoffs.tolist()), tuple(half_widths.tolist()), tuple(int(rate) for rate in rates))


def official_channels(
    cutoffs: tuple[float, ...], channel_base: int, channel_max: int, img_channels: int = 3
) -> tuple[int, ...]:
    """Widths that NVIDIA's training gives to layers of these cutoffs: min(base / 2 / cutoff, max), the image's last."""
    widths = np.rint(np.minimum(channel_base / 2 / np.array(cutoffs), channel_max))
    return (*(int(width) for width in widths[:-1]), img_channels)


def plan_layers(config: StyleGAN3Config) -> tuple[LayerPlan, ...]:
    """Every layer, toRGB last. Raises CheckpointError when a layer cannot be sampled as the settings say."""
    count = len(config.channels) - 1
    bands = band_limits(
        config.resolution,
        count,
        config.num_critical,
        config.first_cutoff,
        config.first_stopband,
        config.last_stopband_rel,
    )
    sizes = [rate + 2 * config.margin_size for rate in bands.rates]
    sizes[-2:] = [config.resolution] * 2
    return tuple(_plan(config, bands, sizes, index) for index in range(count + 1))


def _plan(config: StyleGAN3Config, bands: Bands, sizes: list[int], index: int) -> LayerPlan:
    before, is_torgb = max(index - 1, 0), index == len(config.channels) - 1
    in_rate, out_rate = bands.rates[before], bands.rates[index]
    rate = max(in_rate, out_rate) * (1 if is_torgb else config.lrelu_upsampling)
    up, down = rate // in_rate, rate // out_rate
    if is_torgb and (up, down) != (1, 1):
        raise CheckpointError(
            f"toRGB would go from {in_rate} to {out_rate} samples without a filter; num_critical is 0"
        )
    is_critical = index >= len(config.channels) - 1 - config.num_critical
    return LayerPlan(
        index=index,
        in_channels=config.channels[before],
        out_channels=config.channels[index],
        in_size=sizes[before],
        out_size=sizes[index],
        in_rate=in_rate,
        out_rate=out_rate,
        in_cutoff=bands.cutoffs[before],
        out_cutoff=bands.cutoffs[index],
        in_half_width=bands.half_widths[before],
        out_half_width=bands.half_widths[index],
        kernel=1 if is_torgb else config.conv_kernel,
        up=up,
        down=down,
        up_taps=config.filter_size * up if up > 1 and not is_torgb else 1,
        down_taps=config.filter_size * down if down > 1 and not is_torgb else 1,
        radial=config.use_radial_filters and not is_critical,
        is_torgb=is_torgb,
    )
