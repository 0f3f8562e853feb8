"""hub-export evaluate: what do a pack's directions do? A table, and metrics.json, plots and card in its folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eigan.errors import FitError
from eigan.format import is_pack, read_extras, save_pack
from eigan.pack import DirectionPack
from eigan.sources import bundled_path, load_pack
from hub_export.cli_fit import check_device, check_output_folder, is_as_fitted, open_generator, progress_bar
from hub_export.cli_publish import card
from hub_export.evaluation import evaluate as measure
from hub_export.evaluation import with_measured_ranges
from hub_export.evaluation.features import FEATURE_NAMES
from hub_export.evaluation.measure import NUM_PICTURES, NUM_SEEDS
from hub_export.evaluation.scorers import HEADS, default_scorer
from hub_export.metrics import METRICS, DirectionMetrics, Metrics, write_metrics
from hub_export.previews import CONTACT_SHEET, render_previews

SHOWN = 40  # directions in the table
NONE = "none"


def evaluate(
    source: Annotated[str, typer.Argument(metavar="PACK", help="A pack's folder, a bundled name, or a Hub id.")],
    out: Annotated[
        Path | None, typer.Option(help="Write a copy there. Default: into PACK, where it is a folder.")
    ] = None,
    generator: Annotated[str, typer.Option(help="The generator. Default: where the pack says it is.")] = "",
    scorer: Annotated[
        str,
        typer.Option(
            help=f"Reads attributes off pictures: {HEADS}, none, or package.module:function of your own, which takes "
            "uint8 pictures (N, H, W, 3) and gives {name: (N,) numbers}; it must be installed, or its folder in "
            f"PYTHONPATH. Default: {HEADS} for the bundled generator, else none."
        ),
    ] = "",
    features: Annotated[
        str, typer.Option(help=f"Space of drift and Fréchet distances: {', '.join(FEATURE_NAMES)}.")
    ] = HEADS,
    num_seeds: Annotated[int, typer.Option(help="Pictures that every direction is tried on.")] = NUM_SEEDS,
    num_pictures: Annotated[int, typer.Option(help="On each side of a Fréchet distance.")] = NUM_PICTURES,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn.")] = 0,
    psi: Annotated[
        float | None, typer.Option(help="Truncation of the pictures tried on. Default: what suits the generator.")
    ] = None,
    set_ranges: Annotated[
        bool | None,
        typer.Option(
            "--set-ranges/--keep-ranges",
            help="Give sliders the ranges within which they were found to hold. Default: where nobody has named them.",
        ),
    ] = None,
    no_frechet: Annotated[bool, typer.Option("--no-frechet", help="Leave Fréchet distances out.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    token: Annotated[str | None, typer.Option(envvar="HF_TOKEN", help="For private Hub packs and generators.")] = None,
) -> None:
    """Measure what a pack's directions do: effects, purity, drift, ranges, Fréchet distances.

    Ctrl-C stops without a trace: the folder is written once, at the end.
    """
    folder = where(source, out)
    pack = load_pack(source, token=token)
    place, errors = check_device(device), Console(stderr=True)
    with errors.status("opening the generator"):
        network = open_generator(generator, pack, place, token)
    chosen = scorer or default_scorer(network) or NONE
    with progress_bar(errors) as report:
        metrics = measure(
            network,
            pack,
            scorer=None if chosen == NONE else chosen,
            features=features,
            num_seeds=num_seeds,
            num_pictures=num_pictures,
            seed=seed,
            truncation_psi=psi,
            frechet=not no_frechet,
            progress=report,
        )
        redrawn = {}
        if is_as_fitted(pack) if set_ranges is None else set_ranges:
            pack = with_measured_ranges(pack, metrics)
            if has_previews(source):
                redrawn = render_previews(network, pack, progress=report)
    write(pack, metrics, source, folder, redrawn)
    show(Console(), metrics, pack)
    card(folder)


def where(source: str, out: Path | None) -> Path:
    """The folder that is written. Raises FitError, before any work, when there is none or it cannot be written."""
    if out is not None:
        check_output_folder(out)
        return out
    bundled = bundled_path(source)
    if bundled is not None or not is_pack(Path(source)):
        which = f"bundled, in {bundled}" if bundled is not None else "no folder of a pack on this machine"
        raise FitError(f"{source} is {which}; say with --out where a copy with its measurements goes")
    check_output_folder(Path(source))
    return Path(source)


def has_previews(source: str) -> bool:
    """Whether the pack has pictures, which are drawn over the sliders' ranges."""
    origin = bundled_path(source) or Path(source)
    return is_pack(origin) and CONTACT_SHEET in read_extras(origin)


def write(pack: DirectionPack, metrics: Metrics, source: str, folder: Path, redrawn: Mapping[str, bytes]) -> None:
    """The pack with its metrics.json, complete or not at all; of a local pack all files not `redrawn` are kept."""
    origin = bundled_path(source) or Path(source)
    extras = read_extras(origin) if is_pack(origin) else {}
    save_pack(pack, folder, {**extras, **redrawn, METRICS: write_metrics(metrics)})


def show(console: Console, metrics: Metrics, pack: DirectionPack) -> None:
    """Print a row for each direction, and the Fréchet distances."""
    title = f"{escape(pack.name)}: what {len(metrics.directions)} directions do"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("direction", "range", "moves most", "by", "purity", "leak", "monotone", "drift"):
        is_text = heading in ("direction", "moves most")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=is_text or heading == "range")
    for entry in metrics.directions[:SHOWN]:
        table.add_row(*row(entry))
    if len(metrics.directions) > SHOWN:
        table.add_row("…")
    console.print(table)
    lines = [
        f"attributes by {metrics.scorer or 'no scorer'}, in standard deviations per sigma; drift (at 1 sigma; "
        f"1 is another picture) by {metrics.features}"
    ]
    if found := metrics.frechet:
        kind = "FID" if found.features == "inception" else "Fréchet distance, not FID"
        edited = ", ".join(f"within ±{amount} sigmas {value:.3g}" for amount, value in found.edited.items())
        lines.append(f"{kind}, {found.num_images} edited pictures: {edited}; two unedited sets {found.floor:.3g}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not metrics.scorer:
        hint = f"hub-export evaluate {shlex.quote(pack.source or pack.name)} --scorer package.module:function"
        console.print(f"for effects on attributes: {hint}", markup=False, highlight=False, soft_wrap=True)


def row(entry: DirectionMetrics) -> list[str]:
    """The table's cells of one direction."""
    low, high = entry.range
    beside = min(entry.drift.amounts, key=lambda amount: abs(amount - 1.0), default=0.0)
    drift = dict(zip(entry.drift.amounts, entry.drift.values, strict=True)).get(beside)
    return [
        escape(entry.name),
        f"{low:g} to {high:g}",
        escape(entry.main),
        f"{entry.effects[entry.main]:+.2f}" if entry.main else "",
        "" if entry.purity is None else f"{entry.purity:.2f}",
        "" if entry.leak is None else f"{entry.leak:.2f}",
        f"{entry.monotonicity:.2f}",
        "" if drift is None else f"{drift:.2f}",
    ]
