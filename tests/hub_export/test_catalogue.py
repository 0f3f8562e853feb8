"""What is on the Hub: lists by author, generator and word, histories, and any two things side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from eigan.errors import CheckpointError, EiganError, HubError, PackFormatError, UnknownName
from eigan.format import save_pack
from eigan.pack import DirectionPack
from hub_export.card import render_card
from hub_export.catalogue import MAX_LISTED, compare_sources, list_history, list_packs
from hub_export.publish import publish
from tests.fakehub.server import FakeHub
from tests.toys import toy_direction, toy_pack

COMMIT = "c" * 40
FIRST, SECOND = toy_pack(), replace(toy_pack(), license="my own", version="1.1.0")


def push(hub: FakeHub, repo_id: str, pack: DirectionPack = FIRST, generator: str = "", tag: str = "v1.0.0") -> str:
    """A pack with its card on the Hub, as publishing makes it; `generator` is a Hub id."""
    made_for = replace(pack.made_for, source=generator, revision=COMMIT if generator else "")
    extras = {"previews/smile.webp": b"RIFF"}
    card = render_card(replace(pack, made_for=made_for), extras, repo_id=repo_id)
    return hub.store.push(repo_id, {"README.md": card.encode(), "directions.safetensors": b""}, tag)


@pytest.fixture
def shelf(hub: FakeHub) -> FakeHub:
    """Three packs, a generator, and somebody's unrelated model."""
    push(hub, "alice/smiles", generator="acme/faces")
    push(hub, "alice/hats", SECOND, generator="acme/houses", tag="")
    push(hub, "bob/smiles", generator="acme/faces", tag="v2.10.0")
    hub.store.repos["bob/smiles"].tags |= {"v2.9.0": hub.store.repos["bob/smiles"].head, "nightly": COMMIT}
    hub.store.repos["bob/smiles"].downloads, hub.store.repos["bob/smiles"].likes = 1234, 5
    hub.store.push("acme/faces", {"README.md": b"---\nlibrary_name: eigan\ntags: [eigan, gan]\n---\n"})
    hub.store.push("bob/llm", {"README.md": b"---\ntags: [text]\n---\n"})
    hub.log.clear()
    return hub


def ids(**options: object) -> list[str]:
    return [pack.repo_id for pack in list_packs(token=False, **options)]  # type: ignore[arg-type]


def test_packs_are_listed_and_nothing_else(shelf: FakeHub) -> None:
    first, *rest = list_packs(token=False)
    assert (first.repo_id, first.version, first.downloads, first.likes) == ("bob/smiles", "v2.10.0", 1234, 5)
    assert (first.generator, first.license, first.directions, first.access) == ("acme/faces", "cc0-1.0", ("smile",), "")
    assert {pack.repo_id: (pack.version, pack.license) for pack in rest} == {
        "alice/smiles": ("v1.0.0", "cc0-1.0"),
        "alice/hats": ("", "my-own"),
    }
    assert not shelf.requests("/resolve/"), "lists download nothing"


def test_by_author_generator_word_and_number(shelf: FakeHub) -> None:
    assert set(ids(author="alice")) == {"alice/smiles", "alice/hats"}
    assert set(ids(generator="acme/faces")) == {"alice/smiles", "bob/smiles"}
    assert ids(generator="acme/faces", author="alice") == ["alice/smiles"]
    assert ids(search="hat") == ["alice/hats"]
    assert ids(limit=1) == ["bob/smiles"]
    assert ids(search="nothing") == []


def test_the_private_ones_show_to_their_owner(shelf: FakeHub) -> None:
    shelf.store.repos["alice/hats"].private = True
    shelf.store.repos["bob/smiles"].gated = "auto"
    assert {p.repo_id: p.access for p in list_packs(token="hf_alice")} == {
        "alice/hats": "private",
        "alice/smiles": "",
        "bob/smiles": "gated",
    }
    assert "alice/hats" not in ids()


@pytest.mark.parametrize("generator", ["faces", "acme/faces@v1.0.0", "acme/faces:x.pkl", "a b/c"])
def test_a_generator_is_a_hub_id(hub: FakeHub, generator: str) -> None:
    with pytest.raises(UnknownName, match="is no generator on the Hub; write user/name"):
        list_packs(generator=generator)
    assert not hub.log


def test_too_many_are_never_asked_for(shelf: FakeHub) -> None:
    assert len(ids(limit=10**9)) == 3
    assert MAX_LISTED == 200


def test_a_version_that_cannot_be_told_does_not_cost_the_list(shelf: FakeHub) -> None:
    shelf.fault("^GET /api/models/bob/smiles/refs", times=-1, status=500)
    assert {p.repo_id: p.version for p in list_packs(token=False)} == {
        "bob/smiles": "",
        "alice/smiles": "v1.0.0",
        "alice/hats": "",
    }


@pytest.mark.parametrize(
    "front",
    [
        b"widget: 7\nlicense: [mit]\nbase_model: {a: b}",
        b"widget: [1, {text: 3}, {text: x}]\nlicense_name: [1]",
        b"license: other",
    ],
)
def test_odd_cards_are_listed_all_the_same(hub: FakeHub, front: bytes) -> None:
    hub.store.push("bob/odd", {"README.md": b"---\ntags: [eigan, latent-directions]\n" + front + b"\n---\n"})
    (pack,) = list_packs(token=False)
    assert all(isinstance(text, str) for text in (pack.license, pack.generator, *pack.directions))


def test_a_busy_hub_is_asked_again_and_a_dead_one_told(shelf: FakeHub) -> None:
    shelf.fault("^GET /api/models$", status=503)
    assert len(ids()) == 3
    shelf.fault(".", times=-1, drop=True)
    with pytest.raises(HubError, match="cannot be reached for the list of packs"):
        list_packs(token=False)
    shelf.faults.clear()
    with pytest.raises(HubError, match="does not accept this token"):
        list_packs(token="hf_revoked")


def test_a_history_has_dates_commits_and_changes(hub: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    save_pack(FIRST, folder)
    first = publish(folder, "alice/smiles", "1.0.0", token="hf_alice", message="one")
    save_pack(SECOND, folder)
    second = publish(folder, "alice/smiles", "1.10.0", token="hf_alice")
    third = publish(folder, "alice/smiles", "1.10.1", token="hf_alice", message="- three\n- more")
    history = list_history("alice/smiles", token=False)
    assert history.kind is not None and history.kind.noun == "direction pack"
    told = [(v.version, v.commit, v.date.day if v.date else 0, v.changes) for v in history.versions]
    assert told == [
        ("1.10.1", third.commit, 4, "- three\n- more"),
        ("1.10.0", second.commit, 3, "- licence: cc0-1.0 -> my own"),
        ("1.0.0", first.commit, 2, "one"),
    ]


def test_generators_have_histories_too(hub: FakeHub, toy_folder: Path) -> None:
    published = publish(toy_folder, "alice/faces", "1.0.0", token="hf_alice", message="first weights")
    (version,) = (history := list_history("alice/faces", token=False)).versions
    assert (version.commit, version.changes) == (published.commit, "first weights")
    assert history.kind is not None and history.kind.loader == "load_generator"


def test_a_history_that_was_squashed_keeps_what_it_still_tells(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = push(hub, "alice/smiles", tag="v1.0.0"), push(hub, "alice/smiles", tag="v2.0.0")
    monkeypatch.setattr(
        type(hub.store.repos["alice/smiles"]), "history", lambda self, revision: [self.resolve(revision)]
    )
    dates = {v.commit: v.date for v in list_history("alice/smiles", token=False).versions}
    assert all(dates[commit] is not None for commit in (old, new))
    for number in range(3, 9):
        push(hub, "alice/smiles", tag=f"v{number}.0.0")
    versions = list_history("alice/smiles", token=False).versions
    assert [v.date is not None for v in versions] == [True] * 4 + [False] * 4
    assert len(hub.requests("/commits/")) == 2 + 4


def test_no_versions_and_no_repository(hub: FakeHub) -> None:
    push(hub, "alice/smiles", tag="nightly")
    assert list_history("alice/smiles", token=False).versions == ()
    with pytest.raises(HubError, match="alice/nothing is not on"):
        list_history("alice/nothing", token=False)
    for name in ("smiles", "alice/smiles@v1.0.0", "alice/../x"):
        with pytest.raises(UnknownName, match="write user/name"):
            list_history(name)


@pytest.fixture
def two(hub: FakeHub, tmp_path: Path) -> Path:
    """alice/smiles has v1.0.0 and v1.1.0, which says another licence and has one direction more. The folder of it."""
    folder = tmp_path / "pack"
    save_pack(FIRST, folder)
    publish(folder, "alice/smiles", "1.0.0", token="hf_alice")
    save_pack(replace(SECOND, directions=(*SECOND.directions, toy_direction("hat", (0, 1), seed=8))), folder)
    publish(folder, "alice/smiles", "1.1.0", token="hf_alice")
    return folder


LINES = ["hat: direction added, layers 0", "licence: cc0-1.0 -> my own"]


def test_two_versions(two: Path) -> None:
    found = compare_sources("alice/smiles@v1.0.0", "alice/smiles@v1.1.0", token=False)
    assert (found.difference.lines(), found.difference.bump) == (LINES, "minor")
    assert found.files is not None
    assert set(found.files.changed) == {"directions.safetensors", "README.md", "CHANGELOG.md"}
    assert found.files.same == ("presets.json",)


def test_a_folder_and_the_newest_version(two: Path) -> None:
    assert compare_sources("alice/smiles@v1.0.0", str(two), token=False).difference.lines() == LINES
    assert not compare_sources("alice/smiles", str(two), token=False).difference
    assert compare_sources(str(two), str(two)).files is not None


def test_bundled_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EIGAN_DIRECTIONS", str(tmp_path))
    save_pack(FIRST, tmp_path / "one")
    save_pack(SECOND, tmp_path / "two")
    assert compare_sources("one", "two").difference.of("licence") == ["licence"]


def test_generators_are_compared_without_their_weights(hub: FakeHub, toy_folder: Path) -> None:
    publish(toy_folder, "alice/faces", "1.0.0", token="hf_alice")
    files = hub.store.repos["alice/faces"].files
    config = json.loads(files["config.json"].data) | {"fingerprint": "f" * 64}
    hub.store.push("alice/faces", {"config.json": json.dumps(config).encode()}, "v2.0.0")
    hub.log.clear()
    found = compare_sources("alice/faces@v1.0.0", "alice/faces@v2.0.0", token=False)
    assert found.difference.of("weights") == ["generator"]
    assert found.files is None
    assert not hub.requests("model.safetensors")
    assert not compare_sources(str(toy_folder), "alice/faces@v1.0.0", token=False).difference


@pytest.mark.parametrize(
    ("old", "new", "kind", "sentence"),
    [
        ("alice/smiles@v1.0.0", "alice/faces", UnknownName, "a direction pack and alice/faces a generator"),
        ("alice/smiles@v1.0.0", "nowhere", UnknownName, "'nowhere' is no folder, no bundled pack"),
        ("alice/smiles@v1.0.0", "alice/smiles@v7.0.0", HubError, r"no revision 'v7.0.0'; its versions: v1.1.0, v1.0.0"),
        ("alice/llm", "alice/llm", UnknownName, "neither a direction pack nor a generator folder"),
        ("alice/empty", "alice/empty", HubError, "holds none of config.json"),
        ("{tmp}", "{tmp}", UnknownName, "neither a direction pack nor a generator folder"),
    ],
)
def test_what_cannot_be_compared(
    two: Path, hub: FakeHub, toy_folder: Path, tmp_path: Path, old: str, new: str, kind: type[EiganError], sentence: str
) -> None:
    publish(toy_folder, "alice/faces", "1.0.0", token="hf_alice")
    hub.store.push("alice/llm", {"config.json": b'{"model_type": "bert"}'})
    hub.store.push("alice/empty", {"x.bin": b"x"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(kind, match=sentence):
        compare_sources(*(text.format(tmp=tmp_path / "empty") for text in (old, new)), token=False)


def test_damage_is_told(two: Path, toy_folder: Path, tmp_path: Path) -> None:
    (two / "presets.json").write_bytes(b"{}")
    with pytest.raises(PackFormatError, match="presets.json"):
        compare_sources(str(two), str(two))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((toy_folder / "config.json").read_bytes())
    with pytest.raises(CheckpointError):
        compare_sources(str(broken), str(toy_folder))
