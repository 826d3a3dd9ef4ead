"""Proximal maps against optimality conditions and other solvers."""

from __future__ import annotations

import itertools

import hypothesis
import hypothesis.strategies as st
import pytest

torch = pytest.importorskip("torch")

from onnx_factorize import InputError  # noqa: E402
from onnx_factorize.finetune.balanced_truncation import balance  # noqa: E402
from onnx_factorize.finetune.cost_schedule import Schedule  # noqa: E402
from onnx_factorize.finetune.multiplier import least_multiplier, weight_of  # noqa: E402
from onnx_factorize.finetune.shrinkage import SHRINKAGES, get_shrinkage  # noqa: E402

DOUBLE = torch.float64


def positive(generator, size):
    root = torch.randn(size, size + 2, generator=generator, dtype=DOUBLE)
    return root @ root.mT / size


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.sqrt()) @ vectors.mT


class Problem:
    """Two factors between metrics: M is their product in whitened coordinates."""

    def __init__(self, seed, K, rank, N):
        generator = torch.Generator().manual_seed(seed)
        self.down = torch.randn(K, rank, generator=generator, dtype=DOUBLE)
        self.up = torch.randn(rank, N, generator=generator, dtype=DOUBLE)
        self.A, self.G = positive(generator, K), positive(generator, N)
        self.found = balance(
            (self.down.T @ self.A @ self.down)[None], (self.up @ self.G @ self.up.T)[None]
        )
        self.M = root(self.A) @ self.down @ self.up @ root(self.G)

    def shrunk(self, name, weight):
        """What a proximal step leaves, in whitened coordinates."""
        sigma = self.found.sigma
        into, back = self.found.cut(SHRINKAGES[name].shrink(sigma, weight, 1.0))
        return root(self.A) @ self.down @ into[0] @ back[0] @ self.up @ root(self.G)


SHAPES = [(7, 3, 4), (4, 4, 7), (5, 5, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_soft_map_has_no_duality_gap(shape):
    """Fenchel: the minimum of ½‖S-M‖² + w‖S‖_* is that of its dual, ½‖M‖² - ½‖M-Y‖², ‖Y‖ ≤ w."""
    problem = Problem(4, *shape)
    weight = float(problem.found.sigma.median())
    M, S = problem.M, problem.shrunk("soft", weight)
    primal = (S - M).square().sum() / 2 + weight * torch.linalg.svdvals(S).sum()
    Y = M - S
    assert torch.linalg.matrix_norm(Y, 2) <= weight * (1 + 1e-6)
    dual = M.square().sum() / 2 - (M - Y).square().sum() / 2
    assert abs(float(primal - dual)) < 1e-6 * float(primal)


def test_soft_map_against_a_solver_of_the_factored_problem():
    """‖S‖_* is the least ½(‖U‖² + ‖V‖²) with S = U Vᵀ: a smooth problem, solved by L-BFGS."""
    problem = Problem(5, 6, 4, 4)
    weight = float(problem.found.sigma[0, 1])
    generator = torch.Generator().manual_seed(6)
    U = torch.randn(6, 4, generator=generator, dtype=DOUBLE, requires_grad=True)
    V = torch.randn(4, 4, generator=generator, dtype=DOUBLE, requires_grad=True)
    solver = torch.optim.LBFGS(
        [U, V], max_iter=5000, tolerance_grad=1e-13, tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        solver.zero_grad()
        loss = (U @ V.T - problem.M).square().sum() / 2
        loss = loss + weight / 2 * (U.square().sum() + V.square().sum())
        loss.backward()
        return loss

    solver.step(closure)
    solved = (U @ V.T).detach()
    torch.testing.assert_close(solved, problem.shrunk("soft", weight), rtol=0, atol=1e-5)


@hypothesis.given(
    st.sampled_from(sorted(SHRINKAGES)),
    st.floats(0.0, 5.0),
    st.floats(0.01, 3.0),
    st.floats(0.05, 1.0),
)
def test_scalar_maps_minimise_what_they_say(name, sigma, weight, step):
    shrinkage = SHRINKAGES[name]
    at = torch.tensor([sigma], dtype=DOUBLE)
    grid = torch.linspace(0, 6, 20001, dtype=torch.float64)
    penalty = {
        "soft": lambda z: weight * z,
        "reweighted": lambda z: weight**2 * torch.log1p(z / weight),
        "hard": lambda z: weight**2 / 2 * (z > 0).double(),
    }[name]
    least = float(((grid - sigma).square() / 2 + step * penalty(grid)).min())
    z = shrinkage.shrink(at, weight, step)
    assert float(z) >= 0
    mine = float((z - sigma).square() / 2) + step * float(penalty(z))
    assert mine <= least + 1e-9


def test_maps_keep_the_same_components():
    sigma = torch.linspace(0, 3, 301, dtype=torch.float64)
    kept = [s.shrink(sigma, 1.3, 1.0) > 0 for s in SHRINKAGES.values()]
    assert all(torch.equal(each, sigma > 1.3) for each in kept)
    soft, reweighted, hard = (
        SHRINKAGES[n].shrink(sigma, 1.3, 1.0) for n in ("soft", "reweighted", "hard")
    )
    assert bool((soft <= reweighted + 1e-12).all())
    assert bool((reweighted <= hard + 1e-12).all())


@hypothesis.given(st.integers(0, 10**6), st.floats(0.02, 1.2))
def test_a_component_stays_if_it_is_worth_what_it_costs(seed, share):
    """The least multiplier under which costs are allowed drops the least loss for its cost."""
    generator = torch.Generator().manual_seed(seed)
    spectra = [torch.rand(6, generator=generator, dtype=DOUBLE) for _ in range(3)]
    units = [5.0, 9.0, 14.0]

    def cost(multiplier):
        pairs = zip(spectra, units, strict=True)
        return sum(unit * int((s > weight_of(multiplier, unit)).sum()) for s, unit in pairs)

    most = max(float(s.max()) ** 2 / (2 * unit) for s, unit in zip(spectra, units, strict=True))
    allowed = share * cost(0.0)
    multiplier = least_multiplier(allowed, cost, most)
    assert cost(multiplier) <= allowed
    if multiplier:
        assert cost(multiplier * (1 - 1e-6)) > allowed


def test_schedule_falls_and_holds():
    values = [Schedule(10.0, 2.0, 100).at(step) for step in range(150)]
    assert values[0] == 10.0
    assert values[100:] == [2.0] * 50
    assert all(b <= a for a, b in itertools.pairwise(values))


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="no shrinkage 'odd'"):
        get_shrinkage("odd")
