"""What holds for every form that is registered; and how to add one: a toy form, from end to end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from builders import (
    BUNDLED,
    BUNDLED_DATA,
    assert_close,
    check,
    found,
    model,
    normal,
    run,
    weights_as_time,
)
from click.testing import CliRunner

from onnx_factorize.allocation.identity_blocks import as_identity_blocks, not_written
from onnx_factorize.allocation.standing_model import StandingModel
from onnx_factorize.cli.main import cli
from onnx_factorize.factorization.forms import (
    Ranks,
    Written,
    form_named,
    form_that_cuts,
    forms_of,
    registry,
)
from onnx_factorize.factorization.rewriting import factors_by_name, rewritten
from onnx_factorize.factorization.spectrum import decompose
from onnx_factorize.files.model_io import parameters
from onnx_factorize.options import Options
from onnx_factorize.passes import OWN, Factors, Rewrite, RewriteTargets, Target
from onnx_factorize.report.inspection import inspect
from onnx_factorize.runtime.latency_cache import LatencyCache
from onnx_factorize.runtime.latency_curve import measure_curves
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.runtime.this_machine import ThisMachine

RUNTIME = OnnxRuntime(threads=1)


# [the toy form]
class Identity(Written):
    """Two factors of which down holds an identity: its r² numbers need no place.

    x W = (x₁ + x₂ S) up, with x split in r channels and the rest: S = rest(down) first(down)⁻¹.
    """

    name, nodes, replaces = "identity", 3, ("channel", "input")

    def cuts(self, target: Target) -> tuple[str, ...] | None:
        geometry = target.convolution
        if not target.stands or target.tied or target.embedding or target.transposed_input:
            return None
        if target.groups > 1:
            return None
        return (OWN,) if geometry is None or geometry.pointwise else ("input",)

    def title(self, target: Target) -> str:
        return "identity block"

    def params(self, unfoldings: Sequence[Target], ranks: Ranks) -> Any:
        rank = np.asarray(ranks[0], np.int64)
        zeros = unfoldings[0].factor_params(1) - unfoldings[0].rows - unfoldings[0].columns
        return rank * (unfoldings[0].rows + unfoldings[0].columns + zeros - rank)

    def macs(self, unfoldings: Sequence[Target], ranks: Ranks, macs: int) -> Any:
        rank, unfolding = np.asarray(ranks[0], np.float64), unfoldings[0]
        return (
            macs
            / unfolding.params
            * rank
            * (unfolding.unfolding.stretch * (unfolding.rows - rank) + unfolding.columns)
        )

    def write(self, operator: Rewrite, target: Target, factors: Factors) -> None:
        rank, down = factors.rank, factors.down
        few, rest = operator.split(target.x, [rank, target.rows - rank])
        block = down[:, rank:] @ np.linalg.inv(down[:, :rank])
        mapped = operator.channels(target, rest, block, "down")
        narrow = operator.site.op("Add", few, mapped, suffix=".add")
        up = down[:, :rank] @ factors.up
        operator.finish(target, narrow, up, factors.bias_shift)


# [end of the toy form]
@pytest.fixture(params=["", "identity"])
def registered(request, monkeypatch) -> Iterator[None]:
    """The forms of the package; and the same with the toy."""
    monkeypatch.setattr(registry, "_FORMS", dict(registry._FORMS))
    if request.param:
        registry.register(Identity())


@pytest.fixture
def toy(monkeypatch) -> None:
    monkeypatch.setattr(registry, "_FORMS", dict(registry._FORMS))
    registry.register(Identity())


OPERATORS = {
    "conv": (
        """(float[2, 6, 9, 8] x) => (float[?, ?, ?, ?] y) {
            [c] y = Conv <pads = [1, 0, 1, 2], strides = [2, 1]> (x, w, b)
        }""",
        {"w": normal(1, 10, 6, 3, 3), "b": normal(2, 10)},
        (2, 6, 9, 8),
    ),
    "grouped": (
        "(float[2, 6, 9, 8] x) => (float[?, ?, ?, ?] y) { [c] y = Conv <group = 2> (x, w) }",
        {"w": normal(1, 8, 3, 3, 2)},
        (2, 6, 9, 8),
    ),
    "pointwise": (
        "(float[2, 12, 5, 5] x) => (float[?, ?, ?, ?] y) { [c] y = Conv (x, w, b) }",
        {"w": normal(1, 9, 12, 1, 1), "b": normal(2, 9)},
        (2, 12, 5, 5),
    ),
    "gemm": (
        "(float[4, 12] x) => (float[?, ?] y) { [c] y = Gemm <transB = 1, alpha = 0.5> (x, w, b) }",
        {"w": normal(1, 16, 12), "b": normal(2, 16)},
        (4, 12),
    ),
    "matmul": (
        "(float[2, 3, 12] x) => (float[?, ?, ?] y) { [c] h = MatMul (x, w)\n y = Add(h, b) }",
        {"w": normal(1, 12, 16), "b": normal(2, 16)},
        (2, 3, 12),
    ),
}


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("low", [False, True])
def test_it_is_exact_at_full_rank_and_costs_what_it_says(operator, low):
    text, weights, shape = OPERATORS[operator]
    proto = model(text, weights)
    normalised, finder = found(proto)
    (target,) = finder.targets
    dense = run(proto, {"x": normal(3, *shape)})[0]
    biases = sum(w.size for name, w in weights.items() if name != "w")
    assert forms_of(target)
    for name, unfoldings in forms_of(target).items():
        form = form_named(name)
        # One below the full rank, if its components are few: there a toy needs no square block.
        ranks = {v.name: 2 if low else v.full_rank - (name == "identity") for v in unfoldings}
        spectra = {unfolding.name: decompose(unfolding.matrices()) for unfolding in unfoldings}
        made = rewritten(normalised, unfoldings, ranks, spectra, {})
        compressed = check(made)
        assert form_that_cuts(unfoldings) is form
        each = [ranks[unfolding.name] for unfolding in unfoldings]
        extra = len([n for n in compressed.graph.node if n.op_type == "Split"]) * 2
        written = parameters(made) - biases - extra
        assert written == form.params(unfoldings, each), name
        nodes = len(compressed.graph.node) - len(proto.graph.node)
        assert nodes == form.nodes
        after = run(compressed, {"x": normal(3, *shape)})[0]
        if not low and name != "identity":
            assert_close(after, dense, 1e-5)
        elif len(unfoldings) == 1:  # what a plain pair of the same factors gives
            down, up = spectra[unfoldings[0].name].truncated(each[0])
            plain = found(proto)[0]
            RewriteTargets({unfoldings[0].name: Factors(down, up, operator="c")})(plain)
            assert_close(after, run(plain, {"x": normal(3, *shape)})[0], 1e-4)
        # The same function as that of the dense graph with the product for its weight.
        given = factors_by_name(unfoldings, ranks, spectra, {})
        standing = StandingModel(normalised, ["y"], RUNTIME).session(given)
        assert_close(standing.run({"x": normal(3, *shape)})["y"], after, 1e-4)
        (layer,) = inspect(compressed).layers
        assert (layer.name, layer.form) == ("c", form.title(unfoldings[0]))
        dearer = form.macs(unfoldings, [rank + 1 for rank in each], 10**6)
        assert 0 < form.macs(unfoldings, each, 10**6) < dearer


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_identity_block_costs_what_it_says(operator):
    text, weights, _ = OPERATORS[operator]
    proto = model(text, weights)
    normalised, (target, *_) = found(proto)[0], found(proto)[1].targets
    marked = as_identity_blocks(normalised, [target], Options.of(factors="identity"))[0]
    biases = sum(w.size for name, w in weights.items() if name != "w")
    for unfolding in (marked, *marked.unfoldings):
        form, rank = form_that_cuts([unfolding]), min(3, unfolding.full_rank - 1)
        assert form.identity == unfolding.identity
        spectra = {unfolding.name: decompose(unfolding.matrices())}
        made = rewritten(normalised, [unfolding], {unfolding.name: rank}, spectra, {})
        assert not not_written(made, [unfolding] if unfolding.identity else [])
        splits = [n for n in made.graph if n.op_type == "Split"]
        extra = sum(len(n.outputs) for n in splits)
        # A Gemm that reads its weight transposed adds zeros: of the bias there are no more.
        assert parameters(made) - biases - extra <= form.params([unfolding], [rank])
        (layer,) = inspect(check(made)).layers
        assert (layer.name, layer.form) == ("c", form.title(unfolding))
        dense = 10**6
        assert form.macs([unfolding], [rank], dense) > 0
        dearest = form.macs([unfolding], [unfolding.full_rank - 1], dense)
        assert not unfolding.identity or unfolding.unfolding.stretch > 1 or dearest < dense


def _compress(tmp_path, *options):
    """What the default command makes of the bundled model: its report, and its file."""
    out, report = tmp_path / "small.onnx", tmp_path / "report.json"
    arguments = [str(BUNDLED), "--calib", str(BUNDLED_DATA), "--samples", "48", "--threads", "1"]
    arguments += ["-q", "-o", str(out), "--report", str(report), *options]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(report.read_text()), out


@pytest.mark.usefixtures("toy")
def test_the_default_command_uses_a_new_form(tmp_path):
    report, out = _compress(tmp_path, "--budget", "params=0.5")
    cut = {each["name"]: each["form"] for each in report["layers"] if each["form"]}
    assert "identity block" in cut.values()
    told = {layer.name: layer.form for layer in inspect(out).layers}
    assert {name: told[name] for name in cut} == cut


@pytest.mark.usefixtures("toy")
def test_a_new_form_can_be_asked_for_and_refused(tmp_path):
    report, _ = _compress(tmp_path, "--form", "channel", "--weighting", "activation")
    assert "identity block" not in {each["form"] for each in report["layers"]}
    report, _ = _compress(tmp_path, "--form", "identity", "--weighting", "activation")
    assert "identity block" in {each["form"] for each in report["layers"]}


@pytest.mark.usefixtures("toy")
def test_latency_curves_time_what_a_new_form_writes(tmp_path):
    text, weights, shape = OPERATORS["gemm"]
    normalised, finder = found(model(text, weights))
    (target,) = finder.targets
    form = form_that_cuts([target])
    ranks = {target.name: np.arange(2, 12, 2)}
    source = ThisMachine(LatencyCache(RUNTIME, tmp_path), weights_as_time)
    given = [normalised, [target], {target.name: shape}, ranks, source]
    curves = measure_curves(*given, chains={target.name: form.chain})
    bias, split = 16, 2
    written = form.params([target], [np.array([4])])[0] + bias + split
    assert curves[target.name].of(4) == pytest.approx(1e-3 * written)


@pytest.mark.usefixtures("toy", "time_is_weights")
def test_a_budget_of_latency_uses_a_new_form(tmp_path):
    asked = ["--budget", "latency=0.6", "--weighting", "activation", "--best-effort"]
    report, _ = _compress(tmp_path, *asked)  # met or not: timing decides no test
    assert "identity block" in {each["form"] for each in report["layers"]}


@pytest.mark.usefixtures("toy")
def test_of_two_forms_of_one_unfolding_one_says_that_it_replaces_the_other():
    class Silent(Identity):
        name, replaces = "silent", ()

    (target,) = found(model(*OPERATORS["matmul"][:2]))[1].targets
    assert list(forms_of(target)) == ["identity"]
    registry.register(Silent())
    with pytest.raises(ValueError, match="'identity' and 'silent' cut the same unfoldings of 'c'"):
        forms_of(target)
    assert list(forms_of(target.limited(forms=("silent",)))) == ["silent"]


@pytest.mark.usefixtures("toy")
def test_names_are_unique():
    with pytest.raises(ValueError, match="form 'identity' already"):
        registry.register(Identity())
