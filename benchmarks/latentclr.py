"""One training iteration of LatentCLR, two ways: as its released code works, and as eigan's method does.

    python -m benchmarks.latentclr                      # about two minutes on two cores

Reference, restated in our own words (catlab-team/latentclr f02a70d over rosinality's StyleGAN2): every sample gets its
own modulated and demodulated copy of the weights and its own group of one grouped convolution; the generator is in
evaluation mode but not frozen, so that gradients of its weights are computed, and added up, for nothing; K separate
networks; a loss that goes through the directions one by one with masks; Adam. It already stops at the feature layer
(conv1). Kinder to the reference than its code: the mapping network is run under no_grad for both sides.

Ours: `hub_export.contrast.training.Trainer.step`, as the method calls it. Same weights (StyleGAN2-256, random), same
codes, same parameters of the direction networks; first the gradients of one step are compared, then both train on, in
turns A B B A. The memory of K = 100, batch 8, nonlinear is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.machine import MIB, machine, peak_memory, reset_peak
from eigan.generators.layers import EqualizedLinear
from eigan.generators.stylegan2 import StyledConv, StyleGAN2
from eigan.generators.stylegan2_config import StyleGAN2Config
from eigan.layers import LayerRange
from hub_export.contrast.crew import Crew, crew_for
from hub_export.contrast.features import FeaturePass
from hub_export.contrast.loss import Contrast
from hub_export.contrast.networks import Networks
from hub_export.contrast.training import Settings, State, Trainer

RESULTS = Path(__file__).parent / "results"
CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}  # rosinality's, multiplier 2
ORDER = ("ours", "reference", "reference", "ours")
OURS_STEPS = 5  # for each one of the reference's: they are short
MODELS = ("global", "linear", "nonlinear")
ALPHA, RATE, DECAY = 1.0, 1e-3, 1e-3


def random_generator() -> StyleGAN2:
    config = StyleGAN2Config(z_dim=512, c_dim=0, w_dim=512, resolution=256, channels=CHANNELS, num_mapping_layers=8)
    generator = StyleGAN2(config)
    random = torch.Generator().manual_seed(0)
    generator.initialize(random)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.1)
    return generator.eval()


def make_trainer(kind: str, count: int, batch: int, crew: Crew, generator: StyleGAN2 | None = None) -> Trainer:
    generator = generator or random_generator()
    settings = Settings(
        contrast=Contrast("code", 0.5),
        alpha=ALPHA,
        batch=batch,
        iterations=10_000,
        learning_rate=RATE,
        weight_decay=DECAY,
        milestones=(1000, 5000),
        gamma=0.2,
        memory=4096,
        seed=0,
    )
    networks = Networks(kind, count, 512, 3, torch.device("cpu"))  # type: ignore[arg-type]
    networks.initialize(torch.Generator().manual_seed(1))
    features = FeaturePass(generator, generator.stages[:1], LayerRange(0, generator.num_layers))  # b4 ends in conv1
    return Trainer(features, settings, networks, crew)


class ModulatedGroups(nn.Module):
    """conv1 with weights of its own for every sample, in one grouped convolution; noise, bias, leaky ReLU."""

    def __init__(self, layer: StyledConv, const: Tensor):
        super().__init__()
        affine: EqualizedLinear = layer.affine
        self.const = nn.Parameter(const.detach().clone()[None])
        self.weight = nn.Parameter(layer.weight.detach().clone()[None])  # (1, O, I, 3, 3)
        self.scale = 1 / math.sqrt(layer.weight[0].numel())
        self.style_weight = nn.Parameter(affine.weight.detach().clone())
        self.style_bias = nn.Parameter(affine.bias.detach().clone())
        self.noise_weight = nn.Parameter(layer.noise_strength.detach().clone())
        self.register_buffer("noise", layer.noise_const.detach().clone())
        self.bias = nn.Parameter(layer.bias.detach().clone())

    def forward(self, w: Tensor) -> Tensor:
        count, (_, outputs, inputs, height, width) = len(w), self.weight.shape
        x = self.const.repeat(count, 1, 1, 1)
        style = F.linear(w, self.style_weight / math.sqrt(w.shape[1]), self.style_bias)
        weight = self.scale * self.weight * style.view(count, 1, inputs, 1, 1)
        demodulation = torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8)
        weight = weight * demodulation.view(count, outputs, 1, 1, 1)
        weight = weight.view(count * outputs, inputs, height, width)
        y = F.conv2d(x.view(1, count * inputs, 4, 4), weight, padding=1, groups=count).view(count, outputs, 4, 4)
        y = y + self.noise_weight * self.noise
        return F.leaky_relu(y + self.bias.view(1, -1, 1, 1), 0.2) * math.sqrt(2)


class ReferenceDirections(nn.Module):
    """K modules, asked one after the other: a vector, an affine map, or Linear-BN-ReLU twice and a linear layer."""

    def __init__(self, networks: Networks):
        super().__init__()
        self.kind, self.parts = networks.kind, networks.parts
        self.nets = nn.ModuleList([self._net(networks, k) for k in range(networks.count)])

    def _net(self, networks: Networks, k: int) -> nn.Module:
        own = {p.name: networks.values[k, p.start : p.stop].view(p.shape).clone() for p in networks.parts}
        if networks.kind == "global":
            return nn.ParameterList([nn.Parameter(own["direction"])])
        layers: list[nn.Module] = []
        for j in range(1 + networks.means.shape[1]):
            layers.append(nn.Linear(networks.size, networks.size, bias=f"bias_{j}" in own))
            if f"scale_{j}" in own:
                layers += [nn.BatchNorm1d(networks.size), nn.ReLU()]
        net = nn.Sequential(*layers)
        with torch.no_grad():
            for parameter, part in zip(net.parameters(), networks.parts, strict=True):
                parameter.copy_(own[part.name])
        return net

    def forward(self, w: Tensor) -> Tensor:
        moved = []
        for net in self.nets:
            found = net[0].expand_as(w) if isinstance(net, nn.ParameterList) else net(w)
            moved.append(w + ALPHA * found / found.norm(dim=1, keepdim=True))
        return torch.cat(moved)  # (K N, D), direction-major


class Reference:
    """One iteration after the other, of the same draws as `trainer`'s."""

    def __init__(self, trainer: Trainer):
        block = trainer.generator.stages[0]
        self.generator = ModulatedGroups(block.conv1, block.const).eval()  # type: ignore[attr-defined]
        self.directions = ReferenceDirections(trainer.networks).train()
        self.optimizer = torch.optim.Adam(self.directions.parameters(), lr=RATE, weight_decay=DECAY)
        self.trainer, self.iteration = trainer, 0

    def backward(self) -> float:
        w = self.trainer.draw(self.iteration).codes[:, 0]
        count = len(self.directions.nets)
        origin = F.normalize(self.generator(w).flatten(1), dim=1)
        moved = F.normalize(self.generator(self.directions(w)).flatten(1), dim=1)
        loss = loop_loss(moved - origin.repeat(count, 1), count)
        self.optimizer.zero_grad()
        loss.backward()
        return float(loss.detach())

    def step(self) -> None:
        self.backward()
        self.optimizer.step()
        self.iteration += 1


def loop_loss(divergences: Tensor, count: int) -> Tensor:
    """Direction after direction: similarities of its rows with all rows, positives and negatives picked by masks."""
    rows = F.normalize(divergences, dim=1)
    samples = len(rows) // count
    losses = []
    for k in range(count):
        own = torch.zeros(len(rows), dtype=torch.bool)
        own[k * samples : (k + 1) * samples] = True
        likeness = torch.exp((rows[own] @ rows.t()).abs() * 0.5)  # (N, K N)
        apart = ~torch.eye(samples, dtype=torch.bool)
        positive = likeness[:, own][apart].view(samples, -1).mean(dim=1)
        negative = likeness[:, ~own].mean(dim=1)
        losses.append(-torch.log(positive / negative))
    return torch.cat(losses).mean()


def gradient_difference(trainer: Trainer, reference: Reference) -> tuple[float, float]:
    """Of the first iteration: |ours - theirs| / |theirs| over all parameters of the directions, and of the losses."""
    theirs_loss = reference.backward()
    theirs = torch.cat([p.grad.flatten() for p in reference.directions.parameters() if p.grad is not None])
    drawn = trainer.draw(0)
    tape = trainer.networks.forward(slice(0, trainer.networks.count), trainer.origins(drawn))
    score, gradient = trainer.slopes(drawn, tape.units.detach())
    slopes = torch.autograd.grad(tape.units, tape.leaves, gradient)
    ours = torch.cat([slope.flatten(1) for slope in slopes], dim=1).flatten()  # network after network, as theirs
    return float((ours - theirs).norm() / theirs.norm()), abs(float(score.loss) - theirs_loss)


def compare(kind: str, count: int, batch: int, rounds: int) -> dict[str, Any]:
    """Seconds of an iteration, wall and processor, of both sides in turns."""
    with crew_for(torch.device("cpu")) as crew:
        trainer = make_trainer(kind, count, batch, crew)
        reference = Reference(trainer)
        difference, losses = gradient_difference(trainer, reference)
        state = State(trainer.networks, torch.zeros(10_000), torch.zeros(10_000))

        def ours() -> None:
            for _ in range(OURS_STEPS):
                trainer.step(state)

        sides: dict[str, tuple[Callable[[], None], int]] = {
            "ours": (ours, OURS_STEPS),
            "reference": (reference.step, 1),
        }
        for work, _ in sides.values():
            work()  # caches, pages
        runs = []
        for side in ORDER * rounds:
            work, steps = sides[side]
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            runs.append({"side": side, "seconds": wall / steps, "cpu_seconds": cpu / steps})
    return {"gradient_difference": difference, "loss_difference": losses, "runs": runs}


def measure_memory(kind: str, count: int, batch: int, rounds: int) -> dict[str, Any]:
    """Peak above what the process has with the generator loaded, of two iterations."""
    generator = random_generator()
    with crew_for(torch.device("cpu")) as crew:
        reset_peak()
        base, start = peak_memory(), time.perf_counter()
        trainer = make_trainer(kind, count, batch, crew, generator)
        state = State(trainer.networks, torch.zeros(10_000), torch.zeros(10_000))
        for _ in range(2):
            trainer.step(state)
        return {
            "model": kind,
            "k": count,
            "batch": batch,
            "peak_mib_above_base": (peak_memory() - base) / MIB,
            "parameters_and_moments_mib": 3 * trainer.networks.values.numel() * 4 / MIB,
            "seconds_with_start": time.perf_counter() - start,
        }


TASKS: dict[str, Callable[[str, int, int, int], dict[str, Any]]] = {"compare": compare, "memory": measure_memory}


def run_task(task: str, kind: str, count: int, batch: int, options: argparse.Namespace) -> Any:
    """The task's result, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.latentclr", "--task", task, "--result", str(file)]
        command += ["--model", kind, "--k", str(count), "--batch", str(batch), "--rounds", str(options.rounds)]
        command += ["--threads", str(options.threads)]
        threads = {name: str(options.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        subprocess.run(command, check=True, env=os.environ | threads, cwd=Path(__file__).parent.parent)
        return json.loads(file.read_text())


def summarise(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of both sides and their ratios."""
    summary: dict[str, Any] = {}
    for key in ("seconds", "cpu_seconds"):
        medians = {side: statistics.median(r[key] for r in runs if r["side"] == side) for side in ("reference", "ours")}
        summary[key] = medians | {"ratio": medians["reference"] / medians["ours"]}
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="nonlinear")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3, help="times the order A B B A is run")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, default=RESULTS / f"latentclr-{date.today()}.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.task:
        options.result.write_text(
            json.dumps(TASKS[options.task](options.model, options.k, options.batch, options.rounds))
        )
        return

    described = machine(options.threads)
    found = run_task("compare", options.model, options.k, options.batch, options)
    for run in found["runs"]:
        print(f"{run['side']:9s} {1e3 * run['seconds']:8.1f} ms, {1e3 * run['cpu_seconds']:8.1f} ms of processor")
    summary = summarise(found["runs"])
    wall, processor = summary["seconds"]["ratio"], summary["cpu_seconds"]["ratio"]
    print(f"ratio: {wall:.1f} in wall time, {processor:.1f} in processor time", flush=True)
    print(f"gradients differ by {found['gradient_difference']:.1e}, losses by {found['loss_difference']:.1e}")
    memory = run_task("memory", "nonlinear", 100, 8, options)
    print(f"k 100, batch 8, nonlinear: peak {memory['peak_mib_above_base']:.0f} MiB above base; parameters and "
          f"Adam's moments {memory['parameters_and_moments_mib']:.0f}")  # fmt: skip
    record = {"benchmark": "latentclr", "date": str(date.today()), "model": options.model, "k": options.k}
    record |= {"batch": options.batch, "layer": "conv1", "machine": described, "summary": summary}
    record |= {"memory": memory, **found}
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {options.result}")


if __name__ == "__main__":
    main()
