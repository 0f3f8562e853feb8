"""hub-export publish and hub-export card: the two commands that make a folder public, as thin as can be."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from eigan.format import read_extras, read_pack, save_pack
from hub_export.card import render_card
from hub_export.changelog import UNRELEASED, read_sections
from hub_export.evidence import metrics_of
from hub_export.plots import PLOTS, can_draw, render_plots
from hub_export.publish import Release, carry_out, check_names, plan
from hub_export.repository import Gate
from hub_export.staging import CHANGELOG, README, sizes


class Gating(str, Enum):
    """How readers get access to a gated repository."""

    auto = "auto"
    manual = "manual"


GATES: dict[Gating, Gate] = {Gating.auto: "auto", Gating.manual: "manual"}

Folder = Annotated[Path, typer.Argument(help="A folder that hub-export fit, name or convert wrote.")]


def publish(
    folder: Folder,
    repo: Annotated[str, typer.Option(help="Where to: user/name. Made if it is not there.")],
    version: Annotated[str, typer.Option(help="MAJOR.MINOR.PATCH, such as 1.0.0; becomes the tag v1.0.0.")],
    private: Annotated[bool, typer.Option("--private", help="Made for you alone; refused where it is public.")] = False,
    gated: Annotated[
        Gating | None, typer.Option(help="Readers ask for access: granted at once (auto) or by you (manual).")
    ] = None,
    message: Annotated[
        str, typer.Option(help="What changed. Default: the changelog's newest section, else what differs.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; write nothing.")] = False,
    token: Annotated[str | None, typer.Option(envvar="HF_TOKEN", help="Default: that of `hf auth login`.")] = None,
) -> None:
    """Publish a direction pack or generator as a version on the Hub: one commit, one tag, never changed again."""
    console, errors = Console(), Console(stderr=True)
    with errors.status("checking the folder and the Hub"):
        gate = GATES[gated] if gated else None
        release = plan(folder, repo, version, token=token, message=message, private=private, gated=gate)
    console.print(_table(release))
    for line in _story(release):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if dry_run:
        console.print("dry run: nothing was written")
        return
    with errors.status("publishing") as status:
        published = carry_out(release, token=token, progress=lambda line: status.update(escape(line)))
    done = "was published before, with these very bytes:" if published.already_there else "published:"
    lines = [f"{repo} {version} {done} {published.url}", f"commit {published.commit}", "", published.load_line]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def card(
    folder: Folder,
    repo: Annotated[str, typer.Option(help="user/name it is, or will be, published as.")] = "",
) -> None:
    """Write the model card (README.md) and the plots of a direction pack anew, from what is in its folder."""
    pack, extras = read_pack(folder), read_extras(folder)
    metrics = metrics_of(pack, extras)
    if can_draw():
        drawn = render_plots(pack, metrics)
        plots = {plot.path for plot in PLOTS.values()}
        extras = {name: data for name, data in extras.items() if name not in plots} | drawn
    if repo:
        check_names(repo, pack.version or "0.0.0")
    sections = read_sections(extras.get(CHANGELOG, b"").decode("utf-8", "replace"))
    changes = sections.get(pack.version or UNRELEASED, "")
    extras[README] = render_card(pack, extras, repo_id=repo or None, changes=changes).encode()
    save_pack(pack, folder, extras)
    console = Console()
    console.print(f"{folder / README} written", markup=False, highlight=False, soft_wrap=True)
    if metrics and not can_draw():
        console.print(
            'plots were left as they were: they want matplotlib (pip install "eigan[evaluate]")', markup=False
        )


def _table(release: Release) -> Table:
    """The files of the version with their sizes, what they are to the version before, and what the commit deletes."""
    table = Table(title=f"{escape(release.repo_id)} {release.tag}", title_justify="left", box=None)
    table.add_column("file")
    table.add_column("size", justify="right")
    table.add_column(f"since {release.earlier.tag}" if release.earlier else "")
    for name, size in sizes(release.files).items():
        table.add_row(escape(name), decimal(size), release.earlier.files.of(name) if release.earlier else "")
    deleted = {*release.vanished, *(release.earlier.files.deleted if release.earlier else ())}
    for name in sorted(deleted):
        table.add_row(escape(name), "", "deleted")
    return table


def _story(release: Release) -> list[str]:
    """What changes since the version before, and what else is to know before it is written."""
    lines = []
    if earlier := release.earlier:
        if earlier.difference is None:
            lines.append(f"{earlier.tag} cannot be compared with: {earlier.unreadable}")
        else:
            lines += earlier.difference.lines() or [f"says the same as {earlier.tag}"]
    if release.advice:
        lines.append(f"mind: {release.advice}")
    if release.gate:
        lines.append(f"readers will have to ask for access ({release.gate})")
    if release.head is None:
        lines.append("the repository will be made" + (", private" if release.private else ""))
    elif release.commit:
        missing = "" if release.is_tagged else "; only the tag is missing"
        lines.append(f"these files are there already (commit {release.commit[:8]}){missing}")
    return ["", *lines] if lines else []
