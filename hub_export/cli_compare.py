"""hub-export compare: packs of one generator in one table, and with --out as a page with pictures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eigan.errors import FitError
from eigan.format import write_folder
from eigan.generators.base import Generator
from eigan.sources import generator_for, load_generator
from hub_export.cli_fit import check_device, progress_bar
from hub_export.cli_name import read_seeds
from hub_export.compare import Comparison, open_contender
from hub_export.compare import compare as compare_packs
from hub_export.compare_page import HEADER, PAGE, Wording, cells, is_page, render_page
from hub_export.plots import can_draw


def compare(
    packs: Annotated[list[str], typer.Argument(help="Two or more packs: folders, bundled names or Hub ids.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write a page with pictures to.")] = None,
    generator: Annotated[str, typer.Option(help="The generator. Default: where the packs say it is.")] = "",
    seeds: Annotated[str, typer.Option(help="Seeds shown on the page, with commas.")] = "0,1",
    attributes: Annotated[str, typer.Option(help="Attributes shown on the page, with commas. Default: best 8.")] = "",
    notes: Annotated[Path | None, typer.Option(help="Markdown file of your own, put into the page.")] = None,
    title: Annotated[str, typer.Option(help="The page's title.")] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    token: Annotated[str | None, typer.Option(envvar="HF_TOKEN", help="For private Hub packs.")] = None,
) -> None:
    """Compare packs of one generator: what their directions move, how cleanly, and where they agree.

    `hub-export evaluate` measures what is compared; without it only variance and agreement are known. With --out or
    --generator the generator is opened, and variance is that of the span; otherwise the sum (Σ) along the directions.
    """
    if out is not None:
        check_page_folder(out)
    shown_seeds = read_seeds(seeds)
    own_words = read_notes(notes)
    errors = Console(stderr=True)
    with errors.status("opening the packs"):
        contenders = [open_contender(source, token=token) for source in packs]
        network: Generator | None = None
        if generator:
            network = load_generator(generator, device=check_device(device), token=token)
        elif out is not None:
            network = generator_for(contenders[0].pack, device=check_device(device), token=token)
        found = compare_packs(contenders, network)
    show(Console(), found, packs)
    if out is None or network is None:
        return
    wording = Wording(
        title=title or Wording.title, notes=own_words, command=shlex.join(["hub-export", "compare", *packs])
    )
    wanted = [name.strip() for name in attributes.split(",") if name.strip()]
    with progress_bar(errors) as report:
        files = render_page(found, network, seeds=shown_seeds, attributes=wanted, wording=wording, progress=report)
    write_folder(out, files, replaceable=is_page)
    Console().print(f"{out / PAGE} written, {len(files) - 1} pictures", markup=False, highlight=False, soft_wrap=True)


def check_page_folder(out: Path) -> None:
    """Refuse a folder that no page could be written to, before minutes of work. Raises FitError."""
    if not can_draw():
        raise FitError('a page wants matplotlib, which is not installed; pip install "eigan[evaluate]"')
    if out.exists() and not out.is_dir():
        raise FitError(f"{out} is a file; give a folder to write to")
    if out.is_dir() and any(out.iterdir()) and not is_page(out):
        raise FitError(f"{out} holds other files; give an empty or new folder, or an earlier page")


def read_notes(path: Path | None) -> str:
    """The Markdown of a person's own; "" without. Raises FitError."""
    if path is None:
        return ""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FitError(f"{path} cannot be read as text: {error}") from None


def show(console: Console, comparison: Comparison, packs: list[str]) -> None:
    """Print the table, the agreement, and what was not measured."""
    console.print(_table(comparison))
    console.print(_agreement(comparison))
    for source, contender in zip(packs, comparison.contenders, strict=True):
        if contender.metrics is None:
            line = f"{source} was not measured; run: hub-export evaluate {shlex.quote(source)}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(comparison: Comparison) -> Table:
    table = Table(title=f"{len(comparison.rows)} packs of {escape(str(comparison.made_for))}", title_justify="left")
    for i, name in enumerate(HEADER):
        table.add_column(name, justify="right" if i else "left", overflow="fold")
    for row in comparison.rows:
        table.add_row(escape(row.label), *cells(row)[1:])
    return table


def _agreement(comparison: Comparison) -> Table:
    table = Table(title="agreement: mean |cos| of matched directions", title_justify="left")
    table.add_column("")
    for label in comparison.labels:
        table.add_column(escape(label), justify="right")
    for label, cosines in zip(comparison.labels, comparison.agreement, strict=True):
        table.add_row(escape(label), *("–" if value is None else f"{value:.2f}" for value in cosines))
    return table
