"""A model in onnxruntime, as evaluation needs it: feeds in, arrays out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from models.errors import RecipeError

Array = npt.NDArray[Any]


class Model:
    """An ONNX file that can be called.

    Args:
        path: the file.

    Raises:
        RecipeError: there is no such file, or onnxruntime cannot load it.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise RecipeError(f"There is no file {path}.")
        options = ort.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions share no narrower base
            raise RecipeError(f"onnxruntime cannot load {path}: {_first_line(error)}") from error
        self.path = path
        self.inputs = [value.name for value in self._session.get_inputs()]
        self.outputs = [value.name for value in self._session.get_outputs()]

    def __call__(self, feed: Mapping[str, Array]) -> list[Array]:
        """Run one feed; entries that are not inputs of the model (labels) are left out."""
        try:
            results = self._session.run(
                None, {name: feed[name] for name in self.inputs if name in feed}
            )
        except Exception as error:
            raise RecipeError(
                f"onnxruntime cannot run {self.path}: {_first_line(error)}"
            ) from error
        return [np.asarray(result) for result in results]

    def metadata(self) -> dict[str, str]:
        """Return the model's custom metadata."""
        return dict(self._session.get_modelmeta().custom_metadata_map)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no reason given"])[0]
