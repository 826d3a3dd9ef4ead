"""ONNX graphs in torch: an executor that trains, and the way back into the same graph.

Only this subpackage imports torch; nothing else of the package imports this one until it is needed.

    module = to_torch("model.onnx")          # Parameters under the initializers' names
    loss = criterion(module(x)["logits"])    # named outputs; train it like any other module
    model = onnx_ir.load("model.onnx")
    write_back(module, model)                # and the weights are in the graph again
    check_against_onnxruntime(module, model, feeds)

`module.run(feeds, capture=["name of a value"])` also gives intermediate values, at which
`torch.autograd.grad` finds gradients; after `module.double()` in float64.
"""

from .check import check_against_onnxruntime
from .errors import DeviationError, ExecutionError, UnsupportedError
from ..finetune.metric import measure_metric
from .module import GraphModule, Run, to_torch
from ..finetune.schedule import Schedule
from ..finetune.svt import SVT, Record
from ..finetune.svt_target import SVTTarget
from ..finetune.whitened_gradient import WhitenedGradient
from ..finetune.whitening import Whitening
from .write_back import write_back

__all__ = [
    "SVT",
    "DeviationError",
    "ExecutionError",
    "GraphModule",
    "Record",
    "Run",
    "SVTTarget",
    "Schedule",
    "UnsupportedError",
    "WhitenedGradient",
    "Whitening",
    "check_against_onnxruntime",
    "measure_metric",
    "to_torch",
    "write_back",
]
