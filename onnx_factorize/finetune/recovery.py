"""Recover what factorization lost: the way to torch, which nothing else needs."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from ..allocation.calibrated import Calibrated
from ..allocation.plan import Plan
from ..calibration import CalibrationData
from ..errors import InputError
from ..options import Options
from ..outputs import OutputDistribution
from ..outputs.given_labels import check_labels, labelled_output
from ..passes import DropTiny, fixed_draws
from ..progress import Progress
from ..runtime.runtimes import runtime_of
from .augmentation import Augmentation
from .training import Recovery

__all__ = ["MEASURED", "check_torch", "check_training", "recover"]

# More samples than this teach, but bring nothing to moments.
MEASURED = 4096


def check_torch(device: str) -> None:
    """Finds out, before minutes of work, whether what trains is there.

    Args:
        device: Where to train.

    Raises:
        InputError: It is not.
    """
    for needed in ("torch", "safetensors"):
        if importlib.util.find_spec(needed) is None:
            raise InputError(f"--finetune needs {needed}: pip install 'onnx-factorize[train]'.")
    # Only here does the pipeline need torch.
    from ..torch.devices import check_device  # noqa: PLC0415

    check_device(device)


def check_training(
    dense: ir.Model,
    outputs: Mapping[str, OutputDistribution],
    data: CalibrationData,
    options: Options,
) -> None:
    """Finds out, before minutes of work, whether the model and its data can be trained with.

    Args:
        dense: The dense model; it is not changed.
        outputs: What each output stands for.
        data: The calibration data.
        options: How to train.

    Raises:
        InputError: There are too few samples, or they do not hold what training wants of them, or
            cannot be augmented; or torch cannot run the model as onnxruntime does.
    """
    # Torch, as above: imported for fine-tuning only.
    from ..torch.check import check_against_onnxruntime  # noqa: PLC0415
    from ..torch.devices import full_precision, in_threads  # noqa: PLC0415
    from ..torch.module import to_torch  # noqa: PLC0415
    from .trainer import validating_samples  # noqa: PLC0415

    training, runtime = options.training, runtime_of(options.runtime)
    sample = data.typical("holdout")
    validating_samples(data)
    if training.augment is not None:
        Augmentation(training.augment)(sample, np.random.default_rng(0))
    if training.label_share:
        output = labelled_output(outputs)
        shape = runtime.session(dense, [output]).run(sample.feeds, sample.origin)[output].shape
        check_labels(sample, outputs[output].kind, shape)
    with in_threads(runtime.threads), full_precision(training.device):
        module = to_torch(fixed_draws(dense)).to(training.device)
        check_against_onnxruntime(module, dense, sample.feeds, runtime=runtime)


def recover(
    known: Calibrated, compressed: ir.Model, plan: Plan, options: Options, progress: Progress
) -> tuple[ir.Model, Plan, Recovery]:
    """Trains a compressed model towards the dense one; see `torch.trainer` and `thresholding`.

    Args:
        known: What is known of the dense model.
        compressed: The compressed one. Its constants may be replaced.
        plan: How it was made.
        options: How to train.
        progress: What is told how far the run is.

    Returns:
        The model, the plan by its ranks, and what became of training.
    """
    # Torch, as above: imported for fine-tuning only.
    from ..torch.devices import full_precision, in_threads  # noqa: PLC0415
    from .teacher import Teacher  # noqa: PLC0415
    from .thresholding import recover_by_svt  # noqa: PLC0415
    from .trainer import finetune, steps_of  # noqa: PLC0415

    training, runtime, seed = options.training, runtime_of(options.runtime), options.selection.seed
    stage = progress.stage("fine-tune", steps_of(known.data, training))
    with in_threads(runtime.threads), full_precision(training.device), stage as advance:
        teacher = Teacher.of(
            training, known.dense, compressed, known.outputs, runtime, _comparable(known, plan)
        )
        if training.finds_ranks:
            compressed, plan, recovery = recover_by_svt(
                known, compressed, plan, teacher, options, advance
            )
        else:
            recovery = finetune(compressed, teacher, known.data, training, runtime, seed, advance)
    # Training may have made weights next to nothing; of the user's, only what may change does.
    free = not options.keep_subnormals and (known.subnormals is None or known.subnormals.zeroed)
    DropTiny("all" if free else "factors")(compressed)
    return compressed, plan, recovery


def _comparable(known: Calibrated, plan: Plan) -> list[str]:
    """The values that targets compute in both models, channel by channel."""
    narrowed = known.analysis.channels.chosen(plan.ranks)
    gone = {
        producer.node.outputs[0].name for narrowing in narrowed for producer in narrowing.producers
    }
    return [name for name in known.computed if name not in gone]
