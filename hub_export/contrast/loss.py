"""The contrastive loss of LatentCLR, in its paper's form and in its code's, and its gradient in the features.

Yüksel et al., ICCV 2021, arXiv:2104.00820; the code's form as catlab-team/latentclr has it at f02a70d. With divergences
f(k, i) = what direction k does to the features of sample i, cos their cosine similarity:

    L = mean over (k, i) of  log sum over (l != k, all j) of e(k i, l j)  -  log sum over (j != i) of e(k i, k j)

paper: f = φ(moved) - φ(z), e = exp(cos / temperature). code: φ made unit before the difference, e = exp(|cos| *
temperature), means in place of the sums (a constant). With the code's form directions that do the opposite count as the
same, and L lies within ± temperature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from eigan.generators.base import iterate_batches
from hub_export.contrast.crew import Crew

TINY = 1e-24  # of squared lengths: a divergence this short is none
GRAM_ROWS = 128
COLUMNS = 1024
Kind = Literal["paper", "code"]


@dataclass(frozen=True)
class Score:
    """loss: (), differentiable. accuracy (K,): the share of samples whose positives are likelier, on average, than the
    negatives. positive (K,): mean similarity (code: its magnitude) of one direction's divergences across samples.
    """

    loss: Tensor
    accuracy: Tensor
    positive: Tensor


@dataclass(frozen=True)
class Contrast:
    """Which form, and its temperature."""

    kind: Kind = "code"
    temperature: float = 0.5

    def score(self, cosines: Tensor) -> Score:
        """Of cosines (K, N, K, N) between divergences (k, i) and (l, j); K and N at least 2."""
        count, samples = cosines.shape[:2]
        similar = cosines.abs() if self.kind == "code" else cosines
        logits = similar * (self.temperature if self.kind == "code" else 1.0 / self.temperature)
        others = ~torch.eye(samples, dtype=torch.bool, device=cosines.device)  # (N, N)
        same = torch.eye(count, dtype=torch.bool, device=cosines.device)[:, None, :, None]
        own = logits.diagonal(dim1=0, dim2=2).permute(2, 0, 1)  # (K, N, N)
        positive = own.masked_fill(~others, -torch.inf).logsumexp(dim=2)  # (K, N)
        negative = logits.masked_fill(same, -torch.inf).flatten(2).logsumexp(dim=2)
        offset = math.log((samples - 1) / (samples * (count - 1)))  # between sums and means
        ratio = positive - negative
        shifted = ratio - offset if self.kind == "code" else ratio
        within = similar.detach().diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        return Score(
            loss=-shifted.mean(),
            accuracy=(ratio.detach() > offset).float().mean(dim=1),
            positive=within.masked_fill(~others, 0.0).sum(dim=(1, 2)) / (samples * (samples - 1)),
        )


class Divergences:
    """What moves did to features: rows f of (K N, F), written in place of the moved features given.

    moved: (K N, F), direction-major, float32. origin: (N, F), of the samples not moved. Both are used up.
    """

    def __init__(self, moved: Tensor, origin: Tensor, kind: Kind, crew: Crew):
        self.rows, self.origin, self.crew = moved, origin, crew
        self.lengths: Tensor | None = None  # (K N, 1), of the features, where the form divides by them
        if kind == "code":
            self.lengths = _lengths(moved)
            moved.div_(self.lengths)
            origin.div_(_lengths(origin))
        self.by_direction.sub_(origin)
        self.gram = self._products(moved)  # (K N, K N)

    @property
    def by_direction(self) -> Tensor:
        """(K, N, F)."""
        return self.rows.view(-1, len(self.origin), self.rows.shape[1])

    def score(self, contrast: Contrast) -> tuple[Score, Tensor]:
        """The score, and its loss's gradient in the Gram matrix (K N, K N); no graph goes on from either."""
        with torch.enable_grad():
            gram = self.gram.detach().requires_grad_()
            norms = gram.diagonal().clamp_min(TINY).sqrt()
            cosines = gram / (norms[:, None] * norms)
            samples = len(self.origin)
            count = len(gram) // samples
            score = contrast.score(cosines.view(count, samples, count, samples))
            (slope,) = torch.autograd.grad(score.loss, gram)
        return replace(score, loss=score.loss.detach()), slope

    @torch.no_grad()
    def gradient(self, slope: Tensor) -> Tensor:
        """The gradient in the moved features (K N, F), of the one in the Gram matrix; written over the divergences.

        dL/df = M f, M = slope + slopeᵀ. Through u = φ / |φ|: dL/dφ = (g - u (u · g)) / |φ|, where u = f + u(z).
        """
        matrix = slope + slope.t()
        along: Tensor | None = None
        if self.lengths is not None:
            with_origin = self._products(self.origin).t()  # (K N, N): f . u(z)
            per_sample = (matrix @ with_origin).view(-1, *self.origin.shape[:1] * 2)  # (K, N, N): u(z_n) . g(k, i)
            from_origin = per_sample.diagonal(dim1=1, dim2=2).reshape(-1, 1)
            along = (matrix * self.gram).sum(dim=1, keepdim=True) + from_origin  # (K N, 1): u . g

        def write(columns: slice) -> None:
            before = self.rows[:, columns]
            after = matrix @ before
            if along is not None and self.lengths is not None:
                unit = self.by_direction[..., columns] + self.origin[:, columns]
                after = after.sub_(unit.flatten(0, 1).mul_(along)).div_(self.lengths)
            before.copy_(after)

        self.crew.run(torch.no_grad()(write), iterate_batches(self.rows.shape[1], COLUMNS))
        return self.rows

    def _products(self, left: Tensor) -> Tensor:
        """left (n, F) fᵀ: (n, K N)."""
        work = torch.no_grad()(lambda part: left[part] @ self.rows.t())
        return torch.cat(self.crew.run(work, iterate_batches(len(left), GRAM_ROWS)))


def _lengths(rows: Tensor) -> Tensor:
    """(n, 1), never 0."""
    found: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min_(math.sqrt(TINY))
    return found
