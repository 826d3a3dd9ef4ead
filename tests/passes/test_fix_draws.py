"""What a model draws becomes a function of the sample's key and the element's place."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnx_factorize.passes import DRAWS, FixDraws, random_nodes
from tests.builders import model, run

PAIR = """(float[N, 400] x) => (float[N, 400] y, float[N, 400] z) {
    y = RandomNormalLike <mean = 1.0, scale = 2.0> (x)
    z = RandomUniformLike <low = -1.0, high = 3.0> (x)
}"""


def fixed(text, opset=17, **options):
    treated = ir.from_proto(model(text, opset=opset, **options))
    FixDraws()(treated)
    assert random_nodes(treated) == []
    return treated


def numbers(shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize("opset", [7, 9, 10, 11, 13, 18, 22])
def test_numbers_have_the_distribution_that_was_asked_for(opset):
    y, z = run(fixed(PAIR, opset), {"x": numbers((50, 400)), DRAWS: np.arange(50)})
    assert y.mean() == pytest.approx(1, abs=0.06)
    assert y.std() == pytest.approx(2, abs=0.05)
    assert (y > 1 + 2 * 1.6449).mean() == pytest.approx(0.05, abs=0.006)
    assert z.mean() == pytest.approx(1, abs=0.04)
    assert z.min() > -1
    assert z.max() < 3
    assert np.histogram(z, 8, (-1, 3))[0].std() < 150
    # Neither elements, samples nor nodes go together.
    for table in (y, y.T):
        found = np.corrcoef(table) - np.eye(len(table))
        assert np.abs(found).mean() < 1.2 / np.sqrt(table.shape[1])
    assert abs(np.corrcoef(y.ravel(), z.ravel())[0, 1]) < 0.03


def test_numbers_depend_on_the_sample_and_not_on_its_batch():
    treated = fixed(PAIR)
    keys = np.array([3, 1000003, 5, 8])
    whole = run(treated, {"x": numbers((4, 400)), DRAWS: keys})
    for place, key in enumerate(keys):
        alone = run(treated, {"x": numbers((1, 400)), DRAWS: np.array([key])})
        for a, b in zip(whole, alone, strict=True):
            np.testing.assert_array_equal(a[place], b[0])
    assert not np.array_equal(whole[0][0], whole[0][1])


def test_shapes_that_are_fixed_and_other_types():
    text = """(float[N] x) => (double[2, 3] y, float z, float16[5] u) {
        y = RandomNormal <shape = [2, 3], dtype = 11> ()
        zero = RandomUniform <shape = [1]> ()
        z = ReduceSum <keepdims = 0> (zero)
        u = RandomUniform <shape = [5], dtype = 10> ()
    }"""
    y, z, u = run(fixed(text), {"x": numbers(7), DRAWS: np.arange(7)})
    assert (y.dtype, y.shape) == (np.float64, (2, 3))
    assert (u.dtype, u.shape) == (np.float16, (5,))
    assert 0 < z < 1


def test_a_type_that_no_one_declares_is_that_of_the_input():
    text = """(float[N] x) => (double[N] y) {
        wide = Cast <to = 11> (x)
        y = RandomNormalLike (wide)
    }"""
    assert run(fixed(text), {"x": numbers(7), DRAWS: np.arange(7)})[0].dtype == np.float64


def test_classes_and_events():
    text = """(float[N, 4] x) => (int64[N, 40] classes, float[N, 4] events) {
        classes = Multinomial <sample_size = 40, dtype = 7> (x)
        p = Exp (x)
        events = Bernoulli (p)
    }"""
    wanted = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    feeds = {"x": np.tile(np.log(wanted), (500, 1)), DRAWS: np.arange(500)}
    classes, events = run(fixed(text), feeds)
    np.testing.assert_allclose(np.bincount(classes.ravel()) / classes.size, wanted, atol=0.01)
    np.testing.assert_allclose(events.mean(axis=0), wanted, atol=0.07)
    assert set(np.unique(events)) == {0, 1}


@pytest.mark.parametrize("training", [True, False])
def test_dropout(training):
    text = """(float[N, 400] x, bool training) => (float[N, 400] y, bool[N, 400] mask) {
        ratio = Constant <value_float = 0.25> ()
        y, mask = Dropout (x, ratio, training)
    }"""
    x = np.ones((50, 400), np.float32)
    feeds = {"x": x, "training": np.array(training), DRAWS: np.arange(50)}
    y, mask = run(fixed(text), feeds)
    np.testing.assert_allclose(y, np.where(mask, 4 / 3 if training else 1, 0), rtol=1e-6)
    assert mask.mean() == pytest.approx(0.75 if training else 1, abs=0.01)


def test_dropout_at_inference_draws_nothing():
    text = """(float[N] x) => (float[N] y, float[N] z) {
        no = Constant <value = bool {0}> ()
        ratio = Constant <value_float = 0.25> ()
        y = Dropout (x)
        z = Dropout (x, ratio, no)
    }"""
    treated = ir.from_proto(model(text, opset=17))
    assert not FixDraws()(treated).modified
    assert [value.name for value in treated.graph.inputs] == ["x"]


def test_iterations_of_a_loop_draw_different_numbers():
    text = """(float[N, 3] x, int64 n, bool go) => (float[K, N, 3] y) {
        y = Loop (n, go) <body = b (int64 i, bool on) => (bool still, float[N, 3] o) {
            still = Identity (on)
            o = RandomNormalLike (x)
        }>
    }"""
    feeds = {"x": numbers((2, 3)), "n": np.array(4), "go": np.array(True), DRAWS: np.arange(2)}
    (y,) = run(fixed(text), feeds)
    assert len(np.unique(y)) == y.size


def test_functions_that_draw_are_inlined():
    text = """<ir_version: 9, opset_import: ["" : 17, "own" : 1]>
    main (float[N, 3] x) => (float[N, 3] y, float[N, 3] z) {
        y = own.noisy (x)
        z = own.noisy (x)
    }
    <domain: "own", opset_import: ["" : 17]> noisy (a) => (b) {
        n = RandomNormalLike (a)
        b = Add (a, n)
    }"""
    treated = ir.from_proto(onnx.parser.parse_model(text))
    assert random_nodes(treated) == ["RandomNormalLike 'n'"]
    FixDraws()(treated)
    y, z = run(treated, {"x": numbers((2, 3)), DRAWS: np.arange(2)})
    assert len(np.unique([y, z])) == 12
