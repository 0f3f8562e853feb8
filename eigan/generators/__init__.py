"""Generator families. ARCHITECTURES is the only place that lists them."""

from __future__ import annotations

from eigan.generators.base import Generator
from eigan.generators.stylegan2 import StyleGAN2

ARCHITECTURES: dict[str, type[Generator]] = {
    "stylegan2": StyleGAN2,
}
