"""Codes that a picture starts from: a value of bounded size, whose generator it is, and the files it comes in."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from eigan import latent_files
from eigan.errors import CheckpointError, InvalidCodes, PackFormatError, UnsafeCheckpoint
from eigan.latent_files import MAX_NUMBERS, Latent, latent_bytes, read_latent, write_latent
from tests.toys import toy_generator

GENERATOR = toy_generator()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_a_latent_is_a_value(rows: int, dim: int, seed: int) -> None:
    codes = torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))
    latent = Latent.of(codes)
    assert torch.equal(latent.codes, codes) and latent.codes.dtype == torch.float32
    assert latent == Latent.of(codes[None]) and hash(latent) == hash(Latent.of(codes.clone()))
    assert latent != Latent.of(codes + 1)
    latent.codes.zero_()
    assert torch.equal(latent.codes, codes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype) -> None:
    codes = torch.randn(3, 4).to(dtype)
    assert torch.equal(Latent.of(codes.requires_grad_()).codes, codes.detach().float())
    assert torch.equal(Latent.of(codes.mT).codes, codes.mT.float())  # in any order in memory


@pytest.mark.parametrize("shape", [(16,), (1, 16), (1, 1, 16)])
def test_a_single_row_goes_to_all_layers(shape: tuple[int, ...]) -> None:
    row = torch.randn(shape)
    codes = Latent.of(row).for_generator(GENERATOR)
    assert codes.shape == (1, 8, 16)
    assert all(torch.equal(codes[0, layer], row.flatten()) for layer in range(8))
    codes[0, 0] = 0  # its memory is its own
    assert torch.equal(codes[0, 1], row.flatten())


@pytest.mark.parametrize("shape", [(8, 16), (1, 8, 16)])
def test_rows_stay_with_their_layers(shape: tuple[int, ...]) -> None:
    codes = torch.randn(shape)
    assert torch.equal(Latent.of(codes).for_generator(GENERATOR), codes.view(1, 8, 16))


@pytest.mark.parametrize("shape", [(7, 16), (2, 16), (8, 15), (512,), (1, 9, 16)])
def test_codes_of_another_generator_are_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidCodes, match=r"wants \(8, 16\), or one row of 16"):
        Latent.of(torch.zeros(shape)).for_generator(GENERATOR)


@pytest.mark.parametrize(
    "codes",
    [
        torch.tensor(1.0),
        torch.zeros(0),
        torch.zeros(0, 4),
        torch.zeros(2, 3, 4),
        torch.zeros(1, 1, 3, 4),
        torch.zeros(513, 2),
        torch.zeros(8193),
        torch.zeros(1).expand(MAX_NUMBERS // 512 + 1, 512),
        torch.zeros(4, dtype=torch.int64),
        torch.zeros(4, dtype=torch.complex64),
        torch.tensor([1.0, math.nan]),
        torch.tensor([1.0, math.inf]),
        torch.tensor([1.0, -2e6]),
        torch.tensor([1e300], dtype=torch.float64),
    ],
    ids=range(14),
)
def test_what_codes_are_not(codes: torch.Tensor) -> None:
    with pytest.raises(PackFormatError):
        Latent.of(codes)


def test_bytes_that_do_not_fit_their_shape() -> None:
    with pytest.raises(PackFormatError, match="wants 24 bytes; it has 8"):
        Latent((2, 3), bytes(8))


# Files

CODES = torch.randn(8, 16, generator=torch.Generator().manual_seed(3))
LATENT = Latent.of(CODES)


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".pt", ".NPY"])
@pytest.mark.parametrize("shape", [(8, 16), (1, 8, 16), (16,), (1, 16)])
def test_files_come_back_to_the_bit(suffix: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    codes = CODES.flatten()[: math.prod(shape)].view(shape)
    for kept in (codes, Latent.of(codes)):
        write_latent(kept, tmp_path / f"w{suffix}")
        assert read_latent(tmp_path / f"w{suffix}") == Latent.of(codes)
        assert read_latent(str(tmp_path / f"w{suffix}")).shape == (math.prod(shape[:-1]), 16)
    assert [path.name for path in tmp_path.iterdir()] == [f"w{suffix}"]  # nothing half-written beside it


def test_other_tools_read_what_is_written(tmp_path: Path) -> None:
    for suffix in (".npy", ".safetensors", ".pt"):
        write_latent(LATENT, tmp_path / f"w{suffix}")
    assert np.array_equal(np.load(tmp_path / "w.npy"), CODES.numpy())
    assert torch.equal(load_file(tmp_path / "w.safetensors")["w"], CODES)
    assert torch.equal(torch.load(tmp_path / "w.pt", weights_only=True), CODES)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8"])
def test_numpy_files_of_other_tools(dtype: str, tmp_path: Path) -> None:
    array = CODES.numpy().astype(dtype)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "projected_w.npz", w=array[None], seed=np.array(3))  # as NVIDIA's projector.py
    np.save(tmp_path / "fortran.npy", np.asfortranarray(array))
    for name in ("a.npy", "projected_w.npz", "fortran.npy"):
        assert np.array_equal(read_latent(tmp_path / name).codes.numpy(), array.astype("f4"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tensors_of_other_precisions(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.save(CODES.to(dtype), tmp_path / "w.pt")
    save_file({"anything": CODES.to(dtype)}, tmp_path / "w.safetensors")
    for name in ("w.pt", "w.safetensors"):
        assert torch.equal(read_latent(tmp_path / name).codes, CODES.to(dtype).float())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        CODES,
        torch.nn.Parameter(CODES),
        {"latent": CODES},
        {"anything": CODES, "image": torch.zeros(1, 3, 4, 4), "steps": 1000, "noise": [torch.zeros(4)]},
        {"w_plus": CODES, "noise": torch.zeros(4, 4), "w_avg": torch.zeros(16)},
        {"face.png": {"img": torch.zeros(1, 3, 4, 4), "latent": CODES, "w_std": torch.zeros(1)}},
        OrderedDict(w=CODES, seeds=torch.zeros(8, dtype=torch.int64)),
    ],
    ids=range(7),
)
def test_torch_files_of_other_tools(content: object, legacy: bool, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.bin", _use_new_zipfile_serialization=not legacy)
    assert read_latent(tmp_path / "x.bin") == LATENT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": CODES, "b": CODES}, "several arrays that could be the latent: a, b"),
        ({"w": CODES, "latent": CODES}, "several arrays that could be the latent: w, latent"),
        ({"a": {"latent": CODES}, "b": {"latent": CODES}}, "a.latent, b.latent"),
        (torch.zeros(4, 8, 16), r"shape \(4, 8, 16\); wanted \(D,\), \(1, D\)"),
        ({"a": torch.zeros(4, 8, 16), "b": torch.zeros(2, 2, 2)}, "no array that could be codes"),
        (torch.zeros(4, dtype=torch.int64), "no array that could be codes"),
        ([CODES], "no array that could be codes"),
        ({}, "no array that could be codes"),
        (torch.tensor([math.nan]), "NaN"),
        (torch.zeros(2**16 + 1), "65,537 numbers; wanted at most"),
        ({"\x1b[31m": CODES, "<b>": CODES}, "several arrays"),
    ],
    ids=range(11),
)
def test_torch_files_without_one_latent_say_why(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(PackFormatError, match=message) as error:
        read_latent(tmp_path / "x.pt")
    assert str(error.value).startswith("x.pt: ") and str(error.value).isprintable()


def test_numpy_files_without_one_latent_say_why(tmp_path: Path) -> None:
    np.save(tmp_path / "ints.npy", np.arange(16))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=np.zeros(4), b=np.zeros(4))
    with pytest.raises(PackFormatError, match="no array that could be codes"):
        read_latent(tmp_path / "ints.npy")
    with pytest.raises(PackFormatError, match="only plain numbers"):
        read_latent(tmp_path / "objects.npy")
    with pytest.raises(PackFormatError, match="several arrays that could be the latent: a, b"):
        read_latent(tmp_path / "two.npz")


def test_pickles_run_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (marker,))

    torch.save({"w": CODES, "more": Evil()}, tmp_path / "x.pt")
    with pytest.raises(UnsafeCheckpoint, match=r"x\.pt: refused"):
        read_latent(tmp_path / "x.pt")
    assert not marker.exists()


def test_what_is_no_file_of_a_latent(tmp_path: Path) -> None:
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    (tmp_path / "text.npy").write_text("hello")
    with (tmp_path / "large.npy").open("wb") as file:
        file.truncate(latent_files.MAX_FILE_BYTES + 1)
    for name in ("pipe", "pipe.npy", "text.npy", "large.npy", "nowhere.npy", "a\0b", "", "x" * 5000, "\ud800"):
        with pytest.raises(PackFormatError) as error:
            read_latent(tmp_path / name if name else "")
        assert str(error.value).isprintable()


def test_writing_leaves_what_was_there_or_all_of_the_new(tmp_path: Path) -> None:
    with pytest.raises(PackFormatError, match=r"not written as '.txt'; use .npy, .safetensors or .pt"):
        write_latent(LATENT, tmp_path / "w.txt")
    with pytest.raises(PackFormatError, match="cannot be written: No such file"):
        write_latent(LATENT, tmp_path / "nowhere" / "w.npy")
    (tmp_path / "w.npy").mkdir()
    with pytest.raises(PackFormatError, match="cannot be written"):
        write_latent(LATENT, tmp_path / "w.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["w.npy"]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_is_a_clean_error_or_another_latent(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    suffix = data.draw(st.sampled_from([".npy", ".safetensors", ".pt"]))
    path = tmp_path_factory.mktemp("damage") / f"w{suffix}"
    good = latent_bytes(LATENT, suffix)
    place = data.draw(st.integers(0, len(good) - 1))
    changed = data.draw(st.one_of(st.just(None), st.integers(1, 255)))
    path.write_bytes(
        good[:place] if changed is None else good[:place] + bytes([good[place] ^ changed]) + good[place + 1 :]
    )
    try:
        assert math.prod(read_latent(path).shape) <= CODES.numel()
    except (PackFormatError, CheckpointError) as error:
        assert str(error).isprintable()


# The shared set of hostile files, where this machine has it

HOSTILE = Path(os.environ.get("EIGAN_HOSTILE", Path(__file__).parents[2] / "shared/hostile"))
MARKERS = Path("/tmp/eigan-pwned")
READ_ALL = """
import json, resource, sys, time
from eigan import EiganError, read_latent
resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
for path in sys.stdin.read().split("\\0"):
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        outcome = f"read: {read_latent(path)}"
    except EiganError as error:
        outcome = f"refused: {error}"
    except BaseException as error:
        outcome = f"broke: {type(error).__name__}: {error}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps([path, outcome, time.process_time() - began, grown]))
"""


def test_every_hostile_file_is_refused_and_nothing_runs() -> None:
    files = sorted(path for path in HOSTILE.rglob("*") if path.is_file())
    if not files:
        pytest.skip("no hostile files here")
    shutil.rmtree(MARKERS, ignore_errors=True)
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL],
        input="\0".join(map(str, files)),
        cwd=HOSTILE / "pkl",
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == len(files)
    for path, outcome, seconds, megabytes in outcomes:
        assert outcome.startswith("refused: ") and outcome.isprintable(), (path, outcome)
        assert seconds < 5 and megabytes < 200, (path, seconds, megabytes)
    assert not MARKERS.exists()
