"""DirectionPack (or generator) -> model card: pure, no network, the same input gives the same text.

The front matter is the Hub's (huggingface_hub's ModelCardData), the body is a template. Everything a template prints is
escaped on the way (markdown.escape), because names and descriptions come from strangers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eigan.errors import EiganError, lookup
from eigan.format import EXTRA_FILE, MANIFEST, PRESETS, VECTORS
from eigan.generators import ARCHITECTURES
from eigan.hub import COMMIT, parse_ref
from eigan.model_file import MODELS
from eigan.pack import Direction, DirectionPack
from eigan.readers.safetensors import SAMPLES, GeneratorConfig
from hub_export.evidence import findings, main_cell, metrics_of, model_index, others_cell, protocol, share_cell
from hub_export.markdown import Markdown, escape, literal, one_line
from hub_export.metrics import METRICS, Metrics
from hub_export.plots import PLOTS
from hub_export.previews import CONTACT_SHEET, slugs
from hub_export.recipe_text import accounts_of, recipes_of

TAGS = ("eigan", "gan", "latent-directions")
TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
MAX_ROWS = 200  # of hyper-parameters; a stranger's manifest may hold megabytes of them
HISTORY = "history"  # of a fit: drawn, not listed
METHOD_NOTES = {
    "pca": "principal components of the codes (GANSpace, Härkönen et al., NeurIPS 2020, arXiv:2004.02546).",
    "sefa": "eigenvectors of the style weights, without samples (SeFa, Shen & Zhou, CVPR 2021, arXiv:2007.06600).",
    "ica": "independent components of the codes (FastICA, Hyvärinen, 1999; on GANs: Palaev et al., arXiv:2305.14551).",
    "latentclr": "directions told apart by contrast (LatentCLR, Yüksel et al., ICCV 2021, arXiv:2104.00820).",
    "random": "unit vectors drawn at random: what any method has to beat, not directions to edit with.",
    "local": "directions that each change few places of the picture; a method of eigan's own.",
    "isolate": "sums of another pack's directions that each move one attribute alone, made with a scorer's help.",
    "import": "converted from another tool's file; below, what it was and how its numbers were read.",
    "named": "picked out of fitted packs and named by a person; below, how each source was fitted.",
}
FILE_NOTES = {
    MANIFEST: "manifest: names, layers, sigmas, ranges, how it was fitted, for which generator",
    VECTORS: "the vectors, float32, each of norm 1",
    MODELS: "the networks that make directions of the codes, float32",
    PRESETS: "directions moved together under one name",
    "CHANGELOG.md": "what changed, version by version",
    METRICS: "what was measured",
}
HUB_LICENSE = re.compile(  # the Hub's ids; any other licence is "other" there, with its own name
    r"apache-2\.0|mit|isc|zlib|unlicense|wtfpl|bsd(?:-[23]-clause)?|mpl-2\.0|a?gpl-3\.0|gpl-2\.0|lgpl-(?:2\.1|3\.0)|cc0-1\.0|"
    r"cc-by-(?:sa-|nc-|nc-sa-|nc-nd-)?[34]\.0|cc-by-nd-4\.0|odc-by|odbl|pddl|openrail|openrail\+\+|creativeml-openrail-m"
)


def render_card(
    pack: DirectionPack, extras: Mapping[str, bytes], *, repo_id: str | None = None, changes: str = ""
) -> str:
    """README.md of `pack` with the files `extras` beside it; `repo_id` and the pack's version pin links and snippets.

    `changes` says what is new in this version, one change a line. A metrics.json among `extras` becomes evidence.

    Raises:
        PackFormatError: metrics.json is malformed, or measured on something else.
    """
    metrics = metrics_of(pack, extras)
    names = [name for name in sorted(extras) if EXTRA_FILE.fullmatch(name) and name != "README.md"]
    sheet = _if_there(CONTACT_SHEET, names)
    strips = [_if_there(f"previews/{slug}.webp", names) for slug in slugs(pack.names)]
    source = _source(repo_id, pack.version, pack.name)
    method_name = str(pack.method.get("name", "not stated"))
    body = render_template(
        "card.md.j2",
        pack=pack,
        made_for=pack.made_for,
        source=Markdown(source),
        source_literal=literal(source),
        first_literal=literal(pack.directions[0].name),
        call=Markdown(_pack_call(pack)),
        pinned=bool(repo_id and pack.version),
        contact_sheet=sheet,
        shown=[(d, strip) for d, strip in zip(pack.directions, strips, strict=True) if strip or d.description],
        number=lambda value: Markdown(f"{value:.4g}"),
        signed=lambda value: Markdown(f"{value:+g}"),
        explained=_explained_variance,
        depending=[d for d in pack if d.model is not None],
        method_name=method_name,
        method_note=METHOD_NOTES.get(method_name, ""),
        license_note=_license_note(pack.license),
        changes=_lines(changes),
        files=[(Markdown(name), _file_note(name)) for name in (*_pack_files(pack), *names)],
        **_account(pack),
        **_evidence(metrics, names),
    )
    pictures = [(d.name, strip) for d, strip in zip(pack.directions, strips, strict=True) if strip]
    front = _front_matter(
        name=pack.name,
        license=pack.license,
        tags=(*TAGS, pack.made_for.architecture, method_name),
        eval_results=model_index(metrics, pack.made_for.source) if metrics else None,
        **_base_model(pack.made_for.source, pack.made_for.revision),
        **_pictures(repo_id, pack.version, sheet, pictures),
    )
    return f"---\n{front}\n---\n\n{body}\n"


def _pack_files(pack: DirectionPack) -> list[str]:
    """The files that a pack consists of."""
    return [MANIFEST, VECTORS, *([MODELS] if any(d.model for d in pack) else []), PRESETS]


def render_generator_card(
    config: GeneratorConfig,
    *,
    name: str = "",
    repo_id: str | None = None,
    version: str = "",
    changes: str = "",
    samples: bool = False,
) -> str:
    """README.md of a generator folder called `name`: what it is, how to load it (pinned, with a repo_id and version),
    whose licence it is under, and its sample pictures if there are.
    """
    name = repo_id.split("/")[-1] if repo_id else name or config.architecture
    body = render_template(
        "generator.md.j2",
        config=config,
        name=name,
        version=version,
        source_literal=literal(_source(repo_id, version, name)),
        call=Markdown(_mapping_call(config)),
        samples=Markdown(SAMPLES) if samples else None,
        facts=(_flatten(config.config) + _flatten({"source": config.source}))[:MAX_ROWS],
        license_note=_license_note(config.license),
        changes=_lines(changes),
    )
    front = _front_matter(name=name, license=config.license, tags=("eigan", "gan", config.architecture))
    return f"---\n{front}\n---\n\n{body}\n"


def _account(pack: DirectionPack) -> dict[str, Any]:
    """How the pack was fitted: recipes as files, and as rows what they do not say."""
    recipes = recipes_of(pack)
    told = {recipe.source: recipe.keys for recipe in recipes}
    if "" in told:
        rest: Mapping[str, Any] = _without(pack.method, told[""])
    else:
        left = {name: _without(method, told.get(name, frozenset())) for name, method in accounts_of(pack) if name}
        rest = {**_without(pack.method, {"name"}), **({"sources": left} if left else {})}
    return {"recipes": recipes, "hyper_parameters": _flatten(rest)[:MAX_ROWS]}


def _without(method: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in method.items() if key not in keys}


def _evidence(metrics: Metrics | None, names: Sequence[str]) -> dict[str, Any]:
    """What the template shows of `metrics`, and the plots that are there."""
    has_effects = metrics is not None and any(entry.main for entry in metrics.directions)
    return {
        "measured": (lambda name: metrics[name]) if metrics and has_effects else None,
        "main": main_cell,
        "others": others_cell,
        "share": share_cell,
        "findings": findings(metrics) if metrics else [],
        "protocol": protocol(metrics) if metrics else [],
        "plots": [(plot, Markdown(plot.path)) for plot in PLOTS.values() if plot.path in names],
    }


def _file_note(name: str) -> str:
    return FILE_NOTES.get(name, "plot" if any(name == plot.path for plot in PLOTS.values()) else "picture")


def _pack_call(pack: DirectionPack) -> str:
    """The arguments of `mapping` for the pack's generator, as far as the pack tells which it is."""
    family = ARCHITECTURES.get(pack.made_for.architecture)
    psi = "" if family and family.truncation == "none" else f", truncation_psi={family.default_psi if family else 0.7}"
    fitted = pack.method.get("class_index")
    if type(fitted) is int:
        return f"z, {fitted}{psi}"
    return f"z, 0{psi}" if pack.made_for.architecture == "biggan" else f"z{psi}"


def _mapping_call(config: GeneratorConfig) -> str:
    """The arguments of `mapping` that this generator wants: a class where it has classes, psi where it truncates."""
    try:
        with torch.device("meta"):
            generator = lookup(ARCHITECTURES, config.architecture, "architecture").from_config(config.config)
    except EiganError:  # of a newer eigan
        return "z"
    psi = "" if generator.truncation == "none" else f", truncation_psi={generator.default_psi}"
    return f"z, 0{psi}" if generator.c_dim else f"z{psi}"


def render_template(template: str, **values: Any) -> str:
    """The text of a template of this package; every value is escaped on the way in, but Markdown."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        finalize=escape,
        autoescape=False,  # finalize escapes every expression, for Markdown as well as HTML
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)


def _front_matter(*, name: str, license: str, tags: tuple[str, ...], **fields: Any) -> str:
    known = bool(HUB_LICENSE.fullmatch(license.lower()))
    data = ModelCardData(
        library_name="eigan",
        model_name=one_line(name),
        pipeline_tag="unconditional-image-generation",
        tags=[tag for tag in dict.fromkeys(tag.lower() for tag in tags) if TAG.fullmatch(tag)],
        license=(license.lower() if known else "other") if license else None,
        license_name=None if known or not license else _slug(license),
        **fields,
    )
    return str(data.to_yaml())


def _base_model(source: str, revision: str) -> dict[str, str]:
    """The generator as the Hub's base model, when it came from the Hub: only then has it a commit."""
    ref = parse_ref(source)
    if ref is None or not COMMIT.fullmatch(revision):
        return {}
    return {"base_model": ref.repo_id, "base_model_relation": "adapter"}


def _pictures(
    repo_id: str | None, version: str, sheet: str | None, strips: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if repo_id and (shown := sheet or (strips[0][1] if strips else None)):
        revision = f"v{version}" if version else "main"
        fields["thumbnail"] = f"https://huggingface.co/{repo_id}/resolve/{revision}/{shown}"
    if strips:
        fields["widget"] = [{"text": one_line(name), "output": {"url": str(path)}} for name, path in strips]
    return fields


def _source(repo_id: str | None, version: str, name: str) -> str:
    """What to load: the pinned Hub id, or a folder's name while it is not published."""
    if repo_id is None:
        return _slug(name)
    return f"{repo_id}@v{version}" if version else repo_id


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "pack"


def _if_there(path: str, names: Sequence[str]) -> Markdown | None:
    return Markdown(path) if path in names else None


def _explained_variance(direction: Direction) -> Markdown:
    ratio = direction.metrics.get("explained_variance_ratio")
    return Markdown("–" if ratio is None else f"{100 * ratio:.3g}%")


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested hyper-parameters as rows: 'sources / pca / seed', 0."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if key == HISTORY:
            continue
        if isinstance(value, Mapping):
            rows += _flatten(value, f"{prefix}{key} / ")
        else:
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return rows


def _license_note(license: str) -> str:
    text = license.lower()
    if not license:
        return "No licence is stated: check the generator's own before you use or pass on what it draws."
    if "nvidia" in text or "-nc" in text or "non-commercial" in text or "noncommercial" in text:
        owner = "NVIDIA's weights are" if "nvidia" in text else "this is"
        return f"Licence: {license}. Mind that {owner} for non-commercial use only, and so is what is made with them."
    if not HUB_LICENSE.fullmatch(text):
        return f"Licence: {license}. Check its terms, and the generator's own, before you use or pass on what it draws."
    return f"Licence: {license}."


def _lines(changes: str) -> list[str]:
    """One entry a line, with or without bullets."""
    return [line for line in (re.sub(r"^[-*+]\s+", "", raw.strip()) for raw in changes.splitlines()) if line]
