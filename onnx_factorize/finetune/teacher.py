"""The dense model as a teacher: what it answers, and how far a model in training is from that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import onnx_ir as ir
import torch
from torch import Tensor

from ..arrays import Arrays
from ..calibration import Batch
from ..evaluation import Divergences, evaluate
from ..options import Precision, Training
from ..outputs import OutputDistribution
from ..outputs.given_labels import check_labels, labelled_output, mixed_with_labels
from ..outputs.kinds_by_data import settled
from ..outputs.labels_seen import LabelsSeen
from ..outputs.seen import OutputSeen
from ..passes import OutputKind
from ..runtime.session import Runtime
from ..torch.module import GraphModule
from .distillation import Distillation
from .teacher_cache import TeacherCache

__all__ = ["Teacher"]


class Teacher:
    """The dense model, as a model in training learns from it.

    The loss is the divergence of the outputs, in nats a prediction, plus a weight times the mean
    over some values within the graph of ½ E‖Δ‖² / variance: how far they are from the dense
    model's, each in its own unit.
    """

    def __init__(
        self,
        dense: ir.Model,
        outputs: Mapping[str, OutputDistribution],
        runtime: Runtime,
        *,
        label_share: float = 0.0,
        hidden_weight: float = 0.0,
        hidden: Sequence[str] = (),
        precision: Precision = "float32",
    ) -> None:
        """Loads the dense model.

        Args:
            dense: The dense model.
            outputs: What each output stands for.
            runtime: How onnxruntime runs it.
            label_share: The weight of labels that come with the data, from 0 to 1.
            hidden_weight: The weight of the values within the graph.
            hidden: Their names.
            precision: What the model in training computes in.
        """
        self.outputs = outputs
        self.hidden = list(hidden) if hidden_weight else []
        self._share, self._weight = label_share, hidden_weight
        self._labelled = labelled_output(outputs) if label_share else None
        self._session = runtime.session(dense, [*outputs, *self.hidden])
        self._cache = TeacherCache(lambda batch: self._session.run(batch.feeds, batch.origin))
        self._outputs = Distillation(outputs)
        self._inner = {name: OutputSeen(OutputKind("gaussian")) for name in self.hidden}
        self._hidden: Distillation | None = None
        self._half = precision == "bfloat16"

    @classmethod
    def of(
        cls,
        training: Training,
        dense: ir.Model,
        trained: ir.Model,
        outputs: Mapping[str, OutputDistribution],
        runtime: Runtime,
        computed: Sequence[str] = (),
    ) -> Teacher:
        """The teacher that a training asks for.

        Args:
            training: What is asked for.
            dense: The dense model.
            trained: The graph that is trained.
            outputs: What each output stands for.
            runtime: How onnxruntime runs the dense model.
            computed: Values of the dense graph that may teach, where the other has them too.
        """
        return cls(
            dense,
            outputs,
            runtime,
            label_share=training.label_share,
            hidden_weight=training.hidden,
            hidden=_common(dense, trained, computed),
            precision=training.precision,
        )

    def answers(self, batch: Batch) -> Arrays:
        """The target of training: the dense model's values, its outputs mixed with labels."""
        found = self._cache(batch)
        name = self._labelled
        if name is not None:
            kind = self.outputs[name].kind
            labels = check_labels(batch, kind, found[name].shape)
            found[name] = mixed_with_labels(found[name], labels, kind, self._share)
        return found

    @property
    def cached(self) -> bool:
        """Tells whether the dense model was asked already for all that training asks it."""
        return self._cache.filled

    def fill_cache(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Asks the dense model once for all that training will ask it again; see `TeacherCache`."""
        return self._cache.fill(batches)

    def observe(self, batch: Batch) -> None:
        """Learns from a batch in what variances values within the graph are measured."""
        if not self._inner:
            return
        answers = self.answers(batch)
        for name, seen in self._inner.items():
            seen.add(answers[name], batch.samples, batch.mask, batch.origin)
        found = {name: settled(seen, LabelsSeen()) for name, seen in self._inner.items()}
        self._hidden = Distillation({name: o for name, o in found.items() if o is not None})

    def loss(self, module: GraphModule, batch: Batch) -> tuple[Tensor, float]:
        """The loss of training on a batch, and the part of it that is the divergence."""
        answers, mask = self.answers(batch), batch.mask
        with torch.autocast(module.device.type, torch.bfloat16, enabled=self._half):
            run = module.run(batch.feeds, capture=self.hidden)
        loss = self._outputs(answers, run.outputs, mask)
        divergence = float(loss.detach())
        if self._hidden is not None:
            inner = self._hidden(answers, run.captured, mask)
            loss = loss + self._weight / len(self.hidden) * inner
        return loss, divergence

    def divergence(self, module: GraphModule, batches: Iterable[Batch]) -> float:
        """The divergence of a model on some batches, in nats; infinite if it is not finite."""
        found = Divergences(self.outputs)
        evaluate(
            batches,
            self.answers,
            lambda batch: module.numpy(module.run(batch.feeds).outputs),
            found,
        )
        return found.value


def _common(dense: ir.Model, trained: ir.Model, wanted: Sequence[str]) -> list[str]:
    """Those of some values that nodes of both main graphs compute, and no output of the model."""
    outputs = {value.name for value in dense.graph.outputs}
    both = [{v.name for node in m.graph for v in node.outputs} for m in (dense, trained)]
    found = [name for name in wanted if name in both[0] & both[1] and name not in outputs]
    return list(dict.fromkeys(found))
