"""PGGAN in genforce's and pytorch_GAN_zoo's files against the official code."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from eigan.generators.pggan import PGGAN
from hub_export.methods.sefa import factorize
from tests.parity.check import Expected

ZOO_LAYER = re.compile(r"(formatLayer)|groupScale0\.(0)|scaleLayers\.(\d+)\.([01])")
EDIT = re.compile(r"sefa\.all\.sem(\d+)\.d(-?\d+)\.code")


def check(case: Expected) -> None:
    generator = case.load()
    assert isinstance(generator, PGGAN)
    z, c = case["z"], case.get("c")
    if generator.c_dim and c is None:  # pytorch_GAN_zoo's latent vectors end in the class
        z, c = z.split([generator.z_dim, generator.c_dim], dim=1)
    codes = generator.mapping(z, c)
    case.compare("image", generator.synthesis(codes), "image")
    for name in case.names("feature"):
        case.compare(name, feature(generator, codes, case.meta["feature_layer"]), "feature")
    for name in case.names("image.netG"):
        case.used.add(name)  # of the raw generator that lies beside the averaged one; the reader takes the average
    if "sefa.all.boundaries" in case.tensors:
        check_sefa(case, generator, codes)


def feature(generator: PGGAN, codes: Tensor, official: str) -> Tensor:
    """The official layer's output. pytorch_GAN_zoo's is taken before leaky ReLU, which can be undone."""
    match = ZOO_LAYER.fullmatch(official)
    if match is None:
        return generator.features(codes, official)
    first, _, scale, half = match.groups()
    index = 2 + 2 * int(scale) + int(half) if scale else int(not first)
    y = generator.features(codes, f"layer{index}")
    return torch.where(y < 0, y / generator.settings.lrelu_slope, y)


def check_sefa(case: Expected, generator: PGGAN, codes: Tensor) -> None:
    """Eigenvalues, eigenvectors, and pictures of codes moved along our vectors.

    The official vectors come in no order and with either sign; ours are brought to theirs.
    """
    official = case["sefa.all.boundaries"]
    vectors, values = factorize(generator.style_weights(), len(official))
    order = case.tensors["sefa.all.values"].argsort(descending=True)
    as_theirs, values_as_theirs = torch.empty_like(official), torch.empty(len(values))
    signs = (vectors.float() * official[order]).sum(dim=1).sign()
    as_theirs[order], values_as_theirs[order] = signs[:, None] * vectors.float(), values.float()
    case.compare("sefa.all.values", values_as_theirs, "w")
    gaps = (values_as_theirs[:, None] - values_as_theirs).abs().fill_diagonal_(torch.inf).amin(dim=1)
    apart = gaps > 0.01 * values_as_theirs.max()
    assert apart.sum() >= 3
    torch.testing.assert_close(as_theirs[apart], official[apart], atol=2e-5, rtol=2e-5)
    for name in case.names("sefa"):
        if match := EDIT.fullmatch(name):
            assert apart[int(match[1])]
            moved = codes + float(match[2]) * as_theirs[int(match[1])]
            case.compare(name, moved[:, 0], "w")
            case.compare(f"image.{name.removesuffix('.code')}", generator.synthesis(moved), "image")
