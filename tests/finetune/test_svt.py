"""Proximal maps against optimality conditions and other solvers; convergence to known optima."""

from __future__ import annotations

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from onnx_factorize import InputError  # noqa: E402
from onnx_factorize.factorization import spectrum  # noqa: E402
from onnx_factorize.finetune.multiplier import cost_at, find_multiplier, weight_of  # noqa: E402
from onnx_factorize.finetune.schedule import Schedule  # noqa: E402
from onnx_factorize.finetune.shrinkage import SHRINKAGES  # noqa: E402
from onnx_factorize.finetune.svt import SVT  # noqa: E402
from onnx_factorize.finetune.svt_target import SVTTarget  # noqa: E402
from onnx_factorize.finetune.whitened_gradient import WhitenedGradient  # noqa: E402
from onnx_factorize.finetune.whitening import Whitening  # noqa: E402


def positive(generator, groups, size):
    root = torch.randn(groups, size, size + 2, generator=generator, dtype=torch.float64)
    return root @ root.mT / size


def problem(seed, K, N, groups=1):
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(groups, K, N, generator=generator, dtype=torch.float64)
    return W, positive(generator, groups, K), positive(generator, groups, N)


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.sqrt()[..., None, :]) @ vectors.mT


def whitened(W, A, G):
    return root(A) @ W @ root(G)


SHAPES = [(7, 4), (4, 7), (5, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_decomposition_is_the_products(shape):
    W, A, G = problem(1, *shape, groups=2)
    found = Whitening.of(A, G, W.shape).decompose(W)
    exact = torch.linalg.svdvals(whitened(W, A, G))
    torch.testing.assert_close(found.sigma, exact, rtol=1e-9, atol=1e-9)
    there = spectrum.decompose(W.numpy(), A.numpy(), G.numpy(), damping=0.0)
    np.testing.assert_allclose(found.sigma.square().sum(0), there.squares, rtol=1e-9)
    first, second = there.truncated(2)
    cut = torch.where(torch.arange(found.sigma.shape[1]) < 2, found.sigma, 0)
    np.testing.assert_allclose(found.replaced(cut), first @ second, atol=1e-9)
    torch.testing.assert_close(found.replaced(found.sigma), W, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_observed_moments_are_the_metric(shape):
    W, A, G = problem(2, *shape)
    generator = torch.Generator().manual_seed(3)
    side = "output" if shape[1] <= shape[0] else "input"
    narrow, wide = (G, A) if side == "output" else (A, G)
    rows = torch.randn(1, 50, wide.shape[1], generator=generator, dtype=torch.float64)
    exact = Whitening(side, narrow, rows.mT @ rows / 50).decompose(W)
    observed = Whitening(side, narrow)
    observed.observe(rows @ (W if side == "output" else W.mT))
    found = observed.decompose(W)
    torch.testing.assert_close(found.sigma, exact.sigma, rtol=1e-9, atol=1e-9)
    half = exact.sigma / 2
    torch.testing.assert_close(found.replaced(half), exact.replaced(half), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_soft_map_has_no_duality_gap(shape):
    """Fenchel: the minimum of ½‖S-M‖² + w‖S‖_* is that of its dual, ½‖M‖² - ½‖M-Y‖², ‖Y‖ ≤ w."""
    W, A, G = problem(4, *shape)
    M = whitened(W, A, G)
    found = Whitening.of(A, G, W.shape).decompose(W)
    weight = float(found.sigma.median())
    Z = found.replaced(SHRINKAGES["soft"].shrink(found.sigma, weight, 1.0))
    S = whitened(Z, A, G)
    primal = (S - M).square().sum() / 2 + weight * torch.linalg.svdvals(S).sum()
    Y = M - S
    assert torch.linalg.matrix_norm(Y, 2).max() <= weight * (1 + 1e-9)
    dual = M.square().sum() / 2 - (M - Y).square().sum() / 2
    assert abs(float(primal - dual)) < 1e-9 * float(primal)


def test_soft_map_against_a_solver_of_the_factored_problem():
    """‖S‖_* is the least ½(‖U‖² + ‖V‖²) with S = U Vᵀ: a smooth problem, solved by L-BFGS."""
    W, A, G = problem(5, 6, 4)
    whitening = Whitening.of(A, G, W.shape)
    found = whitening.decompose(W)
    weight = float(found.sigma[0, 1])
    Z = found.replaced(SHRINKAGES["soft"].shrink(found.sigma, weight, 1.0))
    RA, RG = root(A)[0], root(G)[0]
    generator = torch.Generator().manual_seed(6)
    U = torch.randn(6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    V = torch.randn(4, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [U, V], max_iter=5000, tolerance_grad=1e-13, tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        solver.zero_grad()
        loss = (U @ V.T - RA @ W[0] @ RG).square().sum() / 2
        loss = loss + weight / 2 * (U.square().sum() + V.square().sum())
        loss.backward()
        return loss

    solver.step(closure)
    solved = torch.linalg.solve(RA, U @ V.T) @ torch.linalg.inv(RG)
    torch.testing.assert_close(solved.detach(), Z[0], rtol=0, atol=1e-6)


@hypothesis.given(
    st.sampled_from(sorted(SHRINKAGES)),
    st.floats(0.0, 5.0),
    st.floats(0.01, 3.0),
    st.floats(0.05, 1.0),
)
def test_scalar_maps_minimise_what_they_say(name, sigma, weight, step):
    shrinkage = SHRINKAGES[name]
    at = torch.tensor([sigma], dtype=torch.float64)
    grid = torch.linspace(0, 6, 20001, dtype=torch.float64)
    value = {
        "soft": weight * grid,
        "reweighted": weight**2 * torch.log1p(grid / weight),
        "hard": weight**2 / 2 * (grid > 0).double(),
    }[name]
    least = float(((grid - sigma).square() / 2 + step * value).min())
    z = shrinkage.shrink(at, weight, step)
    assert float(z) >= 0
    mine = float((z - sigma).square() / 2) + step * shrinkage.penalty(z, weight)
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
def test_multiplier_is_the_smallest_that_will_do(seed, share):
    rng = np.random.default_rng(seed)
    spectra = [
        torch.tensor(np.sort(rng.exponential(size=(1, 6)))[:, ::-1].copy()) for _ in range(3)
    ]
    units, dense = [5.0, 9.0, 14.0], [20.0, 40.0, 70.0]
    allowed = share * sum(dense)
    multiplier = find_multiplier(allowed, spectra, units, dense)
    assert cost_at(multiplier, spectra, units, dense) <= allowed
    if multiplier:
        assert cost_at(multiplier * (1 - 1e-6), spectra, units, dense) > allowed


def regression(seed, rows=60, K=8, N=5):
    """Least squares with a nuclear norm: f(W) = ‖X W - Y‖² / 2n, whitened by A = XᵀX / n."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(rows, K, generator=generator, dtype=torch.float64)
    X = X * torch.linspace(0.3, 3, K, dtype=torch.float64)
    truth = torch.randn(K, 2, generator=generator, dtype=torch.float64) @ torch.randn(
        2, N, generator=generator, dtype=torch.float64
    )
    Y = X @ truth + 0.5 * torch.randn(rows, N, generator=generator, dtype=torch.float64)
    return X, Y


def run(X, Y, A, G, rate, steps, multiplier, shrinkage="soft", start=None):
    shape = torch.Size((1, X.shape[1], Y.shape[1]))
    parameter = torch.nn.Parameter(
        torch.zeros(shape[1:], dtype=torch.float64) if start is None else start.clone()
    )
    target = SVTTarget(
        "w", parameter, Whitening.of(A, G, shape), unit=float(sum(shape[1:])), dense=40.0
    )
    svt = SVT(
        WhitenedGradient([target], rate), [target], multiplier=multiplier, shrinkage=shrinkage
    )
    objectives = []
    for _ in range(steps):
        svt.zero_grad()
        loss = (X @ parameter - Y).square().sum() / (2 * len(X))
        objectives.append(float(loss.detach()) + svt.penalty())
        loss.backward()
        svt.step()
    return parameter.detach(), objectives, svt


def test_converges_to_the_known_optimum_of_nuclear_norm_least_squares():
    """With A = XᵀX / n the objective is the proximal problem at the least squares solution."""
    X, Y = regression(7)
    A = (X.T @ X / len(X))[None]
    multiplier = 0.02
    W, objectives, svt = run(X, Y, A, None, 0.5, 80, multiplier)
    least = torch.linalg.lstsq(X, Y).solution[None]
    found = Whitening.of(A, None, least.shape).decompose(least)
    weight = weight_of(multiplier, svt.targets[0].unit)
    known = found.replaced(SHRINKAGES["soft"].shrink(found.sigma, weight, 1.0))[0]
    torch.testing.assert_close(W, known, rtol=0, atol=1e-8)
    assert all(b <= a * (1 + 1e-10) for a, b in itertools.pairwise(objectives))
    assert 0 < svt.history[-1].ranks["w"] < 5
    assert svt.history[-1].change["w"] < 1e-9


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [(8, 5), (5, 8)])
def test_converges_in_any_metric_and_never_rises(seed, shape):
    """Optimality in S: -∇S is w (U Vᵀ + M) with ‖M‖ ≤ 1 and M orthogonal to U and V."""
    X, Y = regression(seed, K=shape[0], N=shape[1])
    _, A, G = problem(seed, *shape)
    A = A / 2 + (X.T @ X / len(X))[None]
    G = G / 4 + torch.eye(shape[1], dtype=torch.float64)
    smooth = torch.linalg.inv(root(A)[0]) @ (X.T @ X / len(X)) @ torch.linalg.inv(root(A)[0])
    L = float(torch.linalg.eigvalsh(smooth)[-1] / torch.linalg.eigvalsh(G[0])[0])
    multiplier = 0.5
    W, objectives, svt = run(X, Y, A, G, 1 / L, 3000, multiplier)
    assert all(b <= a * (1 + 1e-10) for a, b in itertools.pairwise(objectives))
    weight = weight_of(multiplier, svt.targets[0].unit)
    inverse_a, inverse_g = torch.linalg.inv(root(A)[0]), torch.linalg.inv(root(G)[0])
    gradient = inverse_a @ (X.T @ (X @ W - Y) / len(X)) @ inverse_g
    rank = svt.history[-1].ranks["w"]
    assert 0 < rank < 5
    U, _, Vt = torch.linalg.svd(root(A)[0] @ W @ root(G)[0], full_matrices=False)
    U, Vt = U[:, :rank], Vt[:rank]
    M = -gradient / weight - U @ Vt
    assert float(torch.linalg.matrix_norm(M, 2)) <= 1 + 1e-6
    assert float((U.T @ M).abs().max()) < 1e-6
    assert float((M @ Vt.T).abs().max()) < 1e-6


@pytest.mark.parametrize("name", ["hard", "reweighted"])
def test_other_penalties_never_rise_either(name):
    X, Y = regression(9)
    A = (X.T @ X / len(X))[None]
    start = torch.linalg.lstsq(X, Y).solution
    _, objectives, svt = run(X, Y, A, None, 0.7, 60, 0.01, name, start)
    assert all(b <= a * (1 + 1e-10) for a, b in itertools.pairwise(objectives))
    assert svt.history[-1].ranks["w"] < 5


def test_schedule_falls_and_holds():
    for curve in ("cubic", "linear", "cosine"):
        schedule = Schedule(10.0, 2.0, 100, delay=20, curve=curve)
        values = [schedule.at(step) for step in range(150)]
        assert values[:21] == [10.0] * 21
        assert values[100:] == [2.0] * 50
        assert all(b <= a for a, b in itertools.pairwise(values))
    with pytest.raises(InputError, match="no curve 'wavy'"):
        Schedule(1, 0, 10, curve="wavy")


@pytest.mark.parametrize("name", sorted(SHRINKAGES))
def test_ranks_move_between_targets_down_to_the_budget(name):
    """Two layers of one regression: the second has a truth of rank 1, the first of full rank."""
    torch.manual_seed(0)
    x = torch.randn(256, 12)
    truths = torch.randn(12, 8), torch.randn(12, 1) @ torch.randn(1, 8)
    parameters = [torch.nn.Parameter(torch.randn(12, 8) / 4) for _ in truths]
    A = (x.T @ x / 256).double()[None]
    targets = [
        SVTTarget(f"t{i}", p, Whitening.of(A, None, torch.Size((1, 12, 8))), unit=20.0, dense=96.0)
        for i, p in enumerate(parameters)
    ]
    budget = 100.0
    svt = SVT(
        torch.optim.Adam(parameters, 0.05),
        targets,
        shrinkage=name,
        schedule=Schedule(192.0, budget, 150),
        every=5,
    )
    for _ in range(250):
        svt.zero_grad()
        pairs = zip(parameters, truths, strict=True)
        sum((x @ (p - t)).square().mean() for p, t in pairs).backward()
        svt.step()
    costs = [record.cost for record in svt.history]
    allowed = [Schedule(192.0, budget, 150).at(record.step) for record in svt.history]
    assert all(cost <= limit for cost, limit in zip(costs, allowed, strict=True))
    assert svt.history[-1].ranks["t1"] == 1
    assert svt.history[-1].ranks["t0"] >= 3
    factors = svt.factors(budget)
    for target in targets:
        first, second = factors[target.name]
        norms = first.square().sum(1), second.square().sum(2)
        torch.testing.assert_close(*norms)


def test_resumes_to_the_same_weights():
    X, Y = regression(11)
    shape = torch.Size((1, 8, 5))

    def make():
        parameter = torch.nn.Parameter(torch.ones(8, 5, dtype=torch.float64))
        target = SVTTarget("w", parameter, Whitening.of(None, None, shape), unit=13.0, dense=40.0)
        schedule = Schedule(40.0, 26.0, 20)
        return parameter, SVT(torch.optim.Adam([parameter], 0.05), [target], schedule=schedule)

    def train(parameter, svt, steps):
        for _ in range(steps):
            svt.zero_grad()
            (X @ parameter - Y).square().mean().backward()
            svt.step()

    whole, svt = make()
    train(whole, svt, 30)
    half, first = make()
    train(half, first, 13)
    resumed, second = make()
    with torch.no_grad():
        resumed.copy_(half)
    second.load_state_dict(first.state_dict())
    train(resumed, second, 17)
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)


def test_convolution_and_transposed_weights_are_seen_as_matrices():
    torch.manual_seed(1)
    conv = torch.nn.Parameter(torch.randn(6, 4, 3, 3))
    target = SVTTarget(
        "c", conv, Whitening("output"), 1.0, 1.0, groups=2, transposed=True, scale=0.5
    )
    matrices = target.matrices()
    assert matrices.shape == (2, 36, 3)
    torch.testing.assert_close(matrices[1, :, 2].float(), 0.5 * conv[5].reshape(-1).detach())
    torch.testing.assert_close(target.stored(matrices), conv.detach())


def test_options_that_contradict():
    parameter = torch.nn.Parameter(torch.zeros(3, 2))
    target = SVTTarget("w", parameter, Whitening("output"), 1.0, 1.0)
    optimizer = torch.optim.SGD([parameter], 0.1)
    with pytest.raises(InputError, match="a schedule or a multiplier"):
        SVT(optimizer, [target])
    with pytest.raises(InputError, match="share a weight"):
        SVT(optimizer, [target, target], multiplier=1.0)
    with pytest.raises(InputError, match="no shrinkage 'odd'"):
        SVT(optimizer, [target], multiplier=1.0, shrinkage="odd")
