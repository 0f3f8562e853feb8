"""FastGAN: the official names and numbers, noise that stays, gates, classes."""

from __future__ import annotations

import copy

import pytest
import torch

from eigan.errors import InvalidCodes
from eigan.generators.fastgan import NOISE_SEED, FastGAN, NoiseInjection
from eigan.generators.fastgan_config import FastGANConfig
from eigan.latents import seeded_z
from eigan.layers import LayerRange
from tests.official_fastgan import MULTIPLES
from tests.toys_fastgan import toy_config, toy_fastgan, toy_projected


def picture(generator: FastGAN, seed: int = 1, noise_mode: str = "const") -> torch.Tensor:
    codes = generator.mapping(seeded_z([seed], generator.z_dim), 0 if generator.c_dim else None)
    return generator.synthesis(codes, noise_mode=noise_mode)  # type: ignore[arg-type]


def test_the_512_px_network_has_the_official_number_of_parameters() -> None:
    channels = {r: int(64 * multiple) for r, multiple in MULTIPLES.items() if r <= 512}
    with torch.device("meta"):
        generator = FastGAN(FastGANConfig(z_dim=256, resolution=512, channels=channels))
    assert sum(parameter.numel() for parameter in generator.parameters()) == 29_174_392


def test_names_are_the_official_ones() -> None:
    names = set(toy_fastgan().weights())
    norm = {"weight", "bias", "running_mean", "running_var"}
    assert {n for n in names if n.startswith("feat_8.")} == {
        *(f"feat_8.{place}.weight" for place in (1, 2, 5, 6)),
        *(f"feat_8.{place}.{part}" for place in (3, 7) for part in norm),
    }
    assert {n for n in names if n.startswith("feat_16.")} == {"feat_16.1.weight", *(f"feat_16.2.{n}" for n in norm)}
    assert {"init.init.0.weight", "init.init.1.running_var", "se_64.main.1.weight", "to_128.weight"} <= names
    names = set(toy_projected().weights())
    assert {"embed.weight", "feat_8.noise.weight", "feat_8.bn2.stored_var", "feat_8.bn1.gain.bias"} <= names
    assert "feat_8.bn.bias.weight" in toy_projected(blocks="small").weights()


def test_noise_is_drawn_from_the_documented_seed_and_kept() -> None:
    generator = toy_fastgan()
    first = picture(generator)
    maps = [m.maps for m in generator.modules() if isinstance(m, NoiseInjection)]
    assert len(maps) == 6 and all(set(found) == {0} and found[0].shape[:2] == (1, 1) for found in maps)
    wanted = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(NOISE_SEED + 1))
    assert torch.equal(generator.get_submodule("feat_8.6").maps[0], wanted)  # type: ignore[union-attr, index]
    assert torch.equal(picture(generator), first) and not torch.allclose(picture(generator, noise_mode="none"), first)
    assert not any("maps" in name for name in generator.state_dict())


def test_a_network_made_on_the_meta_device_has_the_same_noise() -> None:
    generator = toy_fastgan()
    with torch.device("meta"):
        twin = FastGAN.from_config(generator.config())
    twin.load_weights(generator.weights(), assign=True)
    assert torch.equal(picture(twin), picture(generator))


def test_noise_first_drawn_in_inference_mode_can_be_trained_through() -> None:
    generator = toy_projected()
    with torch.inference_mode():
        picture(generator)
    codes = generator.mapping(seeded_z([1], generator.z_dim), 0).requires_grad_()
    generator.synthesis(codes).sum().backward()  # type: ignore[no-untyped-call]
    assert codes.grad is not None and codes.grad.abs().sum() > 0


def test_both_calls_of_a_shared_noise_weight_have_their_own_map() -> None:
    generator = toy_projected()
    picture(generator)
    noise = generator.get_submodule("feat_16.noise")
    assert isinstance(noise, NoiseInjection) and not torch.equal(noise.maps[0], noise.maps[1])
    other = toy_fastgan(blocks="big")
    picture(other)  # the same convolution has the same map in every variant
    assert torch.equal(other.get_submodule("feat_16.6").maps[0], noise.maps[1])  # type: ignore[union-attr, index]


def test_a_copy_is_a_generator_of_its_own() -> None:
    generator = toy_fastgan()
    before = picture(generator)
    twin = copy.deepcopy(generator)
    twin.to_big.weight.zero_()
    assert picture(twin).abs().max() == 0 and torch.equal(picture(generator), before)


def test_only_the_official_1024_px_picture_is_bounded() -> None:
    official, projected = toy_fastgan(resolution=1024), toy_fastgan(resolution=1024, variant="projected")
    for generator in (official, projected):
        generator.to_big.weight.mul_(100)
    assert picture(official).abs().max() <= 1 < picture(projected).abs().max()


def test_the_second_picture_is_drawn_from_128_px_at_every_size() -> None:
    for resolution in (64, 128, 256):
        generator = toy_fastgan(resolution=resolution)
        codes = generator.mapping(seeded_z([1], 16))
        side = generator.side_picture(codes)
        assert side.shape == (1, 3, 128, 128) and generator.synthesis(codes).shape[-1] == resolution
        if resolution >= 128:
            features = generator.features(codes, "feat_128")
            assert torch.equal(side, generator.to_128(features))
    with pytest.raises(InvalidCodes, match="no second picture"):
        toy_projected().side_picture(torch.zeros(1, 1, 32))


def test_a_projected_gan_takes_z_at_mean_square_1() -> None:
    generator, z = toy_projected(c_dim=0), torch.randn(3, 16)
    codes = generator.mapping(5 * z)
    torch.testing.assert_close(codes.square().mean(dim=2), torch.ones(3, 1))
    torch.testing.assert_close(codes, generator.mapping(z))
    assert torch.equal(toy_fastgan().mapping(z)[:, 0], z)


def test_codes_hold_the_class_and_soft_labels_mean_the_largest() -> None:
    generator, z = toy_projected(), torch.randn(2, 16)
    codes = generator.mapping(z, torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.0, 0.4]]))
    assert torch.equal(codes[:, 0, 16:], generator.embed.weight[[1, 0]])
    assert generator.code_dim == 32 and {stage.layers for stage in generator.stages[:-1]} == {LayerRange(0, 1)}


def test_without_classes_only_the_first_stage_reads_codes_and_no_gate_is_left_waiting() -> None:
    generator = toy_fastgan(resolution=512)
    assert [stage.name for stage in generator.stages if stage.layers is not None] == ["init"]
    codes = generator.mapping(seeded_z([1], 16))
    state, kept = generator.initial_state(codes, "none"), []
    for stage in generator.stages:
        state = stage(state, codes)
        kept.append(sorted(state.kept))
    early = [f"feat_{r}" for r in (4, 8, 16, 32)]
    assert kept[3] == sorted(early) and kept[-1] == []


def test_style_weights_are_the_first_layer_and_know_nothing_of_the_class() -> None:
    for generator in (toy_fastgan(), toy_projected()):
        weights, z = generator.style_weights(), torch.randn(2, 16)
        wanted = torch.nn.functional.conv_transpose2d(z[:, :, None, None], generator.init.weight).flatten(1)
        torch.testing.assert_close(z @ weights[:16], wanted)
        assert weights.shape == (generator.code_dim, 2 * 16 * 16) and not weights[16:].any()


def test_random_weights_depend_on_the_seed_alone() -> None:
    first, second, other = (FastGAN(toy_config()) for _ in range(3))
    for generator, seed in ((first, 1), (second, 1), (other, 2)):
        generator.initialize(torch.Generator().manual_seed(seed))
    assert first.fingerprint == second.fingerprint != other.fingerprint


def test_random_weights_come_from_the_seed_alone() -> None:
    """Also those of linear layers, which torch fills from its global stream."""
    for make in (toy_fastgan, toy_projected):
        settings = make().settings
        weights = []
        for seed in (1, 2):  # of the global stream
            torch.manual_seed(seed)
            generator = FastGAN(settings)
            generator.initialize(torch.Generator().manual_seed(0))
            weights.append(generator.weights())
        assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
