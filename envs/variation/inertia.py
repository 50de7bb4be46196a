"""Inertias of rigid bodies, for many bodies at once: as principal moments in a frame, and as matrices.

    matrix = inertia_matrix(moments, quat)                # (k, 3, 3) from (k, 3) and (k, 4)
    moments, quat = principal(matrix)                     # and back, MuJoCo's body_inertia and body_iquat

A body can exist if its second moments of mass, S = tr(I)/2 - I, have no negative eigenvalue: the triangle inequality of
the principal moments.
"""

import numpy as np


def inertia_matrix(moments: np.ndarray, quat: np.ndarray) -> np.ndarray:
    """Inertia matrices (k, 3, 3) in the body's frame, of principal moments (k, 3) in frames quat (k, 4), w first."""
    axes = rotation(quat)
    return np.einsum("kij,kj,klj->kil", axes, moments, axes)


def principal(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal moments (k, 3), the largest first as MuJoCo has them, and the frame (k, 4) of their axes."""
    moments, axes = np.linalg.eigh(matrix)
    moments, axes = moments[:, ::-1], axes[:, :, ::-1].copy()
    axes[np.linalg.det(axes) < 0, :, 2] *= -1
    return moments, quaternion(axes)


def stretched_inertia(matrix: np.ndarray, stretch: np.ndarray) -> np.ndarray:
    """Inertia (k, 3, 3) about the centre of mass of a body stretched by (k, 3, 3) at constant density.

    The second moments of mass go from S to det(A) A S A^T, whatever the shape.
    """
    second = second_moments(matrix)
    second = np.linalg.det(stretch)[:, None, None] * (stretch @ second @ stretch.transpose(0, 2, 1))
    return np.trace(second, axis1=1, axis2=2)[:, None, None] * np.eye(3) - second


def second_moments(matrix: np.ndarray) -> np.ndarray:
    """Integral of x x^T dm, (k, 3, 3), from inertia matrices."""
    return 0.5 * np.trace(matrix, axis1=1, axis2=2)[:, None, None] * np.eye(3) - matrix


def volume_and_moments(radius: np.ndarray, half: np.ndarray, capped: bool) -> tuple[np.ndarray, np.ndarray]:
    """Volume (k,) and second moments (k, 3) of solid cylinders along z; with half spheres at the ends if capped."""
    volume = 2 * np.pi * radius**2 * half
    across, along = volume * radius**2 / 4, volume * half**2 / 3
    if capped:
        sphere = 4 / 3 * np.pi * radius**3
        volume = volume + sphere
        across = across + sphere * radius**2 / 5
        along = along + sphere * (radius**2 / 5 + half**2 + 0.75 * half * radius)
    return volume, np.stack([across, across, along], axis=-1)


def rotation(quat: np.ndarray) -> np.ndarray:
    """Rotation matrices (k, 3, 3) of unit quaternions (k, 4)."""
    w, x, y, z = quat.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.array(rows).transpose(2, 0, 1)


def quaternion(matrix: np.ndarray) -> np.ndarray:
    """Unit quaternions (k, 4) of rotation matrices (k, 3, 3)."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.transpose(1, 2, 0)
    # four times q q^T; its row with the largest diagonal is q up to a factor, and never near zero
    outer = np.array([
        [1 + a + e + i, h - f, c - g, d - b],
        [h - f, 1 + a - e - i, b + d, c + g],
        [c - g, b + d, 1 - a + e - i, f + h],
        [d - b, c + g, f + h, 1 - a - e + i],
    ]).transpose(2, 0, 1)  # fmt: skip
    row = np.argmax(np.diagonal(outer, axis1=1, axis2=2), axis=1)
    quat = outer[np.arange(len(outer)), row]
    return quat / np.linalg.norm(quat, axis=1, keepdims=True)
