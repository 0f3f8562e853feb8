"""StyleGAN3's signal processing in plain PyTorch: low-pass filters, and the leaky ReLU between two resamplings.

Karras et al., NeurIPS 2021 (arXiv:2106.12423), checked against stylegan3 c233a91. No zero between samples is ever
multiplied and no sample is computed that nothing reads; on the CPU a few channels at a time pass through all steps,
so that the enlarged feature maps stay in the cache.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.generators.layers import LRELU_SLOPE

LANES = 16  # channels that the CPU's depthwise convolution takes at once (AVX-512)
CHUNK_BYTES = 2**20  # of enlarged feature maps that are in hand on the CPU


def lowpass(taps: int, cutoff: float, width: float, rate: float, *, radial: bool = False) -> Tensor:
    """Kaiser-windowed low-pass filter that sums to 1: (taps,), or (taps, taps) and rotationally symmetric if `radial`.

    Separable: h(t) = sinc(2 f_c t) k(t); radial: h(r) = J1(2 π f_c r) / (π r) k(x) k(y) with an even number of taps,
    where k is the Kaiser window whose transition band is `width` wide. cutoff, width and sampling rate are in Hz.
    float32; designed in float64 on the CPU.
    """
    window = kaiser_window(taps, width / (rate / 2))
    time = (torch.arange(taps, dtype=torch.float64, device="cpu") - (taps - 1) / 2) / rate
    if radial:
        radius = torch.hypot(time[:, None], time[None, :])
        kernel = torch.special.bessel_j1(2 * math.pi * cutoff * radius) / (math.pi * radius)
        kernel = kernel * torch.outer(window, window)
    else:
        kernel = torch.sinc(2 * cutoff * time) * window
    normalized: Tensor = kernel / kernel.sum()
    return normalized.float()


def kaiser_window(taps: int, width: float) -> Tensor:
    """Kaiser window (taps,), float64, for a transition band of `width` (as a fraction of the Nyquist frequency).

    Kaiser's formulas (1974): attenuation A = 2.285 (taps - 1) π width + 7.95 dB, from which the shape β follows.
    """
    attenuation = 2.285 * (taps - 1) * math.pi * width + 7.95
    beta = 0.0
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64, device="cpu")


def filtered_lrelu(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    *,
    up: int,
    down: int,
    first: int,
    size: int,
    clamp: float | None,
) -> Tensor:
    """x (N, C, H, H) scaled and biased, enlarged, through the leaky ReLU, clamped, reduced: (N, C, size, size).

    scale: (N, C). bias: (C,). up_filter: (taps,), gain `up` on both axes; None: `up` is 1. down_filter: (taps,) or
    (taps, taps); None: `down` is 1. Both convolve (they are not mirrored). first: which sample of the full response to
    the enlargement is the first that is kept, on both axes; samples outside of the response are 0.
    clamp: largest absolute value after the leaky ReLU.
    """
    count, channels = x.shape[:2]
    taps = 1 if down_filter is None else len(down_filter)
    enlarged = (size - 1) * down + taps
    planes = x.reshape(1, count * channels, *x.shape[2:])  # every plane is filtered alike
    scales, biases = scale.reshape(1, -1, 1, 1), bias.repeat(count).reshape(1, -1, 1, 1)
    done = []
    for part in chunks(planes.shape[1], enlarged, x.device):
        y = torch.addcmul(biases[:, part], planes[:, part], scales[:, part])
        y = enlarge(y, up_filter, up, first, enlarged)
        if clamp is not None:
            y = y.clamp_(-clamp / LRELU_SLOPE, clamp)  # before the leaky ReLU, in the bounds that it makes ±clamp
        done.append(reduce(F.leaky_relu_(y, LRELU_SLOPE), down_filter, down))
    whole = done[0] if len(done) == 1 else torch.cat(done, dim=1)
    return whole.reshape(count, channels, size, size)


def chunks(planes: int, size: int, device: torch.device) -> list[slice]:
    """Slices that cover `planes` feature maps of size x size: a few on the CPU, all at once elsewhere."""
    step = planes
    if device.type == "cpu":
        step = LANES * max(1, CHUNK_BYTES // (LANES * size * size * 4))
    return [slice(start, min(start + step, planes)) for start in range(0, planes, step)]


def enlarge(x: Tensor, taps: Tensor | None, up: int, first: int, size: int) -> Tensor:
    """x (1, P, H, H), `up` - 1 zeros after each sample, convolved with `taps` on both axes and amplified by up²:
    samples first ... first + size - 1 of the full response, (1, P, size, size).
    """
    if taps is None:
        return crop(x, first, x.shape[2] - first - size, (2, 3))
    kernel = (taps * float(up)).to(x.dtype)
    for axis in (2, 3):
        full = (x.shape[axis] - 1) * up + len(taps)
        before, after = first, full - first - size
        both = max(0, min(before, after))  # the convolution itself leaves out as many at either end
        shape, stride, padding = (
            ((len(taps), 1), (up, 1), (both, 0)) if axis == 2 else ((1, len(taps)), (1, up), (0, both))
        )
        weight = kernel.reshape(1, 1, *shape).expand(x.shape[1], 1, *shape)
        x = F.conv_transpose2d(x, weight, stride=stride, padding=padding, groups=x.shape[1])
        x = crop(x, before - both, after - both, (axis,))
    return x


def crop(x: Tensor, before: int, after: int, axes: tuple[int, ...]) -> Tensor:
    """x without its first `before` and last `after` samples on the spatial axes named; negative: zeros are added."""
    if not before and not after:
        return x
    amounts = [amount for axis in (3, 2) for amount in ((-before, -after) if axis in axes else (0, 0))]
    return F.pad(x, amounts)


def reduce(x: Tensor, taps: Tensor | None, down: int) -> Tensor:
    """x (1, P, H, H) convolved with `taps`, (k,) on both axes or (k, k), without padding; every `down`-th sample."""
    if taps is None:
        return x[:, :, ::down, ::down]
    planes, kernel = x.shape[1], taps.to(x.dtype)
    if kernel.ndim == 2:
        weight = kernel.flip(0, 1).expand(planes, 1, -1, -1)
        return F.conv2d(x, weight, stride=down, groups=planes)
    mirrored = kernel.flip(0)
    x = F.conv2d(x, mirrored[:, None].expand(planes, 1, -1, 1), stride=(down, 1), groups=planes)
    return F.conv2d(x, mirrored.expand(planes, 1, 1, -1), stride=(1, down), groups=planes)
