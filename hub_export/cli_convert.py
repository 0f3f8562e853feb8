"""hub-export convert: any checkpoint eigan reads in, a safetensors generator folder with a card and pictures out."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError
from eigan.generators.base import Codes, Generator, iterate_batches
from eigan.generators.batch_norm import recalibrate_batch_norm
from eigan.latents import seeded_z
from eigan.plain_files import file_digest
from eigan.readers.safetensors import CONFIG, SAMPLES, read_config, save_generator
from eigan.render import grid, to_uint8
from hub_export.card import render_generator_card
from hub_export.previews import GAP, encode, shrink

SHOWN_SEEDS = range(8)
CHECKED = 4  # of them: the two generators' pictures are compared
MAX_TILE = 256


class Precision(str, Enum):
    fp16 = "fp16"
    fp32 = "fp32"


class Difference(NamedTuple):
    """Between two generators' pictures of the same codes."""

    levels: int  # the largest, of 255
    mean: float  # in levels
    identical: bool  # to the last bit, before rounding to levels

    def describe(self, dtype: str) -> str:
        if self.identical:
            return "the same pixels"
        return f"pictures differ by at most {self.levels} of 255 levels, {self.mean:.3f} on average ({dtype})"


def convert(
    source: Annotated[str, typer.Argument(help="A file, a folder, a bundled name, a Hub id, or an https address.")],
    out: Annotated[Path, typer.Option(help="Folder to write: new, empty, or an earlier conversion.")],
    license: Annotated[str, typer.Option(help="Licence of the weights, as the Hub writes it. You must say.")],
    dtype: Annotated[Precision, typer.Option(help="fp16 halves the file; fp32 keeps every bit.")] = Precision.fp16,
    description: Annotated[str, typer.Option(help="What it draws, for the card.")] = "",
    recalibrate_bn: Annotated[
        int, typer.Option(min=0, metavar="SAMPLES", help="Measure batch-norm statistics anew over so many samples.")
    ] = 0,
    token: Annotated[str | None, typer.Option(envvar="HF_TOKEN", help="For private Hub generators.")] = None,
) -> None:
    """Convert a checkpoint to safetensors and JSON, check that the pictures are the same, and say how it loads.

    FastGAN's averaged weights come with batch-norm statistics of other weights; --recalibrate-bn 1000 gives them their
    own, which changes the pictures, and the artifact records it.
    """
    if not license.strip():
        raise CheckpointError("say the weights' licence with --license, such as cc0-1.0, mit, other")
    console = Console(stderr=True)
    with console.status("reading"):
        checkpoint = Checkpoint.open(source, token=token)
        generator = checkpoint.build()
    origin, before = describe_origin(checkpoint), generator.fingerprint
    if recalibrate_bn:
        origin |= recalibrate(generator, recalibrate_bn, console)
    details = {"dtype": dtype.value, "license": license, "description": description}
    with console.status("drawing"):
        codes = sample_codes(generator)
        images = draw(generator, codes)
        picture = encode(grid(shrink(to_uint8(images), MAX_TILE), columns=4, gap=GAP))
    with console.status("writing"):
        save_generator(generator, out, source=origin, extras={SAMPLES: picture}, **details)  # type: ignore[arg-type]
        card = render_generator_card(read_config(out / CONFIG), name=out.absolute().name, samples=True).encode()
        save_generator(generator, out, source=origin, extras={"README.md": card}, **details)  # type: ignore[arg-type]
    with console.status("comparing pictures"):
        written = Checkpoint.open(out)
        written.verify()
        difference = compare(images[:CHECKED], draw(written.build(), codes[:CHECKED]))
    if dtype is Precision.fp32 and not difference.identical:
        raise CheckpointError(f"{out} does not draw what {source} draws: {difference.describe('fp32')}. Do not use it.")
    report(generator, out, difference.describe(dtype.value), before)


def recalibrate(generator: Generator, num_samples: int, console: Console) -> dict[str, Any]:
    """Give `generator` batch-norm statistics of its own; what to record of it."""
    with Progress(console=console, transient=True) as bars:
        bar = bars.add_task("recalibrating batch norm", total=None)
        return recalibrate_batch_norm(
            generator,
            num_samples=num_samples,
            progress=lambda done, total, noun: bars.update(bar, completed=done, total=total),
        )


def report(generator: Generator, out: Path, difference: str, before: str) -> None:
    """Say on stdout what was written, and how it is published. before: the fingerprint of the weights as read."""
    screen = Console()
    same = "the same before and after" if generator.fingerprint == before else f"before recalibration {before[:12]}…"
    publish = f"hub-export publish {shlex.quote(str(out))} --repo user/name --version 1.0.0"
    for line in (
        f"{generator.describe()} written to {out}: {difference}",
        f"fingerprint {generator.fingerprint}, {same}",
        f"publish it: {publish}",
    ):
        screen.print(line, markup=False, highlight=False, soft_wrap=True)


def describe_origin(checkpoint: Checkpoint) -> dict[str, Any]:
    """Where the weights came from: file name and sha256, and repository and commit or address; never a path of this
    machine. A folder of eigan's own passes on what it says of itself.
    """
    known: dict[str, Any] = {"container": checkpoint.container}
    path = checkpoint.path
    if path is not None and path.is_file():
        known |= {"file": path.name, "sha256": file_digest(path)}
    else:
        known |= checkpoint.origin
    if checkpoint.revision:
        known |= {"repository": checkpoint.source, "revision": checkpoint.revision}
    elif checkpoint.source.startswith("https://"):
        known["address"] = checkpoint.source
    return known


@torch.inference_mode()
def sample_codes(generator: Generator) -> Codes:
    """Codes of SHOWN_SEEDS as a person would first see them; classes spread over all there are."""
    count = len(SHOWN_SEEDS)
    c = None
    if generator.c_dim:
        c = torch.nn.functional.one_hot(torch.arange(count) * generator.c_dim // count, generator.c_dim).float()
    z = seeded_z(SHOWN_SEEDS, generator.z_dim)
    return generator.mapping(z, c, truncation_psi=generator.default_psi)


@torch.inference_mode()
def draw(generator: Generator, codes: Codes) -> Tensor:
    """Images (N, C, H, W) of codes, two at a time."""
    return torch.cat([generator.synthesis(codes[rows]) for rows in iterate_batches(len(codes), 2)])


def compare(a: Tensor, b: Tensor) -> Difference:
    """How far apart images (N, C, H, W) of two generators are."""
    levels = np.abs(to_uint8(a).astype(np.int16) - to_uint8(b).astype(np.int16))
    return Difference(int(levels.max()), float(levels.mean()), torch.equal(a, b))
