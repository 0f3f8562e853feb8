"""Feature networks: the spaces that drift and Fréchet distances are measured in.

"heads-attributes" is bundled, small, works offline and says what it is by its name. "inception" is the network of the
Fréchet Inception Distance (Heusel et al., NeurIPS 2017, arXiv:1706.08500), from torch-fidelity or pytorch-fid where
one is installed: only with it a Fréchet distance is an FID.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from eigan.errors import FitError, UnknownName
from eigan.generators.base import iterate_batches
from eigan.render import Pictures
from hub_export.evaluation.scorers import HEADS, Numbers, find_scorer

INCEPTION = "inception"
FEATURE_NAMES = (HEADS, INCEPTION)
BATCH = 32
Forward = Callable[[Tensor], Tensor]  # uint8 (N, 3, H, W) -> (N, 2048)


@runtime_checkable
class FeatureNetwork(Protocol):
    """pictures (N, H, W, 3), uint8 -> (N, F), float64. name: how results measured with it are labelled."""

    @property
    def name(self) -> str: ...

    def features(self, pictures: Pictures) -> Numbers: ...


class Inception:
    """The last pooling layer, 2048 numbers, of the Inception network that FID is defined with."""

    name = INCEPTION

    def __init__(self, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.package, self._forward = _find_inception(self.device)

    def features(self, pictures: Pictures) -> Numbers:
        found = [np.zeros((0, 2048))]
        with torch.inference_mode():
            for rows in iterate_batches(len(pictures), BATCH):
                images = torch.from_numpy(pictures[rows]).to(self.device).permute(0, 3, 1, 2).contiguous()
                found.append(self._forward(images).cpu().double().numpy())
        return np.concatenate(found)


def find_features(name: str, device: torch.device | str = "cpu") -> FeatureNetwork:
    """The feature network called `name`.

    Nothing is downloaded but what the Inception package itself fetches when it was asked for and lacks its weights.

    Raises:
        UnknownName: there is none of that name. FitError: no Inception package, or its weights cannot be had.
    """
    if name == HEADS:
        found = find_scorer(HEADS, device)
        if isinstance(found, FeatureNetwork):
            return found
    if name == INCEPTION:
        return Inception(device)
    raise UnknownName(f"unknown feature network {name!r}; known: {', '.join(FEATURE_NAMES)}")


def _find_inception(device: torch.device) -> tuple[str, Forward]:
    """The first package that has the network, and the function that gives its features."""
    for package, open_network in (("torch_fidelity", _torch_fidelity), ("pytorch_fid", _pytorch_fid)):
        try:
            importlib.import_module(package)
        except ImportError:
            continue
        try:
            return package, open_network(device)
        except (OSError, RuntimeError, ImportError, AttributeError, TypeError) as error:
            raise FitError(
                f"{package} is installed, but its Inception network cannot be opened ({str(error).splitlines()[0]}). "
                f"Bring its weights to this machine, or use --features {HEADS}."
            ) from None
    raise FitError(
        "no package with the Inception network of FID is installed; pip install torch-fidelity (or pytorch-fid), "
        f"or use --features {HEADS}, whose distances are not FID"
    )


def _torch_fidelity(device: torch.device) -> Forward:
    module: Any = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).to(device).eval()

    def forward(images: Tensor) -> Tensor:
        found: Tensor = network(images)[0]
        return found.flatten(1)

    return forward


def _pytorch_fid(device: torch.device) -> Forward:
    kind: Any = importlib.import_module("pytorch_fid.inception").InceptionV3
    network = kind([kind.BLOCK_INDEX_BY_DIM[2048]]).to(device).eval()

    def forward(images: Tensor) -> Tensor:
        found: Tensor = network(images.float() / 255)[0]
        return found.flatten(1)

    return forward
