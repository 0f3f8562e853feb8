"""Several processes give what one gives; none is left waiting when another stops, fails or is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from eigan.errors import FitError
from eigan.format import VECTORS, pack_files, read_pack
from eigan.latents import BLOCK_ROWS
from hub_export import Recipe, fit
from hub_export.fit import ROUND_PIECES
from hub_export.methods import METHODS
from hub_export.moments import Moments
from hub_export.world import ALONE, World, local_device
from tests.hub_export.worlds import exchange, fit_toy, run_world
from tests.toys import toy_generator

ROUND = ROUND_PIECES["cpu"] * BLOCK_ROWS  # rows of one process
RECIPE: dict[str, Any] = {"method": "pca", "num_samples": 5 * ROUND + 300, "batch_size": 1}
QUICK: dict[str, dict[str, Any]] = {"latentclr": {"iterations": 3, "batch": 2}, "local": {"num_codes": 4}}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The moments and the pack of one process."""
    state = tmp_path_factory.mktemp("alone") / "state.safetensors"
    pack = fit(toy_generator(), Recipe(**RECIPE), state_path=state)
    return Moments.load(state)[0], pack


def close_to_alone(state: Path, alone: Any) -> None:
    moments, expected = Moments.load(state)[0], alone[0]
    assert moments.count == expected.count
    scale = float(expected.covariance.abs().max())
    assert float((moments.covariance - expected.covariance).abs().max()) < 1e-12 * scale
    assert float((moments.mean - expected.mean).abs().max()) < 1e-12 * scale


def test_alone_every_exchange_is_free() -> None:
    assert exchange(ALONE) == {
        "sum": [0.1] * 3,
        "whole": [0],
        "rows": [],
        "spread": [b"\0first", b"", None],
        "share": list(range(7)),
        "first": True,
    }


@pytest.mark.parametrize("size", [2, 3])
def test_exchanges(size: int) -> None:
    found = run_world(size, exchange)
    assert [kind for kind, _ in found] == ["returned"] * size
    for rank, (_, value) in enumerate(found):
        assert value["sum"] == pytest.approx([sum(0.1 + r for r in range(size))] * 3)
        assert value["sum"] == found[0][1]["sum"]
        assert value["whole"] == [sum(range(size))]
        assert value["rows"] == [[float(r)] * 2 for r in range(size) for _ in range(r)]
        assert value["spread"] == [b"\0first", b"", None]
        assert value["share"] == list(range(rank, 7, size))
        assert value["first"] == (rank == 0)


@pytest.mark.parametrize("size", [2, 3])
def test_a_world_fits_what_one_process_fits(size: int, tmp_path: Path, alone: Any) -> None:
    state = tmp_path / "state.safetensors"
    found = run_world(size, fit_toy, RECIPE, state, False)
    assert [kind for kind, _ in found] == ["returned"] * size, found
    assert all(value["files"] == found[0][1]["files"] for _, value in found)
    assert all(value["reports"] == [] for _, value in found[1:])
    assert found[0][1]["reports"][-1] == RECIPE["num_samples"]
    assert len(found[0][1]["reports"]) == -(-RECIPE["num_samples"] // (size * ROUND))  # one exchange a round
    close_to_alone(state, alone)
    folder = tmp_path / "pack"
    folder.mkdir()
    for name, data in found[0][1]["files"].items():
        (folder / name).write_bytes(data)
    for mine, theirs in zip(read_pack(folder), alone[1], strict=True):
        assert float((mine.vector - theirs.vector).abs().max()) < 1e-6
        assert mine.sigma == pytest.approx(theirs.sigma, rel=1e-9)


@pytest.mark.parametrize("trouble", ["1:SIGINT:20", "0:SIGTERM:20", "1:ctrl-c:20", "1:memory:20", "1:SIGKILL:20"])
def test_one_process_stops_and_all_do(trouble: str, tmp_path: Path, alone: Any) -> None:
    """In the second round: the first is kept, and any number of processes goes on from there."""
    state = tmp_path / "state.safetensors"
    (kind, first), second = run_world(2, fit_toy, RECIPE, state, False, trouble)
    assert kind == "raised"
    assert first[0] == "FitInterrupted" and first[2], first
    assert f"while sampling, after {2 * ROUND:,} of {RECIPE['num_samples']:,} samples; they are kept in" in first[1]
    if "memory" in trouble:
        assert second == ("raised", ("RuntimeError", "out of memory", True))
        assert "process 1 of 2 failed" in first[1]
    elif "SIGKILL" in trouble:
        assert second == ("died", None)
        assert "another process ended" in first[1]
    else:
        assert second[0] == "raised" and second[1][0] == "FitInterrupted" and not second[1][2]
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]
    assert Moments.load(state)[0].count == 2 * ROUND
    if trouble.startswith("1:SIGINT"):
        found = run_world(3, fit_toy, RECIPE, state, True)
        assert [kind for kind, _ in found] == ["returned"] * 3, found
    else:
        fit(toy_generator(), Recipe(**RECIPE), state_path=state, resume=True)
    close_to_alone(state, alone)


def test_the_first_process_fails_and_keeps_what_it_has(tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    found = run_world(2, fit_toy, RECIPE, state, False, "0:memory:20")
    assert found[0] == ("raised", ("RuntimeError", "out of memory", True))
    assert found[1][0] == "raised" and "process 0 of 2 failed" in found[1][1][1] and not found[1][1][2]
    assert Moments.load(state)[0].count == 2 * ROUND


def test_what_is_wrong_everywhere_is_told_once(tmp_path: Path) -> None:
    found = run_world(2, fit_toy, {**RECIPE, "num_directions": 17}, None, False)
    assert [kind for kind, _ in found] == ["raised"] * 2
    assert [value[0] for _, value in found] == ["FitError"] * 2
    assert [value[2] for _, value in found] == [True, False]


def fit_other(world: World, state: Path) -> dict[str, Any]:
    return fit_toy(world, {**RECIPE, "seed": world.rank}, state, False)


def test_another_recipe_in_one_process_is_refused(tmp_path: Path) -> None:
    (_, first), (kind, second) = run_world(2, fit_other, tmp_path / "state.safetensors")
    assert kind == "raised" and "process 1 of 2 has another generator or recipe" in second[1]
    assert "process 1 of 2 failed" in first[1]
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_state_stops_all(tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    state.write_bytes(b"half of it")
    (_, first), (_, second) = run_world(2, fit_toy, RECIPE, state, True)
    assert first[0] == "FitError" and "holds nothing to resume from" in first[1]
    assert "process 0 of 2 failed" in second[1]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_same_in_a_world(method: str) -> None:
    values = {"method": method, "num_samples": 20_000, "num_directions": 3, "options": QUICK.get(method, {})}
    found = run_world(2, fit_toy, values, None, False)
    assert [kind for kind, _ in found] == ["returned"] * 2, found
    assert found[0][1]["files"] == found[1][1]["files"]
    expected = pack_files(fit(toy_generator(), Recipe(**values)), {})
    (mine, theirs) = (load(files[VECTORS]) for files in (found[0][1]["files"], expected))
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert float((tensor - theirs[name]).abs().max()) < 1e-5, name


def test_without_torchrun_one_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert World.join(torch.device("cpu")) is ALONE
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert World.join(torch.device("cpu")) is ALONE
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(FitError, match="WORLD_SIZE is 'two'"):
        World.join(torch.device("cpu"))


def test_each_process_takes_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_device(torch.device("cuda")) == torch.device("cuda")
    for name, value in {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    assert local_device(torch.device("cuda")) == torch.device("cuda:3")
    assert local_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(FitError, match="cuda:1 cannot serve several processes"):
        local_device(torch.device("cuda:1"))


def test_torchrun(toy_folder: Path, tmp_path: Path) -> None:
    """The command line in two processes: one voice, one folder, nothing left over."""
    out = tmp_path / "work/out"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "hub_export", "fit", "--generator", str(toy_folder), "--out", str(out), "--no-previews"]
    done = subprocess.run(
        [*command, "--num-samples", "20000"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("written to") == 1
    assert done.stderr.count("sampling") == 1
    assert len(done.stderr.splitlines()) < 10, done.stderr
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    expected = fit(toy_generator(), Recipe("pca", num_samples=20000))
    for mine, theirs in zip(read_pack(out), expected, strict=True):
        assert float((mine.vector - theirs.vector).abs().max()) < 1e-6
