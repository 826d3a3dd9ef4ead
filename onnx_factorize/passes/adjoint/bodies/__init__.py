"""Bodies of onnxruntime's fused operators: the standard operators that each stands for.

The adjoint takes them as it takes function bodies of standard operators, and inference of shapes
goes on through them. The model keeps its fused nodes: a body serves the analysis only.
One file a family; `body` registers one, ``docs/explanation/adjoint.md`` says how to add one.
"""

from onnx_factorize.passes.adjoint.bodies import (
    activation,
    group_query,
    multi_head,
    normalization,
    products,
    rotary,
)
from onnx_factorize.passes.adjoint.bodies.build import build, has_body, inferred

__all__ = ["build", "has_body", "inferred"]

del activation, group_query, multi_head, normalization, products, rotary
