"""hub-export import: a direction file of another tool in, a pack with previews and a card out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eigan.errors import EiganError, FitError
from eigan.format import is_pack, read_pack, save_pack
from eigan.importers import KNOWN, import_directions
from eigan.importers.base import Space
from eigan.layers import LayerRange
from eigan.pack import MAX_NAME, DirectionPack, check_text
from eigan.sources import load_generator
from hub_export.card import render_card
from hub_export.changelog import UNRELEASED, write_sections
from hub_export.cli_fit import check_device, check_output_folder, progress_bar
from hub_export.cli_name import kept_changelog, read_seeds
from hub_export.previews import render_previews
from hub_export.staging import CHANGELOG, README

SHOWN = 20  # directions in the table printed at the end
T = TypeVar("T")
SPACES: dict[str, Space] = {"w": "w", "z": "z"}
ROWS = {"layers": True, "directions": False}


def import_file(
    file: Annotated[Path, typer.Argument(help=f"A direction file: {KNOWN}.")],
    generator: Annotated[str, typer.Option(help="A checkpoint file, a folder, a bundled name, or a Hub id.")],
    out: Annotated[Path, typer.Option(help="Folder to write: new, empty, or an earlier import that is replaced.")],
    layers: Annotated[
        str, typer.Option(help="Layers, where the file names none: all, 8 or 8-11 (both included).")
    ] = "",
    space: Annotated[str, typer.Option(help="w or z, where the file does not say.")] = "",
    names: Annotated[
        str, typer.Option(help="Whose names the components get (stylegan2-ffhq, latentclr-car, ...), or none.")
    ] = "",
    psi: Annotated[
        float | None, typer.Option(help="Psi that amounts were tuned at, by a tool that truncates after the edit.")
    ] = None,
    num_directions: Annotated[int | None, typer.Option(help="Take only the first so many.")] = None,
    rows: Annotated[
        str, typer.Option(help="What the rows of a bare matrix are: layers (of one direction) or directions.")
    ] = "",
    name: Annotated[str, typer.Option(help="The pack's name. Default: the folder's.")] = "",
    license: Annotated[str, typer.Option(help="Licence of the pack, as the Hub writes it (cc0-1.0, mit, ...).")] = "",
    seeds: Annotated[str, typer.Option(help="Seeds shown in the previews, with commas.")] = "0,1,2",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    no_previews: Annotated[bool, typer.Option("--no-previews", help="Leave the pictures out.")] = False,
    token: Annotated[str | None, typer.Option(envvar="HF_TOKEN", help="For private Hub generators.")] = None,
) -> None:
    """Convert a direction file of another tool (GANSpace, InterFaceGAN, e4e, rosinality, LatentCLR, ...) to a pack."""
    chosen_space = pick(SPACES, space, "--space")
    per_layer = pick(ROWS, rows, "--rows")
    shown_seeds = read_seeds(seeds)
    pack_name = check_text(name or out.absolute().name, "pack name", MAX_NAME)
    check_output_folder(out)
    check_earlier_import(out)
    errors = Console(stderr=True)
    with errors.status("opening the generator"):
        network = load_generator(generator, device=check_device(device), token=token)
    with errors.status("converting"):
        pack = import_directions(
            file,
            network,
            name=pack_name,
            layers=LayerRange.parse(layers, network.num_layers) if layers else None,
            space=chosen_space,
            truncation_psi=psi,
            names=names or None,
            num_directions=num_directions,
            per_layer=per_layer,
            license=license,
        )
    extras: dict[str, bytes] = {}
    if not no_previews:
        with progress_bar(errors) as report:
            extras = render_previews(network, pack, seeds=shown_seeds, progress=report)
    changes = f"- {len(pack)} directions imported from {pack.method['file']} ({pack.method['format']})."
    extras[CHANGELOG] = kept_changelog(out) or write_sections({UNRELEASED: changes}).encode()
    extras[README] = render_card(pack, extras, changes=changes).encode()
    save_pack(pack, out, extras)
    show(Console(), pack, out)


def pick(table: Mapping[str, T], word: str, option: str) -> T | None:
    """What `word` means; None when nothing was said. Raises FitError."""
    if word and word not in table:
        raise FitError(f"{option} is {word!r}; wanted {' or '.join(table)}")
    return table.get(word)


def check_earlier_import(out: Path) -> None:
    """Refuse to replace a pack that no import left so. Raises FitError."""
    if not is_pack(out):
        return
    try:
        pack = read_pack(out)
    except EiganError as error:
        raise FitError(f"{out} holds a damaged pack ({error}); remove it, or give another folder") from None
    if pack.version or pack.method.get("name") != "import":
        raise FitError(f"{out} holds the pack {pack.name!r}, which is no unpublished import; give another folder")


def show(console: Console, pack: DirectionPack, out: Path) -> None:
    """Print what was converted, how, and what can be done with it."""
    table = Table("direction", "layers", "sigma", "range", title=escape(f"{pack.name}: {len(pack)} directions"))
    for direction in pack.directions[:SHOWN]:
        low, high = direction.amount_range
        table.add_row(escape(direction.name), str(direction.layers), f"{direction.sigma:.3g}", f"{low:g} to {high:g}")
    if len(pack) > SHOWN:
        table.add_row(f"… {len(pack) - SHOWN} more", "", "", "")
    console.print(table)
    method = pack.method
    facts = [
        f"{method['format']}: directions in {method['space']} ({method['space_from']} says so)",
        f"a file's amount is a multiple of: {method['unit']}; sigma from {method['sigma_from']}",
    ]
    scales = [psi for psi in method["scaled_by_psi"] if psi != 1]
    facts += [f"amounts were scaled by psi {', '.join(f'{psi:g}' for psi in scales)}"] if scales else []
    facts += [f"preset {preset.name!r}" for preset in pack.presets]
    facts += list(method.get("notes", ()))
    facts += [f"written to {out}"]
    facts += [f"publish it: hub-export publish {shlex.quote(str(out))} --repo user/name --version 1.0.0"]
    for fact in facts:
        console.print(fact, markup=False, highlight=False, soft_wrap=True)
