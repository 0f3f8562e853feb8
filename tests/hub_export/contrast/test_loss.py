"""The loss against a slow restatement of both forms, its bounds, and its gradient against finite differences."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from hub_export.contrast import loss as loss_module
from hub_export.contrast.crew import Crew
from hub_export.contrast.loss import Contrast, Divergences

KINDS = ("paper", "code")
pytestmark = pytest.mark.usefixtures("one_thread")


def restated(moved: Tensor, origin: Tensor, kind: str, temperature: float) -> tuple[float, list[float]]:
    """Loss and accuracy of each direction, of moved features (K, N, F) and those not moved (N, F), number by number."""
    count, samples = moved.shape[:2]

    def unit(x: Tensor) -> Tensor:
        return x / math.sqrt(float((x * x).sum()))

    def divergence(k: int, i: int) -> Tensor:
        if kind == "code":
            return unit(unit(moved[k, i]) - unit(origin[i]))
        return unit(moved[k, i] - origin[i])

    def likeness(a: tuple[int, int], b: tuple[int, int]) -> float:
        cosine = float(divergence(*a) @ divergence(*b))
        return math.exp(abs(cosine) * temperature) if kind == "code" else math.exp(cosine / temperature)

    losses, rights = [], []
    for k in range(count):
        right = 0
        for i in range(samples):
            positives = [likeness((k, i), (k, j)) for j in range(samples) if j != i]
            negatives = [likeness((k, i), (m, j)) for m in range(count) if m != k for j in range(samples)]
            means = sum(positives) / len(positives), sum(negatives) / len(negatives)
            top, bottom = means if kind == "code" else (sum(positives), sum(negatives))
            losses.append(-math.log(top / bottom))
            right += means[0] > means[1]
        rights.append(right / samples)
    return sum(losses) / len(losses), rights


def random_features(count: int, samples: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    origin = torch.randn(samples, size, generator=random, dtype=torch.float64)
    moved = origin + 0.7 * torch.randn(count, samples, size, generator=random, dtype=torch.float64)
    return moved, origin


def evaluate(moved: Tensor, origin: Tensor, contrast: Contrast, crew: Crew | None = None) -> Divergences:
    return Divergences(moved.flatten(0, 1).clone(), origin.clone(), contrast.kind, crew or Crew())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "samples", "temperature"), [(2, 2, 0.5), (3, 4, 0.5), (5, 2, 0.1), (2, 6, 3.0)])
def test_loss_agrees_with_its_restatement(kind: str, count: int, samples: int, temperature: float) -> None:
    moved, origin = random_features(count, samples, 7)
    contrast = Contrast(kind, temperature)  # type: ignore[arg-type]
    score, _ = evaluate(moved, origin, contrast).score(contrast)
    loss, rights = restated(moved, origin, kind, temperature)
    assert float(score.loss) == pytest.approx(loss, rel=1e-10)
    assert score.accuracy.tolist() == pytest.approx(rights)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_agrees_with_finite_differences(kind: str) -> None:
    moved, origin = random_features(3, 3, 5)
    contrast = Contrast(kind, 0.5)  # type: ignore[arg-type]

    def loss_at(x: Tensor) -> float:
        return float(evaluate(x, origin, contrast).score(contrast)[0].loss)

    found = evaluate(moved, origin, contrast)
    gradient = found.gradient(found.score(contrast)[1]).view_as(moved)
    step = 1e-6
    expected = torch.zeros_like(moved)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in moved.shape)).tolist():
        shift = torch.zeros_like(moved)
        shift[tuple(place)] = step
        expected[tuple(place)] = (loss_at(moved + shift) - loss_at(moved - shift)) / (2 * step)
    assert float(expected.abs().max()) > 1e-3
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-8)


def test_the_codes_form_lies_within_its_temperature() -> None:
    """Similarities of magnitude 0 to 1: exp lies in [1, exp .5]. Perfect clusters give -0.5, one cluster gives 0."""
    contrast = Contrast("code", 0.5)
    origin = torch.zeros(4, 6, dtype=torch.float64)
    origin[:, 5] = 1.0
    apart = origin + 1e-7 * torch.eye(6, dtype=torch.float64)[:3, None]
    assert float(evaluate(apart, origin, contrast).score(contrast)[0].loss) == pytest.approx(-0.5, abs=1e-5)
    mirrored = apart.clone()
    mirrored[:, ::2] = 2 * origin[::2] - apart[:, ::2]  # the opposite counts as the same
    score, _ = evaluate(mirrored, origin, contrast).score(contrast)
    assert float(score.loss) == pytest.approx(-0.5, abs=1e-5)
    assert score.positive.tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    together = apart[:1].expand(3, -1, -1)
    assert float(evaluate(together, origin, contrast).score(contrast)[0].loss) == pytest.approx(0.0, abs=1e-6)
    for seed in range(20):
        moved, origin = random_features(3, 3, 4, seed)
        assert abs(float(evaluate(moved, origin, contrast).score(contrast)[0].loss)) < 0.5


def test_the_papers_form_tells_opposites_apart() -> None:
    contrast = Contrast("paper", 0.5)
    origin = torch.zeros(3, 4, dtype=torch.float64)
    along = torch.eye(4, dtype=torch.float64)[0]
    pair = origin + torch.stack([along, -along])[:, None]
    score, _ = evaluate(pair, origin, contrast).score(contrast)
    assert float(score.loss) == pytest.approx(-(math.log(2) + 2.0 - math.log(3) + 2.0))  # 2 e^2 over 3 e^-2
    assert score.accuracy.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_and_threads_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moved, origin = (x.float() for x in random_features(4, 5, 50))
    contrast = Contrast(kind, 0.5)  # type: ignore[arg-type]
    found = evaluate(moved, origin, contrast)
    whole = found.gradient(found.score(contrast)[1])
    monkeypatch.setattr(loss_module, "GRAM_ROWS", 3)
    monkeypatch.setattr(loss_module, "COLUMNS", 7)
    with ThreadPoolExecutor(3) as pool:
        found = evaluate(moved, origin, contrast, Crew(pool))
        torch.testing.assert_close(found.gradient(found.score(contrast)[1]), whole, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_move_without_effect_gives_finite_numbers(kind: str) -> None:
    moved, origin = (x.float() for x in random_features(3, 3, 5))
    moved[1, 2] = origin[2]
    contrast = Contrast(kind, 0.5)  # type: ignore[arg-type]
    found = evaluate(moved, origin, contrast)
    score, slope = found.score(contrast)
    assert bool(score.loss.isfinite()) and bool(found.gradient(slope).isfinite().all())
