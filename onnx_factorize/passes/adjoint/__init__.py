"""Reverse-mode differentiation of an ONNX graph, as ONNX nodes.

`AppendAdjoint` is the pass. The other modules hold the rules, one kind of operator a file, each
registered by `rule`; ``docs/explanation/adjoint.md`` says how to add one.
"""

from onnx_factorize.passes.adjoint import (
    activation,
    binary,
    convolution,
    elementwise,
    indexing,
    linear,
    movement,
    normalization,
    pooling,
    recurrent,
    reduction,
    resize,
)
from onnx_factorize.passes.adjoint.append import AppendAdjoint
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.registry import rule
from onnx_factorize.passes.adjoint.step import Step

__all__ = ["AppendAdjoint", "NoRuleError", "Step", "rule"]

del (
    activation,
    binary,
    convolution,
    elementwise,
    indexing,
    linear,
    movement,
    normalization,
    pooling,
    recurrent,
    reduction,
    resize,
)
