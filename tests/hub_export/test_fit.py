"""The same recipe gives the same bytes: refitted, in other batches, interrupted anywhere and resumed."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import random
import signal
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hub_export.shelf as shelf_module
from eigan.errors import EiganError, FitError, FitInterrupted, InvalidCodes, PackFormatError
from eigan.format import pack_files, read_pack
from eigan.generators.stylegan2 import StyleGAN2
from eigan.generators.stylegan2_config import StyleGAN2Config
from eigan.latents import BLOCK_ROWS
from eigan.layers import LayerRange
from eigan.pack import DirectionPack, MadeFor
from hub_export import Recipe, fit
from hub_export.fit import forget_state, shelf_path
from hub_export.methods import METHODS, Basis, Method, Problem
from hub_export.moments import Moments
from tests.toys import toy_generator

fitting = importlib.import_module("hub_export.fit")  # the package's own `fit` is the function
GENERATOR = toy_generator()
ROWS = 6 * BLOCK_ROWS + 100


def wide_generator() -> StyleGAN2:
    """Codes of 128 numbers: matrices large enough for the libraries to split over threads."""
    generator = StyleGAN2(StyleGAN2Config(z_dim=128, c_dim=0, w_dim=128, resolution=4, channels={4: 32}))
    generator.initialize(torch.Generator().manual_seed(0))
    return generator.eval()


def as_bytes(pack: DirectionPack) -> dict[str, bytes]:
    return pack_files(pack, {})


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def stop_after(rows: int) -> Any:
    def progress(done: int, total: int, what: str) -> None:
        if done >= rows:
            raise KeyboardInterrupt

    return progress


def test_a_pack_says_how_it_was_made(tmp_path: Path) -> None:
    pack = fit(GENERATOR, Recipe("pca", num_samples=5000, seed=9, batch_size=700), name="mine", license="mit")
    assert pack.names == [f"pca-{i:02d}" for i in range(16)]
    assert pack.made_for == MadeFor.describe(GENERATOR)
    assert (pack.name, pack.license, pack.version) == ("mine", "mit", "")
    assert pack.method == {
        "name": "pca",
        "num_directions": 16,
        "num_samples": 5000,
        "seed": 9,
        "sampler": "torch-normal-1024",
        "layers": "all",
        "class_index": None,
        "precision": "fp32",
        **METHODS["pca"].options().model_dump(mode="json"),
    }
    assert all(d.layers == LayerRange(0, 8) and d.amount_range == (-3.0, 3.0) for d in pack)
    ratios = [d.metrics["explained_variance_ratio"] for d in pack]
    assert sum(ratios) == pytest.approx(1, abs=1e-6)
    assert ratios == sorted(ratios, reverse=True)
    pack.save(tmp_path / "pack")
    assert as_bytes(read_pack(tmp_path / "pack")) == as_bytes(pack)


def test_vectors_can_be_trained_through() -> None:
    """No inference tensors leave the fit."""
    vector = fit(GENERATOR, Recipe("pca", num_samples=100))["pca-00"].vector
    assert not vector.is_inference()
    (torch.ones(16, requires_grad=True) * vector).sum().backward()


@pytest.mark.parametrize("method", ["pca", "sefa"])
def test_a_refit_gives_the_same_bytes(method: str, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        fit(toy_generator(), Recipe(method, num_samples=ROWS)).save(folder)
    one, two = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders)
    assert one == two


@pytest.mark.parametrize("method", ["pca", "sefa"])
def test_no_number_of_threads_changes_a_byte(method: str) -> None:
    wide, before = wide_generator(), torch.get_num_threads()
    packs = []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            packs.append(as_bytes(fit(wide, Recipe(method, num_samples=ROWS))))
    finally:
        torch.set_num_threads(before)
    assert packs[0] == packs[1] == packs[2]


@given(batch_size=st.integers(0, 3 * ROWS))
@settings(max_examples=15, deadline=None)
def test_no_batch_size_changes_a_byte(batch_size: int) -> None:
    expected = as_bytes(fit(GENERATOR, Recipe("pca", num_samples=ROWS)))
    assert as_bytes(fit(GENERATOR, Recipe("pca", num_samples=ROWS, batch_size=batch_size))) == expected


def test_seeds_and_classes_change_the_directions() -> None:
    conditional = toy_generator(c_dim=4)
    packs = [
        fit(conditional, Recipe("pca", num_samples=2000, seed=seed, class_index=index))
        for seed, index in ((0, None), (1, None), (0, 2), (0, 3))
    ]
    vectors = [pack["pca-00"].vector for pack in packs]
    assert all(not torch.equal(a, b) for i, a in enumerate(vectors) for b in vectors[:i])
    assert packs[2].method["class_index"] == 2


@given(stops=st.lists(st.integers(0, ROWS), max_size=4), batch_size=st.integers(1, 3 * BLOCK_ROWS))
@settings(max_examples=25, deadline=None)
def test_interrupted_anywhere_and_resumed_is_uninterrupted(stops: list[int], batch_size: int) -> None:
    recipe = Recipe("pca", num_samples=ROWS, batch_size=batch_size)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state.safetensors"
        for stop in stops:
            with contextlib.suppress(FitInterrupted):  # which is not raised once every sample is there
                fit(GENERATOR, recipe, progress=stop_after(stop), state_path=state, resume=state.exists())
            assert Moments.load(state)[0].count >= min(stop, ROWS)
        pack = fit(GENERATOR, recipe, state_path=state, resume=state.exists())
        assert [p.name for p in Path(folder).iterdir()] == ["state.safetensors"]
    assert as_bytes(pack) == as_bytes(fit(GENERATOR, recipe))


def test_a_signal_at_any_moment_keeps_what_was_gathered(tmp_path: Path) -> None:
    """SIGINT arrives between any two bytecodes, not where a test would put it."""
    delays = random.Random(0)
    endless = Recipe("pca", num_samples=10**9)
    state, reached = tmp_path / "state.safetensors", 0
    for _ in range(6):
        alarm = threading.Timer(delays.uniform(0.05, 0.3), os.kill, (os.getpid(), signal.SIGINT))
        alarm.start()
        with pytest.raises(FitInterrupted):
            fit(GENERATOR, endless, state_path=state, resume=state.exists())
        alarm.join()
        if state.exists():
            moments, _ = Moments.load(state)
            assert moments.count >= reached
            reached = moments.count
    short = Recipe("pca", num_samples=reached + 1500)
    assert as_bytes(fit(GENERATOR, short, state_path=state, resume=reached > 0)) == as_bytes(fit(GENERATOR, short))


def test_interruption_while_solving_keeps_all_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, recipe = tmp_path / "state.safetensors", Recipe("pca", num_samples=ROWS)

    def interrupted(matrix: torch.Tensor) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch.linalg, "eigh", interrupted)
        with pytest.raises(FitInterrupted, match=f"{ROWS:,} of {ROWS:,}"):
            fit(GENERATOR, recipe, state_path=state)
    drawn: list[int] = []
    pack = fit(GENERATOR, recipe, state_path=state, resume=True, progress=lambda done, total, what: drawn.append(done))
    assert drawn == []
    assert as_bytes(pack) == as_bytes(fit(GENERATOR, recipe))


class Slow:
    """A method that keeps what it has reached: ten steps, of which the first `stop` are done before Ctrl-C."""

    def __init__(self, stop: int = 99, error: Callable[[], BaseException] = KeyboardInterrupt):
        self.stop, self.error, self.began = stop, error, -1

    def solve(self, problem: Problem) -> Basis:
        kept = problem.shelf.take()
        step = self.began = int(kept["step"]) if kept else 0
        with problem.shelf.keeping(lambda: {"step": torch.tensor(step)}):
            while step < 10:
                problem.report(step, 10, "thinking")
                if step == self.stop:
                    raise self.error()
                step += 1
        return METHODS["pca"].solve(replace(problem, recipe=Recipe("pca", 4).resolve(problem.generator)))


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def use_slow(monkeypatch: pytest.MonkeyPatch, slow: Slow) -> None:
    monkeypatch.setitem(METHODS, "slow", Method(slow.solve, num_samples=ROWS))


def test_interruption_of_a_long_method_keeps_what_it_has_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state.safetensors"
    use_slow(monkeypatch, Slow(stop=4))
    with pytest.raises(FitInterrupted) as stopped:
        fit(GENERATOR, Recipe("slow", 4), state_path=state)
    assert f"stopped while slow was solving, after {ROWS:,} of {ROWS:,} samples; they are kept in" in str(stopped.value)
    assert f"what slow had reached in {shelf_path(state)}, and resuming goes on from there" in str(stopped.value)
    with pytest.raises(FitError, match="Use the same recipe and generator"):
        fit(GENERATOR, Recipe("slow", 3), state_path=state, resume=True)
    slow = Slow()
    use_slow(monkeypatch, slow)
    state.unlink()  # the samples are lost: they are drawn again, the method goes on
    seen: list[tuple[int, int, str]] = []
    resumed = fit(GENERATOR, Recipe("slow", 4), state_path=state, resume=True, progress=lambda *each: seen.append(each))
    assert slow.began == 4
    assert [what for _, _, what in seen] == ["sampling"] + ["thinking"] * 6
    assert as_bytes(resumed) == as_bytes(fit(GENERATOR, Recipe("slow", 4)))
    forget_state(state)
    assert list(tmp_path.iterdir()) == []


def test_a_fit_that_starts_anew_forgets_what_the_method_had_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, slow = tmp_path / "state.safetensors", Slow(stop=4)
    use_slow(monkeypatch, slow)
    for _ in range(2):
        with pytest.raises(FitInterrupted):
            fit(GENERATOR, Recipe("slow", 4), state_path=state)
        assert slow.began == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, no_space])
def test_a_full_disk_while_solving_keeps_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException]
) -> None:
    state = tmp_path / "state.safetensors"
    real = shelf_module.write_tensors

    def full(path: Path, *rest: Any) -> None:
        if path == shelf_path(state):
            raise no_space()
        real(path, *rest)

    use_slow(monkeypatch, Slow(stop=4, error=error))
    monkeypatch.setattr(shelf_module, "write_tensors", full)
    with pytest.raises(FitError) as stopped:
        fit(GENERATOR, Recipe("slow", 4), state_path=state)
    if error is KeyboardInterrupt:
        assert "they are kept in" in str(stopped.value) and "what slow had reached could not be kept" in str(
            stopped.value
        )
        assert "No space left" in str(stopped.value)
    else:
        assert f"all samples are kept in {state}; make room, and resume" in str(stopped.value)
    assert Moments.load(state)[0].count == ROWS
    assert names(tmp_path) == ["state.safetensors"]


def test_trouble_that_is_nobodys_fault_keeps_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory in the method: the error is told as it is, and the fit can be resumed with other settings."""
    state = tmp_path / "state.safetensors"
    use_slow(monkeypatch, Slow(stop=4, error=MemoryError))
    with pytest.raises(MemoryError):
        fit(GENERATOR, Recipe("slow", 4), state_path=state)
    assert Moments.load(state)[0].count == ROWS


def test_samples_are_kept_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a process that is killed: nothing runs after that."""
    state, seen = tmp_path / "state.safetensors", []
    monkeypatch.setattr(fitting, "KEEP_SECONDS", 0.0)

    def progress(done: int, total: int, what: str) -> None:
        seen.append((done, Moments.load(state)[0].count))

    fit(GENERATOR, Recipe("pca", num_samples=ROWS, batch_size=1), progress=progress, state_path=state)
    assert seen == [(done, done) for done, _ in seen] and len(seen) == 7


def test_interruption_without_a_state_says_so() -> None:
    with pytest.raises(FitInterrupted, match="nothing was kept"):
        fit(GENERATOR, Recipe("pca", num_samples=ROWS, batch_size=1), progress=stop_after(0))


def test_a_full_disk_on_interruption_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Moments, path: Path, notes: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Moments, "save", full)
    recipe = Recipe("pca", num_samples=ROWS, batch_size=1)
    with pytest.raises(FitInterrupted, match="could not be kept in .*No space left"):
        fit(GENERATOR, recipe, progress=stop_after(0), state_path=tmp_path / "s")
    assert len(fit(GENERATOR, recipe, state_path=tmp_path / "s")) == 16
    assert list(tmp_path.iterdir()) == []


def kept_state(folder: Path) -> Path:
    state = folder / "state.safetensors"
    with pytest.raises(FitInterrupted):
        fit(GENERATOR, Recipe("pca", num_samples=ROWS, batch_size=1), progress=stop_after(3000), state_path=state)
    return state


@pytest.mark.parametrize(
    ("generator", "recipe", "message"),
    [
        (GENERATOR, Recipe("pca", num_samples=ROWS, seed=1), "gathered with seed 0; this fit has 1"),
        (toy_generator(1), Recipe("pca", num_samples=ROWS), "gathered with generator"),
        (GENERATOR, Recipe("pca", num_samples=2000), "3,072 samples of 16 numbers"),
    ],
)
def test_a_state_of_another_fit_is_refused(tmp_path: Path, generator: Any, recipe: Recipe, message: str) -> None:
    with pytest.raises(FitError, match=message):
        fit(generator, recipe, state_path=kept_state(tmp_path), resume=True)


def test_a_state_serves_other_questions_about_the_same_samples(tmp_path: Path) -> None:
    state, fewer = kept_state(tmp_path), Recipe("pca", num_directions=3, num_samples=ROWS, layers="2-4")
    assert as_bytes(fit(GENERATOR, fewer, state_path=state, resume=True)) == as_bytes(fit(GENERATOR, fewer))


@pytest.mark.parametrize("path", [None, Path("nowhere")])
def test_nothing_to_resume(path: Path | None) -> None:
    with pytest.raises(FitError, match="nothing to resume from"):
        fit(GENERATOR, Recipe("pca", num_samples=ROWS), state_path=path, resume=True)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"num_directions": 17}, FitError, "17 directions asked for; .* have 16 numbers"),
        ({"num_directions": 0}, FitError, "num_directions is 0"),
        ({"num_samples": 16}, FitError, "16 samples cannot tell 16 directions apart"),
        ({"num_samples": 1}, FitError, "num_samples is 1"),
        ({"num_samples": True}, FitError, "num_samples is True"),
        ({"num_samples": 2.5}, FitError, "num_samples is 2.5"),
        ({"seed": -1}, FitError, "seed is -1"),
        ({"seed": 2**32}, FitError, "seed is 4294967296"),
        ({"batch_size": -5}, FitError, "batch_size is -5"),
        ({"options": {"normalize": "row"}}, FitError, "normalize means nothing to it"),
        ({"layers": "8"}, PackFormatError, "layers 8 do not exist; this generator has layers 0-7"),
        ({"layers": "first"}, PackFormatError, "cannot read layers 'first'"),
        ({"class_index": 0}, InvalidCodes, "has no classes"),
        ({"class_index": -1}, FitError, "class_index is -1"),
    ],
)
def test_recipes_that_cannot_be_followed(values: dict[str, Any], error: type[EiganError], message: str) -> None:
    with pytest.raises(error, match=message):
        fit(GENERATOR, Recipe("pca", **values))


def test_a_class_that_is_not_there() -> None:
    with pytest.raises(InvalidCodes, match="classes 0 to 2"):
        fit(toy_generator(c_dim=3), Recipe("sefa", class_index=3))


def test_a_damaged_mapping_is_told(tmp_path: Path) -> None:
    generator = toy_generator()
    with torch.no_grad():
        generator.mapper.get_submodule("fc1").weight[3, 3] = float("inf")  # type: ignore[index]
    with pytest.raises(FitError, match="NaN or infinite codes between rows 0 and"):
        fit(generator, Recipe("pca", num_samples=ROWS), state_path=tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("layers", "reach"), [("all", 3), ("0-7", 3), ("2-6", 10), ("2-4", 20), ("5", 20)])
def test_sliders_of_few_layers_go_further(layers: str, reach: float) -> None:
    pack = fit(GENERATOR, Recipe("sefa", num_samples=500, layers=layers))
    assert {d.amount_range for d in pack} == {(-reach, reach)}
    assert {d.layers for d in pack} == {LayerRange.parse(layers, 8)}


def test_defaults_of_the_methods() -> None:
    assert Recipe("pca").resolve(GENERATOR).num_samples == 1_000_000
    assert Recipe("sefa").resolve(GENERATOR).num_samples == 20_000
    assert Recipe("sefa").resolve(GENERATOR).describe()["normalize"] == "column"


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int, str]] = []
    recipe = Recipe("pca", num_samples=ROWS, batch_size=2048)
    fit(GENERATOR, recipe, progress=lambda *report: seen.append(report))
    assert seen[-1] == (ROWS, ROWS, "sampling")
    assert [done for done, _, _ in seen] == [2048, 4096, 6144, ROWS]
