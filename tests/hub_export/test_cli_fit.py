"""hub-export fit: what it writes, what it refuses before it works, and what Ctrl-C and a full disk leave."""

from __future__ import annotations

import errno
import importlib
import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

import hub_export.cli_fit as cli_fit
from eigan.errors import EiganError, FitError, FitInterrupted, UnknownName
from eigan.format import read_extras, read_pack, save_pack
from eigan.pack import MadeFor
from hub_export.cli import app
from hub_export.previews import CONTACT_SHEET
from tests.toys import toy_generator, toy_pack

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLES = 9000


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["fit", *map(str, arguments)])


def refused(*arguments: object) -> EiganError:
    result = run(*arguments)
    assert isinstance(result.exception, EiganError), (result.output, result.exception)
    return result.exception


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def names_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def options(toy_folder: Path, tmp_path: Path) -> list[object]:
    """A quick fit into tmp_path/work/out."""
    (tmp_path / "work").mkdir()
    return ["--generator", toy_folder, "--out", tmp_path / "work/out", "--num-samples", SAMPLES, "--no-previews"]


def test_a_folder_with_everything(toy_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "packs" / "toy-sefa"
    result = run(
        *("--generator", toy_folder, "--out", out, "--method", "sefa", "--layers", "2-4", "-o", "normalize=none"),
        *("--num-directions", 4, "--seed", 5, "--license", "cc0-1.0", "--num-samples", 500),
    )
    assert result.exit_code == 0, result.exception
    pack, extras = read_pack(out), read_extras(out)
    assert (pack.name, pack.license, len(pack)) == ("toy-sefa", "cc0-1.0", 4)
    assert pack.method["normalize"] == "none"
    assert pack.made_for.source == str(toy_folder)
    assert set(extras) == {CONTACT_SHEET, "README.md", "CHANGELOG.md", *(f"previews/{d.name}.webp" for d in pack)}
    assert b"4 directions fitted with sefa" in extras["CHANGELOG.md"]
    assert b"sefa-00" in extras["README.md"]
    assert [p.name for p in out.parent.iterdir()] == ["toy-sefa"]
    words = " ".join(result.stdout.split())
    assert "sefa-00" in words
    assert f"hub-export publish {out} --repo" in words


def test_the_card_shows_how_training_went(toy_folder: Path, tmp_path: Path) -> None:
    options = ("-o", "iterations=4", "-o", "batch=2", "-o", "stage=b4")
    result = run(
        *("--generator", toy_folder, "--out", tmp_path / "out", "--method", "latentclr", *options),
        *("--num-directions", 2, "--num-samples", 500),
    )
    assert result.exit_code == 0, result.exception
    extras = read_extras(tmp_path / "out")
    assert b"plot-learning.webp" in extras["README.md"]
    assert extras["previews/plot-learning.webp"][:4] == b"RIFF"


def test_the_same_command_gives_the_same_bytes(options: list[object], tmp_path: Path) -> None:
    out = tmp_path / "work/out"
    assert run(*options).exit_code == 0
    first = contents(out)
    assert run(*options, "--batch-size", 1000).exit_code == 0  # an earlier fit is replaced
    assert contents(out) == first
    assert names_in(tmp_path / "work") == ["out"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "pcaa"], "unknown method 'pcaa'; known: "),
        (["--method", "pcaa", "-o", "normalize=none"], "unknown method"),
        (["-o", "normalize=none"], "normalize means nothing to it"),
        (["--method", "sefa", "-o", "normalize=rows"], "normalize is 'rows'"),
        (["--layers", "50-60"], "layers 50-60 do not exist; this generator has layers 0-7"),
        (["--layers", "head"], "cannot read layers 'head'"),
        (["--num-directions", "17"], "17 directions asked for"),
        (["--num-samples", "10"], "10 samples cannot tell 16 directions apart"),
        (["--class", "1"], "has no classes"),
        (["--device", "cuda:77"], "device 'cuda:77' cannot be used here"),
        (["--device", "abacus"], "device 'abacus' cannot be used here"),
        (["--resume"], "nothing to resume"),
        (["--name", "x" * 81], "pack name has 81 characters"),
        (["--generator", "no/such@place/at all"], "no/such@place/at all"),
    ],
)
def test_mistakes_leave_nothing(options: list[object], tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in str(refused(*options, *arguments))
    assert list((tmp_path / "work").iterdir()) == []


def test_a_text_file_is_no_generator(options: list[object], tmp_path: Path) -> None:
    fake = tmp_path / "network.pkl"
    fake.write_text("these are not weights")
    assert "network.pkl" in str(refused(*options, "--generator", fake))
    assert list((tmp_path / "work").iterdir()) == []


def no_generator(*arguments: object, **keywords: object) -> None:
    pytest.fail("the folder should have been refused before the generator was opened")


def test_folders_that_are_not_ours_are_refused_first(
    options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_fit, "load_generator", no_generator)
    out = tmp_path / "work/out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    before = contents(out)
    assert "holds other files" in str(refused(*options))
    assert contents(out) == before
    assert "is a file" in str(refused(*options, "--out", out / "thesis.tex"))
    assert "cannot be written: Not a directory" in str(refused(*options, "--out", out / "thesis.tex" / "deep"))


@pytest.mark.parametrize("change", ["named", "poles", "presets", "published", "damaged"])
def test_packs_that_people_worked_on_are_refused_first(
    options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    out = tmp_path / "work/out"
    assert run(*options).exit_code == 0
    pack = read_pack(out)
    first, *others = pack.directions
    if change == "named":
        pack = replace(pack, directions=(replace(first, name="smile"), *others))
    elif change == "poles":
        pack = replace(pack, directions=(replace(first, poles=("sad", "happy")), *others))
    elif change == "presets":
        made_for = MadeFor.describe(toy_generator())
        pack = replace(toy_pack(), made_for=made_for)
    elif change == "published":
        pack = pack.with_version("1.0.0")
    save_pack(pack, out)
    if change == "damaged":
        (out / "directions.safetensors").write_bytes(b"")
    before = contents(out)
    monkeypatch.setattr(cli_fit, "load_generator", no_generator)
    message = "damaged pack" if change == "damaged" else "named, given presets or published"
    assert message in str(refused(*options))
    assert contents(out) == before


def test_a_folder_that_cannot_be_written_is_refused_first(
    options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(cli_fit.tempfile, "TemporaryDirectory", read_only)
    monkeypatch.setattr(cli_fit, "load_generator", no_generator)
    assert "Read-only file system" in str(refused(*options))


def test_a_full_disk_leaves_nothing_half_written(
    options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, real = tmp_path / "work", Path.write_bytes

    def write_bytes(self: Path, data: bytes) -> int:
        if self.name == "README.md":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        error = refused(*options)
    assert "No space left on device" in str(error)
    assert "--resume" in str(error)
    assert names_in(work) == ["out.fit-state.safetensors"]
    assert run(*options, "--resume").exit_code == 0
    assert names_in(work) == ["out"]


def interrupt_at(monkeypatch: pytest.MonkeyPatch, what: str, done: int) -> None:
    """Ctrl-C at the first report of `what` at or after `done`."""
    real = cli_fit.progress_bar

    def progress_bar(console: object):  # type: ignore[no-untyped-def]
        bars = real(console)  # type: ignore[arg-type]
        entered = bars.__enter__()

        class Bars:
            def __enter__(self):  # type: ignore[no-untyped-def]
                def report(reached: int, total: int, doing: str) -> None:
                    entered(reached, total, doing)
                    if doing == what and reached >= done:
                        raise KeyboardInterrupt

                return report

            def __exit__(self, *error: object) -> None:
                bars.__exit__(*error)  # type: ignore[arg-type]

        return Bars()

    monkeypatch.setattr(cli_fit, "progress_bar", progress_bar)


@pytest.mark.parametrize(("what", "done"), [("sampling", 3000), ("sampling", SAMPLES), ("previews", 2)])
def test_ctrl_c_and_the_command_that_it_prints(
    toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, done: int
) -> None:
    work = tmp_path / "a folder"
    work.mkdir()
    given = ["--generator", toy_folder, "--out", work / "out", "--num-samples", SAMPLES, "--num-directions", 5]
    given += ["--token", "hf_secret"]
    with monkeypatch.context() as patch:
        interrupt_at(patch, what, done)
        stopped = refused(*given, "--batch-size", 1000)
    assert isinstance(stopped, FitInterrupted)
    assert names_in(work) == ["out.fit-state.safetensors"]
    assert "hf_secret" not in str(stopped)
    command = shlex.split(str(stopped).split("Go on with: ")[1])
    assert command[:2] == ["hub-export", "fit"]
    assert command[-1] == "--resume"

    assert "add --resume to go on" in str(refused(*given))  # samples are not overwritten by accident
    assert run(*command[2:]).exit_code == 0
    assert names_in(work) == ["out"]
    resumed = contents(work / "out")
    assert run(*given, "--out", tmp_path / "out").exit_code == 0
    assert contents(tmp_path / "out") == resumed


def test_ctrl_c_while_the_method_solves(options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(matrix: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch.linalg, "eigh", interrupted)
        stopped = str(refused(*options))
    assert f"stopped while pca was solving, after {SAMPLES:,} of {SAMPLES:,} samples; they are kept in" in stopped
    assert run(*shlex.split(stopped.split("Go on with: ")[1])[2:]).exit_code == 0
    assert names_in(tmp_path / "work") == ["out"]


@pytest.mark.parametrize("suffix", ["", ".method"])
def test_either_state_is_seen_and_removed(options: list[object], tmp_path: Path, suffix: str) -> None:
    """Also what the method kept while its samples are gone: refused, unless resumed; damaged, told."""
    state = cli_fit.state_path(tmp_path / "work/out").with_suffix(f"{suffix}.safetensors")
    state.write_bytes(b"half of it")
    assert f"{state}: kept by an interrupted fit; add --resume" in str(refused(*options))
    assert "holds nothing to resume from" in str(refused(*options, "--resume"))
    assert names_in(tmp_path / "work") == [state.name]
    state.unlink()
    assert run(*options).exit_code == 0


def test_a_state_of_another_recipe_is_refused(
    options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, "sampling", 3000)
        refused(*options, "--batch-size", 1000)
    assert "gathered with seed 0; this fit has 1" in str(refused(*options, "--seed", 1, "--resume"))
    assert run(*options, "--resume").exit_code == 0


def test_a_recipe_file_is_part_of_the_command_that_goes_on(
    options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "my recipe.toml"
    recipe.write_text('method = "sefa"\nseed = 3\nname = "mine"\nlicense = "mit"\nnormalize = "none"\n')
    given = [recipe, *options, "--seed", 0]  # which counts more than the file, though it is the default
    with monkeypatch.context() as patch:
        interrupt_at(patch, "sampling", 3000)
        command = shlex.split(str(refused(*given, "--batch-size", 1000)).split("Go on with: ")[1])
    assert str(recipe) in command
    assert run(*command[2:]).exit_code == 0
    pack = read_pack(tmp_path / "work/out")
    assert (pack.name, pack.license, pack.method["seed"], pack.method["normalize"]) == ("mine", "mit", 0, "none")


def test_a_log_stays_short(options: list[object], tmp_path: Path) -> None:
    """Progress on what is no terminal: a line for each phase, not one for each update."""
    result = run(*options, "--batch-size", 1)
    assert result.exit_code == 0
    assert "sampling" in result.stderr
    assert len(result.stderr.splitlines()) <= 3


def test_ctrl_c_before_the_first_sample(options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("hub_export.fit"), "over_w", interrupted)
    stopped = refused(*options)
    assert "nothing was kept" in str(stopped)
    assert "Go on with" not in str(stopped)
    assert names_in(tmp_path / "work") == []


def test_a_kept_changelog_stays(options: list[object], tmp_path: Path) -> None:
    out = tmp_path / "work/out"
    assert run(*options).exit_code == 0
    extras = {**read_extras(out), "CHANGELOG.md": b"# Changelog\n\n## Unreleased\n\n- mine\n"}
    save_pack(read_pack(out), out, extras)
    assert run(*options, "--seed", 1).exit_code == 0
    assert read_extras(out)["CHANGELOG.md"] == extras["CHANGELOG.md"]


def test_errors_are_of_the_kinds_that_main_foresees() -> None:
    assert issubclass(FitInterrupted, FitError)
    assert issubclass(UnknownName, EiganError)
