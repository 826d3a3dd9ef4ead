"""The feeds of a graph whose gradients are seeded by numbers: see `SeedOutputs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from ..arrays import AnyArray
from ..calibration import Batch
from ..errors import InputError
from ..keyed_random import keys_of
from ..outputs import OutputDistribution
from ..outputs.given_labels import check_labels
from ..outputs.shapes import OutputShapes
from ..passes import SeedInputs
from ..runtime.session import Runtime, Session

__all__ = ["Seeding"]


class Seeding:
    """Makes the numbers, which need the shapes that the outputs will have.

    Shapes are guessed from those seen before. Each run shows whether the guess was right; where
    there is none, or it was wrong, the plain model is run for them.
    """

    def __init__(
        self,
        observed: ir.Model,
        inputs: Mapping[str, SeedInputs],
        outputs: Mapping[str, OutputDistribution],
        model: ir.Model,
        runtime: Runtime,
        shapes: OutputShapes | None,
        seed: int,
    ) -> None:
        """Prepares.

        Args:
            observed: The graph that takes the numbers.
            inputs: Output name to the inputs that its seed is made of.
            outputs: Output name to its distribution.
            model: The plain model.
            runtime: How to run it.
            shapes: What is known of the outputs' shapes.
            seed: Of what is drawn.
        """
        self._inputs, self._outputs = inputs, outputs
        self._types = {v.name: v.dtype.numpy() for v in observed.graph.inputs if v.dtype}
        self._plain: Callable[[], Session] = lambda: runtime.session(model, list(inputs))
        self._session: Session | None = None
        self._shapes = shapes or OutputShapes(inputs)
        self._seed = seed

    def run(self, session: Session, batch: Batch, draw: int = 0) -> dict[str, AnyArray]:
        """Runs the graph on one batch.

        Args:
            session: The graph.
            batch: The batch.
            draw: Which of several draws of labels.
        """
        if not self._inputs:
            return session.run(batch.feeds, batch.origin)
        shapes = self._shapes.expect(batch)
        if shapes is not None:
            try:
                values = session.run(batch.feeds | self.fed(batch, shapes, draw), batch.origin)
            except InputError:
                values = {}
            if all(
                np.array_equal(values.get(inputs.size, ()), shapes[name])
                for name, inputs in self._inputs.items()
            ):
                return values
        if self._session is None:
            self._session = self._plain()
        found = self._session.run(batch.feeds, batch.origin)
        shapes = {name: found[name].shape for name in self._inputs}
        self._shapes.note(batch, shapes)
        return session.run(batch.feeds | self.fed(batch, shapes, draw), batch.origin)

    def release(self) -> None:
        """Lets go of the plain model, until it is needed again."""
        self._session = None

    def fed(
        self, batch: Batch, shapes: Mapping[str, tuple[int, ...]], draw: int
    ) -> dict[str, AnyArray]:
        """The numbers for one batch.

        Args:
            batch: The batch.
            shapes: Output name to its shape; numbers for other outputs are left out.
            draw: Which of several draws of labels.
        """
        fed: dict[str, AnyArray] = {}
        indices = batch.indices if len(batch.indices) else np.arange(batch.samples)
        for name, inputs in self._inputs.items():
            if name not in shapes:
                continue
            keys = keys_of(indices, self._seed, name, draw)
            output, labels = self._outputs[name], None
            if inputs.fed == "label":
                labels = check_labels(batch, output.kind, shapes[name])
            fed |= output.feeds(inputs, shapes[name], keys, batch.mask, labels)
        return {name: array.astype(self._types[name], copy=False) for name, array in fed.items()}
