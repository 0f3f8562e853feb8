"""Poses: what they take, what their matrices are, and which way a picture goes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eigan.errors import InvalidCodes
from eigan.pose import STILL, Pose

shifts = st.floats(-1, 1)
poses = st.builds(Pose, shifts, shifts, st.floats(-360, 360))


def place(pose: Pose, x: float, y: float) -> list[float]:
    """Where the point (x, y) of the picture went: the matrix is the inverse of the motion."""
    motion = torch.linalg.inv(pose.matrix().double())
    found: list[float] = (motion @ torch.tensor([x, y, 1.0], dtype=torch.float64))[:2].tolist()
    return found


@settings(deadline=None)
@given(poses)
def test_a_matrix_is_a_rotation_and_a_shift(pose: Pose) -> None:
    matrix = pose.matrix()
    assert matrix.shape == (3, 3) and matrix.dtype == torch.float32
    assert matrix[2].tolist() == [0, 0, 1]
    torch.testing.assert_close(matrix[:2, :2] @ matrix[:2, :2].t(), torch.eye(2), atol=1e-6, rtol=0)
    assert torch.linalg.det(matrix).item() == pytest.approx(1, abs=1e-6)


@settings(deadline=None)
@given(poses)
def test_the_middle_of_the_picture_goes_where_the_shift_says(pose: Pose) -> None:
    assert place(pose, 0, 0) == pytest.approx([pose.x, pose.y], abs=1e-5)


@settings(deadline=None)
@given(poses, shifts, shifts)
def test_a_motion_keeps_distances(pose: Pose, x: float, y: float) -> None:
    moved = [a - b for a, b in zip(place(pose, x, y), place(pose, 0, 0), strict=True)]
    assert math.hypot(*moved) == pytest.approx(math.hypot(x, y), abs=1e-5)


def test_a_quarter_turn_takes_the_right_edge_to_the_top() -> None:
    assert place(Pose(angle=90), 0.5, 0) == pytest.approx([0, -0.5], abs=1e-6)  # y points down
    assert place(Pose(x=0.25, angle=90), 0.5, 0) == pytest.approx([0.25, -0.5], abs=1e-6)  # turned, then moved


def test_nothing_is_the_identity() -> None:
    assert torch.equal(Pose(0, 0, 0).matrix(), torch.eye(3))
    assert Pose() == STILL and STILL.is_still and Pose(-0.0).is_still
    assert not any(pose.is_still for pose in (Pose(x=0.1), Pose(y=-0.1), Pose(angle=1)))


@pytest.mark.parametrize(
    "values",
    [{"x": 1.01}, {"y": -2.0}, {"angle": 361.0}, {"x": math.nan}, {"y": math.inf}, {"angle": -math.inf}],
    ids=str,
)
def test_poses_that_no_picture_has_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidCodes, match=f"pose {next(iter(values))} is"):
        Pose(**values)
