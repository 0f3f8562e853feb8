"""BibTeX: whole, escaped, and of what is on the page."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eigan import sources
from eigan.errors import PackFormatError
from eigan.generators import ARCHITECTURES
from eigan.ui.cite import ARCHITECTURE_PAPERS, METHOD_PAPERS, citation, pack_address, version_words
from eigan.ui.rivals import methods_of
from hub_export.methods import METHODS
from tests.toys import toy_pack

PACK = toy_pack()
ENTRY = re.compile(r"^@(\w+)\{([^,]+),$", re.M)


def keys(bibtex: str) -> list[str]:
    return [key for _, key in ENTRY.findall(bibtex)]


def test_every_architecture_and_published_method_has_its_paper() -> None:
    assert set(ARCHITECTURE_PAPERS) == set(ARCHITECTURES)
    assert set(METHOD_PAPERS) == set(METHODS) - {"local", "random"}, "local is eigan's own, random the baseline"


def test_arxiv_numbers_are_those_that_the_code_names() -> None:
    for paper in (*(p for papers in METHOD_PAPERS.values() for p in papers), *ARCHITECTURE_PAPERS.values()):
        assert not paper.arxiv or re.fullmatch(r"\d{4}\.\d{5}", paper.arxiv)
        assert paper.year <= 2021 and (not paper.arxiv or int(paper.arxiv[:2]) + 2000 in (paper.year, paper.year - 1))


def test_the_bundled_packs_cite_their_methods() -> None:
    packs = [sources.load_pack(name) for name in sources.bundled_packs()]
    methods = dict.fromkeys(method for pack in packs for method in methods_of(pack))
    found = citation(packs, methods)
    papers = {"harkonen2020ganspace", "hyvarinen1999fastica", "shen2021closedform", "yuksel2021latentclr"}
    assert set(keys(found)) == papers | {"karras2020stylegan2", "eigan"} | {pack.name for pack in packs}
    assert len(keys(found)) == len(set(keys(found))), "each once"
    assert "version 2.0.0" in found and "6f5c1b8fb8fa" in found


def test_a_pack_from_the_hub_is_cited_to_the_commit() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    pack = replace(PACK, source="org/name@v1.0.0", revision=commit, version="1.0.0")
    assert version_words(pack) == "1.0.0, commit 0123456789ab"
    assert pack_address(pack).endswith(f"/org/name/tree/{commit}")
    assert pack_address(pack) in citation([pack], ["pca"])
    assert pack_address(PACK) == "" and version_words(PACK) == "" and "howpublished" not in citation([PACK], [])


def test_keys_never_meet() -> None:
    packs = [replace(PACK, name=name) for name in ("eigan", "A b", "a-b", "???", "!!!", "harkonen2020ganspace")]
    found = keys(citation(packs, ["pca"]))
    assert len(found) == len(set(found)) == len(packs) + 3
    assert all(re.fullmatch(r"[a-z0-9-]+", key) for key in found)


@given(st.text(min_size=1, max_size=60), st.text(max_size=60))
def test_no_name_leaves_its_entry(name: str, license: str) -> None:
    try:
        pack = replace(PACK, name=name, license=license)
    except PackFormatError:
        return
    found = citation([pack], ["pca", name])
    assert len(ENTRY.findall(found)) == 4
    plain = re.sub(r"\\[{}$&#%_]", "", found)
    assert plain.count("{") == plain.count("}")
    depth = 0
    for letter in plain:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0


def test_what_latex_would_read_is_escaped() -> None:
    found = citation([replace(PACK, name=r"\input{a} 50% & $x_1$ #~^")], [])
    assert r"\textbackslash{}input\{a\} 50\% \& \$x\_1\$ \#\textasciitilde{}\textasciicircum{}" in found


@pytest.mark.parametrize("methods", [[], ["local"], ["no such method"]])
def test_methods_without_a_paper_add_none(methods: list[str]) -> None:
    assert keys(citation([PACK], methods)) == ["toy", "karras2020stylegan2", "eigan"]
