"""The minimum-norm rule against quadratic programmes solved in other ways."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from d3gan.gan.aggregation.gradients import MinimumNorm, minimum_norm_weights

Vectors = np.ndarray


@st.composite
def vectors(draw: st.DrawFn) -> Vectors:
    """N vectors [N, dimension] in general position, around a common one, at any scale."""
    n, seed = draw(st.integers(1, 7)), draw(st.integers(0, 10**6))
    common, scale = draw(st.floats(0, 3)), draw(st.sampled_from([1e-8, 1.0, 1e8]))
    random = np.random.default_rng(seed)
    dimension = draw(st.integers(n, 12))
    v = random.normal(size=(n, dimension)) * random.uniform(0.1, 3, size=(n, 1))
    return np.asarray(scale * (v + common * random.normal(size=dimension)))


def length(v: Vectors, w: np.ndarray) -> float:
    return float(np.linalg.norm(w @ v))


def best_face(v: Vectors) -> np.ndarray:
    """Return the shortest of the points nearest to 0 on the affine hull of every face."""
    best = np.eye(len(v))[0]
    for size in range(1, len(v) + 1):
        for face in map(list, combinations(range(len(v)), size)):
            solution = np.linalg.solve(v[face] @ v[face].T, np.ones(size))
            w = np.zeros(len(v))
            w[face] = solution / solution.sum()
            if (w >= 0).all() and length(v, w) < length(v, best):
                best = w
    return best


@given(v=vectors())
def test_it_is_the_best_point_of_all_faces(v: Vectors) -> None:
    w = minimum_norm_weights(v @ v.T)
    assert (w >= 0).all()
    assert w.sum() == pytest.approx(1)
    np.testing.assert_allclose(w, best_face(v), atol=1e-6)


@given(v=vectors())
def test_a_step_along_it_lowers_every_loss(v: Vectors) -> None:
    """The condition for the optimum: every v_k has at least the inner product |d|^2 with d."""
    d = minimum_norm_weights(v @ v.T) @ v
    scale = np.linalg.norm(v, axis=1).max() ** 2
    assert (v @ d >= d @ d - 1e-9 * scale).all()


def test_a_general_solver_finds_the_same() -> None:
    v = np.random.default_rng(0).normal(size=(4, 9)) + 0.4
    found = minimize(
        lambda w: (w @ v) @ (w @ v),
        np.full(4, 1 / 4),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    np.testing.assert_allclose(minimum_norm_weights(v @ v.T), found.x, atol=1e-6)


@given(v=vectors().filter(lambda v: len(v) == 2))
def test_two_vectors_have_a_closed_form(v: Vectors) -> None:
    a, b = v
    share = np.clip((b - a) @ b / ((a - b) @ (a - b)), 0, 1)
    np.testing.assert_allclose(minimum_norm_weights(v @ v.T), [share, 1 - share], atol=1e-9)


@given(v=vectors(), data=st.data())
def test_weights_follow_a_reordering(v: Vectors, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(v))))
    w = minimum_norm_weights(v @ v.T)
    np.testing.assert_allclose(minimum_norm_weights(v[order] @ v[order].T), w[order], atol=1e-6)


def test_degenerate_gradients() -> None:
    for gram in (np.zeros((3, 3)), np.full((3, 3), np.nan)):
        np.testing.assert_allclose(minimum_norm_weights(gram), [1 / 3] * 3)
    same = minimum_norm_weights(np.ones((3, 3)))
    assert same.sum() == pytest.approx(1)
    assert (same >= 0).all()
    opposite = np.array([[1.0, -1.0], [-1.0, 1.0]])
    np.testing.assert_allclose(minimum_norm_weights(opposite), [0.5, 0.5])


def test_the_rule_takes_the_matrix_of_inner_products() -> None:
    gram = torch.tensor([[4.0, 0.0], [0.0, 1.0]])
    weights = MinimumNorm().weights(gram, torch.zeros(2, 1))
    torch.testing.assert_close(weights, torch.tensor([[0.2], [0.8]]))
