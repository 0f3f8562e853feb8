"""hub-export fit: a generator in, a folder with a direction pack, previews and a card out. Refuses before it works."""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from eigan.errors import EiganError, FitError, FitInterrupted
from eigan.format import is_pack, read_extras, read_pack, save_pack
from eigan.generators.base import Generator
from eigan.pack import MAX_NAME, DirectionPack, check_text
from eigan.sources import generator_for, load_generator
from hub_export.card import render_card
from hub_export.changelog import UNRELEASED, write_sections
from hub_export.fit import fit as fit_directions
from hub_export.fit import forget_state, shelf_path
from hub_export.methods import METHODS
from hub_export.methods.base import Progress as Report
from hub_export.plots import can_draw, render_plots
from hub_export.previews import render_previews
from hub_export.recipe import PRECISIONS, Recipe
from hub_export.recipe_file import RecipeFile
from hub_export.staging import CHANGELOG, README
from hub_export.world import World, launched_first, local_device

SHOWN = 10  # directions in the table printed at the end
SECRET = ("token",)  # never repeated on screen


def fit(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder to write: new, empty, or an earlier fit that is replaced.")],
    recipe_file: Annotated[
        Path | None,
        typer.Argument(metavar="RECIPE.TOML", help="What to fit, as `hub-export recipe` prints it. Options go first."),
    ] = None,
    generator: Annotated[str, typer.Option(help="A checkpoint file, a folder, a bundled name, or a Hub id.")] = "",
    method: Annotated[str, typer.Option(help=f"One of: {', '.join(METHODS)}. See `hub-export methods`.")] = "pca",
    num_directions: Annotated[int | None, typer.Option(help="Default: 80, or as many as codes have numbers.")] = None,
    num_samples: Annotated[int | None, typer.Option(help="Codes drawn. Default: the method's.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the codes drawn.")] = 0,
    layers: Annotated[str, typer.Option(help="Layers the directions move: all, 8 or 8-11 (both included).")] = "all",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help="One of the method's own (-o normalize=none)."),
    ] = None,
    class_index: Annotated[int | None, typer.Option("--class", help="Draw codes of this class. Default: all.")] = None,
    batch_size: Annotated[
        int, typer.Option(help="Samples between two updates of the bar; the result is the same.")
    ] = 0,
    precision: Annotated[str, typer.Option(help=f"Of the generator's passes: {' or '.join(PRECISIONS)}.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps. Under torchrun cuda: one for each.")] = "cpu",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted fit of --out stopped.")] = False,
    no_previews: Annotated[bool, typer.Option("--no-previews", help="Leave the pictures out.")] = False,
    name: Annotated[str, typer.Option(help="The pack's name. Default: the recipe's, or the folder's.")] = "",
    license: Annotated[str, typer.Option(help="Licence of the pack, as the Hub writes it (cc0-1.0, mit, ...).")] = "",
    token: Annotated[str | None, typer.Option(envvar="HF_TOKEN", help="For private Hub generators.")] = None,
) -> None:
    """Fit directions of a generator and write them as a pack with previews and a model card.

    Ctrl-C at any time keeps the samples drawn so far, and what the method has reached; --resume goes on from there.
    Several GPUs, machines or processes: torchrun --nproc-per-node 8 -m hub_export fit ... --device cuda
    """
    with joined(device) as (world, place):
        with world.together():
            told = what_is_told(recipe_file, generator, name, license, out)
            recipe = told.recipe({**given_fields(context), **parse_options(option or ())})
            state = state_path(out)
            if world.is_first:
                check_text(told.name, "pack name", MAX_NAME)
                check_output_folder(out)
                check_replaceable(out)
                check_state(state, resume)
            errors = Console(stderr=True, quiet=not world.is_first)
            with errors.status("opening the generator"):
                network = load_generator(told.generator, device=place, token=token)
            told.check_fits(network)
        try:
            with progress_bar(errors) as bars:
                report = world.reporter(bars)
                pack = fit_directions(
                    network,
                    recipe,
                    name=told.name,
                    license=told.license,
                    progress=bars,
                    state_path=state,
                    resume=resume,
                    world=world,
                )
                if not world.is_first:
                    return
                extras = {} if no_previews else draw(network, pack, report)
            write(pack, extras, out)
        except FitInterrupted as stopped:
            kept = state.is_file() or is_kept(shelf_path(state))
            hint = f"\nGo on with: {resume_command(context)}" if kept else ""
            raise FitInterrupted(f"{stopped}{hint}") from None
        except KeyboardInterrupt:
            raise FitInterrupted(
                f"stopped before {out} was written; all samples are kept in {state}.\n"
                f"Go on with: {resume_command(context)}"
            ) from None
        forget_state(state)
        show(Console(), pack, out)


def what_is_told(recipe_file: Path | None, generator: str, name: str, license: str, out: Path) -> RecipeFile:
    """The recipe file, or none, with what the command line says in its place. Raises FitError without a generator."""
    told = RecipeFile() if recipe_file is None else RecipeFile.read(recipe_file)
    if generator or not told.generator:
        told = replace(told, generator=generator, fingerprint="")
    if not told.generator:
        raise FitError("say which generator, with --generator or in a recipe file (generator = ...)")
    return replace(told, name=name or told.name or out.absolute().name, license=license or told.license)


def draw(network: Generator, pack: DirectionPack, report: Report) -> dict[str, bytes]:
    """File name -> bytes of the pack's pictures; plots where matplotlib is there."""
    return {**render_previews(network, pack, progress=report), **(render_plots(pack) if can_draw() else {})}


@contextlib.contextmanager
def joined(device: str) -> Iterator[tuple[World, torch.device]]:
    """The world of this process and the device it works on. Of several processes, those that need not speak are
    silent: what stops all of them is told once.
    """
    world: World | None = None
    try:
        place = check_device(device)
        world = World.join(place)
        with world.listening():
            yield world, place
    except (EiganError, KeyboardInterrupt):
        if not (launched_first() if world is None else world.speaks):
            raise typer.Exit(1) from None
        raise
    finally:
        if world is not None:
            world.leave()


def given_fields(context: typer.Context) -> dict[str, Any]:
    """The recipe's fields that stand on the command line; the others' defaults count less than a recipe file."""
    own = {field.name for field in fields(Recipe)}
    return {name: context.params[name] for name in given_names(context) if name in own}


def given_names(context: typer.Context) -> list[str]:
    """Parameters that stand on the command line."""
    names = [parameter.name or "" for parameter in context.command.params]
    return [name for name in names if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"]


def parse_options(given: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; a value that is JSON (3, true, [1, 2]) is read as such, any other is text."""
    options: dict[str, Any] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or name in options:
            raise FitError(f"--option {pair!r} cannot be read; write NAME=VALUE, each name once")
        try:
            options[name] = json.loads(text)
        except ValueError:
            options[name] = text
    return options


def check_device(name: str) -> torch.device:
    """The device called `name`; of several processes on a machine, each one's own. Raises FitError when there is none
    of that name.
    """
    try:
        device = local_device(torch.device(name))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise FitError(f"device {name!r} cannot be used here ({reason}); leave --device out to use the CPU") from None
    return device


def open_generator(named: str, pack: DirectionPack, device: torch.device, token: str | None) -> Generator:
    """The generator that was named or, where none was, the one that the pack says it was made for."""
    if named:
        return load_generator(named, device=device, token=token)
    return generator_for(pack, device=device, token=token)


def check_output_folder(out: Path) -> None:
    """Refuse a folder that could not be written, before minutes of work.

    Raises:
        FitError: a file, a folder of other things, or no right to write there.
    """
    if out.exists() and not out.is_dir():
        raise FitError(f"{out} is a file; give a folder to write to")
    if out.is_dir() and any(out.iterdir()) and not is_pack(out):
        raise FitError(f"{out} holds other files; give an empty or new folder")
    ancestor = next(p for p in out.absolute().parents if p.exists())
    try:
        tempfile.TemporaryDirectory(dir=ancestor).cleanup()
    except OSError as error:
        raise FitError(f"{out} cannot be written: {error.strerror or error} ({ancestor})") from None


def check_replaceable(out: Path) -> None:
    """Refuse to replace a pack that is not as a fit left it. Raises FitError when it was named or published."""
    if not is_pack(out):
        return
    try:
        pack = read_pack(out)
    except EiganError as error:
        raise FitError(f"{out} holds a damaged pack ({error}); remove it, or give another folder") from None
    if not is_as_fitted(pack):
        raise FitError(f"{out} holds a pack that was named, given presets or published; give another folder")


def is_as_fitted(pack: DirectionPack) -> bool:
    """Whether nobody has named, composed or published what a fit left."""
    fitted = all(d.name.startswith(f"{pack.method.get('name')}-") and not any(d.poles) for d in pack)
    return fitted and not (pack.version or pack.presets)


def state_path(out: Path) -> Path:
    """Where moments of an interrupted fit of `out` are kept: beside it."""
    return out.absolute().with_name(f"{out.absolute().name}.fit-state.safetensors")


def check_state(state: Path, resume: bool) -> None:
    """Raise FitError when an earlier fit's state lies there and nobody said what to do with it, or none does."""
    kept = [path for path in (state, shelf_path(state)) if is_kept(path)]
    if kept and not resume:
        files = " and ".join(map(str, kept))
        raise FitError(f"{files}: kept by an interrupted fit; add --resume to go on, or delete what it kept")
    if resume and not kept:
        raise FitError(f"nothing to resume: {state} does not exist; leave --resume out")


def is_kept(path: Path | None) -> bool:
    return path is not None and path.exists()


def write(pack: DirectionPack, previews: dict[str, bytes], out: Path) -> None:
    """Write the pack's folder, complete or not at all. Raises FitError when the disk does not take it."""
    changes = f"- {len(pack)} directions fitted with {pack.method['name']} on {pack.made_for}."
    kept = read_extras(out).get(CHANGELOG) if is_pack(out) else None
    extras = {**previews, CHANGELOG: kept or write_sections({UNRELEASED: changes}).encode()}
    extras[README] = render_card(pack, extras, changes=changes).encode()
    try:
        save_pack(pack, out, extras)
    except OSError as error:
        raise FitError(
            f"{out} could not be written: {error.strerror or error}. Nothing was left half done; "
            "make room, then run the same command with --resume: no sample is drawn again."
        ) from None


def resume_command(context: typer.Context) -> str:
    """The command line that goes on: all that was given, but no secret."""
    words, given = ["hub-export", "fit"], given_names(context)
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name not in given or parameter.name in (*SECRET, "resume"):
            continue
        for each in value if isinstance(value, (list, tuple)) else [value]:
            flag = [] if parameter.param_type_name == "argument" else [parameter.opts[0]]
            words += flag if each is True else [*flag, str(each)]
    return shlex.join([*words, "--resume"])


@contextlib.contextmanager
def progress_bar(console: Console) -> Iterator[Report]:
    """A function for `fit` and `render_previews` to report to, drawn as bars with rate and time left."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks = {}

        def report(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, completed=done, rate="")
            speed = bars.tasks[tasks[what]].speed
            bars.update(tasks[what], completed=done, rate=f"{speed:,.0f}/s" if speed and speed >= 1 else "")

        yield report


def show(console: Console, pack: DirectionPack, out: Path) -> None:
    """Print what was made, and what can be done with it."""
    table = Table("direction", "layers", "sigma", "variance", title=f"{pack.name}: {len(pack)} directions")
    for direction in pack.directions[:SHOWN]:
        share = direction.metrics.get("explained_variance_ratio", 0.0)
        table.add_row(direction.name, str(direction.layers), f"{direction.sigma:.3g}", f"{share:.1%}")
    if len(pack) > SHOWN:
        table.add_row("…", "", "", "")
    console.print(table)
    console.print(f"written to {out}", markup=False, highlight=False, soft_wrap=True)
    publish = f"hub-export publish {shlex.quote(str(out))} --repo user/name --version 1.0.0"
    console.print(f"publish it: {publish}", markup=False, highlight=False, soft_wrap=True)
