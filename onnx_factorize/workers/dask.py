"""Workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from concurrent.futures import Executor

from ..errors import InputError
from ..foreign import reading

__all__ = ["at_scheduler"]

# Seconds in which a scheduler answers, or there is none.
_TIMEOUT = 10


@contextlib.contextmanager
def at_scheduler(address: str) -> Iterator[tuple[Executor, int]]:
    """Yields an executor of the workers of a scheduler, and how many there are.

    Args:
        address: Where the scheduler listens, such as `tcp://host:8786`.

    Raises:
        InputError: The library is missing, nobody answers, or there are no workers.
    """
    if importlib.util.find_spec("distributed") is None:
        raise InputError(
            "--scheduler needs the library distributed: python -m pip install "
            "'onnx-factorize[dask]'."
        )
    from distributed import Client  # noqa: PLC0415 - an extra

    with reading(f"The scheduler at {address} does not answer"):
        client = Client(address, timeout=_TIMEOUT, set_as_default=False)
    with client:
        workers = sum(client.nthreads().values())
        if not workers:
            raise InputError(f"The scheduler at {address} has no workers: start some.")
        yield client.get_executor(), workers
