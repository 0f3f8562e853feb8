"""BigGAN-deep as Hugging Face keeps it: folders and files with a config.json beside them, and files alone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError
from tests.toys import toy_generator
from tests.toys_biggan import official_weights, toy_biggan

HOSTILE = Path(os.environ.get("EIGAN_HOSTILE", Path(__file__).parents[3] / "shared/hostile")) / "json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("biggan") / "g"
    folder.mkdir()
    generator = toy_biggan()
    torch.save(official_weights(generator), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(generator.config() | {"eps": 1e-3}))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "g"))


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def check_it_is_the_toy(checkpoint: Checkpoint, **changes: Any) -> None:
    generator = toy_biggan()
    assert (checkpoint.architecture, checkpoint.config) == ("biggan", generator.config() | changes)
    for name, tensor in checkpoint.build().weights().items():
        torch.testing.assert_close(tensor, generator.weights()[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("legacy", [False, True])
def test_folders_and_the_files_in_them(folder: Path, legacy: bool) -> None:
    file = folder / "pytorch_model.bin"
    if legacy:
        torch.save(torch.load(file, weights_only=True), file, _use_new_zipfile_serialization=False)
    for source in (folder, file):
        checkpoint = Checkpoint.open(source)
        assert checkpoint.container == "pretrained_biggan"
        check_it_is_the_toy(checkpoint, eps=1e-3)


def test_other_files_in_the_folder_are_left_alone(folder: Path) -> None:
    save_file({"z": torch.zeros(3)}, folder / "latents.safetensors")
    (folder / "notes.pkl").write_bytes(b"not read")
    check_it_is_the_toy(Checkpoint.open(folder), eps=1e-3)


def test_safetensors_in_the_place_of_the_pickle(folder: Path) -> None:
    save_file(official_weights(toy_biggan()), folder / "model.safetensors")
    for source in (folder, folder / "model.safetensors"):
        checkpoint = Checkpoint.open(source)
        assert checkpoint.container == "pretrained_biggan"
        check_it_is_the_toy(checkpoint, eps=1e-3)


def test_a_file_alone_of_an_official_layout(folder: Path) -> None:
    (folder / "config.json").unlink()
    checkpoint = Checkpoint.open(folder / "pytorch_model.bin")
    assert checkpoint.container == "torch"
    check_it_is_the_toy(checkpoint)


def test_a_file_alone_of_another_layout_asks_for_its_config(folder: Path, tmp_path: Path) -> None:
    weights = {n: t for n, t in official_weights(toy_biggan()).items() if not n.startswith("generator.layers.0.")}
    torch.save(weights, tmp_path / "alone.bin")
    with pytest.raises(CheckpointError, match=r"layout of its own.*config\.json"):
        Checkpoint.open(tmp_path / "alone.bin")


def test_another_family_beside_a_biggans_config_is_left_alone(folder: Path) -> None:
    save_file({n: t.contiguous() for n, t in toy_generator().weights().items()}, folder / "other.safetensors")
    checkpoint = Checkpoint.open(folder / "other.safetensors")
    assert (checkpoint.architecture, checkpoint.config) == ("stylegan2", toy_generator().config())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "NaN", '{"z_dim": 1, "z_dim": 2}', "[" * 100_000, '{"a": 1}', "\ud800"]
)
def test_a_config_that_is_no_biggans_is_not_taken_for_one(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    checkpoint = Checkpoint.open(folder)
    assert checkpoint.container == "torch"
    check_it_is_the_toy(checkpoint)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_dim": 256}, "output_dim is 256"),
        ({"n_stats": 1}, "n_stats is 1"),
        ({"n_stats": "51"}, "n_stats"),
        ({"auto_map": {"AutoModel": "evil.py"}}, "auto_map"),
        ({"layers": 3}, "layers"),
        ({"eps": 10**17}, "eps"),
    ],
)
def test_settings_that_cannot_be_are_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.open(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_stats": 51},
        {"channel_width": 5},
        {"num_classes": 1000},
        {"z_dim": 13},
        {"attention_layer_position": 7},
        {"attention_layer_position": 20},
    ],
    ids=str,
)
def test_settings_that_do_not_fit_the_weights_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=r"weights do not fit|wants"):
        Checkpoint.open(folder).build()


@pytest.mark.parametrize("path", sorted(HOSTILE.glob("biggan-config-*.json")), ids=lambda p: p.stem)
def test_the_shared_hostile_configs_are_refused(folder: Path, path: Path) -> None:
    shutil.copy(path, folder / "config.json")
    with pytest.raises(CheckpointError):
        Checkpoint.open(folder)


def test_damaged_weights_are_refused(folder: Path) -> None:
    file = folder / "pytorch_model.bin"
    weights = torch.load(file, weights_only=True)
    torch.save(weights | {"generator.gen_z.weight_u": torch.zeros(1024)}, file)
    with pytest.raises(CheckpointError, match=r"generator\.gen_z\.weight_orig has the spectral norm 0"):
        Checkpoint.open(folder)
    del weights["generator.layers.3.conv_1.weight_v"]
    torch.save(weights, file)
    with pytest.raises(CheckpointError, match=r"missing generator\.layers\.3\.conv_1\.weight_v"):
        Checkpoint.open(folder)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(CheckpointError):
        Checkpoint.open(folder)
