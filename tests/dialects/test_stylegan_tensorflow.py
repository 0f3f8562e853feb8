"""Official StyleGAN pickles: there is no official output for this one, so a toy is written in TensorFlow's names.

The way out (`exported`) is written from the names and shapes in NVlabs/stylegan's `training/networks_stylegan.py`, by
another table than the way in. What nobody checks here is that this table is right; genforce's converter has the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from eigan.checkpoint import Checkpoint, recognize
from eigan.dialects.stylegan_tensorflow import translate
from eigan.errors import CheckpointError
from eigan.generators.stylegan import StyleGAN
from eigan.readers.base import RawCheckpoint
from tests.readers.makers import GlobalName, dumps
from tests.toys_stylegan import toy_stylegan

SCOPES = ["4x4/Const", "4x4/Conv", "8x8/Conv0_up", "8x8/Conv1", "16x16/Conv0_up", "16x16/Conv1"]


def exported(generator: StyleGAN) -> dict[str, Tensor]:
    """The toy's weights as the variables of Gs."""
    ours = generator.weights()
    theirs = {"lod": ours["synthesis.lod"], "dlatent_avg": ours["truncation.w_avg"]}
    if generator.c_dim:
        theirs["mapping/LabelConcat/weight"] = ours["mapping.label_weight"]
    for i in range(generator.settings.num_mapping_layers):
        theirs[f"mapping/Dense{i}/weight"] = ours[f"mapping.dense{i}.weight"].t()
        theirs[f"mapping/Dense{i}/bias"] = ours[f"mapping.dense{i}.bias"]
    theirs["synthesis/lod"] = torch.tensor(7.0)  # what synthesis was last run with; Gs's own counts
    for i, scope in enumerate(SCOPES):
        layer = f"synthesis.layer{i}."
        first = ("const", ours[f"{layer}const"]) if i == 0 else ("weight", ours[f"{layer}weight"].permute(2, 3, 1, 0))
        theirs[f"synthesis/{scope}/{first[0]}"] = first[1]
        theirs[f"synthesis/{scope}/bias"] = ours[f"{layer}bias"]
        theirs[f"synthesis/{scope}/StyleMod/weight"] = ours[f"{layer}style.weight"].t()
        theirs[f"synthesis/{scope}/StyleMod/bias"] = ours[f"{layer}style.bias"]
        if generator.settings.use_noise:
            theirs[f"synthesis/{scope}/Noise/weight"] = ours[f"{layer}apply_noise.weight"]
            theirs[f"synthesis/noise{i}"] = ours[f"{layer}apply_noise.noise"]
    for block in range(3):
        if f"synthesis.output{block}.weight" in ours:
            weight = ours[f"synthesis.output{block}.weight"].permute(2, 3, 1, 0)
            theirs[f"synthesis/ToRGB_lod{2 - block}/weight"] = weight
            theirs[f"synthesis/ToRGB_lod{2 - block}/bias"] = ours[f"synthesis.output{block}.bias"]
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in theirs.items()}


class Network:
    """Pickles as a dnnlib.tflib.network.Network of NVlabs/stylegan."""

    def __init__(self, name: str, weights: dict[str, Tensor], static_kwargs: dict[str, Any], **components: Network):
        self.state = {
            "version": 3,
            "name": name,
            "static_kwargs": static_kwargs,
            "components": components,
            "build_module_src": "raise SystemExit('run')",
            "build_func_name": name,
            "variables": [(n, tensor.numpy()) for n, tensor in weights.items()],
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return GlobalName("dnnlib.tflib.network", "Network"), (), self.state


def network(generator: StyleGAN, name: str, **static_kwargs: Any) -> Network:
    """Gs with its two components."""
    parts: dict[str, dict[str, Tensor]] = {"": {}, "mapping": {}, "synthesis": {}}
    for variable, tensor in exported(generator).items():
        component, slash, rest = variable.partition("/")
        parts[component if slash else ""][rest or variable] = tensor
    components = {part: Network(f"G_{part}", parts[part], static_kwargs) for part in ("mapping", "synthesis")}
    return Network(name, parts[""], static_kwargs, **components)


def raw(weights: dict[str, Tensor], **arguments: Any) -> RawCheckpoint:
    hints = {f"{owner}static_kwargs.{n}": v for n, v in arguments.items() for owner in ("", "mapping.", "synthesis.")}
    return RawCheckpoint(weights, hints, "tensorflow", source={"file": "karras2019stylegan-toy-16x16.pkl"})


def assert_same(checkpoint: Checkpoint, generator: StyleGAN) -> None:
    again = checkpoint.build()
    assert checkpoint.architecture == "stylegan" and checkpoint.config == generator.config()
    assert again.fingerprint == generator.fingerprint
    codes = generator.mapping(torch.randn(2, 8), 1 if generator.c_dim else None, truncation_psi=0.7)
    assert torch.equal(generator.synthesis(codes), again.synthesis(codes))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"c_dim": 3},
        {"use_noise": False},
        {"img_channels": 1},
        {"num_mapping_layers": 1, "layer_features": 0},
        {"fused_scale": True},
        {"fused_scale": False, "mapping_lr_multiplier": 0.02},
        {"progressive": False},
        {"lod": 1.25},
    ],
    ids=str,
)
def test_the_way_there_and_back_keeps_fingerprint_and_pixels(settings: dict[str, Any]) -> None:
    generator = toy_stylegan(**settings)
    arguments = {
        "resolution": 16,
        "num_channels": generator.settings.img_channels,
        "label_size": generator.c_dim,
        "fused_scale": generator.settings.fused_scale,
        "mapping_lrmul": generator.settings.mapping_lr_multiplier,
        "truncation_psi": 0.5,
    }
    checkpoint = recognize(raw(exported(generator), **arguments), "toy")
    assert checkpoint.container == "tensorflow"
    assert checkpoint.origin == {"file": "karras2019stylegan-toy-16x16.pkl"}
    assert_same(checkpoint, generator)


def test_a_pickle_of_three_networks_is_opened(tmp_path: Path) -> None:
    arguments = {"num_channels": 3, "resolution": 16, "label_size": 0, "fused_scale": True, "blur_filter": [1, 2, 1]}
    networks = tuple(network(toy_stylegan(seed, fused_scale=True), n, **arguments) for seed, n in enumerate("GDs"))
    path = tmp_path / "karras2019stylegan-toy-16x16.pkl"
    path.write_bytes(dumps(networks, protocol=2))
    assert_same(Checkpoint.open(path), toy_stylegan(2, fused_scale=True))


def test_a_file_that_states_nothing_is_an_official_one() -> None:
    assert_same(recognize(raw(exported(toy_stylegan())), "toy"), toy_stylegan())


def test_names_as_listings_print_them_are_taken() -> None:
    weights = {
        name.replace("mapping/", "Gs/G_mapping/").replace("synthesis/", "G_synthesis/"): tensor
        for name, tensor in exported(toy_stylegan()).items()
    }
    weights["Gs/dlatent_avg"], weights["Gs/lod"] = weights.pop("dlatent_avg"), weights.pop("lod")
    assert_same(recognize(raw(weights), "toy"), toy_stylegan())


def test_networks_that_do_not_grow_are_drawn_in_full() -> None:
    weights = exported(toy_stylegan(progressive=False)) | {"lod": torch.tensor(2.0)}
    found = recognize(raw(weights, structure="fixed"), "toy")
    assert_same(found, toy_stylegan(progressive=False))
    with pytest.raises(CheckpointError, match="lod is 2; this StyleGAN draws at 0 to 0"):
        recognize(raw(weights), "toy")


def test_the_level_of_detail_of_synthesis_counts_where_gs_has_none() -> None:
    weights = exported(toy_stylegan(lod=1.0)) | {"synthesis/lod": torch.tensor(1.0)}
    del weights["lod"]
    assert_same(recognize(raw(weights), "toy"), toy_stylegan(lod=1.0))
    del weights["synthesis/lod"]
    assert_same(recognize(raw(weights), "toy"), toy_stylegan())


def test_the_blur_filter_of_the_file_is_used() -> None:
    translated = translate(raw(exported(toy_stylegan()), blur_filter=(1, 1, 2)))
    assert translated is not None
    kernel = translated.weights["synthesis.layer2.blur.kernel"]
    assert kernel.shape == (12, 1, 3, 3)
    torch.testing.assert_close(kernel[0, 0], torch.tensor([[1.0, 1, 2], [1, 1, 2], [2, 2, 4]]) / 16)


def test_the_weights_given_are_not_changed_and_not_shared_twice() -> None:
    weights = exported(toy_stylegan())
    before = {name: tensor.clone() for name, tensor in weights.items()}
    translated = translate(raw(weights))
    assert translated is not None
    assert all(torch.equal(weights[name], before[name]) for name in before)
    pointers = [tensor.data_ptr() for tensor in translated.weights.values()]
    assert len(set(pointers)) == len(pointers)


def test_other_networks_are_left_alone() -> None:
    for name in ("synthesis/4x4/Const/const", "synthesis/4x4/Conv/mod_weight", "4x4/Dense/bias", "synthesis.lod"):
        assert translate(raw({name: torch.zeros(1)})) is None


@pytest.mark.parametrize(
    ("removed", "added", "arguments", "message"),
    [
        ("synthesis/8x8/Conv1/weight", {}, {}, "missing synthesis/8x8/Conv1/weight"),
        ("synthesis/4x4/Const/const", {}, {}, "missing synthesis/4x4/Const/const"),
        ("synthesis/ToRGB_lod0/bias", {}, {}, "missing synthesis/ToRGB_lod0/bias"),
        ("synthesis/noise3", {}, {}, "missing synthesis/noise3"),
        ("dlatent_avg", {}, {}, "missing dlatent_avg"),
        ("mapping/Dense0/bias", {}, {}, "missing mapping/Dense0/bias"),
        ("", {"synthesis/4x4/Conv0_up/weight": (3, 3, 12, 12)}, {}, "unexpected synthesis/4x4/Conv0_up/weight"),
        ("", {"synthesis/8x16/Conv1/weight": (3, 3, 12, 12)}, {}, "unexpected synthesis/8x16/Conv1/weight"),
        ("", {"synthesis/ToRGB_lod5/weight": (1, 1, 12, 3)}, {}, "unexpected synthesis/ToRGB_lod5/weight"),
        ("", {"synthesis/1048576x1048576/Conv1/weight": (1,)}, {}, "1048576px"),
        ("", {"synthesis/24x24/Conv1/weight": (1,)}, {}, "24px"),
        ("", {"mapping/Dense999999/weight": (1, 1)}, {}, "999999"),
        ("", {"G_synthesis/lod": ()}, {}, "is the second synthesis/lod of"),
        ("", {"synthesis/4x4/Dense/bias": (12,)}, {}, "dense layer"),
        ("", {"lod": (2,)}, {}, "lod has shape"),
        ("", {"synthesis/8x8/Conv1/weight": (12, 12)}, {}, "Conv1/weight has shape"),
        ("", {"mapping/Dense2/weight": (9, 60), "mapping/Dense2/bias": (60,)}, {}, "one w for all layers"),
        ("", {}, {"resolution": 1024}, "resolution is 1024; its weights say 16"),
        ("", {}, {"label_size": 10}, "label_size is 10"),
        ("", {}, {"mapping_layers": 8}, "mapping_layers is 8"),
        ("", {}, {"use_styles": False}, "use_styles is False"),
        ("", {}, {"use_pixel_norm": True}, "use_pixel_norm is True"),
        ("", {}, {"use_wscale": False}, "use_wscale"),
        ("", {}, {"nonlinearity": "relu"}, "lrelu"),
        ("", {}, {"fused_scale": "<dict>"}, "fused_scale"),
        ("", {}, {"mapping_lrmul": -1.0}, "lr_multiplier"),
        ("", {}, {"blur_filter": None}, "blur_filter"),
        ("", {}, {"blur_filter": (1, 3, 3, 1)}, "blur_filter"),
        ("", {}, {"blur_filter": (1, -1, 0)}, "blur_filter"),
        ("", {}, {"blur_filter": ("1", 2, 1)}, "blur_filter"),
        ("", {}, {"blur_filter": (1.0, 10**400, -(10**400))}, "blur_filter"),
    ],
)
def test_what_eigan_cannot_draw_is_refused_by_name(
    removed: str, added: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    weights = {name: tensor for name, tensor in exported(toy_stylegan()).items() if name != removed}
    weights |= {name: torch.zeros(shape) for name, shape in added.items()}
    with pytest.raises(CheckpointError, match=message):
        recognize(raw(weights, **arguments), "toy")
