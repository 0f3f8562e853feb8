"""How to cite what is on the page: BibTeX of the packs, of the methods that made them and of the generator's network.

Pure functions, no Gradio. Names and sources come from strangers' packs, so everything of theirs is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from huggingface_hub import constants

import eigan
from eigan.hub import parse_ref
from eigan.pack import DirectionPack, MadeFor

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{mark: f"\\{mark}" for mark in "{}$&#%_"},
}


@dataclass(frozen=True)
class Paper:
    """One entry. venue: where it was published; arxiv: its id, "" for none."""

    key: str
    title: str
    author: str
    venue: str
    year: int
    arxiv: str = ""
    kind: str = "inproceedings"

    def to_bibtex(self) -> str:
        place = "journal" if self.kind == "article" else "booktitle"
        fields = {"title": f"{{{self.title}}}", "author": self.author, place: self.venue, "year": str(self.year)}
        if self.arxiv:
            fields |= {"eprint": self.arxiv, "archivePrefix": "arXiv"}
        return _entry(self.kind, self.key, fields)


GANSPACE = Paper(
    "harkonen2020ganspace",
    "GANSpace: Discovering Interpretable GAN Controls",
    "Erik Härkönen and Aaron Hertzmann and Jaakko Lehtinen and Sylvain Paris",
    "Advances in Neural Information Processing Systems",
    2020,
    "2004.02546",
)
FASTICA = Paper(
    "hyvarinen1999fastica",
    "Fast and Robust Fixed-Point Algorithms for Independent Component Analysis",
    "Aapo Hyvärinen",
    "IEEE Transactions on Neural Networks 10(3)",
    1999,
    kind="article",
)
SEFA = Paper(
    "shen2021closedform",
    "Closed-Form Factorization of Latent Semantics in GANs",
    "Yujun Shen and Bolei Zhou",
    "IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)",
    2021,
    "2007.06600",
)
LATENTCLR = Paper(
    "yuksel2021latentclr",
    "LatentCLR: A Contrastive Learning Approach for Unsupervised Discovery of Interpretable Directions",
    "Oğuz Kaan Yüksel and Enis Simsar and Ezgi Gülperi Er and Pinar Yanardag",
    "IEEE/CVF International Conference on Computer Vision (ICCV)",
    2021,
    "2104.00820",
)
METHOD_PAPERS: dict[str, tuple[Paper, ...]] = {
    "pca": (GANSPACE,),
    "ica": (FASTICA, GANSPACE),
    "sefa": (SEFA,),
    "latentclr": (LATENTCLR,),
}

KARRAS = "Tero Karras and Samuli Laine"
ARCHITECTURE_PAPERS: dict[str, Paper] = {
    "stylegan": Paper(
        "karras2019stylegan",
        "A Style-Based Generator Architecture for Generative Adversarial Networks",
        f"{KARRAS} and Timo Aila",
        "IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)",
        2019,
        "1812.04948",
    ),
    "stylegan2": Paper(
        "karras2020stylegan2",
        "Analyzing and Improving the Image Quality of StyleGAN",
        f"{KARRAS} and Miika Aittala and Janne Hellsten and Jaakko Lehtinen and Timo Aila",
        "IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)",
        2020,
        "1912.04958",
    ),
    "stylegan3": Paper(
        "karras2021stylegan3",
        "Alias-Free Generative Adversarial Networks",
        "Tero Karras and Miika Aittala and Samuli Laine and Erik Härkönen and Janne Hellsten and Jaakko Lehtinen and "
        "Timo Aila",
        "Advances in Neural Information Processing Systems",
        2021,
        "2106.12423",
    ),
    "biggan": Paper(
        "brock2019biggan",
        "Large Scale GAN Training for High Fidelity Natural Image Synthesis",
        "Andrew Brock and Jeff Donahue and Karen Simonyan",
        "International Conference on Learning Representations (ICLR)",
        2019,
        "1809.11096",
    ),
    "pggan": Paper(
        "karras2018pggan",
        "Progressive Growing of GANs for Improved Quality, Stability, and Variation",
        "Tero Karras and Timo Aila and Samuli Laine and Jaakko Lehtinen",
        "International Conference on Learning Representations (ICLR)",
        2018,
        "1710.10196",
    ),
    "fastgan": Paper(
        "liu2021fastgan",
        "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis",
        "Bingchen Liu and Yizhe Zhu and Kunpeng Song and Ahmed Elgammal",
        "International Conference on Learning Representations (ICLR)",
        2021,
        "2101.04775",
    ),
}


def citation(packs: Sequence[DirectionPack], methods: Iterable[str]) -> str:
    """BibTeX of `packs`, all of one generator, of the papers behind `methods`, of the network's, and of eigan."""
    papers = [paper for method in methods for paper in METHOD_PAPERS.get(method, ())]
    if (network := ARCHITECTURE_PAPERS.get(packs[0].made_for.architecture)) is not None:
        papers.append(network)
    keys = [paper.key for paper in papers]
    entries = [_cite_pack(pack, key) for pack, key in zip(packs, _keys(packs, keys), strict=True)]
    entries += [paper.to_bibtex() for paper in dict.fromkeys(papers)]
    entries.append(
        _entry(
            "misc", "eigan", {"title": "{eigan: sliders for GANs}", "note": f"Version {_escaped(eigan.__version__)}"}
        )
    )
    return "\n\n".join(entries) + "\n"


def version_words(pack: DirectionPack) -> str:
    """'2.0.0, commit 0123abcd': which one it is, as far as the pack and its source say; "" when neither does."""
    return ", ".join(filter(None, [pack.version, f"commit {pack.revision[:12]}" if pack.revision else ""]))


def pack_address(pack: DirectionPack) -> str:
    """The Hub's page of exactly this pack; "" for one that was not loaded from there."""
    ref = parse_ref(pack.source) if pack.revision else None
    return f"{constants.ENDPOINT}/{ref.repo_id}/tree/{pack.revision}" if ref else ""


def _cite_pack(pack: DirectionPack, key: str) -> str:
    told = [
        "Direction pack",
        f"version {version_words(pack)}" if pack.version else version_words(pack),
        f"licence {pack.license}" if pack.license else "",
        f"for the generator {_generator_words(pack.made_for)}",
    ]
    note = _escaped("; ".join(filter(None, told)))
    fields = {"title": f"{{{_escaped(pack.name)}}}", "note": note}
    if address := pack_address(pack):
        fields["howpublished"] = f"\\url{{{address}}}"
    return _entry("misc", key, fields)


def _generator_words(made_for: MadeFor) -> str:
    """'heads-64 (stylegan2, weights 6f5c1b8fb8fa)'."""
    return f"{made_for.source or 'unnamed'} ({made_for.architecture}, weights {made_for.fingerprint[:12]})"


def _keys(packs: Sequence[DirectionPack], taken: Iterable[str]) -> list[str]:
    """A key for each pack, all different: BibTeX takes plain letters and digits."""
    used, keys = {*taken, "eigan"}, []
    for pack in packs:
        plain = re.sub(r"[^a-z0-9]+", "-", pack.name.lower()).strip("-")[:40] or "pack"
        key, copy = plain, 1
        while key in used:
            copy += 1
            key = f"{plain}-{copy}"
        used.add(key)
        keys.append(key)
    return keys


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _escaped(text: str) -> str:
    """`text` in one line, as LaTeX that shows it and does nothing else."""
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(text.split()))
