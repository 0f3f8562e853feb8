"""plugin/locales/: every node, input and output has its words in every language, and the page is given them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.plugin.comfyui import PLUGIN, Server, Worker
from tests.plugin.make_locales import LOCALES, english, escaped

LANGUAGES = sorted(folder.name for folder in LOCALES.iterdir())
FILES = ("main", "nodeDefs", "settings")
SAYS_SETTING = re.compile(r'name: "(Redraw[^"]*)",\s*tooltip: "([^"]*)"')


@pytest.fixture(scope="module")
def info(worker: Worker) -> dict[str, Any]:
    return worker.info()


def read(language: str, name: str) -> Any:
    return json.loads((LOCALES / language / f"{name}.json").read_text(encoding="utf-8"))


def shape(words: Any) -> Any:
    return {key: shape(value) for key, value in words.items()} if isinstance(words, dict) else str


def texts(words: Any) -> list[str]:
    return [words] if isinstance(words, str) else [text for value in words.values() for text in texts(value)]


def test_english_is_what_the_nodes_say(info: dict[str, Any]) -> None:
    assert read("en", "nodeDefs") == english(info), "run python -m tests.plugin.make_locales"


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_is_translated(info: dict[str, Any], language: str) -> None:
    assert shape(read(language, "nodeDefs")) == shape(english(info))
    for name in FILES:
        assert shape(read(language, name)) == shape(read("en", name))
        assert all(text.strip() for text in texts(read(language, name)))


def test_chinese_is_chinese() -> None:
    for name, node in read("zh", "nodeDefs").items():
        for text in texts(node):
            assert re.search("[\u4e00-\u9fff]", text), f"{name}: {text}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_titles_differ_within_a_language(language: str) -> None:
    titles = [node["display_name"] for node in read(language, "nodeDefs").values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_means_something_to_the_pages_messages(language: str) -> None:
    for name in FILES:
        for text in texts(read(language, name)):
            plain = re.sub(r"\{'([@|{}$])'\}", r"\1", text)
            assert escaped(plain) == text


def test_categories_types_and_the_setting_have_words(info: dict[str, Any]) -> None:
    main = read("en", "main")
    parts = {part for node in info.values() for part in node["category"].split("/")}
    assert set(main["nodeCategories"]) == parts
    ours = {kind for node in info.values() for kind in node["output"] if kind.startswith(("GAN_", "DIRECTION_"))}
    assert set(main["dataTypes"]) == ours
    script = (PLUGIN / "web/js/eigan_live.js").read_text(encoding="utf-8")
    found = SAYS_SETTING.search(script)
    assert found is not None
    assert list(read("en", "settings")["Eigan_Live"].values()) == list(found.groups())


def test_the_page_is_given_them(server: Server) -> None:
    found = server.get("/i18n")
    assert (
        found["zh"]["nodeDefs"]["EiganRender"]["display_name"] == read("zh", "nodeDefs")["EiganRender"]["display_name"]
    )
    assert found["zh"]["nodeCategories"]["GAN edit"] == "GAN 编辑"
    assert found["en"]["settings"]["Eigan_Live"]["name"].startswith("Redraw")
