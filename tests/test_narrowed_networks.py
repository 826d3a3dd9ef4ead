"""A trained network with a gate behind a Split, and squeeze-and-excitation, is narrowed."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import BUNDLED_DATA, model, run
from narrowed_channels import channels, narrow

from onnx_factorize import factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.options import Selection
from onnx_factorize.passes.narrowing import narrowed
from onnx_factorize.quantization.quantizers import quantize

TEXT = """(float[n, 1, 28, 28] x) => (float[n, 10] y) {
    [stem] s = Conv <strides = [4, 4], pads = [1, 1, 1, 1]> (x, stem, stemb) t = Relu (s)
    [wide] u = Conv (t, wide, wideb) a, b = Split <axis = 1, num_outputs = 2> (u)
    c = Sigmoid (b) g = Mul (a, c)
    p = GlobalAveragePool (g) [squeeze] q = Conv (p, squeeze, squeezeb) r = Relu (q)
    [excite] e = Conv (r, excite, exciteb) f = Sigmoid (e) h = Mul (g, f)
    [back] k = Conv (h, back, backb) l = Relu (k)
    m = GlobalAveragePool (l) o = Flatten (m) [head] y = Gemm (o, head, headb)
}"""
SHAPES = {
    "stem": (24, 1, 7, 7),
    "wide": (96, 24, 1, 1),
    "squeeze": (16, 48, 1, 1),
    "excite": (48, 16, 1, 1),
    "back": (32, 48, 1, 1),
    "head": (32, 10),
}


@pytest.fixture(scope="module")
def images():
    data = np.load(BUNDLED_DATA)
    return data["image"], data["label"]


@pytest.fixture(scope="module")
def trained(images):
    """A network that was trained for a few seconds."""
    torch = pytest.importorskip("torch")
    nn = torch.nn.functional
    torch.manual_seed(0)
    w = {n: torch.randn(s) / np.prod(s[1:]) ** 0.5 for n, s in SHAPES.items() if n != "head"}
    w["head"] = torch.randn(SHAPES["head"]) / SHAPES["head"][0] ** 0.5
    w |= {f"{n}b": torch.zeros(SHAPES[n][1 if n == "head" else 0]) for n in SHAPES}
    for each in w.values():
        each.requires_grad_()

    def forward(x):
        t = nn.relu(nn.conv2d(x, w["stem"], w["stemb"], stride=4, padding=1))
        a, b = nn.conv2d(t, w["wide"], w["wideb"]).chunk(2, dim=1)
        g = a * b.sigmoid()
        r = nn.relu(nn.conv2d(g.mean((2, 3), keepdim=True), w["squeeze"], w["squeezeb"]))
        h = g * nn.conv2d(r, w["excite"], w["exciteb"]).sigmoid()
        k = nn.relu(nn.conv2d(h, w["back"], w["backb"])).mean((2, 3))
        return k @ w["head"] + w["headb"]

    x, labels = (torch.from_numpy(each) for each in images)
    optimizer = torch.optim.Adam(w.values(), 1e-2)
    for _ in range(12):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.cross_entropy(forward(x[batch]), labels[batch]).backward()
            optimizer.step()
    proto = model(TEXT, {n: each.detach().numpy() for n, each in w.items()})
    with torch.no_grad():
        assert np.abs(run(proto, {"x": images[0][:8]})[0] - forward(x[:8]).numpy()).max() < 1e-4
    assert (run(proto, {"x": images[0]})[0].argmax(1) == images[1]).mean() > 0.6
    return proto


@pytest.fixture(scope="module")
def small(trained, images):
    options = {"samples": 192, "threads": 1, "effort": "low", "outputs": {"y": "categorical"}}
    return factorize(trained, [{"x": images[0]}], budget="targets=0.6", narrow="only", **options)


def _divergence(one, other, x):
    """Mean KL(one || other) in nats."""
    first, second = (run(each, {"x": x})[0].astype(np.float64) for each in (one, other))
    first, second = (each - np.logaddexp.reduce(each, 1)[:, None] for each in (first, second))
    return float((np.exp(first) * (first - second)).sum(1).mean())


def test_both_sides_of_a_gate_go_with_what_scales_them(trained, small):
    (gated,) = [group for group in channels(trained)[1].groups if group.name == "wide"]
    assert gated.width == 48
    assert gated.unit == 2
    assert {each.name for each in gated.producers} == {"wide", "excite"}
    assert {each.layer.name for each in gated.readers} == {"squeeze", "back"}
    nodes = {node.name: node for node in small.model.graph if node.name}
    mark = narrowed(nodes["wide"])
    assert mark is not None
    np.testing.assert_array_equal(
        mark.kept[: len(mark.kept) // 2] + 48, mark.kept[len(mark.kept) // 2 :]
    )
    left = {name: v.const_value.shape.numpy() for name, v in small.model.graph.initializers.items()}
    width = len(mark.kept) // 2
    assert left["wide"][0] == 2 * width < 96
    assert left["squeeze"][1] == left["excite"][0] == left["back"][1] == width


def test_it_loses_a_fraction_of_what_other_channels_of_the_same_number_do(trained, small, images):
    groups = channels(trained)[1].groups
    nodes = {node.name: node for node in small.model.graph if node.name}
    marks = {group.name: narrowed(nodes[group.name]) for group in groups}
    rng, lost = np.random.default_rng(0), []
    normal_form = channels(trained)[0]
    for _ in range(3):
        kept = {
            group.name: np.sort(rng.permutation(group.width)[: len(mark.kept) // group.unit])
            for group in groups
            if (mark := marks[group.name]) is not None
        }
        lost.append(_divergence(trained, narrow(normal_form, kept), images[0]))
    assert 0 < _divergence(trained, small.model, images[0]) < 0.3 * min(lost)


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_narrowed_it_quantizes_and_adds_no_more_than_to_the_dense_one(mode, trained, small, images):
    """int8 needs nothing of its own: to a quantizer it is a smaller network."""
    added = []
    for source in (ir.from_proto(trained), small.model):
        data = open_calibration(
            [{"x": images[0][:128]}], Signature.of(source), Selection(batch_size=32), None
        )
        eight = quantize(source, mode, data)
        assert any("Quant" in node.op_type for node in ir.to_proto(eight).graph.node)
        added.append(_divergence(source, eight, images[0]))
    assert all(np.isfinite(added))
    assert 0 < added[1] < 2 * added[0] + 1e-3
