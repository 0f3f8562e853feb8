"""Attempts on a running app, over raw HTTP, as a stranger would make them: on a Space, and on a machine of one's own.

Nothing outside is read or reached, nothing of a file is run, nothing of a name becomes HTML, and no request takes more
memory or disk than its share. After each attempt the app goes on drawing the right picture.
"""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import shutil
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from benchmarks.page_client import PageClient, PageError, file_data
from eigan import sources
from eigan.pack import DirectionPack
from eigan.recipe import PNG_KEY, PictureRecipe
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from tests.ui.bundles import HOSTILE as HOSTILE_WORDS
from tests.ui.bundles import hostile_pack
from tests.ui.conftest import REPOSITORY
from tests.ui.serving import SPACE, Running, serving
from tests.ui.visitor import render_directly

CANARY = "canary-5b1f0c7d"  # in files and in the environment; in no answer
TOKEN = "hf_alice"  # of the machine's owner
MARKERS = Path("/tmp/eigan-pwned")
STRANGERS = Path(os.environ.get("EIGAN_HOSTILE", REPOSITORY.parent / "shared/hostile"))
MIB = 2**20


class Trap:
    """A server inside, that nobody outside may make the app talk to. seen: what it was told."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            with caller:
                caller.settimeout(2)
                try:
                    self.seen.append(caller.recv(200))
                except OSError:
                    self.seen.append(b"")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.close()


def start(home: Path, bundles: Path, **environ: str) -> Any:
    """The app, in a home that holds what nobody is to see."""
    (home / "hf" / "hub").mkdir(parents=True)
    (home / "hf" / "token").write_text(TOKEN)
    (home / "hf" / "hub" / "secret.txt").write_text(CANARY)
    (home / "secret.txt").write_text(CANARY)
    return serving(home, bundles, EIGAN_SECRET=CANARY, HF_TOKEN_PATH=str(home / "hf" / "token"), **environ)


@pytest.fixture(scope="module")
def space(bundle_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start(tmp_path_factory.mktemp("space"), bundle_root, **SPACE) as running:
        yield running


@pytest.fixture(scope="module")
def own(bundle_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start(tmp_path_factory.mktemp("own"), bundle_root) as running:
        yield running


@pytest.fixture(params=["space", "own"])
def app(request: pytest.FixtureRequest) -> Running:
    """Both ways to run it."""
    running: Running = request.getfixturevalue(request.param)
    return running


@pytest.fixture
def stranger(space: Running) -> Iterator[PageClient]:
    """Somebody whose page has loaded."""
    client = PageClient(space.url)
    client.arrive()
    yield client
    client.close()


@pytest.fixture(autouse=True)
def goes_on(request: pytest.FixtureRequest, bundle_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever was tried, nobody's token was used, nothing ran, and the next visitor sees the right picture."""
    shutil.rmtree(MARKERS, ignore_errors=True)
    yield
    assert not MARKERS.exists(), f"something ran: {sorted(MARKERS.iterdir())}"
    monkeypatch.setenv(sources.BUNDLE_ENV, str(bundle_root))
    pack = sources.load_pack(sources.bundled_packs()[0])
    for name in ("space", "own"):
        if name not in request.fixturenames and "app" not in request.fixturenames:
            continue
        running: Running = request.getfixturevalue(name)
        if name == "space":
            assert {entry.token for entry in running.hub.log} <= {"", None}, "the machine's own token was used"
        somebody = PageClient(running.url)
        somebody.arrive()
        assert np.array_equal(somebody.picture(), render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {}))
        somebody.close()


def get(app: Running, path: str, **more: Any) -> httpx.Response:
    """The path as it is written: no client in between tidies it up."""
    host = app.url.removeprefix("http://").rstrip("/")
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port)), 20) as line:
        line.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return httpx.Response(int(head.split()[1]), content=body)


# ---- reading files

OUTSIDE = [
    "/etc/passwd",
    "../../../../../../etc/passwd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/proc/self/environ",
    "pyproject.toml",
    "app.py",
    ".git/config",
    "{home}/secret.txt",
    "{home}/hf/token",
    "{home}/hf/hub/secret.txt",
    "{home}/log.txt",
    "{cache}/../secret.txt",
    "{cache}/..%2fsecret.txt",
    "{cache}/%2e%2e/secret.txt",
    "{cache}",
    "file://{home}/secret.txt",
    "//{home}/secret.txt",
    "{home}/secret.txt%00.png",
]
ROUTES = [
    "gradio_api/file=",
    "gradio_api/file/",
    "file=",
    "static/",
    "assets/",
    "svelte/",
    "gradio_api/custom_component/",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_file_is_served_but_those_made_for_the_page(app: Running, path: str) -> None:
    asked = path.format(home=app.cache.parent, cache=app.cache)
    for route in ROUTES:
        answer = get(app, route + asked)
        assert answer.status_code in (400, 403, 404, 405), f"{route}{asked}"
        assert CANARY not in answer.text
        assert "root:" not in answer.text


def test_a_link_out_of_the_cache_cannot_be_planted(app: Running) -> None:
    client = PageClient(app.url)
    before = {path for path in app.cache.parent.rglob("*") if app.cache not in path.parents}
    for name in (
        "../../evil.png",
        "..\\..\\evil.png",
        "/etc/evil.png",
        f"{app.cache.parent}/evil.png",
        "a/../../evil.png",
    ):
        path = Path(client.upload(name, b"x")["path"])
        assert app.cache in path.parents
        assert not path.is_symlink()
    assert {path for path in app.cache.parent.rglob("*") if app.cache not in path.parents} == before
    assert not Path("/etc/evil.png").exists()


def foreign_files(app: Running, trap: Trap) -> list[Any]:
    home = app.cache.parent
    return [
        file_data(f"{home}/secret.txt"),
        file_data(f"{app.cache}/../secret.txt"),
        file_data("/etc/passwd"),
        file_data("/proc/self/environ"),
        file_data("pyproject.toml"),
        {"path": f"{home}/secret.txt"},
        [file_data(f"{home}/hf/token")],
        file_data(f"file://{home}/secret.txt"),
        file_data("x.png", url=f"http://127.0.0.1:{trap.port}/x.png"),
        file_data(f"http://127.0.0.1:{trap.port}/x.png"),
        file_data(f"https://127.0.0.1:{trap.port}/x.png", url="x"),
        f"{home}/secret.txt",
    ]


def events(client: PageClient, *kinds: str) -> list[tuple[dict[str, Any], list[int]]]:
    """Events of the page's own, and the places among their inputs that take such components."""
    types = {one["id"]: one["type"] for one in client.config["components"]}
    found = []
    for event in client.config["dependencies"]:
        places = [i for i, number in enumerate(event["inputs"]) if types[number] in kinds]
        if event["backend_fn"] and event["api_visibility"] != "public" and places:
            found.append((event, places))
    assert found
    return found


def attempt(client: PageClient, event: dict[str, Any], places: list[int], value: Any) -> str:
    """What the app says to `value` in those places, all else being as the page has it. Nothing secret may be in it."""
    data = [value if i in places else client.values.get(number) for i, number in enumerate(event["inputs"])]
    try:
        said = json.dumps(client.join({"fn_index": event["id"], "data": data}))
    except PageError as error:
        said = f"refused: {error}"
    for secret in (CANARY, TOKEN, "root:x:0", "[build-system]"):
        assert secret not in said, f"{event['api_name']} tells of what {value!r} holds"
    return said


def test_a_file_that_was_not_uploaded_is_not_opened(app: Running, trap: Trap) -> None:
    client = PageClient(app.url)
    client.arrive()
    for event, places in events(client, "uploadbutton", "file", "image"):
        for value in foreign_files(app, trap):
            assert attempt(client, event, places, value).startswith("refused"), f"{event['api_name']} took {value}"
    assert trap.seen == []
    assert CANARY not in "".join(path.read_text("latin-1") for path in app.cache.rglob("*") if path.is_file())


def test_no_event_takes_a_file_where_it_wants_something_else(space: Running, trap: Trap) -> None:
    client = PageClient(space.url)
    client.arrive()
    for event, _ in events(client, "html", "number", "textbox", "dropdown", "checkbox"):
        for value in foreign_files(space, trap)[:2]:
            attempt(client, event, list(range(len(event["inputs"]))), value)
    assert trap.seen == []


# ---- reaching what is inside


def inner_addresses(trap: Trap) -> list[str]:
    at = f"127.0.0.1:{trap.port}"
    return [
        f"http://{at}/model.pkl",
        f"https://{at}/model.pkl",
        f"http://localhost:{trap.port}/model.pkl",
        f"http://[::1]:{trap.port}/model.pkl",
        f"http://2130706433:{trap.port}/model.pkl",
        f"http://user@{at}/model.pkl",
        f"user@{at}/model",
        f"user/name@http://{at}",
        f"org/name@../../{at}",
        f"//{at}/share",
        f"\\\\127.0.0.1@{trap.port}\\share\\model",
        f"hf://{at}/model",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "/etc",
        "~/.ssh",
        ".",
        "..",
        "directions/heads",
        "C:\\Windows",
        "org/..",
        "../org",
        "org/name:../../etc/passwd",
        "a" * 100_000,
        "org/name\x00",
        "org/na\nme@v1",
    ]


def test_a_space_opens_bundled_packs_and_hub_ids_and_asks_nobody_else(
    space: Running, stranger: PageClient, trap: Trap
) -> None:
    asked = len(space.hub.log)
    for event, places in events(stranger, "textbox", "dropdown"):
        for value in inner_addresses(trap):
            attempt(stranger, event, places, value)
    assert trap.seen == []
    assert [entry.path for entry in space.hub.log[asked:] if "127.0.0.1" in entry.path or ".." in entry.path] == []


@pytest.mark.parametrize("endpoint", ["edit", "sweep", "directions"])
def test_the_api_of_a_space_asks_nobody_else(space: Running, trap: Trap, endpoint: str) -> None:
    asked = len(space.hub.log)
    for value in inner_addresses(trap):
        more = {"edit": {"seed": 1}, "sweep": {"seed": 1, "direction": "smile"}, "directions": {}}[endpoint]
        assert call(space, endpoint, pack=value, **more)[0] == "error", value[:80]
    for value in inner_addresses(trap):
        assert call(space, "edit", pack="heads", seed=1, further=[value])[0] == "error", value[:80]
        assert call(space, "packs", generator=value, where="hub")[0] == "error" or ":" not in value
    assert trap.seen == []
    assert [entry.path for entry in space.hub.log[asked:] if str(trap.port) in entry.path] == []


def test_a_link_of_a_pack_elsewhere_is_only_told(space: Running, trap: Trap) -> None:
    for value in inner_addresses(trap)[:12]:
        client = PageClient(f"{space.url}")
        load = client.config["dependencies"][0]
        client.http.params = {"pack": value, "seed": "3"}
        client.run(load)
        assert f"pack={sources.bundled_packs()[0]}" in client["link"]
        client.close()
    assert trap.seen == []


SHUT = [
    "gradio_api/file=http://127.0.0.1:{port}/x",
    "gradio_api/file=HTTP://127.0.0.1:{port}/x",
    "gradio_api/file/http://127.0.0.1:{port}/x",
    "gradio_api/proxy=http://127.0.0.1:{port}/x",
    "gradio_api/deep_link?session_hash=x",
    "monitoring",
    "monitoring/summary",
    "gradio_api/runs",
    "gradio_api/run-history/buckets",
    "gradio_api/dev/reload",
    "gradio_api/vibe-code",
    "gradio_api/profiling/traces",
]


@pytest.mark.parametrize("path", SHUT)
def test_what_the_page_does_not_need_is_shut(app: Running, trap: Trap, path: str) -> None:
    assert get(app, path.format(port=trap.port)).status_code == 404
    assert trap.seen == []


def test_functions_of_components_and_calls_beside_the_queue_are_shut(app: Running) -> None:
    body = {"data": "/", "component_id": 1, "session_hash": "x", "fn_name": "ls"}
    assert httpx.post(f"{app.url}gradio_api/component_server", json=body).status_code == 404
    for route in ("run", "api"):
        for name in ("edit", "follow", "arrive"):
            answer = httpx.post(f"{app.url}gradio_api/{route}/{name}", json={"data": ["heads", 1]})
            assert answer.status_code == 404


# ---- running what is in a file


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"mkdir -p {MARKERS}; touch {MARKERS}/PWNED-own",)


def test_the_marker_appears_when_the_pickle_is_really_loaded() -> None:
    pickle.loads(pickle.dumps(Bomb()))
    assert (MARKERS / "PWNED-own").exists()
    shutil.rmtree(MARKERS)


def hostile_files() -> list[tuple[str, bytes]]:
    """(name, bytes) of weights that would run something, or take all the memory, if they were trusted."""
    mine = [("own.pkl", pickle.dumps(Bomb())), ("own.pt", pickle.dumps({"g_ema": Bomb()}))]
    if not (STRANGERS / "INDEX.json").is_file():
        return mine
    kinds = {".pkl", ".pt", ".pth"}
    theirs = sorted(path for path in STRANGERS.rglob("*") if path.suffix in kinds and path.stat().st_size < 4 * MIB)
    return mine + [(path.name, path.read_bytes()) for path in theirs]


def test_weights_from_the_hub_run_nothing(space: Running, stranger: PageClient) -> None:
    before = space.memory()
    open_tab = next(e for e, _ in events(stranger, "textbox") if e["targets"][0][0] == stranger.called("fit"))
    for number, (name, data) in enumerate(hostile_files()):
        repo = f"evil/g{number}"
        space.hub.store.push(repo, {name: data}, tag="v1.0.0")
        pack = evil_pack(f"{repo}@v1.0.0:{name}")
        space.hub.store.push(f"evil/p{number}", pack, tag="v1.0.0")
        assert call(space, "edit", pack=f"evil/p{number}@v1.0.0", seed=1)[0] == "error"
        stranger["generator"] = f"{repo}@v1.0.0:{name}"
        with pytest.raises(PageError):
            stranger.run(open_tab)
    assert not MARKERS.exists()
    assert space.memory() - before < 400 * MIB


def evil_pack(generator: str) -> dict[str, bytes]:
    """The files of a pack that says it was made for `generator`."""
    pack = bundled_pack()
    made_for = replace(pack.made_for, source=generator, fingerprint="0" * len(pack.made_for.fingerprint))
    return files_of(replace(pack, made_for=made_for))


def bundled_pack() -> DirectionPack:
    return sources.load_pack(sources.bundled_packs()[0])


def files_of(pack: DirectionPack) -> dict[str, bytes]:
    from eigan.format import pack_files

    return pack_files(replace(pack, source="", revision=""), {})


def test_uploads_that_would_run_or_burst_are_told(space: Running, stranger: PageClient) -> None:
    before = space.memory()
    bombs = [*hostile_files(), ("bomb.png", png_bomb()), ("recipe.png", recipe_bomb()), ("deep.json", b"[" * 500_000)]
    bombs += [
        ("huge.npy", npy_bomb()),
        ("big.json", json.dumps({"a": 1.0} | {str(i): 1 for i in range(10**5)}).encode()),
    ]
    for event, places in events(stranger, "uploadbutton", "file"):
        for name, data in bombs:
            for suffix in {Path(name).suffix, ".png", ".npy", ".json"}:
                if suffix == Path(name).suffix or len(data) < 1000:
                    uploaded = stranger.upload(f"x{suffix}", data)
                    assert attempt(stranger, event, places, uploaded).startswith("refused"), f"{name} as {suffix}"
    assert space.memory() - before < 300 * MIB


def png_bomb() -> bytes:
    """40,000 x 40,000 pixels in a few KB."""
    return png(struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0), b"", zlib.compress(bytes(10**6), 9))


def recipe_bomb() -> bytes:
    """A recipe of 200 MB, packed."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(MIB)) for _ in range(200)) + packer.flush()
    chunk = PNG_KEY.encode() + b"\0\x01\0\0\0" + packed
    return png(struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0), chunk, zlib.compress(bytes(8 * 25)))


def png(header: bytes, text: bytes, pixels: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    texts = chunk(b"iTXt", text) if text else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + texts + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def npy_bomb() -> bytes:
    """An array that says it has 10^12 numbers."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    return buffer.getvalue() + bytes(64)


# ---- HTML out of names


def test_hostile_names_stay_text_in_every_tab(space: Running, browser: Any) -> None:
    from tests.ui.visitor import Visitor

    pack = bundled_pack()
    generator: Any = sources.generator_for(pack)
    card = f"---\ntags: [eigan]\n---\n# {HOSTILE_WORDS['name']}\n{HOSTILE_WORDS['description']}\n<script>window.pwned=9</script>\n"
    evil = replace(hostile_pack(generator), made_for=pack.made_for)
    space.hub.store.push("evil/words", files_of(evil) | {"README.md": card.encode()}, tag="v1.0.0")
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        someone = Visitor(context, f"{space.url}?pack=evil/words@v1.0.0&seed=3")
        someone.slider(HOSTILE_WORDS["direction"]).wait_for()
        someone.page.locator("#preset-buttons button").first.click()
        someone.wait_until(lambda: "evil" in someone.link() and "edit=" in someone.link(), "the preset moves")
        for tab in ("Explore", "Compare", "Take away", "Open", "Publish", "Sliders"):
            place = someone.page.get_by_role("tab", name=tab)
            if place.count():
                place.first.click()
                someone.page.wait_for_timeout(300)
        someone.page.locator("#history button").first.wait_for()
        someone.load(f"{HOSTILE_WORDS['name']}/x")
        someone.toast().wait_for()
        assert someone.page.evaluate("window.pwned") is None
        wrong = "script:not([src]):not([type]), iframe[src^=javascript], svg[onload], img[onerror], [src*='evil.test']"
        assert someone.page.locator(f"gradio-app :is({wrong})").count() == 0
        assert someone.outside == []
        assert someone.trouble == []


def test_html_components_hold_no_markup_of_strangers(space: Running) -> None:
    pack = bundled_pack()
    generator: Any = sources.generator_for(pack)
    space.hub.store.push("evil/more", files_of(replace(hostile_pack(generator), made_for=pack.made_for)), tag="v1.0.0")
    client = PageClient(space.url)
    client.http.params = {"pack": "evil/more@v1.0.0"}
    client.arrive()
    assert "evil/more" in client["link"]
    types = {one["id"]: one["type"] for one in client.config["components"]}
    client.http.params = {}
    for event, _ in events(client, "html"):
        if event["targets"][0][1] in ("select", "click", "change") and "file" not in str(event["inputs"]):
            try:
                client.run(event)
            except PageError:
                continue
    written = [value for number, value in client.values.items() if types[number] in ("html", "markdown")]
    texts = "".join(value for value in written if isinstance(value, str))
    assert "&lt;" in texts, "the names are there"
    for word in ("<img src=x", "<script", "<svg onload", "<iframe", "javascript:"):
        assert word not in texts.replace("&lt;", "")


# ---- taking all of the memory or the disk

NUMBERS = [math.nan, math.inf, -math.inf, -1, 0, 10**9, 10**30, -(10**30), 1e308, "1", "x", None, True, [], [1], {}]


def test_numbers_of_every_kind_are_answered(space: Running, stranger: PageClient) -> None:
    before = space.memory()
    for event, places in events(stranger, "number", "slider"):
        for value in NUMBERS:
            for place in places:
                attempt(stranger, event, [place], value)
    assert space.memory() - before < 300 * MIB


PANELS: list[dict[str, Any]] = [
    {"amounts": {"smile": math.nan}},
    {"amounts": {"smile": 1e308}},
    {"amounts": {"smile": "1"}},
    {"amounts": {str(i): 1.0 for i in range(2000)}},
    {"amounts": {"x" * 10_000: 1.0}},
    {"amounts": [1] * 1000},
    {"layers": {"smile": "0-99999999999"}, "amounts": {"smile": 1.0}},
    {"layers": {"smile": "-1-5"}, "amounts": {"smile": 1.0}},
    {"keep": ["smile"] * 5000},
    {"keep": [["smile"]]},
    {"pose": [math.inf, 0, 0]},
    {"pose": [0] * 1000},
    {"pressed": {str(i): 1.0 for i in range(5000)}},
    {"turn": "x" * 10_000},
    {"moving": "yes"},
    {"amounts": None},
]


@pytest.mark.parametrize("sent", PANELS, ids=lambda sent: str(sent)[:30])
def test_a_panel_that_lies_is_told(stranger: PageClient, sent: dict[str, Any]) -> None:
    with pytest.raises(PageError) as caught:
        stranger.move(**sent)
    assert 0 < len(str(caught.value)) < 3000


def test_requests_are_of_bounded_size(app: Running) -> None:
    client = PageClient(app.url)
    for body, status in (
        (b'{"fn_index": 0, "data": ["' + b"x" * (3 * MIB) + b'"]}', 413),
        (b'{"fn_index": 0, "data": [' + b"[],"[:-1] + b",[]" * 150_000 + b"]}", 413),
        (b'{"fn_index": 0, "path": ' + b"[" * 40_000 + b"]" * 40_000 + b"}", 400),
        (b'{"fn_index": 0, "path": NaN', 400),
    ):
        headers = {"Content-Type": "application/json"}
        assert client.http.post("gradio_api/queue/join", content=body, headers=headers).status_code == status

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * MIB

    for route in ("queue/join", "call/v2/edit", "upload"):
        try:
            answer = client.http.post(
                f"gradio_api/{route}", content=endless(), headers={"Content-Type": "application/json"}
            )
        except httpx.WriteError:  # hung up before all of it was sent
            continue
        assert answer.status_code in (400, 413)
    client.close()


def test_uploads_are_of_bounded_size_and_number(space: Running) -> None:
    client = PageClient(space.url)
    assert client.http.post("gradio_api/upload", files={"files": ("x.png", bytes(17 * MIB))}).status_code == 413
    many = [("files", (f"{i}.png", bytes(MIB))) for i in range(30)]
    assert client.http.post("gradio_api/upload", files=many).status_code == 413
    assert sum(path.stat().st_size for path in space.cache.rglob("*") if path.is_file()) < 100 * MIB
    client.close()


def test_a_hundred_packs_are_not_all_kept(space: Running) -> None:
    pack = bundled_pack()
    files = [files_of(replace(pack, name=f"heads {number}")) for number in range(40)]
    for number, each in enumerate(files):
        space.hub.store.push(f"many/p{number}", each, tag="v1.0.0")
    for number in range(8):
        call(space, "edit", pack=f"many/p{number}@v1.0.0", seed=1)
    before = space.memory()
    for number in range(8, 40):
        assert call(space, "edit", pack=f"many/p{number}@v1.0.0", seed=1)[0] == "complete"
    assert space.memory() - before < 100 * MIB


def test_programs_that_come_once_are_forgotten(space: Running) -> None:
    for seed in range(20):
        call(space, "edit", pack="heads", seed=seed)
    before = space.memory()
    for seed in range(150):
        call(space, "edit", pack="heads", seed=seed % 20)
    assert space.memory() - before < 60 * MIB


# ---- pretending


def test_state_that_a_client_sends_is_not_believed(space: Running, stranger: PageClient, trap: Trap) -> None:
    nobody = PageClient(space.url)  # never loaded the page: nothing is open for them
    recipe = PictureRecipe("/etc", 3).to_json()
    lies = {
        "key": "0" * 16,
        "source": "/etc",
        "further": [],
        "turn": "a",
        "recipe": recipe,
        "step": None,
        "path": "/etc",
    }
    types = {one["id"]: one["type"] for one in nobody.config["components"]}
    panel = {**stranger["panel"], "turn": "a"}
    said = []
    for event in nobody.config["dependencies"]:
        if event["backend_fn"] and any(types[number] == "state" for number in event["inputs"]):
            values = {nobody.called("panel"): panel}
            data = [lies if types[n] == "state" else values.get(n, nobody.values[n]) for n in event["inputs"]]
            try:
                said.append(json.dumps(nobody.join({"fn_index": event["id"], "data": data})))
            except PageError as error:
                said.append(str(error))
    assert not any("/etc" in text or "0" * 16 in text for text in said)
    assert trap.seen == []
    nobody.close()


def test_one_visitor_does_not_see_into_another(space: Running, stranger: PageClient) -> None:
    other = PageClient(space.url)
    other.arrive()
    stranger.move(moving=False, amounts={"smile": 2.0})
    other.move(moving=False, amounts={"smile": -2.0})
    assert "smile:2.0" in stranger["link"]
    assert "smile:-2.0" in other["link"]
    pack = bundled_pack()
    assert np.array_equal(stranger.picture(), render_directly(pack, DEFAULT_SEED, DEFAULT_PSI, {"smile": 2.0}))
    other.close()


def test_a_space_writes_no_folder_and_publishes_for_nobody(space: Running, stranger: PageClient) -> None:
    target = space.cache.parent / "written"
    asked = len(space.hub.log)
    for name in ("save-pack", "publish", "look"):
        try:
            event = stranger.event_of(name, "click")
        except (KeyError, StopIteration):
            continue
        texts = [i for i, number in enumerate(event["inputs"]) if number in textboxes(stranger)]
        said = attempt(stranger, event, texts, str(target))
        assert said.startswith("refused"), name
    assert not target.exists()
    assert [entry for entry in space.hub.log[asked:] if entry.method != "GET"] == []


def textboxes(client: PageClient) -> set[int]:
    return {one["id"] for one in client.config["components"] if one["type"] == "textbox"}


# ---- the wire


def call(app: Running, endpoint: str, **asked: Any) -> tuple[str, str]:
    """("complete" or "error", data) of an endpoint, as curl would ask it."""
    with httpx.Client(base_url=app.url, timeout=120) as http:
        joined = http.post(f"gradio_api/call/v2/{endpoint}", json=asked)
        if joined.status_code != 200:
            return "error", joined.text
        told = http.get(f"gradio_api/call/v2/{endpoint}/{joined.json()['event_id']}").text
    last = [block for block in told.split("\n\n") if block.startswith("event:") and "heartbeat" not in block][-1]
    kind, _, data = last.removeprefix("event: ").partition("\ndata: ")
    assert CANARY not in data
    return kind, data
