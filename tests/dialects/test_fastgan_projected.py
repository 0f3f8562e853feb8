"""projected-gan's FastGAN: names, classes, and what 128 px networks carry along unused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from eigan.checkpoint import recognize
from eigan.dialects.fastgan_projected import DIALECT
from eigan.errors import CheckpointError
from eigan.generators.fastgan import FastGAN
from eigan.readers.base import Hint, RawCheckpoint
from tests.official_fastgan import FastganSynthesis, Generator, trained
from tests.toys_fastgan import toy_projected


def built(weights: dict[str, Tensor], **hints: Hint) -> FastGAN:
    generator = recognize(RawCheckpoint(weights, hints, "nvidia"), "network.pkl").build()
    assert isinstance(generator, FastGAN)
    return generator


@pytest.mark.parametrize("blocks", ["alternate", "big", "small"])
@pytest.mark.parametrize("resolution", [128, 256])
def test_it_draws_what_the_official_modules_draw(resolution: int, blocks: str) -> None:
    network, z = trained(FastganSynthesis(resolution, blocks=blocks, official=False)), torch.randn(2, 12)
    generator = built(Generator(network).state_dict(), img_resolution=resolution, z_dim=12)  # type: ignore[arg-type]
    assert (generator.resolution, generator.settings.blocks) == (resolution, blocks)
    image = generator.synthesis(generator.mapping(z), noise_mode="none")
    torch.testing.assert_close(image, network(z), atol=2e-5, rtol=2e-5)


def test_at_1024_there_is_no_tanh() -> None:
    network, z = trained(FastganSynthesis(1024, blocks="small", official=False)), torch.randn(1, 12)
    generator = built({f"synthesis.{name}": tensor for name, tensor in network.state_dict().items()})
    image = generator.synthesis(generator.mapping(z), noise_mode="none")
    torch.testing.assert_close(image, network(z), atol=2e-5, rtol=2e-5)


def conditional(rows: int = 10) -> tuple[FastGAN, dict[str, Tensor]]:
    """A toy with classes, and its weights as projected-gan keeps them: spectral norm of 1, spare embeddings."""
    toy = toy_projected()
    weights = {}
    for name, tensor in toy.weights().items():
        if tensor.ndim == 1 or name == "embed.weight":
            weights[f"synthesis.{name}"] = tensor
            continue
        matrix = (tensor.transpose(0, 1) if name.startswith("init") else tensor).flatten(1)
        u, v = torch.ones(len(matrix)), matrix.t() @ torch.ones(len(matrix))
        vectors = {"orig": tensor, "u": u, "v": v / v.square().sum()}
        weights |= {f"synthesis.{name}_{part}": vector for part, vector in vectors.items()}
    spare = torch.ones(rows - toy.c_dim, toy.z_dim)
    weights["synthesis.embed.weight"] = torch.cat([weights["synthesis.embed.weight"], spare])
    return toy, weights


def test_the_file_says_how_many_classes_there_are() -> None:
    toy, weights = conditional()
    generator = built(weights, c_dim=3)
    assert generator.c_dim == 3
    z = torch.randn(2, toy.z_dim)
    expected, actual = (g.synthesis(g.mapping(z, torch.eye(3)[:2])) for g in (toy, generator))
    torch.testing.assert_close(actual, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("stated", [None, 0, True, "3"])
def test_without_such_a_statement_every_embedding_is_a_class(stated: Hint) -> None:
    assert built(conditional()[1], c_dim=stated).c_dim == 10


def test_more_classes_than_embeddings_are_refused() -> None:
    with pytest.raises(CheckpointError, match="c_dim is 11; its weights have 10"):
        built(conditional()[1], c_dim=11)


def test_statements_that_the_weights_deny_are_refused() -> None:
    weights = Generator(trained(FastganSynthesis(128, official=False))).state_dict()  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="img_resolution is 256; its weights say 128"):
        built(weights, img_resolution=256)


def test_names_that_would_coincide_are_refused() -> None:
    weights = Generator(trained(FastganSynthesis(128, official=False))).state_dict()  # type: ignore[arg-type]
    weights["to_big.bias"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r"is the second to_big\.bias of a projected FastGAN"):
        built(weights)


def test_weights_of_others_are_not_this_dialects() -> None:
    for name in ("synthesis.b4.const", "init.init.0.weight_orig", "synthesis.init.init.0.weight"):
        assert DIALECT.translate(RawCheckpoint({name: torch.zeros(1)}, {}, "nvidia")) is None


def test_incomplete_weights_are_told_by_name() -> None:
    for missing in ("synthesis.to_big.weight_orig", "synthesis.feat_128.1.weight_orig"):
        weights = Generator(trained(FastganSynthesis(128, official=False))).state_dict()  # type: ignore[arg-type]
        del weights[missing]
        with pytest.raises(CheckpointError, match=r"to_big\.weight|feat_128\.1"):
            built(weights)
