"""Generator families. ARCHITECTURES is the only place that lists them."""

from __future__ import annotations

from eigan.generators.base import Generator
from eigan.generators.biggan import BigGAN
from eigan.generators.fastgan import FastGAN
from eigan.generators.pggan import PGGAN
from eigan.generators.stylegan import StyleGAN
from eigan.generators.stylegan2 import StyleGAN2
from eigan.generators.stylegan3 import StyleGAN3

ARCHITECTURES: dict[str, type[Generator]] = {
    "biggan": BigGAN,
    "fastgan": FastGAN,
    "pggan": PGGAN,
    "stylegan": StyleGAN,
    "stylegan2": StyleGAN2,
    "stylegan3": StyleGAN3,
}
