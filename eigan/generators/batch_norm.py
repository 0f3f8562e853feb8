"""Batch normalisation with stored statistics, and measuring them anew for weights that were averaged without them.

Ioffe & Szegedy, ICML 2015 (arXiv:1502.03167). Training code that averages a generator's weights (EMA) often leaves the
running statistics alone, so that in evaluation they belong to other weights than those beside them; its authors then
draw with the statistics of the batch at hand, and a picture depends on its neighbours. `recalibrate_batch_norm` gives
the averaged weights statistics of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eigan.errors import InvalidCodes
from eigan.generators.base import Codes, Generator, iterate_batches
from eigan.latents import MAX_SEED, seeded_z

EPSILON = 1e-5
Progress = Callable[[int, int, str], None]  # done, total, of what


class BatchNorm(nn.Module):
    """(x - mean) / √(var + 1e-5) per channel, with the stored mean and variance; never with the batch's."""

    mean_name: ClassVar[str] = "running_mean"
    var_name: ClassVar[str] = "running_var"

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer(self.mean_name, torch.zeros(channels))
        self.register_buffer(self.var_name, torch.ones(channels))

    def normalize(self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """x (N, C, H, W) normalised, then times `weight` (C,) plus `bias` (C,) where they are given."""
        mean, var = self.get_buffer(self.mean_name), self.get_buffer(self.var_name)
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=EPSILON)

    def set_statistics(self, mean: Tensor, var: Tensor) -> None:
        """Put new statistics (C,) in the place of the stored ones; the tensors that were stored are not written to."""
        for name, values in ((self.mean_name, mean), (self.var_name, var)):
            stored = self.get_buffer(name)
            setattr(self, name, values.to(stored.device, stored.dtype))


class AffineBatchNorm(BatchNorm):
    """Batch normalisation with a learnt scale and shift for each channel: torch's `BatchNorm2d` in evaluation."""

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int):
        super().__init__(channels)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.normalize(x, self.weight, self.bias)


class ClassBatchNorm(BatchNorm):
    """Batch normalisation whose scale 1 + gain(c) and shift bias(c) come from a class embedding c (N, D)."""

    mean_name, var_name = "stored_mean", "stored_var"

    def __init__(self, channels: int, embedding_dim: int):
        super().__init__(channels)
        self.gain = nn.Linear(embedding_dim, channels)
        self.bias = nn.Linear(embedding_dim, channels)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        scale = 1 + self.gain(c)[:, :, None, None]  # (N, C, 1, 1)
        return torch.addcmul(self.bias(c)[:, :, None, None], self.normalize(x), scale)


class Moments:
    """Mean and variance per channel of all the feature maps it is shown, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.total = self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        """x (N, C, H, W). Sums of one sample do not depend on its neighbours, nor does their sum in float64, much."""
        values = x.detach().double()
        self.count += values.shape[0] * values.shape[2] * values.shape[3]
        self.total = self.total + values.sum(dim=(0, 2, 3))
        self.squares = self.squares + values.square().sum(dim=(0, 2, 3))

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        """(C,), (C,), float64: of the population shown, so without Bessel's correction."""
        mean = self.total / self.count
        return mean, (self.squares / self.count - mean.square()).clamp(min=0)


def recalibrate_batch_norm(
    generator: Generator,
    *,
    num_samples: int = 1000,
    seed: int = 0,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Give every `BatchNorm` of `generator` the statistics that its input has over seeded samples, layer after layer.

    Layer k's mean and variance are those of its input over all pixels of all samples, while layers 1 to k - 1 already
    normalise with their new ones: what evaluation will see. So every layer's output has exactly mean 0 and variance 1
    over the samples (before scale and shift), and nothing depends on how samples are batched, beyond float32 rounding.
    That is not the running average of training, whose every batch is normalised by itself.

    Sample i is seed + i of `seeded_z`, of class i modulo c_dim; noise as `synthesis` draws it by default. Costs about
    half as many passes over the samples as there are layers. The generator is changed in place; the tensors that its
    statistics were before are not written to, and its fingerprint is another afterwards.

    Returns: what to record beside the weights, {"bn_recalibration": {"num_samples": ..., "seed": ...}}.

    Raises:
        InvalidCodes: the generator has no batch normalisation, or a number is out of range.
    """
    if num_samples < 1 or batch_size < 1:
        raise InvalidCodes(f"num_samples is {num_samples} and batch_size {batch_size}; wanted 1 or more")
    if not 0 <= seed <= MAX_SEED - num_samples:
        raise InvalidCodes(f"seed is {seed}; wanted 0 to {MAX_SEED - num_samples}, so that every sample has its own")
    with torch.inference_mode():
        codes = _seeded_codes(generator, seed, num_samples)
        layers = _layers_in_order(generator, codes[:1])
        if not layers:
            raise InvalidCodes(f"{generator.describe()} has no batch norm to recalibrate; leave the recalibration out")
    for done, layer in enumerate(layers):
        with torch.inference_mode():
            moments = Moments()
            for rows in iterate_batches(num_samples, batch_size):
                _show_input(generator, codes[rows], layer, moments)
            mean, var = moments.mean_and_variance()
        layer.set_statistics(mean.clone(), var.clone())  # outside of inference mode: tensors that may be trained past
        if progress is not None:
            progress(done + 1, len(layers), "recalibrating batch norm")
    generator.__dict__.pop("fingerprint", None)
    return {"bn_recalibration": {"num_samples": num_samples, "seed": seed}}


def _seeded_codes(generator: Generator, seed: int, num_samples: int) -> Codes:
    z = seeded_z(range(seed, seed + num_samples), generator.z_dim)
    if not generator.c_dim:
        return generator.mapping(z)
    pieces = [_codes_in_turn(generator, z[rows], rows.start) for rows in iterate_batches(num_samples, 256)]
    return torch.cat(pieces)


def _codes_in_turn(generator: Generator, z: Tensor, first: int) -> Codes:
    classes = torch.arange(first, first + len(z)) % generator.c_dim
    return generator.mapping(z, F.one_hot(classes, generator.c_dim).float())


def _layers_in_order(generator: Generator, codes: Codes) -> list[BatchNorm]:
    """Those that synthesis uses, in the order in which it does."""
    used: dict[BatchNorm, None] = {}

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        if isinstance(module, BatchNorm):
            used[module] = None

    handles = [m.register_forward_pre_hook(note) for m in generator.modules() if isinstance(m, BatchNorm)]
    try:
        generator.synthesis(codes)
    finally:
        for handle in handles:
            handle.remove()
    return list(used)


def _show_input(generator: Generator, codes: Codes, layer: BatchNorm, moments: Moments) -> None:
    """Run synthesis as far as the stage that holds `layer`, and add what the layer is given to `moments`."""
    before = moments.count
    handle = layer.register_forward_pre_hook(lambda module, args: moments.add(args[0]))
    try:
        state = generator.initial_state(codes, "const")
        for stage in generator.stages:
            state = stage(state, codes)
            if moments.count > before:
                return
    finally:
        handle.remove()
