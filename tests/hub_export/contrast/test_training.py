"""Steps: the gradient of the plain definition, whatever the chunks, the memory, the threads and the processes."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eigan.errors import FitError, UnknownName
from eigan.generators.base import Generator
from eigan.layers import LayerRange
from hub_export.contrast import features as features_module
from hub_export.contrast.crew import Crew, crew_for, interrupted_afterwards
from hub_export.contrast.features import FeaturePass, Plan, find_stage, frozen
from hub_export.contrast.training import State, Trainer
from hub_export.world import World
from tests.generators.test_contract import TOYS
from tests.hub_export.contrast.planted import trainer_of
from tests.toys import toy_generator

KINDS = ("global", "linear", "nonlinear")
pytestmark = pytest.mark.usefixtures("one_thread")


def plain_gradient(trainer: Trainer, units: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and its gradient in units (K, N, V), by autograd through everything in one graph, as it is defined."""
    drawn, generator = trainer.draw(0), trainer.generator
    units = units.detach().requires_grad_()
    stage = trainer.features.stages[-1].name
    rows = drawn.codes[:, 0] + drawn.alphas * units  # (K, N, D)
    moved = rows.flatten(0, 1)[:, None].expand(-1, generator.num_layers, -1)
    features = generator.features(moved, stage).flatten(1)
    origin = generator.features(drawn.codes, stage).flatten(1)
    if trainer.settings.contrast.kind == "code":
        features, origin = F.normalize(features, dim=1), F.normalize(origin, dim=1)
    divergences = F.normalize(features.unflatten(0, units.shape[:2]) - origin, dim=2)
    cosines = torch.einsum("kif,ljf->kilj", divergences, divergences)
    loss = trainer.settings.contrast.score(cosines).loss
    return loss.detach(), torch.autograd.grad(loss, units)[0]


def units_of(trainer: Trainer) -> Tensor:
    drawn = trainer.draw(0)
    tapes = [trainer.networks.forward(part, trainer.origins(drawn)) for part in trainer.networks.shards()]
    return torch.cat([tape.units.detach() for tape in tapes])


@pytest.mark.parametrize("loss", ["paper", "code"])
def test_gradient_is_that_of_the_definition(loss: str) -> None:
    trainer = trainer_of(toy_generator(), "linear", loss=loss)
    units = units_of(trainer)
    score, gradient = trainer.slopes(trainer.draw(0), units)
    expected_loss, expected = plain_gradient(trainer, units)
    assert float(score.loss) == pytest.approx(float(expected_loss), rel=1e-4)
    assert float((gradient - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_memory_changes_nothing_at_all(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs kept, or made anew for the backward pass: the same chunks, so the same bits."""
    results = []
    for keeps in (True, False):
        trainer = trainer_of(toy_generator(), kind)
        trainer.plan = replace(trainer.plan, keeps=keeps)
        results.append(trainer.slopes(trainer.draw(0), units_of(trainer))[1])
    assert torch.equal(*results)


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_chunks_change_only_rounding(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trainer_of(toy_generator(), "nonlinear")
    assert len(whole.plan.chunks) == 1
    monkeypatch.setattr(features_module, "CHUNK_ROWS", rows)
    pieces = trainer_of(toy_generator(), "nonlinear")
    assert len(pieces.plan.chunks) >= 16 // rows
    expected = whole.slopes(whole.draw(0), units_of(whole))[1]
    gradient = pieces.slopes(pieces.draw(0), units_of(pieces))[1]
    assert float((gradient - expected).norm() / expected.norm()) < 1e-5


def test_threads_change_nothing_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "CHUNK_ROWS", 5)
    states = []
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            with crew_for(torch.device("cpu")) as crew:
                assert (crew.pool is None) == (threads == 1)
                trainer = trainer_of(toy_generator(), "nonlinear", count=9, crew=crew)
                state = State(trainer.networks, torch.zeros(10), torch.zeros(10))
                for _ in range(3):
                    trainer.step(state)
        finally:
            torch.set_num_threads(before)
        states.append(state.tensors())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


class Recording(World):
    """Notes what this process hands to the others; answers with all rows, those of `alone` where others work.

    alone: what one process hands in, in order; empty for that process itself.
    """

    def gather(self, rows: Tensor) -> Tensor:
        given, alone = RECORDS[self]
        given.append(rows.clone())
        if not alone:
            return rows
        chunks = 6  # of 3 rows or less; see below
        first = 16 * (chunks * self.rank // self.size) // chunks
        whole = alone[len(given) - 1].clone()
        whole[first : first + len(rows)] = rows
        return whole


RECORDS: dict[World, tuple[list[Tensor], list[Tensor]]] = {}


@pytest.mark.parametrize("size", [2, 7])
def test_processes_together_do_what_one_does(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that the processes hand in, one after the other, are those of one process, to the bit."""
    monkeypatch.setattr(features_module, "CHUNK_ROWS", 3)
    trainer = trainer_of(toy_generator(), "linear")
    units = units_of(trainer)
    assert (trainer.rows, len(trainer.plan.chunks)) == (16, 6)

    def slopes_as(world: World, alone: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        RECORDS[world] = [], alone
        trainer.world = world
        gradient = trainer.slopes(trainer.draw(0), units)[1]
        return gradient, RECORDS.pop(world)[0]

    expected, alone = slopes_as(Recording(), [])
    handed = []
    for rank in range(size):
        gradient, given = slopes_as(Recording(rank, size), alone)
        assert torch.equal(gradient, expected)
        handed.append(given)
    for exchange in (0, 1):  # features, then gradients
        assert torch.equal(torch.cat([given[exchange] for given in handed]), alone[exchange])


def test_the_generator_is_frozen_and_left_as_it_was() -> None:
    generator = toy_generator()
    generator.requires_grad_(True)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    trainer = trainer_of(generator)
    state = State(trainer.networks, torch.zeros(10), torch.zeros(10))
    values = trainer.networks.values.clone()
    seen = []
    generator.blocks["b8"].register_forward_hook(
        lambda *_: seen.append(any(p.requires_grad for p in generator.parameters()))
    )
    trainer.step(state)
    assert seen and not any(seen)
    assert not torch.equal(trainer.networks.values, values)
    assert all(p.requires_grad and p.grad is None for p in generator.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in generator.state_dict().items())
    with frozen(generator):
        codes = generator.mapping(torch.randn(1, 16)).requires_grad_()
        generator.features(codes, "b8").sum().backward()
        assert all(p.grad is None for p in generator.parameters()) and codes.grad is not None


def test_a_step_is_interrupted_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while parameters are written is raised when all of them are."""
    trainer = trainer_of(toy_generator(), "linear", count=6)
    state = State(trainer.networks, torch.zeros(10), torch.zeros(10))
    update = trainer.networks.update

    def interrupted(*arguments: object) -> None:
        signal.raise_signal(signal.SIGINT)
        update(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer.networks, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.step(state)
    whole = trainer_of(toy_generator(), "linear", count=6)
    expected = State(whole.networks, torch.zeros(10), torch.zeros(10))
    whole.step(expected)
    assert state.iteration == 1 and torch.equal(trainer.networks.values, whole.networks.values)
    with interrupted_afterwards():
        pass


def test_errors_of_a_piece_reach_the_caller() -> None:
    def work(piece: int) -> int:
        if piece == 1:
            raise FitError("piece 1")
        return piece

    with ThreadPoolExecutor(2) as pool, pytest.raises(FitError, match="piece 1"):
        Crew(pool).run(work, range(4))
    with ThreadPoolExecutor(2) as pool:
        assert Crew(pool).run(lambda piece: piece * 2, range(4)) == [0, 2, 4, 6]


def test_learning_rate_falls_at_milestones() -> None:
    settings = trainer_of(toy_generator()).settings
    oracle = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.MultiStepLR(oracle, milestones=[5], gamma=0.2)
    for i in range(8):
        assert settings.rate(i) == pytest.approx(schedule.get_last_lr()[0])
        oracle.step()
        schedule.step()


def test_plans() -> None:
    cpu = torch.device("cpu")
    roomy = Plan.make(100, 1000, 0, 10**9, cpu)
    tight = Plan.make(100, 1000, 0, 50_000, cpu)
    assert roomy.keeps and not tight.keeps and roomy.chunks == tight.chunks
    assert [chunk.start for chunk in roomy.chunks] == [0, 20, 40, 60, 80] and roomy.chunks[-1].stop == 100
    large = Plan.make(10, features_module.CHUNK_BYTES, 0, 10**12, cpu)
    assert len(large.chunks) == 10
    for size in (1, 2, 3, 7):
        shares = [roomy.share(rank, size) for rank in range(size)]
        assert tuple(chunk for share in shares for chunk in share) == roomy.chunks
    with pytest.raises(FitError, match=r"training wants 10 MiB at least; memory allows 5\. Raise memory"):
        Plan.make(100, 1000, 10 * 2**20, 5 * 2**20, cpu)


def test_what_a_row_keeps_is_measured() -> None:
    """Through one matrix product and a tanh, a row keeps the tanh's output; and its features."""
    from tests.hub_export.contrast.planted import planted_generator

    generator = planted_generator(4)
    features = FeaturePass(generator, generator.stages, LayerRange(0, 8))
    codes = generator.mapping(torch.zeros(1, 16))
    assert features.bytes_per_row(codes, 16) >= 2 * 4 * 4
    toy = toy_generator()
    small, large = (FeaturePass(toy, toy.stages[:n], LayerRange(0, 8)).bytes_per_row(codes, 16) for n in (1, 3))
    assert 4 * 16 * 16 <= small < large


@pytest.mark.parametrize("name", TOYS)
def test_default_stages(name: str) -> None:
    """The last of 8 px; StyleGAN3, which has none, where a quarter of its rows are read."""
    wanted = {"biggan": "layers.2", "fastgan": "feat_8", "pggan": "layer3", "stylegan": "b8", "stylegan2": "b8"}
    generator: Generator = TOYS[name]()
    stage = find_stage(generator, LayerRange(0, generator.num_layers))
    assert stage == wanted.get(generator.architecture, "L2_36_8")


@pytest.mark.parametrize(("layers", "stage"), [("0", "b8"), ("3", "b16"), ("6", "b32"), ("4-7", "b16"), ("1-3", "b8")])
def test_default_stage_depends_on_the_layers(layers: str, stage: str) -> None:
    """Row 3 of the codes styles the 16 px block; that it feeds the 8 px block's toRGB changes no feature."""
    assert find_stage(toy_generator(), LayerRange.parse(layers, 8)) == stage


def test_stages_without_contrast_are_refused() -> None:
    generator = toy_generator()
    assert find_stage(generator, LayerRange(0, 8), "b32") == "b32"
    with pytest.raises(FitError, match=r"after b8 do not depend on layers 3-7: .* Take a later stage"):
        find_stage(generator, LayerRange(3, 8), "b8")
    with pytest.raises(FitError, match="after any stage do not depend on layers 7"):
        find_stage(generator, LayerRange(7, 8))  # feeds the last toRGB alone
    with pytest.raises(UnknownName, match="unknown stage 'conv1'; known: b4, b8, b16, b32"):
        find_stage(generator, LayerRange(0, 8), "conv1")


def test_a_class_is_never_moved() -> None:
    generator = TOYS["biggan"]()
    features = FeaturePass(generator, generator.stages[:2], LayerRange(0, generator.num_layers))
    codes = generator.mapping(torch.zeros(2, 12), 1)
    moved = torch.randn(2, 12)
    expected = codes.clone()
    expected[:, :, :12] = moved[:, None]
    wanted = generator.features(expected, "layers.0").flatten(1)
    torch.testing.assert_close(features(codes, moved), wanted)
