"""The module of the network that a node was exported from, as the exporter says."""

from __future__ import annotations

import ast

import onnx_ir as ir

__all__ = ["module_path"]

# What torch's exporter writes on each node: the paths of all modules around it, from the outermost,
# and then the name of the operation.
_SCOPES = "pkg.torch.onnx.name_scopes"


def module_path(node: ir.Node) -> str | None:
    """The path of the module that holds a node, such as `model.layers.0.mlp.up_proj`, or None."""
    text = node.metadata_props.get(_SCOPES)
    if text is None:
        return None
    try:
        scopes = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    if not isinstance(scopes, list) or len(scopes) < 2:
        return None
    return str(scopes[-2]) or None
