"""Worlds of real processes (gloo, one machine) for tests: started from a server that has torch imported already."""

from __future__ import annotations

import importlib
import itertools
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from eigan.errors import EiganError
from eigan.format import pack_files
from hub_export import Recipe
from hub_export.moments import Sums
from hub_export.shelf import write_tensors
from hub_export.world import World
from tests.toys import toy_generator

fitting = importlib.import_module("hub_export.fit")  # the package's own `fit` is the function

DEADLINE = 60  # seconds; a test that hangs must end
PRELOADED = ["torch", "torch.distributed", "hub_export.fit", "tests.toys", "tests.hub_export.worlds"]

Result = tuple[str, Any]
"""("returned", value), ("raised", "Kind: message, whether it speaks"), or ("died", None)."""


def run_world(size: int, work: Callable[..., Any], *arguments: Any) -> list[Result]:
    """work(world, *arguments) in `size` processes at once: what became of each, by rank."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        ends = [server.Pipe(duplex=False) for _ in range(size)]
        processes = [
            server.Process(target=_live, args=(rank, size, f"{folder}/meeting", ends[rank][1], work, arguments))
            for rank in range(size)
        ]
        for process in processes:
            process.start()
        for _, sender in ends:
            sender.close()
        found = [_hear(receiver) for receiver, _ in ends]
        for process in processes:
            process.join(DEADLINE)
            process.kill()
    return found


def killed_while(work: Callable[..., Any], *arguments: Any) -> int:
    """SIGKILL to a process in the middle of work(sender, *arguments), which never ends: the fifth number it sent."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    receiver, sender = server.Pipe(duplex=False)
    process = server.Process(target=work, args=(sender, *arguments))
    process.start()
    reached = [int(receiver.recv()) for _ in range(5)][-1]
    process.kill()
    process.join(DEADLINE)
    return reached


def write_for_ever(sender: Any, path: Path) -> None:
    """State after state at `path`."""
    for step in itertools.count():
        write_tensors(path, {"weights": torch.full((256, 256), float(step))}, {"step": str(step)})
        sender.send(step)


def _hear(receiver: Any) -> Result:
    if not receiver.poll(DEADLINE):
        return "hung", None
    try:
        result: Result = receiver.recv()
        return result
    except EOFError:
        return "died", None


def _live(
    rank: int, size: int, meeting: str, sender: Any, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=timedelta(seconds=DEADLINE)
    )
    world = World.join(torch.device("cpu"))
    try:
        sender.send(("returned", work(world, *arguments)))
    except (EiganError, KeyboardInterrupt, RuntimeError) as error:
        sender.send(("raised", (type(error).__name__, str(error), world.speaks)))
    world.leave()


def exchange(world: World) -> dict[str, Any]:
    """Every kind of exchange, once."""
    numbers, whole = torch.full((3,), 0.1 + world.rank, dtype=torch.float64), torch.tensor([world.rank])
    world.sum_(numbers, whole)
    rows = torch.full((world.rank, 2), float(world.rank))
    return {
        "sum": numbers.tolist(),
        "whole": whole.tolist(),
        "rows": world.gather(rows).tolist(),
        "spread": [world.spread(data if world.is_first else b"mine") for data in (b"\0first", b"", None)],
        "share": list(world.share(range(7))),
        "first": world.is_first,
    }


def fit_toy(
    world: World, values: dict[str, Any], state: Path | None, resume: bool, trouble: str = ""
) -> dict[str, Any]:
    """A fit of the toy generator. trouble: "rank:what:blocks" befalls that rank after so many of its blocks."""
    reports: list[int] = []
    if trouble:
        rank, what, blocks = trouble.split(":")
        if world.rank == int(rank):
            befall(what, int(blocks))
    pack = fitting.fit(
        toy_generator(),
        Recipe(**values),
        progress=lambda done, total, what: reports.append(done),
        state_path=state,
        resume=resume,
        world=world,
    )
    return {"files": pack_files(pack, {}), "reports": reports}


def befall(what: str, blocks: int) -> None:
    """Trouble in this process's stream, after `blocks` of its blocks."""
    real = fitting.over_w

    def over_w(*arguments: Any, **keywords: Any) -> Iterator[Sums]:
        for done, sums in enumerate(real(*arguments, **keywords)):
            if done == blocks:
                trouble(what)
            yield sums

    vars(fitting)["over_w"] = over_w  # this process ends with the test


def trouble(what: str) -> None:
    if what == "memory":
        raise RuntimeError("out of memory")
    if what == "recipe":
        raise EiganError("these codes are no good")
    if what == "ctrl-c":
        raise KeyboardInterrupt
    os.kill(os.getpid(), getattr(signal, what))
