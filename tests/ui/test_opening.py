"""The Open tab without a browser: what it tells of strangers' packs, and what is left when the Hub fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eigan import hub as eigan_hub
from eigan import sources
from eigan.errors import EiganError, UnknownName
from eigan.format import MANIFEST, PRESETS, VECTORS
from eigan.ui import cards, finding
from eigan.ui.cards import Card, provenance
from eigan.ui.editor import Opened
from eigan.ui.finding import Finder
from eigan.ui.fitting import FitSource
from eigan.ui.opening import (
    card_html,
    facts_html,
    fit_source,
    note_html,
    tell_card,
    tell_facts,
    tell_versions,
    version_source,
    version_update,
)
from eigan.ui.session import Studio, Studios
from tests.fakehub.server import FakeHub
from tests.toys import toy_generator
from tests.ui.bundles import HOSTILE, hostile_pack

HARMLESS = {"section", "h3", "dl", "dt", "dd", "div", "p", "details", "summary"}


def tags_of(html: str) -> set[str]:
    found: set[str] = set()

    class Taken(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add(tag)
            assert {name for name, _ in attrs} <= {"class", "role", "tabindex"}

    Taken().feed(html)
    return found


def opened(studio: Studio) -> Opened:
    return Opened(key=studio.key, source=studio.source, further=list(studio.further), turn="t", recipe="{}")


def desk_of(studios: Studios) -> Any:
    return SimpleNamespace(studios=studios)


@pytest.fixture
def pack_files(toy_bundles: Path) -> dict[str, bytes]:
    folder = toy_bundles / "toy-words"
    return {name: (folder / name).read_bytes() for name in (MANIFEST, VECTORS, PRESETS)}


# what is told


@pytest.mark.parametrize("text", [*HOSTILE.values(), "a & b < c", "'\""])
def test_strangers_texts_stay_text(text: str) -> None:
    generator = toy_generator()
    pack = replace(hostile_pack(generator), license=text, version="")
    told = facts_html(pack, [(text, text), ("Mind", text), *provenance(pack, generator)])
    assert tags_of(told) <= HARMLESS
    assert tags_of(note_html(text)) == {"p"}
    assert tags_of(card_html(pack, Card("<p>safe</p>", text))) <= HARMLESS


def test_a_card_and_its_problem() -> None:
    pack = hostile_pack(toy_generator())
    assert card_html(pack, Card("")) == ""
    assert card_html(pack, Card("", "It is gone.")) == note_html("It is gone.")
    both = card_html(pack, Card("<p>words</p>", "No pictures."))
    assert both.startswith(note_html("No pictures.")) and "<p>words</p>" in both


def test_a_warning_stands_out(toy_bundles: Path) -> None:
    pack = replace(sources.load_pack("toy-words"), license="cc-by-nc-4.0")
    told = facts_html(pack, provenance(pack, toy_generator()))
    assert 'class="fact mind"><dt>Mind</dt><dd>Non-commercial use only' in told
    assert told.count("mind") == 1


def test_what_is_told_of_a_bundled_pack(toy_bundles: Path) -> None:
    studios = Studios(hosted=True)
    now = opened(studios.open("toy-words"))
    assert toy_generator().fingerprint in tell_facts(desk_of(studios), now)
    assert "has no card" in tell_card(desk_of(studios), now)
    update, note = tell_versions(Finder(hosted=True), now)
    assert (update["visible"], update["choices"], note) == (False, [], "")


def test_every_pack_that_is_open_is_told_of(toy_bundles: Path) -> None:
    studios = Studios(hosted=True)
    told = tell_facts(desk_of(studios), opened(studios.open("toy-words", ["toy-sefa"])))
    assert "<h3>Toy words</h3>" in told and "<h3>Toy components</h3>" in told


def test_what_was_opened_and_has_changed_is_a_sentence(toy_bundles: Path) -> None:
    studios = Studios(hosted=True)
    now = opened(studios.open("toy-words"))
    now["key"] = "another"
    for told in (tell_facts(desk_of(studios), now), tell_card(desk_of(studios), now)):
        assert "has changed since it was opened" in told
        assert tags_of(told) == {"p"}


def test_versions(hub: FakeHub, pack_files: dict[str, bytes]) -> None:
    for tag in ("v1.0.0", "v1.10.0", "nightly"):
        hub.store.push("alice/words", pack_files, tag=tag)
    studios, finder = Studios(hosted=True), Finder(hosted=True)
    for source, current in {"alice/words@v1.0.0": "v1.0.0", "alice/words": None}.items():
        update, note = tell_versions(finder, opened(studios.open(source)))
        assert (update["choices"], update["value"], update["visible"]) == (["v1.10.0", "v1.0.0"], current, True)
        assert update["label"] == "Version of alice/words" and note == ""
    assert version_source("alice/words@v1.0.0", "v1.10.0") == "alice/words@v1.10.0"
    for source, version in [("alice/words", "main"), ("alice/words", "v1.0.0:x"), ("toy-words", "v1.0.0"), ("", "")]:
        with pytest.raises(UnknownName, match="is no version of"):
            version_source(source, version)
    assert version_update("toy-words", [])["visible"] is False


def test_what_a_person_asks_to_fit() -> None:
    assert fit_source(" heads-64 ", "pca") == FitSource("pca", "heads-64")
    assert fit_source("org/name@v1.0.0:net.pkl", "sefa") == FitSource("sefa", "org/name@v1.0.0:net.pkl")
    assert fit_source("pca:heads-64", "sefa") == FitSource("pca", "heads-64"), "a source pasted from a link"
    for nothing in ("", "  ", "x" * 5000):
        with pytest.raises(UnknownName, match="no generator was named"):
            fit_source(nothing, "sefa")
    with pytest.raises(UnknownName):
        fit_source("heads-64", "latentclr")


# a Hub that fails: one sentence each, in bounded time, and bundled packs still open


def every_way_to_the_hub(studios: Studios) -> dict[str, Callable[[], object]]:
    finder = Finder(hosted=True)
    return {
        "search": finder.find_packs,
        "versions": lambda: finder.versions_of("alice/words"),
        "pack": lambda: studios.open("alice/words@v1.0.0"),
        "sefa": lambda: studios.open("sefa:acme/faces"),
        "pca": lambda: studios.open("pca:acme/faces@v1.0.0:net.pkl"),
    }


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True},
        {"status": 500},
        {"status": 503},
        {"status": 429, "headers": {"Retry-After": "290"}},
        {"status": 429},
        {"status": 401},
        {"status": 403},
    ],
    ids=str,
)
def test_a_hub_that_fails_leaves_the_bundled_packs(
    hub: FakeHub, toy_bundles: Path, pack_files: dict[str, bytes], fault: dict[str, object]
) -> None:
    hub.store.push("alice/words", pack_files, tag="v1.0.0")
    hub.store.push("acme/faces", {"net.pkl": b"x"}, tag="v1.0.0")
    hub.fault(".", times=-1, **fault)
    studios = Studios(hosted=True)
    for way, ask in every_way_to_the_hub(studios).items():
        with pytest.raises(EiganError) as told:
            ask()
        assert "\n" not in str(told.value) and 20 < len(str(told.value)) < 600, way
    for name in ("toy-words", "sefa:toy", "pca:toy"):
        assert studios.open(name).pack.made_for.resolution == 32


def test_a_hub_that_is_slow_is_not_waited_for(hub: FakeHub, toy_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    class Stuck:
        """A client whose every question hangs until the test is over."""

        def __getattr__(self, _: str) -> Callable[..., None]:
            def hang(*_: object, **__: object) -> None:
                assert released.wait(60)
                raise ConnectionError("the test is over")

            return hang

    monkeypatch.setattr(eigan_hub, "hub_api", lambda *_: Stuck())
    assert eigan_hub.ask.__kwdefaults__ is not None
    monkeypatch.setitem(eigan_hub.ask.__kwdefaults__, "deadline", 0.1)
    monkeypatch.setattr(cards, "CARD_SECONDS", 0.1)
    monkeypatch.setattr(finding, "PATIENCE", 0.1)
    studios = Studios(hosted=True)
    began = time.monotonic()
    for way, ask in every_way_to_the_hub(studios).items():
        with pytest.raises(EiganError) as told:
            ask()
        assert "\n" not in str(told.value), way
    assert time.monotonic() - began < 20
    assert studios.open("toy-words").pack.name == "Toy words"
    released.set()
    assert not hub.log


def test_a_damaged_pack_is_a_sentence(hub: FakeHub, toy_bundles: Path, pack_files: dict[str, bytes]) -> None:
    hub.store.push("alice/words", pack_files, tag="v1.0.0")
    hub.fault("^GET .*/resolve/", times=-1, corrupt=True)
    with pytest.raises(EiganError, match="arrived damaged twice"):
        Studios(hosted=True).open("alice/words@v1.0.0")


def test_a_hub_that_fails_later_leaves_what_is_open(
    hub: FakeHub, toy_bundles: Path, pack_files: dict[str, bytes]
) -> None:
    """The picture goes on, the facts too; only versions and card are told to be missing."""
    hub.store.push("alice/words", {**pack_files, "README.md": b"# Words"}, tag="v1.0.0")
    studios = Studios(hosted=True)
    now = opened(studios.open("alice/words@v1.0.0"))
    hub.fault(".", times=-1, drop=True)
    assert "pinned to v1.0.0" in tell_facts(desk_of(studios), now)
    assert "cannot be reached" in tell_card(desk_of(studios), now)
    update, note = tell_versions(Finder(hosted=True), now)
    assert update["visible"] is False and "cannot be reached" in note
    assert studios.reopen(now["key"], now["source"]).pack.name == "Toy words"
    assert studios.open("alice/words@v1.0.0").key == now["key"], "from the cache"


def test_a_pack_larger_than_is_taken_is_not_downloaded(hub: FakeHub, pack_files: dict[str, bytes]) -> None:
    hub.store.push("alice/words", pack_files, tag="v1.0.0")
    with pytest.raises(EiganError, match="at most 100 are taken here"):
        sources.load_pack("alice/words@v1.0.0", token=False, max_bytes=100)
    assert not hub.requests("/resolve/")
