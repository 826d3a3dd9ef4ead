"""Options that name what there is not are found before a run starts."""

from __future__ import annotations

from typing import get_args

from .allocation.forms import Form
from .errors import InputError
from .factorization.weightings import get_weighting
from .goals.guarantee import Promise
from .options import Options
from .quantization.quantizers import Bits
from .runtime.runtimes import runtime_of

__all__ = ["check_options"]


def check_options(options: Options) -> None:
    """Looks up the names that options hold.

    Raises:
        InputError: There is no such weighting, form, quantizer, metric or runtime.
    """
    get_weighting(options.weighting)
    if options.form not in get_args(Form):
        raise InputError(f"There is no form '{options.form}'; use {', '.join(get_args(Form))}.")
    if options.quantize not in (None, *get_args(Bits)):
        raise InputError(f"--quantize is int8 or int4, not '{options.quantize}'.")
    if options.promise is not None:
        Promise.of(options.promise)
    runtime_of(options.runtime)
