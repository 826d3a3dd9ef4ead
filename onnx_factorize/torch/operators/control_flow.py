"""Branches and loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..execution.program import Call, Program
from ..execution.table import operator
from ._common import refuse


@operator("If")
def _if(
    condition: Tensor, *, then_branch: Program, else_branch: Program, call: Call
) -> tuple[Any, ...]:
    return tuple(call.run(then_branch if bool(condition) else else_branch))


@operator("Loop", host={0, 1})
def _loop(
    trips: Tensor | None, condition: Tensor | None, *carried: Any, body: Program, call: Call
) -> tuple[Any, ...]:
    """Values that are carried around, then those that are stacked."""
    most = None if trips is None else int(trips)
    state = list(carried)
    going = condition is None or bool(condition)
    stacks: list[list[Tensor]] = [[] for _ in body.outputs[1 + len(state) :]]
    count = 0
    while going and (most is None or count < most):
        held = torch.tensor(True) if condition is None else condition
        kept, *results = call.run(body, torch.tensor(count), held, *state)
        going, condition = bool(kept), kept
        state = results[: len(state)]
        for stack, value in zip(stacks, results[len(state) :], strict=True):
            stack.append(value)
        count += 1
    refuse(not count and bool(stacks), "a loop without iterations that stacks values")
    return (*state, *(torch.stack(stack) for stack in stacks))


@operator("Scan", since=8)
def _scan_batches(
    lengths: Tensor | None,
    *values: Tensor,
    body: Program,
    num_scan_inputs: int,
    directions: Sequence[int] | None = None,
    call: Call,
) -> tuple[Tensor, ...]:
    """The first axis is the batch: each sample is scanned by itself."""
    refuse(lengths is not None, "sequences of different lengths")
    samples = [
        _scan(
            *(value[i] for value in values),
            body=body,
            num_scan_inputs=num_scan_inputs,
            scan_input_directions=directions,
            call=call,
        )
        for i in range(values[0].shape[0])
    ]
    return tuple(torch.stack(parts) for parts in zip(*samples, strict=True))


@operator("Scan", since=9)
def _scan(
    *values: Tensor,
    body: Program,
    num_scan_inputs: int,
    scan_input_axes: Sequence[int] | None = None,
    scan_input_directions: Sequence[int] | None = None,
    scan_output_axes: Sequence[int] | None = None,
    scan_output_directions: Sequence[int] | None = None,
    call: Call,
) -> tuple[Tensor, ...]:
    count = len(values) - num_scan_inputs
    state, sequences = list(values[:count]), values[count:]
    axes = scan_input_axes or [0] * len(sequences)
    backward = scan_input_directions or [0] * len(sequences)
    stacks: list[list[Tensor]] = [[] for _ in body.outputs[count:]]
    length = sequences[0].shape[axes[0]]
    refuse(not length and bool(stacks), "a scan without steps that stacks values")
    for step in range(length):
        elements = [
            sequence.select(axis, length - 1 - step if flipped else step)
            for sequence, axis, flipped in zip(sequences, axes, backward, strict=True)
        ]
        results = call.run(body, *state, *elements)
        state = results[:count]
        for stack, value in zip(stacks, results[count:], strict=True):
            stack.append(value)
    out_axes = scan_output_axes or [0] * len(stacks)
    flips = scan_output_directions or [0] * len(stacks)
    stacked = [
        torch.stack(stack[::-1] if flipped else stack, axis)
        for stack, axis, flipped in zip(stacks, out_axes, flips, strict=True)
    ]
    return (*state, *stacked)
