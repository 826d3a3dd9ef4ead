"""Reading and writing models."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import BUNDLED, W_LARGE, model, normal, run

from onnx_factorize.errors import InputError
from onnx_factorize.files import model_io
from onnx_factorize.files.sizes import serialized_size

BODY = "(float[batch, 64] x) => (float[batch, 96] y) { h = MatMul (x, w1) y = Add (h, b1) }"


def _proto(**extra):
    return model(BODY, {"w1": W_LARGE["w1"], "b1": W_LARGE["b1"], **extra})


def test_sizes():
    proto = _proto(small=normal(1, 3), whole=np.arange(5000))
    loaded = model_io.load(proto)
    assert model_io.parameters(loaded) == 64 * 96 + 96 + 3 + 5000
    weights = [value.const_value for value in loaded.graph.initializers.values()]
    assert serialized_size(loaded) == ir.to_proto(loaded).ByteSize()
    after = [value.const_value for value in loaded.graph.initializers.values()]
    assert all(a is b for a, b in zip(weights, after, strict=True))
    assert model_io.weight_bytes(loaded) == 4 * (64 * 96 + 96 + 3) + 8 * 5000


@pytest.mark.parametrize("external", [False, True])
def test_sizes_are_those_of_the_files(external, tmp_path):
    tensors = {f"t{size}": normal(size, size) for size in (3, 64, 65, 2000)}
    loaded = model_io.load(_proto(**tensors, numbers=np.arange(5000)))
    path = tmp_path / "m.onnx"
    model_io.save(loaded, path, external=external)
    written = sum(file.stat().st_size for file in tmp_path.iterdir())
    location = f"{path.name}.data" if external else None
    assert serialized_size(loaded, location) == written
    # As it is read again, weights are elsewhere already.
    again = model_io.load(path)
    assert serialized_size(again, location) == written


def test_constants_in_branches_are_parameters():
    proto = model(
        """(float[2, 2] x, bool c) => (float[?, ?] y) { y = If (c) <
            then_branch = t () => (float[?, ?] a) {
                w = Constant <value = float[2, 2] {1, 2, 3, 4}> () a = MatMul (x, w) },
            else_branch = e () => (float[?, ?] b) { b = Neg (x) } > }"""
    )
    assert model_io.parameters(model_io.load(proto)) == 4


def test_initializers_of_strings():
    proto = _proto()
    proto.graph.initializer.append(
        onnx.helper.make_tensor("names", onnx.TensorProto.STRING, [2000], [b"abcdef"] * 2000)
    )
    loaded = model_io.load(proto)
    assert abs(serialized_size(loaded) - proto.ByteSize()) < 64


def _sparse(name="b1"):
    return onnx.helper.make_sparse_tensor(
        onnx.helper.make_tensor(name, 1, [2], [1.0, 2.0]),
        onnx.helper.make_tensor("i", 7, [2], [0, 5]),
        [96],
    )


@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_sparse_constants_become_dense(place):
    """onnx_ir drops them: without a word the result would be another model."""
    proto = _proto()
    del proto.graph.initializer[1]
    if place == "initializer":
        proto.graph.sparse_initializer.append(_sparse())
    else:
        node = onnx.helper.make_node("Constant", [], ["b1"], sparse_value=_sparse(""))
        proto.graph.node.insert(0, node)
    before = proto.SerializeToString()
    x = normal(3, 4, 64)
    bias = np.zeros(96, np.float32)
    bias[[0, 5]] = 1, 2
    loaded = model_io.load(proto)
    np.testing.assert_allclose(
        run(loaded, {"x": x})[0], x @ W_LARGE["w1"] + bias, rtol=1e-4, atol=1e-5
    )
    assert proto.SerializeToString() == before


def test_what_nothing_gives_is_an_error():
    proto = _proto()
    del proto.graph.initializer[1]
    with pytest.raises(InputError, match="'b1', which nothing gives"):
        model_io.load(proto)


def test_an_output_of_maps_gets_a_sentence_that_says_what_to_do():
    helper = onnx.helper
    zipmap = helper.make_node(
        "ZipMap", ["x"], ["m"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
    )
    proto = model("(float[n, 2] x) => (float[n, 2] y) { y = Neg (x) }")
    proto.graph.node.append(zipmap)
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    value = proto.graph.output.add(name="m")
    value.type.sequence_type.elem_type.map_type.key_type = onnx.TensorProto.INT64
    with pytest.raises(InputError, match=r"'m' holds maps .*'zipmap': False"):
        model_io.load(proto)


def test_an_input_without_a_type():
    proto = _proto()
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UNDEFINED
    with pytest.raises(InputError, match="has no type"):
        model_io.load(proto)


def test_a_constant_without_a_type():
    proto = _proto()
    proto.graph.initializer[1].data_type = onnx.TensorProto.UNDEFINED
    with pytest.raises(InputError, match="'b1' has no type"):
        model_io.load(proto)


@pytest.mark.parametrize("external", [False, True])
def test_training_information_is_kept(external, tmp_path):
    proto = _proto()
    part = proto.training_info.add()
    part.algorithm.CopyFrom(onnx.helper.make_graph([], "algorithm", [], []))
    loaded = model_io.load(proto).clone()
    model_io.save(loaded, tmp_path / "m.onnx", external=external)
    model_io.save(model_io.load(tmp_path / "m.onnx"), tmp_path / "n.onnx", external=external)
    again = onnx.load(tmp_path / "n.onnx")
    assert again.training_info == proto.training_info


def test_nodes_of_one_name_get_names_of_their_own():
    """onnxruntime does not run a graph in which two nodes share a name."""
    proto = _proto()
    for node in proto.graph.node:
        node.name = "same"
    loaded = model_io.load(proto)
    assert [node.name for node in loaded.graph] == ["same", "same#2"]
    assert run(loaded, {"x": normal(3, 4, 64)})[0].shape == (4, 96)


def test_loading_leaves_the_source_alone():
    proto = _proto()
    before = proto.SerializeToString()
    source = ir.from_proto(proto)
    for given in (proto, source):
        loaded = model_io.load(given)
        loaded.graph.node(0).name = "changed"
        loaded.graph.initializers["b1"].const_value = ir.tensor(np.zeros(96, np.float32))
    assert proto.SerializeToString() == before
    assert (
        ir.to_proto(source).SerializeToString()
        == ir.to_proto(ir.from_proto(proto)).SerializeToString()
    )


@pytest.mark.parametrize("external", [False, True])
def test_save_and_load(external, tmp_path):
    loaded = model_io.load(_proto())
    model_io.save(loaded, tmp_path / "m.onnx", external=external)
    names = {"m.onnx", "m.onnx.data"} if external else {"m.onnx"}
    assert {file.name for file in tmp_path.iterdir()} == names
    again = model_io.load(tmp_path / "m.onnx")
    assert model_io.is_external(again) == external
    np.testing.assert_array_equal(again.graph.initializers["w1"].const_value.numpy(), W_LARGE["w1"])
    np.testing.assert_array_equal(
        loaded.graph.initializers["w1"].const_value.numpy(), W_LARGE["w1"]
    )


def test_saving_over_its_own_external_weights(tmp_path):
    """The weights are mapped from the file that is being replaced."""
    path = tmp_path / "m.onnx"
    model_io.save(model_io.load(_proto()), path, external=True)
    mapped = model_io.load(path)
    model_io.save(mapped, path, external=True)
    again = model_io.load(path)
    np.testing.assert_array_equal(again.graph.initializers["w1"].const_value.numpy(), W_LARGE["w1"])


@pytest.mark.parametrize("external", [False, True])
def test_models_beyond_the_limit_of_protobuf(external, tmp_path, monkeypatch):
    monkeypatch.setattr(model_io, "PROTOBUF_LIMIT", 1000)
    model_io.save(model_io.load(_proto()), tmp_path / "m.onnx", external=external)
    assert model_io.is_external(model_io.load(tmp_path / "m.onnx"))


@pytest.mark.parametrize("external", [False, True])
def test_what_fails_leaves_nothing_and_spares_what_was_there(external, tmp_path):
    for name in ("m.onnx", "m.onnx.data"):
        (tmp_path / name).write_bytes(b"older")

    def fail(path, _files):
        assert path.stat().st_size > 100
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"m\.onnx cannot be written: No space left"):
        model_io.save(model_io.load(_proto()), tmp_path / "m.onnx", external=external, beside=fail)
    assert {file.name for file in tmp_path.iterdir()} == {"m.onnx", "m.onnx.data"}
    assert all(file.read_bytes() == b"older" for file in tmp_path.iterdir())


def test_digest(tmp_path):
    assert model_io.sha256(BUNDLED) == hashlib.sha256(BUNDLED.read_bytes()).hexdigest()
