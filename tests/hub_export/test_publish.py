"""Publishing against the real client and a fake Hub: versions never change, and failures leave nothing half done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi

from eigan.errors import PackFormatError, PublishError
from eigan.format import MANIFEST, read_pack, save_pack
from eigan.hub import HubRef, download
from eigan.pack import DirectionPack
from eigan.sources import load_pack
from hub_export.publish import Published, carry_out, plan, publish
from hub_export.staging import sizes
from tests.fakehub.server import FakeHub
from tests.fakehub.store import File, Repo, Store
from tests.toys import toy_pack

REPO = "alice/smiles"
WRITES = "^(POST|PUT|DELETE) "
SHARED = Path(os.environ.get("EIGAN_FAKEHUB", Path(__file__).parents[3] / "shared/fakehub/fakehub.py"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_pack(
        toy_pack(),
        tmp_path / "pack",
        {"previews/smile.webp": b"RIFF", "CHANGELOG.md": b"# Changelog\n\n## Unreleased\n\n- first\n"},
    )
    return tmp_path / "pack"


def louder(folder: Path) -> None:
    """Another version's content: one direction has another sigma."""
    pack = read_pack(folder)
    save_pack(replace(pack, directions=(replace(pack.directions[0], sigma=0.75), *pack.directions[1:])), folder)


def go(folder: Path, version: str = "1.0.0", **options: object) -> Published:
    return publish(folder, REPO, version, **{"token": "hf_alice", **options})  # type: ignore[arg-type]


def commits(hub: FakeHub) -> int:
    """Commits made by publishing."""
    return len(hub.store.repos[REPO].commits) - 1


def load(version: str) -> DirectionPack:
    return load_pack(f"{REPO}@v{version}", token=False)


def test_publish_then_load(hub: FakeHub, folder: Path) -> None:
    published = go(folder)
    assert published.url == f"{hub.url}/{REPO}/tree/v1.0.0"
    assert published.load_line == 'eigan.DirectionPack.load("alice/smiles@v1.0.0")'
    assert hub.store.repos[REPO].tags == {"v1.0.0": published.commit}
    pack = load("1.0.0")
    assert (pack.version, pack.revision, pack.names) == ("1.0.0", published.commit, toy_pack().names)
    assert torch.equal(pack["smile"].vector, toy_pack()["smile"].vector)
    assert set(published.uploaded) == set(hub.store.repos[REPO].files) - {".gitattributes"}


def test_folders_of_this_machine_are_not_published(hub: FakeHub, folder: Path) -> None:
    pack = toy_pack()
    made_for = replace(pack.made_for, source="/home/someone/private/faces.pkl")
    save_pack(replace(pack, made_for=made_for), folder)
    go(folder)
    published = download(HubRef(REPO, "v1.0.0"), ["*.json", "*.md"], max_bytes=10**6).path
    assert load("1.0.0").made_for.source == "faces.pkl"
    assert not any("someone" in (published / name).read_text() for name in ("config.json", "README.md"))


def test_versions_stand_side_by_side_and_the_old_one_keeps_its_bytes(hub: FakeHub, folder: Path) -> None:
    first = go(folder)
    before = dict(hub.store.repos[REPO].files)
    louder(folder)
    second = go(folder, "1.1.0", message="- louder smile\n- nothing else")
    assert second.commit != first.commit
    assert hub.store.repos[REPO].commits[hub.store.repos[REPO].tags["v1.0.0"]] == before
    assert (load("1.0.0")["smile"].sigma, load("1.1.0")["smile"].sigma) == (0.5, 0.75)
    files = hub.store.repos[REPO].files
    assert "previews/smile.webp" not in files, "a file that vanished from the folder vanishes from the next version"
    assert files["CHANGELOG.md"].data.decode() == (
        "# Changelog\n\n## 1.1.0\n\n- louder smile\n- nothing else\n\n## 1.0.0\n\n- first\n"
    )
    assert "@v1.1.0" in files["README.md"].data.decode()


def test_files_that_are_not_a_packs_are_left_alone(hub: FakeHub, folder: Path) -> None:
    go(folder)
    hub.store.push(REPO, {"LICENSE": b"be kind"})
    louder(folder)
    go(folder, "1.1.0")
    assert hub.store.repos[REPO].files["LICENSE"].data == b"be kind"


def test_the_same_again_writes_nothing(hub: FakeHub, folder: Path) -> None:
    first = go(folder)
    hub.log.clear()
    again = go(folder)
    assert (again.commit, again.already_there, first.already_there) == (first.commit, True, False)
    assert not hub.requests(WRITES)
    louder(folder)
    go(folder, "1.1.0")
    shutil.rmtree(folder)
    save_pack(
        toy_pack(),
        folder,
        {"previews/smile.webp": b"RIFF", "CHANGELOG.md": b"# Changelog\n\n## Unreleased\n\n- first\n"},
    )
    assert go(folder).already_there, "the old version can be recognised beside a newer one"
    assert commits(hub) == 2


def test_a_version_never_changes_and_never_goes_back(hub: FakeHub, folder: Path) -> None:
    go(folder)
    louder(folder)
    with pytest.raises(PublishError, match=r"1\.0\.0 of alice/smiles exists with other bytes.*publish as 1\.0\.1"):
        go(folder)
    go(folder, "2.0.0")
    with pytest.raises(PublishError, match=r"is at 2\.0\.0 already.*publish as 2\.0\.1 or higher"):
        go(folder, "1.5.0")
    assert commits(hub) == 2


def test_a_crash_between_commit_and_tag_is_mended_by_running_again(hub: FakeHub, folder: Path) -> None:
    hub.fault("^POST .*/tag/", times=4, drop=True)
    with pytest.raises(PublishError, match=r"the files are on the Hub \(commit .*\), only the tag v1.0.0 is not"):
        go(folder)
    assert (commits(hub), hub.store.repos[REPO].tags) == (1, {})
    hub.log.clear()
    published = go(folder)
    assert (commits(hub), hub.store.repos[REPO].tags) == (1, {"v1.0.0": published.commit})
    assert hub.requests(WRITES) == [f"POST /api/models/{REPO}/tag/{published.commit}"]


@pytest.mark.parametrize("late", [False, True])
def test_a_dead_tag_call_is_made_again(hub: FakeHub, folder: Path, late: bool) -> None:
    hub.fault("^POST .*/tag/", times=2, status=500, late=late)
    published = go(folder)
    assert hub.store.repos[REPO].tags == {"v1.0.0": published.commit}
    assert hub.pauses[:1] == [1]


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 503, "late": True}, {"drop": True}])
def test_a_failed_or_lost_commit_makes_one_commit(hub: FakeHub, folder: Path, fault: dict[str, object]) -> None:
    hub.fault("^POST .*/commit/", **fault)
    assert go(folder).commit == hub.store.repos[REPO].head
    assert commits(hub) == 1


def test_a_hub_that_stays_down_leaves_nothing(hub: FakeHub, folder: Path) -> None:
    hub.fault("^POST .*/commit/", times=-1, status=503)
    with pytest.raises(PublishError, match="answered 503.*nothing was published.*again in a few minutes"):
        go(folder)
    assert (commits(hub), hub.store.repos[REPO].tags) == (0, {})


def test_a_hub_that_vanishes_during_the_commit_is_owned_up_to(hub: FakeHub, folder: Path) -> None:
    hub.fault("^POST .*/commit/", status=503, late=True)
    hub.fault("^GET .*/revision/main", times=-1, after=1, drop=True)
    with pytest.raises(PublishError, match="cannot be reached.*the answer got lost"):
        go(folder)
    hub.faults.clear()
    go(folder)
    assert commits(hub) == 1


def test_unreachable(hub: FakeHub, folder: Path) -> None:
    hub.fault(".", times=-1, drop=True)
    with pytest.raises(PublishError, match="cannot be reached.*nothing was published.*Check the network"):
        go(folder)


def test_somebody_else_in_between_is_not_overwritten(hub: FakeHub, folder: Path) -> None:
    go(folder)
    louder(folder)
    real = HfApi.create_commit

    def after_somebody(*arguments: object, **options: object) -> object:
        hub.store.push(REPO, {"README.md": b"theirs"})
        return real(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HfApi, "create_commit", after_somebody)
        with pytest.raises(PublishError, match="someone else published to alice/smiles in the meantime"):
            go(folder, "1.1.0")
    assert hub.store.repos[REPO].files["README.md"].data == b"theirs"
    go(folder, "1.1.0")
    assert load("1.1.0")["smile"].sigma == 0.75


def test_a_tag_that_somebody_else_was_faster_with_is_reported(hub: FakeHub, folder: Path) -> None:
    release = plan(folder, REPO, "1.0.0", token="hf_alice")
    theirs = hub.store.push(REPO, {"LICENSE": b"x"})
    hub.store.repos[REPO].tags["v1.0.0"] = theirs
    with pytest.raises(PublishError, match="someone else published it in the meantime"):
        carry_out(release, token="hf_alice")
    assert hub.store.repos[REPO].tags["v1.0.0"] == theirs


def test_files_that_the_hub_drops_are_noticed_before_the_tag(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Store.commit

    def forgetful(store: Store, repo: Repo, files: dict[str, File]) -> str:
        return real(store, repo, {n: f for n, f in files.items() if not n.startswith("previews/")})

    monkeypatch.setattr(Store, "commit", forgetful)
    with pytest.raises(PublishError, match="kept other files than were sent.*gitignore"):
        go(folder)
    assert hub.store.repos[REPO].tags == {}


def test_a_dry_run_writes_nothing_and_needs_no_token(hub: FakeHub, folder: Path) -> None:
    planned = go(folder, dry_run=True, token=False)
    assert (planned.commit, planned.already_there) == ("", False)
    assert MANIFEST in planned.uploaded
    assert not hub.requests(WRITES)
    assert not hub.store.repos


def test_private_is_private(hub: FakeHub, folder: Path) -> None:
    go(folder, private=True)
    assert hub.store.repos[REPO].private
    assert load_pack(f"{REPO}@v1.0.0", token="hf_alice").version == "1.0.0"


def test_no_token(hub: FakeHub, folder: Path) -> None:
    for token in (None, False):
        with pytest.raises(PublishError, match="no Hub token; run `hf auth login`"):
            go(folder, token=token)


@pytest.mark.parametrize("exists", [False, True])
def test_a_token_that_only_reads(hub: FakeHub, folder: Path, exists: bool) -> None:
    if exists:
        hub.store.create(REPO)
    with pytest.raises(PublishError, match=r"may only read; make one that may write.*nothing was published"):
        go(folder, token="hf_reader")


def test_a_foreign_namespace_names_ones_own(hub: FakeHub, folder: Path) -> None:
    with pytest.raises(PublishError, match="bob may not publish under 'alice'; use one of: bob"):
        go(folder, token="hf_bob")


def test_a_narrow_token(hub: FakeHub, folder: Path) -> None:
    hub.fault("^POST /api/repos/create", status=403)
    with pytest.raises(PublishError, match="give it write access to alice/smiles"):
        go(folder)


def test_a_bad_token(hub: FakeHub, folder: Path) -> None:
    with pytest.raises(PublishError, match="does not accept this token.*settings/tokens"):
        go(folder, token="hf_expired")


def test_a_card_that_the_hub_refuses(hub: FakeHub, folder: Path) -> None:
    hub.fault("^POST /api/validate-yaml", status=400)
    with pytest.raises(PublishError, match="refused the model card"):
        go(folder)
    assert commits(hub) == 0


@pytest.mark.parametrize("version", ["v1.0.0", "1.0", "1", "1.0.0-rc1", "01.0.0", "", "1.0.0\n", "1.0.0 "])
def test_only_plain_versions(hub: FakeHub, folder: Path, version: str) -> None:
    with pytest.raises(PublishError, match="write MAJOR.MINOR.PATCH"):
        go(folder, version)
    assert not hub.log


@pytest.mark.parametrize("repo", ["smiles", "a/b/c", "alice/smiles@v1.0.0", "alice/../x", "https://hf.co/a/b"])
def test_only_plain_repositories(hub: FakeHub, folder: Path, repo: str) -> None:
    with pytest.raises(PublishError, match="write user/name"):
        publish(folder, repo, "1.0.0", token="hf_alice")
    assert not hub.log


def test_a_damaged_folder_is_refused_before_the_hub_is_asked(hub: FakeHub, folder: Path) -> None:
    (folder / "previews/smile.webp").write_bytes(b"RIFX")
    with pytest.raises(PackFormatError):
        go(folder)
    with pytest.raises(PublishError, match="neither a direction pack .* nor a generator"):
        go(folder / "previews")
    assert not hub.log


def test_packs_and_generators_do_not_share_a_repository(hub: FakeHub, folder: Path, toy_folder: Path) -> None:
    go(folder)
    with pytest.raises(PublishError, match="repository of its own"):
        go(toy_folder, "2.0.0")


def test_planning_twice_gives_the_same_bytes(hub: FakeHub, folder: Path) -> None:
    first, second = (plan(folder, REPO, "1.0.0", token=False) for _ in range(2))
    assert first.files == second.files
    assert sizes(first.files)["README.md"] > 1000


DRIVER = """
import sys
from dataclasses import replace
from pathlib import Path
from eigan.errors import PublishError
from eigan.format import save_pack
from eigan.sources import load_pack
from hub_export.publish import publish
from tests.toys import toy_pack

folder, pack = Path(sys.argv[1]), toy_pack()
save_pack(pack, folder, {"previews/smile.webp": bytes(range(256)) * 500})
first = publish(folder, "alice/smiles", "1.0.0", token="hf_alice")
assert publish(folder, "alice/smiles", "1.0.0", token="hf_alice").already_there
louder = replace(pack, directions=(replace(pack.directions[0], sigma=0.75), *pack.directions[1:]))
save_pack(louder, folder)
try:
    publish(folder, "alice/smiles", "1.0.0", token="hf_alice")
    raise SystemExit("a version was overwritten")
except PublishError as error:
    assert "exists with other bytes" in str(error)
second = publish(folder, "alice/smiles", "1.1.0", token="hf_alice")
for version, sigma, commit in (("1.0.0", 0.5, first.commit), ("1.1.0", 0.75, second.commit)):
    loaded = load_pack(f"alice/smiles@v{version}", token=False)
    assert (loaded["smile"].sigma, loaded.version, loaded.revision) == (sigma, version, commit)
print("all well")
"""


@pytest.fixture(params=["xet", "lfs"])
def other_hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Another fake Hub, which also speaks Xet, in a process of its own: the environment that leads to it."""
    if not SHARED.is_file():
        pytest.skip("no other fake Hub here; EIGAN_FAKEHUB names its file")
    command = [sys.executable, str(SHARED), "--root", str(tmp_path / "hub"), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().strip().removeprefix("HF_ENDPOINT=")
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path(__file__).parents[2])}
    yield {**os.environ, **settings, "HF_HUB_DISABLE_XET": str(int(request.param == "lfs"))}
    server.kill()
    server.wait()


def test_another_hub_agrees(other_hub: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path / "pack")],
        env=other_hub,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "all well", done.stderr
    travelled_over_xet = any((tmp_path / "hub/cas/xorbs").iterdir())
    assert travelled_over_xet == (other_hub["HF_HUB_DISABLE_XET"] == "0")
