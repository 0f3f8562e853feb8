"""PCA of a stage's activations, and the latents that move along it (GANSpace, Härkönen et al., NeurIPS 2020,
arXiv:2004.02546, its BigGAN and ProGAN recipe; checked against scikit-learn on the same activations).

GANSpace (5a704c4) approximates with IncrementalPCA and regresses over a second set of samples. Here both come from
`hub_export.range_finder`, over one set; and where a stage is linear in z, from its weights alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from eigan.errors import FitError
from hub_export.activations import Activations
from hub_export.methods.base import Basis, Problem, orient, top_eigenvectors
from hub_export.range_finder import JointCovariance, measure
from hub_export.workers import on_one_thread

MIN_VARIANCE = 1e-8  # of the total; below it a variance is rounding


@dataclass(frozen=True)
class Decomposition:
    """The K strongest components of activations, and the regression of latents on them; float64, CPU.

    variances (K,): of the components, the largest first. total_variance: of all activations. displacements (K, d): how
    latents move for one sigma of each component. linearity (K,): how much of each component's variance is linear in the
    latents, from 0 to 1; about d / N says that none is.
    """

    variances: Tensor
    total_variance: float
    displacements: Tensor
    linearity: Tensor


def solve_stage(problem: Problem, stage: str, passes: int, oversampling: int) -> Basis:
    """Direction k is the displacement of the latents for one sigma of component k of the activations, made unit.

    passes: over the samples, at least 2. oversampling: rows of the range beyond the directions asked for.

    Raises:
        FitError: activations that are not finite, or that vary along fewer directions.
    """
    source = Activations.of(problem.generator, problem.recipe, stage)
    width = min(problem.num_directions + oversampling, source.size)
    found = regress(measure(problem, source, width, passes), problem.num_directions, stage)
    return _basis(problem, found, {"stage_size": source.size, "solver": "randomized"})


def regress(joint: JointCovariance, k: int, stage: str) -> Decomposition:
    """Components within the range, and min over M of |A M - Z|²: A the coordinates in sigmas, Z the latents, centred.

    Components U are the eigenvectors of the projected covariance (Rayleigh-Ritz), s² their variances. The coordinates
    are uncorrelated and of variance 1, so row k of M is their covariance with the latents: (u_k · cov(y, z)) / s_k.
    Raises FitError where activations do not vary.
    """
    vectors, variances = top_eigenvectors(joint.projected, k)
    check_varying(variances, joint.total_variance, stage)
    displacements, explained = on_one_thread(lambda: _displacements(joint, vectors, variances))
    return Decomposition(variances, joint.total_variance, displacements, explained.clamp(0.0, 1.0))


def _displacements(joint: JointCovariance, vectors: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """M (K, d), and m_k · cov(z)⁺ m_k (K,): the R² of coordinate k regressed on the latents."""
    moved = vectors @ joint.cross / variances.sqrt()[:, None]
    inverse = torch.linalg.pinv(joint.latents, rtol=1e-9, hermitian=True)
    return moved, ((moved @ inverse) * moved).sum(dim=1)


def solve_linear(problem: Problem, matrix: Tensor, stage: str) -> Basis:
    """The same in closed form, where activations are A z + b: `matrix` is A (M, z_dim), z of one variance σ² each.

    A = U S Vᵀ: the components are columns of U, their variances σ² S², and component k moves by one sigma where z moves
    by σ along v_k. V and S² are eigenvectors and eigenvalues of AᵀA; σ² is measured: the mean variance of z among the
    problem's moments (for BigGAN's truncated normal, 0.774). Whatever b is, the class included, nothing changes.
    """
    a = matrix.detach().double().cpu()
    gram = on_one_thread(lambda: a.t() @ a)
    vectors, squares = top_eigenvectors(gram, problem.num_directions)
    check_varying(squares, float(gram.trace()), stage)
    variance = problem.moments.covariance.diagonal()[: len(gram)].mean()
    found = Decomposition(
        variance * squares,
        float(variance * gram.trace()),
        vectors * variance.sqrt(),
        torch.ones(len(vectors), dtype=torch.float64),
    )
    return _basis(problem, found, {"stage_size": len(matrix), "solver": "closed form"})


def check_varying(variances: Tensor, total: float, stage: str) -> None:
    """Raise FitError when some variances (K,) are nothing but rounding of the total."""
    flat = int((variances <= MIN_VARIANCE * total).sum())
    if total <= 0 or flat == len(variances):
        raise FitError(f"activations of stage {stage!r} are the same for all latents; choose a later stage")
    if flat:
        raise FitError(
            f"activations of stage {stage!r} do not vary along {flat} of {len(variances)} directions; "
            f"ask for num_directions={len(variances) - flat}"
        )


def _basis(problem: Problem, found: Decomposition, notes: Mapping[str, object]) -> Basis:
    """Of a z code z alone moves: the other numbers of the vectors are zero."""
    norms = found.displacements.norm(dim=1)
    if not bool((norms > 0).all()):
        raise FitError("latents do not move with the activations of this stage; choose another")
    vectors = torch.zeros(len(norms), problem.generator.code_dim, dtype=torch.float64)
    vectors[:, : found.displacements.shape[1]] = found.displacements / norms[:, None]
    metrics = {
        "eigenvalue": found.variances,
        "activation_variance_ratio": found.variances / found.total_variance,
        "linearity": found.linearity,
        "displacement": norms,
    }
    return Basis(orient(vectors.float()), metrics, notes=notes)
