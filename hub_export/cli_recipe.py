"""hub-export recipe and hub-export methods: what a pack was fitted with, as a file; and what there is to fit with."""

from __future__ import annotations

import inspect
import json
from typing import Annotated

import typer
from pydantic_core import PydanticUndefined
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eigan.sources import load_pack
from hub_export.methods import METHODS
from hub_export.methods.base import Method
from hub_export.recipe_file import RecipeFile


def recipe(
    pack: Annotated[str, typer.Argument(help="A fitted pack: a folder, a bundled name, or a Hub id.")],
    token: Annotated[str | None, typer.Option(envvar="HF_TOKEN", help="For private Hub packs.")] = None,
) -> None:
    """Print the recipe file that fits a pack again, to the same vectors.

    hub-export recipe user/pack@v1.0.0 > recipe.toml, then hub-export fit recipe.toml --out again.
    """
    typer.echo(RecipeFile.of_pack(load_pack(pack, token=token)).to_toml(), nl=False)


def methods() -> None:
    """List the fitting methods and their own options, which `hub-export fit -o NAME=VALUE` sets."""
    console = Console()
    for name, method in METHODS.items():
        console.print(f"{name}: {about(method)}", style="bold", markup=False, highlight=False)
        console.print(
            f"  in {' and '.join(method.code_spaces)}; {method.num_samples:,} samples by default", style="dim"
        )
        if method.options.model_fields:
            console.print(options_table(method))
        console.print()


def about(method: Method) -> str:
    """The first sentence of the method's own module."""
    module = inspect.getmodule(method.solve)
    lines = (inspect.getdoc(module) or "").splitlines() if module else []
    return lines[0].rstrip(".") if lines else ""


def options_table(method: Method) -> Table:
    """A row for each option: how it is written, its default, and what it does."""
    table = Table("option", "default", "what it does", box=None, padding=(0, 2), pad_edge=True)
    for name, field in method.options.model_fields.items():
        value = field.get_default(call_default_factory=True)
        default = (
            "" if value is PydanticUndefined else value if isinstance(value, str) else json.dumps(value, default=str)
        )
        table.add_row(name, Text(default), Text(field.description or ""))
    return table
