"""What the families' checks share: every tensor of an `expected` file is compared, or taken as input, by its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eigan.checkpoint import Checkpoint
from eigan.generators.base import Generator, State
from eigan.generators.style_based import StyleBasedGenerator
from tests.parity.folders import expected

USUAL_IMAGE = re.compile(r"image\.(?:wplus|psi\d+(?:\.\d+)?(?:\.(?:cdense|cut\d+|nonoise))*)(?:\.sub\d|\.crop)?")
SUBSAMPLED = re.compile(r"\.(?:sub(\d)|(crop))$")


class Expected:
    """The official outputs of one folder. Tensors that were never asked for are left over, which fails the test."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tensors, self.meta = expected(folder)
        self.used: set[str] = set()

    @property
    def checkpoint(self) -> Path:
        """The checkpoint in its native format."""
        return self.folder / self.meta.get("checkpoint", "network.pkl")

    def load(self) -> Generator:
        return Checkpoint.open(self.checkpoint).build()

    def __getitem__(self, name: str) -> Tensor:
        """An input (z, c, wplus, ...)."""
        self.used.add(name)
        return self.tensors[name]

    def get(self, name: str) -> Tensor | None:
        return self[name] if name in self.tensors else None

    def names(self, prefix: str) -> list[str]:
        return [name for name in self.tensors if name == prefix or name.startswith(f"{prefix}.")]

    def compare(self, name: str, actual: Tensor, kind: str) -> None:
        """Compare `actual`, subsampled as the name says, under the tolerance called `kind`."""
        self.used.add(name)
        if match := SUBSAMPLED.search(name):
            step = int(match[1]) if match[1] else 0
            actual = actual[:, :, ::step, ::step] if step else actual[:, :, 100:164, 200:264]
        tolerance = self.meta["tolerances"][kind]
        wanted = self.tensors[name]
        torch.testing.assert_close(
            actual, wanted, atol=tolerance["atol"], rtol=tolerance["rtol"], msg=lambda m: f"{name}: {m}"
        )

    @property
    def left_over(self) -> list[str]:
        return sorted(self.tensors.keys() - self.used)


@contextmanager
def output_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Gathers what `module` puts out within."""
    found: list[Tensor] = []
    handle = module.register_forward_hook(
        lambda module, args, output: found.append(output.features if isinstance(output, State) else output)
    )
    try:
        yield found
    finally:
        handle.remove()


def settings_of(name: str) -> dict[str, Any]:
    """truncation_psi and truncation_cutoff that a tensor's name spells ("w.psi0.7.cut4")."""
    psi, cut = re.search(r"psi(\d+(?:\.\d+)?)", name), re.search(r"\.cut(\d+)", name)
    return {"truncation_psi": float(psi[1]) if psi else 1.0, "truncation_cutoff": int(cut[1]) if cut else None}


def mapped(case: Expected, generator: Generator, name: str) -> Tensor:
    """Codes under the settings in `name`; soft labels when it says so."""
    c = case.get("c.dense" if "cdense" in name else "c")
    return generator.mapping(case["z"], c, **settings_of(name))


def check_style_based(
    case: Expected, *, w_names: str = "w", feature_module: str | None = None, generator: Generator | None = None
) -> StyleBasedGenerator:
    """Codes, pictures and one feature map of a w-space family, for every name of the usual spelling."""
    generator = generator or case.load()
    assert isinstance(generator, StyleBasedGenerator)
    for name in case.names(w_names):
        case.compare(name, mapped(case, generator, name), "w")
    for name in case.names("image"):
        if not USUAL_IMAGE.fullmatch(name):
            continue  # the family's own
        codes = case["wplus"] if "wplus" in name else mapped(case, generator, name)
        image = generator.synthesis(codes, noise_mode="none" if "nonoise" in name else "const")
        case.compare(name, image, "image")
    for name in case.names("feature"):
        assert feature_module is not None
        with output_of(generator.get_submodule(feature_module)) as found:
            generator.synthesis(mapped(case, generator, name))
        case.compare(name, found[0], "feature")
    return generator
