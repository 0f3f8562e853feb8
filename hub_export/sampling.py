"""Seeded streams of latents and of w. Row i depends on the seed and on i alone, whatever the batching or the device.

Latents are drawn and mapped in fixed blocks, so that even the rounding of a row never depends on its neighbours'
number. w of StyleGAN's mapping network (Karras et al., CVPR 2020, arXiv:1912.04958) is computed near the machine's
matrix-product rate, in exact float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.generators.base import Generator, iterate_batches
from eigan.generators.layers import EPSILON, LRELU_GAIN, LRELU_SLOPE, EqualizedLinear, MappingNetwork
from eigan.latents import BLOCK_ROWS, block_generator, class_block, z_block
from hub_export.recipe import Recipe
from hub_export.workers import draws_ahead, exact_products, num_cores, parallel_map, ready_for
from hub_export.world import ALONE, World

T = TypeVar("T")

SAMPLER = f"torch-normal-{BLOCK_ROWS}"
"""What a pack's recipe calls this stream. A change that alters any row (the block size too) needs a new name."""

PIXEL_BATCH = 16  # images a block is folded into: oneDNN takes 1x1 convolutions of 16 or more on any thread count

ROUNDINGS = 4  # of the weights in bf16: more would leave too few rows of a block to each
ROUNDING_STREAM = 2
BF16_STEP = 1 << 16  # between neighbours in bf16, in units of float32's last bit

BlockMapping = Callable[[Tensor, Tensor | None], Tensor]
"""z (BLOCK_ROWS, z_dim) and class indices (BLOCK_ROWS,) or None, on the device -> w (BLOCK_ROWS, D)."""


def sample_z(seed: int, start: int, stop: int, z_dim: int) -> Tensor:
    """Standard normal rows start <= i < stop: (stop - start, z_dim), float32, CPU. Row i depends on (seed, i) alone."""
    z = torch.empty(stop - start, z_dim)
    for block, rows in _blocks(start, stop):
        first = block * BLOCK_ROWS + rows.start - start
        z[first : first + rows.stop - rows.start] = z_block(seed, block, z_dim)[rows]
    return z


def sample_classes(seed: int, start: int, stop: int, c_dim: int) -> Tensor:
    """Classes (stop - start,) of rows start <= i < stop, uniform over c_dim, int64, CPU; row i as in sample_z."""
    blocks = [class_block(seed, block, c_dim)[rows] for block, rows in _blocks(start, stop)]
    return torch.cat(blocks) if blocks else torch.empty(0, dtype=torch.int64)


def stream_w(generator: Generator, recipe: Recipe, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
    """w of rows start <= i < stop (None: num_samples) in order: (n, D), float32, on the generator's device.

    n is at most BLOCK_ROWS. Classes are the recipe's one class, or uniform over all of a conditional generator's.
    """
    return over_w(generator, recipe, lambda w: w, start, stop)


def over_w(
    generator: Generator,
    recipe: Recipe,
    work: Callable[[Tensor], T],
    start: int = 0,
    stop: int | None = None,
    world: World = ALONE,
) -> Iterator[T]:
    """work(w) for each of the pieces that `stream_w` would give, in their order; of a world, this process's share.

    On CPU as many blocks are in hand as torch has threads, each block on one thread: no operator waits for another
    thread, and no rounding depends on how many there are. `work` runs in those threads and must change nothing outside.
    Memory stays at a few blocks for each thread. On another device latents are drawn ahead on all cores, and `work`
    runs in the caller's thread; a CUDA device is not waited for, and its products are exact float32 (`exact_products`).
    """
    map_block = prepare_mapping(generator, recipe.precision)
    device, c_dim = generator.device, generator.c_dim
    last = (recipe.num_samples or 0) if stop is None else stop

    def draw(piece: tuple[int, slice]) -> tuple[slice, Tensor, Tensor | None]:
        block, rows = piece
        classes = None
        if c_dim:
            classes = class_block(recipe.seed, block, c_dim)
            if recipe.class_index is not None:
                classes.fill_(recipe.class_index)
            classes = ready_for(device, classes)
        return rows, ready_for(device, z_block(recipe.seed, block, generator.z_dim)), classes

    def apply(drawn: tuple[slice, Tensor, Tensor | None]) -> T:
        rows, z, classes = drawn
        classes = None if classes is None else classes.to(device, non_blocking=True)
        with exact_products(device):
            return work(map_block(z.to(device, non_blocking=True), classes)[rows])

    pieces = world.share(_blocks(start, last))
    if draws_ahead(device):
        return map(apply, parallel_map(draw, pieces, num_cores()))
    return parallel_map(lambda piece: apply(draw(piece)), pieces, torch.get_num_threads())


def prepare_mapping(generator: Generator, precision: str = "fp32") -> BlockMapping:
    """The quickest function that gives the w of `generator.mapping`, untruncated, for whole blocks of latents.

    precision: "fp32", or "bf16" where a rounding of every layer's numbers to 8 bits is worth the time that it saves.
    """
    mapper = getattr(generator, "mapper", None)
    if type(mapper) is MappingNetwork and all(type(m) is EqualizedLinear for m in mapper.children()):
        return RoundedMapping(mapper) if precision == "bf16" else FoldedMapping(mapper)

    @torch.no_grad()
    def map_block(z: Tensor, classes: Tensor | None) -> Tensor:
        c = None if classes is None else F.one_hot(classes, generator.c_dim).float()
        with torch.autocast(z.device.type, torch.bfloat16, enabled=precision == "bf16"):
            codes: Tensor = generator.mapping(z, c)  # (N, L, D)
        return codes[:, 0].float()

    return map_block


class FoldedMapping:
    """`MappingNetwork.forward` for whole blocks: scales and gains multiplied into the weights once, layers in place.

    Layer: x <- lrelu(x (g W)ᵀ + g b), where g holds equalised scale, learning-rate multiplier and √2. Same algebra in
    float32; only the order of roundings differs.
    """

    @torch.no_grad()
    def __init__(self, mapper: MappingNetwork):
        layers = [mapper.get_submodule(f"fc{i}") for i in range(mapper.num_layers)]
        self.layers = [_fold(layer) for layer in layers if isinstance(layer, EqualizedLinear)]
        self.embed = None if mapper.embed is None else _fold(mapper.embed)

    @torch.no_grad()
    def __call__(self, z: Tensor, classes: Tensor | None) -> Tensor:
        x = self.inputs(z, classes)
        for weight, bias in self.layers:
            x = F.leaky_relu_(_affine(x, weight, bias), LRELU_SLOPE)
        return x

    def inputs(self, z: Tensor, classes: Tensor | None) -> Tensor:
        """What the first layer takes: z and the class's embedding, each of mean square 1."""
        x = _normalized(z)
        if self.embed is not None and classes is not None:
            weight, bias = self.embed  # a one-hot class picks a column of the weight
            x = torch.cat([x, _normalized(weight.t()[classes] + bias)], dim=1)
        return x


class RoundedMapping(FoldedMapping):
    """FoldedMapping with weights and layers in bf16: twice as fast where the processor multiplies bf16, 0.8 % off.

    Weights rounded once for all would be those of another mapping, whose variances differ by 0.2 %. So each of the
    ROUNDINGS parts of a block has its own (`roundings`), whose mean is the weight to within a fraction of a rounding:
    most of the shifts cancel, and 0.1 % are left (the worst of 80 variances, benchmarks/pca_w.py).
    """

    @torch.no_grad()
    def __init__(self, mapper: MappingNetwork):
        super().__init__(mapper)
        self.rounded = [
            (roundings(weight, 2 * i).mT, roundings(bias, 2 * i + 1)[:, None])  # (R, I, O), (R, 1, O)
            for i, (weight, bias) in enumerate(self.layers)
        ]

    @torch.no_grad()
    def __call__(self, z: Tensor, classes: Tensor | None) -> Tensor:
        x = self.inputs(z, classes).bfloat16()
        x = x.view(ROUNDINGS, -1, x.shape[1])  # (R, n / R, I)
        for weight, bias in self.rounded:
            x = F.leaky_relu_(torch.baddbmm(bias, x, weight), LRELU_SLOPE)
        return x.flatten(0, 1).float()


def roundings(values: Tensor, number: int) -> Tensor:
    """ROUNDINGS bf16 copies of `values`, float32: (R, ...), each entry one of its two neighbours in bf16.

    Where an entry lies the part f of the way from the neighbour nearer zero to the other, ⌊R f⌋ or ⌈R f⌉ of the copies
    have that other one. Which ones is drawn from `number`.
    """
    bits = values.detach().cpu().contiguous().view(torch.int32)
    below, part = bits & -BF16_STEP, (bits & (BF16_STEP - 1)).float() / BF16_STEP
    start = torch.rand(values.shape, generator=block_generator(number, ROUNDING_STREAM))
    copies = [
        torch.where(part > (start + i / ROUNDINGS) % 1.0, below + BF16_STEP, below).view(torch.float32)
        for i in range(ROUNDINGS)
    ]
    return torch.stack(copies).bfloat16().to(values.device)


def _fold(layer: EqualizedLinear) -> tuple[Tensor, Tensor]:
    """Weight (O, I) and bias (O,) of the plain linear layer that `layer` is, activation gain included."""
    gain = layer.lr_multiplier * (LRELU_GAIN if layer.activate else 1.0)
    return layer.weight.float() * (gain / math.sqrt(layer.weight.shape[1])), layer.bias.float() * gain


def _normalized(x: Tensor) -> Tensor:
    """Rows of x (N, D) scaled to mean square 1; without the squared copy that the definition would make."""
    mean_square: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True).square_().div_(x.shape[1])
    return x * mean_square.add_(EPSILON).rsqrt_()


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (BLOCK_ROWS, I) -> x Wᵀ + b (BLOCK_ROWS, O), float32.

    On CPU this is written as a 1x1 convolution over a channels-last picture: the same sums, but by oneDNN, which uses
    AVX-512 on every maker's processors (twice the rate of MKL's product where MKL holds back).
    """
    if not uses_onednn(x):
        return torch.addmm(bias, x, weight.t())
    pixels = x.view(PIXEL_BATCH, -1, 1, x.shape[1]).permute(0, 3, 1, 2)  # (16, I, n / 16, 1), channels last
    y = F.conv2d(pixels, weight[:, :, None, None], bias)
    return y.permute(0, 2, 3, 1).reshape(len(x), -1)


def uses_onednn(x: Tensor) -> bool:
    """Whether products of rows x (N, D) are quicker as oneDNN's convolutions. Elsewhere (CUDA) these may be TF32."""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(has_onednn and x.device.type == "cpu" and len(x) % PIXEL_BATCH == 0)


def _blocks(start: int, stop: int) -> Iterator[tuple[int, slice]]:
    """Blocks that cover rows start <= i < stop: (block, rows within the block)."""
    base = start - start % BLOCK_ROWS
    for piece in iterate_batches(max(stop - base, 0), BLOCK_ROWS):
        block = base // BLOCK_ROWS + piece.start // BLOCK_ROWS
        first = max(start - block * BLOCK_ROWS, 0)
        rows = slice(first, piece.stop - piece.start)
        if rows.start < rows.stop:
            yield block, rows
