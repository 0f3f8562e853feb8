"""Publishing from the page, to a fake Hub: in whose name, what is shown before, and that no failure leaves half."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from eigan.errors import PublishError
from eigan.sources import load_pack
from eigan.ui import publishing
from eigan.ui.naming import About, Draft, Entry, Source, build
from eigan.ui.packing import Built, finish
from eigan.ui.publishing import (
    LOGIN_ENV,
    Order,
    Publisher,
    can_sign_in,
    care,
    digest,
    is_at_home,
    machine_publisher,
    plan_html,
    publish,
    published_html,
    release_of,
    signed_in_publisher,
    story,
    words_of_page,
)
from eigan.ui.session import Studios
from hub_export.publish import Published
from tests.fakehub.server import FakeHub
from tests.ui.bundles import HOSTILE

ALICE = Publisher("alice", "hf_alice")
ORDER = Order("alice/people", "1.0.0")
WRITES = "^(POST|PUT|DELETE) "


@pytest.fixture
def built(toy_bundles: Path) -> Built:
    return built_of({"joy": "smile"})


def built_of(names: dict[str, str]) -> Built:
    """The pack of these names for directions of the toy words."""
    studios = Studios()
    source = Source("toy-words", studios.load_pack("toy-words"))
    draft = Draft()
    for name, fitted in names.items():
        draft = draft.put(Entry("toy-words", fitted, name), source)
    return finish(build(draft, About("people"), {"toy-words": source}), studios.open("toy-words"))


def go(built: Built, order: Order = ORDER, publisher: Publisher = ALICE) -> Published:
    """As the page does: shown, agreed to, done."""
    with release_of(built, order, publisher) as release:
        agreed = digest(release)
    with release_of(built, order, publisher) as release:
        assert digest(release) == agreed
        return publish(release, publisher)


def sign_machine_in(token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(token)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(path))


# ---- as whom


def test_the_machine_publishes_as_whoever_its_token_is_of(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sign_machine_in("hf_bob", monkeypatch, tmp_path)
    who = machine_publisher(at_home=True)
    assert (who.name, who.words()) == ("bob", "as bob, with the Hub token of this machine")
    machine_publisher(at_home=True)
    assert len(hub.requests("whoami")) == 1, "asked once: the Hub limits it strictly"
    sign_machine_in("hf_reader", monkeypatch, tmp_path)
    assert machine_publisher(at_home=True).name == "alice", "another token is asked about anew"


def test_no_token_a_revoked_one_and_a_hub_that_is_down_are_told_apart(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(PublishError, match="no Hub token on this machine; run `hf auth login`"):
        machine_publisher(at_home=True)
    sign_machine_in("hf_revoked_last_week", monkeypatch, tmp_path)
    with pytest.raises(PublishError, match="does not accept the token of this machine"):
        machine_publisher(at_home=True)
    sign_machine_in("hf_never_asked_before", monkeypatch, tmp_path)
    hub.store.tokens["hf_never_asked_before"] = hub.store.tokens["hf_bob"]
    hub.fault("whoami", drop=True)
    with pytest.raises(PublishError, match="cannot be reached, so nothing can be published now"):
        machine_publisher(at_home=True)
    hub.fault("whoami", status=503)
    with pytest.raises(PublishError, match="Try again in a few minutes"):
        machine_publisher(at_home=True)
    assert machine_publisher(at_home=True).name == "bob", "a failure is not remembered"


def test_nobody_else_publishes_with_the_machines_token(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sign_machine_in("hf_alice", monkeypatch, tmp_path)
    with pytest.raises(PublishError, match="only from the machine that it runs on"):
        machine_publisher(at_home=False)
    assert not hub.requests()


@pytest.mark.parametrize(
    ("client", "headers", "at_home"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:7860"}, True),
        ("127.0.0.1", {"host": "localhost:7860"}, True),
        ("::1", {"host": "[::1]:7860", "origin": "http://[::1]:7860"}, True),
        ("192.168.0.7", {"host": "127.0.0.1:7860"}, False),
        ("127.0.0.1", {"host": "192.168.0.2:7860"}, False),
        ("127.0.0.1", {"host": "rebound.evil.test:7860", "origin": "http://rebound.evil.test:7860"}, False),
        ("127.0.0.1", {"host": "127.0.0.1:7860", "origin": "http://evil.test"}, False),
        ("127.0.0.1", {"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:9999"}, False),
        ("127.0.0.1", {"host": "127.0.0.1:7860", "origin": "null"}, False),
        ("127.0.0.1", {"host": "127.0.0.1:7860", "x-forwarded-for": "127.0.0.1"}, False),
        ("127.0.0.1", {"host": "127.0.0.1@evil.test"}, False),
        ("127.0.0.1", {"host": "[::1"}, False),
        ("127.0.0.1", {}, False),
        ("", {"host": "localhost"}, False),
    ],
)
def test_at_home_is_this_page_in_a_browser_of_this_machine(client: str, headers: dict[str, str], at_home: bool) -> None:
    assert is_at_home(client, headers) is at_home


@pytest.mark.parametrize(("name", "token"), [(None, None), ("alice", None), (None, "hf_alice"), ("alice", "")])
def test_visitors_sign_in_first(name: str | None, token: str | None) -> None:
    with pytest.raises(PublishError, match="nobody is signed in"):
        signed_in_publisher(name, token)


def test_signing_in_wants_a_space_that_may_ask_and_the_libraries(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    space = dict.fromkeys((*LOGIN_ENV, "SPACE_ID"), "something")
    monkeypatch.setattr(publishing, "LOGIN_LIBRARIES", ("json",))
    assert can_sign_in(space)
    assert not any(can_sign_in({**space, name: ""}) for name in space)
    monkeypatch.setattr(publishing, "LOGIN_LIBRARIES", ("json", "no_such_library"))
    assert not can_sign_in(space)
    assert "no_such_library is not installed" in caplog.text


def test_a_token_is_nowhere_to_be_seen(hub: FakeHub, built: Built, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with release_of(built, ORDER, ALICE) as release:
        shown = plan_html(release, ALICE)
        done = publish(release, ALICE)
    told = [repr(ALICE), str(ALICE), ALICE.words(), shown, published_html(done, private=False)]
    told += [record.getMessage() for record in caplog.records if record.name.startswith(("eigan", "hub_export"))]
    assert not any("hf_alice" in text for text in told)


# ---- what is shown, and done


def test_what_was_shown_is_what_is_done(hub: FakeHub, built: Built) -> None:
    with release_of(built, ORDER, ALICE) as release:
        html = plan_html(release, ALICE, ("Mind: this.",))
    assert "<strong>alice/people</strong> version 1.0.0, as alice, signed in with Hugging Face" in html
    assert "The repository will be made, public." in html
    assert "<li>Mind: this.</li>" in html
    assert "previews/joy.webp" in html
    assert not hub.requests(WRITES), "looking writes nothing"
    done = go(built)
    assert (done.repo_id, done.version, done.load_line) == (
        "alice/people",
        "1.0.0",
        'eigan.DirectionPack.load("alice/people@v1.0.0")',
    )
    pack = load_pack("alice/people@v1.0.0", token=False)
    assert (pack.names, pack.license) == (["joy"], "cc0-1.0")
    assert "hf_alice" not in (Path(constants.HF_HUB_CACHE) / "models--alice--people").as_posix()
    assert f'href="{hub.url}/alice/people/tree/v1.0.0"' in published_html(done, private=False)
    with release_of(built, ORDER, ALICE) as release:
        assert release.is_tagged
        assert "nothing to do" in story(release)[0]


def test_the_next_version_says_what_it_changes(hub: FakeHub, built: Built) -> None:
    go(built)
    more = built_of({"joy": "smile", "years": "age"})
    with release_of(more, replace(ORDER, version="1.0.1"), ALICE) as release:
        lines = story(release)
        html = plan_html(release, ALICE)
    assert any(line.startswith("Since v1.0.0:") and "years" in line for line in lines)
    assert any("asks for version 1.1.0" in line for line in lines)
    assert "changed" in html
    go(more, Order("alice/people", "v1.1.0", message="- years"))
    assert load_pack("alice/people@v1.1.0", token=False).names == ["joy", "years"]
    assert load_pack("alice/people@v1.0.0", token=False).names == ["joy"]


def test_what_changes_between_looking_and_pressing_is_another_release(hub: FakeHub, built: Built) -> None:
    digests = set()
    for order in (ORDER, replace(ORDER, version="1.0.1"), replace(ORDER, private=True), replace(ORDER, message="x")):
        with release_of(built, order, ALICE) as release:
            digests.add(digest(release))
    other = built_of({"glee": "smile"})
    with release_of(other, ORDER, ALICE) as release:
        digests.add(digest(release))
    go(other, replace(ORDER, version="0.1.0"))
    with release_of(built, ORDER, ALICE) as release:
        digests.add(digest(release))
    assert len(digests) == 6


def test_private_is_private(hub: FakeHub, built: Built) -> None:
    done = go(built, replace(ORDER, private=True))
    assert hub.store.repos["alice/people"].private
    assert "Only you can see it." in published_html(done, private=True)
    go(built_of({"glee": "smile"}), Order("alice/open", "1.0.0"))
    with pytest.raises(PublishError, match="is public, so nothing was published"):
        go(built, Order("alice/open", "1.0.1", private=True))


@pytest.mark.parametrize(
    ("order", "publisher", "message"),
    [
        (Order("people", "1.0.0"), ALICE, "write user/name"),
        (Order("", "1.0.0"), ALICE, "write user/name"),
        (Order("alice/people", "1"), ALICE, "MAJOR.MINOR.PATCH"),
        (ORDER, Publisher("alice", "hf_reader"), "may only read"),
        (ORDER, Publisher("bob", "hf_bob"), "may not publish under 'alice'"),
        (ORDER, Publisher("alice", "hf_gone"), "does not accept this token"),
        (ORDER, Publisher("alice", "a b\n"), "token holds a space"),
    ],
)
def test_what_cannot_be_published_is_said_and_nothing_is_there(
    hub: FakeHub, built: Built, order: Order, publisher: Publisher, message: str
) -> None:
    with pytest.raises(Exception, match=message) as caught:
        go(built, order, publisher)
    assert publisher.token not in str(caught.value)
    assert not hub.store.repos


@pytest.mark.parametrize("is_machine", [False, True])
@pytest.mark.parametrize(
    ("fault", "token"),
    [
        ({}, "hf_gone"),
        ({}, "hf_reader"),
        ({"status": 403}, "hf_alice"),
        ({"status": 500}, "hf_alice"),
        ({"drop": True}, "hf_alice"),
        ({"status": 412}, "hf_alice"),
    ],
)
def test_errors_speak_of_the_page(
    hub: FakeHub, built: Built, fault: dict[str, object], token: str, is_machine: bool
) -> None:
    if fault:
        hub.fault("^POST .*/(commit|create)", times=-1, **fault)
    who = Publisher("alice", token, is_machine)
    with pytest.raises(PublishError) as caught, words_of_page(who), release_of(built, ORDER, who) as release:
        publish(release, who)
    text = str(caught.value)
    assert "same command" not in text
    assert is_machine or not any(word in text for word in ("hf auth login", "settings/tokens", "token"))


def test_a_version_that_exists_with_other_files_stays(hub: FakeHub, built: Built) -> None:
    first = go(built)
    with pytest.raises(PublishError, match=r"exists with other bytes.*publish as 1\.0\.1"):
        go(built_of({"glee": "smile"}))
    assert hub.store.repos["alice/people"].tags == {"v1.0.0": first.commit}


@pytest.mark.parametrize("fault", ["^POST .*/repos/create", "^POST .*/commit/", "^POST .*/tag/"])
def test_a_hub_that_goes_down_in_the_middle_is_gone_on_with(hub: FakeHub, built: Built, fault: str) -> None:
    hub.fault(fault, times=-1, drop=True)
    with pytest.raises(PublishError):
        go(built)
    hub.faults.clear()
    done = go(built)
    repo = hub.store.repos["alice/people"]
    assert (repo.tags, len(repo.commits)) == ({"v1.0.0": done.commit}, 2), "one commit after the first, and one tag"
    assert load_pack("alice/people@v1.0.0", token=False).names == ["joy"]


def test_nothing_is_left_in_the_temporary_folder(
    hub: FakeHub, built: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(publishing.tempfile, "tempdir", str(tmp_path / "room"))
    (tmp_path / "room").mkdir()
    go(built)
    with pytest.raises(PublishError), release_of(built, Order("nowhere", "1.0.0"), ALICE):
        raise AssertionError("not planned")
    assert not list((tmp_path / "room").iterdir())


def test_strangers_words_are_shown_as_words(hub: FakeHub, built: Built) -> None:
    go(built)
    hostile = built_of({HOSTILE["name"]: "smile", HOSTILE["direction"]: "age"})
    with release_of(hostile, Order("alice/people", "2.0.0", message=HOSTILE["description"]), ALICE) as release:
        html = plan_html(release, replace(ALICE, name="<b>eve</b>"), (HOSTILE["pole"],))
    assert "<img" not in html
    assert "<script" not in html
    assert "<iframe" not in html
    assert "<b>" not in html
    assert "&lt;img" in html


def test_care_is_asked_for_where_licences_or_generators_want_it(toy_bundles: Path, tmp_path: Path) -> None:
    pack = Studios().load_pack("toy-words")
    assert care(pack, "cc0-1.0") == ()
    assert care(replace(pack, license="mit"), "cc0-1.0") == (
        "Mind: the directions are from packs under cc0-1.0; yours says mit.",
    )
    assert "Non-commercial" in care(replace(pack, license="cc-by-nc-4.0"), "cc-by-nc-4.0")[0]
    local = replace(pack, made_for=replace(pack.made_for, source=str(tmp_path)))
    assert "a file of this machine" in care(local, "cc0-1.0")[0]
