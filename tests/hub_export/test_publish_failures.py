"""Every way in which publishing is cut short or turned away: what is there then, what is said, what a re-run does."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from eigan import hub as eigan_hub
from eigan.errors import HubError, PackFormatError, PublishError, PublishInterrupted
from eigan.format import VECTORS, save_pack
from eigan.hub import HubRef, download
from eigan.sources import load_pack
from hub_export import cli
from hub_export.publish import Published, carry_out, plan, publish
from tests.fakehub.server import FakeHub, Handler
from tests.toys import toy_pack

REPO = "alice/smiles"
WRITES = "^(POST|PUT|DELETE) "
PICTURE = b"RIFF\0" * 50


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pack with two files that go up before the commit: the vectors and a picture."""
    save_pack(toy_pack(), tmp_path / "pack", {"previews/smile.webp": PICTURE})
    return tmp_path / "pack"


def go(folder: Path, version: str = "1.0.0", repo: str = REPO, **options: object) -> Published:
    return publish(folder, repo, version, **{"token": "hf_alice", **options})  # type: ignore[arg-type]


def commits(hub: FakeHub) -> int:
    return len(hub.store.repos[REPO].commits) - 1


# the upload is cut short


def test_an_upload_that_is_cut_off_goes_on_where_it_stopped(hub: FakeHub, folder: Path) -> None:
    hub.fault("^PUT /lfs/", after=1, times=-1, drop=True)
    with pytest.raises(PublishError, match=r"cannot be reached .* nothing was published\. Check the network, then run"):
        go(folder)
    assert (commits(hub), len(hub.store.objects), hub.store.repos[REPO].tags) == (0, 1, {})
    hub.faults.clear()
    hub.log.clear()
    published = go(folder)
    assert len(hub.requests("^PUT /lfs/")) == 1, "what had arrived is not sent again"
    assert hub.store.repos[REPO].tags == {"v1.0.0": published.commit}
    assert load_pack(f"{REPO}@v1.0.0", token=False).names == toy_pack().names


def test_an_upload_that_is_cut_off_once_is_not_noticed(hub: FakeHub, folder: Path) -> None:
    hub.fault("^PUT /lfs/", drop=True)
    assert go(folder).commit == hub.store.repos[REPO].tags["v1.0.0"]
    assert commits(hub) == 1


STOPS = {
    "create_repo": (False, "nothing was published, but the repository may be there, empty"),
    "update_repo_settings": (False, "nothing was published, but the repository may be there, empty"),
    "preupload_lfs_files": (False, "the files may be on the Hub, untagged"),
    "create_commit": (False, "the files may be on the Hub, untagged"),
    "create_tag": (True, r"the files are on the Hub \(commit [0-9a-f]{8}\), the tag v1.0.0 maybe not"),
}


def stopped_at(monkeypatch: pytest.MonkeyPatch, call: str, *, after: bool) -> None:
    """Ctrl-C when that call is made, `after` its work was done or before, once."""
    real: Callable[..., object] = getattr(HfApi, call)

    def stop(*arguments: object, **options: object) -> object:
        monkeypatch.setattr(HfApi, call, real)
        if after:
            real(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(HfApi, call, stop)
    monkeypatch.setattr(eigan_hub, "_within", lambda seconds, call: call())  # Ctrl-C reaches the main thread alone


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", STOPS)
def test_ctrl_c_says_what_is_there_and_a_re_run_goes_on(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, after: bool
) -> None:
    has_files, sentence = STOPS[call]
    with monkeypatch.context() as patch:
        stopped_at(patch, call, after=after)
        with pytest.raises(PublishInterrupted, match=f"^stopped: {sentence}. Run the same command again"):
            go(folder, gated="auto")
    if has_files:
        assert commits(hub) == 1
    published = go(folder, gated="auto")
    assert (commits(hub), hub.store.repos[REPO].tags) == (1, {"v1.0.0": published.commit})
    assert hub.store.repos[REPO].gated == "auto"


def test_ctrl_c_is_no_traceback_and_has_the_shells_status(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped_at(monkeypatch, "create_commit", after=False)
    command = ["hub-export", "publish", str(folder), "--repo", REPO, "--version", "1.0.0", "--token", "hf_alice"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 130
    message = " ".join(capsys.readouterr().err.split())
    assert "stopped: the files may be on the Hub, untagged. Run the same command again" in message
    assert "Traceback" not in message


# the token


def revoke_at(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, match: str) -> None:
    """The token stops being one when a request comes that matches."""
    real = Handler._dispatch

    def dispatch(handler: Handler) -> object:
        if re.search(match, f"{handler.command} {handler.route}"):
            hub.store.tokens.pop("hf_alice", None)
        return real(handler)

    monkeypatch.setattr(Handler, "_dispatch", dispatch)


@pytest.mark.parametrize(
    ("match", "state", "files"),
    [
        ("^POST .*/preupload/", "nothing was published", 0),
        ("^POST .*/commit/", "nothing was published", 0),
        ("^GET .*/revision/[0-9a-f]{40}", "the files are on the Hub .*, only the tag v1.0.0 is not", 1),
        ("^POST .*/tag/", "the files are on the Hub .*, only the tag v1.0.0 is not", 1),
    ],
)
def test_a_token_that_is_revoked_in_the_middle(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch, match: str, state: str, files: int
) -> None:
    account = hub.store.tokens["hf_alice"]
    with monkeypatch.context() as patch:
        revoke_at(hub, patch, match)
        with pytest.raises(PublishError, match=f"does not accept this token for {REPO}: {state}; .*been revoked"):
            go(folder)
    assert (commits(hub), hub.store.repos[REPO].tags) == (files, {})
    hub.store.tokens["hf_new"] = account
    go(folder, token="hf_new")
    assert commits(hub) == 1


@pytest.mark.parametrize("token", ["hf_bob", "hf_reader"])
def test_an_organisation_one_is_not_in_or_may_not_write_to(hub: FakeHub, folder: Path, token: str) -> None:
    wanted = {"hf_bob": "bob may not publish under 'acme'; use one of: bob", "hf_reader": "may only read"}[token]
    with pytest.raises(PublishError, match=f"{wanted}.*nothing was published"):
        go(folder, repo="acme/smiles", token=token)
    assert not hub.store.repos


def test_an_organisation_one_is_in(hub: FakeHub, folder: Path) -> None:
    assert go(folder, repo="acme/smiles").load_line == 'eigan.DirectionPack.load("acme/smiles@v1.0.0")'


# a Hub that is busy, or silent


def test_a_rate_limit_on_the_commit_is_waited_out(hub: FakeHub, folder: Path) -> None:
    hub.fault("^POST .*/commit/", status=429, headers={"Retry-After": "7"})
    go(folder)
    assert (commits(hub), hub.pauses) == (1, [7.0])


def test_a_long_rate_limit_is_told(hub: FakeHub, folder: Path) -> None:
    hub.fault("^POST .*/commit/", status=429, headers={"Retry-After": "900"})
    with pytest.raises(PublishError, match="limits how often .* wait 900 s.*nothing was published"):
        go(folder)
    assert (commits(hub), hub.pauses) == (0, [])


@pytest.mark.parametrize("match", ["^GET .*/refs", "^POST /api/repos/create", "^GET .*/revision/", "^POST .*/tag/"])
def test_a_hub_that_never_answers_is_not_waited_for(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch, match: str
) -> None:
    monkeypatch.setattr(eigan_hub.ask, "__kwdefaults__", {"attempts": 4, "deadline": 0.1})
    hub.fault(match, times=4, delay=0.3, drop=True)
    with pytest.raises(PublishError, match=r"cannot be reached \(TimeoutError\)"):
        go(folder)


def test_a_commit_that_never_answers_is_looked_up(hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deadlines: list[float] = []

    def impatient(call: Callable[[], object], **options: Any) -> object:
        answer = eigan_hub.ask(call)
        if seconds := options.get("deadline"):  # the commit: its answer gets lost
            deadlines.append(seconds)
            raise TimeoutError("no answer")
        return answer

    monkeypatch.setattr("hub_export.repository.ask", impatient)
    assert go(folder).commit == hub.store.repos[REPO].head
    assert (commits(hub), len(deadlines)) == (1, 1)
    assert 120 <= deadlines[0] < 150


# other people's repositories, and who may read


def test_a_repository_of_something_else_is_not_overwritten(hub: FakeHub, folder: Path) -> None:
    hub.store.push(REPO, {"config.json": b'{"format": "other", "x": 1}', "README.md": b"# mine"})
    with pytest.raises(PublishError, match=r"holds a config.json that is no direction pack's \(other\)"):
        go(folder)
    hub.store.push(REPO, {"config.json": b"[]"})
    with pytest.raises(PublishError, match="something else"):
        go(folder)
    assert not hub.requests(WRITES)


def test_a_repository_with_only_a_readme_is_taken(hub: FakeHub, folder: Path) -> None:
    hub.store.push(REPO, {"README.md": b"# soon"})
    go(folder)
    assert hub.store.repos[REPO].files["README.md"].data != b"# soon"


def test_private_where_it_is_public_is_refused(hub: FakeHub, folder: Path) -> None:
    hub.store.create(REPO)
    hub.log.clear()
    with pytest.raises(PublishError, match=f"{REPO} is public, so nothing was published; make it private at {hub.url}"):
        go(folder, private=True)
    assert not hub.requests(WRITES)


def test_private_twice_is_fine(hub: FakeHub, folder: Path) -> None:
    go(folder, private=True)
    assert go(folder, private=True).already_there
    with pytest.raises(HubError, match="or it is private"):
        load_pack(f"{REPO}@v1.0.0", token="hf_bob")


@pytest.mark.parametrize("gate", ["auto", "manual"])
def test_the_gate_is_shut_before_the_first_file_comes(hub: FakeHub, folder: Path, gate: str) -> None:
    go(folder, gated=gate)
    writes = hub.requests(WRITES)
    assert writes[:2] == ["POST /api/repos/create", f"PUT /api/models/{REPO}/settings"]
    assert hub.store.repos[REPO].gated == gate
    hub.log.clear()
    assert go(folder, gated=gate).already_there
    assert not hub.requests(WRITES)


def test_a_gate_can_be_shut_later_and_stays_shut(hub: FakeHub, folder: Path) -> None:
    first = go(folder)
    assert go(folder, gated="manual").already_there
    assert (hub.store.repos[REPO].gated, commits(hub)) == ("manual", 1)
    save_pack(toy_pack(), folder)
    second = go(folder, "1.0.1")
    assert hub.store.repos[REPO].gated == "manual"
    assert second.commit != first.commit
    with pytest.raises(HubError, match=f"gated: accept its terms at {hub.url}/{REPO} while signed in"):
        load_pack(f"{REPO}@v1.0.1", token="hf_bob")
    assert load_pack(f"{REPO}@v1.0.1", token="hf_alice").version == "1.0.1"


def test_a_gate_that_may_not_be_set_leaves_nothing(hub: FakeHub, folder: Path) -> None:
    hub.fault("^PUT .*/settings", status=403)
    with pytest.raises(PublishError, match="may not write there.*nothing was published"):
        go(folder, gated="auto")
    assert commits(hub) == 0


# bytes


def test_the_same_version_with_other_bytes_names_what_differs(hub: FakeHub, folder: Path) -> None:
    go(folder)
    save_pack(toy_pack(), folder, {"previews/smile.webp": PICTURE + b"!"})
    with pytest.raises(PublishError, match=r"exists with other bytes \(config.json, previews/smile.webp\), and a pub"):
        go(folder)


def test_a_file_that_went_away_while_publishing_is_named(hub: FakeHub, folder: Path) -> None:
    release = plan(folder, REPO, "1.0.0", token="hf_alice")
    (folder / VECTORS).unlink()
    with pytest.raises(PublishError, match=f"{VECTORS}"):
        carry_out(release, token="hf_alice")
    assert REPO not in hub.store.repos or commits(hub) == 0


def test_same_size_damage_in_the_cache_heals_when_loaded(hub: FakeHub, folder: Path) -> None:
    commit = go(folder).commit
    names = load_pack(f"{REPO}@{commit}", token=False).names
    blob = (download(HubRef(REPO, commit), [VECTORS], max_bytes=10**6).path / VECTORS).resolve()
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(PackFormatError, match=f"{VECTORS} in .* is not the file that config.json lists; download it"):
        load_pack(f"{REPO}@{commit}", token=False, offline=True)
    hub.log.clear()
    assert load_pack(f"{REPO}@{commit}", token=False).names == names
    assert blob.read_bytes() == whole
    assert len(hub.requests("^GET .*/resolve/")) == 1, "only the damaged file comes anew"


def test_a_pack_that_is_malformed_on_the_hub_says_so_once(hub: FakeHub, folder: Path) -> None:
    go(folder)
    hub.store.push(REPO, {VECTORS: b"other bytes"}, "v1.0.1")
    with pytest.raises(PackFormatError, match="is not the file that config.json lists"):
        load_pack(f"{REPO}@v1.0.1", token=False)
