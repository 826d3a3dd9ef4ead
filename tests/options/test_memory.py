"""Memory that a run may take, as a user gives it, and by what is free."""

from __future__ import annotations

import pytest

from onnx_factorize.errors import InputError
from onnx_factorize.options import Memory, Options


@pytest.mark.parametrize(
    ("given", "bytes_"),
    [
        ("4GB", 4e9),
        ("512MB", 512e6),
        ("1.5 GiB", 1.5 * 2**30),
        ("2g", 2e9),
        ("3000000", 3e6),
        (3_000_000, 3e6),
        (Memory(5e6), 5e6),
    ],
)
def test_sizes(given, bytes_):
    assert Options.of(memory=given).memory == Memory(bytes_)
    assert Options.of(memory=given).as_dict()["memory"] == bytes_


@pytest.mark.parametrize("given", ["much", "-1GB", "4 dogs", "", True])
def test_what_is_no_size_is_refused(given):
    with pytest.raises(InputError, match="is not a size such as 4GB or 512MB"):
        Options.of(memory=given)


def test_next_to_nothing_is_refused():
    with pytest.raises(InputError, match="memory must be at least 1MB"):
        Options.of(memory="100kB")


def test_shares_grow_with_it():
    small, large = Memory(8e6), Memory(64e9)
    assert (small.batch, small.rows, small.answers, small.operators) == (1e6, 1e6, 1e6, 2e6)
    assert large.operators == 16e9
    assert large.batch == Memory().batch  # no batch needs more
    assert Options().memory is None
    assert Options().as_dict()["memory"] is None
