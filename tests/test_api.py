"""The Python functions: their signatures, types, messages, examples."""

from __future__ import annotations

import doctest
import importlib
import inspect
import logging
import subprocess
import sys
import typing

import numpy as np
import pytest
from builders import normal

import onnx_factorize
from onnx_factorize import api, errors
from onnx_factorize.options import (
    DataKeywords,
    Guarantee,
    OptionKeywords,
    Options,
    SweepKeywords,
    fields,
)
from onnx_factorize.options.messages import naming_parameters


def test_keywords_are_the_options():
    names = Options.names()
    aliases = {named.alias for named in names.values()}
    assert set(names) | aliases | {"promise"} == set(OptionKeywords.__annotations__)
    priced = {"budget", "max_divergence", "keep", "promise"}
    assert set(SweepKeywords.__annotations__) == set(OptionKeywords.__annotations__) - priced
    about_data = {"selection", "images", "texts", "runtime"}
    for name in DataKeywords.__annotations__:
        of_model = ("outputs", "batch_axis", "mask", "state", "memory")
        assert names[name].part in about_data or name in of_model


def test_keywords_take_what_fields_hold():
    hints = typing.get_type_hints(OptionKeywords)
    for name, named in Options.names().items():
        if named.default == () or isinstance(named.default, tuple):
            assert isinstance(named.default, tuple)
            assert typing.get_args(hints[name])[0] is str
        elif name not in (
            "quantize",
            "image_size",
            "checkpoint",
            "tokenizer",
            "budget",
            "memory",
            "statistics",
        ):
            assert hints[name] == named.type, name


def test_signatures_have_every_option_with_its_default():
    parameters = inspect.signature(onnx_factorize.factorize).parameters
    assert parameters["samples"].default == 1024
    assert parameters["weighting"].default == "fisher"
    assert parameters["learning_rate"].default == 5e-4
    assert parameters["budget"].default == Options().budget
    assert "budget" not in inspect.signature(onnx_factorize.sweep).parameters
    assert "weighting" not in inspect.signature(onnx_factorize.compare).parameters


@pytest.mark.long
def test_type_checkers_know_the_options(tmp_path):
    (tmp_path / "right.py").write_text(
        "import onnx_factorize as of\n"
        "made: of.Result = of.factorize('m.onnx', 'd', budget='params=.5', samples=8, lr=.1)\n"
        "of.sweep('m.onnx', 'd', ['params=.5'], weighting='none')\n"
        "of.compare('m.onnx', 's.onnx', 'd', threads=1).agreement\n"
        "of.inspect('m.onnx').layers\n"
        "asked: of.Options = of.Options.of(samples=8)\n"
        "told: of.Report = made.report\n"
    )
    (tmp_path / "wrong.py").write_text(
        "import onnx_factorize as of\n"
        "of.factorize('m.onnx', 'd', budgt='params=.5')\n"
        "of.factorize('m.onnx', 'd', samples='many')\n"
        "of.sweep('m.onnx', 'd', ['params=.5'], budget='params=.5')\n"
        "of.compare('m.onnx', 's.onnx', 'd', weighting='none')\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    root = str(api.__file__).rpartition("/onnx_factorize/")[0]
    done = subprocess.run(
        [*command, "--config-file", "pyproject.toml", str(tmp_path / "right.py"),
         str(tmp_path / "wrong.py")], capture_output=True, text=True, check=False, cwd=root,
    )  # fmt: skip
    said = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.partition("wrong.py:")[2].partition(":")[0] for line in said] == list("2345")


def test_errors_name_parameters(mlp, mlp_feeds):
    for given, word in (
        ({"max_divergence": 0.0}, r"^max_divergence must be above"),
        ({"learning_rate": 0.1}, r"^learning_rate is an option of finetune"),
        ({"max_divergence": 0.1, "budget": "params=0.5"}, r"^Give budget or a guarantee"),
        ({"holdout": 1.0}, r"^holdout must be"),
        ({"keep": "bleu=0.9"}, r'^keep="bleu=…": there is no such metric'),
        ({"keep": "top1=0.9"}, r'^keep="top1=…" needs a key .* use keep="agreement=…"\.$'),
        ({"budget": "params=0.001"}, r"or add best_effort=True to come"),
        ({"mask": {"x": "keep", "z": "drop"}}, r"^mask names .z., but"),
    ):
        with pytest.raises(errors.FactorizeError, match=word):
            onnx_factorize.factorize(mlp, mlp_feeds, **given)
    with pytest.raises(errors.InputError, match="--max-divergence must be above"):
        Guarantee("divergence", 0.0)
    with (
        pytest.raises(errors.BudgetError, match=r"^--unknown and calibration$"),
        naming_parameters(Options.names()),
    ):
        raise errors.BudgetError("--unknown and --calib")


def test_a_result_is_shown_in_five_lines_and_stages_are_logged(mlp, mlp_feeds, caplog):
    with caplog.at_level(logging.INFO, "onnx_factorize"):
        result = onnx_factorize.factorize(mlp, mlp_feeds, threads=1, weighting="none")
    lines = repr(result).splitlines()
    assert len(lines) == 5
    assert lines[0] == "<Result in memory: params=0.5"
    assert "on 8 samples>" in lines[-1]
    assert any(record.getMessage().startswith("find targets: ") for record in caplog.records)


PUBLIC = [name for name in onnx_factorize.__all__ if not name.startswith("_")]
OF_TORCH = [
    "DeviationError", "ExecutionError", "GraphModule", "Run", "UnsupportedError",
    "check_against_onnxruntime", "to_torch", "write_back",
]  # fmt: skip


@pytest.fixture
def examples(mlp_path, monkeypatch):
    """Runs the example of a name, beside a model and its data."""
    np.savez(mlp_path.parent / "data.npz", x=normal(5, 80, 24))
    mlp_path.rename(mlp_path.parent / "model.onnx")
    monkeypatch.chdir(mlp_path.parent)

    def run(package, name):
        runner = doctest.DocTestRunner()
        found = doctest.DocTestFinder(recurse=False).find(getattr(package, name), name, globs={})
        assert [example for example in found if example.examples]
        for example in found:
            assert runner.run(example).failed == 0

    return run


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_have_examples_that_run(name, examples):
    examples(onnx_factorize, name)


@pytest.mark.parametrize("name", OF_TORCH)
def test_public_names_of_torch_have_examples_that_run(name, examples):
    pytest.importorskip("torch")
    package = importlib.import_module("onnx_factorize.torch")
    assert sorted(package.__all__) == OF_TORCH
    examples(package, name)


def test_a_field_is_no_option_unless_it_says_so():
    assert "promise" not in fields.flat(Options)
