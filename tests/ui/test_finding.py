"""Searching the Hub from the page: what is found, what is remembered, and what a person is told when it fails."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from eigan.errors import EiganError, HubError, UnknownName
from eigan.ui import finding
from eigan.ui.finding import Allowance, Finder, Remembered, found_words, is_openable, label, row, source_of, tidy
from hub_export.card import render_card
from hub_export.catalogue import Listing
from tests.fakehub.server import FakeHub
from tests.toys import toy_pack
from tests.ui.bundles import HOSTILE

LISTS = "^GET /api/models$"
LISTING = Listing("alice/smiles", "v1.0.0", ("smile",), "acme/faces", "cc0-1.0", 5, 1234, "")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def push(hub: FakeHub, repo_id: str, generator: str = "acme/faces", tag: str = "v1.0.0") -> None:
    pack = toy_pack()
    made_for = replace(pack.made_for, source=generator, revision="c" * 40)
    card = render_card(replace(pack, made_for=made_for), {"previews/smile.webp": b"RIFF"}, repo_id=repo_id)
    hub.store.push(repo_id, {"README.md": card.encode(), "directions.safetensors": b""}, tag)


@pytest.fixture
def shelf(hub: FakeHub) -> FakeHub:
    """Two packs for one generator, one for another."""
    push(hub, "alice/smiles")
    push(hub, "bob/hats", tag="v2.0.0")
    push(hub, "bob/roofs", "acme/houses")
    hub.log.clear()
    return hub


def ids(listings: list[Listing]) -> set[str]:
    return {listing.repo_id for listing in listings}


def test_packs_by_word_and_generator(shelf: FakeHub) -> None:
    finder = Finder(hosted=True)
    assert ids(finder.find_packs()) == {"alice/smiles", "bob/hats", "bob/roofs"}
    assert ids(finder.find_packs(" SMILE ")) == {"alice/smiles"}
    assert ids(finder.find_packs(generator="acme/houses@v1.0.0:net.pkl")) == {"bob/roofs"}
    assert ids(finder.find_packs("hats", "acme/houses")) == set()
    assert {request.token for request in shelf.log} == {""}


def test_a_hosted_page_never_uses_the_machines_token(shelf: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    shelf.store.repos["alice/smiles"].private = True
    assert "alice/smiles" not in ids(Finder(hosted=True).find_packs())
    assert Finder(hosted=True).versions_of("bob/hats") == ["v2.0.0"]
    assert {request.token for request in shelf.log} == {""}
    assert "alice/smiles" in ids(Finder().find_packs()), "a person's own page uses it"


def test_the_same_question_is_asked_once_in_five_minutes(shelf: FakeHub) -> None:
    clock = Clock()
    finder = Finder(hosted=True, clock=clock)
    for words in ("smiles", "  Smiles", "SMILES\n"):
        assert ids(finder.find_packs(words)) == {"alice/smiles"}
    assert finder.versions_of("bob/hats") == finder.versions_of("bob/hats@v1.0.0") == ["v2.0.0"]
    assert len(shelf.requests(LISTS)) == 1
    assert len(shelf.requests("hats/refs")) == 1
    push(shelf, "bob/more-smiles")
    clock.now += finding.REMEMBERED_SECONDS
    assert ids(finder.find_packs("smiles")) == {"alice/smiles", "bob/more-smiles"}


def test_what_was_found_cannot_be_spoilt_by_who_got_it(shelf: FakeHub) -> None:
    finder = Finder()
    finder.find_packs("smiles").clear()
    finder.versions_of("bob/hats").clear()
    assert finder.find_packs("smiles") and finder.versions_of("bob/hats")


def test_a_generator_that_is_not_on_the_hub(hub: FakeHub) -> None:
    for generator in ("heads-64", "/etc/passwd", "a b/c", "x" * 5000):
        with pytest.raises(UnknownName, match="is not on the Hub") as told:
            Finder().find_packs(generator=generator)
        assert len(str(told.value)) < 400
    assert not hub.log


def test_versions_are_those_of_the_hub_alone(shelf: FakeHub, toy_bundles: object) -> None:
    finder = Finder(hosted=True)
    for source in ("toy-words", "", "  ", "sefa:toy", "sefa:acme/faces", "/tmp", "bob/hats:x.pkl", "bob/hats@v1 "):
        assert finder.versions_of(source) == []
    assert not shelf.log


# failures: one sentence each, within bounded time


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"drop": True}, "cannot be reached"),
        ({"status": 503}, "answered 503"),
        ({"status": 429, "headers": {"Retry-After": "290"}}, "limits how often"),
        ({"status": 401}, "token"),
    ],
)
def test_a_hub_that_fails_is_told_and_not_asked_again_at_once(
    shelf: FakeHub, fault: dict[str, object], told: str
) -> None:
    shelf.fault(".", times=-1, **fault)
    clock = Clock()
    finder = Finder(hosted=True, clock=clock)
    for call in (finder.find_packs, lambda: finder.versions_of("bob/hats")):
        with pytest.raises(HubError, match=told) as error:
            call()
        assert "\n" not in str(error.value) and len(str(error.value)) < 500
        asked = len(shelf.log)
        with pytest.raises(HubError, match=told):
            call()
        assert len(shelf.log) == asked, "it was told from memory"
    shelf.faults.clear()
    clock.now += finding.DOWN_SECONDS
    assert len(finder.find_packs()) == 3


def test_a_hub_that_is_down_is_left_alone_for_a_while(shelf: FakeHub) -> None:
    clock = Clock()
    finder = Finder(clock=clock)
    with pytest.raises(HubError, match="is not on"):
        finder.versions_of("nobody/nothing")
    assert finder.versions_of("bob/hats") == ["v2.0.0"], "what is missing says nothing of the rest"
    shelf.fault(".", times=-1, drop=True)
    asked = []
    for n in range(20):
        with pytest.raises(HubError, match="cannot be reached"):
            finder.find_packs(f"word {n}")
        asked.append(len(shelf.log))
    assert len(set(asked)) == 1, "one question alone was asked"
    shelf.faults.clear()
    clock.now += finding.DOWN_SECONDS
    assert len(finder.find_packs()) == 3


def test_a_busy_moment_is_waited_out(shelf: FakeHub) -> None:
    shelf.fault(LISTS, status=503, times=2)
    assert len(Finder().find_packs()) == 3


@pytest.mark.parametrize("damage", [b"not json", b"[1, 2]", b'[{"id": 7}]', b'{"a": 1}'])
def test_nonsense_from_the_hub_is_one_sentence_or_nothing(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    monkeypatch.setattr("tests.fakehub.server.ROUTES", [("GET", ".*", lambda _: damage)])
    try:
        assert Finder().find_packs() == []
    except EiganError as error:
        assert "\n" not in str(error)


def test_a_slow_hub_is_not_waited_for_and_its_answer_is_kept(shelf: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    answering = threading.Event()
    monkeypatch.setattr("tests.fakehub.server.ROUTES", slowly(answering))
    monkeypatch.setattr(finding, "PATIENCE", 0.1)
    finder = Finder(hosted=True)
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(HubError, match="has not answered within"):
            finder.find_packs()
    assert time.monotonic() - began < 5
    answering.set()
    monkeypatch.setattr(finding, "PATIENCE", 20.0)
    assert len(finder.find_packs()) == 3
    assert len(shelf.requests(LISTS)) == 1, "it was asked once for all three"


def slowly(answering: threading.Event) -> list[object]:
    from tests.fakehub.server import ROUTES, Handler

    def held(handle: object) -> object:
        def answer(h: Handler, **parts: str) -> object:
            assert answering.wait(20)
            return handle(h, **parts)  # type: ignore[operator]

        return answer

    return [(methods, pattern, held(handle)) for methods, pattern, handle in ROUTES]


def test_only_so_many_questions_are_on_their_way() -> None:
    remembered: Remembered[int, int] = Remembered()
    release = threading.Event()

    def slow() -> int:
        assert release.wait(20)
        return 1

    threads = [threading.Thread(target=remembered.get, args=(n, slow)) for n in range(finding.MAX_AT_ONCE)]
    for thread in threads:
        thread.start()
    while len(remembered._asked) < finding.MAX_AT_ONCE:
        time.sleep(0.001)
    with pytest.raises(HubError, match="many people"):
        remembered.get(99, lambda: 2)
    release.set()
    for thread in threads:
        thread.join(20)
    assert remembered.get(99, lambda: 2) == 2


def test_answers_do_not_pile_up() -> None:
    remembered: Remembered[int, int] = Remembered()
    for n in range(finding.MAX_REMEMBERED + 50):
        assert remembered.get(n, lambda n=n: n) == n  # type: ignore[misc]
    assert len(remembered._asked) == finding.MAX_REMEMBERED


def test_an_allowance_is_used_up_and_comes_back() -> None:
    clock = Clock()
    allowance = Allowance(10, clock)
    allowance.spend(6)
    clock.now += 100
    allowance.spend(4)
    with pytest.raises(HubError, match="search again in 200 s"):
        allowance.spend(1)
    clock.now += 200
    allowance.spend(6)
    with pytest.raises(HubError):
        allowance.spend(1)


def test_a_hosted_page_asks_only_so_often(shelf: FakeHub) -> None:
    finder = Finder(hosted=True)
    with pytest.raises(HubError, match="asked very often"):
        for n in range(1000):
            finder.find_packs(f"word {n}")
    assert len(shelf.log) <= finding.REQUESTS
    assert finding.REQUESTS < 500
    unlimited = Finder()
    for n in range(30):
        unlimited.find_packs(f"word {n}")


# what is shown


def test_rows_are_plain_bounded_text() -> None:
    hostile = Listing(
        "alice/smiles",
        "v1.0.0",
        tuple(f"{text}\n\x1b[31m\u202e" * 50 for text in HOSTILE.values()),
        "x" * 9999,
        HOSTILE["pole"] + "\r\n",
        5,
        6,
        "gated",
    )
    for cell in row(hostile):
        assert len(cell) <= finding.MAX_CELL
        assert cell.isprintable()
    assert row(hostile)[0] == "alice/smiles (gated)"
    assert "and 2 more" in row(hostile)[2]
    assert len(label(hostile)) < 6 * finding.MAX_CELL


def test_labels_and_sources() -> None:
    assert label(LISTING) == "alice/smiles v1.0.0 · smile · for acme/faces · licence cc0-1.0 · 5 likes"
    assert source_of(LISTING) == "alice/smiles@v1.0.0"
    plain = replace(LISTING, version="", directions=(), license="", generator="")
    assert label(plain) == "alice/smiles no version · generator not stated · licence not stated · 5 likes"
    assert source_of(plain) == "alice/smiles"


@pytest.mark.parametrize("repo_id", ["smiles", "../x", "a/b@v1", "a/b:c", "<b>/x", "https://evil.test/a"])
def test_ids_that_open_nothing_are_left_out(repo_id: str) -> None:
    assert not is_openable(replace(LISTING, repo_id=repo_id))
    assert is_openable(LISTING)


def test_words_about_what_was_found() -> None:
    assert found_words([], " hat\n", "acme/faces@v1") == (
        "No pack on the Hub with 'hat' for acme/faces. Leave the word out, or look for packs of any generator."
    )
    assert found_words([LISTING], "", "") == "1 pack on the Hub. Choose one, and open it."
    assert found_words([LISTING] * 12, "x", "").startswith("The 12 most downloaded with 'x'")
    assert len(tidy("x\n" * 10**6)) <= finding.MAX_WORDS
