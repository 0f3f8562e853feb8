"""Train the demo generator: `python -m examples.demo_generator.train --data DATA --regressor REG --out OUT`.

Phase A (warm start): every picture's factors are known, so its latent is; the generator learns to draw picture i from
latent i. Phase B: non-saturating adversarial loss with lazy R1 (Karras et al., CVPR 2020) on known and fresh latents,
and the phase A loss on the known ones. The budget is wall clock; `--resume` goes on where a checkpoint stopped.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from eigan.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from examples.demo_generator import attributes
from examples.demo_generator.data import load_split, to_tensor
from examples.demo_generator.export import export, measure_w_avg
from examples.demo_generator.latents import latents_of
from examples.demo_generator.networks import Discriminator
from hub_export.evaluation.attributes import AttributeNetwork

R1_EVERY = 16
SHEET_SEED, SHEET_ROWS, SHEET_COLUMNS = 7, 8, 12


@dataclass(frozen=True)
class Settings:
    """Everything that decides the result, besides the data. Minutes are wall clock, both phases together."""

    minutes: float = 78.0
    warmup_minutes: float = 22.0
    sheet_minutes: float = 5.0
    warmup_batch: int = 8  # many small steps: the warm start is short of steps, not of pictures
    batch: int = 16
    channels: tuple[int, ...] = (128, 128, 128, 64, 32)  # at 4, 8, 16, ... pixels
    w_dim: int = 128
    num_mapping_layers: int = 4
    mapping_lr_multiplier: float = 1.0  # the warm start has to shape the mapping quickly; `export` folds it away
    warmup_lr: float = 5e-3
    adversarial_lr: float = 2e-3
    adversarial_mapping_lr: float = 6e-4  # the mapping has learnt its shape by then
    r1_gamma: float = 0.1
    mixing: float = 0.3  # probability that a fresh latent shares the layers with another one
    reconstruction: float = 4.0  # weight in phase B, halved by its end
    edges: float = 1.0
    features: float = 0.15
    attributes: float = 1.0
    ema_kimg: float = 5.0  # half-life
    decay: float = 0.3  # last part of the budget over which the learning rate falls
    seed: int = 0


def face_weights(size: int) -> Tensor:
    """(1, 1, size, size), mean 1: eyes and mouth are small and count three times as much as the border."""
    line = (torch.arange(size) + 0.5) / size
    distance = (line[None, :] - 0.5).square() + (line[:, None] - 0.54).square()
    weights = 1 + 2 * torch.exp(-distance / (2 * 0.2**2))
    return (weights / weights.mean())[None, None]


class Likeness(nn.Module):
    """How far drawn pictures are from the true ones: pixels at three scales, edges, what the regressor sees.

    Pixels alone teach pose, light and hair, and hardly glasses or a smile: these move few pixels, and the regressor,
    which ignores everything else, points straight at them.
    """

    def __init__(self, regressor: AttributeNetwork | None, settings: Settings, size: int):
        super().__init__()
        self.regressor, self.settings = regressor, settings
        self.register_buffer("weights", face_weights(size))

    def forward(self, drawn: Tensor, true: Tensor) -> Tensor:
        difference = drawn - true
        loss = (difference.abs() * self.weights).mean()
        loss = loss + F.avg_pool2d(difference, 2).abs().mean() + F.avg_pool2d(difference, 4).abs().mean()
        across, down = difference.diff(dim=3), difference.diff(dim=2)
        edges = (across.abs() * self.weights[..., 1:]).mean() + (down.abs() * self.weights[..., 1:, :]).mean()
        loss = loss + self.settings.edges * edges
        return loss if self.regressor is None else loss + self.perceived(self.regressor, drawn, true)

    def perceived(self, regressor: AttributeNetwork, drawn: Tensor, true: Tensor) -> Tensor:
        """Difference of feature maps and of attributes; those the regressor cannot read count nothing."""
        with torch.autocast(drawn.device.type, torch.bfloat16):
            with torch.no_grad():
                wanted = regressor.feature_maps(true)
            seen = regressor.feature_maps(drawn)
            features = sum((a - b).abs().float().mean() for a, b in zip(seen, wanted, strict=True))
        with torch.no_grad():
            wish = regressor.read(wanted[-1])
        errors = (regressor.read(seen[-1]) - wish).square() * regressor.r2.clamp(min=0)
        return self.settings.features * features + self.settings.attributes * errors.mean()


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """R1 of real pictures: mean squared norm of d logit / d picture (Mescheder et al., ICML 2018)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3)).mean()


def set_learning_rates(optimiser: torch.optim.Optimizer, *rates: float) -> None:
    """One rate for each group of parameters."""
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        group["lr"] = rate


class Trainer:
    """Networks, optimisers and counters of one run; `state_dict` holds all of it."""

    def __init__(self, settings: Settings, data: Path, regressor: AttributeNetwork | None, device: torch.device):
        self.settings, self.device = settings, device
        known = load_split(data, "train")
        self.images = known.images
        size = self.images.shape[1]
        straight, mirrored = latents_of(known.names, known.values)
        self.latents = torch.from_numpy(np.stack([straight, mirrored])).to(device)  # (2, N, z_dim)
        self.rng = np.random.default_rng(settings.seed)
        torch.manual_seed(settings.seed)  # a script owns the global generator

        channels = {4 * 2**i: width for i, width in enumerate(settings.channels)}
        config = StyleGAN2Config(
            z_dim=self.latents.shape[2],
            c_dim=0,
            w_dim=settings.w_dim,
            resolution=size,
            channels=channels,
            num_mapping_layers=settings.num_mapping_layers,
            mapping_lr_multiplier=settings.mapping_lr_multiplier,
            use_noise=False,
        )
        generator = StyleGAN2(config)
        generator.initialize(torch.Generator().manual_seed(settings.seed))
        self.average = copy.deepcopy(generator).to(device).eval().requires_grad_(False)
        self.generator = generator.to(device, memory_format=torch.channels_last)
        self.discriminator = Discriminator(size, channels, config.z_dim).to(device, memory_format=torch.channels_last)
        self.generator.compute_dtype = self.discriminator.compute_dtype = torch.bfloat16
        self.likeness = Likeness(regressor, settings, size).to(device)

        lazy = R1_EVERY / (R1_EVERY + 1)
        self.lazy_lr = settings.adversarial_lr * lazy
        self.warmup_optimiser = torch.optim.Adam(self.generator.parameters(), betas=(0.9, 0.99), fused=True)
        groups = [{"params": self.generator.blocks.parameters()}, {"params": self.generator.mapper.parameters()}]
        self.optimiser_g = torch.optim.Adam(groups, betas=(0.0, 0.99), fused=True)
        self.optimiser_d = torch.optim.Adam(self.discriminator.parameters(), betas=(0.0, 0.99**lazy), fused=True)
        self.step, self.kimg, self.seconds, self.adversarial_kimg = 0, 0.0, 0.0, 0.0

    # progress ---------------------------------------------------------------------------------------------------

    @property
    def progress(self) -> float:
        return self.seconds / (self.settings.minutes * 60)

    @property
    def in_warmup(self) -> bool:
        return self.seconds < self.settings.warmup_minutes * 60

    def decayed(self) -> float:
        """Factor of the learning rates: 1, falling to almost 0 over the last part of the budget."""
        return min(1.0, max(0.02, (1 - self.progress) / self.settings.decay))

    # steps ------------------------------------------------------------------------------------------------------

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Pictures (N, 3, R, R) and their latents (N, z_dim), half of them mirrored."""
        index = np.sort(self.rng.integers(0, len(self.images), size))
        flip = torch.from_numpy(self.rng.random(size) < 0.5).to(self.device)
        images = to_tensor(self.images[index]).to(self.device)
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
        latents = torch.where(flip[:, None], self.latents[1, index], self.latents[0, index])
        return images.contiguous(memory_format=torch.channels_last), latents

    def warmup_step(self) -> dict[str, float]:
        done = self.seconds / (self.settings.warmup_minutes * 60)
        rate = self.settings.warmup_lr * min(1.0, (self.step + 1) / 200) * (1 - 0.75 * done)
        set_learning_rates(self.warmup_optimiser, rate * self.decayed())
        images, latents = self.batch(self.settings.warmup_batch)
        codes = self.generator.mapping(latents)
        loss = self.likeness(self.generator.synthesis(codes), images)
        self.warmup_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.warmup_optimiser.step()
        return {"likeness": loss.item()}

    def adversarial_step(self) -> dict[str, float]:
        settings = self.settings
        decay = self.decayed()
        rates = settings.adversarial_lr * decay, settings.adversarial_mapping_lr * decay
        set_learning_rates(self.optimiser_g, *rates)
        set_learning_rates(self.optimiser_d, self.lazy_lr * decay)
        images, latents = self.batch(settings.batch)
        known = settings.batch // 2

        self.discriminator.requires_grad_(False)
        codes, fresh = self.fresh_codes(settings.batch - known)
        drawn = self.generator.synthesis(torch.cat([self.generator.mapping(latents[:known]), codes]))
        told = torch.cat([self.partly_hidden(latents[:known]), fresh])
        fooled = F.softplus(-self.discriminator(drawn, told)).mean()
        likeness = self.likeness(drawn[:known], images[:known])
        warmup = settings.warmup_minutes / settings.minutes
        passed = (self.progress - warmup) / (1 - warmup)
        keep = settings.reconstruction * (1 - 0.5 * passed)
        loss = min(1.0, self.adversarial_kimg / 8) * fooled + keep * likeness
        self.optimiser_g.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser_g.step()

        self.discriminator.requires_grad_(True)
        told_real = self.partly_hidden(latents)
        real, fake = self.discriminator(images, told_real), self.discriminator(drawn.detach(), told)
        loss_d = F.softplus(fake).mean() + F.softplus(-real).mean()
        self.optimiser_d.zero_grad(set_to_none=True)
        loss_d.backward()
        self.optimiser_d.step()
        if self.step % R1_EVERY == 0:
            leaf = images.detach().requires_grad_(True)
            penalty = gradient_penalty(self.discriminator(leaf, told_real), leaf)
            self.optimiser_d.zero_grad(set_to_none=True)
            (penalty * (settings.r1_gamma / 2 * R1_EVERY)).backward()
            self.optimiser_d.step()
        self.adversarial_kimg += settings.batch / 1000
        return {
            "likeness": likeness.item(),
            "loss_g": fooled.item(),
            "loss_d": loss_d.item(),
            "real": real.mean().item(),
            "fake": fake.mean().item(),
        }

    def fresh_codes(self, count: int) -> tuple[Tensor, Tensor]:
        """Codes (N, L, w_dim) of new latents, some changing to another at a random layer; and the latents (N, z_dim).

        A mixed picture shows neither latent, so its row is zero, which tells the discriminator nothing.
        """
        first, second = torch.randn(2, count, self.latents.shape[2], device=self.device).unbind(0)
        layers = self.generator.num_layers
        is_mixed = torch.rand(count, device=self.device) < self.settings.mixing
        change = torch.where(is_mixed, torch.randint(1, layers, (count,), device=self.device), layers)
        own = torch.arange(layers, device=self.device)[None] < change[:, None]  # (N, L)
        codes = torch.where(own[..., None], self.generator.mapping(first), self.generator.mapping(second))
        return codes, first * ~is_mixed[:, None]

    def partly_hidden(self, latents: Tensor) -> Tensor:
        """Known latents (N, z_dim), as many zeroed as fresh ones are by mixing: a zero must not give a drawing away."""
        hidden = torch.rand(len(latents), 1, device=self.device) < self.settings.mixing
        return latents * ~hidden

    @torch.no_grad()
    def update_average(self, batch: int) -> None:
        half_life = min(self.settings.ema_kimg, max(self.kimg * 0.05, 0.1))
        weight = 1 - 0.5 ** (batch / 1000 / half_life)
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), weight)

    def train_step(self) -> dict[str, float]:
        start = time.monotonic()
        batch = self.settings.warmup_batch if self.in_warmup else self.settings.batch
        figures = self.warmup_step() if self.in_warmup else self.adversarial_step()
        self.update_average(batch)
        self.step += 1
        self.kimg += batch / 1000
        self.seconds += time.monotonic() - start
        return figures

    # files ------------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "warmup_optimiser": self.warmup_optimiser,
            "optimiser_g": self.optimiser_g,
            "optimiser_d": self.optimiser_d,
        }

    def save(self, path: Path) -> None:
        """Write everything that `resume` needs, aside first, then renamed."""
        state = {name: part.state_dict() for name, part in self.parts().items()}
        state["counters"] = [self.step, self.kimg, self.seconds, self.adversarial_kimg]
        state["settings"] = asdict(self.settings)
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def resume(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        self.step, self.kimg, self.seconds, self.adversarial_kimg = state["counters"]
        self.rng = np.random.default_rng([self.settings.seed, self.step])
        torch.manual_seed(self.settings.seed + self.step)

    @torch.no_grad()
    def write_sheets(self, folder: Path, name: str) -> None:
        """Fresh samples of the averaged generator, truncated to 0.7 and not at all."""
        self.average.mapper.w_avg.copy_(measure_w_avg(self.average))
        z = torch.randn(
            SHEET_ROWS * SHEET_COLUMNS, self.average.z_dim, generator=torch.Generator().manual_seed(SHEET_SEED)
        )
        for psi in (0.7, 1.0):
            codes = self.average.mapping(z, truncation_psi=psi)
            images = torch.cat([self.average.synthesis(part) for part in codes.split(32)])
            sheet(images).save(folder / f"{name}_psi{psi}.png")

    def checkpoint(self, folder: Path, name: str) -> None:
        self.write_sheets(folder, name)
        export(self.average, folder / "export")
        self.save(folder / "last.pt")


def sheet(images: Tensor, zoom: float = 1.5) -> Image.Image:
    """Pictures (rows * columns, 3, R, R) in [-1, 1] side by side."""
    size = images.shape[2]
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    grid = pixels.reshape(SHEET_ROWS, SHEET_COLUMNS, size, size, 3).transpose(0, 2, 1, 3, 4)
    picture = Image.fromarray(grid.reshape(SHEET_ROWS * size, SHEET_COLUMNS * size, 3))
    return picture.resize((int(picture.width * zoom), int(picture.height * zoom)), Image.Resampling.BICUBIC)


def run(trainer: Trainer, folder: Path, max_steps: int | None = None) -> None:
    """Train until the wall-clock budget is spent (or `max_steps`); a log line every 20 s, regular checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = trainer.settings
    next_sheet = trainer.seconds + settings.sheet_minutes * 60
    last_log, last_kimg, warming = time.monotonic(), trainer.kimg, trainer.in_warmup
    recent: list[dict[str, float]] = []  # figures since the last log line
    bar = Progress(BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with bar, (folder / "log.jsonl").open("a") as log:
        task = bar.add_task("", total=settings.minutes * 60)
        while trainer.progress < 1 and (max_steps is None or trainer.step < max_steps):
            figures = trainer.train_step()
            if not all(math.isfinite(value) for value in figures.values()):
                raise RuntimeError(
                    f"training diverged at step {trainer.step}: {figures}; resume from the last checkpoint"
                )
            if recent and recent[0].keys() != figures.keys():  # the phase changed
                recent = []
            recent.append(figures)
            if time.monotonic() - last_log > 20:
                speed = 1000 * (trainer.kimg - last_kimg) / (time.monotonic() - last_log)
                means = {name: sum(step[name] for step in recent) / len(recent) for name in figures}
                line = {"minute": trainer.seconds / 60, "kimg": trainer.kimg, "images_per_second": speed, **means}
                log.write(json.dumps({key: round(value, 4) for key, value in line.items()}) + "\n")
                log.flush()
                bar.update(task, completed=trainer.seconds, description=f"{trainer.kimg:.0f} kimg {speed:.0f} img/s")
                last_log, last_kimg, recent = time.monotonic(), trainer.kimg, []
            phase_over = warming and not trainer.in_warmup
            if trainer.seconds > next_sheet or phase_over:
                trainer.checkpoint(folder, f"minute{trainer.seconds / 60:03.0f}")
                warming = trainer.in_warmup
                next_sheet = trainer.seconds + settings.sheet_minutes * 60
    trainer.checkpoint(folder, "final")


def parse_arguments(arguments: Iterable[str] | None = None) -> argparse.Namespace:
    defaults = Settings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that examples.demo_generator.data wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, sheets and exports")
    parser.add_argument("--regressor", type=Path, help="folder that examples.demo_generator.attributes wrote")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/last.pt")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="more than one loses time on a shared machine")
    for name, value in asdict(defaults).items():
        kind = {"type": int, "nargs": "+"} if isinstance(value, tuple) else {"type": type(value)}
        parser.add_argument(f"--{name.replace('_', '-')}", default=value, **kind)
    return parser.parse_args(arguments)


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    chosen = {name: getattr(args, name) for name in asdict(Settings())}
    settings = Settings(**chosen | {"channels": tuple(args.channels)})
    regressor = attributes.load(args.regressor) if args.regressor else None
    trainer = Trainer(settings, args.data, regressor, torch.device(args.device))
    if args.resume:
        trainer.resume(args.out / "last.pt")
    run(trainer, args.out)


if __name__ == "__main__":
    main()
