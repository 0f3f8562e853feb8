"""Scorers: what reads attributes off pictures. The bundled one for heads, or any callable of a person's own."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.errors import EiganError, FitError, UnknownName, list_names
from eigan.generators.base import Generator, iterate_batches
from eigan.pack import MAX_NAME, check_text, check_unique
from eigan.render import Pictures
from eigan.sources import bundle_root, bundled_path
from hub_export.evaluation.attributes import AttributeNetwork, Trained, load_attributes
from hub_export.metrics import MAX_ATTRIBUTES

HEADS = "heads-attributes"
BATCH = 32
Numbers = npt.NDArray[np.float64]


@runtime_checkable
class Scorer(Protocol):
    """Reads attributes: pictures (N, H, W, 3), uint8 -> (N, A) numbers, one column for each of `names`.

    Any scale will do: effects are told in standard deviations over pictures that nobody edited. May also have
    `identity`, the names among them that say who or what is shown.
    """

    @property
    def names(self) -> Sequence[str]: ...

    def __call__(self, pictures: Pictures) -> Any: ...


class HeadsAttributes:
    """The bundled network: a scorer, and a network of features for drift and Fréchet distances.

    Pictures of any size are brought to 64 px. It was trained on rendered heads: of other pictures its scores mean
    nothing, its features little. Safe to call from several threads.
    """

    name = HEADS

    def __init__(self, trained: Trained, device: torch.device | str = "cpu"):
        self.network: AttributeNetwork = trained.network.to(device)
        self.names = trained.names
        self.generators = tuple(trained.config.generators)
        self.identity = tuple(attribute.name for attribute in trained.config.attributes if attribute.identity)
        self._mean = torch.tensor([attribute.mean for attribute in trained.config.attributes], device=device)
        self._std = torch.tensor([attribute.std for attribute in trained.config.attributes], device=device)

    @classmethod
    def load(cls, device: torch.device | str = "cpu") -> HeadsAttributes:
        """The bundled network. Raises FitError when this installation lacks it, PackFormatError when it is damaged."""
        folder = bundled_path(HEADS)
        if folder is None:
            raise FitError(f"{HEADS} is not in {bundle_root()}; install eigan again, or name another scorer")
        return cls(load_attributes(folder), device)

    def __call__(self, pictures: Pictures) -> Numbers:
        return self.read(pictures)[0]

    def features(self, pictures: Pictures) -> Numbers:
        """(N, F): the activations before the last layer."""
        return self.read(pictures)[1]

    def read(self, pictures: Pictures) -> tuple[Numbers, Numbers]:
        """Scores (N, A) and features (N, F) of one pass."""
        scores, features = [np.zeros((0, len(self.names)))], [np.zeros((0, self.network.out.in_features))]
        with torch.inference_mode():
            for rows in iterate_batches(len(pictures), BATCH):
                found = self.network.features(self._prepared(pictures[rows]))
                scores.append((self.network.out(found) * self._std + self._mean).cpu().double().numpy())
                features.append(found.cpu().double().numpy())
        return np.concatenate(scores), np.concatenate(features)

    def _prepared(self, pictures: Pictures) -> Tensor:
        """uint8 (N, H, W, 3) -> (N, 3, S, S) in [-1, 1]."""
        images = torch.from_numpy(pictures).to(self._mean.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        size = self.network.size
        if images.shape[2] > size:
            images = F.interpolate(images, (size, size), mode="area")
        elif images.shape[2] < size:
            images = F.interpolate(images, (size, size), mode="bilinear", align_corners=False)
        return images.contiguous(memory_format=torch.channels_last)


class FunctionScorer:
    """A function that gives name -> (N,) numbers, as a scorer. It is called once with a grey picture for its names."""

    def __init__(self, function: Callable[[Pictures], Mapping[str, Any]]):
        self.function = function
        found = function(np.full((1, 64, 64, 3), 128, np.uint8))
        if not isinstance(found, Mapping) or not found:
            raise FitError(
                f"the scorer gave {type(found).__name__}; wanted a mapping of names to (N,) numbers, or an object "
                "with `names` that gives (N, A)"
            )
        self.names = tuple(found)

    def __call__(self, pictures: Pictures) -> Numbers:
        found = self.function(pictures)
        if tuple(found) != self.names:
            raise FitError(f"the scorer named {list_names(map(str, found), 6)} after {list_names(self.names, 6)}")
        return np.stack([_numbers(found[name]).reshape(-1) for name in self.names], axis=1)


def find_scorer(name: str, device: torch.device | str = "cpu") -> Scorer:
    """The scorer called `name`: "heads-attributes", or "package.module:object" of code that Python can import.

    The object is a scorer, a class of scorers, or a function (pictures) -> {name: (N,) numbers}. It is your own code
    and runs with your rights.

    Raises:
        UnknownName: neither. FitError: it cannot be imported, or is no scorer.
    """
    if name == HEADS:
        return _heads(str(device))
    module_name, colon, attribute = name.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        raise UnknownName(f"unknown scorer {name!r}; known: {HEADS}, or package.module:function of your own")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise FitError(
            f"scorer {name!r} cannot be imported: {error}. The module must be installed, or its folder in PYTHONPATH."
        ) from None
    return as_scorer(found() if inspect.isclass(found) else found)


def default_scorer(generator: Generator) -> str:
    """The name of the bundled scorer where it was made for this generator's pictures, else ""."""
    made_for = bundled_path(HEADS) is not None and generator.fingerprint in _heads("cpu").generators
    return HEADS if made_for else ""


def as_scorer(given: Any) -> Scorer:
    """`given` as a checked scorer. Raises FitError when it is none or names are no names."""
    if not callable(given):
        raise FitError(f"a scorer is called with pictures; {type(given).__name__} cannot be called")
    scorer: Scorer = FunctionScorer(given) if not hasattr(given, "names") else given
    names = list(scorer.names)
    if not 1 <= len(names) <= MAX_ATTRIBUTES:
        raise FitError(f"the scorer has {len(names)} names; wanted 1 to {MAX_ATTRIBUTES}")
    try:
        for name in names:
            check_text(name, "attribute", MAX_NAME)
        check_unique("attribute", names)
    except EiganError as error:
        raise FitError(f"the scorer's names cannot be used: {error}") from None
    return scorer


def score(scorer: Scorer, pictures: Pictures) -> Numbers:
    """(N, A), float64, checked. Raises FitError when the scorer gives another shape or numbers that are not finite."""
    found = _numbers(scorer(pictures))
    wanted = (len(pictures), len(scorer.names))
    if found.shape != wanted or not np.isfinite(found).all():
        raise FitError(f"the scorer gave numbers of shape {found.shape}; wanted {wanted}, all of them finite")
    return found


def _numbers(found: Any) -> Numbers:
    if isinstance(found, Tensor):
        found = found.detach().cpu().numpy()
    try:
        return np.asarray(found, np.float64)
    except (TypeError, ValueError):
        raise FitError(f"the scorer gave {type(found).__name__}; wanted numbers") from None


@cache
def _heads(device: str) -> HeadsAttributes:
    return HeadsAttributes.load(device)
