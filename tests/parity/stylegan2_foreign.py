"""StyleGAN2 in the files of rosinality/stylegan2-pytorch and genforce against their own code."""

from __future__ import annotations

import re

import torch
from safetensors.torch import load_file
from torch import Tensor

from eigan.checkpoint import Checkpoint, recognize
from eigan.generators.style_based import StyleBasedGenerator
from eigan.generators.stylegan2 import StyledConv, StyleGAN2, SynthesisBlock
from eigan.readers.base import RawCheckpoint
from hub_export.methods.sefa import factorize
from tests.parity.check import Expected, check_style_based
from tests.parity.sefa import check_sefa

FACTOR = re.compile(r"w\.factor(?P<row>\d+)\.deg(?P<step>-?\d+)")
MIX = re.compile(r"image\.mix(?P<rows>\d+)\.psi(?P<psi>[\d.]+)")
SEFA_TRUNCATED = 8  # rows
MADE_UP = {"noise": ".noise_const", "w_avg": ".w_avg"}  # the dialect's note in the origin -> the weights it means


def conv_name(layer: int) -> str:
    """Our name of the convolution that reads row `layer` of the codes."""
    resolution = 4 * 2 ** ((layer + 1) // 2)
    return f"blocks.b{resolution}.conv{0 if layer % 2 else 1}"


def convolutions(generator: StyleGAN2) -> list[StyledConv]:
    """In the order of the codes' rows."""
    blocks = [block for block in generator.blocks.values() if isinstance(block, SynthesisBlock)]
    return [conv for block in blocks for conv in block.convolutions]


def check_rosinality(case: Expected) -> None:
    layer = case.meta["feature_layer"]  # convs.3 reads row 4
    feature_module = conv_name(0 if layer == "conv1" else int(layer.removeprefix("convs.")) + 1)
    generator = load(case)
    check_style_based(case, w_names="codes: none here", feature_module=feature_module, generator=generator)
    w = generator.map_to_w(case["z"])
    if "latent_avg" in case.tensors:
        case.compare("latent_avg", generator.w_avg, "w")
    for name in [*case.tensors]:
        if match := FACTOR.fullmatch(name):
            moved = w + float(match["step"]) * case["factor.eigvec"][:, int(match["row"])]
            case.compare(name, moved, "w")
            psi = 0.7
            image = f"image.{name.removeprefix('w.')}.psi{psi}"
            case.compare(image, generator.synthesis(broadcast(generator, moved, psi)), "image")
        elif name.startswith("w.psi"):
            case.compare(name, broadcast(generator, w, float(name.removeprefix("w.psi")))[:, 0], "w")
        elif match := MIX.fullmatch(name):
            rows, psi = int(match["rows"]), float(match["psi"])
            first, second = (broadcast(generator, generator.map_to_w(case[z]), psi) for z in ("z", "z2"))
            mixed = torch.cat([first[:, :rows], second[:, rows:]], dim=1)
            case.compare(name, generator.synthesis(mixed), "image")
    if "factor.eigvec" in case.tensors:
        check_factor(case, generator)


def broadcast(generator: StyleBasedGenerator, w: Tensor, psi: float) -> Tensor:
    return generator.truncate(w[:, None].repeat(1, generator.num_layers, 1), psi)


def check_factor(case: Expected, generator: StyleGAN2) -> None:
    """Its columns are SeFa's directions of raw weights: of every convolution's style, and of the first toRGB's."""
    torgb = generator.blocks["b4"].torgb
    affines = [*(conv.affine for conv in convolutions(generator)), torgb.affine]  # type: ignore[union-attr]
    weights = torch.cat([affine.weight.t() for affine in affines], dim=1)  # type: ignore[operator, union-attr]
    official = case["factor.eigvec"].t().double()
    vectors, values = factorize(weights, len(official), normalize="none")
    gaps = torch.nn.functional.pad(values[:-1] - values[1:], (1, 1), value=torch.inf)
    apart = torch.minimum(gaps[:-1], gaps[1:]) > 1e-3 * values[0]
    assert apart.sum() >= 3
    likeness = (vectors * official).sum(dim=1).abs()[apart]
    torch.testing.assert_close(likeness, torch.ones_like(likeness), atol=1e-5, rtol=0.0)


def check_genforce(case: Expected) -> None:
    feature_module = conv_name(int(case.meta["feature_layer"].removeprefix("synthesis.layer")))
    generator = load(case)
    check_style_based(case, w_names="wp", feature_module=feature_module, generator=generator)
    case.compare("w", generator.map_to_w(case["z"]), "w")
    for name in case.tensors:
        if match := re.fullmatch(r"style(\d+)\.wplus", name):
            layer = int(match[1])
            case.compare(name, convolutions(generator)[layer].affine(case["wplus"][:, layer]), "w")
    cutoff = min(SEFA_TRUNCATED, generator.num_layers)
    check_sefa(case, generator, generator.mapping(case["z"], truncation_psi=0.7, truncation_cutoff=cutoff))


def load(case: Expected) -> StyleGAN2:
    """The generator of the native file. It must be what lies beside it as a bare state dict.

    What the dialect had to make up for (noise maps, the average w) is taken from there, where the official code did.
    """
    checkpoint = Checkpoint.open(case.checkpoint)
    generator = checkpoint.build()
    assert isinstance(generator, StyleGAN2)
    weights = dict(generator.weights())
    made_up = tuple(ending for note, ending in MADE_UP.items() if note in checkpoint.origin)
    bare = case.folder / "generator.safetensors"
    if bare.is_file():
        twin = recognize(RawCheckpoint(load_file(bare), {}, "torch"), str(bare)).weights
        assert weights.keys() == twin.keys()
        for name, tensor in twin.items():
            if name.endswith(made_up):
                weights[name] = tensor
            assert torch.equal(weights[name], tensor), name
    if "mapping.w_avg".endswith(made_up) and "latent_avg" in case.tensors:
        weights["mapping.w_avg"] = case["latent_avg"]
    generator.load_weights(weights, assign=True)
    return generator
