"""hub-export name: fitted packs and a names file in, a pack with named sliders, presets, previews and a card out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eigan.errors import FitError
from eigan.format import is_pack, read_extras, read_pack, save_pack
from eigan.sources import load_pack
from hub_export.card import render_card
from hub_export.changelog import UNRELEASED, write_sections
from hub_export.cli_fit import check_device, check_output_folder, open_generator, progress_bar
from hub_export.naming import name_directions, read_names
from hub_export.previews import render_previews
from hub_export.staging import CHANGELOG, README


def name(
    packs: Annotated[list[str], typer.Argument(help="Fitted packs: folders, bundled names or Hub ids.")],
    names: Annotated[Path, typer.Option(help="TOML file that names directions and composes presets.")],
    out: Annotated[Path, typer.Option(help="Folder to write: new, empty, or an earlier pack of that name.")],
    generator: Annotated[str, typer.Option(help="The generator. Default: where the packs say it is.")] = "",
    seeds: Annotated[str, typer.Option(help="Seeds shown in the previews, with commas.")] = "0,1,2",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    no_previews: Annotated[bool, typer.Option("--no-previews", help="Leave the pictures out.")] = False,
    token: Annotated[str | None, typer.Option(envvar="HF_TOKEN", help="For private Hub packs.")] = None,
) -> None:
    """Name fitted directions and compose presets; the format of the names file is in hub_export/naming.py."""
    wanted = read_names(names)
    shown_seeds = read_seeds(seeds)
    check_replaceable_by(wanted.name, out)
    pack = name_directions([load_pack(source, token=token) for source in packs], wanted)
    extras: dict[str, bytes] = {}
    if not no_previews:
        place = check_device(device)
        network = open_generator(generator, pack, place, token)
        with progress_bar(Console(stderr=True)) as report:
            extras = render_previews(network, pack, seeds=shown_seeds, progress=report)
    changes = f"- {len(pack)} named directions, {len(pack.presets)} presets."
    extras[CHANGELOG] = kept_changelog(out) or write_sections({pack.version or UNRELEASED: changes}).encode()
    extras[README] = render_card(pack, extras, changes=changes).encode()
    save_pack(pack, out, extras)
    console = Console()
    console.print(f"{len(pack)} directions and {len(pack.presets)} presets written to {out}", markup=False)
    publish = f"hub-export publish {shlex.quote(str(out))} --repo user/name --version 1.0.0"
    console.print(f"publish it: {publish}", markup=False, highlight=False, soft_wrap=True)


def read_seeds(text: str) -> list[int]:
    """'0,1,2' -> [0, 1, 2]. Raises FitError."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise FitError(f"seeds are {text!r}; write whole numbers with commas, such as 0,1,2") from None


def check_replaceable_by(name: str, out: Path) -> None:
    """Refuse a folder that holds anything but an earlier pack of this name. Raises FitError."""
    check_output_folder(out)
    if is_pack(out) and read_pack(out).name != name:
        raise FitError(f"{out} holds the pack {read_pack(out).name!r}; give another folder, or remove it")


def kept_changelog(out: Path) -> bytes | None:
    return read_extras(out).get(CHANGELOG) if is_pack(out) else None
