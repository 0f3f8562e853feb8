"""Which entry of a torch file is the generator, and what is said beside it."""

from __future__ import annotations

import argparse
import collections
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from eigan.errors import CheckpointError
from eigan.readers import read_checkpoint
from eigan.readers.torch_file import read_tree
from tests.readers.torch_makers import (
    FORMATS,
    OTHER,
    STATE,
    same,
    save,
    weights_of,
)

# Which entry is taken


CHOICES = {
    "rosinality": ({"g": OTHER, "d": OTHER, "g_ema": STATE, "g_optim": {}}, "g_ema"),
    "genforce": ({"generator": OTHER, "discriminator": OTHER, "generator_smooth": STATE}, "generator_smooth"),
    "genforce run": (
        {"models": {"generator": OTHER, "generator_smooth": STATE}, "running_metadata": {"iter": 5}, "optimizers": {}},
        "generator_smooth",
    ),
    "genforce run without average": ({"models": {"generator": STATE, "discriminator": OTHER}}, "generator"),
    "GAN zoo": ({"netG": OTHER, "netD": OTHER, "avgG": STATE}, "avgG"),
    "GAN zoo without average": ({"netG": STATE, "netD": OTHER, "tmp": None}, "netG"),
    "FastGAN": ({"g": STATE, "d": OTHER}, "g"),
    "wrapped": ({"state_dict": STATE, "epoch": 3}, "state_dict"),
    "bare": (STATE, ""),
    "bare, ordered": (collections.OrderedDict(STATE), ""),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", CHOICES)
def test_the_generator_is_found(name: str, form: str, tmp_path: Path) -> None:
    value, entry = CHOICES[name]
    raw = read_checkpoint(save(value, tmp_path / "x.pt", form))
    assert raw.hints["entry"] == entry and same(raw.weights, STATE)


def test_prefixes_and_counters_are_dropped(tmp_path: Path) -> None:
    state = {f"module.{name}": t for name, t in STATE.items()}
    counter = {"module.n.num_batches_tracked": torch.tensor(7), "module.m.module.k": torch.ones(1)}
    assert same(weights_of({"g": state | counter}, tmp_path), STATE | {"m.module.k": torch.ones(1)})


def test_latent_avg_beside_the_generator(tmp_path: Path) -> None:
    found = weights_of({"g_ema": STATE, "latent_avg": torch.ones(5)}, tmp_path)
    assert same(found, STATE | {"latent_avg": torch.ones(5)})


class Block(nn.Module):
    """Parameters and buffers in the order of FastGAN's layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.utils.spectral_norm(nn.Conv2d(2, 3, 3))
        self.noise = nn.Parameter(torch.randn(1))
        self.norm = nn.BatchNorm2d(3)
        self.up = nn.utils.spectral_norm(nn.ConvTranspose2d(3, 2, 2, bias=False))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_fastgan_lists_its_average(form: str, prefix: str, tmp_path: Path) -> None:
    g, average = nn.Sequential(Block(), Block()), nn.Sequential(Block(), Block())
    state = {prefix + name: t for name, t in g.state_dict().items()}
    full = {"g": state, "d": OTHER, "g_ema": [p.data for p in average.parameters()], "opt_g": {}}
    raw = read_checkpoint(save(full, tmp_path / "all_5.pth", form))
    parameters = dict(average.named_parameters())
    wanted = {n: parameters.get(n, t).detach() for n, t in g.state_dict().items() if not n.endswith("tracked")}
    assert raw.hints["entry"] == "g_ema" and same(raw.weights, wanted)
    for wrong in (full["g_ema"][:-1], [*full["g_ema"][:-1], torch.ones(7)], [*full["g_ema"][:-1], 3]):
        with pytest.raises(CheckpointError, match="g_ema"):
            weights_of(full | {"g_ema": wrong}, tmp_path, form)


@pytest.mark.parametrize("form", FORMATS)
def test_training_states_have_settings_and_more(form: str, tmp_path: Path) -> None:
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    value = {
        "g_ema": STATE,
        "args": argparse.Namespace(size=32, lr=0.002, path="/data", wandb=False, lost=None, mixing=(0.5, 0.9)),
        "ada_aug_p": np.float64(0.25),
        "g_optim": optimizer.state_dict() | {"state": {2**47 + 8: {"step": 3}}},  # numbered as before PyTorch 1.6
        "schedule": {"milestones": collections.Counter([2, 2, 3]), "by": collections.defaultdict(dict, a={})},
        "shape": torch.Size([1, 2]),
        "device": torch.device("cuda", 1),
        "dtype": torch.float32,
        "array": np.arange(4.0),
        "names": {"p", "q"},
        "raw": b"\0\xff",
    }
    raw = read_checkpoint(save(value, tmp_path / "x.pt", form))
    assert same(raw.weights, STATE)
    assert {k: v for k, v in raw.hints.items() if k.startswith("args.")} == {
        "args.size": 32, "args.lr": 0.002, "args.path": "/data", "args.wandb": False, "args.lost": None,
        "args.mixing": (0.5, 0.9),
    }  # fmt: skip
    assert raw.hints["ada_aug_p"] == 0.25 and raw.hints["shape"] == (1, 2) and raw.hints["device"] == "cuda:1"


# What is no generator


NO_NAMES = ("../../etc/passwd", "a/b", "a\0b", "<script>", "__class__.x", "x.__init__", "", ".", "a..b", "é", "a" * 201)
WRONG: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "has nothing"),
    "no generator": ({"D": OTHER, "epoch": 3}, "it has D, epoch; wanted one of g_ema"),
    "a list": ([1, 2], "holds a list"),
    "an empty generator": ({"g": {}}, "g: 0 tensors"),
    "a number among weights": ({"g": {"a": 3}}, "g: a is a int; wanted a tensor"),
    "nested weights": ({"g": {"a": {"b": torch.ones(1)}}}, "g: a is a dict"),
    "twice": ({"g": {"a": torch.ones(1), "module.a": torch.ones(1)}}, "with and without the prefix"),
    **{f"the name {name[:20]!r}": ({"g": {name: torch.ones(1)}}, "no weight's name") for name in NO_NAMES},
    "a name of 100 kB": ({"g": {"a" * 100_000: torch.ones(1)}}, "key of type text of 100,000 bytes"),
    "a number as a name": ({"g": {3: torch.ones(1)}}, "no weight's name"),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_generator_is_said(name: str, form: str, tmp_path: Path) -> None:
    value, message = WRONG[name]
    with pytest.raises(CheckpointError, match=message) as caught:
        weights_of(value, tmp_path, form)
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


def test_a_pickled_module_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"refused torch\.nn\.modules\.linear\.Linear.*state_dict"):
        weights_of(nn.Linear(2, 2), tmp_path)


@pytest.mark.parametrize("form", FORMATS)
def test_a_class_of_settings_is_never_looked_for(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class BaseConfig:
        pass

    BaseConfig.__module__, BaseConfig.__qualname__ = "models.utils.config", "BaseConfig"
    for name in ("models", "models.utils", "models.utils.config"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["models.utils.config"].BaseConfig = BaseConfig  # type: ignore[attr-defined]
    config = BaseConfig()
    config.__dict__.update(depthScale0=8, alpha=0.5, depthOtherScales=[4, 2], lossMode="WGANGP", extra={"a": None})
    path = save({"config": config, "netG": OTHER, "avgG": STATE}, tmp_path / "x.pt", form)
    monkeypatch.undo()
    raw = read_checkpoint(path)
    assert same(raw.weights, STATE) and raw.hints == {
        "config.depthScale0": 8, "config.alpha": 0.5, "config.depthOtherScales": (4, 2), "config.lossMode": "WGANGP",
        "config.extra.a": None, "entry": "avgG",
    }  # fmt: skip
    assert read_tree(path)["config"].class_name == "models.utils.config.BaseConfig"
