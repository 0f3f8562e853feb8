"""The hub-export command: fit directions of a generator, card them, publish them as versions on the Hub."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from eigan.errors import EiganError, FitInterrupted, PublishInterrupted
from hub_export.cli_catalogue import diff, list_published, versions
from hub_export.cli_compare import compare
from hub_export.cli_convert import convert
from hub_export.cli_evaluate import evaluate
from hub_export.cli_fit import fit
from hub_export.cli_import import import_file
from hub_export.cli_isolate import isolate
from hub_export.cli_name import name
from hub_export.cli_publish import card, publish
from hub_export.cli_recipe import methods, recipe

INTERRUPTED = 130  # the shell's exit status for Ctrl-C

app = typer.Typer(
    name="hub-export",
    help="Fit interpretable directions of a GAN and publish them as versioned Hub artifacts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(fit)
app.command()(methods)
app.command()(recipe)
app.command()(isolate)
app.command()(name)
app.command()(evaluate)
app.command()(convert)
app.command("import")(import_file)
app.command()(compare)
app.command()(card)
app.command()(publish)
app.command("list")(list_published)
app.command()(versions)
app.command()(diff)


def main() -> None:
    """Run the command line; every foreseen failure is one sentence on stderr, never a traceback."""
    console = Console(stderr=True)
    try:
        app()
    except (FitInterrupted, PublishInterrupted, KeyboardInterrupt) as stopped:
        console.print(str(stopped) or "stopped", style="yellow", markup=False, highlight=False, soft_wrap=True)
        sys.exit(INTERRUPTED)
    except (EiganError, OSError) as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
