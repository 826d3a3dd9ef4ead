"""Rules of matrix products."""

from __future__ import annotations

import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.registry import Cotangents, rule
from onnx_factorize.passes.adjoint.step import Step


def swap(s: Step, value: ir.Value, rank: int) -> ir.Value:
    """Transpose the last two axes (onnxruntime folds it into a product, or into a constant)."""
    return s.e.transpose(value, [*range(rank - 2), rank - 1, rank - 2])


@rule("MatMul")
def _matmul(s: Step) -> Cotangents:
    """For Y = A B: Ā = Ȳ Bᵀ, B̄ = Aᵀ Ȳ, summed over broadcast batch axes."""
    a, b = s.x(0), s.x(1)
    rank_a, rank_b = s.rank(a), s.rank(b)
    if rank_a == 1 or rank_b == 1:
        return _vector_product(s, rank_a, rank_b)
    g, factor = _unscaled(s)
    terms: dict[int, ir.Value] = {}
    if s.needs(0):
        terms[0] = _batched(s, s.e.matmul(g, swap(s, b, rank_b)), a)
    if s.needs(1):
        terms[1] = _right(s, g, a, b)
    if factor is not None:
        return {i: s.e.mul(term, factor) for i, term in terms.items()}
    return terms


def _unscaled(s: Step) -> tuple[ir.Value, ir.Value | None]:
    """Split Ȳ into Ȳ' and c where a constant c scales the product, as in attention.

    Ā and B̄ are narrower than Ȳ there, and onnxruntime folds c into the products that make them.
    """
    maker = s.g.producer()
    if maker is not None and maker.op_type == "Mul" and s.needs(0) and s.needs(1):
        g, factor = maker.inputs
        number = s.facts.array(factor)
        if g is not None and number is not None and number.ndim == 0:
            return g, factor
    return s.g, None


def _right(s: Step, g: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
    """Aᵀ Ȳ, or (Ȳᵀ A)ᵀ: whichever transposes the factor with fewer columns for the product.

    In attention the weights are the wider factor, a product with their transpose is slow, and
    the result's transposition cancels one that the heads were split by.
    """
    rank_a, rank_b = s.rank(a), s.rank(b)
    k, n = s.facts.static(b, -2), s.facts.static(b, -1)
    if rank_b == 2 < rank_a and k is not None and n is not None:
        rows, flat = s.e.reshape(a, [-1, k]), s.e.reshape(g, [-1, n])
        return s.e.matmul(swap(s, rows, 2), flat)
    if rank_a == rank_b and n is not None and (k is None or n < k):
        product = s.e.matmul(swap(s, g, rank_a), a)
        return _batched(s, swap(s, product, rank_a), b)
    return _batched(s, s.e.matmul(swap(s, a, rank_a), g), b)


def _batched(s: Step, product: ir.Value, x: ir.Value) -> ir.Value:
    """Sum a product down to the batch axes of ``x``."""
    dims = s.facts.dims
    dims[product] = (*dims[s.y][:-2], *dims[x][-2:]) if s.y in dims else ()
    if s.y not in dims:
        raise NoRuleError("the rank of its output is unknown")
    return s.unbroadcast(product, x, product)


def _vector_product(s: Step, rank_a: int, rank_b: int) -> Cotangents:
    """Products with vectors, as matrices of one row or column."""
    e = s.e
    a, b = s.x(0), s.x(1)
    if rank_a == rank_b == 1:
        return {0: e.mul(s.g, b), 1: e.mul(s.g, a)}
    if rank_b == 1:  # y[..., m] = a[..., m, k] b[k]
        g = e.unsqueeze(s.g, [rank_a - 1])
        outer = e.mul(g, a)
        return {
            0: e.mul(g, b) if s.needs(0) else None,
            1: e.reduce_sum(outer, list(range(rank_a - 1)), keepdims=False) if s.needs(1) else None,
        }
    g = e.unsqueeze(s.g, [rank_b - 2])  # y[..., n] = a[k] b[..., k, n]
    column = e.unsqueeze(a, [1])
    batch = list(range(rank_b - 2))
    return {
        0: e.reduce_sum(e.mul(b, g), [*batch, rank_b - 1], keepdims=False) if s.needs(0) else None,
        1: e.mul(column, g) if s.needs(1) else None,
    }


@rule("Gemm", since=7)
def _gemm(s: Step) -> Cotangents:
    """For Y = alpha A' B' + beta C: Ā' = alpha Ȳ B'ᵀ, B̄' = alpha A'ᵀ Ȳ, C̄ = beta Ȳ."""
    e = s.e
    trans_a, trans_b = s.integer("transA", 0), s.integer("transB", 0)
    alpha, beta = s.number("alpha", 1.0), s.number("beta", 1.0)
    a, b = s.x(0), s.x(1)
    terms: dict[int, ir.Value] = {}
    if s.needs(0):
        if trans_a:
            terms[0] = e.gemm(b, s.g, s.dtype, transA=trans_b, transB=1, alpha=alpha)
        else:
            terms[0] = e.gemm(s.g, b, s.dtype, transA=0, transB=1 - trans_b, alpha=alpha)
    if s.needs(1):
        if trans_b:
            terms[1] = e.gemm(s.g, a, s.dtype, transA=1, transB=trans_a, alpha=alpha)
        else:
            terms[1] = e.gemm(a, s.g, s.dtype, transA=1 - trans_a, transB=0, alpha=alpha)
    if s.needs(2):
        g = s.g if beta == 1 else e.mul(s.g, s.scalar(beta))
        terms[2] = s.unbroadcast(g, s.x(2))
    return terms


@rule("Einsum", since=12)
def _einsum(s: Step) -> Cotangents:
    """The cotangent of an operand is the Einsum of the others and ȳ, its own indices as output."""
    equation = s.string("equation", "").replace(" ", "")
    if "..." in equation:
        raise NoRuleError("an ellipsis in the equation")
    left, arrow, right = equation.partition("->")
    operands = left.split(",")
    if not arrow:
        letters = "".join(operands)
        right = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    if any(len(set(indices)) < len(indices) for indices in operands):
        raise NoRuleError("a repeated index within an operand")
    terms: dict[int, ir.Value] = {}
    for i, own in enumerate(operands):
        if not s.needs(i):
            continue
        others = [j for j in range(len(operands)) if j != i]
        seen = set(right).union(*(operands[j] for j in others))
        kept = "".join(c for c in own if c in seen)
        inputs = ",".join([right, *(operands[j] for j in others)])
        g = s.e.op("Einsum", s.g, *(s.x(j) for j in others), equation=f"{inputs}->{kept}")
        if kept != own:  # an index that only this operand has was summed: spread it again
            g = s.e.unsqueeze(g, [p for p, c in enumerate(own) if c not in seen])
            g = s.e.expand(g, s.e.shape(s.x(i)))
        terms[i] = g
    return terms
