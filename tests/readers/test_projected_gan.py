"""Snapshots whose modules are pickled by class: genuine ones, every protocol, and those that ask for more."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from eigan.checkpoint import recognize
from eigan.errors import CheckpointError, UnsafeCheckpoint
from eigan.readers import nvidia
from eigan.readers.allowed_modules import CLASSES
from eigan.readers.unpickler import REMEDY
from tests import official_fastgan
from tests.official_fastgan import FastganSynthesis, Generator, trained
from tests.parity.folders import folders
from tests.readers.makers import Call, dumps

FOLDERS = folders("projgan-*")


def read(data: bytes, tmp_path: Path) -> Any:
    (tmp_path / "network.pkl").write_bytes(data)
    return nvidia.read(tmp_path / "network.pkl")


def plain(module: str, name: str, *args: Any, state: Any = None) -> Call:
    """An instance of a class, written by name."""
    call = Call(module, name, *args)
    given = {"_parameters": {}, "_buffers": {}, "_modules": {}} if state is None else state
    call.__class__ = type("Instance", (Call,), {"__reduce__": lambda self: (self.function, self.args, given)})
    return call


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
def test_genuine_snapshots(folder: Path) -> None:
    raw = nvidia.read(folder / "network.pkl")
    assert raw.container == "nvidia" and raw.hints["class_name"] == "Generator"
    assert raw.hints["img_resolution"] == 256 and str(raw.hints["synthesis.class_name"]).startswith("FastganSynthesis")
    assert "synthesis.init.init.0.weight_orig" in raw.weights


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_every_protocol_and_the_averaged_generator_alone(
    protocol: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    official_fastgan.install(monkeypatch)
    networks = [trained(FastganSynthesis(128, ngf=2, blocks="big", official=False)) for _ in range(2)]
    g, averaged = (Generator(network) for network in networks)  # type: ignore[arg-type]
    g.synthesis.to_big.bias.fill_(7.0)  # type: ignore[union-attr, operator]
    progress = {"cur_nimg": torch.LongTensor([3]), "best_fid": 9999}
    data = pickle.dumps({"G": g, "D": None, "G_ema": averaged, "progress": progress}, protocol)
    raw = read(data, tmp_path)
    assert all(torch.equal(raw.weights[name], tensor) for name, tensor in averaged.state_dict().items())
    assert recognize(raw, "network.pkl").build().describe().startswith("fastgan 128px")


@pytest.mark.parametrize("module", CLASSES)
def test_classes_become_records_and_nothing_else(module: str, tmp_path: Path) -> None:
    for name in CLASSES[module].split():
        raw = read(dumps({"G_ema": plain(module, name)}), tmp_path)
        assert raw.hints["class_name"] == name and not raw.weights


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("pg_modules.blocks", "Interpolate"),
        ("pg_modules.blocks", "os"),
        ("torch.nn.modules.module", "register_module_forward_hook"),
        ("torch.nn.utils.spectral_norm", "spectral_norm"),
        ("torch.nn.modules.lazy", "LazyModuleMixin"),
        ("pg_modules", "blocks.GLU"),
    ],
)
def test_other_names_of_the_same_modules_are_refused(module: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match="not on the weights allow-list"):
        read(dumps({"G_ema": plain(module, name)}), tmp_path)


def test_classes_are_not_called_with_arguments(tmp_path: Path) -> None:
    for args in ((1,), ({"training": True},), ("x", "y")):
        with pytest.raises(UnsafeCheckpoint, match=r"refused torch\.nn\.modules\.linear\.Linear\("):
            read(dumps({"G_ema": plain("torch.nn.modules.linear", "Linear", *args)}), tmp_path)


def test_attributes_are_set_from_a_dict_alone(tmp_path: Path) -> None:
    for state in (({}, {"slot": 1}), [1], "x", 5):
        with pytest.raises(UnsafeCheckpoint, match="refused to set the state of a GLU"):
            read(dumps({"G_ema": plain("pg_modules.blocks", "GLU", state=state)}), tmp_path)


def test_reconstruction_takes_listed_classes_of_plain_objects_alone(tmp_path: Path) -> None:
    def pickled(kind: bytes, base: bytes, value: bytes = b"N") -> bytes:
        return b"(dS'G_ema'\nccopy_reg\n_reconstructor\n(c" + kind + b"c" + base + value + b"tRs."

    glu, plain_object, mapping = b"pg_modules.blocks\nGLU\n", b"__builtin__\nobject\n", b"__builtin__\ndict\n"
    with pytest.raises(CheckpointError, match="no _parameters"):  # it was made, and has no attributes
        read(pickled(glu, plain_object), tmp_path)
    for data in (
        pickled(glu, mapping),
        pickled(glu, plain_object, b"(d"),
        pickled(b"collections\nOrderedDict\n", plain_object),
        pickled(plain_object, plain_object),
    ):
        with pytest.raises(UnsafeCheckpoint, match="refused"):
            read(data, tmp_path)


def test_a_module_inside_itself_is_refused(tmp_path: Path) -> None:
    glu = b"cpg_modules.blocks\nGLU\n)\x81q\x00"
    inner = (
        b"}(X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_buffers}X\x08\x00\x00\x00_modules}X\x01\x00\x00\x00ah\x00su"
    )
    with pytest.raises(CheckpointError, match="nested deeper"):
        read(b"\x80\x02}X\x05\x00\x00\x00G_ema" + glu + inner + b"bs.", tmp_path)


def test_unknown_modules_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint) as refused:
        read(dumps({"G_ema": plain("my_fork.networks", "Generator")}), tmp_path)
    assert "my_fork.networks.Generator" in str(refused.value) and REMEDY in str(refused.value)
