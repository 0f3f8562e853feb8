"""Writes plugin/locales/en/nodeDefs.json from the nodes themselves; the other languages are written by hand.

Run after a node's words changed: `python -m tests.plugin.make_locales`. test_locales.py says when that is due.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.plugin.comfyui import PLUGIN, Worker, make_base, person_environ
from tests.plugin.core import find_core

LOCALES = PLUGIN / "locales"
SPECIAL = re.compile(r"[@|{}$]")  # to the page's messages (vue-i18n); "org/name@v1.0.0" would be a link there


def escaped(text: str) -> str:
    return SPECIAL.sub(lambda found: "{'" + found[0] + "'}", text)


def english(info: Mapping[str, Any]) -> dict[str, Any]:
    """nodeDefs.json of what /object_info tells."""
    return {name: node_words(node) for name, node in info.items()}


def node_words(node: Mapping[str, Any]) -> dict[str, Any]:
    words: dict[str, Any] = {"display_name": node["display_name"], "description": node["description"]}
    inputs = {key: value for group in ("required", "optional") for key, value in node["input"].get(group, {}).items()}
    words["inputs"] = {key: {"name": key, "tooltip": options["tooltip"]} for key, (_, options) in inputs.items()}
    outputs = zip(node["output_name"], node["output_tooltips"], strict=True)
    words["outputs"] = {str(i): {"name": name, "tooltip": tooltip} for i, (name, tooltip) in enumerate(outputs)}
    return escape_all({key: value for key, value in words.items() if value})


def escape_all(words: Any) -> Any:
    return escaped(words) if isinstance(words, str) else {key: escape_all(value) for key, value in words.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder))
        (base / "custom_nodes" / "eigan").symlink_to(PLUGIN)
        worker = Worker(find_core(), base, person_environ())
        found = english(worker.info())
        worker.stop()
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (LOCALES / "en" / "nodeDefs.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
