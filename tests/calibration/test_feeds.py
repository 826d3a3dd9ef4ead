"""Feeds from Python as people have them."""

from __future__ import annotations

import collections

import numpy as np
import onnx_ir as ir
import pytest
from builders import model

from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.errors import InputError
from onnx_factorize.options import Selection


def _batches(feeds, inputs):
    proto = model(f"({inputs}) => (float[?, ?] y) {{ y = Neg (x) }}")
    signature = Signature.of(ir.from_proto(proto))
    return list(open_calibration(feeds, signature, Selection(holdout=0.0)).batches("calibration"))


class _Table:
    """Named columns that iterate over their names, as pandas' do."""

    def __init__(self, columns):
        self._columns = columns

    def keys(self):
        return self._columns.keys()

    def __iter__(self):
        return iter(self._columns)

    def __getitem__(self, name):
        return self._columns[name]


@pytest.mark.parametrize("kind", [dict, collections.UserDict, _Table])
def test_one_mapping_of_arrays_is_data(kind):
    x = np.arange(30, dtype=np.float32).reshape(10, 3)
    (batch,) = _batches(kind({"x": x, "label": np.arange(10), "text": ["a"] * 10}), "float[b, 3] x")
    assert batch.samples == 10
    np.testing.assert_array_equal(batch.feeds["x"], x)
    np.testing.assert_array_equal(batch.labels, np.arange(10))


def test_columns_of_a_table_are_samples():
    table = _Table({"x": np.arange(10.0), "z": ["red", "blue"] * 5})
    (batch,) = _batches(table, "float[b, 1] x, string[b, 1] z")
    assert batch.samples == 10
    assert batch.feeds["z"].shape == (10, 1)


def test_rows_of_different_lengths_become_samples_of_their_own():
    ids, mask = [[1, 2, 3], [4, 5], [6, 7]], [[1, 1, 1], [1, 1], [1, 0]]
    feeds = [{"x": ids, "m": mask, "label": [0, 1, 2], "text": "unused"}] * 2
    batches = _batches(feeds, "int64[b, s] x, int64[b, s] m")
    assert [b.samples for b in batches] == [1, 2, 1, 2]
    assert batches[1].feeds["x"].tolist() == [[4, 5], [6, 7]]
    assert batches[1].feeds["m"].tolist() == [[1, 1], [1, 0]]
    assert batches[1].labels.tolist() == [1, 2]
    assert batches[1].origin == "calibration, feed 0, row 1"
    with pytest.raises(InputError, match=r"feed 0: input 'x' has rows of different shapes"):
        _batches([{"x": ids, "m": 1}], "int64[b, s] x, int64[b, s] m")
    with pytest.raises(InputError, match="different shapes"):
        _batches([{"x": ids}], "int64[sequence, s] x")


class _Rows:
    """Rows as `datasets.Dataset` has them: iterated one by one, by name all at once."""

    column_names = ("x", "label", "text")

    def __init__(self, rows):
        self._rows = rows

    def __len__(self):
        return len(self._rows)

    def __iter__(self):
        return iter(self._rows)

    def __getitem__(self, key):
        return [row[key] for row in self._rows] if isinstance(key, str) else self._rows[key]


@pytest.mark.parametrize("kind", [list, _Rows])
def test_tokenized_rows_with_a_scalar_label_are_samples(kind):
    rows = [{"x": [k] * (2 + k % 3), "label": k % 4, "text": "unused"} for k in range(9)]
    batches = _batches(kind(rows), "int64[b, s] x")
    assert sum(batch.samples for batch in batches) == 9
    found = [
        (row.tolist(), int(b.labels[i])) for b in batches for i, row in enumerate(b.feeds["x"])
    ]
    assert found == [(row["x"], row["label"]) for row in rows]


def test_several_data_sets_are_not_one():
    rows = _Rows([{"x": [1, 2], "label": 0}])
    with pytest.raises(InputError, match=r"have parts \('train', 'test'\): give one of them\."):
        _batches({"train": rows, "test": rows}, "int64[b, s] x")


def test_rows_without_a_batch_axis():
    rows = [{"x": [1, 2, 3], "m": [True, True, False], "label": i} for i in range(4)]
    (batch,) = _batches(rows, "int64[b, s] x, int64[b, s] m")
    assert (batch.samples, batch.labels.tolist()) == (4, [0, 1, 2, 3])
    np.testing.assert_array_equal(batch.feeds["m"], [[1, 1, 0]] * 4)


def test_inputs_that_all_samples_of_a_feed_share():
    """What has a default may be fed, and then only samples with the same value run at once."""
    proto = model(
        "(float[b, 3] x, float[3] scale) => (float[b, 3] y) { y = Mul (x, scale) }",
        {"scale": np.ones(3, np.float32)},
    )
    signature = Signature.of(ir.from_proto(proto))
    x = np.zeros((3, 3), np.float32)
    feeds = [{"x": x, "scale": [s] * 3} if s else {"x": x} for s in (1.0, 1.0, 2.0, 0)]
    data = open_calibration(feeds, signature, Selection(holdout=0.0, batch_size=4))
    found = [(b.samples, b.feeds.get("scale", np.zeros(1))[0]) for b in data.batches("calibration")]
    assert found == [(4, 1.0), (2, 1.0), (3, 2.0), (3, 0.0)]


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ([(np.zeros((4, 3)), np.zeros(4))], r"yields tuple; .* from input names \('x'\)"),
        ([np.zeros((4, 3))], "yields ndarray"),
        (np.zeros((4, 3)), "yields ndarray"),
        ([{"x": None}], "'x' is None"),
        ([{"x": [[1, None, 2]]}], "None"),
        ([{"x": np.zeros((0, 3))}], "is empty"),
        ([{"train": [1], "test": [2]}], "holds 'train', 'test'"),
        ([], "yields no feeds"),
    ],
)
def test_one_sentence(feeds, message):
    with pytest.raises(InputError, match=message) as raised:
        _batches(feeds, "float[b, 3] x")
    assert "\n" not in str(raised.value)
