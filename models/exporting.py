"""Export from torch to ONNX, checked against torch. torch is imported inside the function."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.errors import RecipeError
from models.session import Array, Model

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn

TOLERANCE = 1e-4

# The metadata that name the modules around a node.
_SCOPES = "pkg.torch.onnx.name_scopes"


def export(
    network: "nn.Module",
    feeds: Sequence[dict[str, Array]],
    path: Path,
    *,
    output: str,
    dynamic: dict[str, dict[int, str]],
    scopes: bool = False,
) -> None:
    """Export a module, and compare the file with it.

    Args:
        network: a module in eval mode; its forward takes the feed's values in their order, and it
            returns one tensor.
        feeds: samples; the first one is traced, all are compared. They should differ in the
            dynamic dimensions, so that a dimension frozen by mistake is noticed.
        path: the file to write.
        output: the output's name.
        dynamic: for each input, the names of its dynamic axes.
        scopes: whether nodes keep the paths of the modules that they come from.

    Raises:
        RecipeError: the exported file's outputs differ from the module's by more than 1e-4.
    """
    import torch  # noqa: PLC0415

    # It warns of each operator of torchvision, which nothing here uses.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    tensors = {name: torch.from_numpy(value) for name, value in feeds[0].items()}
    dimensions = {
        label: torch.export.Dim(label) for axes in dynamic.values() for label in axes.values()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            network,
            tuple(tensors.values()),
            input_names=list(tensors),
            output_names=[output],
            dynamic_shapes=tuple(
                {axis: dimensions[label] for axis, label in dynamic[name].items()}
                for name in tensors
            ),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    _forget_origins(program.model, _SCOPES if scopes else None)
    program.save(str(path))
    model = Model(path)
    for feed in feeds:
        with torch.no_grad():
            expected = network(*(torch.from_numpy(feed[name]) for name in tensors))
        error = float(np.abs(model(feed)[0] - expected.numpy()).max())
        if not error <= TOLERANCE:
            raise RecipeError(f"The export to {path.name} differs from torch by {error:.1e}.")


def _forget_origins(model: "ir.Model", kept: str | None) -> None:
    """Drop the metadata that name this machine's paths (stack traces of the tracing)."""
    model.metadata_props.clear()
    for node in model.graph:
        for key in set(node.metadata_props) - {kept}:
            del node.metadata_props[key]
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
