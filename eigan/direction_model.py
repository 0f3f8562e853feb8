"""DirectionModel: directions that depend on the code. A small network for each direction gives its unit vector.

LatentCLR: Yüksel et al., ICCV 2021, arXiv:2104.00820; numerics checked against catlab-team/latentclr, commit f02a70d:
z + alpha * D_k(z) / |D_k(z)|, batch normalisation by its running statistics.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.errors import InvalidCodes, PackFormatError, list_names

MAX_NETWORKS = 4096
MAX_WIDTH = 2**15
MAX_STEPS = 9
MAX_MODEL_NUMBERS = 2**28  # 1 GiB of float32; 100 networks of 3 layers of 512 have 7.9e7
MIN_LENGTH = 1e-12  # of an output; a shorter one points nowhere
PARTS = ("weight", "bias", "scale", "shift")
TENSOR_NAME = re.compile(r"(?P<step>\d)\.(?P<part>weight|bias|scale|shift)")


@dataclass(frozen=True, eq=False)
class Step:
    """One layer of all K networks: weight (K, O, I), bias (K, O); scale and shift (K, O) of the normalisation after it.

    bends: whether a ReLU follows.

    Raises:
        PackFormatError: shapes that do not fit each other, values that are no finite floating point numbers.
    """

    weight: Tensor = field(repr=False)
    bias: Tensor | None = field(repr=False)
    scale: Tensor | None = field(repr=False)
    shift: Tensor | None = field(repr=False)
    bends: bool

    def __post_init__(self) -> None:
        shape = tuple(self.weight.shape)
        if len(shape) != 3 or not all(1 <= n <= MAX_WIDTH for n in shape[1:]):
            raise PackFormatError(
                f"a layer's weight has shape {shape}; wanted (networks, outputs, inputs), at most {MAX_WIDTH:,} each"
            )
        if (self.scale is None) != (self.shift is None):
            raise PackFormatError("a normalisation wants both its scale and its shift; give both, or neither")
        for name, tensor in zip(PARTS, self.parts, strict=True):
            if tensor is None:
                continue
            if name != "weight" and tuple(tensor.shape) != shape[:2]:
                raise PackFormatError(f"a layer's {name} has shape {tuple(tensor.shape)}; wanted {shape[:2]}")
            check_numbers(tensor, f"a layer's {name}")

    @property
    def parts(self) -> tuple[Tensor | None, ...]:
        """The tensors in the order of PARTS."""
        return self.weight, self.bias, self.scale, self.shift

    def __call__(self, x: Tensor) -> Tensor:
        """x (K, N, I) -> (K, N, O)."""
        x = x @ self.weight.mT
        x = x if self.bias is None else x + self.bias[:, None]
        if self.scale is not None and self.shift is not None:
            x = x * self.scale[:, None] + self.shift[:, None]
        return x.relu() if self.bends else x

    def each(self, change: Callable[[Tensor], Tensor]) -> Step:
        """The layer with `change` made to all of its tensors."""
        bias, scale, shift = (None if t is None else change(t) for t in self.parts[1:])
        return Step(change(self.weight), bias, scale, shift, self.bends)

    def only(self, k: int) -> Step:
        """The layer of network k alone."""
        return self.each(lambda t: t[k : k + 1])

    def negated(self) -> Step:
        """The layer with the opposite output; one that does not bend."""
        if self.scale is not None and self.shift is not None:
            return replace(self, scale=-self.scale, shift=-self.shift)
        return replace(self, weight=-self.weight, bias=None if self.bias is None else -self.bias)


@dataclass(frozen=True, eq=False)
class DirectionModel:
    """K directions in a space of `size` numbers: `fixed` (K, size), or made of each code by `steps`.

    Weights are kept as they were given; they are used in float32 on the codes' device, moved there once.

    Raises:
        PackFormatError: neither or both of fixed and steps, layers that do not follow on each other, a ReLU after the
            last, values that are not finite, or more numbers than MAX_MODEL_NUMBERS.
    """

    count: int
    size: int
    fixed: Tensor | None = field(default=None, repr=False)
    steps: tuple[Step, ...] = ()
    _copies: dict[torch.device, DirectionModel] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not (1 <= self.count <= MAX_NETWORKS and 1 <= self.size <= MAX_WIDTH):
            raise PackFormatError(
                f"a model of {self.count} directions of {self.size} numbers; wanted 1 to {MAX_NETWORKS:,} directions "
                f"of 1 to {MAX_WIDTH:,} numbers"
            )
        if (self.fixed is None) == (not self.steps) or len(self.steps) > MAX_STEPS:
            raise PackFormatError(
                f"a model has {len(self.steps)} layers; wanted 1 to {MAX_STEPS}, or fixed directions in their place"
            )
        if self.fixed is not None:
            if tuple(self.fixed.shape) != (self.count, self.size):
                raise PackFormatError(
                    f"fixed directions have shape {tuple(self.fixed.shape)}; wanted {(self.count, self.size)}"
                )
            check_numbers(self.fixed, "fixed directions")
        else:
            self._check_chain()
        numbers = sum(t.numel() for t in self._tensors())
        if numbers > MAX_MODEL_NUMBERS:
            raise PackFormatError(f"a model has {numbers:,} numbers; at most {MAX_MODEL_NUMBERS:,}")

    def _check_chain(self) -> None:
        width = self.size
        for i, step in enumerate(self.steps):
            count, outputs, inputs = step.weight.shape
            if (count, inputs) != (self.count, width):
                raise PackFormatError(
                    f"layer {i} of a model takes {inputs} numbers in {count} networks; wanted {width} in {self.count}"
                )
            width = outputs
        if width != self.size or self.steps[-1].bends:
            raise PackFormatError(
                f"a model's last layer gives {width} numbers{' after a ReLU' * self.steps[-1].bends}; wanted "
                f"{self.size}, without a ReLU"
            )

    def _tensors(self) -> list[Tensor]:
        found = (self.fixed, *(t for step in self.steps for t in step.parts))
        return [t for t in found if t is not None]

    @property
    def kind(self) -> str:
        return "global" if self.fixed is not None else "linear" if len(self.steps) == 1 else "nonlinear"

    def directions(self, z: Tensor, *, normalize: bool = True) -> Tensor:
        """D_k(z) for z (N, D): (K, N, D), unit rows unless `normalize` is off; of z's dtype, on its device.

        The first `size` numbers of z are asked, and moved; what comes after them (a class beside a BigGAN's z) is 0.
        A direction without a length, or without a finite one, counts as none: zeros.

        Raises:
            InvalidCodes: z has fewer than `size` numbers.
        """
        if z.ndim != 2 or z.shape[1] < self.size:
            raise InvalidCodes(f"a model of {self.size} numbers was given codes of shape {tuple(z.shape)}")
        here = self._on(z.device)
        if here.fixed is not None:
            found = here.fixed[:, None].expand(-1, len(z), -1)
        else:
            found = z[:, : self.size].float().expand(self.count, len(z), self.size)
            for step in here.steps:
                found = step(found)
        found = unit_rows(found) if normalize else found
        return F.pad(found, (0, z.shape[1] - self.size)).to(z.dtype)

    def forward(self, z: Tensor, alpha: float, *, normalize: bool = True) -> Tensor:
        """z moved along every direction, direction-major: (K * N, D), row k * N + n is z[n] along direction k."""
        return (z + alpha * self.directions(z, normalize=normalize)).flatten(0, 1)

    def single(self, z: Tensor, k: int, alpha: float, *, normalize: bool = True) -> Tensor:
        """z (N, D) moved along direction k."""
        return z + alpha * self.only(k).directions(z, normalize=normalize)[0]

    def each(self, change: Callable[[Tensor], Tensor]) -> DirectionModel:
        """The model with `change`, which may take networks away, made to all of its tensors."""
        fixed = None if self.fixed is None else change(self.fixed)
        steps = tuple(step.each(change) for step in self.steps)
        return DirectionModel(len(steps[0].weight if fixed is None else fixed), self.size, fixed, steps)

    def only(self, k: int) -> DirectionModel:
        """The model of direction k alone."""
        return self.each(lambda t: t[k : k + 1])

    def negated(self) -> DirectionModel:
        """The model of the opposite directions, to the last bit."""
        if self.fixed is not None:
            return DirectionModel(self.count, self.size, -self.fixed)
        return DirectionModel(self.count, self.size, None, (*self.steps[:-1], self.steps[-1].negated()))

    def settled(self) -> DirectionModel:
        """The model with weights that nothing trains, contiguous, on the CPU, in float32 or the float16 that they are
        in; itself where they are so already.
        """
        if all(is_settled(t) for t in self._tensors()):
            return self
        return self.each(settle)

    def tensors(self) -> dict[str, Tensor]:
        """The weights of one direction's network for a file: "0.weight" (O, I), "0.bias", "0.scale", "0.shift" (O).

        Raises:
            PackFormatError: a model of several directions, or of a fixed one.
        """
        if self.count != 1 or self.fixed is not None:
            raise PackFormatError(f"a {self.kind} model of {self.count} directions has no file; take one network alone")
        return {
            f"{i}.{name}": tensor[0]
            for i, step in enumerate(self.steps)
            for name, tensor in zip(PARTS, step.parts, strict=True)
            if tensor is not None
        }

    @classmethod
    def from_tensors(cls, size: int, bends: Sequence[bool], tensors: Mapping[str, Tensor]) -> DirectionModel:
        """The model of one direction that `tensors` gave. bends: whether a ReLU follows, for each layer.

        Raises:
            PackFormatError: names other than those of that many layers, or shapes that do not fit.
        """
        odd = [name for name in tensors if not (m := TENSOR_NAME.fullmatch(name)) or int(m["step"]) >= len(bends)]
        if odd:
            raise PackFormatError(f"a model of {len(bends)} layers has no {list_names(odd)}; the file is damaged")
        steps = []
        for i, bent in enumerate(bends):
            found = [tensors.get(f"{i}.{name}") for name in PARTS]
            weight, bias, scale, shift = (None if t is None else t[None] for t in found)
            if weight is None:
                raise PackFormatError(f"{i}.weight is missing: the model has {len(bends)} layers")
            steps.append(Step(weight, bias, scale, shift, bent))
        return cls(1, size, None, tuple(steps))

    def _on(self, device: torch.device) -> DirectionModel:
        """The model in float32 on `device`: itself, or a copy that is made once."""
        if all(t.device == device and t.dtype == torch.float32 for t in self._tensors()):
            return self
        if device not in self._copies:
            with (
                torch.inference_mode(False),
                torch.no_grad(),
            ):  # a picture is drawn in inference mode; others may not be
                self._copies[device] = self.each(lambda t: t.detach().to(device, torch.float32))
        return self._copies[device]


def unit_rows(found: Tensor) -> Tensor:
    """Rows of length 1; zeros for those without a length, or without a finite one."""
    length = found.norm(dim=-1, keepdim=True)
    points = (length > MIN_LENGTH) & length.isfinite()
    unit: Tensor = found.where(points, 0.0) / length.where(points, 1.0)
    return unit


def check_numbers(tensor: Tensor, noun: str) -> None:
    """Raise PackFormatError unless `tensor` holds finite floating point numbers."""
    if not tensor.is_floating_point():
        raise PackFormatError(f"{noun} is {tensor.dtype}; wanted float32")
    if not bool(tensor.isfinite().all()):
        raise PackFormatError(f"{noun} holds NaN or infinite values; the file is damaged")


def is_settled(tensor: Tensor) -> bool:
    return (
        tensor.device.type == "cpu"
        and tensor.dtype in (torch.float32, torch.float16)
        and not tensor.requires_grad
        and tensor.is_contiguous()
    )


def settle(tensor: Tensor) -> Tensor:
    dtype = torch.float16 if tensor.dtype == torch.float16 else torch.float32
    return tensor.detach().to("cpu", dtype).contiguous()
