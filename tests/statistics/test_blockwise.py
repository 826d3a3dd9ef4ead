"""Statistics of one block after the other are those of the whole graph, to the bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnxruntime as ort
import pytest
from builders import BUNDLED, BUNDLED_DATA, model, normal
from decoders import VOCABULARY, decoder, text
from genai_models import genai_model

import models
from onnx_factorize import Options, Progress, factorize
from onnx_factorize.allocation.analysis import to_observe
from onnx_factorize.factorization.weightings import get_weighting
from onnx_factorize.files.model_io import weight_bytes
from onnx_factorize.prepared import prepare
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.statistics.observer import Observer

# Values that skip blocks, are added up from several, are read by none behind, or are outputs that
# later blocks read too; a weight that two blocks read.
SKIPS = """(float[n, 12] x) => (float[n, 6] y, float[n, 12] h2) {
    [a] h1 = MatMul (x, w1) r1 = Sigmoid (h1) [b] h2 = MatMul (r1, w2) r2 = Tanh (h2)
    [c] h3 = MatMul (r2, w1) s3 = Add (h3, r1) r3 = Sigmoid (s3) [d] h4 = MatMul (r3, w3)
    s4 = Add (h4, r1) t4 = Mul (s4, r2) [e] z = MatMul (t4, w4) y = Softmax (z) }"""
WEIGHTS = {"w1": normal(1, 12, 12), "w2": normal(2, 12, 12), "w3": normal(3, 12, 12),
           "w4": normal(4, 12, 6)}  # fmt: skip


def _ids(samples):
    return np.random.default_rng(0).integers(3, 60, (samples, 12))


class _Said(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def exact(monkeypatch):
    """Keeps onnxruntime from rewriting graphs, which it does otherwise in a block than in all.

    Kinks tell such differences apart, however small: of a Relu at 0, or of a label that is drawn.
    """
    given = OnnxRuntime._options

    def options(self):
        found = given(self)
        found.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        return found

    monkeypatch.setattr(OnnxRuntime, "_options", options)


def _gathered(source, data, parts, **options):
    """What is gathered of the whole graph, and of about so many blocks, with what was said."""
    given = Options.of(threads=1, **{"samples": 24, **options})
    prepared = prepare(source, data, given, Progress())
    weighting = get_weighting(given.weighting)
    found = []
    for block in (None, weight_bytes(prepared.run.normal) / parts):
        run, _ = to_observe(prepared.run, weighting, prepared.macs, given.narrowing)
        said = _Said()
        run = dataclasses.replace(run, block=block, progress=said)
        found.append((weighting.gather(run), said.lines))
    return found


def _assert_alike(one, other, *, ordered):
    """Moments are equal to the bit where batches came in the same order."""
    if ordered:
        np.testing.assert_array_equal(one.products, other.products)
        np.testing.assert_array_equal(one.mean, other.mean)
    else:
        scale = np.abs(one.second_moment).max()
        np.testing.assert_allclose(one.second_moment, other.second_moment, atol=1e-6 * scale)


def _assert_equal(one, other, *, ordered=True):
    assert len(one.parts) == len(other.parts)
    assert one.unreachable == other.unreachable
    assert one.not_finite == other.not_finite
    for part, same in zip(one.parts, other.parts, strict=True):
        assert list(part) == list(same)
        for name in part:
            x, y = part[name], same[name]
            assert x.signal.count == y.signal.count
            _assert_alike(x.signal, y.signal, ordered=ordered)
            assert (x.gradient is None) == (y.gradient is None)
            if x.gradient is not None:
                assert x.gradient.samples == y.gradient.samples
                np.testing.assert_array_equal(x.gradient.total, y.gradient.total)
    for part, same in zip(one.inputs, other.inputs, strict=True):
        for name in part:
            _assert_alike(part[name], same[name], ordered=ordered)


def _check(source, data, parts, least, **options):
    (whole, nothing), (blocks, said) = _gathered(source, data, parts, **options)
    assert not nothing
    assert blocks.observer.segmented.segments >= least
    assert f"{blocks.observer.segmented.segments} blocks of at most" in said[0]
    assert "temporary files" in said[0]
    # Where some batches are run without gradients, those come last.
    _assert_equal(whole, blocks, ordered=options.get("effort") != "low")
    return blocks


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("options", [
    {}, {"draws": 3}, {"weighting": "activation"}, {"effort": "low", "samples": 160},
    {"outputs": {"h2": "gaussian"}}, {"memory": "1MB"},
], ids=str)  # fmt: skip
def test_values_that_skip_blocks(options):
    data = {"x": normal(7, 200, 12).astype(np.float32)}
    found = _check(model(SKIPS, WEIGHTS), data, 5, 4, **options)
    if options.get("weighting") is None:
        assert set(found.observer.gradients) >= {"a", "b", "c", "d", "e"}


@pytest.mark.usefixtures("exact")
def test_the_bundled_model():
    _check(BUNDLED, BUNDLED_DATA, 4, 3)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("tied", [False, True])
def test_a_decoder_of_the_builder(tied):
    _check(genai_model(tied=tied), {"input_ids": _ids(40)}, 6, 3)


@pytest.mark.usefixtures("exact")
def test_a_decoder_with_caches():
    assert VOCABULARY
    _check(decoder(), {"input_ids": text()}, 4, 3)


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_a_llama_as_torch_exports_it(tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("onnxscript")
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        tie_word_embeddings=False, use_cache=False, attn_implementation="eager",
    )  # fmt: skip
    torch.manual_seed(0)
    llama = transformers.LlamaForCausalLM(config).eval()

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = llama

        def forward(self, input_ids):
            return self.inner(input_ids=input_ids).logits

    path = tmp_path / "llama.onnx"
    example = torch.randint(0, 64, (2, 10))
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    torch.onnx.export(
        Logits().eval(), (example,), path, dynamo=True, input_names=["input_ids"],
        output_names=["logits"], dynamic_shapes={"input_ids": free}, external_data=True,
        verbose=False,
    )  # fmt: skip
    ids = np.random.default_rng(0).integers(0, 64, (32, 10))
    found = _check(path, {"input_ids": ids}, 6, 5)
    assert len(found.observer.gradients) >= 21


def test_operators_in_one_branch_run_as_a_whole():
    data = {"input_ids": text()}
    (whole, _), (blocks, said) = _gathered(decoder(merged=True), data, 4)
    assert blocks.observer.segmented is None
    assert "whole graph" in said[0]
    assert "(If)" in said[0]
    _assert_equal(whole, blocks)


@pytest.mark.usefixtures("exact")
def test_a_run_that_asks_for_blocks_gives_the_same_result():
    data = {"x": normal(7, 200, 12).astype(np.float32)}
    found = [
        factorize(
            model(SKIPS, WEIGHTS), data, budget="targets=0.6", blockwise=how, threads=1,
            prefer="size", samples=64,
        )
        for how in ("off", "on")
    ]  # fmt: skip
    one, other = (each.report for each in found)
    assert [layer.rank for layer in one.layers] == [layer.rank for layer in other.layers]
    assert one.divergence["holdout"] == pytest.approx(other.divergence["holdout"], rel=1e-5)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("name", ["skips", "tied", "bundled"])
def test_losses_are_cross_validated_block_by_block(name, monkeypatch):
    source, data = {
        "skips": (model(SKIPS, WEIGHTS), {"x": normal(7, 60, 12).astype(np.float32)}),
        "tied": (genai_model(tied=True), {"input_ids": _ids(40)}),
        "bundled": (BUNDLED, BUNDLED_DATA),
    }[name]
    found = []
    for how in ("off", "on"):
        given = Options.of(threads=1, samples=48, blockwise=how)
        prepared = prepare(source, data, given, Progress())
        with monkeypatch.context() as patched:
            if how == "on":  # the whole graph is run for nothing that needs gradients
                patched.setattr(Observer, "run", None)
            found.append(prepared.calibrated(given).analysis)
    one, other = found
    assert {len(each.candidates) for each in found} == {len(one.candidates)}
    for candidate, same in zip(one.candidates, other.candidates, strict=True):
        assert candidate.losses.keys() == same.losses.keys()
        assert candidate.shrinkages == same.shrinkages
        for target, losses in candidate.losses.items():
            np.testing.assert_allclose(losses, same.losses[target], rtol=1e-6, atol=1e-12)
    assert len(one.channels.narrowings) == len(other.channels.narrowings)
    for channels, same in zip(one.channels.narrowings, other.channels.narrowings, strict=True):
        whole, blocks = (a.channels.losses[c.name] for a, c in ((one, channels), (other, same)))
        np.testing.assert_allclose(whole, blocks, rtol=1e-6)


@pytest.mark.zoo
@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(("name", "parts"), [("fashion-vit", 6), ("ppocr-cls", 5), ("minilm", 8)])
def test_real_models(name, parts):
    recipe = models.get(name)
    if not recipe.model_path.exists():
        pytest.skip(f"fetch {name}")
    _check(recipe.model_path, recipe.calib_path, parts, 3)


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["silero-vad", "silero-vad-if"])
def test_real_models_in_branches(name):
    recipe = models.get(name)
    if not recipe.model_path.exists():
        pytest.skip(f"fetch {name}")
    _, (blocks, said) = _gathered(recipe.model_path, recipe.calib_path, 4)
    assert blocks.observer.segmented is None
    assert "(If)" in said[0]
