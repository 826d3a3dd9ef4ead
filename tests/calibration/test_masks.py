import numpy as np
import pytest

from onnx_factorize.calibration.masks import padding_mask


@pytest.mark.parametrize(
    ("name", "is_mask"),
    [
        ("attention_mask", True),
        ("input_mask", True),
        ("mask", True),
        ("encoder.attention_mask", True),
        ("key_padding_mask", False),
        ("input_ids", False),
        ("masked_positions", False),
    ],
)
def test_which_input_is_a_mask(name, is_mask):
    feed = {name: np.array([[1, 1, 0]])}
    found_mask = padding_mask(feed)
    assert (found_mask is not None) == is_mask
    if is_mask:
        np.testing.assert_array_equal(found_mask, [[True, True, False]])


def test_a_mask_of_floats_or_of_four_axes_is_not_one():
    assert padding_mask({"attention_mask": np.ones((1, 3), np.float32)}) is None
    assert padding_mask({"attention_mask": np.ones((1, 1, 3, 3), np.int64)}) is None
