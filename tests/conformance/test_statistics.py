"""Statistics are a commutative monoid, and a file keeps them bit for bit."""

from __future__ import annotations

import dataclasses
import itertools

import hypothesis
import numpy as np
import onnx_ir as ir
import pytest
from builders import found, model, normal
from hypothesis import strategies as st

from onnx_factorize import InputError
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.factorization.losses import Directions, cross_validate
from onnx_factorize.factorization.spectrum import decompose
from onnx_factorize.options import Selection
from onnx_factorize.outputs import Survey, survey
from onnx_factorize.outputs.shapes import OutputShapes
from onnx_factorize.passes import OutputKind
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.statistics.calibrate import Showing, gather_statistics
from onnx_factorize.statistics.calibration_run import Gathered
from onnx_factorize.statistics.model_statistics import Statistics, TargetStatistics
from onnx_factorize.statistics.moments import GradientMoments, Moments, RowImportance
from onnx_factorize.statistics.observer import Observer
from onnx_factorize.statistics.part import Fingerprint, Part, Shared
from onnx_factorize.statistics.statistics_file import load, save

GROUPS, WIDTH = 2, 3
SAMPLES = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 4)), max_size=4)


def _empty():
    """Two targets of one signal, and one that is tied to the second."""
    shared = Moments.empty(GROUPS, WIDTH)
    tied = TargetStatistics(Moments.empty(GROUPS, WIDTH), GradientMoments.empty(GROUPS, WIDTH))
    first = TargetStatistics(shared, GradientMoments.empty(GROUPS, WIDTH))
    second = TargetStatistics(shared, None, RowImportance.empty(GROUPS, WIDTH), (tied,))
    return Statistics({"first": first, "second": second, "tied": tied})


def _add(statistics, samples):
    """Adds made-up samples, each of a seed and so many rows."""
    for seed, count in samples:
        rows = normal(seed, 2, GROUPS, count, WIDTH, dtype=np.float64) - 5
        statistics["first"].signal.add(rows[0])
        statistics["first"].gradient.add(rows[1], 1)
        statistics["second"].rows.add(np.square(rows[0]).sum(axis=1), 1)
        statistics["tied"].signal.add(rows[1])
        statistics["tied"].gradient.add(rows[0], 1)
    return statistics


def _of(samples):
    return _add(_empty(), samples)


SHARED = Shared(
    Fingerprint("1", "m", "d", {}), Survey({}, np.zeros(3, np.int64), OutputShapes([])), 1
)


def _save(statistics, path):
    save(Part(SHARED, Gathered([statistics]), 1, (1,)), path)


def _load(path):
    return load(path).gathered.parts[0]


def _sums(statistics):
    """All numbers, whatever their reference."""
    for name, each in statistics.items():
        yield f"{name} signal", (each.signal.count, each.signal.mean, each.signal.second_moment)
        if each.gradient is not None:
            yield f"{name} gradient", (each.gradient.samples, each.gradient.total)
        if each.rows is not None:
            yield f"{name} rows", (each.rows.samples, each.rows.total)


def _assert_same(one, other):
    for (name, a), (_, b) in zip(_sums(one), _sums(other), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9, err_msg=name)


def _assert_shared(statistics):
    assert statistics["first"].signal is statistics["second"].signal
    assert statistics["second"].tied == (statistics["tied"],)
    assert statistics["second"].tied[0] is statistics["tied"]


@hypothesis.given(SAMPLES, SAMPLES)
def test_merging_commutes(a, b):
    _assert_same(_of(a).merge(_of(b)), _of(b).merge(_of(a)))


@hypothesis.given(SAMPLES, SAMPLES, SAMPLES)
def test_merging_is_associative(a, b, c):
    left = _of(a).merge(_of(b)).merge(_of(c))
    right = _of(a).merge(_of(b).merge(_of(c)))
    _assert_same(left, right)
    _assert_same(left, _of(a).merge(_of(b), _of(c)))


@hypothesis.given(SAMPLES)
def test_no_data_are_neutral(a):
    _assert_same(_of(a).merge(_empty()), _of(a))
    _assert_same(_empty().merge(_of(a)), _of(a))


@hypothesis.given(SAMPLES, st.integers(1, 3))
def test_shards_merge_into_one_pass(samples, shards):
    parts = [_of(samples[number::shards]) for number in range(shards)]
    merged = parts[0].merge(*parts[1:])
    _assert_same(merged, _of(samples))
    _assert_shared(merged)


def test_parts_stay_as_they_are():
    a, b = _of([(1, 3)]), _of([(2, 2)])
    a.merge(b)
    _assert_same(a, _of([(1, 3)]))
    _assert_same(b, _of([(2, 2)]))


def test_some_targets_merge_with_what_they_share():
    parts = [_of([(1, 3)]).only(["second"]), _of([(2, 2)]).only(["second"])]
    merged = parts[0].merge(parts[1])
    assert list(merged) == ["second"]
    assert merged["second"].tied[0].signal.count == 5


def test_statistics_of_other_targets_do_not_merge():
    with pytest.raises(InputError, match="different targets"):
        _of([]).merge(_of([]).only(["second"]))
    wider = Statistics({"first": TargetStatistics(Moments.empty(1, 9))})
    narrow = Statistics({"first": TargetStatistics(Moments.empty(1, 8))})
    with pytest.raises(InputError, match="same model"):
        wider.merge(narrow)


@hypothesis.given(SAMPLES)
def test_a_file_keeps_every_bit(tmp_path_factory, samples):
    before = _of(samples)
    path = tmp_path_factory.mktemp("statistics") / "part.npz"
    _save(before, path)
    after = _load(path)
    assert list(after) == list(before)
    _assert_shared(after)
    for name, own in before.items():
        for field in ("signal", "gradient", "rows"):
            a, b = getattr(own, field), getattr(after[name], field)
            assert (a is None) == (b is None)
            for part in () if a is None else dataclasses.fields(a):
                x, y = np.asarray(getattr(a, part.name)), np.asarray(getattr(b, part.name))
                assert x.dtype == y.dtype
                assert x.tobytes() == y.tobytes()


def test_what_is_read_can_be_added_to(tmp_path):
    _save(_of([(1, 3)]), tmp_path / "part.npz")
    _assert_same(_add(_load(tmp_path / "part.npz"), [(2, 2)]), _of([(1, 3), (2, 2)]))


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "part.npz"
    if content is None:
        np.savez(path, x=np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match="no statistics"):
        load(path)
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "missing.npz")


def test_a_file_of_another_version_is_refused(tmp_path):
    _save(_empty(), tmp_path / "part.npz")
    with np.load(tmp_path / "part.npz") as file:
        arrays = dict(file)
    said = arrays["format"].tobytes().replace(b'"version": 2', b'"version": 99')
    np.savez(tmp_path / "part.npz", **arrays | {"format": np.frombuffer(said, np.uint8)})
    with pytest.raises(InputError, match="format 99"):
        load(tmp_path / "part.npz")


GRAPH = """(float[n, 8] x) => (float[n, 4] y, float[n, 8] back) {
    [left] a = MatMul (x, v) [right] b = MatMul (x, w) s = Add (a, b) t = Tanh (s)
    [last] y = MatMul (t, u) [tied] r = MatMul (t, vt) back = Tanh (r) }"""


def test_what_a_model_shows_in_shards_is_what_it_shows_in_one_pass(tmp_path):
    """Shards that went through files, of targets that share signals."""
    weights = {"v": normal(1, 8, 12), "w": normal(2, 8, 12), "u": normal(3, 12, 4)}
    graph = ir.from_proto(model(GRAPH, weights | {"vt": weights["v"].T.copy()}))
    graph, finder = found(graph)
    feeds = [{"x": normal(seed, 8, 8)} for seed in range(3)]
    data = open_calibration(feeds, Signature.of(graph), Selection(holdout=0.0, batch_size=8))
    kinds = {name: OutputKind("gaussian") for name in ("y", "back")}
    outputs = survey(OnnxRuntime().session(graph), kinds, data).outputs
    observer = Observer(graph, finder.targets, OnnxRuntime(), outputs)
    shards = gather_statistics(Showing(observer), finder.targets, data, np.arange(24) // 8)
    (whole,) = gather_statistics(Showing(observer), finder.targets, data)
    for number, shard in enumerate(shards):
        _save(shard, tmp_path / f"{number}.npz")
    read = [_load(tmp_path / f"{number}.npz") for number in range(3)]
    assert len({id(each.signal) for each in read[0].values()}) < len(read[0])
    for order in itertools.permutations(read):
        merged = order[0].merge(*order[1:])
        for name, own in whole.items():
            assert merged[name].signal.count == own.signal.count > 0
            covariance = merged[name].signal.covariance
            np.testing.assert_allclose(covariance, own.signal.covariance, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(
                merged[name].gradient.mean, own.gradient.mean, rtol=1e-4, atol=1e-6
            )


BRANCHES = """(float[n, 8] x, bool which) => (float[n, 4] y) {
    y = If (which) <then_branch = t () => (float[n, 4] p) { [often] p = MatMul (x, v) },
                    else_branch = e () => (float[n, 4] q) { [seldom] q = MatMul (x, w) }> }"""


def test_what_seldom_runs_counts_as_seldom():
    """Gradients are averaged over all samples, and losses with them: they add up to one mean."""
    weights = {"v": normal(1, 8, 4), "w": normal(2, 8, 4)}
    graph, finder = found(ir.from_proto(model(BRANCHES, weights)))
    feeds = [{"x": normal(s, 8, 8), "which": np.array(s != 1)} for s in range(4)]
    data = open_calibration(feeds, Signature.of(graph).with_rows(["x"]), Selection(holdout=0.0))
    kinds = {"y": OutputKind("gaussian")}
    outputs = survey(OnnxRuntime().session(graph), kinds, data).outputs
    observer = Observer(graph, finder.targets, OnnxRuntime(), outputs)
    (statistics,) = gather_statistics(Showing(observer), finder.targets, data)
    assert [found.gradient.samples for found in statistics.values()] == [32, 32]
    seldom, often = (statistics[name].signal.count for name in ("seldom", "often"))
    assert (often, seldom) == (24, 8)
    directions = {
        t.name: Directions({0: decompose(t.matrices())}, np.zeros((1, 1, t.width)))
        for t in finder.targets
    }
    sums = {}
    cross_validate(observer, finder.targets, data.batches("calibration"), directions, sums)
    assert {name: each[0].samples for name, each in sums.items()} == {"often": 32, "seldom": 32}
