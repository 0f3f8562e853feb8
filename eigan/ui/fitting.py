"""A generator for which there is no pack: directions fitted on the spot, in seconds, by SeFa or PCA. No Gradio.

"sefa:<generator>" and "pca:<generator>" stand wherever a pack may be named: in the pack box, links, recipes. The same
source always gives the same pack, so a recipe that names one draws the same picture anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from eigan import sources
from eigan.errors import FitError, UnknownName, list_names
from eigan.generators.base import Generator
from eigan.hub import VERSION_TAG, parse_ref
from eigan.layers import LayerRange
from eigan.pack import MAX_NAME, Direction, DirectionPack
from eigan.recipe import MAX_SOURCE
from eigan.web import is_url, without_secrets

if TYPE_CHECKING:
    from hub_export.methods.base import Progress
    from hub_export.recipe import Recipe

FIT_METHODS = {"sefa": "SeFa", "pca": "PCA"}  # name in a source -> as people write it
SEPARATOR = ":"
MAX_HOSTED_BYTES = 1_500_000_000  # of a generator that a stranger names; StyleGAN2 at 1024 px is 0.4 GB with all it has
NUM_DIRECTIONS = 40
GROUP_DIRECTIONS = 8  # of each group of layers
GROUPS = ("early", "middle", "late")  # thirds of the layers: pose and shape, parts, colours and textures
MIN_LAYERS = 6  # fewer are not divided into groups
SIGMA_SAMPLES = 10_240  # codes that SeFa's sigmas are measured on: to 1%
STAGE_SAMPLES = 4_096  # codes of a PCA that runs part of the network on each
PCA_SAMPLES = (20_480, 102_400)  # codes of any other PCA, at least and at most
PCA_WORK = 1.5e11  # multiplications of the mapping network that fit in about two seconds of two cores


@dataclass(frozen=True)
class FitSource:
    """A pack that is fitted when it is opened: by which method, of which generator."""

    method: str
    generator: str

    def __str__(self) -> str:
        return f"{self.method}{SEPARATOR}{self.generator}"


def parse_fit(source: str) -> FitSource | None:
    """What "sefa:heads-64" or "pca:org/name@v1.0.0:net.pkl" asks to fit; None for the source of a finished pack."""
    method, _, generator = (part.strip() for part in source.partition(SEPARATOR))
    if method.lower() not in FIT_METHODS or not generator or len(source) > MAX_SOURCE:
        return None
    return FitSource(method.lower(), generator)


def open_generator(source: str, *, hosted: bool, token: str | bool | None = None, offline: bool = False) -> Generator:
    """The generator that a person named. hosted: a stranger did, so it is a bundled one or one of the Hub, of bounded
    size, and fetched without a token.

    Raises:
        UnknownName: it may not be opened here. FitError: an address that must not stand in links.
        CheckpointError, HubError: it cannot be read, or fetched.
    """
    text = source.strip()
    if hosted:
        _check_allowed(text)
        return sources.load_generator(text, token=False, offline=offline, max_bytes=MAX_HOSTED_BYTES)
    if is_url(text) and without_secrets(text) != text:
        raise FitError(
            "the address holds a user or a query, which would stand in every link and picture made here; give one "
            "without, or download the file and give its path"
        )
    return sources.load_generator(text, token=token, offline=offline)


def _check_allowed(text: str) -> None:
    """Raise UnknownName unless strangers may open the generator called `text`."""
    if text in sources.bundled_generators():
        return
    if parse_ref(text) is None or Path(text).exists():
        known = list_names(sources.bundled_generators())
        raise UnknownName(
            f"{text[:MAX_NAME]!r} is neither a bundled generator ({known}) nor one on the Hub, like org/name@v1.0.0 or "
            "org/name:network.pkl. Files and addresses can be opened only where the app runs on your own machine."
        )


def fit_pack(fit: FitSource, generator: Generator, report: Progress | None = None) -> DirectionPack:
    """Directions of `generator`, which `fit` names, in seconds on a CPU; the same bytes every time.

    SeFa: of all layers, and of each third of them where there are enough; PCA: of the codes, or of what the first
    stage makes of them. report: called with (done, total, what).

    Raises:
        FitError: the method finds nothing in such a generator; the sentence says what does.
    """
    solve = {"sefa": _fit_sefa, "pca": _fit_pca}[fit.method]
    pack = solve(generator, report or _silent)
    words = f"{FIT_METHODS[fit.method]} of {short_name(fit.generator)}"
    return replace(
        pack,
        name=words[:MAX_NAME],
        description=f"Directions that {words} finds, fitted on the spot and not named yet.",
        source=str(pinned(fit, generator)),
    )


def pinned(fit: FitSource, generator: Generator) -> FitSource:
    """`fit` with the commit its generator came from, unless it names a revision: links must not drift with main."""
    ref = parse_ref(fit.generator)
    if ref is None or ref.revision or not generator.revision:
        return fit
    return replace(fit, generator=str(replace(ref, revision=generator.revision)))


def short_name(generator: str) -> str:
    """A few printable words for a generator's source: the last part of its path, id or address."""
    ref = parse_ref(generator)
    last = (ref.filename or ref.repo_id) if ref else generator
    name = re.sub(r"[^\w.-]+", " ", last.rstrip("/\\").replace("\\", "/").rpartition("/")[2]).strip()
    return name[:60] or "a generator"


def layer_groups(num_layers: int) -> dict[str, LayerRange]:
    """Thirds of the layers, by name; none where there are too few."""
    if num_layers < MIN_LAYERS:
        return {}
    ends = [round(num_layers * i / len(GROUPS)) for i in range(len(GROUPS) + 1)]
    return {name: LayerRange(*ends[i : i + 2]) for i, name in enumerate(GROUPS)}


def _fit_sefa(generator: Generator, report: Progress) -> DirectionPack:
    from hub_export.fit import fit
    from hub_export.recipe import Recipe

    groups = layer_groups(generator.num_layers)
    most = _most(Recipe("sefa"), generator)
    each = min(GROUP_DIRECTIONS, most)
    rest = min(NUM_DIRECTIONS - len(groups) * each, most)
    report(0, len(groups) + 1, "sefa")
    pack = fit(generator, Recipe("sefa", num_directions=rest, num_samples=SIGMA_SAMPLES))
    directions: list[Direction] = list(pack)
    for done, (name, layers) in enumerate(groups.items(), start=1):
        report(done, len(groups) + 1, f"sefa, {name} layers")
        recipe = Recipe("sefa", num_directions=each, num_samples=SIGMA_SAMPLES, layers=str(layers))
        found = fit(generator, recipe)
        directions += [replace(d, name=d.name.replace("sefa", f"sefa-{name}", 1)) for d in found]
    report(1, 1, "sefa")
    notes = {"layer_groups": {name: str(layers) for name, layers in groups.items()}} if groups else {}
    return replace(pack, directions=tuple(directions), method={**pack.method, **notes})


def _fit_pca(generator: Generator, report: Progress) -> DirectionPack:
    from hub_export.fit import fit
    from hub_export.recipe import Recipe

    if _runs_a_stage(generator) and generator.c_dim:
        raise FitError(
            f"PCA of {generator.describe()} wants one of its {generator.c_dim} classes to be chosen, which hub-export "
            "fit does; here, fit SeFa, which needs none"
        )
    recipe = Recipe("pca", num_samples=num_samples(generator))
    return fit(generator, replace(recipe, num_directions=_most(recipe, generator)), progress=report)


def num_samples(generator: Generator) -> int:
    """Codes that PCA draws: as many as take about two seconds, known from the network's size and not from the clock."""
    if _runs_a_stage(generator):
        return STAGE_SAMPLES
    mapper = getattr(generator, "mapper", None)
    size = sum(parameter.numel() for parameter in mapper.parameters()) if mapper is not None else 0
    least, most = PCA_SAMPLES
    return int(min(max(PCA_WORK / max(size, generator.code_dim**2), least), most))


def _runs_a_stage(generator: Generator) -> bool:
    """Whether PCA has to run the first stage for every code: in z, where no matrix is known for it."""
    return generator.code_space == "z" and generator.linear_map(generator.stages[0].name) is None


def _most(recipe: Recipe, generator: Generator) -> int:
    """How many directions to ask for."""
    return min(NUM_DIRECTIONS, recipe.resolve(generator).num_directions or NUM_DIRECTIONS)


def _silent(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""


def is_fixed(fit: FitSource) -> bool:
    """Whether the generator that `fit` names is the same for as long as this process runs: bundled, or a version."""
    ref = parse_ref(fit.generator)
    if sources.bundled_path(fit.generator):
        return True
    return ref is not None and (ref.is_pinned or bool(VERSION_TAG.fullmatch(ref.revision or "")))
