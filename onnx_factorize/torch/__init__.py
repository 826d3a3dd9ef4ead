"""ONNX graphs in torch: an executor that trains, and the way back into the same graph.

Only this package and `finetune` import torch; nothing else imports them until they are needed.

    module = to_torch("model.onnx")          # Parameters under the initializers' names
    loss = criterion(module(x)["logits"])    # named outputs; train it like any other module
    model = onnx_ir.load("model.onnx")
    write_back(module, model)                # and the weights are in the graph again
    check_against_onnxruntime(module, model, feeds)

`module.run(feeds, capture=["name of a value"])` also gives intermediate values, at which
`torch.autograd.grad` finds gradients; after `module.double()` in float64.
"""

from .check import check_against_onnxruntime
from .execution.errors import DeviationError, ExecutionError, UnsupportedError
from .module import GraphModule, to_torch
from .run import Run
from .write_back import write_back

__all__ = [
    "DeviationError",
    "ExecutionError",
    "GraphModule",
    "Run",
    "UnsupportedError",
    "check_against_onnxruntime",
    "to_torch",
    "write_back",
]
