"""hub-export convert: any checkpoint eigan reads in, a safetensors generator folder with a card out."""

from __future__ import annotations

import hashlib
import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError
from eigan.generators.base import Generator
from eigan.latents import seeded_z
from eigan.readers.safetensors import CONFIG, read_config, save_generator
from eigan.render import Renderer
from hub_export.card import render_generator_card

CHECKED_SEEDS = range(4)


class Precision(str, Enum):
    fp16 = "fp16"
    fp32 = "fp32"


def convert(
    source: Annotated[str, typer.Argument(help="A checkpoint file, a folder, a bundled name, or a Hub id.")],
    out: Annotated[Path, typer.Option(help="Folder to write: new, empty, or an earlier conversion.")],
    license: Annotated[str, typer.Option(help="Licence of the weights, as the Hub writes it. You must say.")],
    dtype: Annotated[Precision, typer.Option(help="fp16 halves the file; fp32 keeps every bit.")] = Precision.fp16,
    description: Annotated[str, typer.Option(help="What it draws, for the card.")] = "",
    token: Annotated[str | None, typer.Option(envvar="HF_TOKEN", help="For private Hub generators.")] = None,
) -> None:
    """Convert a checkpoint to safetensors and JSON, check that the pictures are the same, and say how it loads."""
    if not license.strip():
        raise CheckpointError("say the weights' licence with --license, such as cc0-1.0, mit, other")
    console = Console(stderr=True)
    with console.status("reading"):
        checkpoint = Checkpoint.open(source, token=token)
        generator = checkpoint.build()
    details = {"dtype": dtype.value, "license": license, "description": description}
    origin = {"container": checkpoint.container, **describe_origin(source, checkpoint)}
    with console.status("writing"):
        save_generator(generator, out, source=origin, **details)  # type: ignore[arg-type]
        card = render_generator_card(read_config(out / CONFIG), name=out.absolute().name).encode()
        save_generator(generator, out, source=origin, texts={"README.md": card}, **details)  # type: ignore[arg-type]
    with console.status("comparing pictures"):
        levels = picture_difference(generator, Checkpoint.open(out).build())
    said = "the same pixels" if levels == 0 else f"pictures differ by at most {levels} of 255 levels ({dtype.value})"
    screen = Console()
    screen.print(f"{generator.describe()} written to {out}: {said}", markup=False, highlight=False, soft_wrap=True)
    publish = f"hub-export publish {shlex.quote(str(out))} --repo user/name --version 1.0.0"
    screen.print(f"publish it: {publish}", markup=False, highlight=False, soft_wrap=True)


def describe_origin(source: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Where the weights came from: file name and sha256, or repository and commit; never a path of this machine."""
    path = Path(source)
    if path.is_file():
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
        return {"file": path.name, "sha256": digest.hexdigest()}
    if checkpoint.revision:
        return {"repository": source, "revision": checkpoint.revision}
    return dict(checkpoint.origin)


def picture_difference(a: Generator, b: Generator) -> int:
    """Largest difference, in levels of 255, between pictures of the same codes."""
    with torch.inference_mode():
        c = a.class_codes(0 if a.c_dim else None, len(CHECKED_SEEDS))
        codes = a.mapping(seeded_z(CHECKED_SEEDS, a.z_dim), c)
    pictures = [Renderer(generator).render(codes).astype(np.int16) for generator in (a, b)]
    return int(np.abs(pictures[0] - pictures[1]).max())
