"""Trained weights back into the graph that they came from."""

from __future__ import annotations

import onnx_ir as ir

from ..errors import InputError
from .constants import content, named_constants
from .execution import dtypes
from .module import GraphModule

__all__ = ["write_back"]


def write_back(module: GraphModule, model: ir.Model) -> None:
    """Sets the constants of a model to a module's Parameters, in the types that they have there.

    Args:
        module: What `to_torch` made of this model, or of one with the same constants.
        model: The model; it is changed in place, and nothing but those constants is.

    Raises:
        InputError: The model lacks a constant, or has it in another shape; nothing is changed.

    Example:
        >>> import onnx_ir, torch
        >>> from onnx_factorize.torch import to_torch, write_back
        >>> model = onnx_ir.load("model.onnx")
        >>> module = to_torch(model, trainable=["w1"])
        >>> with torch.no_grad():
        ...     _ = module.get_parameter("w1").zero_()
        >>> write_back(module, model)
        >>> float(model.graph.initializers["w1"].const_value.numpy().max())
        0.0
    """
    homes = named_constants(model)
    tensors = {}
    for name, parameter in module.state_dict().items():
        if name not in homes:
            raise InputError(f"The model has no constant '{name}' to write to.")
        old = content(homes[name])
        if tuple(old.shape.numpy()) != tuple(parameter.shape):
            raise InputError(
                f"'{name}' has shape {list(old.shape.numpy())} in the model and "
                f"{list(parameter.shape)} in the module."
            )
        held = parameter.to(dtypes.held_as(old.dtype))
        tensors[name] = ir.tensor(dtypes.to_numpy(held), dtype=old.dtype, name=old.name)
    for name, tensor in tensors.items():
        value = homes[name]
        node = value.producer()
        if node is None:
            value.const_value = tensor
        else:
            node.attributes["value"] = ir.AttrTensor("value", tensor)
