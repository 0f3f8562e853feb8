"""eigan.hub against the real client and a fake Hub: what is asked, what is kept, and what a person is told."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from eigan import hub as eigan_hub
from eigan.errors import HubError, PackFormatError
from eigan.format import pack_files, read_pack
from eigan.hub import HubRef, ask, download, list_versions, parse_ref
from tests.fakehub.server import FakeHub
from tests.toys import toy_pack

REPO = "acme/smiles"
PATTERNS = ("config.json", "directions.safetensors", "presets.json", "previews/*.webp")
FILES = {"config.json": b"{}\n", "directions.safetensors": bytes(range(256)) * 40, "README.md": b"# hi\n"}
V1 = HubRef(REPO, "v1.0.0")
KEEPS_LISTS = hasattr(huggingface_hub, "get_cached_repo_tree")  # from 2.0 on: what a cached commit should hold


def get(ref: HubRef = V1, **options: object) -> eigan_hub.HubFolder:
    return download(ref, PATTERNS, **{"max_bytes": 10**6, "token": False, **options})  # type: ignore[arg-type]


@pytest.fixture
def pushed(hub: FakeHub) -> FakeHub:
    hub.store.push(REPO, FILES, tag="v1.0.0")
    return hub


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("org/name", HubRef("org/name")),
        ("org/name@v1.2.0", HubRef("org/name", "v1.2.0")),
        ("o_r-g/na.me@refs/pr/1", HubRef("o_r-g/na.me", "refs/pr/1")),
        (f"a/b@{'0' * 40}:sub dir/x.pkl", HubRef("a/b", "0" * 40, "sub dir/x.pkl")),
        ("org/name:net.pkl", HubRef("org/name", None, "net.pkl")),
    ],
)
def test_references_are_read_and_written_alike(text: str, ref: HubRef) -> None:
    assert parse_ref(text) == ref
    assert parse_ref(str(ref)) == ref


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "name",
            "a/b/c",
            "/a/b",
            "a/b/",
            "./a/b",
            "../a/b",
            "a/..",
            "a/b..c",
            "a--b/c",
            "a/b.git",
            "~/a",
            "C:/a",
            "C:\\a/b",
        ),
        *(
            "https://huggingface.co/a/b",
            "a/b@",
            "a/b:",
            "a/b@v1:",
            "a/b@../x",
            "a/b@x..y",
            "a/b@/x",
            "a/b@x/",
            "a/b@-x",
        ),
        *(
            "a/b@v1:/etc/passwd",
            "a/b@v1:../x",
            "a/b@v1:x/../y",
            "a/b@v1:x//y",
            "a/b@v1:.env",
            "a/b@v1:x/.env",
            "a/b@v1:x\\y",
        ),
        *(
            "a/b\n",
            "a/b@v1\n",
            "a/b?x=1",
            "a/b#x",
            "ä/b",
            "a/b@v1:x\0",
            "a" * 97 + "/b",
            "a/b@" + "v" * 101,
            "a/b:" + "x" * 201,
        ),
    ],
)
def test_nothing_else_is_a_reference(text: str) -> None:
    assert parse_ref(text) is None


def test_downloads_what_matches_of_one_commit(pushed: FakeHub) -> None:
    folder = get()
    assert folder.commit == pushed.store.repos[REPO].tags["v1.0.0"] == folder.path.name
    assert {p.name: p.read_bytes() for p in folder.path.iterdir()} == {
        n: FILES[n] for n in ("config.json", "directions.safetensors")
    }


def test_a_cached_tag_costs_one_request_and_a_cached_commit_none(pushed: FakeHub) -> None:
    folder = get()
    pushed.log.clear()
    assert get() == folder
    assert len(pushed.log) == 1
    pushed.log.clear()
    assert get(HubRef(REPO, folder.commit)) == folder
    assert len(pushed.log) == (0 if KEEPS_LISTS else 1)


def test_a_commit_that_is_only_partly_cached_is_completed(pushed: FakeHub) -> None:
    commit = download(V1, ["config.json"], max_bytes=100, token=False).commit
    assert (get(HubRef(REPO, commit)).path / "directions.safetensors").is_file()


def test_the_moved_branch_is_followed_and_the_old_tag_is_not(pushed: FakeHub) -> None:
    old = get()
    new_commit = pushed.store.push(REPO, {"config.json": b"new"})
    assert get(HubRef(REPO)).commit == new_commit
    assert get() == old


def test_asks_under_its_own_name_and_with_the_token_given(pushed: FakeHub) -> None:
    pushed.store.repos[REPO].private = True
    get(token="hf_alice")
    assert {r.token for r in pushed.log} == {"hf_alice"}
    assert all("eigan/" in r.agent for r in pushed.log)


def test_no_token_reaches_disk_or_log(pushed: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "eigan")
    pushed.fault("revision", times=2, status=503)
    get(token="hf_alice")
    kept = [p.read_bytes() for p in Path(constants.HF_HUB_CACHE).rglob("*") if p.is_file()]
    assert not any(b"hf_alice" in data for data in kept)
    assert "hf_alice" not in caplog.text
    with pytest.raises(HubError) as refused:
        get(token="hf_secret\nx")
    assert "hf_secret" not in str(refused.value)


def test_newest_versions_first_and_only_versions(hub: FakeHub) -> None:
    for tag in ("v1.0.0", "v1.10.0", "v1.9.3", "draft", "v2", "2.0.0", "v01.0.0"):
        hub.store.push(REPO, FILES, tag=tag)
    assert list_versions(REPO, token=False) == ["2.0.0", "v1.10.0", "v1.9.3", "v1.0.0"]


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"drop": True}])
def test_small_calls_are_asked_again_with_growing_pauses(pushed: FakeHub, fault: dict[str, object]) -> None:
    pushed.fault("/revision/", times=3, **fault)
    get()
    assert pushed.pauses == [1, 2, 4]


def test_a_refusal_is_not_asked_again(pushed: FakeHub) -> None:
    pushed.fault("/revision/", times=-1, status=403)
    with pytest.raises(HubError, match="may not read"):
        get()
    assert len(pushed.log) == 1


def test_a_slow_answer_is_not_waited_for() -> None:
    released = threading.Event()
    with pytest.raises(TimeoutError, match="no answer within"):
        ask(lambda: released.wait(10), attempts=1, deadline=0.05)
    released.set()


def test_rate_limits_are_waited_out_when_short_and_told_when_long(pushed: FakeHub) -> None:
    pushed.fault("/revision/", status=429, headers={"Retry-After": "7"})
    get()
    assert pushed.pauses == [7]
    pushed.fault("/refs", status=429, headers={"ratelimit": '"api";r=0;t=290'})
    with pytest.raises(HubError, match=r"wait 290 s.*hf auth login"):
        list_versions(REPO, token=False)


def unreachable(hub: FakeHub) -> None:
    hub.fault(".", times=-1, drop=True)


def test_unreachable_says_what_still_works(pushed: FakeHub) -> None:
    unreachable(pushed)
    with pytest.raises(HubError, match=r"cannot be reached.*HF_ENDPOINT.*[Bb]undled packs"):
        get()


def test_unreachable_falls_back_on_the_cached_copy_and_says_so(
    pushed: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    folder = get()
    unreachable(pushed)
    pushed.log.clear()
    assert get() == folder
    assert len(pushed.log) == 1
    assert "Using the cached copy" in caplog.text


@pytest.mark.skipif(not KEEPS_LISTS, reason="this huggingface_hub does not know what a cached commit should hold")
def test_a_copy_known_to_lack_a_file_is_no_fallback(pushed: FakeHub) -> None:
    download(V1, ["config.json"], max_bytes=100, token=False)
    unreachable(pushed)
    with pytest.raises(HubError, match="cannot be reached"):
        get()


def test_a_hub_that_stops_answering_halfway_gives_no_half_folder(pushed: FakeHub) -> None:
    download(V1, ["config.json"], max_bytes=100, token=False)
    pushed.fault("/tree/|^HEAD|^GET .*/resolve/", times=-1, drop=True)
    with pytest.raises(HubError, match="cannot be reached"):
        get(HubRef(REPO, "main"))


def test_a_new_commit_that_cannot_be_fetched_leaves_the_old_one_in_use(pushed: FakeHub) -> None:
    old = get(HubRef(REPO))
    pushed.store.push(REPO, {"config.json": b"new"})
    pushed.fault("^HEAD|/tree/", times=-1, drop=True)
    assert get(HubRef(REPO)) == old


def test_a_file_that_comes_with_an_error_is_asked_for_again(pushed: FakeHub) -> None:
    pushed.fault("^GET .*/resolve/.*config.json", status=503)
    assert (get().path / "config.json").read_bytes() == FILES["config.json"]


def test_a_server_error_says_to_come_back(pushed: FakeHub) -> None:
    pushed.fault("/revision/", times=-1, status=500)
    with pytest.raises(HubError, match="answered 500.*try again"):
        get()


@pytest.mark.parametrize(("token", "status"), [(False, 401), ("hf_bob", 404)])
def test_private_and_missing_look_the_same(pushed: FakeHub, token: object, status: int) -> None:
    pushed.store.repos[REPO].private = True
    for repo in (REPO, "acme/nothing-here"):
        with pytest.raises(HubError, match=f"{repo} is not on .*or it is private.*hf auth login"):
            get(HubRef(repo), token=token)
        assert pushed.log[-1].status == status


def test_gated_links_to_the_terms(pushed: FakeHub) -> None:
    pushed.store.repos[REPO].gated = True
    with pytest.raises(HubError, match=f"gated: accept its terms at {pushed.url}/{REPO}"):
        get(token="hf_bob")


def test_bad_token(pushed: FakeHub) -> None:
    with pytest.raises(HubError, match="does not accept this token.*settings/tokens"):
        get(token="hf_expired")


def test_unknown_revision_lists_the_versions(pushed: FakeHub) -> None:
    pushed.store.push(REPO, FILES, tag="v1.1.0")
    with pytest.raises(HubError, match=r"no revision 'v9.9.9'; its versions: v1\.1\.0, v1\.0\.0"):
        get(HubRef(REPO, "v9.9.9"))
    pushed.store.push("acme/untagged", FILES)
    with pytest.raises(HubError, match="no versions yet"):
        get(HubRef("acme/untagged", "v1.0.0"))
    pushed.fault("/refs", times=-1, drop=True)
    with pytest.raises(HubError, match="leave the revision out"):
        get(HubRef(REPO, "v9.9.9"))


def test_missing_file_lists_what_is_there(pushed: FakeHub) -> None:
    with pytest.raises(HubError, match=r"no file 'net.pkl'; it has .*config\.json"):
        download(HubRef(REPO, None, "net.pkl"), ["net.pkl"], max_bytes=10**6, token=False)
    with pytest.raises(HubError, match="holds none of \\*.pkl"):
        download(HubRef(REPO), ["*.pkl"], max_bytes=10**6, token=False)


def test_too_much_is_refused_before_the_first_byte(pushed: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HubError, match="10,243 bytes; at most 10,000"):
        get(max_bytes=10_000)
    monkeypatch.setattr(eigan_hub, "MAX_FILES", 1)
    with pytest.raises(HubError, match="2 files to download; at most 1"):
        get()
    assert not pushed.requests("/resolve/")


@pytest.mark.parametrize("name", ["previews/../../x.webp", "previews/..\\x.webp", "/previews/x.webp"])
def test_a_listed_name_that_leaves_its_folder_is_refused(hub: FakeHub, name: str) -> None:
    hub.store.push(REPO, {"config.json": b"", name: b""})
    with pytest.raises(HubError, match="would leave its folder"):
        download(HubRef(REPO), ["*.webp"], max_bytes=10**6, token=False)
    assert not hub.requests("/resolve/")


def test_offline_uses_the_cache_and_nothing_else(pushed: FakeHub) -> None:
    folder = get()
    pushed.log.clear()
    for revision in ("v1.0.0", folder.commit):
        assert get(HubRef(REPO, revision), offline=True) == folder
    with pytest.raises(HubError, match="not in the cache and eigan is offline"):
        get(HubRef(REPO, "v2.0.0"), offline=True)
    with pytest.raises(HubError, match="not in the cache and eigan is offline"):
        get(HubRef("acme/other"), offline=True)
    assert pushed.log == []


def test_hf_hub_offline_is_obeyed(pushed: FakeHub) -> None:
    folder = get()
    pushed.log.clear()
    code = (
        "from eigan.hub import *\n"
        f"print(download(HubRef({REPO!r}, 'v1.0.0'), {PATTERNS!r}, max_bytes=10**6).commit)\n"
        f"try: list_versions({REPO!r})\n"
        "except HubError as error: print(error)\n"
    )
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": constants.HF_HUB_CACHE}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | offline, capture_output=True, text=True, check=True
    )
    commit, sentence = done.stdout.splitlines()
    assert commit == folder.commit
    assert "HF_HUB_OFFLINE=1" in sentence
    assert pushed.log == []


def test_damage_on_the_way_is_mended_by_asking_again(pushed: FakeHub) -> None:
    pushed.fault("^GET .*/directions.safetensors", corrupt=True)
    assert (get().path / "directions.safetensors").read_bytes() == FILES["directions.safetensors"]
    assert len(pushed.requests("^GET .*/directions.safetensors")) == 2


@pytest.mark.parametrize("name", ["directions.safetensors", "config.json"])  # by sha256, by git's id
def test_lasting_damage_is_refused_and_not_kept(pushed: FakeHub, name: str) -> None:
    pushed.fault(f"^GET .*/{name}", times=2, corrupt=True)
    with pytest.raises(HubError, match=f"arrived damaged twice \\({name}\\)"):
        get()
    assert (get().path / name).read_bytes() == FILES[name]


def test_damage_in_the_cache_is_caught_by_the_pack_itself(hub: FakeHub) -> None:
    commit = hub.store.push(REPO, pack_files(toy_pack(), {}))
    folder = get(HubRef(REPO, commit))
    assert read_pack(folder.path).names == toy_pack().names
    blob = (folder.path / "directions.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"\0")
    with pytest.raises(PackFormatError, match="not the file that config.json lists"):
        read_pack(get(HubRef(REPO, commit)).path)


def test_a_full_disk_is_told_and_the_next_try_succeeds(pushed: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.file_download.http_get", full)
        with pytest.raises(HubError, match="disk is full.*HF_HOME"):
            get()
        with pytest.raises(HubError, match="not in the cache"):
            get(offline=True)
    assert (get().path / "config.json").read_bytes() == FILES["config.json"]
