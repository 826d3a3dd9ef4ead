"""Rules of elementwise operators, against finite differences."""

import numpy as np
import pytest
from adjoint_harness import check, normal, spaced
from hypothesis import given, settings
from hypothesis import strategies as st

UNARY = [
    "Abs", "Neg", "Exp", "Sigmoid", "Tanh", "Erf", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Atan",
    "Asinh", "Softplus", "Softsign", "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "HardSigmoid",
    "HardSwish", "Mish", "Identity", "ThresholdedRelu <alpha = 0.33>", "Elu <alpha = 0.5>",
    "LeakyRelu <alpha = 0.3>", "Celu <alpha = 2.0>", "Selu <alpha = 1.1, gamma = 0.7>",
    "HardSigmoid <alpha = 0.4, beta = 0.3>", "Dropout", "Gelu", 'Gelu <approximate = "tanh">',
]  # fmt: skip
POSITIVE = ["Log", "Sqrt", "Reciprocal"]
INSIDE = ["Asin", "Acos", "Atanh"]


@pytest.mark.parametrize("op", UNARY)
@pytest.mark.parametrize("rank", ["N, M", "2, 7"])
def test_unary(op: str, rank: str) -> None:
    opset = 20 if "Gelu" in op else 18
    check(f"(float[{rank}] x) => (float[A, B] y) {{ y = {op} (x) }}", {"x": spaced(2, 7)},
          opset=opset)  # fmt: skip


@pytest.mark.parametrize("op", POSITIVE)
def test_unary_of_positive_values(op: str) -> None:
    x = np.abs(spaced(2, 7)) + 0.2
    check(f"(float[N, M] x) => (float[N, M] y) {{ y = {op} (x) }}", {"x": x.astype(np.float32)})


@pytest.mark.parametrize("op", INSIDE)
def test_unary_inside_the_unit_interval(op: str) -> None:
    check(f"(float[N, M] x) => (float[N, M] y) {{ y = {op} (x) }}", {"x": spaced(2, 7) * 0.4})


def test_acosh() -> None:
    x = np.abs(spaced(2, 7)) + 1.5
    check("(float[N, M] x) => (float[N, M] y) { y = Acosh (x) }", {"x": x.astype(np.float32)})


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 18, 21])
@pytest.mark.parametrize("op", ["Relu", "Sigmoid", "Add", "Div", "PRelu", "Elu", "Abs"])
def test_opsets(op: str, opset: int) -> None:
    if op in ("Add", "Div", "PRelu"):
        text = f"(float[N, 3] x, float[3] w) => (float[N, 3] y) {{ y = {op} (x, w) }}"
        check(text, {"x": normal(4, 3), "w": np.array([1, 2, -1.5], np.float32)}, opset=opset)
    else:
        text = f"(float[N, 3] x) => (float[N, 3] y) {{ y = {op} (x) }}"
        check(text, {"x": spaced(4, 3)}, opset=opset)


@pytest.mark.parametrize(
    ("bounds", "opset"),
    [
        ("<min = -0.47, max = 1.02>", 7),
        ("<min = 0.0>", 10),
        ("<max = 6.0>", 6),
        ("<min = -1.0>", 7),
    ],
)
def test_clip_by_attributes(bounds: str, opset: int) -> None:
    check(f"(float[N] x) => (float[N] y) {{ y = Clip {bounds} (x) }}", {"x": spaced(11)},
          opset=max(opset, 7))  # fmt: skip


@pytest.mark.parametrize("inputs", ["x, a, b", "x, a", "x, , b", "x"])
def test_clip_by_inputs(inputs: str) -> None:
    text = f"""(float[N] x, float a, float b) => (float[N] y) {{
        y0 = Clip ({inputs}) y = Add (y0, x) }}"""
    feeds = {"x": spaced(11), "a": np.float32(-0.7).reshape(()), "b": np.float32(0.9).reshape(())}
    check(text, feeds, wanted=["x"])


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum"])
@pytest.mark.parametrize(
    ("declared", "a", "b"),
    [
        (("2,3", "2,3"), (2, 3), (2, 3)),
        (("2,3", "3"), (2, 3), (3,)),
        (("3", "2,3"), (3,), (2, 3)),
        (("N,1,M", "N,4,1"), (2, 1, 3), (2, 4, 1)),
        (("N,M", "K,L"), (2, 3), (1, 3)),
        (("N,M", "K,L"), (2, 3), (2, 3)),
        (("N,M", "K"), (4, 3), (1,)),
        (("N", "A,B,C"), (3,), (1, 1, 1)),
        (("N,M", None), (4, 3), ()),
    ],
)
def test_binary_broadcasts(
    op: str, declared: tuple[str, str | None], a: tuple[int, ...], b: tuple[int, ...]
) -> None:
    rank = ",".join("ABCDE"[: max(len(a), len(b))])
    kinds = ["float" if dims is None else f"float[{dims}]" for dims in declared]
    text = f"({kinds[0]} x, {kinds[1]} w) => (float[{rank}] y) {{ y = {op} (x, w) }}"
    x, w = spaced(*a, seed=1), spaced(*b, seed=2)
    if op == "Mean" and a != b:
        pytest.skip("onnx's reference evaluator does not broadcast Mean")
    if op in ("Pow", "Div"):
        x, w = np.abs(x) + 0.4, np.abs(w) + 0.5
    if op in ("Max", "Min"):
        w = w + np.float32(0.013)
    for opset in (9, 18):
        check(text, {"x": x.astype(np.float32), "w": w.astype(np.float32)}, opset=opset)


shapes = st.lists(st.integers(1, 3), min_size=0, max_size=3)


@given(shapes, st.lists(st.booleans(), min_size=3, max_size=3), st.integers(0, 3),
       st.sampled_from([12, 13, 18]), st.booleans())  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_any_broadcast(
    shape: list[int], ones: list[bool], dropped: int, opset: int, static: bool
) -> None:
    other = [1 if one else size for one, size in zip(ones, shape, strict=False)][dropped:]
    names = "ABC"[: len(shape)], "DEF"[: len(other)]
    kinds = [
        f"float[{','.join(map(str, sizes) if static else letters)}]" if sizes else "float"
        for sizes, letters in ((shape, names[0]), (other, names[1]), (shape, "XYZ"[: len(shape)]))
    ]
    text = f"({kinds[0]} x, {kinds[1]} w) => ({kinds[2]} y) {{ y = Mul (x, w) }}"
    check(text, {"x": normal(*shape, seed=1), "w": normal(*other, seed=2)}, opset=opset)


def test_square_by_pow_and_by_mul() -> None:
    text = """(float[N, M] x) => (float[N, M] y, float[N, M] z)
        <float two = {2.0}> { y = Pow (x, two) z = Mul (x, x) }"""
    check(text, {"x": normal(2, 3)})


def test_same_value_in_both_inputs() -> None:
    check("(float[N] x) => (float[N] y) { a = Add (x, x) b = Sub (a, x) y = Div (b, a) }",
          {"x": np.abs(spaced(5)) + np.float32(0.5)}, tolerance=1e-3)  # fmt: skip


def test_where_and_comparisons() -> None:
    text = """(float[N, 3] x, float[3] w, bool[N, 1] c) => (float[N, 3] y) {
        a = Where (c, x, w) b = Greater (x, w) d = Cast <to = 1> (b) y = Mul (a, d) }"""
    feeds = {"x": spaced(4, 3), "w": spaced(3) + np.float32(0.01),
             "c": np.array([[1], [0], [1], [0]], bool)}  # fmt: skip
    check(text, feeds)


def test_ties_share() -> None:
    """Max of two equal values is the mean of both sides' derivatives."""
    adjoint = check("(float[N] x, float[N] w) => (float[N] y) { y = Max (x, w) }",
                    {"x": np.ones(3, np.float32), "w": np.ones(3, np.float32)})  # fmt: skip
    assert not adjoint.step.unreachable


def test_prelu_mod_and_zero_derivatives() -> None:
    check("(float[N, 3, 2] x, float[3, 1] w) => (float[N, 3, 2] y) { y = PRelu (x, w) }",
          {"x": spaced(2, 3, 2), "w": normal(3, 1)}, opset=16)  # fmt: skip
    check("(float[N] x) => (float[N] y) { a = Floor (x) b = Sign (x) y = Sum (a, b, x) }",
          {"x": spaced(7) * np.float32(0.9)})  # fmt: skip


def test_a_fused_activation_without_its_bias() -> None:
    text = "(float[N, 3] x) => (float[N, 3] y) { y = com.microsoft.FastGelu (x) }"
    check(text, {"x": spaced(4, 3)}, single=True, h=1e-2, tolerance=5e-3)
