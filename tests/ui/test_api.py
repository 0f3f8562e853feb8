"""The endpoints for other programs: a picture is its recipe's, a fault one sentence, an example of the docs runs."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from eigan import sources
from eigan.combine import combine
from eigan.errors import EiganError, HubError, InvalidCodes, UnknownName
from eigan.format import MANIFEST, PRESETS, VECTORS
from eigan.layers import LayerRange
from eigan.recipe import PictureRecipe, read_png
from eigan.render import Renderer, grid
from eigan.reproduce import draw
from eigan.ui import api, build_app
from eigan.ui.api import Doorway, Endpoints, announced, wants_mcp
from eigan.ui.asked import class_of
from eigan.ui.finding import Finder
from eigan.ui.links import DEFAULT_PSI
from eigan.ui.session import Studios
from tests.fakehub.server import FakeHub
from tests.ui.conftest import Served
from tests.ui.serving import Running, serving

DOCS = Path(__file__).parents[2] / "docs" / "api.md"
ADDRESS = "http://127.0.0.1:7860"
PUBLIC = ["/edit", "/sweep", "/packs", "/directions"]


def pixels(path: str | Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def drawn(recipe: PictureRecipe) -> Any:
    """The recipe's picture, by the library alone."""
    packs = [sources.load_pack(source) for source in (recipe.pack, *recipe.further)]
    return draw(recipe, combine(packs), Renderer(sources.generator_for(packs[0])))[0]


# ---- the calls themselves, in this process


@pytest.fixture
def endpoints(toy_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Endpoints:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    return Endpoints(Studios(hosted=True), Finder(hosted=True))


RECIPES = [
    PictureRecipe("toy-words", 3, DEFAULT_PSI),
    PictureRecipe("toy-words", 2**32 - 1, 1.0, amounts={"smile": 2.5, "age": -1.0}),
    PictureRecipe("toy-words", 4, 0.5, amounts={"smile": 2.0}, layers={"smile": LayerRange(1, 4)}),
    PictureRecipe("toy-words", 5, amounts={"smile": 2.0}, keep=("age", "hair")),
    PictureRecipe("toy-words", 6, amounts={"smile": 1.0, "component 7": -3.0}, further=("toy-sefa",)),
    PictureRecipe("toy-words", 7, amounts={"light": 1.0}, noise_mode="none"),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"seed {r.seed}")
def test_an_edit_is_its_recipes_picture_and_carries_it(endpoints: Endpoints, recipe: PictureRecipe) -> None:
    file = endpoints.edit(
        recipe.pack,
        recipe.seed,
        dict(recipe.amounts),
        recipe.truncation_psi,
        further=list(recipe.further),
        layers={name: str(layers) for name, layers in recipe.layers.items()},
        keep=list(recipe.keep),
        noise=recipe.noise_mode == "const",
    )
    own = read_png(Path(file.path))
    assert np.array_equal(pixels(file.path), drawn(recipe))
    assert (own.pack, own.seed, own.amounts, own.layers) == (recipe.pack, recipe.seed, recipe.amounts, recipe.layers)
    assert (own.keep, own.further, own.noise_mode) == (recipe.keep, recipe.further, recipe.noise_mode)
    assert file.orig_name.endswith(".png")
    assert file.size == Path(file.path).stat().st_size


def test_a_sweep_is_a_row_of_its_edits(endpoints: Endpoints) -> None:
    file, amounts = endpoints.sweep("toy-words", 3, "age", -2.0, 4.0, 4, {"smile": 1.0}, 0.6)
    assert amounts == [-2.0, 0.0, 2.0, 4.0]
    each = [drawn(PictureRecipe("toy-words", 3, 0.6, amounts={"smile": 1.0, "age": amount})) for amount in amounts]
    assert np.array_equal(pixels(file.path), np.asarray(grid(np.stack(each), columns=4)))
    assert endpoints.sweep("toy-words", 3, "age")[1] == pytest.approx(np.linspace(-2.5, 4.0, 7), abs=1e-4)


def test_the_lists_say_what_the_packs_hold(endpoints: Endpoints) -> None:
    found = endpoints.packs()
    assert [facts["pack"] for facts in found] == sources.bundled_packs()
    words = sources.load_pack("toy-words")
    facts = found[0]
    assert (facts["name"], facts["version"], facts["licence"]) == ("Toy words", "1.0.0", "cc0-1.0")
    assert facts["directions"] == list(words.names)
    assert facts["presets"] == ["older and happy", "evening"]
    assert [f["pack"] for f in endpoints.packs("COMPONENTS")] == ["toy-sefa"]
    assert endpoints.packs(generator="somebody/else") == []
    directions, presets = endpoints.directions("toy-words")
    first = directions[0]
    assert (first["name"], first["negative"], first["positive"], first["layers"]) == ("smile", "closed", "open", "2-4")
    assert (first["low"], first["high"]) == (-3.0, 3.0)
    assert presets[0] == {"name": "older and happy", "amounts": {"smile": 2.0, "age": 1.5}, "description": ""}
    endpoints.edit("toy-words", 1, presets[0]["amounts"])


def test_packs_are_found_on_the_hub_and_opened(endpoints: Endpoints, toy_bundles: Path, hub: FakeHub) -> None:
    card = b"---\ntags: [eigan, latent-directions]\nlicense: mit\n---\n# Words\n"
    folder = toy_bundles / "toy-words"
    files = {name: (folder / name).read_bytes() for name in (MANIFEST, VECTORS, PRESETS)}
    hub.store.push("user/words", files | {"README.md": card}, tag="v1.0.0")
    found = endpoints.packs("words", where="hub")
    assert [(f["pack"], f["version"], f["licence"]) for f in found] == [("user/words@v1.0.0", "v1.0.0", "mit")]
    file = endpoints.edit(found[0]["pack"], 3, {"smile": 2.0})
    assert np.array_equal(pixels(file.path), drawn(PictureRecipe("toy-words", 3, DEFAULT_PSI, amounts={"smile": 2.0})))
    assert read_png(Path(file.path)).pack == "user/words@v1.0.0"


FAULTS: dict[str, tuple[tuple[Any, ...], str]] = {
    "no such pack": (("no/such@v1", 1), "bundled packs go on working"),
    "a path": (("/etc", 1), "can be opened only where"),
    "an empty pack": ((" ", 1), "no pack was named"),
    "a pack of another type": ((7, 1), "pack: Input should be a valid string"),
    "an endless pack": (("x" * 501, 1), "pack: String should have at most 500"),
    "a negative seed": (("toy-words", -1), "seed is -1"),
    "a huge seed": (("toy-words", 10**30), "seed"),
    "half a seed": (("toy-words", 1.5), "seed: Input should be a valid integer"),
    "no direction": (("toy-words", 1, {"x": 1.0}), "unknown direction 'x'"),
    "not a number": (("toy-words", 1, {"smile": math.nan}), "finite"),
    "infinite": (("toy-words", 1, {"smile": -math.inf}), "finite"),
    "too far": (("toy-words", 1, {"smile": 101}), "wanted -100 to 100"),
    "text for an amount": (("toy-words", 1, {"smile": "2"}), "amounts.smile: Input should be a valid number"),
    "endless amounts": (("toy-words", 1, {str(i): 1.0 for i in range(513)}), "at most 512"),
    "a list of amounts": (("toy-words", 1, [1.0]), "amounts: Input should be a valid dictionary"),
    "psi not a number": (("toy-words", 1, {}, math.nan), "truncation_psi"),
    "psi too large": (("toy-words", 1, {}, 99.0), "wanted -5 to 5"),
    "a class where there is none": (("toy-words", 1, {}, 0.7, 3), "has no classes"),
    "endless further packs": (("toy-words", 1, {}, 0.7, None, ["toy-sefa"] * 9), "further"),
    "layers that are not there": (("toy-words", 1, {"smile": 1.0}, 0.7, None, [], {"smile": "3-99"}), "do not exist"),
    "layers of nothing": (("toy-words", 1, {}, 0.7, None, [], {"x": "1"}), "unknown direction 'x'"),
    "layers in no words": (("toy-words", 1, {}, 0.7, None, [], {"smile": "a few"}), "cannot read layers"),
    "keep what is not there": (("toy-words", 1, {"smile": 1.0}, 0.7, None, [], {}, ["x"]), "unknown direction 'x'"),
    "noise of another type": (("toy-words", 1, {}, 0.7, None, [], {}, [], "yes"), "noise"),
    "a pose where there is none": (("toy-words", 1, {}, 0.7, None, [], {}, [], True, [0.1, 0, 0]), "has no pose"),
    "half a pose": (("toy-words", 1, {}, 0.7, None, [], {}, [], True, [0.1]), "pose"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_an_edit_is_one_sentence(endpoints: Endpoints, hub: FakeHub, fault: str) -> None:
    asked, told = FAULTS[fault]
    with pytest.raises(EiganError) as caught:
        endpoints.edit(*asked)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


SWEEPS: dict[str, tuple[tuple[Any, ...], str]] = {
    "a billion steps": (("age", -1.0, 1.0, 10**9), "steps: Input should be less than or equal to 15"),
    "one step": (("age", -1.0, 1.0, 1), "greater than or equal to 2"),
    "half a step": (("age", -1.0, 1.0, 2.5), "steps: Input should be a valid integer"),
    "backwards": (("age", 1.0, -1.0), "wanted low below high"),
    "nowhere": (("age", 1.0, 1.0), "wanted low below high"),
    "to infinity": (("age", 0.0, math.inf), "finite"),
    "too far": (("age", 0.0, 1e6), "wanted -100 to 100"),
    "no direction": (("x",), "unknown direction 'x'"),
}


@pytest.mark.parametrize("fault", SWEEPS)
def test_a_fault_of_a_sweep_is_one_sentence(endpoints: Endpoints, fault: str) -> None:
    asked, told = SWEEPS[fault]
    with pytest.raises(EiganError) as caught:
        endpoints.sweep("toy-words", 1, *asked)
    assert told in str(caught.value)


def test_a_strip_that_is_too_large_says_how_long_it_may_be(
    endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MAX_STRIP_PIXELS", 5 * 32 * 32)
    with pytest.raises(EiganError, match="ask for 5"):
        endpoints.sweep("toy-words", 1, "age", steps=6)
    assert len(endpoints.sweep("toy-words", 1, "age", steps=5)[1]) == 5


def test_a_search_is_bounded_and_a_hub_that_is_down_is_said(endpoints: Endpoints, hub: FakeHub) -> None:
    for asked in ({"search": "x" * 81}, {"where": "everywhere"}, {"generator": ["a"]}):
        with pytest.raises(EiganError):
            endpoints.packs(**asked)  # type: ignore[arg-type]
    hub.fault("/api/models", status=500, times=50)
    with pytest.raises(HubError):
        endpoints.packs(where="hub")
    assert endpoints.packs()


def test_a_class_is_a_number_digits_or_a_name() -> None:
    imagenet: Any = SimpleNamespace(c_dim=1000, describe=lambda: "biggan")
    three: Any = SimpleNamespace(c_dim=3, describe=lambda: "stylegan2")
    assert [class_of(asked, imagenet) for asked in (None, 248, "248", "husky", "Red_Fox")] == [None, 248, 248, 248, 277]
    assert class_of("2", three) == 2
    for asked, error in ((1000, InvalidCodes), (-1, InvalidCodes), ("9" * 60, InvalidCodes), ("no dog", UnknownName)):
        with pytest.raises(error):
            class_of(asked, imagenet)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="0 to 2"):
        class_of("husky", three)


# ---- a place for everybody


def test_whoever_does_not_fit_in_is_told_at_once_and_the_rest_are_answered() -> None:
    inside, go = threading.Semaphore(0), threading.Event()

    def slow(number: int) -> int:
        """Slow.

        Args:
            number: any
        """
        inside.release()
        assert go.wait(20)
        return number

    called = announced(slow, Doorway(3))
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(called, number) for number in range(3)]
        for _ in range(3):
            assert inside.acquire(timeout=20)
        with pytest.raises(gr.Error, match="busy"):
            called(9)
        go.set()
        assert [future.result(20) for future in waiting] == [0, 1, 2]
    assert called(4) == 4, "places are given back"


def test_people_go_first_but_a_program_is_not_forgotten(endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def has_people() -> bool:
        asked.append(True)
        return len(asked) < 5

    monkeypatch.setattr(endpoints, "_has_people", has_people)
    endpoints.edit("toy-words", 1)
    assert len(asked) == 5, "it waits until nobody else does"
    monkeypatch.setattr(endpoints, "_has_people", lambda: True)
    monkeypatch.setattr(api, "PAGE_SECONDS", 0.1)
    assert endpoints.sweep("toy-words", 1, "age")[1]


def test_the_app_knows_when_people_wait(toy_bundles: Path) -> None:
    made: list[Any] = []
    wanted = Endpoints.__init__

    def remember(self: Endpoints, *args: Any) -> None:
        made.append(args[-1])
        wanted(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Endpoints, "__init__", remember)
        app = build_app()
    (has_people,) = made
    lanes: Any = app._queue.event_queue_per_concurrency_id
    lanes["api"] = SimpleNamespace(queue=[1])
    assert not has_people()
    lanes["synth"] = SimpleNamespace(queue=[])
    assert not has_people()
    lanes["synth"].queue.append(1)
    assert has_people()


def test_a_place_is_given_back_when_a_call_fails() -> None:
    def failing() -> int:
        raise EiganError("no")

    called = announced(failing, Doorway(1))
    for _ in range(3):
        with pytest.raises(gr.Error, match="no") as caught:
            called()
        assert caught.value.print_exception is False


# ---- over the wire


@pytest.fixture(scope="module")
def client(served: Served) -> Client:
    return Client(served.url, verbose=False)


def test_only_the_four_endpoints_are_offered_and_all_is_typed(served: Served) -> None:
    with urlopen(f"{served.url}gradio_api/info") as answer:
        offered = json.load(answer)
    assert list(offered["named_endpoints"]) == PUBLIC
    assert offered["unnamed_endpoints"] == {}
    for name, endpoint in offered["named_endpoints"].items():
        assert endpoint["returns"], name
        for one in (*endpoint["parameters"], *endpoint["returns"]):
            assert one["type"], f"{name} says nothing of {one.get('parameter_name', 'what it returns')}"


def test_a_client_gets_the_same_picture(client: Client, packs: list[Any]) -> None:
    pack = packs[0]
    amounts = {pack.names[0]: 1.5, pack.names[1]: -1.0}
    path = client.predict(pack.source, 8, amounts, api_name="/edit")
    recipe = PictureRecipe(pack.source, 8, DEFAULT_PSI, amounts=amounts)
    assert np.array_equal(pixels(path), drawn(recipe))
    assert read_png(Path(path)).amounts == amounts
    strip, steps = client.predict(pack.source, 8, pack.names[0], steps=3, api_name="/sweep")
    assert len(steps) == 3
    assert pixels(strip).shape[1] > 2 * pixels(strip).shape[0]


def test_a_client_is_told_one_plain_sentence(client: Client, packs: list[Any]) -> None:
    with pytest.raises(AppError, match="unknown direction 'no <b>such</b>'|unknown direction 'no .*such") as caught:
        client.predict(packs[0].source, 1, {"no <b>such</b>": 1.0}, api_name="/edit")
    assert "&lt;" not in str(caught.value)
    with pytest.raises(AppError, match="less than or equal to 15"):
        client.predict(packs[0].source, 1, packs[0].names[0], None, None, 10**9, api_name="/sweep")


def test_many_calls_at_once_are_all_right_or_told_to_come_back(client: Client, packs: list[Any]) -> None:
    pack = packs[0]
    jobs = [client.submit(pack.source, seed, api_name="/edit") for seed in range(40)]
    answers: dict[int, Any] = {}
    for seed, job in enumerate(jobs):
        try:
            answers[seed] = pixels(job.result(60))
        except AppError as error:
            assert "busy" in str(error)
    assert len(answers) >= api.MAX_INSIDE
    for seed, got in answers.items():
        assert np.array_equal(got, drawn(PictureRecipe(pack.source, seed, DEFAULT_PSI)))


# ---- MCP


def test_mcp_is_wanted_by_flag_or_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "find_spec", lambda name: name)
    assert wants_mcp(True, {})
    assert wants_mcp(None, {"GRADIO_MCP_SERVER": "True"})
    assert not wants_mcp(False, {"GRADIO_MCP_SERVER": "True"})
    assert not wants_mcp(None, {})
    monkeypatch.setattr(api, "find_spec", lambda name: None)
    assert not wants_mcp(None, {})
    with pytest.raises(EiganError, match="pip install"):
        wants_mcp(True, {})


@pytest.fixture(scope="module")
def mcp_app(bundle_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    pytest.importorskip("mcp", reason="the MCP server is an extra: pip install eigan[mcp]")
    with serving(tmp_path_factory.mktemp("mcp"), bundle_root, arguments=["--mcp"]) as running:
        yield running


def test_the_tools_are_the_endpoints_and_say_what_they_take(mcp_app: Running) -> None:
    with urlopen(f"{mcp_app.url}gradio_api/mcp/schema") as answer:
        tools = {tool["name"]: tool for tool in json.load(answer)}
    assert list(tools) == [name[1:] for name in PUBLIC]
    for name, tool in tools.items():
        assert len(tool["description"]) > 40, name
        for parameter, schema in tool["inputSchema"]["properties"].items():
            assert schema["description"], f"{name} says nothing of {parameter}"
    assert tools["edit"]["inputSchema"]["required"] == ["pack", "seed"]


def test_a_tool_gives_the_picture(mcp_app: Running, packs: list[Any]) -> None:
    import httpx

    pack = packs[0]
    arguments = {"pack": pack.source, "seed": 9, "amounts": {pack.names[0]: 2.0}}
    answer = httpx.post(
        f"{mcp_app.url}gradio_api/mcp/",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "edit", "arguments": arguments}},
        headers={"Accept": "application/json, text/event-stream"},
        timeout=60,
    )
    line = next(line for line in answer.text.splitlines() if line.startswith("data:"))
    image = json.loads(line[5:])["result"]["content"][0]
    wanted = drawn(PictureRecipe(pack.source, 9, DEFAULT_PSI, amounts={pack.names[0]: 2.0}))
    assert image["mimeType"] == "image/png"
    with Image.open(io.BytesIO(base64.b64decode(image["data"]))) as picture:
        assert np.array_equal(np.asarray(picture.convert("RGB")), wanted)


# ---- the docs' examples


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.S)


def test_the_python_example_runs(served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    example = next(text for text in examples("python") if "gradio_client" in text)
    names: dict[str, Any] = {}
    exec(compile(example.replace(ADDRESS, served.url.rstrip("/")), "api.md", "exec"), names)
    assert pixels(names["picture"]).shape == (64, 64, 3)
    assert not np.array_equal(pixels(names["picture"]), pixels(names["older"]))
    assert len(names["amounts"]) == 5


def test_the_curl_example_runs(served: Served, tmp_path: Path) -> None:
    (example,) = examples("sh")
    script = example.replace(ADDRESS, served.url.rstrip("/"))
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True, timeout=120)
    assert read_png(tmp_path / "edited.png").amounts == {"smile": 2.0}
    assert pixels(tmp_path / "edited.png").shape == (64, 64, 3)


def test_the_mcp_example_runs(mcp_app: Running, tmp_path: Path) -> None:
    example = next(text for text in examples("python") if "import ClientSession" in text)
    script = example.replace(ADDRESS, mcp_app.url.rstrip("/"))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=120, capture_output=True, text=True
    )
    assert "['edit', 'sweep', 'packs', 'directions']" in done.stdout
    assert "image/png" in done.stdout


def test_the_docs_name_every_parameter() -> None:
    import inspect

    text = DOCS.read_text()
    for name in PUBLIC:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}`"))
        parameters = list(inspect.signature(getattr(Endpoints, name[1:])).parameters)[1:]
        assert re.findall(r"`(\w+)`", row.split("|")[2]) == parameters
