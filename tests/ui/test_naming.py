"""The draft of a named pack: what may be in it, the pack and the files it becomes, and what is never overwritten."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from eigan.errors import EiganError, PackFormatError, PackMismatch, UnknownName
from eigan.format import MANIFEST, read_extras, read_pack, save_pack
from eigan.layers import LayerRange
from eigan.pack import MAX_NAME, DirectionPack
from eigan.ui import packing
from eigan.ui.naming import (
    MAX_DRAFT,
    MAX_WORDS,
    About,
    Draft,
    Entry,
    Source,
    build,
    bundled_sources,
    draft_sources,
    fitting_presets,
    name_of,
    names_file,
    open_sources,
    origin,
    read_draft,
    table_value,
)
from eigan.ui.packing import Built, finish, finished, preview_plan, save_to, words_of
from eigan.ui.session import Studio, Studios
from hub_export.naming import dump_names, name_directions, read_names
from tests.toys import NAMES, toy_generator, toy_pack
from tests.toys_models import varying_pack
from tests.ui.bundles import HOSTILE

JOY = Entry("toy-words", "smile", "joy", ("sad", "glad"), "1-3", False, (-2.0, 4.0), "a wide smile")
NIGHT = Entry("toy-sefa", "component 3", "night", flip=True)


@pytest.fixture
def studios(toy_bundles: Path) -> Studios:
    return Studios()


@pytest.fixture
def studio(studios: Studios) -> Studio:
    return studios.open("toy-words")


@pytest.fixture
def draft(studios: Studios) -> Draft:
    found = {name: Source(name, studios.load_pack(name)) for name in ("toy-words", "toy-sefa")}
    return Draft().put(JOY, found["toy-words"]).put(NIGHT, found["toy-sefa"])


def pack_of(draft: Draft, studios: Studios, **about: str) -> DirectionPack:
    return build(draft, About(**{"name": "people", **about}), draft_sources(studios, draft))


def built(draft: Draft, studios: Studios, studio: Studio, **about: str) -> Built:
    return finish(pack_of(draft, studios, **about), studio)


# ---- the draft


def test_an_entry_takes_what_is_not_said_from_its_direction(studios: Studios, draft: Draft) -> None:
    night = draft["night"]
    assert (night.layers, night.range, night.poles, night.flip) == ("0-7", (-3.0, 3.0), ("", ""), True)
    assert draft["joy"] == JOY


def test_an_entry_of_the_same_name_takes_its_place(studios: Studios, draft: Draft) -> None:
    words = Source("toy-words", studios.load_pack("toy-words"))
    sefa = Source("toy-sefa", studios.load_pack("toy-sefa"))
    assert draft.put(replace(JOY, fitted="age"), words).names == ["joy", "night"]
    assert draft.put(replace(JOY, fitted="age"), words)["joy"].fitted == "age"
    renamed = draft.put(replace(JOY, name="delight"), words, in_place_of="joy")
    assert renamed.names == ["delight", "night"]
    with pytest.raises(PackFormatError, match="names must differ"):
        draft.put(replace(JOY, name="night"), words, in_place_of="joy")
    assert draft.put(replace(NIGHT, name="dusk"), sefa, in_place_of="gone").names == ["joy", "night", "dusk"]
    assert draft.remove("joy").names == ["night"]
    with pytest.raises(UnknownName, match="'grief'; it has joy, night"):
        draft["grief"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * (MAX_NAME + 1)}, "characters"),
        ({"name": "a\x00b"}, "control character"),
        ({"fitted": "wisdom"}, "wisdom"),
        ({"layers": "7-8"}, "layers 0-7"),
        ({"layers": "some"}, "cannot read layers"),
        ({"range": (1.0, 2.0)}, "holds 0"),
        ({"range": (-1000.0, 2.0)}, "range of"),
        ({"range": (float("nan"), 2.0)}, "range"),
        ({"poles": ("x" * 100, "")}, "characters"),
        ({"description": "x" * (MAX_WORDS + 1)}, "at most 600"),
    ],
)
def test_what_makes_no_direction_is_refused_at_once(studios: Studios, change: dict[str, Any], message: str) -> None:
    with pytest.raises(EiganError, match=message):
        Draft().put(replace(JOY, **change), Source("toy-words", studios.load_pack("toy-words")))


def test_a_draft_is_bounded_and_of_one_generator(studios: Studios) -> None:
    sefa = Source("toy-sefa", studios.load_pack("toy-sefa"))
    draft = Draft()
    for i in range(MAX_DRAFT):
        draft = draft.put(replace(NIGHT, name=f"night {i}"), sefa)
    with pytest.raises(PackFormatError, match="at most 64"):
        draft.put(NIGHT, sefa)
    draft = draft.put(replace(NIGHT, name="night 3", fitted="component 9"), sefa)
    assert draft["night 3"].fitted == "component 9", "one of them can be changed all the same"
    other = Source("other", toy_pack(toy_generator(seed=5)))
    with pytest.raises(PackFormatError, match="another generator"):
        draft.put(replace(JOY, source="other"), other)
    emptied = draft
    for name in draft.names:
        emptied = emptied.remove(name)
    assert emptied.put(replace(JOY, source="other", layers="2-3"), other).names == ["joy"]


def test_the_table_is_plain_text(draft: Draft) -> None:
    joy, night = table_value(draft)["entries"]
    assert joy == {
        "name": "joy",
        "from": "smile · toy-words",
        "poles": "sad … glad",
        "layers": "1-3",
        "range": "−2 to +4",
        "description": "a wide smile",
    }
    assert night["from"] == "− component 3 · toy-sefa"
    assert table_value(Draft())["entries"] == []


# ---- where directions are from


def test_names_of_packs_that_are_open_together_lead_back_to_each(studios: Studios, tmp_path: Path) -> None:
    words = studios.load_pack("toy-words")
    save_pack(replace(words, name="rival", source=""), tmp_path / "rival")
    rival = str(tmp_path / "rival")
    studio = studios.open("toy-words", [rival, "toy-sefa"])
    found = open_sources(studios, studio)
    assert [source.text for source in found] == ["toy-words", rival, "toy-sefa"]
    for name, wanted in (("smile", "smile"), ("smile (rival)", "smile"), ("component 39", "component 39")):
        source, fitted = origin(found, name)
        assert fitted == wanted
        assert torch.equal(source.pack[fitted].vector, studio.pack[name].vector)
        assert name_of(found, source.text, fitted) == name
    assert origin(found, "smile (rival)")[0].text == rival
    with pytest.raises(UnknownName, match="wisdom"):
        origin(found, "wisdom")
    with pytest.raises(UnknownName, match="'smile' of 'toy-ica'"):
        name_of(found, "toy-ica", "smile")


def test_a_pack_that_changed_since_is_not_taken_for_the_one_that_is_shown(studios: Studios, tmp_path: Path) -> None:
    pack = studios.load_pack("toy-words")
    save_pack(replace(pack, source=""), tmp_path / "mine")
    studio = studios.open(str(tmp_path / "mine"))
    save_pack(replace(pack, source="", directions=pack.directions[:2], presets=()), tmp_path / "mine")
    with pytest.raises(PackMismatch, match="changed since it was opened"):
        open_sources(studios, studio)


def test_a_hosted_draft_opens_no_folders(draft: Draft, studios: Studios, tmp_path: Path) -> None:
    save_pack(studios.load_pack("toy-words"), tmp_path / "secret")
    forged = Draft(draft.fingerprint, (replace(JOY, source=str(tmp_path / "secret")),))
    assert draft_sources(studios, forged)
    with pytest.raises(UnknownName, match="only where the app runs on your own machine"):
        draft_sources(Studios(hosted=True), forged)


# ---- the pack


def test_the_pack_is_what_hub_export_name_makes(draft: Draft, studios: Studios, tmp_path: Path) -> None:
    pack = pack_of(draft, studios, description="two of them")
    joy, night = pack["joy"], pack["night"]
    fitted = studios.load_pack("toy-sefa")["component 3"]
    assert (joy.layers, joy.amount_range, joy.poles) == (LayerRange(1, 4), (-2.0, 4.0), ("sad", "glad"))
    assert torch.equal(night.vector, -fitted.vector)
    assert (pack.name, pack.description, pack.license) == ("people", "two of them", "cc0-1.0")
    sources = {"Toy words": {"name": "pca", "seed": 0}, "Toy components": {"name": "sefa"}}
    assert pack.method == {"name": "named", "sources": sources}
    file = tmp_path / "names.toml"
    file.write_text(names_file(draft, About("people", "two of them"), draft_sources(studios, draft)))
    packs = [studios.load_pack(name) for name in ("toy-words", "toy-sefa")]
    again = name_directions(packs, read_names(file))
    assert again.names == pack.names
    assert all(torch.equal(again[name].vector, pack[name].vector) for name in pack.names)
    assert (again.method, again["joy"].amount_range) == (pack.method, pack["joy"].amount_range)


def test_packs_of_one_name_do_not_mix(studios: Studios, tmp_path: Path) -> None:
    words = studios.load_pack("toy-words")
    rival = replace(words, directions=tuple(replace(d, sigma=2.0) for d in words), source="", license="mit")
    save_pack(rival, tmp_path / "rival")
    text = str(tmp_path / "rival")
    found = {name: Source(name, studios.load_pack(name)) for name in ("toy-words", text)}
    draft = Draft().put(JOY, found["toy-words"])
    draft = draft.put(replace(JOY, source=text, name="other joy"), found[text])
    pack = pack_of(draft, studios)
    assert (pack["joy"].sigma, pack["other joy"].sigma) == (0.6, 2.0)
    assert list(pack.method["sources"]) == ["Toy words", "Toy words 2"]
    assert pack.license == "cc0-1.0 AND mit"
    with pytest.raises(PackFormatError, match="cannot tell apart"):
        names_file(draft, About("people"), found)


def test_an_empty_draft_and_a_pack_without_a_name_are_refused(draft: Draft, studios: Studios) -> None:
    with pytest.raises(PackFormatError, match="the draft is empty"):
        build(Draft(), About("people"), {})
    with pytest.raises(PackFormatError, match="the pack's name"):
        pack_of(draft, studios, name=" ")
    with pytest.raises(PackFormatError, match="the pack's licence has 81 characters"):
        pack_of(draft, studios, license="x" * 81)


def test_presets_follow_their_directions_into_the_draft(studios: Studios, draft: Draft) -> None:
    found = open_sources(studios, studios.open("toy-words", ["toy-sefa"]))
    own = [
        {"name": "party", "amounts": {"smile": 2.0, "component 3": 1.5}, "description": "late", "own": True},
        {"name": "older", "amounts": {"smile": 1.0, "age": 2.0}, "description": "", "own": True},
    ]
    fitting, left = fitting_presets(own, found, draft)
    assert left == ["older"], "age is not in the draft"
    assert fitting == [{"name": "party", "amounts": {"joy": 2.0, "night": -1.5}, "description": "late"}], (
        "night is flipped"
    )
    pack = build(draft, About("people"), draft_sources(studios, draft), fitting)
    assert pack.preset("party").amounts == {"joy": 2.0, "night": -1.5}
    words = open_sources(studios, studios.open("toy-words"))
    assert fitting_presets(own, words, draft)[1] == ["party", "older"], "component 3 is not open"


# ---- names files


def test_a_draft_comes_back_from_its_names_file(studios: Studios, draft: Draft, tmp_path: Path) -> None:
    file = tmp_path / "names.toml"
    found = draft_sources(studios, draft)
    file.write_text(names_file(draft, About("people", license="mit"), found))
    assert "hub-export name toy-words toy-sefa --names" in file.read_text()
    names = read_names(file)
    assert (names.name, names.license) == ("people", "mit")
    assert read_draft(names, bundled_sources(draft.fingerprint)) == draft
    assert read_names(file) == names
    with pytest.raises(UnknownName, match="'Toy words'; open it first"):
        read_draft(names, [found["toy-sefa"]])


def test_names_files_of_people_are_read_too(tmp_path: Path) -> None:
    file = tmp_path / "names.toml"
    file.write_text(NAMES)
    draft = read_draft(read_names(file), [Source("somewhere", toy_pack())])
    assert draft.names == ["youth", "joy"]
    assert draft["youth"] == Entry("somewhere", "age", "youth", ("old", "young"), "2-3", True, (-4.0, 2.0))
    file.write_text(dump_names(read_names(file)))
    assert read_draft(read_names(file), [Source("somewhere", toy_pack())]) == draft
    file.write_text(NAMES.replace('name = "joy"', 'name = "youth"'))
    with pytest.raises(PackFormatError, match="two directions 'youth'"):
        read_draft(read_names(file), [Source("somewhere", toy_pack())])


# ---- files


def test_the_zip_holds_a_folder_that_loads(draft: Draft, studios: Studios, studio: Studio, tmp_path: Path) -> None:
    made = built(draft, studios, studio)
    with zipfile.ZipFile(io.BytesIO(made.zipped())) as archive:
        assert archive.testzip() is None
        assert all(name.startswith("people/") and ".." not in name for name in archive.namelist())
        archive.extractall(tmp_path)
    pack = DirectionPack.load(tmp_path / "people")
    assert pack.names == ["joy", "night"]
    pack.check_fits(studio.generator)
    extras = read_extras(tmp_path / "people")
    previews = {"previews/joy.webp", "previews/night.webp", "previews/contact-sheet.webp"}
    assert set(extras) == previews | {"README.md", "CHANGELOG.md"}
    assert "a wide smile" in extras["README.md"].decode()
    assert words_of(made) == "2 directions, 3 pictures"
    assert made.notes == ()


def test_the_same_draft_gives_the_same_bytes(draft: Draft, studios: Studios, studio: Studio) -> None:
    assert built(draft, studios, studio).zipped() == built(draft, studios, studio).zipped()


def test_directions_with_models_keep_them(toy_bundles: Path, studios: Studios, tmp_path: Path) -> None:
    pack = varying_pack(toy_generator())
    save_pack(pack, tmp_path / "varying")
    source = Source(str(tmp_path / "varying"), studios.load_pack(str(tmp_path / "varying")))
    entry = Entry(source.text, pack.names[0], "turned", flip=True)
    made = finish(pack_of(Draft().put(entry, source), studios), studios.open(source.text))
    save_to(made, str(tmp_path / "out"))
    loaded = read_pack(tmp_path / "out")
    assert loaded["turned"].model is not None


def test_hostile_names_are_names_and_nothing_else(studios: Studios, studio: Studio, tmp_path: Path) -> None:
    source = Source("toy-words", studios.load_pack("toy-words"))
    entry = replace(JOY, name=HOSTILE["name"], poles=(HOSTILE["pole"], HOSTILE["other pole"]))
    made = built(Draft().put(entry, source), studios, studio, name="../../../etc/passwd")
    assert made.folder == "etc-passwd"
    with zipfile.ZipFile(io.BytesIO(made.zipped())) as archive:
        assert all(name.startswith("etc-passwd/") for name in archive.namelist())


@pytest.mark.parametrize(
    ("directions", "seconds", "wanted"),
    [
        (27, 0.005, (3, 7)),
        (27, 0.12, (3, 5)),
        (27, 0.4, (1, 5)),
        (27, 0.6, (1, 3)),
        (64, 2.0, (0, 0)),
        (3, 0.0, (3, 7)),
    ],
)
def test_previews_take_a_minute_at_most(directions: int, seconds: float, wanted: tuple[int, int]) -> None:
    assert preview_plan(directions, seconds) == wanted
    assert directions * wanted[0] * wanted[1] * seconds <= packing.PREVIEW_SECONDS


def test_a_slow_generators_pack_says_what_it_lacks(
    draft: Draft, studios: Studios, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio.renderer, "expected_seconds", lambda: 100.0)
    made = built(draft, studios, studio)
    assert not any(name.startswith("previews/") for name in made.extras)
    assert "no pictures" in made.notes[0]


def test_a_pack_is_finished_once(
    draft: Draft, studios: Studios, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = pack_of(draft, studios, name="once only")
    first = finished(pack, studio)
    monkeypatch.setattr(packing, "render_previews", None)
    assert finished(pack_of(draft, studios, name="once only"), studio) is first
    with pytest.raises(TypeError):
        finished(pack_of(draft, studios, name="another"), studio)


def test_a_pack_that_is_too_large_for_a_page_is_refused(
    draft: Draft, studios: Studios, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MAX_PACK_BYTES", 100)
    with pytest.raises(PackFormatError, match=r"128 bytes of vectors.*hub-export name"):
        finished(pack_of(draft, studios, name="large"), studio)


def test_folders_of_other_things_are_left_alone(
    draft: Draft, studios: Studios, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = built(draft, studios, studio)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"mine")
    save_pack(studios.load_pack("toy-words"), tmp_path / "words")
    before = (tmp_path / "words" / MANIFEST).read_bytes()
    for folder, message in (
        ("", "no folder was given"),
        (str(tmp_path / "photos"), "holds other files"),
        (str(tmp_path / "photos" / "me.jpg"), "is a file"),
        (str(tmp_path / "words"), "holds the pack 'Toy words'"),
        (str(tmp_path / "photos" / "me.jpg" / "deeper"), "cannot be written"),
        ("a\0b", "cannot be written"),
        ("x" * 5000, "cannot be written"),
    ):
        with pytest.raises(PackFormatError, match=message):
            save_to(made, folder)
    assert (tmp_path / "photos" / "me.jpg").read_bytes() == b"mine"
    assert (tmp_path / "words" / MANIFEST).read_bytes() == before
    monkeypatch.setenv("HOME", str(tmp_path))
    assert save_to(made, "~/packs/people") == tmp_path / "packs" / "people"
    assert save_to(made, "~/packs/people"), "an earlier one of that name is replaced"
    assert read_pack(tmp_path / "packs" / "people").names == ["joy", "night"]
