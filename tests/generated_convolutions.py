"""Convolutions with all of their attributes, drawn at random."""

from __future__ import annotations

from builders import normal
from hypothesis import strategies as st


@st.composite
def convolutions(draw):
    """A Conv that is found, as text, its weights, and an input that it takes."""
    rank = draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    strides = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 2)) for _ in range(rank)]
    auto_pad = draw(st.sampled_from(["absent", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    each = draw(st.integers(2, 3))
    attributes = []
    if draw(st.booleans()):
        attributes.append(f"kernel_shape = {kernel}")
    if any(s > 1 for s in strides) or draw(st.booleans()):
        attributes.append(f"strides = {strides}")
    if auto_pad.startswith("SAME"):
        dilations = [1] * rank  # onnxruntime refuses auto_pad with dilations
    if any(d > 1 for d in dilations) or draw(st.booleans()):
        attributes.append(f"dilations = {dilations}")
    if groups > 1 or draw(st.booleans()):
        attributes.append(f"group = {groups}")
    if auto_pad in ("absent", "NOTSET"):
        pads = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
        if any(pads) or draw(st.booleans()):
            attributes.append(f"pads = {pads}")
    if auto_pad != "absent":
        attributes.append(f'auto_pad = "{auto_pad}"')
    spatial = [5 + draw(st.integers(0, 3)) for _ in range(rank)]
    weights = {"w": normal(1, groups * draw(st.integers(3, 5)), each, *kernel)}
    bias = draw(st.booleans())
    if bias:
        weights["b"] = normal(2, weights["w"].shape[0])
    written = f"<{', '.join(attributes)}>" if attributes else ""
    open_axes = ", ".join("?" * (rank + 2))
    text = (
        f"(float[{open_axes}] x) => (float[{open_axes}] y) "
        f"{{ [c] y = Conv {written} (x, w{', b' * bias}) }}"
    )
    return text, weights, normal(3, 2, groups * each, *spatial)
