"""Training: steps of LatentCLR, each a function of (recipe, iteration, parameters), so that resuming is exact.

Yüksel et al., ICCV 2021, arXiv:2104.00820. The generator is frozen, stops at the feature stage and runs in chunks: once
for features, and backwards when the loss knows what it wants of each (gradient caching, Gao et al., 2021,
arXiv:2101.06983). What comes back are gradients in the moved codes, N K D numbers, which the networks then take in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.errors import FitError
from eigan.generators.base import Codes, Generator, iterate_batches
from eigan.latents import block_generator
from hub_export.contrast.crew import Crew, interrupted_afterwards
from hub_export.contrast.features import FeaturePass, Plan, frozen, moving_size
from hub_export.contrast.loss import Contrast, Divergences, Score
from hub_export.contrast.networks import Networks, Tape
from hub_export.world import ALONE, World

LATENTS, CLASSES, ALPHAS, INITIAL = 2, 3, 4, 5  # streams beside those of eigan.latents
GRAMS = 12  # matrices of (N K)² numbers that scoring has in hand
MIB = 2**20


@dataclass(frozen=True)
class Settings:
    """alpha: a number, or the ends of a range. memory: MiB that training may take beside the generator."""

    contrast: Contrast
    alpha: float | tuple[float, float]
    batch: int
    iterations: int
    learning_rate: float
    weight_decay: float
    milestones: tuple[int, ...]
    gamma: float
    memory: int
    seed: int
    class_index: int | None = None

    def rate(self, iteration: int) -> float:
        """The learning rate of iteration i, from 0: multiplied by gamma at each milestone."""
        passed = sum(milestone <= iteration for milestone in self.milestones)
        return float(self.learning_rate * self.gamma**passed)


@dataclass(frozen=True)
class Draw:
    """One step's codes (N, L, D), and alphas (K, 1, 1)."""

    codes: Codes
    alphas: Tensor


@dataclass
class State:
    """All that training goes on from. losses, accuracies (iterations,): of the steps done so far. CPU."""

    networks: Networks
    losses: Tensor
    accuracies: Tensor
    iteration: int = 0

    @classmethod
    def start(cls, networks: Networks, settings: Settings) -> State:
        networks.initialize(block_generator(settings.seed, 0, INITIAL))
        return cls(networks, torch.zeros(settings.iterations), torch.zeros(settings.iterations))

    def tensors(self) -> dict[str, Tensor]:
        """For the shelf; not copies."""
        curves = {"losses": self.losses, "accuracies": self.accuracies}
        return {**self.networks.tensors, **curves, "iteration": torch.tensor(self.iteration)}

    def restore(self, kept: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave. Raises FitError when something is missing, misshapen or not finite."""
        own = self.tensors()
        for name, tensor in own.items():
            given = kept.get(name)
            if (
                given is None
                or (given.shape, given.dtype) != (tensor.shape, tensor.dtype)
                or not given.isfinite().all()
            ):
                raise FitError(f"the kept training has no usable {name}; fit without resuming")
        if not 0 <= int(kept["iteration"]) <= len(self.losses):
            raise FitError(f"the kept training is at iteration {int(kept['iteration'])}; fit without resuming")
        self.iteration = int(kept["iteration"])
        for name, tensor in own.items():
            if name != "iteration":
                tensor.copy_(kept[name])


@dataclass
class Trainer:
    """Steps over one generator.

    plan: in which chunks the rows of a step are worked through. width: how many features a row has.
    """

    features: FeaturePass
    settings: Settings
    networks: Networks
    crew: Crew = Crew()  # noqa: RUF009 (frozen)
    world: World = ALONE
    plan: Plan = field(init=False)
    width: int = field(init=False)

    def __post_init__(self) -> None:
        with frozen(self.generator):
            self.plan = self._make_plan()

    @property
    def generator(self) -> Generator:
        return self.features.generator

    @property
    def rows(self) -> int:
        return self.networks.count * self.settings.batch

    def step(self, state: State) -> Score:
        """One iteration: the state after it, whole; interrupted, the state before it, or after."""
        i = state.iteration
        drawn = self.crew.run(lambda at: self.draw(at), [i])[0]
        tapes = self.crew.run(lambda part: self.networks.forward(part, self.origins(drawn)), self.networks.shards())
        score, gradient = self.slopes(drawn, torch.cat([tape.units.detach() for tape in tapes]))
        if not bool(score.loss.isfinite()):
            raise FitError(f"the loss is {float(score.loss)} at iteration {i}; lower learning_rate, or use fp32")

        def learn(tape: Tape) -> None:
            rate, decay = self.settings.rate(i), self.settings.weight_decay
            self.networks.update(tape, gradient[tape.rows], i + 1, rate, decay)

        with interrupted_afterwards():
            self.crew.run(learn, tapes)
            state.losses[i] = float(score.loss)
            state.accuracies[i] = float(score.accuracy.mean())
            state.iteration = i + 1
        return score

    def slopes(self, drawn: Draw, units: Tensor) -> tuple[Score, Tensor]:
        """The score of moves along units (K, N, V), and the loss's gradient in them: (K, N, V)."""
        with frozen(self.generator):
            moved = self.moved(drawn, units)
            features, graphs = self._run(drawn.codes, moved, keep=self.plan.keeps)
            found = self._divergences(features, drawn.codes)
            score, slope = found.score(self.settings.contrast)
            own = self._back(drawn.codes, moved, graphs, found.gradient(slope))
            gradient = self.world.gather(own).view_as(units)
        return score, gradient * drawn.alphas

    def score(self, drawn: Draw, units: Tensor) -> Score:
        """The score of moves along units (K, N, V)."""
        with frozen(self.generator):
            features, _ = self._run(drawn.codes, self.moved(drawn, units), keep=False)
            return self._divergences(features, drawn.codes).score(self.settings.contrast)[0]

    @torch.no_grad()
    def draw(self, iteration: int, offset: int = 0) -> Draw:
        """What iteration i moves, and how far: a function of (seed, i) alone. Codes are not truncated.

        offset: added to the streams' numbers; measuring draws from others than training.
        """
        generator, settings = self.generator, self.settings

        def random(stream: int) -> torch.Generator:
            return block_generator(settings.seed, iteration, stream + offset)

        z = torch.empty(settings.batch, generator.z_dim).normal_(generator=random(LATENTS))
        c = None
        if generator.c_dim:
            classes = torch.randint(generator.c_dim, (settings.batch,), generator=random(CLASSES))
            if settings.class_index is not None:
                classes.fill_(settings.class_index)
            c = F.one_hot(classes, generator.c_dim).float()
        codes = generator.mapping(z, c).float()
        low, high = settings.alpha if isinstance(settings.alpha, tuple) else (settings.alpha, settings.alpha)
        count = 1 if self.networks.kind == "global" else self.networks.count
        alphas = torch.empty(count, 1, 1).uniform_(generator=random(ALPHAS)) * (high - low) + low
        return Draw(codes, alphas.to(codes.device))

    def origins(self, drawn: Draw) -> Tensor:
        """The rows (N, V) that directions are asked about."""
        return drawn.codes[:, self.features.layers.start, : self.networks.size]

    def moved(self, drawn: Draw, units: Tensor) -> Tensor:
        """(K N, V), direction-major."""
        return (self.origins(drawn) + drawn.alphas * units).flatten(0, 1)

    def _make_plan(self) -> Plan:
        codes = self.draw(0).codes[:1]
        row_bytes = self.features.bytes_per_row(codes, self.networks.size)
        with torch.no_grad():
            self.width = self.features(codes).shape[1]
        numbers = (self.rows + 2 * self.settings.batch) * self.width + GRAMS * self.rows**2
        numbers += 3 * self.networks.values.numel()
        return Plan.make(self.rows, row_bytes, 4 * numbers, self.settings.memory * MIB, codes.device)

    def _chunk(self, codes: Codes, moved: Tensor, rows: slice) -> tuple[Codes, Tensor]:
        """The chunk's codes, and its moved rows."""
        at = torch.arange(rows.start, rows.stop, device=codes.device) % len(codes)
        return codes[at], moved[rows]

    def _run(self, codes: Codes, moved: Tensor, *, keep: bool) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Features (K N, F) of all rows, and of each of this process's chunks its moved rows and features, if kept."""
        chunks = self._share
        first, last = (chunks[0].start, chunks[-1].stop) if chunks else (0, 0)
        filled = torch.empty(last - first, self.width, device=codes.device)

        def forward(rows: slice) -> tuple[Tensor, Tensor] | None:
            own_codes, own = self._chunk(codes, moved, rows)
            with torch.set_grad_enabled(keep):
                own = own.detach().requires_grad_(keep)
                features = self.features(own_codes, own)
            filled[rows.start - first : rows.stop - first] = features.detach()
            return (own, features) if keep else None

        graphs = self.crew.run(forward, chunks)
        return self.world.gather(filled), [graph for graph in graphs if graph is not None]

    def _divergences(self, moved: Tensor, codes: Codes) -> Divergences:
        most = max(chunk.stop - chunk.start for chunk in self.plan.chunks)
        work = torch.no_grad()(lambda rows: self.features(codes[rows]))
        origin = torch.cat(self.crew.run(work, iterate_batches(len(codes), most)))
        return Divergences(moved, origin, self.settings.contrast.kind, self.crew)

    def _back(self, codes: Codes, moved: Tensor, graphs: list[tuple[Tensor, Tensor]], gradient: Tensor) -> Tensor:
        """The gradient in this process's moved rows (n, V), of the one in all features (K N, F)."""

        def backward(piece: tuple[int, slice]) -> Tensor:
            number, rows = piece
            if graphs:
                own, features = graphs[number]
            else:
                own_codes, own = self._chunk(codes, moved, rows)
                own = own.detach().requires_grad_()
                with torch.enable_grad():
                    features = self.features(own_codes, own)
            return torch.autograd.grad(features, own, gradient[rows])[0]

        found = self.crew.run(backward, enumerate(self._share))
        return torch.cat(found) if found else moved[:0]

    @property
    def _share(self) -> tuple[slice, ...]:
        return self.plan.share(self.world.rank, self.world.size)


def make_networks(generator: Generator, kind: str, count: int, depth: int) -> Networks:
    """Networks that fit `generator`, on its device."""
    return Networks(kind, count, moving_size(generator), depth, generator.device)  # type: ignore[arg-type]
