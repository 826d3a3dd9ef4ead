"""What holds for every operator that is registered, and how another is added."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import onnx
import onnx.helper
import onnx_ir as ir
import pytest
from builders import (
    BUNDLED,
    BUNDLED_DATA,
    ROOT,
    assert_close,
    check,
    found,
    model,
    normal,
    run,
    session,
    svd_factors,
)
from commands import main_of

from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.errors import InputError
from onnx_factorize.files.model_io import parameters
from onnx_factorize.options import Selection
from onnx_factorize.passes import (
    CountProducts,
    FindTargets,
    RewriteTargets,
    every_operator,
    operator_of,
    title_of,
)
from onnx_factorize.passes.linear import registry
from onnx_factorize.quantization.quantizers import bytes_per_weight, quantize
from onnx_factorize.report.inspection import inspect
from onnx_factorize.runtime.arithmetic import count_arithmetic
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

MICROSOFT = "com.microsoft"


@dataclasses.dataclass
class Case:
    """A graph of one operator `c`, which reads `x` and the weight `w`.

    Attributes:
        text: The graph.
        weights: Its constants.
        x: What it is run on.
        matrices: Groups, K and N of the weight.
        macs: Multiplications, counted by hand.
        shared: A second operator of its kind that reads the same weight, and gives `z`.
    """

    text: str
    weights: dict[str, np.ndarray]
    x: np.ndarray
    matrices: tuple[int, int, int]
    macs: int
    shared: str | None = None

    def proto(self, text: str = "") -> onnx.ModelProto:
        proto = model(text or self.text, self.weights, opset=21, ir_version=10)
        proto.opset_import.append(onnx.helper.make_opsetid(MICROSOFT, 1))
        return proto


def _recurrent(op_type: str, gates: int) -> Case:
    width = gates * 5
    node = f"{op_type} <hidden_size = 5> (x, w, r, b)"
    return Case(
        f"(float[4, 2, 12] x) => (float[4, 1, 2, 5] y) {{ [c] y = {node} }}",
        {
            "w": normal(1, 1, width, 12),
            "r": normal(2, 1, width, 5) / 4,
            "b": normal(3, 1, 2 * width),
        },
        normal(4, 4, 2, 12),
        (1, 12, width),
        8 * width * (12 + 5),
        f"[d] z = {node}",
    )


MATRIX = normal(1, 12, 16)
KERNEL = normal(1, 10, 6, 3, 3)
ROW = normal(2, 16)
IMAGE = normal(3, 2, 6, 9, 8)
CASES = {
    "Conv": Case(
        "(float[2, 6, 9, 8] x) => (float[2, 10, 7, 6] y) { [c] y = Conv (x, w, b) }",
        {"w": KERNEL, "b": normal(2, 10)},
        IMAGE,
        (1, 54, 10),
        2 * 10 * 7 * 6 * 54,
        "[d] z = Conv <strides = [2, 1]> (x, w)",
    ),
    "ConvTranspose": Case(
        "(float[2, 6, 9, 8] x) => (float[2, 4, 11, 10] y) { [c] y = ConvTranspose (x, w, b) }",
        {"w": normal(1, 6, 4, 3, 3), "b": normal(2, 4)},
        IMAGE,
        (1, 6, 36),
        2 * 9 * 8 * 6 * 36,
        "[d] z = ConvTranspose (x, w)",
    ),
    "Einsum": Case(
        """(float[2, 3, 12] x) => (float[2, 16, 3] y) {
            [c] y = Einsum <equation = "abc,cd->adb"> (x, w)
        }""",
        {"w": MATRIX},
        normal(3, 2, 3, 12),
        (1, 12, 16),
        6 * 12 * 16,
        '[d] z = Einsum <equation = "abc,cd->abd"> (x, w)',
    ),
    "Gather": Case(
        "(int64[2, 3] x) => (float[2, 3, 12] y) { [c] y = Gather (w, x) }",
        {"w": normal(1, 40, 12)},
        np.array([[0, 7, 39], [3, 3, 20]]),
        (1, 40, 12),
        0,
        "[d] z = Gather (w, x)",
    ),
    "Gemm": Case(
        "(float[4, 12] x) => (float[4, 16] y) { [c] y = Gemm <transB = 1> (x, w, b) }",
        {"w": MATRIX.T.copy(), "b": ROW},
        normal(3, 4, 12),
        (1, 12, 16),
        4 * 12 * 16,
        "[d] z = Gemm <transB = 1> (x, w)",
    ),
    "MatMul": Case(
        "(float[2, 3, 12] x) => (float[2, 3, 16] y) { [c] y = MatMul (x, w) }",
        {"w": MATRIX},
        normal(3, 2, 3, 12),
        (1, 12, 16),
        6 * 12 * 16,
        "[d] z = MatMul (x, w)",
    ),
    "GRU": _recurrent("GRU", 3),
    "LSTM": _recurrent("LSTM", 4),
    "RNN": _recurrent("RNN", 1),
    f"{MICROSOFT}.FusedConv": Case(
        """(float[2, 6, 9, 8] x) => (float[2, 10, 7, 6] y) {
            [c] y = com.microsoft.FusedConv <activation = "Relu"> (x, w, b)
        }""",
        {"w": KERNEL, "b": normal(2, 10)},
        IMAGE,
        (1, 54, 10),
        2 * 10 * 7 * 6 * 54,
        '[d] z = com.microsoft.FusedConv <activation = "Relu"> (x, w)',
    ),
    f"{MICROSOFT}.FusedGemm": Case(
        """(float[4, 12] x) => (float[4, 16] y) {
            [c] y = com.microsoft.FusedGemm <activation = "Relu", alpha = 0.5> (x, w, b)
        }""",
        {"w": MATRIX, "b": ROW},
        normal(3, 4, 12),
        (1, 12, 16),
        4 * 12 * 16,
        '[d] z = com.microsoft.FusedGemm <activation = "Relu"> (x, w)',
    ),
    f"{MICROSOFT}.FusedMatMul": Case(
        """(float[2, 3, 12] x) => (float[2, 3, 16] y) {
            [c] y = com.microsoft.FusedMatMul <transB = 1, alpha = 0.5> (x, w)
        }""",
        {"w": MATRIX.T.copy()},
        normal(3, 2, 3, 12),
        (1, 12, 16),
        6 * 12 * 16,
        "[d] z = com.microsoft.FusedMatMul (x, w)",
    ),
    f"{MICROSOFT}.TransposeMatMul": Case(  # the example of the page on how to extend
        """(float[2, 3, 12] x) => (float[2, 3, 16] y) {
            [c] y = com.microsoft.TransposeMatMul <transB = 1, alpha = 0.5> (x, w)
        }""",
        {"w": MATRIX.T.copy()},
        normal(3, 2, 3, 12),
        (1, 12, 16),
        6 * 12 * 16,
        "[d] z = com.microsoft.TransposeMatMul (x, w)",
    ),
}
REGISTERED = [spec.name for spec in every_operator()]


def _example() -> None:
    text = (ROOT / "docs" / "development" / "extending.md").read_text(encoding="utf-8")
    section = text.partition("## An operator\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert len(code.splitlines()) <= 40
    exec(compile(code, "extending.md", "exec"), {"__name__": __name__})


@pytest.fixture
def toy(monkeypatch):
    """The example of the page on how to extend, run as it stands there."""
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))
    _example()


@pytest.fixture(params=[*REGISTERED, f"{MICROSOFT}.TransposeMatMul"])
def spec(request, monkeypatch):
    """Each operator of the package, and the example."""
    if request.param not in REGISTERED:
        monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))
        _example()
    return registry._OPERATORS[request.param]


def test_it_is_found_as_it_says(spec):
    case = CASES[spec.name]
    normalised, finder = found(case.proto())
    (target,) = finder.targets
    assert (target.name, target.op_type) == ("c", spec.op_type)
    assert (target.groups, target.rows, target.columns) == case.matrices
    assert operator_of(target) is spec
    assert title_of(target) == spec.title
    check(normalised)
    assert_close(run(normalised, {"x": case.x})[0], run(case.proto(), {"x": case.x})[0])
    (layer,) = (each for each in inspect(case.proto()).layers if each.name == "c")
    assert (layer.op_type, layer.form, layer.status) == (spec.op_type, spec.title, "kept")


@pytest.mark.parametrize("low", [False, True])
def test_it_is_exact_at_full_rank_and_has_the_weights_that_it_says(spec, low):
    case = CASES[spec.name]
    (target,) = found(case.proto())[1].targets
    rank = 2 if low else target.full_rank
    factors = {"c": svd_factors(target, rank)}
    for given in (ir.from_proto(case.proto()), found(case.proto())[0]):
        before = parameters(ir.from_proto(case.proto()))
        RewriteTargets(factors)(given)
        after = run(check(given), {"x": case.x})[0]
        if not low:
            assert_close(after, run(case.proto(), {"x": case.x})[0], 1e-5)
    # In the user's own graph; the normalised one has constants that only move values.
    made = ir.from_proto(case.proto())
    RewriteTargets(factors)(made)
    assert parameters(made) == before - target.params + target.factor_params(rank)
    (layer,) = (each for each in inspect(made).layers if each.name == "c")
    assert (layer.op_type, layer.form) == (spec.op_type, spec.title)
    assert (layer.rank, layer.full_rank) == (rank, target.full_rank)


def test_its_multiplications_are_those_counted_by_hand(spec):
    case = CASES[spec.name]
    source = ir.from_proto(case.proto())
    counted = count_arithmetic(source, {"x": case.x}, OnnxRuntime(threads=1))
    assert counted.total == case.macs
    # As it stands, too, and not only by way of the plain operator.
    count = CountProducts()
    count(source)
    names = list(count.shapes.values())
    run_of = session(source).run(names, {"x": case.x}) if names else []
    shapes = dict(zip(count.shapes, run_of, strict=True))
    total = sum(
        int(np.prod([np.prod(shapes[each.value][each.start : each.stop]) for each in term]))
        for _, terms in count.terms
        for term in terms
    )
    assert total == case.macs


def test_others_may_share_its_weight_if_it_says_so(spec):
    case = CASES[spec.name]
    head, _, body = case.text.partition("{")
    second = f"{head.rstrip()[:-1]}, float[?] z) {{ {body.rstrip()[:-1]}\n {case.shared} }}"
    proto = case.proto(re.sub(r"float\[\?\] z", _like(case.text), second))
    finder = found(proto)[1]
    if spec.sharing is None:
        assert finder.targets == []
        assert all("cannot read its factors" in each.reason for each in finder.skipped)
        return
    (target,) = finder.targets
    assert [use.name for use in target.uses] == ["c", "d"]
    made = ir.from_proto(proto)
    factors = svd_factors(target, target.full_rank)
    RewriteTargets({use.name: factors for use in target.uses})(made)
    for after, dense in zip(
        run(check(made), {"x": case.x}), run(proto, {"x": case.x}), strict=True
    ):
        assert_close(after, dense)
    assert parameters(made) == parameters(ir.from_proto(proto)) - target.params + (
        target.factor_params(target.full_rank)
    )


def _like(text: str) -> str:
    """Declares an output `z` of as many axes as `y`, of any length."""
    rank = text.partition("=> (float[")[2].partition("]")[0].count(",") + 1
    return f"float[{', '.join('?' * rank)}] z"


@pytest.mark.parametrize("mode", ["dynamic", "static", "weights"])
def test_quantizers_treat_it_if_it_says_so(spec, mode):
    case = CASES[spec.name]
    treated = mode in spec.quantized
    assert (bytes_per_weight(mode, spec, 4.0) < 4) == treated
    source = ir.from_proto(case.proto())
    data = open_calibration([{"x": case.x}], Signature.of(source), Selection(batch_size=4), None)
    if treated:
        quantize(source, mode, data)
    else:
        with pytest.raises(InputError, match="finds nothing to treat"):
            quantize(source, mode, data)


@pytest.mark.usefixtures("toy")
def test_the_command_cuts_the_example(tmp_path, monkeypatch, capsys):
    proto = onnx.load(BUNDLED)
    proto.opset_import.append(onnx.helper.make_opsetid(MICROSOFT, 1))
    for node in proto.graph.node:
        if node.op_type == "Gemm" and len(node.input) == 3:
            *operands, bias = node.input
            output, node.output[0] = node.output[0], f"{node.name}_product"
            node.op_type, node.domain, node.input[:] = "TransposeMatMul", MICROSOFT, operands
            kept = [each for each in node.attribute if each.name in ("alpha", "transA", "transB")]
            del node.attribute[:]
            node.attribute.extend(kept)
            add = onnx.helper.make_node("Add", [node.output[0], bias], [output], f"{node.name}_add")
            place = list(proto.graph.node).index(node)
            proto.graph.node.insert(place + 1, add)
            break
    dense, small, report = (tmp_path / name for name in ("dense.onnx", "small.onnx", "report.json"))
    onnx.save(proto, dense)
    arguments = [dense, "--calib", BUNDLED_DATA, "-o", small, "--threads", 1, "--samples", 48]
    arguments += ["--report", report, "--quiet"]
    code, _, error = main_of([str(each) for each in arguments], monkeypatch, capsys)
    assert code == 0, error
    layers = json.loads(report.read_text())["layers"]
    (cut,) = (each for each in layers if each["op_type"] == "TransposeMatMul")
    assert cut["form"] == "two products"
    assert cut["rank"] < cut["full_rank"]
    (told,) = (each for each in inspect(small).layers if each.name == cut["name"])
    assert (told.op_type, told.form, told.rank) == ("TransposeMatMul", "two products", cut["rank"])
    made = {node.op_type for node in onnx.load(small).graph.node}
    assert "TransposeMatMul" in made


def test_without_the_example_it_is_hidden():
    finder = FindTargets()
    finder(ir.from_proto(CASES[f"{MICROSOFT}.TransposeMatMul"].proto()))
    (skipped,) = finder.skipped
    assert "was made by onnxruntime's optimizer" in skipped.reason


def test_names_are_unique():
    spec = registry._OPERATORS["MatMul"]
    with pytest.raises(ValueError, match="linear operator 'MatMul' already"):
        registry.register(dataclasses.replace(spec, title="another"))
    assert registry.register(spec) is spec
