"""What decoders are fed beside their token ids."""

import numpy as np
import onnx_ir as ir
import pytest

from onnx_factorize.calibration import Signature
from onnx_factorize.errors import InputError
from tests.builders import model
from tests.decoders import decoder, text

IDS = text(3, 5)
KEYS = {f"past_key_values.0.{part}" for part in ("key", "value")}


def signature(inputs, *given):
    proto = model(f"({inputs}) => (float[?] y) {{ y = Neg (input_ids) }}")
    return Signature.of(ir.from_proto(proto)).lacking(given or ("input_ids",))


def of_decoder(*given, merged=False):
    return Signature.of(ir.from_proto(decoder(merged=merged))).lacking(("input_ids", *given))


def test_a_decoder_is_fed_its_first_step():
    wants = of_decoder()
    assert (wants.batched, wants.batch, wants.shared) == (True, None, frozenset())
    feeds = wants.conform({"input_ids": IDS.astype(np.int32)}, "f.npz")
    assert feeds["attention_mask"].dtype == np.int64
    np.testing.assert_array_equal(feeds["attention_mask"], np.ones((3, 5)))
    np.testing.assert_array_equal(feeds["position_ids"], np.tile(np.arange(5), (3, 1)))
    for name in KEYS:
        assert (feeds[name].shape, feeds[name].dtype) == ((3, 2, 0, 4), np.float32)
    assert wants.fills.said == (
        "Inputs that the data lack were filled in, as at the first step of a text "
        "('attention_mask': ones; 'position_ids': 0, 1, 2, …; 'past_key_values.0.key', "
        "'past_key_values.0.value': an empty cache)."
    )


def test_one_text_gets_a_batch_axis_everywhere():
    feeds = of_decoder().conform({"input_ids": IDS[0]}, "f.npz")
    assert feeds["past_key_values.0.key"].shape == (1, 2, 0, 4)
    assert feeds["position_ids"].shape == (1, 5)


def test_a_merged_decoder_runs_its_first_branch():
    wants = of_decoder(merged=True)
    assert wants.batched
    assert wants.shared == {"use_cache_branch"}
    feeds = wants.conform({"input_ids": IDS}, "f.npz")
    assert feeds["use_cache_branch"].tolist() == [False]


def test_what_is_given_is_used_as_it_is():
    mask = np.array([[0, 0, 1, 1, 1]] * 3)
    wants = of_decoder("attention_mask")
    feeds = wants.conform({"input_ids": IDS, "attention_mask": mask}, "f.npz")
    assert feeds["attention_mask"] is mask
    assert feeds["position_ids"].tolist() == [[0, 0, 0, 1, 2]] * 3  # padding does not count
    assert "attention_mask" not in wants.fills.names


def test_caches_that_are_given_have_positions_before():
    past = dict.fromkeys(KEYS, np.zeros((3, 2, 7, 4), np.float32))
    feeds = of_decoder(*KEYS).conform({"input_ids": IDS, **past}, "f.npz")
    assert feeds["attention_mask"].shape == (3, 12)
    assert feeds["position_ids"].tolist() == [list(range(7, 12))] * 3


def test_some_caches_and_not_all_are_no_first_step():
    some = {"past_key_values.0.key": np.zeros((3, 2, 7, 4), np.float32)}
    with pytest.raises(InputError, match=r"no array for .* 'past_key_values\.0\.value'; it holds"):
        of_decoder(*some).conform({"input_ids": IDS, **some}, "f.npz")


def test_what_only_a_first_record_lacked_is_an_error_later():
    wants = of_decoder("attention_mask")
    with pytest.raises(InputError, match=r"b\.npz has no array for .* 'attention_mask'"):
        wants.conform({"input_ids": IDS}, "b.npz")


def test_without_ids_nothing_is_certain():
    with pytest.raises(InputError, match=r"f\.npz has no array for the model's input 'input_ids'"):
        of_decoder().conform({"attention_mask": IDS}, "f.npz")


def test_an_encoder():
    wants = signature(
        "int64[b, n] input_ids, bool[b, n] attention_mask, int32[b, n] token_type_ids"
    )
    feeds = wants.conform({"input_ids": IDS}, "f.npz")
    assert feeds["attention_mask"].all()
    assert feeds["token_type_ids"].dtype == np.int32
    assert not feeds["token_type_ids"].any()


@pytest.mark.parametrize(
    ("declared", "wanted"), [("int64[n]", [0, 1, 2, 3, 4]), ("int64[1, n]", [[0, 1, 2, 3, 4]])]
)
def test_positions_that_samples_share(declared, wanted):
    wants = signature(f"int64[b, n] input_ids, {declared} position_ids")
    assert wants.batched
    assert wants.shared == {"position_ids"}
    assert wants.conform({"input_ids": IDS}, "f.npz")["position_ids"].tolist() == wanted


@pytest.mark.parametrize(
    "other",
    [
        "float[b, n] attention_mask",  # what it adds to
        "int64[b, 1, n, n] attention_mask",  # which position sees which
        "int64[3, b, n] position_ids",
        "int64[b, m] encoder_attention_mask",  # of another text
        "float[b, n, 8] encoder_hidden_states",
        "float[b, 2, past, 4] past_key",  # no output takes its place
    ],
)
def test_what_is_not_certain(other):
    wants = signature(f"int64[b, n] input_ids, {other}")
    with pytest.raises(InputError, match=rf"no array for .* '{other.split()[-1]}'"):
        wants.conform({"input_ids": IDS}, "f.npz")


def test_a_mask_of_another_length_than_the_ids():
    wants = signature("int64[b, n] input_ids, int64[b, 8] attention_mask")
    with pytest.raises(InputError, match=r"'attention_mask' has shape \[3, 5\]"):
        wants.conform({"input_ids": IDS}, "f.npz")


def test_an_empty_cache_of_a_window_has_its_rows():
    """onnxruntime wants so many; none counts, and the mask is of what is fed."""
    cache = "float[b, 1, {}, width]"
    text = f"""(int64[b, s] input_ids, int64[b, t] attention_mask, {cache.format("past")} past_k,
        {cache.format("past")} past_v) => (float[b, s, 32] y, {cache.format("total")} present_k,
        {cache.format("total")} present_v) <float[3, 64] words, int64[1] last = {{1}},
        int64 zero = {{0}}, int64 one = {{1}}> {{
        x = Gather (words, input_ids) sum = ReduceSum <keepdims = 0> (attention_mask, last)
        less = Sub (sum, last) ends = Cast <to = 6> (less) shape = Shape (attention_mask)
        total = Gather (shape, one) n = Cast <to = 6> (total)
        y, present_k, present_v = com.microsoft.GroupQueryAttention <num_heads = 2,
            kv_num_heads = 1, local_window_size = 4, sliding_window_cache = 1>
            (x, , , past_k, past_v, ends, n) }}"""
    dense = model(text, {"words": np.ones((3, 64), np.float32)})
    wants = Signature.of(ir.from_proto(dense)).lacking(("input_ids",))
    feeds = wants.conform({"input_ids": np.ones((2, 7), np.int64)}, "f.npz")
    assert {name: array.shape for name, array in feeds.items()} == {
        "input_ids": (2, 7),
        "attention_mask": (2, 7),
        "past_k": (2, 1, 4, 16),
        "past_v": (2, 1, 4, 16),
    }
