"""Names, paths and Hub ids lead to the right thing, or to a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import eigan
from eigan import sources
from eigan.errors import CheckpointError, PackFormatError, PackMismatch, UnknownName
from eigan.format import pack_files, save_pack
from eigan.model_file import MODELS
from eigan.pack import MadeFor
from eigan.readers.safetensors import save_generator
from tests.fakehub.server import FakeHub
from tests.toys import toy_generator, toy_pack
from tests.toys_models import varying_pack


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle folder with one generator, a named pack and the raw components of a method."""
    root = tmp_path / "bundles"
    root.mkdir()
    generator = toy_generator()
    save_generator(generator, root / "toy-32", dtype="fp32", license="cc0-1.0")
    save_pack(toy_pack(generator), root / "toy")
    save_pack(replace(toy_pack(generator), name="a-pca"), root / "a-pca")
    monkeypatch.setenv(sources.BUNDLE_ENV, str(root))
    monkeypatch.chdir(root)
    return root


def test_named_packs_are_listed_before_raw_components(bundles: Path) -> None:
    assert sources.bundled_packs() == ["toy", "a-pca"]
    assert sources.bundled_generators() == ["toy-32"]


def test_a_bundled_name_loads_and_finds_its_generator(bundles: Path) -> None:
    pack = eigan.DirectionPack.load("toy")
    assert pack.source == "toy"
    generator = sources.generator_for(pack)
    assert generator.fingerprint == pack.made_for.fingerprint
    assert sources.load_generator("toy-32").fingerprint == generator.fingerprint


def test_a_folder_loads(bundles: Path, tmp_path: Path) -> None:
    save_pack(toy_pack(), tmp_path / "mine")
    assert sources.load_pack(tmp_path / "mine").names == ["smile", "age", "light"]


@pytest.mark.parametrize(
    "name", ["nothing", "../toy", "a b", "", "/no/such/folder", "https://example.com/x", "o/n:f", "x" * 5000, "a\0b"]
)
def test_what_is_none_of_the_three_is_told(bundles: Path, name: str) -> None:
    with pytest.raises((UnknownName, PackFormatError), match=r"not bundled \(toy, a-pca\)|direction pack"):
        sources.load_pack(name)


def test_a_generator_given_as_a_pack_and_the_other_way_round(bundles: Path) -> None:
    with pytest.raises(PackFormatError, match="holds a generator"):
        sources.load_pack("toy-32")
    with pytest.raises(CheckpointError, match="pack"):
        sources.load_generator("toy")


def test_a_stranger_cannot_make_us_follow_a_path(bundles: Path, tmp_path: Path) -> None:
    save_generator(toy_generator(seed=9), tmp_path / "secret", dtype="fp32", license="mit")
    made_for = replace(MadeFor.describe(toy_generator(seed=9)), source=str(tmp_path / "secret"))
    pack = replace(toy_pack(), made_for=made_for)
    with pytest.raises(PackMismatch, match="cannot be fetched"):
        sources.generator_for(pack, allow_paths=False)
    assert sources.generator_for(pack).fingerprint == made_for.fingerprint


def test_weights_that_changed_since_are_noticed(bundles: Path, tmp_path: Path) -> None:
    save_generator(toy_generator(seed=9), tmp_path / "other", dtype="fp32", license="mit")
    made_for = replace(MadeFor.describe(toy_generator(seed=3)), source=str(tmp_path / "other"))
    with pytest.raises(PackMismatch, match="was fitted on"):
        sources.generator_for(replace(toy_pack(), made_for=made_for))


def test_a_lying_bundle_is_noticed(bundles: Path) -> None:
    """A generator folder that states another's fingerprint does not pass for it."""
    config = bundles / "toy-32" / "config.json"
    other = toy_generator(seed=9)
    config.write_text(json.dumps({**json.loads(config.read_text()), "fingerprint": other.fingerprint}))
    with pytest.raises((PackMismatch, CheckpointError)):
        sources.generator_for(toy_pack(other))


@pytest.mark.parametrize("source", ["x" * 500, "a\0b", "", "~/x", "file:///etc/passwd"])
def test_a_pack_that_names_no_usable_source_says_so(bundles: Path, source: str) -> None:
    made_for = replace(MadeFor.describe(toy_generator(seed=9)), source=source)
    with pytest.raises(PackMismatch, match="cannot be fetched"):
        sources.generator_for(replace(toy_pack(), made_for=made_for))


def test_a_pack_with_models_comes_from_the_hub_whole(hub: FakeHub, tmp_path: Path) -> None:
    pack = varying_pack()
    hub.store.push("user/varying", pack_files(pack, {}), tag="v1.0.0")
    codes = torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(0))
    for offline in (False, True):
        back = sources.load_pack("user/varying@v1.0.0", token=False, offline=offline)
        edit, own = (p.edit({"turn": 1.5, "tilt": -1.0}) for p in (back, pack))
        torch.testing.assert_close(edit.apply(codes), own.apply(codes))
    del (files := pack_files(pack, {}))[MODELS]
    hub.store.push("user/broken", files, tag="v1.0.0")
    with pytest.raises(PackFormatError, match=r"models\.safetensors of .* cannot be read"):
        sources.load_pack("user/broken@v1.0.0", token=False)
