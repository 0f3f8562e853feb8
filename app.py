"""The eigan app: `python app.py`, from a bare clone, an installed package or a Hugging Face Space."""

from __future__ import annotations

import os
from typing import Annotated

# Read by torch's threads when it is imported. Waiting threads that spin turn 15 ms a picture into a second and more as
# soon as something else wants the same cores, as on a shared Space.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import typer

from eigan.errors import EiganError
from eigan.ui import build_app, launch

Port = Annotated[int | None, typer.Option(help="Port to serve on; GRADIO_SERVER_PORT or 7860 when left out.")]
Pack = Annotated[str | None, typer.Option(help="Pack to open with: a bundled name, a folder or a Hub id@version.")]


def main(port: Port = None, pack: Pack = None) -> None:
    """Sliders for GANs, in the browser."""
    try:
        launch(build_app(pack), port=port)
    except (EiganError, OSError) as error:
        typer.echo(f"eigan: {error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
