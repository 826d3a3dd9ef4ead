"""Choosing samples, holding some out, and batching them."""

from __future__ import annotations

import hypothesis
import numpy as np
import onnx_ir as ir
import pytest
from builders import model
from hypothesis import strategies as st

from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.errors import InputError
from onnx_factorize.options import Selection


def _signature(inputs="float[batch, 3] x"):
    return Signature.of(ir.from_proto(model(f"({inputs}) => (float[?, ?] y) {{ y = Neg (x) }}")))


def _rows(data, split, **options):
    """The first column of x: the number of the sample."""
    return [
        int(v) for batch in data.batches(split, **options) for v in batch.feeds["x"][:, 0].ravel()
    ]


def _write(folder, counts, **extra):
    start = 0
    for index, count in enumerate(counts):
        numbers = np.arange(start, start + count, dtype=np.float32)
        np.savez_compressed(
            folder / f"{index:03}.npz",
            x=np.repeat(numbers[:, None], 3, axis=1),
            **{key: make(numbers) for key, make in extra.items()},
        )
        start += count


@hypothesis.settings(max_examples=40, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    samples=st.integers(1, 40),
    holdout=st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    batch=st.integers(1, 7),
    seed=st.integers(0, 5),
)
def test_splits_are_disjoint_and_cover_what_was_chosen(
    tmp_path_factory, counts, samples, holdout, batch, seed
):
    hypothesis.assume(sum(counts) > 0)
    folder = tmp_path_factory.mktemp("data")
    _write(folder, counts)
    selection = Selection(samples, holdout, batch, seed)
    data = open_calibration(folder, _signature(), selection)
    calibration, held = _rows(data, "calibration"), _rows(data, "holdout")
    chosen = min(samples, sum(counts))
    assert calibration == sorted(set(calibration))
    assert held == sorted(set(held))
    assert (len(calibration), len(held)) == (data.calibration_samples, data.holdout_samples)
    assert data.available == sum(counts)
    if data.shares_holdout:
        assert calibration == held
        assert chosen == 1 or holdout == 0
        assert len(calibration) == chosen
    else:
        assert not set(calibration) & set(held)
        assert len(calibration) + len(held) == chosen
        assert holdout > 0
        assert abs(len(held) - chosen * holdout) <= 1
    again = open_calibration(folder, _signature(), selection)
    assert _rows(again, "holdout") == held
    assert _rows(data, "calibration") == calibration  # a second pass reads the same
    sizes = [b.samples for b in data.batches("calibration")]
    assert all(size == batch for size in sizes[:-1])
    assert 0 < sizes[-1] <= batch


def test_seeds_choose_other_samples(tmp_path):
    _write(tmp_path, [200])
    held = {
        tuple(_rows(open_calibration(tmp_path, _signature(), Selection(seed=seed)), "holdout"))
        for seed in range(5)
    }
    assert len(held) == 5
    for rows in held:  # spread over the data, not bunched
        assert max(np.diff(rows)) < 20


def test_batches_join_neighbouring_files_of_one_shape_only(tmp_path):
    for index, length in enumerate([4, 4, 6, 4]):
        np.savez(tmp_path / f"{index}.npz", x=np.full((3, length), index, np.float32))
    data = open_calibration(tmp_path, _signature("float[batch, n] x"), Selection(holdout=0.0))
    shapes = [batch.feeds["x"].shape for batch in data.batches("calibration")]
    assert shapes == [(6, 4), (3, 6), (3, 4)]


@pytest.mark.parametrize(("unit", "counts"), [(2, [10]), (3, [600]), (2, [3, 3, 3, 3]), (4, [7])])
def test_a_fixed_batch_is_kept_whole(tmp_path, unit, counts):
    """Whatever the sizes of files and of the blocks they are read in."""
    _write(tmp_path, counts)
    signature = _signature(f"float[{unit}, 3] x")
    data = open_calibration(tmp_path, signature, Selection(batch_size=7))
    rows = []
    for split in ("calibration", "holdout"):
        for batch in data.batches(split):
            assert batch.feeds["x"].shape == (unit, 3)
            numbers = batch.feeds["x"][:, 0].astype(int)
            assert (np.diff(numbers) == 1).all()
            rows += numbers.tolist()
    assert len(rows) == sum(counts) // unit * unit == len(set(rows)) or data.shares_holdout


@pytest.mark.parametrize(("unit", "most"), [(1, 5), (1, 100), (4, 9), (4, 1)])
def test_some_stand_for_all(tmp_path, unit, most):
    _write(tmp_path, [20, 20])
    signature = _signature(f"float[{unit if unit > 1 else 'batch'}, 3] x")
    data = open_calibration(tmp_path, signature, Selection(holdout=0.0))
    some = data.some(most)
    assert some[0]
    assert some.sum() == min(40, max(unit, most // unit * unit))
    # What is asked for is what comes.
    assert _rows(data, "calibration", only=some) == np.flatnonzero(some).tolist()
    assert np.diff(np.flatnonzero(some[::unit])).max(initial=0) <= -(-40 // max(unit, most)) + 1


def test_fewer_samples_than_the_fixed_batch(tmp_path):
    _write(tmp_path, [3])
    with pytest.raises(InputError, match="hold 3 samples, but the model takes 4 at once"):
        open_calibration(tmp_path, _signature("float[4, 3] x"))


@pytest.mark.parametrize("key", ["label", "labels"])
def test_labels_follow_their_samples(tmp_path, key):
    _write(tmp_path, [5, 4], **{key: lambda numbers: (10 * numbers).astype(np.int64)})
    data = open_calibration(tmp_path, _signature(), Selection(batch_size=4))
    seen = 0
    for split in ("calibration", "holdout"):
        for batch in data.batches(split):
            np.testing.assert_array_equal(batch.labels, 10 * batch.feeds["x"][:, 0])
            assert list(batch.feeds) == ["x"]
            seen += batch.samples
    assert seen == 9


def test_labels_of_single_samples_without_a_batch_axis(tmp_path):
    for index in range(4):
        np.savez(tmp_path / f"{index}.npz", x=np.full(3, index, np.float32), label=np.int64(index))
    data = open_calibration(tmp_path, _signature(), Selection(holdout=0.25))
    for batch in data.batches("calibration"):
        np.testing.assert_array_equal(batch.labels, batch.feeds["x"][:, 0])


def test_labels_of_another_length_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((6, 3), np.float32), label=np.arange(5))
    data = open_calibration(tmp_path, _signature())
    with pytest.raises(InputError, match="label"):
        list(data.batches("calibration"))


def test_an_input_called_label_is_an_input(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((6, 3)), label=np.zeros((6, 3)))
    signature = _signature("float[b, 3] x, float[b, 3] label")
    for batch in open_calibration(tmp_path, signature).batches("calibration"):
        assert batch.labels is None
        assert set(batch.feeds) == {"x", "label"}


@pytest.mark.parametrize(
    "inputs",
    ["float[b, 3] x, int64 rate", "float[b, 3] x, float[2, b, 4] state", "float[time, 3] x"],
)
def test_indivisible_feeds_are_taken_whole(tmp_path, inputs):
    arrays = {"rate": np.int64(16000), "state": np.zeros((2, 5, 4), np.float32)}
    for index in range(4):
        given = {k: v for k, v in arrays.items() if k in inputs}
        np.savez(tmp_path / f"{index}.npz", x=np.full((5, 3), index, np.float32), **given)
    data = open_calibration(tmp_path, _signature(inputs), Selection(batch_size=2, holdout=0.25))
    assert (data.available, data.calibration_samples) == (4, 3)
    for batch in data.batches("calibration"):
        assert batch.samples == 1
        assert batch.feeds["x"].shape == (5, 3)
        for name in batch.feeds:
            if name in arrays:
                assert batch.feeds[name].shape == arrays[name].shape
    assert data.available == 4


def test_batch_size_of_the_caller(tmp_path):
    _write(tmp_path, [9])
    data = open_calibration(tmp_path, _signature(), Selection(holdout=0.0))
    assert [b.samples for b in data.batches("calibration", batch_size=1)] == [1] * 9


@pytest.mark.parametrize("unit", [None, 4])
def test_the_typical_sample_is_in_the_middle(unit):
    feeds = [{"x": np.full((4, length, 3), length, np.float32)} for length in (2, 8, 64)]
    signature = _signature(f"float[{unit or 'batch'}, length, 3] x")
    data = open_calibration(feeds, signature, Selection(holdout=0.0))
    found = data.typical("calibration")
    assert found.feeds["x"].shape == (unit or 1, 8, 3)
    assert data.fewer(4).calibration_samples == 4
    assert data.fewer(100) is data


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_a_batch_knows_where_its_samples_are_and_what_is_padding(tmp_path, batch_size):
    signature = _signature("float[batch, 3] x, int64[batch, 3] attention_mask")
    masks = {"attention_mask": lambda rows: (rows[:, None] > np.arange(3)).astype(np.int64)}
    _write(tmp_path, [4, 1, 6], **masks)
    selection, mask = Selection(8, 0.25, batch_size), {"attention_mask": "keep"}
    data = open_calibration(tmp_path, signature, selection, mask=mask)
    seen = []
    for split in ("calibration", "holdout"):
        for batch in data.batches(split):
            np.testing.assert_array_equal(batch.indices, batch.feeds["x"][:, 0])
            np.testing.assert_array_equal(batch.mask, batch.feeds["attention_mask"] != 0)
            seen.extend(index for part in data.parts(batch, 2) for index in part.indices)
    assert len(set(seen)) == len(seen) == 8
