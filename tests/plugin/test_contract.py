"""What holds for every node of the table, as /object_info tells the page: names, tooltips, ranges, types, help."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.comfyui import PLUGIN, Server, Worker

INTERFACE = Path(__file__).with_name("interface.json")
CATEGORIES = {f"GAN edit/{group}" for group in ("loaders", "latent", "edit", "image", "recipes")}
OURS = {"GAN_GENERATOR", "GAN_LATENT", "DIRECTION_PACK", "GAN_EDIT"}
CORES = {"IMAGE", "STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"}


@pytest.fixture(scope="module")
def info(worker: Worker) -> dict[str, Any]:
    return worker.info()


def inputs_of(node: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name, type, options) of every input that a person sees."""
    for group in ("required", "optional"):
        for name, (kind, *options) in node["input"].get(group, {}).items():
            yield name, kind, options[0] if options else {}


def test_ids_are_the_tables_and_titles_are_theirs_alone(info: dict[str, Any]) -> None:
    table = re.findall(r'^    "(\w+)": (\w+),$', (PLUGIN / "nodes" / "__init__.py").read_text(), re.M)
    assert table and all(name == kind for name, kind in table)
    assert {name for name, _ in table} == set(info)
    assert all(re.fullmatch(r"Eigan[A-Z]\w+", name) and node["name"] == name for name, node in info.items())
    titles = [node["display_name"] for node in info.values()]
    assert len(set(titles)) == len(titles)


def test_every_node_says_what_it_does(info: dict[str, Any]) -> None:
    for name, node in info.items():
        assert node["category"] in CATEGORIES, name
        assert len(node["description"]) > 40 and node["description"].endswith("."), name


def test_every_input_and_output_has_a_tooltip(info: dict[str, Any]) -> None:
    for name, node in info.items():
        for given, _, options in inputs_of(node):
            tooltip = options.get("tooltip", "")
            assert len(tooltip) > 10 and tooltip.endswith("."), f"{name}: {given}"
        for given, tooltip in zip(node["output_name"], node["output_tooltips"], strict=True):
            assert tooltip and tooltip.endswith("."), f"{name}: {given}"


def test_types_are_ours_or_the_cores(info: dict[str, Any]) -> None:
    for name, node in info.items():
        kinds = {kind if isinstance(kind, str) else "COMBO" for _, kind, _ in inputs_of(node)}
        assert kinds | set(node["output"]) <= OURS | CORES, name


def test_numbers_have_ranges_and_seeds_stay(info: dict[str, Any]) -> None:
    for name, node in info.items():
        for given, kind, options in inputs_of(node):
            if kind in ("INT", "FLOAT"):
                assert options["min"] <= options["default"] <= options["max"], f"{name}: {given}"
            if "seed" in given:  # else the page draws a new one after each run, and the edited picture is lost
                assert options["control_after_generate"] is False, f"{name}: {given}"


def test_every_node_has_a_page_of_help_that_names_its_inputs(info: dict[str, Any]) -> None:
    for name, node in info.items():
        page = (PLUGIN / "web" / "docs" / f"{name}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {node['display_name']}\n"), name
        for given, _, _ in inputs_of(node):
            assert f"`{given}`" in page, f"{name}: {given}"


def test_saved_workflows_stay_good(info: dict[str, Any]) -> None:
    """interface.json is what workflows were saved with: nodes, inputs and outputs may be added, never changed."""
    frozen = json.loads(INTERFACE.read_text())
    now = {name: interface(node) for name, node in info.items()}
    for name, before in frozen.items():
        assert name in now, f"{name} is gone; workflows have it"
        for given, kind in before["inputs"].items():
            assert now[name]["inputs"].get(given) == kind, f"{name}: {given}"
        required = set(info[name]["input"].get("required", {})) - set(before["inputs"])
        assert not required, f"{name}: {required} must be optional, since older workflows do not have it"
        assert now[name]["outputs"][: len(before["outputs"])] == before["outputs"], name
    new = {name: found for name, found in now.items() if found != frozen.get(name)}
    assert not new, f"add to {INTERFACE.name}: {json.dumps(new)}"


def interface(node: dict[str, Any]) -> dict[str, Any]:
    inputs = {name: kind if isinstance(kind, str) else "COMBO" for name, kind, _ in inputs_of(node)}
    return {"inputs": inputs, "outputs": node["output"]}


def test_loading_them_is_quick_and_silent(worker: Worker) -> None:
    """Every user of ComfyUI waits for it at every start. The clock is the processor's: the machine may be busy."""
    assert worker.imported["seconds"] < 1.0
    assert worker.imported["printed"] == ""
    assert worker.imported["noticed"] == []


def test_the_core_has_none_of_our_ids_and_serves_our_help(server: Server) -> None:
    found = server.get("/object_info")
    ours = {name: node for name, node in found.items() if name.startswith("Eigan")}
    assert {node["python_module"] for node in ours.values()} == {"custom_nodes.eigan"}  # else the core's had won
    assert len(found) > 300 and len(ours) >= 7
    assert server.text("/extensions/eigan/docs/EiganRender.md").startswith("# Render\n")
