"""A decoder of two layers with random weights, as onnxruntime-genai's builder writes decoders."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from tests.builders import normal

VOCABULARY, WIDTH, INNER, HEADS, KEYS, HEAD, LAYERS, LONGEST = 60, 32, 48, 4, 2, 16, 2, 64
END = 2

_FLOAT, _INT64, _INT32 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.INT32


def genai_folder(folder: pathlib.Path, *, tied: bool = False) -> pathlib.Path:
    """Writes `model.onnx`, weights beside it and what goes with them; returns the model's file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    onnx.save(genai_model(tied=tied), path, save_as_external_data=True, location="model.onnx.data")
    (folder / "genai_config.json").write_text(json.dumps(_config(), indent=4))
    words = {f"w{i}": i for i in range(VOCABULARY)}
    tokenizer = {"version": "1.0", "model": {"type": "WordLevel", "vocab": words, "unk_token": ""}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (folder / "chat_template.jinja").write_text("{{ messages[0] }}")
    return path


def genai_model(*, tied: bool = False) -> onnx.ModelProto:
    """The model.

    Args:
        tied: Whether the table is that of the last product, transposed.
    """
    shape = ["batch_size", KEYS, "past_sequence_length", HEAD]
    caches = [f"{i}.{part}" for i in range(LAYERS) for part in ("key", "value")]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        list(_nodes(tied=tied)),
        "main_graph",
        [
            value("input_ids", _INT64, ["batch_size", "sequence_length"]),
            value("attention_mask", _INT64, ["batch_size", "total_sequence_length"]),
            *(value(f"past_key_values.{cache}", _FLOAT, shape) for cache in caches),
        ],
        [
            value("logits", _FLOAT, ["batch_size", "sequence_length", VOCABULARY]),
            *(
                value(f"present.{cache}", _FLOAT, [*shape[:2], "total_sequence_length", HEAD])
                for cache in caches
            ),
        ],
        [onnx.numpy_helper.from_array(a, name) for name, a in _weights(tied=tied).items()],
    )
    opsets = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("com.microsoft", 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)


def genai_text(samples: int = 40, length: int = 12) -> np.ndarray:
    """Token ids that repeat themselves, shape (samples, length)."""
    rng = np.random.default_rng(5)
    starts = rng.integers(0, VOCABULARY, (samples, 1))
    return (starts + 3 * np.arange(length) + rng.integers(0, 2, (samples, length))) % VOCABULARY


def _nodes(*, tied: bool) -> Iterator[onnx.NodeProto]:
    def node(kind, inputs, *outputs, **attributes):
        name = attributes.pop("name", outputs[0])
        domain = "com.microsoft" if kind.startswith(("Group", "Skip")) else ""
        return onnx.helper.make_node(kind, inputs, outputs, name, domain=domain, **attributes)

    yield node("ReduceSum", ["attention_mask", "axis"], "sum", keepdims=0)
    yield node("Sub", ["sum", "one"], "less")
    yield node("Cast", ["less"], "last", to=_INT32)
    yield node("Shape", ["attention_mask"], "shape")
    yield node("Gather", ["shape", "one"], "total", axis=0)
    yield node("Cast", ["total"], "whole", to=_INT32)
    if tied:
        yield node("Transpose", ["head"], "table", perm=[1, 0])
    yield node("Gather", ["table", "input_ids"], "x0", name="/embed_tokens/Gather")
    rms = {"axis": -1, "epsilon": 1e-5, "stash_type": 1}
    yield node("SimplifiedLayerNormalization", ["x0", "g"], "n0", **rms)
    skip, norm = "x0", "n0"
    for i in range(LAYERS):
        at = f"/layers.{i}"
        pasts = [f"past_key_values.{i}.{part}" for part in ("key", "value")]
        yield node("MatMul", [norm, f"qkv{i}"], f"p{i}", name=f"{at}/attn/qkv_proj/MatMul")
        yield node(
            "GroupQueryAttention",
            [f"p{i}", "", "", *pasts, "last", "whole", "cos", "sin"],
            f"a{i}", f"present.{i}.key", f"present.{i}.value",
            num_heads=HEADS, kv_num_heads=KEYS, do_rotary=1, scale=HEAD**-0.5,
        )  # fmt: skip
        yield node("MatMul", [f"a{i}", f"o{i}"], f"b{i}", name=f"{at}/attn/o_proj/MatMul")
        yield _skipped(node, [skip, f"b{i}", "g"], f"m{i}", f"t{i}")
        yield node("MatMul", [f"m{i}", f"gate{i}"], f"c{i}", name=f"{at}/mlp/gate_proj/MatMul")
        yield node("MatMul", [f"m{i}", f"up{i}"], f"d{i}", name=f"{at}/mlp/up_proj/MatMul")
        yield node("Sigmoid", [f"c{i}"], f"s{i}")
        yield node("Mul", [f"c{i}", f"s{i}"], f"u{i}")
        yield node("Mul", [f"u{i}", f"d{i}"], f"v{i}")
        yield node("MatMul", [f"v{i}", f"down{i}"], f"e{i}", name=f"{at}/mlp/down_proj/MatMul")
        skip, norm = f"x{i + 1}", f"n{i + 1}"
        yield _skipped(node, [f"t{i}", f"e{i}", "g"], norm, "" if i == LAYERS - 1 else skip)
    yield node("MatMul", [norm, "head"], "logits", name="/lm_head/MatMul")


def _skipped(node, inputs, normalized, total):
    outputs = [normalized, "", "", total] if total else [normalized]
    return node("SkipSimplifiedLayerNormalization", inputs, *outputs, epsilon=1e-5)


def _weights(*, tied: bool) -> dict[str, np.ndarray]:
    falling = np.float32(0.85) ** np.arange(WIDTH, dtype=np.float32)[:, None]
    angles = np.outer(np.arange(LONGEST), 0.3 ** np.arange(HEAD // 2)).astype(np.float32)
    sizes = {"head": (WIDTH, VOCABULARY)}
    for i in range(LAYERS):
        sizes |= {f"qkv{i}": (WIDTH, (HEADS + 2 * KEYS) * HEAD), f"o{i}": (HEADS * HEAD, WIDTH)}
        sizes |= {f"{name}{i}": (WIDTH, INNER) for name in ("gate", "up")}
        sizes |= {f"down{i}": (INNER, WIDTH)}
    found = {name: normal(i, *size) / 4 for i, (name, size) in enumerate(sizes.items())}
    found |= {n: a * falling for n, a in found.items() if len(a) == WIDTH and n != "head"}
    if not tied:
        found["table"] = normal(90, VOCABULARY, WIDTH)
    found |= {"g": np.ones(WIDTH, np.float32), "cos": np.cos(angles), "sin": np.sin(angles)}
    return found | {"axis": np.array([1]), "one": np.array(1)}


def _config() -> dict[str, object]:
    inputs = {name: name for name in ("input_ids", "attention_mask")}
    pasts = {f"past_{part}_names": f"past_key_values.%d.{part}" for part in ("key", "value")}
    presents = {f"present_{part}_names": f"present.%d.{part}" for part in ("key", "value")}
    decoder = {
        "session_options": {"provider_options": []},
        "filename": "model.onnx",
        "head_size": HEAD,
        "hidden_size": WIDTH,
        "inputs": inputs | pasts,
        "outputs": {"logits": "logits"} | presents,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KEYS,
    }
    tokens = {"bos_token_id": 1, "eos_token_id": END, "pad_token_id": 0}
    model = {"type": "llama", "vocab_size": VOCABULARY, "context_length": LONGEST, **tokens}
    search = {"max_length": LONGEST, "past_present_share_buffer": True}
    return {"model": model | {"decoder": decoder}, "search": search}
