"""Recurrent layers, one step of time after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from ..execution.errors import Unsupported
from ..execution.table import operator

Function: TypeAlias = Callable[[Tensor], Tensor]

# Each with ONNX's alpha and beta, where it has them.
_ACTIVATIONS: dict[str, tuple[Callable[[Tensor, float, float], Tensor], float, float]] = {
    "affine": (lambda x, alpha, beta: alpha * x + beta, 1.0, 0.0),
    "elu": (lambda x, alpha, _: F.elu(x, alpha), 1.0, 0.0),
    "hardsigmoid": (lambda x, alpha, beta: torch.clamp(alpha * x + beta, 0, 1), 0.2, 0.5),
    "leakyrelu": (lambda x, alpha, _: F.leaky_relu(x, alpha), 0.01, 0.0),
    "relu": (lambda x, _alpha, _beta: torch.relu(x), 0.0, 0.0),
    "scaledtanh": (lambda x, alpha, beta: alpha * torch.tanh(beta * x), 1.0, 1.0),
    "sigmoid": (lambda x, _alpha, _beta: torch.sigmoid(x), 0.0, 0.0),
    "softplus": (lambda x, _alpha, _beta: F.softplus(x), 0.0, 0.0),
    "softsign": (lambda x, _alpha, _beta: F.softsign(x), 0.0, 0.0),
    "tanh": (lambda x, _alpha, _beta: torch.tanh(x), 0.0, 0.0),
    "thresholdedrelu": (lambda x, alpha, _: torch.where(x > alpha, x, 0), 1.0, 0.0),
}


def _functions(
    names: Sequence[str],
    alphas: Sequence[float] | None,
    betas: Sequence[float] | None,
    clip: float | None,
) -> list[Function]:
    """Activation functions with their parameters, behind the clipping of their inputs."""
    functions: list[Function] = []
    for i, name in enumerate(names):
        if name.lower() not in _ACTIVATIONS:
            raise Unsupported(f"the activation function '{name}'")
        function, alpha, beta = _ACTIVATIONS[name.lower()]
        alpha = alphas[i] if alphas and i < len(alphas) else alpha
        beta = betas[i] if betas and i < len(betas) else beta

        def bound(
            x: Tensor,
            function: Callable[[Tensor, float, float], Tensor] = function,
            alpha: float = alpha,
            beta: float = beta,
        ) -> Tensor:
            return function(x if clip is None else x.clamp(-clip, clip), alpha, beta)

        functions.append(bound)
    return functions


Cell: TypeAlias = Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]


def _scan(
    x: Tensor, cell: Cell, state: tuple[Tensor, ...], lengths: Tensor | None, backward: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs a cell over time; a sample whose sequence is over keeps its state and gives zeros.

    Args:
        x: Shape (time, batch, features).
        cell: Makes the next state, the first part of which is the output.
        state: Each of shape (batch, hidden).
        lengths: Shape (batch,); None where all sequences are full.
        backward: Whether each sequence is read from its end.
    """
    outputs: list[Tensor] = []
    times = range(len(x))
    for t in reversed(times) if backward else times:
        following = cell(x[t], state)
        if lengths is None:
            state = following
            outputs.append(state[0])
            continue
        runs = (t < lengths.to(x.device))[:, None]
        state = tuple(torch.where(runs, n, o) for n, o in zip(following, state, strict=True))
        outputs.append(torch.where(runs, state[0], 0))
    if backward:
        outputs.reverse()
    return torch.stack(outputs), state


def _layer(
    x: Tensor,
    direction: str,
    layout: int,
    lengths: Tensor | None,
    initial: Sequence[Tensor | None],
    hidden: int,
    cells: Callable[[int], Cell],
) -> tuple[Tensor, ...]:
    """Runs each direction and stacks what they give."""
    x = x.transpose(0, 1) if layout else x
    if lengths is not None and bool((lengths == len(x)).all()):
        lengths = None
    count = 2 if direction == "bidirectional" else 1
    ys, finals = [], []
    for d in range(count):
        state = tuple(
            x.new_zeros(x.shape[1], hidden)
            if start is None
            else (start[:, d] if layout else start[d])
            for start in initial
        )
        y, final = _scan(x, cells(d), state, lengths, direction == "reverse" or d == 1)
        ys.append(y)
        finals.append(final)
    axis = 1 if layout else 0
    last = [torch.stack([f[i] for f in finals], axis) for i in range(len(initial))]
    # (time, directions, batch, hidden), or with layout 1 (batch, time, directions, hidden)
    stacked = torch.stack(ys, 1)
    return (stacked.permute(2, 0, 1, 3) if layout else stacked), *last


@operator("RNN", since=7)
def _rnn(
    x: Tensor,
    W: Tensor,
    R: Tensor,
    B: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    activations: Sequence[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
) -> tuple[Tensor, ...]:
    hidden = hidden_size or R.shape[-1]
    functions = _functions(activations or ["Tanh"] * 2, activation_alpha, activation_beta, clip)

    def cells(d: int) -> Cell:
        bias = 0 if B is None else B[d].reshape(2, hidden).sum(0)

        def cell(x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (functions[d](x @ W[d].T + state[0] @ R[d].T + bias),)

        return cell

    return _layer(x, direction, layout, lengths, [initial_h], hidden, cells)


@operator("GRU", since=7)
def _gru(
    x: Tensor,
    W: Tensor,
    R: Tensor,
    B: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    activations: Sequence[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> tuple[Tensor, ...]:
    hidden = hidden_size or R.shape[-1]
    names = activations or ["Sigmoid", "Tanh"] * 2
    functions = _functions(names, activation_alpha, activation_beta, clip)

    def cells(d: int) -> Cell:
        f, g = functions[2 * d : 2 * d + 2]
        bias = x.new_zeros(6 * hidden) if B is None else B[d]
        input_bias, state_bias = bias[: 3 * hidden], bias[3 * hidden :]

        def cell(x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            (h,) = state
            from_x = x @ W[d].T + input_bias
            gates = from_x[:, : 2 * hidden] + h @ R[d][: 2 * hidden].T + state_bias[: 2 * hidden]
            z, r = f(gates).chunk(2, 1)
            matrix, shift = R[d][2 * hidden :].T, state_bias[2 * hidden :]
            inner = r * (h @ matrix + shift) if linear_before_reset else (r * h) @ matrix + shift
            candidate = g(from_x[:, 2 * hidden :] + inner)
            return ((1 - z) * candidate + z * h,)

        return cell

    return _layer(x, direction, layout, lengths, [initial_h], hidden, cells)


@operator("LSTM", since=7)
def _lstm(
    x: Tensor,
    W: Tensor,
    R: Tensor,
    B: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    initial_c: Tensor | None = None,
    P: Tensor | None = None,
    *,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    activations: Sequence[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
) -> tuple[Tensor, ...]:
    """Gates are stacked in the order input, output, forget, cell."""
    hidden = hidden_size or R.shape[-1]
    names = activations or ["Sigmoid", "Tanh", "Tanh"] * 2
    functions = _functions(names, activation_alpha, activation_beta, clip)
    unclipped = _functions(names, activation_alpha, activation_beta, None)

    def cells(d: int) -> Cell:
        f, g, _ = functions[3 * d : 3 * d + 3]
        h = unclipped[3 * d + 2]  # the cell's own value is not clipped, in onnxruntime either
        bias = 0 if B is None else B[d].reshape(2, -1).sum(0)
        peep = x.new_zeros(3 * hidden) if P is None else P[d]
        peep_i, peep_o, peep_f = peep.reshape(3, hidden)

        def cell(x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            past, memory = state
            i, o, keep, c = (x @ W[d].T + past @ R[d].T + bias).chunk(4, 1)
            i = f(i + peep_i * memory)
            keep = 1 - i if input_forget else f(keep + peep_f * memory)
            memory = keep * memory + i * g(c)
            return f(o + peep_o * memory) * h(memory), memory

        return cell

    return _layer(x, direction, layout, lengths, [initial_h, initial_c], hidden, cells)
