"""Checkpoint: where it looks, what it recognises, and what building costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from eigan.checkpoint import Checkpoint
from eigan.errors import CheckpointError, HubError
from eigan.readers.safetensors import CONFIG, WEIGHTS, save_generator
from tests.fakehub.server import FakeHub
from tests.readers.makers import snapshot
from tests.toys import toy_generator, toy_pack

ROOT = Path(__file__).parent.parent


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    save_generator(toy_generator(), tmp_path / "made")
    return {name: (tmp_path / "made" / name).read_bytes() for name in (CONFIG, WEIGHTS)}


def test_the_container_does_not_matter(tmp_path: Path) -> None:
    generator = toy_generator()
    (tmp_path / "network.pkl").write_bytes(snapshot(generator))
    for dtype in ("fp16", "fp32"):
        save_generator(generator, tmp_path / dtype, dtype=dtype)  # type: ignore[arg-type]
    opened = [Checkpoint.open(tmp_path / name) for name in ("network.pkl", "fp16", "fp32")]
    assert {c.build().fingerprint for c in opened} == {generator.fingerprint}
    assert [c.container for c in opened] == ["nvidia", "safetensors", "safetensors"]
    assert {str(c.config) for c in opened} == {str(generator.config())}


def test_a_built_generator_uses_the_weights_that_were_read(tmp_path: Path) -> None:
    (tmp_path / "network.pkl").write_bytes(snapshot(toy_generator()))
    checkpoint = Checkpoint.open(tmp_path / "network.pkl")
    generator = checkpoint.build()
    for name, tensor in generator.weights().items():
        assert tensor.data_ptr() == checkpoint.weights[name].data_ptr()
        assert tensor.dtype == torch.float32 and not tensor.requires_grad
    assert not generator.training and generator.source == str(tmp_path / "network.pkl") and generator.revision == ""


def test_missing_and_left_over_weights_are_named(tmp_path: Path) -> None:
    generator = toy_generator()
    (tmp_path / "network.pkl").write_bytes(snapshot(generator))
    checkpoint = Checkpoint.open(tmp_path / "network.pkl")
    weights = dict(checkpoint.weights)
    weights["synthesis.b8.conv9.weight"] = weights.pop("synthesis.b8.conv1.bias")
    with pytest.raises(CheckpointError, match=r"missing synthesis\.b8\.conv1\.bias; unexpected synthesis\.b8\.conv9"):
        Checkpoint(checkpoint.architecture, checkpoint.config, weights, "nvidia", "x").build()


@pytest.mark.parametrize("source", ["", "  ", "nowhere", "a/b/c", "a\0b", "x" * 5000, "../gone.pkl", "~/no such file"])
def test_sources_that_lead_nowhere(source: str) -> None:
    with pytest.raises(CheckpointError, match="bundled"):
        Checkpoint.open(source)


def test_bundled_generators_are_found_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save_generator(toy_generator(), tmp_path / "faces")
    monkeypatch.setenv("EIGAN_DIRECTIONS", str(tmp_path))
    assert Checkpoint.open("faces").verify() == toy_generator().fingerprint
    toy_pack().save(tmp_path / "smiles")
    with pytest.raises(CheckpointError, match="direction pack"):
        Checkpoint.open("smiles")


def test_generators_come_from_the_hub(hub: FakeHub, files: dict[str, bytes]) -> None:
    commit = hub.store.push("acme/faces", {**files, "huge.pkl": b"not wanted"}, tag="v1.0.0")
    checkpoint = Checkpoint.open("acme/faces@v1.0.0")
    assert (checkpoint.source, checkpoint.revision) == ("acme/faces@v1.0.0", commit)
    assert checkpoint.build().revision == commit and checkpoint.verify() == toy_generator().fingerprint
    assert not hub.requests("huge.pkl")
    assert Checkpoint.open("acme/faces@v1.0.0", offline=True).fingerprint == checkpoint.fingerprint


def test_a_named_file_comes_with_its_config(hub: FakeHub, files: dict[str, bytes]) -> None:
    hub.store.push("acme/faces", {f"big/{name}": data for name, data in files.items()})
    assert Checkpoint.open(f"acme/faces:big/{WEIGHTS}").fingerprint == toy_generator().fingerprint


def test_pickles_on_the_hub_are_read_by_the_same_rules(hub: FakeHub) -> None:
    hub.store.push("acme/old", {"network.pkl": snapshot(toy_generator()), "config.json": b"{}"})
    for source in ("acme/old", "acme/old:network.pkl"):
        assert Checkpoint.open(source).build().fingerprint == toy_generator().fingerprint
    hub.store.push("acme/only", {"network.pkl": snapshot(toy_generator())})
    assert Checkpoint.open("acme/only").container == "nvidia"
    hub.store.push("acme/evil", {"network.pkl": b"cos\nsystem\n(S'x'\ntR."})
    with pytest.raises(CheckpointError, match=r"refused os\.system"):
        Checkpoint.open("acme/evil")


def test_one_of_several_checkpoints_is_asked_for_before_anything_is_downloaded(hub: FakeHub) -> None:
    data = snapshot(toy_generator())
    hub.store.push("acme/many", {"a.pkl": data, "old/b.pt": b"not read", "README.md": b"# two"})
    with pytest.raises(HubError, match=r"2 checkpoints, none was downloaded; name one, as acme/many:a\.pkl"):
        Checkpoint.open("acme/many")
    assert not hub.requests("a.pkl") and not hub.requests("b.pt")
    assert Checkpoint.open("acme/many:a.pkl").build().fingerprint == toy_generator().fingerprint


def test_the_only_checkpoint_of_a_repository_may_lie_in_a_folder(hub: FakeHub, files: dict[str, bytes]) -> None:
    hub.store.push("acme/deep", {"nets/ffhq.pkl": snapshot(toy_generator())})
    assert Checkpoint.open("acme/deep").container == "nvidia"
    weights = {"diffusion_pytorch_model.safetensors": files[WEIGHTS], CONFIG: files[CONFIG]}
    hub.store.push("acme/diffusers-like", weights)
    checkpoint = Checkpoint.open("acme/diffusers-like")
    assert checkpoint.verify() == checkpoint.fingerprint == toy_generator().fingerprint


def test_the_hub_says_what_it_lacks(hub: FakeHub) -> None:
    hub.store.push("acme/empty", {"README.md": b"# nothing"})
    with pytest.raises(HubError, match=r"README\.md"):
        Checkpoint.open("acme/empty")
    with pytest.raises(HubError):
        Checkpoint.open("acme/not-there")
    with pytest.raises(HubError, match="offline"):
        Checkpoint.open("acme/empty", offline=True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_weights_are_held_once(tmp_path: Path) -> None:
    """Opening and building a snapshot of 3 x 24 MB takes little more memory than its one generator of 24 MB."""
    make = (
        "import sys, torch\n"
        "from eigan.generators.stylegan2 import StyleGAN2, StyleGAN2Config\n"
        "from tests.readers.makers import dumps, nest\n"
        "channels = {4: 256, 8: 256, 16: 256, 32: 256}\n"
        "g = StyleGAN2(StyleGAN2Config(z_dim=256, c_dim=0, w_dim=256, resolution=32, channels=channels))\n"
        "g.initialize(torch.Generator().manual_seed(0))\n"
        "copies = {name: nest({n: t.clone() for n, t in g.weights().items()}) for name in ('G', 'D', 'G_ema')}\n"
        "open(sys.argv[1], 'wb').write(dumps(copies))\n"
    )
    measure = (
        "import sys\n"
        "from eigan.checkpoint import Checkpoint\n"
        "def peak():\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM')) / 1024\n"
        "before = peak()\n"
        "generator = Checkpoint.open(sys.argv[1]).build()\n"
        "print(peak() - before, sum(t.numel() for t in generator.weights().values()) * 4 / 2**20)\n"
    )
    path, environment = str(tmp_path / "network.pkl"), {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", make, path], check=True, env=environment)
    done = subprocess.run([sys.executable, "-c", measure, path], check=True, env=environment, capture_output=True)
    grown, weights = map(float, done.stdout.split())
    assert weights > 20
    assert grown < 1.5 * weights
