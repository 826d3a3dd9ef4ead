"""What each rank costs and loses."""

from __future__ import annotations

import numpy as np
import pytest
from builders import found, model, normal, price

from onnx_factorize.allocation.candidates import automatic_multiple, candidates, only_dense
from onnx_factorize.curve import DENSE
from onnx_factorize.factorization.losses import kronecker_losses
from onnx_factorize.factorization.spectrum import decompose


def _target(rows, columns):
    proto = model(
        f"(float[2, {rows}] x) => (float[2, {columns}] y) {{ [m] y = MatMul (x, w) }}",
        {"w": normal(1, rows, columns)},
    )
    return found(proto)[1].targets[0]


def _choices(target, kind, macs, multiple):
    """The candidates, where a unit of discarded energy costs one half."""
    losses = kronecker_losses(decompose(target.matrices()))
    return candidates(target, losses, price(kind), macs, multiple)


@pytest.mark.parametrize("kind", ["params", "targets", "macs"])
@pytest.mark.parametrize(("rows", "columns"), [(30, 20), (20, 30), (24, 24), (2, 100), (6, 3)])
def test_every_smaller_rank_and_dense(kind, rows, columns):
    target = _target(rows, columns)
    found_choices = _choices(target, kind, 7 * rows * columns, 1)
    smaller = [r for r in range(1, rows * columns) if r * (rows + columns) < rows * columns]
    assert found_choices.ranks.tolist() == [*smaller, DENSE]
    unit = 7 if kind == "macs" else 1
    np.testing.assert_allclose(
        found_choices.costs,
        [*(unit * r * (rows + columns) for r in smaller), unit * rows * columns],
    )
    assert (np.diff(found_choices.costs) > 0).all()
    assert (np.diff(found_choices.losses) <= 0).all()
    sigma = np.linalg.svd(target.matrices()[0], compute_uv=False)
    lost = [np.square(sigma[r:]).sum() for r in smaller]
    np.testing.assert_allclose(found_choices.losses, [*(0.5 * np.array(lost)), 0], atol=1e-9)


def test_multiples():
    target = _target(64, 64)
    assert _choices(target, "params", 0, 8).ranks.tolist() == [8, 16, 24, DENSE]


def test_bytes_count_the_new_node():
    target = _target(64, 64)
    found_choices = _choices(target, "bytes", 0, 1)
    assert found_choices.dense == 64 * 64 * 4
    assert (found_choices.costs[:-1] > found_choices.ranks[:-1] * 128 * 4).all()
    assert (np.diff(found_choices.costs) > 0).all()


def test_automatic_multiple():
    small, large = _target(24, 24), _target(256, 256)
    assert automatic_multiple(small, small.params) == 1
    assert automatic_multiple(large, 100_000_000) == 16
    for target in (small, large):
        for total in (1_000, 10_000, 10_000_000):
            multiple = automatic_multiple(target, total)
            assert multiple in (1, 2, 4, 8, 16)


@pytest.mark.parametrize(("kind", "cost"), [("params", 576), ("bytes", 2304), ("macs", 99)])
def test_only_dense(kind, cost):
    choices = only_dense(_target(24, 24), price(kind), 99)
    assert choices.ranks.tolist() == [DENSE]
    assert choices.costs.tolist() == [cost]
