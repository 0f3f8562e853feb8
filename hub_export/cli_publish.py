"""hub-export publish and hub-export card: the two commands that make a folder public, as thin as can be."""

from __future__ import annotations

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
from hub_export.publish import Release, carry_out, check_names, plan
from hub_export.staging import CHANGELOG, README, sizes

Folder = Annotated[Path, typer.Argument(help="A folder that hub-export fit, name or convert wrote.")]


def publish(
    folder: Folder,
    repo: Annotated[str, typer.Option(help="Where to: user/name. Made if it is not there.")],
    version: Annotated[str, typer.Option(help="MAJOR.MINOR.PATCH, such as 1.0.0; becomes the tag v1.0.0.")],
    private: Annotated[bool, typer.Option("--private", help="If the repository is made: for you alone.")] = False,
    message: Annotated[str, typer.Option(help="What changed. Default: the changelog's newest section.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be uploaded; write nothing.")] = False,
    token: Annotated[str | None, typer.Option(envvar="HF_TOKEN", help="Default: that of `hf auth login`.")] = None,
) -> None:
    """Publish a direction pack or generator as a version on the Hub: one commit, one tag, never changed again."""
    console, errors = Console(), Console(stderr=True)
    with errors.status("checking the folder and the Hub"):
        release = plan(folder, repo, version, token=token, message=message)
    console.print(_table(release))
    if dry_run:
        console.print("dry run: nothing was written")
        return
    with errors.status("publishing") as status:
        published = carry_out(release, token=token, private=private, progress=lambda line: status.update(escape(line)))
    done = "was published before, with these very bytes:" if published.already_there else "published:"
    lines = [f"{repo} {version} {done} {published.url}", f"commit {published.commit}", "", published.load_line]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def card(
    folder: Folder,
    repo: Annotated[str, typer.Option(help="user/name it is, or will be, published as.")] = "",
) -> None:
    """Write the model card (README.md) of a direction pack anew, from what is in its folder."""
    pack, extras = read_pack(folder), read_extras(folder)
    if repo:
        check_names(repo, pack.version or "0.0.0")
    sections = read_sections(extras.get(CHANGELOG, b"").decode("utf-8", "replace"))
    changes = sections.get(pack.version or UNRELEASED, "")
    extras[README] = render_card(pack, extras, repo_id=repo or None, changes=changes).encode()
    save_pack(pack, folder, extras)
    Console().print(f"{folder / README} written", markup=False, highlight=False, soft_wrap=True)


def _table(release: Release) -> Table:
    """The files of the version with their sizes, and what the commit deletes."""
    table = Table(title=f"{escape(release.repo_id)} {release.tag}", title_justify="left", box=None)
    table.add_column("file")
    table.add_column("size", justify="right")
    for name, size in sizes(release.files).items():
        table.add_row(escape(name), decimal(size))
    for name in release.vanished:
        table.add_row(escape(name), "deleted")
    return table
