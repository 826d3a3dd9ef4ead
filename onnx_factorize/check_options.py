"""Options that name what there is not are found before a run starts."""

from __future__ import annotations

from typing import get_args

from . import processes
from .allocation.forms import AUTO
from .errors import InputError
from .factorization.forms import form_names
from .factorization.weightings import get_weighting
from .goals.budgets import check_budget, wants_speed
from .goals.guarantee import MeasuredGuarantee
from .options import Options
from .quantization.quantizers import Bits
from .runtime.runtimes import runtime_of
from .user_code import imported

__all__ = ["check_options"]


def check_options(options: Options) -> None:
    """Looks up the names that options hold.

    Raises:
        InputError: There is no such budget, weighting, form, quantizer, metric or runtime.
    """
    weighting = get_weighting(options.weighting)
    price = check_budget(options.budget)
    if options.training.finds_ranks and (price.timed or options.prefers_speed):
        raise InputError(
            "--svt counts parameters or multiplications: it cannot meet a goal of time."
        )
    measured = wants_speed(options) and not options.runtime.latency_profile
    if processes.count() > 1 and measured:
        raise InputError(
            "Each process would time cuts for itself, and come to a plan of its own: under "
            "torchrun give a budget of params, targets or bytes, and no --prefer latency."
        )
    forms = (AUTO, *form_names())
    if options.form not in forms:
        raise InputError(f"There is no form '{options.form}'; use {', '.join(forms)}.")
    if options.narrow == "only" and (weighting.unit != "nats" or options.ranks == "uniform"):
        raise InputError(
            "--narrow only needs losses of the whole model: leave --weighting and --ranks out."
        )
    if options.quantize not in (None, *get_args(Bits)):
        raise InputError(f"--quantize is int8, int4 or fp16, not '{options.quantize}'.")
    if options.promise is not None:
        MeasuredGuarantee.of(options.promise)
    if options.metric is not None:
        imported(options.metric, "--metric")
    runtime_of(options.runtime)
