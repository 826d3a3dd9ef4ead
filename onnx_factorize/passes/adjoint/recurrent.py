"""Rules of recurrent operators: backpropagation through time, as two Scans a direction.

The first repeats the recurrence and keeps the gates, which the operators do not return; the second
runs backwards in time. Weights are shared by all time steps and need no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.registry import Cotangents, rule
from onnx_factorize.passes.adjoint.scan import Body, Values, scan
from onnx_factorize.passes.adjoint.step import Step


class Recurrence:
    """The parts that LSTM, GRU and RNN share."""

    def __init__(self, s: Step, gates: int) -> None:
        self.s = s
        self.gates = gates
        e = s.e
        if s.integer("layout", 0) or not _default(s):
            raise NoRuleError("another layout or other activations")
        if s.node.attributes.get("clip") is not None or s.integer("input_forget", 0):
            raise NoRuleError("clip or input_forget")
        if s.maybe(7) is not None:
            raise NoRuleError("peepholes")
        lengths = s.maybe(4)
        if lengths is not None:
            raise NoRuleError("sequence lengths")
        s.refuse_gradient(1, 2, 3)
        direction = s.string("direction", "forward")
        self.directions = {"forward": [False], "reverse": [True]}.get(direction, [False, True])
        hidden = s.facts.static(s.x(2), 2)
        if hidden is None:
            raise NoRuleError("a hidden size that is not static")
        self.hidden = hidden
        batch = e.dim(s.x(), 1)
        self.blank = e.full(e.concat([batch, e.ints([hidden])], 0), 0.0, s.dtype)

    def weight(self, index: int, direction: int) -> ir.Value:
        """Return one direction's W or R, [gates · H, ...]."""
        return self.s.e.op("Gather", self.s.x(index), self.scalar_index(direction), axis=0)

    def scalar_index(self, index: int) -> ir.Value:
        """Return a position without an axis."""
        return self.s.e.constant(np.int64(index), ir.DataType.INT64)

    def bias(self, direction: int) -> tuple[ir.Value, ir.Value] | None:
        """Return one direction's bias of the input and of the recurrence."""
        if self.s.maybe(3) is None:
            return None
        both = self.s.e.op("Gather", self.s.x(3), self.scalar_index(direction), axis=0)
        size = self.gates * self.hidden
        first, second = self.s.e.split(both, [size, size], 0)
        return first, second

    def state(self, value: ir.Value | None, direction: int) -> ir.Value:
        """Return one direction's state [B, H] of [D, B, H], or zeros."""
        if value is None:
            return self.blank
        return self.s.e.op("Gather", value, self.scalar_index(direction), axis=0)

    def projected(self, direction: int) -> ir.Value:
        """Return X Wᵀ plus the input's bias, [T, B, gates · H]."""
        e = self.s.e
        product = e.matmul(self.s.x(), e.transpose(self.weight(1, direction), [1, 0]))
        bias = self.bias(direction)
        return product if bias is None else e.add(product, bias[0])

    def split(self, value: ir.Value) -> Values:
        """Split by gate."""
        return list(self.s.e.split(value, [self.hidden] * self.gates, 1))

    def incoming(self, direction: int) -> ir.Value:
        """Return the cotangent of one direction's outputs by time, [T, B, H]."""
        e = self.s.e
        g = self.s.cotangents[0]
        if g is not None:
            return e.op("Gather", g, self.scalar_index(direction), axis=1)
        shape = e.concat([e.dim(self.s.x(), 0), e.dim(self.s.x(), 1), e.ints([self.hidden])], 0)
        return e.full(shape, 0.0, self.s.dtype)

    def last(self, output: int, direction: int) -> ir.Value:
        """Return the cotangent of one direction's last state."""
        given = self.s.cotangents[output] if output < len(self.s.cotangents) else None
        return self.state(given, direction)

    def collect(self, gates: Values, states: Sequence[Values]) -> Cotangents:
        """Combine the directions: x̄ = Σ ā W, and the initial states' cotangents."""
        e = self.s.e
        terms: dict[int, ir.Value | None] = {}
        if self.s.needs(0):
            terms[0] = e.total([e.matmul(g, self.weight(1, d)) for d, g in enumerate(gates)])
        for i, values in enumerate(states):
            if self.s.needs(5 + i):
                terms[5 + i] = e.concat([e.unsqueeze(value, [0]) for value in values], 0)
        return terms


def _default(s: Step) -> bool:
    if s.node.attributes.get("activations") is None:
        return True
    names = [name.lower() for name in s.node.attributes["activations"].as_strings()]
    usual = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}
    pattern = usual[s.node.op_type]
    return names == pattern * (len(names) // len(pattern))


def _through_sigmoid(s: Step, g: ir.Value, y: ir.Value) -> ir.Value:
    return s.e.mul(g, s.e.sub(y, s.e.mul(y, y)))


def _through_tanh(s: Step, g: ir.Value, y: ir.Value) -> ir.Value:
    return s.e.mul(g, s.e.sub(s.scalar(1), s.e.mul(y, y)))


@rule("LSTM", since=7)
def _lstm(s: Step) -> Cotangents:
    """i, o, f = sigmoid(a), g = tanh(a), c' = f·c + i·g, h' = o·tanh(c'), a = x Wᵀ + h Rᵀ + b."""
    e, r = s.e, Recurrence(s, 4)
    gates: Values = []
    firsts: tuple[Values, Values] = ([], [])
    for d, reverse in enumerate(r.directions):
        recurrent, bias = r.weight(2, d), r.bias(d)
        recurrent_t = e.transpose(recurrent, [1, 0])

        def forward(
            states: Values,
            inputs: Values,
            matrix: ir.Value = recurrent_t,
            bias: tuple[ir.Value, ir.Value] | None = bias,
        ) -> Body:
            h, c = states
            a = e.add(inputs[0], e.matmul(h, matrix))
            parts = r.split(a if bias is None else e.add(a, bias[1]))
            i, o, f = (e.op("Sigmoid", part) for part in parts[:3])
            g = e.op("Tanh", parts[3])
            new = e.add(e.mul(f, c), e.mul(i, g))
            t = e.op("Tanh", new)
            return Body([e.mul(o, t), new], [i, o, f, g, c, t])

        def backward(states: Values, inputs: Values, matrix: ir.Value = recurrent) -> Body:
            dh, dc = states
            gy, i, o, f, g, c, t = inputs
            dh = e.add(dh, gy)
            dc = e.add(dc, _through_tanh(s, e.mul(dh, o), t))
            da = e.concat(
                [
                    _through_sigmoid(s, e.mul(dc, g), i),
                    _through_sigmoid(s, e.mul(dh, t), o),
                    _through_sigmoid(s, e.mul(dc, c), f),
                    _through_tanh(s, e.mul(dc, i), g),
                ],
                1,
            )
            return Body([e.matmul(da, matrix), e.mul(dc, f)], [da])

        start = [r.state(s.maybe(5), d), r.state(s.maybe(6), d)]
        _, kept = scan(s, start, [r.projected(d)], forward, backwards=reverse)
        ends = [r.last(1, d), r.last(2, d)]
        first, stacked = scan(s, ends, [r.incoming(d), *kept], backward, backwards=not reverse)
        gates.append(stacked[0])
        firsts[0].append(first[0])
        firsts[1].append(first[1])
    return r.collect(gates, firsts)


@rule("GRU", since=7)
def _gru(s: Step) -> Cotangents:
    """z, r = sigmoid(a), n = tanh(x Wₙᵀ + r·(h Rₙᵀ + b)), h' = (1 - z)·n + z·h.

    With ``linear_before_reset`` 0, n = tanh(x Wₙᵀ + (r·h) Rₙᵀ + b).
    """
    e, r = s.e, Recurrence(s, 3)
    linear = bool(s.integer("linear_before_reset", 0))
    gates: Values = []
    firsts: Values = []
    for d, reverse in enumerate(r.directions):
        both, last = e.split(r.weight(2, d), [2 * r.hidden, r.hidden], 0)
        both_t, last_t = e.transpose(both, [1, 0]), e.transpose(last, [1, 0])
        bias = r.bias(d)
        biases = None if bias is None else e.split(bias[1], [2 * r.hidden, r.hidden], 0)

        def forward(
            states: Values,
            inputs: Values,
            both: ir.Value = both_t,
            last: ir.Value = last_t,
            biases: Sequence[ir.Value] | None = biases,
        ) -> Body:
            (h,) = states
            xz, xn = e.split(inputs[0], [2 * r.hidden, r.hidden], 1)
            a = e.add(xz, e.matmul(h, both))
            a = a if biases is None else e.add(a, biases[0])
            z, reset = e.split(e.op("Sigmoid", a), [r.hidden, r.hidden], 1)
            inner = e.matmul(h if linear else e.mul(reset, h), last)
            inner = inner if biases is None else e.add(inner, biases[1])
            n = e.op("Tanh", e.add(xn, e.mul(reset, inner) if linear else inner))
            new = e.add(n, e.mul(z, e.sub(h, n)))
            return Body([new], [z, reset, n, h, inner])

        def backward(
            states: Values, inputs: Values, both: ir.Value = both, last: ir.Value = last
        ) -> Body:
            gy, z, reset, n, h, inner = inputs
            dh = e.add(states[0], gy)
            dn = _through_tanh(s, e.sub(dh, e.mul(dh, z)), n)
            if linear:
                dr = e.mul(dn, inner)
                through = e.matmul(e.mul(dn, reset), last)
            else:
                product = e.matmul(dn, last)
                dr = e.mul(product, h)
                through = e.mul(product, reset)
            dz = _through_sigmoid(s, e.mul(dh, e.sub(h, n)), z)
            dzr = e.concat([dz, _through_sigmoid(s, dr, reset)], 1)
            previous = e.total([e.mul(dh, z), through, e.matmul(dzr, both)])
            return Body([previous], [e.concat([dzr, dn], 1)])

        _, kept = scan(s, [r.state(s.maybe(5), d)], [r.projected(d)], forward, backwards=reverse)
        sequences = [r.incoming(d), *kept]
        first, stacked = scan(s, [r.last(1, d)], sequences, backward, backwards=not reverse)
        gates.append(stacked[0])
        firsts.append(first[0])
    return r.collect(gates, [firsts])


@rule("RNN", since=7)
def _rnn(s: Step) -> Cotangents:
    """H' = tanh(x Wᵀ + h Rᵀ + b)."""
    e, r = s.e, Recurrence(s, 1)
    gates: Values = []
    firsts: Values = []
    for d, reverse in enumerate(r.directions):
        recurrent, bias = r.weight(2, d), r.bias(d)
        recurrent_t = e.transpose(recurrent, [1, 0])

        def forward(
            states: Values,
            inputs: Values,
            matrix: ir.Value = recurrent_t,
            bias: tuple[ir.Value, ir.Value] | None = bias,
        ) -> Body:
            a = e.add(inputs[0], e.matmul(states[0], matrix))
            h = e.op("Tanh", a if bias is None else e.add(a, bias[1]))
            return Body([h], [h])

        def backward(states: Values, inputs: Values, matrix: ir.Value = recurrent) -> Body:
            da = _through_tanh(s, e.add(states[0], inputs[0]), inputs[1])
            return Body([e.matmul(da, matrix)], [da])

        _, kept = scan(s, [r.state(s.maybe(5), d)], [r.projected(d)], forward, backwards=reverse)
        sequences = [r.incoming(d), *kept]
        first, stacked = scan(s, [r.last(1, d)], sequences, backward, backwards=not reverse)
        gates.append(stacked[0])
        firsts.append(first[0])
    return r.collect(gates, [firsts])
