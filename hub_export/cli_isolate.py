"""hub-export isolate: a fitted pack and a scorer in, a pack with a direction for each attribute out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eigan.format import save_pack
from eigan.pack import MAX_NAME, DirectionPack, check_text
from eigan.sources import load_pack
from hub_export.card import render_card
from hub_export.changelog import UNRELEASED, write_sections
from hub_export.cli_fit import check_device, open_generator, progress_bar
from hub_export.cli_name import check_replaceable_by, kept_changelog, read_seeds
from hub_export.evaluation.features import FEATURE_NAMES
from hub_export.evaluation.scorers import HEADS
from hub_export.isolate import NUM_PICTURES, NUM_SEEDS, SEED
from hub_export.isolate import isolate as make
from hub_export.previews import render_previews
from hub_export.staging import CHANGELOG, README


def isolate(
    source: Annotated[
        str, typer.Argument(metavar="PACK", help="The directions to sum: a pack's folder, a bundled name, or a Hub id.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write: new, empty, or an earlier pack of that name.")],
    attributes: Annotated[str, typer.Option(help="Which ones, with commas. Default: all that the scorer reads.")] = "",
    scorer: Annotated[
        str, typer.Option(help=f"Reads attributes off pictures: {HEADS}, or package.module:function of your own.")
    ] = HEADS,
    features: Annotated[
        str, typer.Option(help=f"Space in which pictures are found odd: {', '.join(FEATURE_NAMES)}.")
    ] = HEADS,
    name: Annotated[str, typer.Option(help="The pack's name. Default: the folder's.")] = "",
    generator: Annotated[str, typer.Option(help="The generator. Default: where the pack says it is.")] = "",
    num_seeds: Annotated[int, typer.Option(help="Pictures that every move is tried on.")] = NUM_SEEDS,
    num_pictures: Annotated[int, typer.Option(help="Half of the unedited pictures that are the yardstick.")] = (
        NUM_PICTURES
    ),
    seed: Annotated[int, typer.Option(help="Seed of those pictures; not the one that evaluate will use.")] = SEED,
    psi: Annotated[
        float | None, typer.Option(help="Truncation of the pictures tried on. Default: what suits the generator.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds shown in the previews, with commas.")] = "0,1,2",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    no_previews: Annotated[bool, typer.Option("--no-previews", help="Leave the pictures out.")] = False,
    token: Annotated[str | None, typer.Option(envvar="HF_TOKEN", help="For private Hub packs.")] = None,
) -> None:
    """Sum a pack's directions so that each moves one attribute and as little else as can be.

    Ctrl-C stops without a trace: the folder is written once, at the end.
    """
    pack_name = check_text(name or out.absolute().name, "pack name", MAX_NAME)
    shown_seeds = read_seeds(seeds)
    check_replaceable_by(pack_name, out)
    basis, place, errors = load_pack(source, token=token), check_device(device), Console(stderr=True)
    with errors.status("opening the generator"):
        network = open_generator(generator, basis, place, token)
    with progress_bar(errors) as report:
        pack = make(
            network,
            basis,
            scorer=scorer,
            attributes=[word.strip() for word in attributes.split(",") if word.strip()],
            features=features,
            name=pack_name,
            num_seeds=num_seeds,
            num_pictures=num_pictures,
            seed=seed,
            truncation_psi=psi,
            progress=report,
        )
        extras = {} if no_previews else render_previews(network, pack, seeds=shown_seeds, progress=report)
    changes = f"- {len(pack)} directions of one attribute each, summed from those of {basis.name}."
    extras[CHANGELOG] = kept_changelog(out) or write_sections({UNRELEASED: changes}).encode()
    extras[README] = render_card(pack, extras, changes=changes).encode()
    save_pack(pack, out, extras)
    show(Console(), pack, out)


def show(console: Console, pack: DirectionPack, out: Path) -> None:
    """Print how alone each attribute moves, on the pictures it was made on."""
    table = Table(
        "direction", "layers", "range", "leak", "monotone", title=escape(f"{pack.name}: {len(pack)} directions")
    )
    for direction in sorted(pack, key=lambda d: d.metrics["leak"]):
        low, high = direction.amount_range
        table.add_row(
            escape(direction.name),
            str(direction.layers),
            f"{low:g} to {high:g}",
            f"{direction.metrics['leak']:.2f}",
            f"{direction.metrics['monotonicity']:.2f}",
        )
    console.print(table)
    for line in (f"written to {out}", f"measure it on other pictures: hub-export evaluate {shlex.quote(str(out))}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
