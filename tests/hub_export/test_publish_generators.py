"""Generators publish as packs do: versions, pinned cards, and no weights that are not the ones stated."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import eigan
from eigan.errors import CheckpointError
from eigan.hub import HubRef, download
from hub_export.cli import app
from hub_export.publish import Published, publish
from tests.fakehub.server import FakeHub

REPO = "alice/smiles"


def go(folder: Path, version: str = "1.0.0") -> Published:
    return publish(folder, REPO, version, token="hf_alice")


def test_generators_publish_alike(hub: FakeHub, toy_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_folder, tmp_path / "toy")
    (tmp_path / "toy/LICENSE").write_text("cc0")
    published = go(tmp_path / "toy")
    assert published.load_line == 'eigan.load_generator("alice/smiles@v1.0.0")'
    assert published.uploaded == ["LICENSE", "README.md", "config.json", "model.safetensors"]
    assert go(tmp_path / "toy").already_there
    generator = eigan.load_generator(f"{REPO}@v1.0.0", token=False)
    assert generator.fingerprint == eigan.load_generator(toy_folder).fingerprint
    assert generator.revision == published.commit
    (tmp_path / "toy/README.md").write_text("# my own words\n")
    go(tmp_path / "toy", "1.0.1")
    assert hub.store.repos[REPO].files["README.md"].data == b"# my own words\n"


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_converted_generators_card_is_pinned_unless_written_by_hand(
    hub: FakeHub, toy_folder: Path, tmp_path: Path, by_hand: bool
) -> None:
    out = tmp_path / "converted"
    done = CliRunner().invoke(app, ["convert", str(toy_folder), "--out", str(out), "--license", "mit"])
    assert done.exit_code == 0, done.output
    if by_hand:
        (out / "README.md").write_text("mine")
    go(out)
    card = (download(HubRef(REPO, "v1.0.0"), ["README.md"], max_bytes=10**6).path / "README.md").read_text()
    assert card == "mine" if by_hand else f'load_generator("{REPO}@v1.0.0")' in card


def test_a_generator_with_other_weights_than_it_states_is_refused(
    hub: FakeHub, toy_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_folder, tmp_path / "toy")
    weights = bytearray((tmp_path / "toy/model.safetensors").read_bytes())
    weights[-2] ^= 1
    (tmp_path / "toy/model.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match="fingerprint"):
        go(tmp_path / "toy")
    assert not hub.log
