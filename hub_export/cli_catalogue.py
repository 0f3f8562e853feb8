"""hub-export list, versions and diff: what is published, since when, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hub_export.catalogue import MAX_LISTED, Comparison, Version, compare_sources, list_history, list_packs
from hub_export.difference import FileChanges
from hub_export.markdown import one_line

SHOWN_DIRECTIONS = 4
SHOWN_LINES = 8
Token = Annotated[str | None, typer.Option(envvar="HF_TOKEN", help="Default: that of `hf auth login`.")]


def list_published(
    author: Annotated[str, typer.Option(help="A user or organisation.")] = "",
    generator: Annotated[str, typer.Option(help="user/name of the generator on the Hub that they are for.")] = "",
    search: Annotated[str, typer.Option(help="A part of the name.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="At most so many.")] = 20,
    token: Token = None,
) -> None:
    """List direction packs on the Hub, those with most downloads first."""
    with Console(stderr=True).status("asking the Hub"):
        packs = list_packs(author=author, generator=generator, search=search, limit=limit, token=token)
    if not packs:
        wanted = {"by": author, "for": generator, "named": search}
        described = "".join(f" {word} {value}" for word, value in wanted.items() if value)
        _say(f"no direction packs{described} on the Hub")
        return
    table = _table("pack", "version", "directions", "generator", "licence", "downloads", "likes")
    for pack in packs:
        access = f" ({pack.access})" if pack.access else ""
        more = ", …" if len(pack.directions) > SHOWN_DIRECTIONS else ""
        _add(
            table,
            pack.repo_id + access,
            pack.version.removeprefix("v") or "–",
            ", ".join(pack.directions[:SHOWN_DIRECTIONS]) + more or "–",
            pack.generator or "–",
            pack.license or "–",
            f"{pack.downloads:,}",
            f"{pack.likes:,}",
        )
    Console().print(table)
    Console().print()
    _say(f'eigan.DirectionPack.load("{packs[0].repo_id}{"@" if packs[0].version else ""}{packs[0].version}")')


def versions(
    repo: Annotated[str, typer.Argument(help="user/name of a pack or generator on the Hub.")],
    token: Token = None,
) -> None:
    """List the versions of a direction pack or generator: when, which commit, what changed."""
    with Console(stderr=True).status("asking the Hub"):
        history = list_history(repo, token=token)
    if not history.versions:
        _say(f"{repo} has no versions; hub-export publish makes them")
        return
    table = _table("version", "date", "commit", "changes")
    for index, version in enumerate(history.versions):
        date = version.date.strftime("%Y-%m-%d") if version.date else "–"
        name = version.version + (" (newest)" if index == 0 else "")
        _add(table, name, date, version.commit[:8], _changes(version))
    Console().print(table)
    if history.kind:
        Console().print()
        _say(f'eigan.{history.kind.loader}("{repo}@v{history.versions[0].version}")')


def diff(
    old: Annotated[str, typer.Argument(help="A folder, a bundled name, or a Hub id: user/name@v1.0.0.")],
    new: Annotated[str, typer.Argument(help="What to compare it with.")],
    token: Token = None,
) -> None:
    """Show what changed from one direction pack or generator to another."""
    with Console(stderr=True).status("reading both"):
        comparison = compare_sources(old, new, token=token)
    _say(f"{old} -> {new}")
    for line in difference_lines(comparison):
        _say(line)


def difference_lines(comparison: Comparison) -> list[str]:
    """What is printed of a comparison, a line each."""
    lines = comparison.difference.lines(limit=10_000)
    if not lines:
        lines = [f"no difference in what the {comparison.kind.noun}s say"]
    elif comparison.difference.bump != "patch":
        lines.append(f"as versions: a {comparison.difference.bump} step")
    return lines + ([_files_line(comparison.files)] if comparison.files else [])


def _files_line(files: FileChanges) -> str:
    told = [
        f"{len(names)} {kind} ({_some(names)})"
        for kind, names in (("added", files.added), ("changed", files.changed), ("deleted", files.deleted))
        if names
    ]
    return f"files: {', '.join([*told, f'{len(files.same)} the same'])}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _changes(version: Version) -> Text:
    lines = [line for line in version.changes.splitlines() if line.strip()]
    more = [f"… and {len(lines) - SHOWN_LINES} more"] if len(lines) > SHOWN_LINES else []
    return Text("\n".join([*map(one_line, lines[:SHOWN_LINES]), *more]) or "–")


def _table(*columns: str) -> Table:
    table = Table(box=None)
    for column in columns:
        table.add_column(column, justify="right" if column in ("downloads", "likes") else "left", overflow="fold")
    return table


def _add(table: Table, *cells: str | Text) -> None:
    """A row of strangers' text, shown as it is: no markup or control characters, and no line breaks but a Text's."""
    table.add_row(*(cell if isinstance(cell, Text) else Text(one_line(cell)) for cell in cells))


def _say(text: str) -> None:
    Console().print(one_line(text), markup=False, highlight=False, soft_wrap=True)
