"""Inversion: from a picture to codes that draw it, by optimisation. Nothing is downloaded for it.

Projector: Karras et al., CVPR 2020 (arXiv:1912.04958, appendix D: start at the mean, noise on the codes and a ramped
learning rate). Codes of a row for each layer: Abdal et al., Image2StyleGAN, ICCV 2019 (arXiv:1904.03189). In place of
their learned perceptual distance the L1 distance of Laplacian pyramids: Bojanowski et al., GLO, ICML 2018
(arXiv:1707.05776); a learned one may be given.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.errors import InvalidCodes
from eigan.generators.base import Codes, Generator, NoiseMode
from eigan.latents import block_generator, z_block
from eigan.preview import rgb
from eigan.render import Pictures, to_uint8

MAX_STEPS = 10_000
LEARNING_RATE = 0.1  # standard deviations of the codes that a step moves them by, at most
RAMP_UP, RAMP_DOWN = 0.05, 0.25  # of the steps
NOISE, NOISE_UNTIL = 0.05, 0.5  # standard deviations on the codes at first; none after this part of the steps
REGULARIZATION = 1e-3  # of the squared distance from the mean, in standard deviations
SMALLEST = 8  # pixels of the last level of a pyramid
NUM_STARTS = 32  # random pictures that are tried where the mean is no picture

Perceptual = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Step:
    """Where an inversion stands: `done` of `total` steps, the loss, and the picture so far."""

    done: int
    total: int
    loss: float
    image: Tensor  # (1, C, H, W), nominally in [-1, 1]

    @property
    def picture(self) -> Pictures:
        """(H, W, 3), uint8."""
        picture: Pictures = to_uint8(self.image)[0]
        return picture


@dataclass(frozen=True, eq=False)
class Inversion:
    """codes (1, L, D), float32, on the CPU: the best that were found. losses: of every step. psnr: in dB, of the 8-bit
    picture that the codes draw; infinite when it is the same."""

    codes: Codes
    losses: tuple[float, ...]
    psnr: float


def invert(
    generator: Generator,
    picture: Pictures | npt.NDArray[np.floating],
    *,
    steps: int = 400,
    seed: int = 0,
    class_index: int | None = None,
    regularization: float = REGULARIZATION,
    noise_mode: NoiseMode = "const",
    perceptual: Perceptual | None = None,
    watch: Callable[[Step], None] | None = None,
) -> Inversion:
    """Codes whose picture is `picture` (H, W, 3), uint8, or float from 0 to 1, of the generator's own size.

    Adam on v where codes = mean + std * v, over every number of every row (w+; for generators of z the z that each
    layer reads), so that a step means the same in every family. What does not vary, as a class, stays. The loss is the
    squared distance at every scale, plus that of the pyramids, plus `regularization` times the mean of v squared: more
    of it makes codes that edits hold on better, and pictures less alike. The same on one machine for the same seed.

    class_index: which class it is of, for generators that have classes.
    perceptual: a further distance of images (1, 3, H, W) in [-1, 1], as LPIPS, that a gradient passes.
    watch: called after each step; what it raises ends the inversion.

    Raises:
        InvalidCodes: a picture of another size, not finite or out of range; steps or regularization out of range; a
            class that the generator does not have.
    """
    if isinstance(steps, bool) or not 1 <= steps <= MAX_STEPS:
        raise InvalidCodes(f"steps is {steps}; wanted 1 to {MAX_STEPS}")
    if not (math.isfinite(regularization) and 0 <= regularization <= 1e3):
        raise InvalidCodes(f"regularization is {regularization}; wanted 0 to 1000")
    generator.check_options(noise_mode)
    target = _target(generator, picture)
    with torch.inference_mode(False), torch.enable_grad():
        own = _differentiable(generator)
        inverter = _Inverter(own, target.clone(), seed, class_index, regularization, noise_mode, perceptual)
        return inverter.run(steps, watch)


class _Inverter:
    """One inversion: what is the same in all of its steps."""

    def __init__(
        self,
        generator: Generator,
        target: Tensor,
        seed: int,
        class_index: int | None,
        regularization: float,
        noise_mode: NoiseMode,
        perceptual: Perceptual | None,
    ):
        self.generator, self.target = generator, target
        self.regularization, self.noise_mode, self.perceptual = regularization, noise_mode, perceptual
        self.random = block_generator(seed, 0)
        with torch.no_grad():
            z = z_block(seed, 0, generator.z_dim)
            samples = generator.mapping(z, generator.class_codes(class_index, len(z))).float()
            self.mean, self.std = samples.mean(dim=0), samples.std(dim=0)  # (L, D)
            self.levels = pyramid(target)
            self.v = self._start(samples)[None].clone()

    def run(self, steps: int, watch: Callable[[Step], None] | None) -> Inversion:
        v = self.v.requires_grad_(True)
        adam = Adam(v)
        losses: list[float] = []
        best, best_loss = v.detach().clone(), math.inf
        for step in range(steps):
            part = step / steps
            strength = NOISE * max(0.0, 1 - part / NOISE_UNTIL) ** 2
            noise = torch.randn(v.shape, generator=self.random).to(v) * strength
            image = self.draw(v + noise)
            loss = self.distance(image) + self.regularization * v.square().mean()
            losses.append(float(loss.detach()))
            if strength == 0 and losses[-1] < best_loss:
                best, best_loss = v.detach().clone(), losses[-1]
            (gradient,) = torch.autograd.grad(loss, v)
            adam.step(gradient, LEARNING_RATE * ramp(part))
            if watch is not None:
                watch(Step(step + 1, steps, losses[-1], image.detach()))
        return self._finished([v.detach(), best], losses)

    def draw(self, v: Tensor) -> Tensor:
        return rgb(self.generator.synthesis(self.codes(v), noise_mode=self.noise_mode))

    def codes(self, v: Tensor) -> Codes:
        return self.mean + self.std * v

    def distance(self, image: Tensor) -> Tensor:
        """Of an image (1, 3, H, W) from the picture. Where the picture is black or full, the image may lie beyond."""
        is_cut = (self.target.abs() >= 1) & (image * self.target.sign() >= 1)
        image = torch.where(is_cut, self.target, image)
        levels = pyramid(image)
        pairs = list(zip(levels, self.levels, strict=True))
        pixels = torch.stack([(a.blurred - b.blurred).square().mean() for a, b in pairs]).sum()
        edges = torch.stack([(a.detail - b.detail).abs().mean() for a, b in pairs]).sum()
        learned = self.perceptual(image, self.target).sum() if self.perceptual else 0.0
        return pixels + edges + learned

    def _start(self, samples: Codes) -> Tensor:
        """v (L, D): the mean; of generators of z, whose mean is no picture, the nearest of some random ones."""
        if self.generator.code_space == "w":
            return torch.zeros_like(self.mean)
        tried = samples[:NUM_STARTS]
        nearest = min(tried, key=lambda codes: float(self.distance(rgb(self.generator.synthesis(codes[None])))))
        return torch.where(self.std > 0, (nearest - self.mean) / self.std.clamp(min=1e-12), 0.0)

    def _finished(self, candidates: list[Tensor], losses: list[float]) -> Inversion:
        with torch.no_grad():
            images = [self.draw(v) for v in candidates]
            index = min(range(len(images)), key=lambda i: float(self.distance(images[i])))
            codes = self.codes(candidates[index]).to("cpu", torch.float32)
            if not codes.isfinite().all():
                raise InvalidCodes("the inversion led to codes that are not finite; take more regularization")
            return Inversion(codes, tuple(losses), psnr(to_uint8(images[index]), to_uint8(self.target)))


class Adam:
    """Kingma & Ba, ICLR 2015 (arXiv:1412.6980), of one tensor. torch.optim's own loads torch.compile at its first step:
    seconds, and in ComfyUI's many installations a frequent cause of trouble.
    """

    BETAS = (0.9, 0.99)

    def __init__(self, values: Tensor):
        self.values, self.count = values, 0
        self.mean, self.square = torch.zeros_like(values), torch.zeros_like(values)

    @torch.no_grad()
    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Move the values, in place, against the gradient."""
        first, second = self.BETAS
        self.count += 1
        self.mean.lerp_(gradient, 1 - first)
        self.square.lerp_(gradient.square(), 1 - second)
        mean, square = self.mean / (1 - first**self.count), self.square / (1 - second**self.count)
        self.values -= learning_rate * mean / (square.sqrt() + 1e-8)


@dataclass(frozen=True)
class Level:
    """One level of a pyramid: the image at this scale, and what of it the next smaller one does not have."""

    blurred: Tensor
    detail: Tensor


def pyramid(image: Tensor) -> list[Level]:
    """The Laplacian pyramid of images (N, C, H, W): each level half the size, down to 8 px, all of which is detail."""
    levels = []
    while min(image.shape[-2:]) >= 2 * SMALLEST:
        smaller = F.avg_pool2d(image, 2)
        back = F.interpolate(smaller, size=image.shape[-2:], mode="bilinear", align_corners=False)
        levels.append(Level(image, image - back))
        image = smaller
    return [*levels, Level(image, image)]


def ramp(part: float) -> float:
    """The learning rate after this part of the steps, 0 to 1: up at first, down along a cosine in the end."""
    down = min(1.0, (1 - part) / RAMP_DOWN)
    return min(1.0, (part + 1e-3) / RAMP_UP) * (0.5 - 0.5 * math.cos(math.pi * down))


def psnr(pictures: Pictures, others: Pictures) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures, in dB; infinite when they are the same."""
    error = float(np.square(pictures.astype(np.float64) - others.astype(np.float64)).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _differentiable(generator: Generator) -> Generator:
    """The generator, or, where its weights were loaded in inference mode, which no gradient passes, a copy of it."""
    tensors = (*generator.parameters(), *generator.buffers())
    return copy.deepcopy(generator) if any(tensor.is_inference() for tensor in tensors) else generator


def _target(generator: Generator, picture: Pictures | npt.NDArray[np.floating]) -> Tensor:
    """The picture as an image (1, 3, H, W) in [-1, 1], on the generator's device. Raises InvalidCodes."""
    size = generator.resolution
    if picture.shape != (size, size, 3):
        raise InvalidCodes(
            f"the picture has shape {picture.shape}; {generator.describe()} draws ({size}, {size}, 3): cut and scale it"
        )
    if picture.dtype == np.uint8:
        values = (picture.astype(np.float32) - 127.5) / 127.5  # the middle of what to_uint8 cuts to this level
    elif not np.issubdtype(picture.dtype, np.floating):
        raise InvalidCodes(f"the picture is {picture.dtype}; wanted uint8, or floating point numbers from 0 to 1")
    elif not (np.isfinite(picture).all() and picture.min() >= 0 and picture.max() <= 1):
        raise InvalidCodes("the picture has values that are not finite or outside 0 to 1; wanted colours from 0 to 1")
    else:
        values = picture.astype(np.float32) * 2 - 1
    return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous().to(generator.device)
