"""StyleGAN2 in three other code bases' names: read back, it is the same network, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eigan.checkpoint import Checkpoint, recognize
from eigan.dialects import DIALECTS
from eigan.errors import CheckpointError
from eigan.generators.stylegan2 import StyleGAN2
from eigan.latents import seeded_z
from eigan.readers.base import RawCheckpoint
from tests.dialects.stylegan2_exports import Weights, to_genforce, to_rosinality, to_tensorflow, toy

EXPORTS: dict[str, Callable[[StyleGAN2], Weights]] = {
    "stylegan2_tensorflow": to_tensorflow,
    "stylegan2_rosinality": to_rosinality,
    "stylegan2_genforce": to_genforce,
}
SHAPES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {  # name -> (who has it, the toy's options)
    "4px": (("stylegan2_tensorflow", "stylegan2_rosinality"), {"resolution": 4}),
    "8px": ((*EXPORTS,), {"resolution": 8}),
    "32px": ((*EXPORTS,), {"resolution": 32}),
    "one mapping layer": ((*EXPORTS,), {"resolution": 8, "num_mapping_layers": 1}),
    "eight mapping layers": ((*EXPORTS,), {"resolution": 8, "num_mapping_layers": 8}),
    "gray": ((*EXPORTS,), {"resolution": 8, "img_channels": 1}),
    "six taps": ((*EXPORTS,), {"resolution": 16, "taps": (1, 5, 10, 10, 5, 1)}),
    "a lopsided filter": ((*EXPORTS,), {"resolution": 16, "taps": (1, 2, 4, 1)}),
    "orig": (("stylegan2_tensorflow", "stylegan2_genforce"), {"architecture": "orig"}),
    "resnet": (("stylegan2_tensorflow",), {"architecture": "resnet"}),
    "classes": (("stylegan2_tensorflow",), {"c_dim": 3}),
    "joint labels": (("stylegan2_tensorflow", "stylegan2_genforce"), {"c_dim": 4, "z_dim": 9, "joint_labels": True}),
    "wide labels": (("stylegan2_tensorflow",), {"c_dim": 3, "embed_features": 5}),
    "no noise": (("stylegan2_tensorflow",), {"use_noise": False}),
    "z, w and hidden widths differ": (
        ("stylegan2_tensorflow", "stylegan2_genforce"),
        {"z_dim": 7, "w_dim": 10, "layer_features": 9, "num_mapping_layers": 3},
    ),
}
CASES = [(shape, dialect) for shape, (dialects, _) in SHAPES.items() for dialect in dialects]


@cache
def exported(shape: str, dialect: str) -> tuple[StyleGAN2, RawCheckpoint]:
    options = SHAPES[shape][1]
    generator = toy(**options)
    hints = {"static_kwargs.resample_kernel": options["taps"]} if "taps" in options else {}
    if dialect != "stylegan2_tensorflow":
        hints = {"args.size": 99999, "entry": "g_ema"}  # nothing of theirs is relied on
    return generator, RawCheckpoint(EXPORTS[dialect](generator), hints, "a test")


def opened(raw: RawCheckpoint) -> Checkpoint:
    return recognize(raw, "x")


@pytest.mark.parametrize(("shape", "dialect"), CASES)
def test_a_network_comes_back_bit_for_bit(shape: str, dialect: str) -> None:
    generator, raw = exported(shape, dialect)
    before = {name: tensor.clone() for name, tensor in raw.weights.items()}
    twin = opened(raw).build()
    assert twin.fingerprint == generator.fingerprint
    weights = twin.weights()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in generator.weights().items())
    codes = generator.mapping(seeded_z([1, 2], generator.z_dim), 0 if generator.c_dim else None, truncation_psi=0.7)
    assert torch.equal(codes, twin.mapping(seeded_z([1, 2], twin.z_dim), 0 if twin.c_dim else None, truncation_psi=0.7))
    for noise_mode in ("const", "none"):
        assert torch.equal(
            generator.synthesis(codes, noise_mode=noise_mode), twin.synthesis(codes, noise_mode=noise_mode)
        )
    assert all(torch.equal(tensor, before[name]) for name, tensor in raw.weights.items())  # theirs were not changed


@pytest.mark.parametrize("dialect", EXPORTS)
def test_the_three_code_bases_have_one_fingerprint(dialect: str) -> None:
    assert opened(exported("32px", dialect)[1]).build().fingerprint == toy(32).fingerprint


@pytest.mark.parametrize("dialect", EXPORTS)
def test_each_dialect_knows_its_own_alone(dialect: str) -> None:
    raw = exported("32px", dialect)[1]
    claims = [name for name, each in DIALECTS.items() if each.translate(raw) is not None]
    assert claims == [dialect]
    assert all(DIALECTS[dialect].translate(RawCheckpoint(weights, {}, "a test")) is None for weights in FOREIGN)


FOREIGN: list[Weights] = [{}, {"something.else": torch.zeros(1)}, dict(toy(8).weights())]


@pytest.mark.parametrize("dialect", EXPORTS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_missing_weight_is_named(dialect: str, data: st.DataObject) -> None:
    raw = exported("8px", dialect)[1]
    optional = {"latent_avg", "lod"}
    name = data.draw(st.sampled_from(sorted(raw.weights.keys() - optional)))
    weights = {n: t for n, t in raw.weights.items() if n != name}
    with pytest.raises(CheckpointError, match=r"missing|resnet skeleton|is a|c_dim"):
        opened(RawCheckpoint(weights, raw.hints, "a test")).build()


@pytest.mark.parametrize("dialect", EXPORTS)
def test_a_left_over_weight_is_named(dialect: str) -> None:
    raw = exported("32px", dialect)[1]
    for name in ("synthesis.extra.weight", "synthesis/32x32/Extra/weight", "ema.weight"):
        with pytest.raises(CheckpointError, match=rf"unexpected {name}"):
            opened(RawCheckpoint({**raw.weights, name: torch.zeros(1)}, raw.hints, "a test"))


@pytest.mark.parametrize("dialect", EXPORTS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_misshapen_weight_is_told(dialect: str, data: st.DataObject) -> None:
    raw = exported("8px", dialect)[1]
    name = data.draw(st.sampled_from(sorted(raw.weights.keys() - {"lod"})))
    shape = data.draw(st.lists(st.integers(0, 3), max_size=5).filter(lambda s: s != list(raw.weights[name].shape)))
    changed = torch.zeros(shape)
    with pytest.raises(CheckpointError):
        opened(RawCheckpoint({**raw.weights, name: changed}, raw.hints, "a test")).build()


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        ("stylegan2_tensorflow", "mapping/Dense99999999/weight"),
        ("stylegan2_tensorflow", "synthesis/9999999x9999999/Conv1/bias"),
        ("stylegan2_tensorflow", "synthesis/12x12/Conv1/bias"),
        ("stylegan2_rosinality", "convs.999999999999999.noise.weight"),
        ("stylegan2_rosinality", "style.70.weight"),
        ("stylegan2_genforce", "synthesis.layer99999999.weight"),
        ("stylegan2_genforce", "mapping.dense1000.weight"),
    ],
)
def test_nobody_counts_up_to_an_absurd_number(dialect: str, name: str) -> None:
    raw = exported("32px", dialect)[1]
    with pytest.raises(CheckpointError, match=r"at most|power of two|unexpected"):
        opened(RawCheckpoint({**raw.weights, name: torch.zeros(1)}, raw.hints, "a test"))
