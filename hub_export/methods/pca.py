"""PCA in W: eigenvectors of the covariance of w (GANSpace, Härkönen et al., NeurIPS 2020, arXiv:2004.02546).

GANSpace approximates with scikit-learn's IncrementalPCA, whose last components are truncation error; here the
covariance is exact, from one pass, so N x D is never stored. Checked against scikit-learn's PCA on the same samples.
"""

from __future__ import annotations

from hub_export.methods.base import Basis, Method, Problem, top_eigenvectors


def solve(problem: Problem) -> Basis:
    """Direction k is the eigenvector of cov(w), divided by N - 1, with the k-th largest eigenvalue (its variance)."""
    vectors, variances = top_eigenvectors(problem.moments.covariance, problem.num_directions)
    return Basis(vectors.float(), {"eigenvalue": variances})


METHOD = Method(solve, num_samples=1_000_000, code_spaces=("w",))
