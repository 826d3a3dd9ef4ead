"""Networks of matrix products over steps, drawn at random."""

from __future__ import annotations

from generated_network import SHARED_STEPS, Network, gemm


class Sequences(Network):
    """Matrix products and what stands around them; values have shape (batch, steps, channels)."""

    def linear(self, x: str, outer: int | None = None) -> str:
        *lead, inner = self.shapes[x]
        outer = outer or self.integer(2, 8)
        made = self.op("MatMul", [x, self.weight(inner, outer, fan=inner)], [*lead, outer])
        if self.chance(0.6):
            bias = self.floats(outer)
            made = self.op("Add", self.pick([[made, bias], [bias, made]]), [*lead, outer])
        return made

    def residual(self, x: str) -> str:
        width = self.shapes[x][-1]
        inner = self.linear(self.activation(self.linear(x)), width)
        return self.op("Add", self.pick([[x, inner], [inner, x]]), self.shapes[x])

    def gate(self, x: str) -> str:
        outer = self.integer(2, 6)
        one, other = self.linear(x, outer), self.linear(x, outer)
        shape = self.shapes[one]
        return self.op("Mul", [self.op("Sigmoid", [one], shape), other], shape)

    def norm(self, x: str) -> str:
        if self.opset < 17:
            return x
        inputs = [x, self.floats(self.shapes[x][-1])]
        return self.op("LayerNormalization", inputs, self.shapes[x])

    def halves(self, x: str) -> str:
        parts = self.split(x, 2)
        if len(parts) == 1:
            return x
        if self.shapes[parts[0]] == self.shapes[parts[1]] and self.chance(0.6):
            return self.op("Mul", parts, self.shapes[parts[0]])
        return self.concat(parts[1], [self.activation(parts[0])], 2)

    def branches(self, x: str) -> str:
        return self.concat(x, [self.linear(x)], 2)

    def rows(self, x: str) -> str:
        """A Gemm of all steps as rows."""
        batch, steps, width = self.shapes[x]
        flat = self.reshape(x, [batch * steps, width], open_axis=0)
        made = gemm(self, flat, self.integer(2, 6))
        return self.reshape(made, [batch, steps, self.shapes[made][1]], open_axis=0)

    def mix(self, x: str) -> str:
        """A product with a constant on the left, over the steps."""
        batch, steps, width = self.shapes[x]
        weight = self.floats(steps, steps, scale=0.5)
        return self.op("MatMul", [weight, x], [batch, steps, width])

    def attention(self, x: str) -> str:
        batch, steps, _ = self.shapes[x]
        heads, each = self.integer(2, 3), self.integer(1, 3)
        width = heads * each
        parts = [self.linear(x, width) for _ in range(3)]
        split = [self.reshape(p, [batch, steps, heads, each]) for p in parts]
        perms = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        q, k, v = (
            self.op("Transpose", [s], [self.shapes[s][i] for i in perm], perm=perm)
            for s, perm in zip(split, perms, strict=True)
        )
        scores = self.op("MatMul", [q, k], [batch, heads, steps, steps])
        if self.chance(0.3):
            scores = self.op("Add", [scores, self.floats(heads, 1, 1)], self.shapes[scores])
        weights = self.softmax(scores, 3)
        mixed = self.op("MatMul", [weights, v], [batch, heads, steps, each])
        perm = [0, 2, 1, 3]
        back = self.op("Transpose", [mixed], [batch, steps, heads, each], perm=perm)
        flat = self.reshape(back, [batch, steps, width], open_axis=self.pick([None, 2]))
        return self.linear(flat)

    def mean(self, x: str) -> str:
        """The mean of all steps, given to each."""
        pooled = self.reduce(x, [1], keepdims=True)
        return self.op("Sub", [x, pooled], self.shapes[x])

    def head(self, x: str) -> str:
        if self.chance(0.5):
            return self.linear(x, 3)
        batch, steps, width = self.shapes[x]
        if self.chance(0.5):
            flat = self.reshape(x, [batch, steps * width], open_axis=self.pick([None, 1]))
        else:
            flat = self.reduce(x, [1], keepdims=False)
        return gemm(self, flat, 3)


SEQUENCE_STEPS = [
    *SHARED_STEPS,
    Sequences.linear,
    Sequences.linear,
    Sequences.linear,
    Sequences.residual,
    Sequences.residual,
    Sequences.gate,
    Sequences.norm,
    Sequences.halves,
    Sequences.branches,
    Sequences.rows,
    Sequences.mix,
    Sequences.attention,
    Sequences.attention,
    Sequences.mean,
    lambda net, x: net.slice(x, 2),
    lambda net, x: net.gather(x, 2),
]
