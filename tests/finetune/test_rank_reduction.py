"""Bottlenecks are found, balanced, and made narrower without losing more than they must."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA, check, distribution, model, normal, run, svd_factors

torch = pytest.importorskip("torch")

from onnx_factorize import factorize  # noqa: E402
from onnx_factorize.calibration import Batch  # noqa: E402
from onnx_factorize.files import model_io  # noqa: E402
from onnx_factorize.finetune.balanced_truncation import balance  # noqa: E402
from onnx_factorize.finetune.bottleneck import find_bottlenecks  # noqa: E402
from onnx_factorize.finetune.cost_schedule import Schedule  # noqa: E402
from onnx_factorize.finetune.expand import prices_of  # noqa: E402
from onnx_factorize.finetune.gramians import measure_gramians  # noqa: E402
from onnx_factorize.finetune.multiplier import least_multiplier  # noqa: E402
from onnx_factorize.finetune.rank_reduction import RankReduction, cost_of  # noqa: E402
from onnx_factorize.finetune.truncate import truncate  # noqa: E402
from onnx_factorize.passes import FindTargets, OutputKind, RewriteTargets  # noqa: E402
from onnx_factorize.passes.linear.provenance import provenance_of  # noqa: E402
from onnx_factorize.torch import to_torch, write_back  # noqa: E402

# A grouped convolution, one of stride 2, a Gemm, and a MatMul.
NET = """(float[b, 8, 6, 6] x) => (float[b, 5] y) {
    c1 = Conv <group = 2, pads = [1, 1, 1, 1]> (x, w1, b1)
    r1 = Relu (c1)
    c2 = Conv <strides = [2, 2]> (r1, w2)
    r2 = Relu (c2)
    flat = Flatten (r2)
    h = Gemm <transB = 1> (flat, w3, b3)
    r3 = Relu (h)
    y = MatMul (r3, w4)
}"""
WEIGHTS = {
    "w1": normal(1, 12, 4, 3, 3) / 6,
    "b1": normal(2, 12),
    "w2": normal(3, 10, 12, 2, 2) / 7,
    "w3": normal(4, 16, 90) / 9,
    "b3": normal(5, 16),
    "w4": normal(6, 16, 5) / 4,
}
OUTPUTS = {"y": distribution(OutputKind("categorical", -1, "logit"), np.eye(8))}
X = normal(7, 64, 8, 6, 6)


def _batch(feeds):
    mask = feeds.get("attention_mask")
    return Batch(feeds, 1, None, "", mask=None if mask is None else mask.astype(bool))


def factorized():
    """The network, each operator as two of full rank."""
    graph = ir.from_proto(model(NET, WEIGHTS))
    finder = FindTargets()
    finder(graph)
    RewriteTargets({t.name: svd_factors(t, t.full_rank) for t in finder.targets})(graph)
    return graph


def reduction_of(graph, share, optimizer=None, **options):
    """What takes the factors of a graph down to a share of their cost, in one proximal step."""
    module, bottlenecks = to_torch(graph), find_bottlenecks(graph)
    prices = prices_of(graph, bottlenecks, None)
    start = sum(prices.values())
    reduction = RankReduction(
        (optimizer or (lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.0)))(
            list(module.parameters())
        ),
        module,
        bottlenecks,
        lambda _: measure_gramians(module, bottlenecks, OUTPUTS, [_batch({"x": X})]),
        prices,
        schedule=Schedule(start, share * start, 1),
        **options,
    )
    return module, reduction


def backward(module):
    loss = -module.run({"x": X}).outputs["y"].log_softmax(-1)[:, 0].mean()
    loss.backward()
    return loss


@pytest.mark.parametrize("shape", [(7, 4, 6), (3, 4, 9), (5, 5, 5)])
def test_sigma_are_the_singular_values_of_the_whitened_product(shape):
    rng = torch.Generator().manual_seed(0)
    n, r, m = shape

    def draw(*size):
        return torch.randn(2, *size, generator=rng, dtype=torch.float64)

    first, second, rows, grads = draw(n, r), draw(r, m), draw(50, n), draw(50, m)
    A, G = rows.mT @ rows, grads.mT @ grads
    found = balance(first.mT @ A @ first, second @ G @ second.mT)
    lower = [torch.linalg.cholesky(moment) for moment in (A, G)]
    whitened = lower[0].mT @ first @ second @ lower[1]
    exact = torch.linalg.svdvals(whitened)[:, :r]
    least = min(n, r, m)
    torch.testing.assert_close(found.sigma[:, :least], exact[:, :least], rtol=1e-4, atol=1e-4)
    # Cut to rank 2 it is the best approximation, and the whole is what it was.
    into, back = found.cut(found.sigma[:, :2])
    left = lower[0].mT @ first @ into @ back @ second @ lower[1]
    lost = (whitened - left).square().sum((1, 2))
    torch.testing.assert_close(lost, exact[:, 2:].square().sum(1), rtol=1e-4, atol=1e-6)
    eye = torch.eye(r, dtype=torch.float64).expand(2, r, r)
    torch.testing.assert_close(found.into @ found.back, eye, rtol=1e-8, atol=1e-8)


def test_a_silent_bottleneck_has_no_component_that_matters():
    zero = torch.zeros(1, 3, 3, dtype=torch.float64)
    found = balance(zero, torch.eye(3, dtype=torch.float64)[None])
    assert float(found.sigma.max()) < 1e-12
    assert all(torch.isfinite(each).all() for each in found.cut(found.sigma))


def test_the_factors_of_each_operator_are_found():
    graph = factorized()
    found = find_bottlenecks(graph)
    assert [(each.groups, each.width) for each in found] == [(2, 6), (1, 10), (1, 16), (1, 5)]
    for each in found:
        for factor in (each.down, each.up):
            value = torch.from_numpy(graph.graph.initializers[factor.weight].const_value.numpy())
            matrices = factor.matrices(value)
            assert matrices.shape[:2] == (each.groups, each.width)
            assert torch.equal(factor.stored(matrices, value), value)


@pytest.mark.parametrize("form", ["channel", "input", "spatial", "tucker"])
@pytest.mark.parametrize("shrinkage", ["hard", "soft", "reweighted"])
def test_a_narrow_graph_gives_what_the_zeros_gave(form, shrinkage):
    options = {"samples": 64, "threads": 1, "weighting": "activation", "form": form}
    graph = factorize(BUNDLED, BUNDLED_DATA, budget="targets=0.3", **options).model
    with np.load(BUNDLED_DATA) as data:
        feeds = {"image": data["image"][:32]}
    module, bottlenecks = to_torch(graph), find_bottlenecks(graph)
    assert any(each.down.convolution for each in bottlenecks)
    prices, outputs = prices_of(graph, bottlenecks, None), {"logits": OUTPUTS["y"]}
    start = sum(prices.values())
    reduction = RankReduction(
        torch.optim.AdamW(module.parameters(), 1e-3),
        module,
        bottlenecks,
        lambda _: measure_gramians(module, bottlenecks, outputs, [_batch(feeds)]),
        prices,
        schedule=Schedule(start, start / 2, 1),
        shrinkage=shrinkage,
    )
    before = module.run(feeds).outputs["logits"]
    reduction.step()
    assert reduction.over
    after = module.run(feeds).outputs["logits"].detach().numpy()
    assert not np.allclose(after, before.detach().numpy(), atol=1e-3)
    whole = model_io.parameters(graph)
    write_back(module, graph)
    truncate(graph, bottlenecks, reduction.ranks)
    np.testing.assert_allclose(run(check(graph), feeds)[0], after, atol=1e-4)
    # What it costs is what the graph holds.
    cost = cost_of(bottlenecks, prices, reduction.ranks)
    assert cost <= start / 2
    assert whole - model_io.parameters(graph) == pytest.approx(start - cost)
    marks = {n.name: provenance_of(n) for n in graph.graph if provenance_of(n)}
    last = {each.operator: reduction.ranks[each.value] for each in bottlenecks}
    assert {mark.rank for mark in marks.values()} >= set(last.values())


def test_what_matters_least_goes():
    graph = factorized()
    module, reduction = reduction_of(graph, 0.5)
    with torch.no_grad():
        dense = module.run({"x": X}).outputs["y"].log_softmax(-1)
        reduction.step()
        own = module.run({"x": X}).outputs["y"].log_softmax(-1)
    lost = float((dense.exp() * (dense - own)).sum(-1).mean())
    module, other = reduction_of(graph, 0.5)
    other._rank = lambda name, sigma, weight: reduction.ranks[name]

    def worst(_):
        found = measure_gramians(module, find_bottlenecks(graph), OUTPUTS, [_batch({"x": X})])
        # What matters is turned round, so that the components that matter most go.
        return {name: (torch.linalg.inv(p), torch.linalg.inv(q)) for name, (p, q) in found.items()}

    other._measure = worst
    with torch.no_grad():
        other.step()
        own = module.run({"x": X}).outputs["y"].log_softmax(-1)
    assert lost < 0.5 * float((dense.exp() * (dense - own)).sum(-1).mean())


def test_what_is_dropped_stays_zero_and_the_rest_trains():
    module, reduction = reduction_of(factorized(), 0.5)
    for _ in range(5):
        reduction.optimizer.zero_grad()
        backward(module)
        reduction.step()
    dropped = 0
    for each in find_bottlenecks(factorized()):
        rank = reduction.ranks[each.value]
        dropped += each.width - rank
        for factor in (each.down, each.up):
            matrices = factor.matrices(module.get_parameter(module.initializers[factor.weight]))
            assert (matrices[:, rank:] == 0).all()
            assert (matrices[:, :rank].abs().sum(-1) > 0).all()
    assert dropped > 0


def test_the_optimizer_forgets_what_it_knew_in_other_coordinates():
    graph = factorized()
    module, reduction = reduction_of(graph, 0.5)
    bottlenecks = find_bottlenecks(graph)
    narrowed = {f.weight for each in bottlenecks for f in (each.down, each.up)}
    backward(module)
    reduction.step()
    parameters = {name: module.get_parameter(path) for name, path in module.initializers.items()}
    known = {name for name, value in parameters.items() if value in reduction.optimizer.state}
    changed = {
        factor.weight
        for each in bottlenecks
        for factor in (each.down, each.up)
        if reduction.ranks[each.value] < each.width
    }
    assert known == set(parameters) - changed
    assert changed <= narrowed < set(parameters)


def test_other_coordinates_are_the_same_function():
    graph = factorized()
    module, reduction = reduction_of(graph, 0.5)
    before = module.run({"x": X}).outputs["y"]
    gramians = reduction._measure(0)
    with torch.no_grad():
        for each in find_bottlenecks(graph):
            found = balance(*gramians[each.value])
            reduction._truncate(each, found, found.sigma)
    after = module.run({"x": X}).outputs["y"]
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)
    for each in find_bottlenecks(graph):
        parts = (
            factor.matrices(module.get_parameter(module.initializers[factor.weight]))
            for factor in (each.down, each.up)
        )
        first, second = (part.norm(dim=2) for part in parts)
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


def test_ranks_are_multiples():
    graph = factorized()
    multiples = {each.value: 2 for each in find_bottlenecks(graph) if each.width % 2 == 0}
    _, reduction = reduction_of(graph, 0.6, multiples=multiples)
    reduction.step()
    reduced = [n for n, rank in reduction.ranks.items() if n in multiples and rank % 2]
    assert not reduced
    assert reduction.cost <= 0.6 * reduction._schedule.start + 1e-9


def test_an_earlier_state_is_resumed():
    module, reduction = reduction_of(factorized(), 0.5)
    start = {name: value.clone() for name, value in module.state_dict().items()}
    widths = dict(reduction.ranks)
    reduction.step()
    narrow_ranks = dict(reduction.ranks)
    reduction.reread()
    assert reduction.ranks == narrow_ranks != widths
    # What is restored is cut at once, as the steps for it are over.
    module.load_state_dict(start)
    reduction.reread()
    assert reduction.ranks == narrow_ranks
    assert len(reduction.history) == 2


TOKENS = """(float[b, 6, 8] x, int64[b, 6] attention_mask) => (float[b, 6, 5] y) {
    h = MatMul (x, w1)
    r = Relu (h)
    y = MatMul (r, w2)
}"""


def test_padding_is_not_measured():
    graph = ir.from_proto(model(TOKENS, {"w1": normal(1, 8, 8), "w2": normal(2, 8, 5)}))
    finder = FindTargets()
    finder(graph)
    RewriteTargets({t.name: svd_factors(t, 4) for t in finder.targets})(graph)
    module, bottlenecks = to_torch(graph), find_bottlenecks(graph)
    mask = (np.arange(6) < np.array([[6], [2], [3], [1]])).astype(np.int64)
    x = normal(3, 4, 6, 8)
    found = []
    for padding in (0.0, 50.0):
        feeds = {"x": np.where(mask[..., None], x, np.float32(padding)), "attention_mask": mask}
        found.append(measure_gramians(module, bottlenecks, OUTPUTS, [_batch(feeds)]))
    for name, pair in found[0].items():
        for one, other in zip(pair, found[1][name], strict=True):
            torch.testing.assert_close(one, other)
    # Rows of data are averaged over, not those of padding beside them.
    z = module.run(feeds, capture=["h.down"]).captured["h.down"].detach().numpy()
    rows = z[mask.astype(bool)].astype(np.float64)
    np.testing.assert_allclose(found[1]["h.down"][0][0], rows.T @ rows / len(rows), rtol=1e-5)


def test_factors_that_two_operators_share_are_left_alone():
    text = """(float[b, 8] x) => (float[b, 8] y) {
        h = MatMul (x, w)
        r = Relu (h)
        y = MatMul (r, w)
    }"""
    graph = ir.from_proto(model(text, {"w": normal(1, 8, 8)}))
    finder = FindTargets()
    finder(graph)
    own = svd_factors(finder.targets[0], 3)
    RewriteTargets({use.name: own for use in finder.uses})(graph)
    assert [node.op_type for node in graph.graph].count("MatMul") == 4
    assert find_bottlenecks(graph) == []


def test_the_least_multiplier_is_the_least():
    levels = np.array([1.0, 2.0, 4.0])
    found = least_multiplier(1.0, lambda m: float((levels > m).sum()), 4.0)
    assert found == pytest.approx(2.0, rel=1e-6)
    assert least_multiplier(3.0, lambda m: float((levels > m).sum()), 4.0) == 0.0
