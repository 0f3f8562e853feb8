"""A version says what changed since the one before: in the plan, the changelog, the card and the commit."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from eigan.errors import PublishError
from eigan.format import MANIFEST, VECTORS, read_pack, save_pack
from eigan.pack import DirectionPack
from eigan.sources import load_pack
from hub_export.changelog import read_sections
from hub_export.publish import Published, plan, publish
from tests.fakehub.server import FakeHub
from tests.toys import toy_direction, toy_generator, toy_pack
from tests.toys_models import varying_pack

REPO = "alice/smiles"
OLD = toy_pack()
NEW = replace(
    OLD,
    directions=(replace(OLD.directions[0], sigma=0.75), *OLD.directions[1:], toy_direction("hat", (0, 2), seed=9)),
    license="mit",
)
FOUND = [
    "breaking: smile: sigma 0.5 -> 0.75, the same amount moves 1.5 times as far",
    "hat: direction added, layers 0-1",
    "licence: cc0-1.0 -> mit",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(tmp_path / "pack", OLD)


def saved(folder: Path, pack: DirectionPack, **extras: bytes) -> Path:
    save_pack(pack, folder, {"previews/smile.webp": b"RIFF", **extras})
    return folder


def go(folder: Path, version: str = "1.0.0", **options: object) -> Published:
    return publish(folder, REPO, version, **{"token": "hf_alice", **options})  # type: ignore[arg-type]


def sections(hub: FakeHub) -> dict[str, str]:
    return read_sections(hub.store.repos[REPO].files["CHANGELOG.md"].data.decode())


def test_what_nobody_said_is_found_by_comparing(hub: FakeHub, folder: Path) -> None:
    go(folder)
    go(saved(folder, NEW), "2.0.0")
    assert sections(hub) == {"2.0.0": "\n".join(f"- {line}" for line in FOUND), "1.0.0": "First version."}
    card = hub.store.repos[REPO].files["README.md"].data.decode()
    assert "hat: direction added" in card
    head = hub.store.repos[REPO].head
    assert hub.store.repos[REPO].messages[head] == ("Version 2.0.0", sections(hub)["2.0.0"])
    assert go(folder, "2.0.0").already_there, "comparing again finds the same"


@pytest.mark.parametrize(
    ("options", "extras", "said"),
    [
        ({"message": "mine"}, {"CHANGELOG.md": b"## Unreleased\n- theirs\n"}, "mine"),
        ({}, {"CHANGELOG.md": b"## Unreleased\n- theirs\n"}, "- theirs"),
        ({}, {"CHANGELOG.md": b"## 2.0.0\n- of two\n## Unreleased\n- theirs\n"}, "- of two"),
    ],
)
def test_what_a_person_said_comes_first(
    hub: FakeHub, folder: Path, options: dict[str, str], extras: dict[str, bytes], said: str
) -> None:
    go(folder)
    go(saved(folder, NEW, **extras), "2.0.0", **options)
    assert sections(hub)["2.0.0"] == said


def test_new_pictures_alone_are_told_too(hub: FakeHub, folder: Path) -> None:
    go(folder)
    save_pack(OLD, folder, {"previews/smile.webp": b"RIFX"})
    go(folder, "1.0.1")
    assert sections(hub)["1.0.1"] == "Texts and pictures only."


def test_the_plan_says_what_becomes_of_each_file(hub: FakeHub, folder: Path) -> None:
    go(folder)
    save_pack(NEW, folder, {"previews/hat.webp": b"RIFF"})
    hub.log.clear()
    release = plan(folder, REPO, "1.0.1", token="hf_alice")
    assert release.earlier is not None and release.earlier.difference is not None
    assert release.earlier.tag == "v1.0.0"
    assert release.earlier.difference.lines() == FOUND
    files = release.earlier.files
    assert (files.added, files.deleted, files.same) == (
        ("previews/hat.webp",),
        ("previews/smile.webp",),
        ("presets.json",),
    )
    assert {MANIFEST, VECTORS, "README.md", "CHANGELOG.md"} == set(files.changed)
    assert release.advice == "saved edits break since v1.0.0, which asks for version 2.0.0"
    assert not hub.requests("^(POST|PUT|DELETE) ")
    assert plan(folder, REPO, "2.0.0", token="hf_alice").advice == ""


def test_something_added_asks_for_a_minor_step(hub: FakeHub, folder: Path) -> None:
    go(folder)
    saved(folder, replace(OLD, directions=(*OLD.directions, toy_direction("hat", (0, 2), seed=9))))
    advice = plan(folder, REPO, "1.0.1", token="hf_alice").advice
    assert advice == "something was added since v1.0.0, which asks for version 1.1.0"


def test_the_newest_version_below_is_what_counts(hub: FakeHub, folder: Path) -> None:
    go(folder)
    go(saved(folder, NEW), "1.0.1")
    with pytest.raises(PublishError, match=r"is at 1.0.1 already, so 0.9.0 would go back; publish as 1.0.2 or higher"):
        go(folder, "0.9.0")
    release = plan(folder, REPO, "1.1.0", token="hf_alice")
    assert release.earlier is not None and release.earlier.difference is not None
    assert (release.earlier.tag, release.earlier.difference.lines()) == ("v1.0.1", [])


def test_an_older_version_that_cannot_be_read_is_no_obstacle(hub: FakeHub, folder: Path) -> None:
    first = go(folder)
    files = {n: f.data for n, f in hub.store.repos[REPO].commits[first.commit].items()}
    manifest = json.loads(files[MANIFEST]) | {"format_version": 99}
    commit = hub.store.push(REPO, {MANIFEST: json.dumps(manifest).encode()})
    hub.store.repos[REPO].tags["v1.0.0"] = commit
    saved(folder, NEW)
    release = plan(folder, REPO, "1.0.1", token="hf_alice")
    assert release.earlier is not None
    assert (release.earlier.difference, release.advice) == (None, "")
    assert "Upgrade eigan" in release.earlier.unreadable
    go(folder, "1.0.1")
    assert sections(hub)["1.0.1"] == "See the files."
    assert go(folder, "1.0.1").already_there


def test_an_older_version_that_cannot_be_fetched_stops_everything(hub: FakeHub, folder: Path, tmp_path: Path) -> None:
    go(folder)
    saved(folder, NEW)
    hub.fault(f"^GET .*/resolve/.*/{VECTORS}", times=-1, status=503)
    hub.log.clear()
    with pytest.raises(PublishError, match="answered 503.*nothing was published"):
        go(folder, "1.0.1")
    assert not hub.requests("^(POST|PUT|DELETE) ")


def test_vectors_and_models_go_up_from_the_disk_as_they_are(hub: FakeHub, tmp_path: Path) -> None:
    pack = varying_pack()
    save_pack(pack, tmp_path / "pack")
    release = plan(tmp_path / "pack", REPO, "1.0.0", token="hf_alice")
    on_disk = {name for name, content in release.files.items() if isinstance(content, Path)}
    assert {VECTORS, "models.safetensors"} <= on_disk
    go(tmp_path / "pack")
    loaded = load_pack(f"{REPO}@v1.0.0", token=False)
    assert [d.model is None for d in loaded] == [d.model is None for d in pack]
    for name in on_disk:
        assert hub.store.repos[REPO].files[name].data == (tmp_path / "pack" / name).read_bytes()


def test_a_file_that_the_manifest_does_not_list_stays_here(hub: FakeHub, folder: Path) -> None:
    (folder / "models.safetensors").write_bytes(b"stray")
    (folder / "notes.txt").write_bytes(b"private")
    go(folder)
    assert not {"models.safetensors", "notes.txt"} & set(hub.store.repos[REPO].files)
    manifest = json.loads(hub.store.repos[REPO].files[MANIFEST].data)
    listed = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    held = {n: hashlib.sha256(f.data).hexdigest() for n, f in hub.store.repos[REPO].files.items() if n in listed}
    assert listed == held


def test_what_is_published_reads_as_what_was_saved(hub: FakeHub, folder: Path) -> None:
    go(folder)
    here, there = read_pack(folder), load_pack(f"{REPO}@v1.0.0", token=False)
    assert there.version == "1.0.0"
    same = ("name", "made_for", "method", "description", "license")
    assert [getattr(here, name) for name in same] == [getattr(there, name) for name in same]
    assert here.presets == there.presets


def test_generators_say_what_changed_too(hub: FakeHub, toy_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "generator"
    shutil.copytree(toy_folder, folder)
    go(folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name: weight * 1.5 for name, weight in weights.items()}, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_bytes())
    generator = toy_generator()
    generator.load_state_dict({name: weight * 1.5 for name, weight in generator.state_dict().items()})
    config |= {"fingerprint": generator.fingerprint, "license": "mit"}
    (folder / "config.json").write_text(json.dumps(config))
    release = plan(folder, REPO, "1.0.1", token="hf_alice")
    assert release.earlier is not None and release.earlier.difference is not None
    weights_line, licence_line = release.earlier.difference.lines()
    assert weights_line.startswith("breaking: generator: OTHER WEIGHTS")
    assert licence_line == "licence: cc0-1.0 -> mit"
    assert release.advice.endswith("asks for version 2.0.0")
    published = go(folder, "2.0.0")
    assert "OTHER WEIGHTS" in hub.store.repos[REPO].messages[published.commit][1]
    assert len(hub.requests("^GET .*/resolve/.*/model.safetensors")) == 0, "weights are compared by their fingerprint"
