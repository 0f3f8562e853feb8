"""The generator contract: a mapping from latents to codes, and a synthesis that folds over stages.

A stage says which rows of the codes it reads, so synthesis can stop at a stage (features) or start at one (a slider
that touches late layers re-computes only the stages from there on).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from eigan.classes import NUM_IMAGENET, find_class
from eigan.errors import CheckpointError, InvalidCodes, UnknownName, list_names
from eigan.generators.config import Config
from eigan.layers import LayerRange
from eigan.pose import STILL, Pose

if TYPE_CHECKING:
    from typing_extensions import Self

Codes = Tensor  # (N, L, D): one row of D numbers for each of the L layers
NoiseMode = Literal["const", "none"]
NOISE_MODES: tuple[NoiseMode, ...] = ("const", "none")
Truncation = Literal["mean", "threshold", "none"]


@dataclass(frozen=True)
class State:
    """What flows between stages: feature maps, and the image gathered so far (skip architectures).

    kept: earlier feature maps, by name, that a later stage reads again (FastGAN's skip-layer excitation).
    """

    features: Tensor  # (N, C, H, W)
    image: Tensor | None  # (N, img_channels, H, W)
    noise_mode: NoiseMode
    pose: Pose = STILL
    kept: Mapping[str, Tensor] = field(default_factory=dict)


class Stage(ABC):
    """One step of synthesis. `layers` are the rows of the codes that it reads, half-open; None: it reads none."""

    name: str
    layers: LayerRange | None

    @abstractmethod
    def __call__(self, state: State, codes: Codes) -> State:
        """The state after this stage; the state given is not changed."""


class Generator(nn.Module, ABC):
    """A pretrained generator: `mapping` makes codes, `synthesis` folds the stages over them."""

    architecture: ClassVar[str]
    config_class: ClassVar[type[Config]]
    published_prefixes: ClassVar[Mapping[str, str]] = {}  # our module prefixes -> the field's names, in files
    truncation: ClassVar[Truncation] = "mean"  # what truncation_psi does: move to w_avg; threshold of z; nothing
    default_psi: ClassVar[float] = 0.7  # what a person would start with
    has_pose: ClassVar[bool] = False  # whether a Pose moves the picture

    settings: Config
    z_dim: int
    c_dim: int
    num_layers: int
    code_dim: int
    resolution: int
    code_space: Literal["z", "w"]
    source: str = ""  # where it was loaded from, as the user wrote it
    revision: str = ""  # commit of the Hub repository it came from, if any

    @property
    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """Stages in order; their fold is `synthesis`."""

    @abstractmethod
    def initial_state(self, codes: Codes, noise_mode: NoiseMode, pose: Pose = STILL) -> State:
        """The state before the first stage. Raises InvalidCodes on an unknown noise mode or a pose it cannot take."""

    @abstractmethod
    def mapping(
        self,
        z: Tensor,
        c: Tensor | int | str | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Codes:
        """Codes (N, L, D) of latents z (N, z_dim); truncation moves the first `truncation_cutoff` rows to the mean.

        c: a class index, an ImageNet name, one-hot or soft labels (N, c_dim). Families without truncation refuse psi
        other than 1.
        """

    @abstractmethod
    def style_weights(self, layers: LayerRange | None = None) -> Tensor:
        """(D, M): what SeFa factorises, the affine weights of `layers` side by side."""

    def linear_map(self, stage_name: str) -> Tensor | None:
        """A (M, z_dim), where the M features after the named stage are A z and what does not depend on z; else None.

        None does not say that the stage is not linear, only that no such matrix is known.
        """
        return None

    @property
    def has_noise(self) -> bool:
        """Whether noise_mode "none" draws another picture than "const"."""
        return False

    def config(self) -> dict[str, Any]:
        """JSON-ready description from which, with the weights, the same generator is built again."""
        return self.settings.to_json()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """An uninitialised generator from `config()`'s JSON. Raises CheckpointError on anything malformed."""
        return cls(cls.config_class.from_json(config))  # type: ignore[call-arg]  # every family takes its settings

    @classmethod
    def infer_config(cls, weights: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any] | None:
        """`config()` of published weights, None when they belong to another family.

        hints: what the file says that shapes do not, by dotted attribute path; may be missing, may be wrong.

        Raises:
            CheckpointError: weights of this family that are incomplete or absurd; nothing was allocated.
        """
        return None

    def describe(self) -> str:
        """One line for people: architecture, size and codes."""
        layers = "1 layer" if self.num_layers == 1 else f"{self.num_layers} layers"
        return f"{self.architecture} {self.resolution}px ({layers} of {self.code_dim})"

    def synthesis(self, codes: Codes, *, noise_mode: NoiseMode = "const", pose: Pose = STILL) -> Tensor:
        """Images (N, img_channels, H, W), float32, nominally in [-1, 1] and not clipped.

        Raises:
            InvalidCodes: codes are not (N, num_layers, code_dim), the noise mode is unknown, or a pose is given to a
                family that has none.
        """
        self.check_codes(codes)
        state = self.initial_state(codes, noise_mode, pose)
        for stage in self.stages:
            state = stage(state, codes)
        return self.image_of(state)

    def image_of(self, state: State) -> Tensor:
        """The finished image of the last stage's state."""
        if state.image is None:
            raise CheckpointError(f"{self.describe()} ended without an image: its weights have no toRGB layer")
        return state.image.float()

    def features(self, codes: Codes, stage_name: str, *, noise_mode: NoiseMode = "const") -> Tensor:
        """Feature maps (N, C, H, W) after the named stage; later stages are not computed."""
        self.check_codes(codes)
        names = [stage.name for stage in self.stages]
        if stage_name not in names:
            raise UnknownName(f"unknown stage {stage_name!r}; known: {list_names(names)}")
        state = self.initial_state(codes, noise_mode)
        for stage in self.stages[: names.index(stage_name) + 1]:
            state = stage(state, codes)
        return state.features

    def check_codes(self, codes: Codes) -> None:
        """Raise InvalidCodes unless codes are (N, num_layers, code_dim)."""
        if codes.ndim != 3 or codes.shape[1:] != (self.num_layers, self.code_dim):
            raise InvalidCodes(
                f"codes have shape {tuple(codes.shape)}; "
                f"{self.describe()} wants (N, {self.num_layers}, {self.code_dim})"
            )

    def check_layers(self, layers: LayerRange | None) -> LayerRange:
        """`layers`, or all of them when None. Raises InvalidCodes when this generator does not have them."""
        chosen = layers or LayerRange(0, self.num_layers)
        if chosen.stop > self.num_layers:
            raise InvalidCodes(f"layers {chosen} do not exist; this generator has layers 0-{self.num_layers - 1}")
        return chosen

    def check_options(self, noise_mode: str, pose: Pose = STILL) -> None:
        """Raise InvalidCodes unless this generator can draw with this noise mode and pose."""
        if noise_mode not in NOISE_MODES:
            raise InvalidCodes(f"unknown noise mode {noise_mode!r}; known: {', '.join(NOISE_MODES)}")
        if not (self.has_pose or pose.is_still):
            raise InvalidCodes(f"{self.describe()} cannot be shifted or turned; only StyleGAN3 has a pose")

    def check_z(self, z: Tensor) -> Tensor:
        """z on this generator's device. Raises InvalidCodes unless it is (N, z_dim)."""
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise InvalidCodes(f"latents have shape {tuple(z.shape)}; {self.describe()} wants (N, {self.z_dim})")
        return z.to(self.device, torch.float32)

    def refuse_truncation(self, psi: float, cutoff: int | None) -> None:
        """Raise InvalidCodes when truncation is asked of a family that has none."""
        if psi != 1.0 or cutoff is not None:
            raise InvalidCodes(f"{self.describe()} has no truncation; leave truncation_psi at 1 and the cutoff out")

    def class_codes(self, c: Tensor | int | str | None, count: int) -> Tensor | None:
        """Class vectors (count, c_dim) from an index, an ImageNet name, one-hot or soft labels; None for unconditional
        generators.

        Raises:
            InvalidCodes: a class is needed and missing, given and not needed, or of the wrong width.
            UnknownName: ImageNet has no such class, or several.
        """
        if not self.c_dim:
            if c is not None:
                raise InvalidCodes(f"{self.describe()} has no classes; leave the class out")
            return None
        if c is None:
            raise InvalidCodes(f"{self.describe()} has {self.c_dim} classes; say which (0 to {self.c_dim - 1})")
        if isinstance(c, str):
            if self.c_dim != NUM_IMAGENET:
                raise InvalidCodes(f"classes of {self.describe()} have no names; give an index, 0 to {self.c_dim - 1}")
            c = find_class(c)
        if isinstance(c, int):
            if not 0 <= c < self.c_dim:
                raise InvalidCodes(f"class {c} is out of range; this generator has classes 0 to {self.c_dim - 1}")
            c = torch.nn.functional.one_hot(torch.tensor(c), self.c_dim).float().expand(count, -1)
        if c.shape != (count, self.c_dim):
            raise InvalidCodes(f"class labels have shape {tuple(c.shape)}; wanted ({count}, {self.c_dim})")
        return c.to(self.device, torch.float32)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def weights(self) -> dict[str, Tensor]:
        """Every parameter and buffer under its published name (not copies)."""
        return {self._published(name): tensor for name, tensor in self.state_dict().items()}

    def load_weights(self, weights: Mapping[str, Tensor], *, assign: bool = False) -> None:
        """Take every weight from `weights` (published names; shapes must match, nothing missing, nothing left over).

        assign: use the tensors themselves, frozen, in place of copying their values; the way to fill a generator that
        was made on the meta device.

        Raises:
            CheckpointError: naming what is missing, unexpected, of another shape or not finite.
        """
        own = self.weights()
        missing, unexpected = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
        if missing or unexpected:
            found = [f"missing {list_names(missing, 6)}"] * bool(missing)
            found += [f"unexpected {list_names(unexpected, 6)}"] * bool(unexpected)
            raise CheckpointError(f"weights do not fit {self.describe()}: {'; '.join(found)}")
        for name, tensor in own.items():
            given = weights[name]
            if given.shape != tensor.shape or not given.is_floating_point():
                raise CheckpointError(
                    f"{name} is {given.dtype} {tuple(given.shape)}; {self.describe()} wants {tuple(tensor.shape)}"
                )
            if not is_finite(given):
                raise CheckpointError(f"{name} holds NaN or infinite values; the checkpoint is damaged")
        self.__dict__.pop("fingerprint", None)
        if assign:
            self.requires_grad_(False)
            named = {name: weights[self._published(name)] for name in self.state_dict()}
            self.load_state_dict(named, strict=True, assign=True)
            return
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(weights[name])

    def _published(self, name: str) -> str:
        for ours, theirs in self.published_prefixes.items():
            if name.startswith(ours):
                return theirs + name.removeprefix(ours)
        return name

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over architecture, names, shapes and half-precision values of the weights.

        Half precision makes the fp32 weights and their fp16 conversion one generator: directions fit both. The
        container, the file name and the precision of the file do not matter.
        """
        digest = hashlib.sha256(self.architecture.encode())
        for name, tensor in sorted(self.weights().items()):
            values = tensor.detach().to("cpu", torch.float16).contiguous()
            digest.update(f"\0{name}{tuple(values.shape)}".encode())
            digest.update(values.numpy().astype("<f2").tobytes())
        return digest.hexdigest()


def is_finite(tensor: Tensor) -> bool:
    """Whether every value is finite. A finite sum proves it; NumPy's needs no thread pool to wake up."""
    with np.errstate(all="ignore"):
        total = np.add.reduce(tensor.detach().to("cpu", torch.float32).numpy(), axis=None)
    return bool(np.isfinite(total)) or bool(tensor.isfinite().all())


def iterate_batches(total: int, batch_size: int) -> Iterator[slice]:
    """Slices that cover range(total) in steps of at most `batch_size`."""
    for start in range(0, total, batch_size):
        yield slice(start, min(start + batch_size, total))
