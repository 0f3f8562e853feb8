"""The `eigan` command: opens the app. `python app.py` is the same from a clone or in a Space."""

from __future__ import annotations

from typing import Annotated

import typer

from eigan.errors import EiganError
from eigan.ui.app import build_app, launch

Port = Annotated[int | None, typer.Option(help="Port to serve on; GRADIO_SERVER_PORT or 7860 when left out.")]
Pack = Annotated[str | None, typer.Option(help="Pack to open with: a bundled name, a folder or a Hub id@version.")]
Mcp = Annotated[
    bool | None,
    typer.Option("--mcp/--no-mcp", help="Serve the endpoints as MCP tools, too; GRADIO_MCP_SERVER when left out."),
]


def open_app(port: Port = None, pack: Pack = None, mcp: Mcp = None) -> None:
    """Sliders for GANs, in the browser."""
    try:
        launch(build_app(pack), port=port, mcp=mcp)
    except (EiganError, OSError) as error:
        typer.echo(f"eigan: {error}", err=True)
        raise typer.Exit(1) from None


def main() -> None:
    """Parse the command line and serve until interrupted."""
    typer.run(open_app)
