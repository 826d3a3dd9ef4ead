"""Parts of a calibration add up to one; statistics of something else are refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from builders import W_LARGE, model, normal
from commands import main_of

import onnx_factorize
from onnx_factorize import InputError, Options, Progress, factorize
from onnx_factorize.calibrating import calibrate_part, survey_alone
from onnx_factorize.factorization import shrinkage_choice
from onnx_factorize.shards import Shard
from onnx_factorize.statistics.losses_file import kept_losses, losses_beside
from onnx_factorize.statistics.part import merged_parts
from onnx_factorize.statistics.statistics_file import load, save

TEXT = """(float[batch, 64] x) => (float[batch, 48] y) {
    [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] z = MatMul (r, w2) y = Softmax (z)
}"""
MODEL, DATA = model(TEXT, W_LARGE), {"x": normal(1, 96, 64)}
OPTIONS = {"threads": 1, "prefer": "size"}


def _part(shard, survey=None, **options):
    given = Options.of(threads=1, **options)
    return calibrate_part(MODEL, DATA, given, Progress(), shard, survey)


def _written(part, path):
    save(part, path)
    return str(path)


def _ranks(result):
    return [layer.rank for layer in result.report.layers]


@pytest.mark.parametrize("weighting", ["fisher", "activation", "diagonal", "none"])
@pytest.mark.parametrize("count", [1, 3])
def test_parts_give_what_one_calibration_gives(tmp_path, weighting, count):
    shards = [Shard(number, count) for number in range(1, count + 1)]
    parts = {str(each): _part(each, weighting=weighting) for each in reversed(shards)}
    file = _written(merged_parts(parts), tmp_path / "all.npz")
    known = factorize(MODEL, DATA, statistics=file, weighting=weighting, **OPTIONS)
    alone = factorize(MODEL, DATA, weighting=weighting, **OPTIONS)
    assert _ranks(known) == _ranks(alone)
    found, wanted = (each.report.divergence["holdout"] for each in (known, alone))
    assert found == pytest.approx(wanted, rel=1e-3)


def test_a_survey_settles_what_parts_share(tmp_path):
    given = Options.of(threads=1)
    survey = _written(survey_alone(MODEL, DATA, given, Progress()), tmp_path / "survey.npz")
    with_it, without = _part(Shard(2, 3), survey), _part(Shard(2, 3))
    assert with_it.shared.is_like(without.shared)
    assert with_it.shared.channels == without.shared.channels
    for one, other in zip(with_it.gathered.parts, without.gathered.parts, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name].gradient.total, other[name].gradient.total)
    with pytest.raises(InputError, match="0 of 1 parts"):
        factorize(MODEL, DATA, statistics=survey, **OPTIONS)


def test_a_file_keeps_a_part(tmp_path):
    before = _part(Shard(1, 2))
    after = load(_written(before, tmp_path / "part.npz"))
    assert after.shared.fingerprint == before.shared.fingerprint
    assert (after.count, after.numbers) == (2, (1,))
    assert after.shared.is_like(before.shared)
    for one, other in zip(before.gathered.inputs, after.gathered.inputs, strict=True):
        for name, moments in one.items():
            np.testing.assert_array_equal(moments.products, other[name].products)


def test_what_does_not_belong_together_is_refused():
    one, two = _part(Shard(1, 2)), _part(Shard(2, 2))
    for other, words in (
        ({"a": one}, "part 2 of 2 is missing"),
        ({"a": one, "b": one}, "which another file holds"),
        ({"a": one, "b": _part(Shard(2, 3))}, "one of 3 parts"),
        ({"a": one, "b": _part(Shard(2, 2), seed=1)}, "--seed 1"),
        ({"a": one, "b": _of(two, model="x")}, "another model"),
        ({"a": one, "b": _of(two, version="9")}, "version 9"),
        ({"a": one, "b": _of(two, data="x")}, "other calibration data"),
        ({"a": one, "b": dataclasses.replace(two, gathered=None)}, "a survey"),
    ):
        with pytest.raises(InputError, match=words):
            merged_parts(other)


def _of(part, **said):
    fingerprint = dataclasses.replace(part.shared.fingerprint, **said)
    return dataclasses.replace(
        part, shared=dataclasses.replace(part.shared, fingerprint=fingerprint)
    )


def test_statistics_of_something_else_are_refused(tmp_path):
    file = _written(_part(Shard(), include=["a"]), tmp_path / "all.npz")
    with pytest.raises(InputError, match="holds no statistics of 'b'"):
        factorize(MODEL, DATA, statistics=file, **OPTIONS)
    with pytest.raises(InputError, match=r"labels|draws|seed|samples"):
        factorize(MODEL, DATA, statistics=file, include=["a"], samples=50, **OPTIONS)
    other = {**W_LARGE, "w1": W_LARGE["w1"] + 1}
    with pytest.raises(InputError, match="another model"):
        factorize(model(TEXT, other), DATA, statistics=file, include=["a"], **OPTIONS)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0"])
def test_a_shard_is_one_of_several(text):
    with pytest.raises(InputError, match="--shard"):
        Shard.parse(text)


def test_more_parts_than_samples_are_refused():
    with pytest.raises(InputError, match="samples to divide"):
        _part(Shard(1, 500))


def test_the_commands(tmp_path, monkeypatch, capsys):
    onnx.save(MODEL, tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", **DATA)
    monkeypatch.chdir(tmp_path)
    common = ["m.onnx", "--calib", "d.npz", "--threads", "1"]
    assert main_of(["calibrate", *common, "--survey", "-o", "s.npz"], monkeypatch, capsys)[0] == 0
    for number in (1, 2):
        asked = ["--shard", f"{number}/2", "--use-survey", "s.npz", "-o", f"p{number}.npz"]
        assert main_of(["calibrate", *common, *asked], monkeypatch, capsys)[0] == 0
    code, _, said = main_of(["merge", "p1.npz", "p2.npz", "-o", "p2.npz"], monkeypatch, capsys)
    assert (code, "one of the parts" in said) == (1, True)
    assert main_of(["merge", "p1.npz", "p2.npz", "-o", "all.npz"], monkeypatch, capsys)[0] == 0
    known = [*common, "--statistics", "all.npz", "--sweep", "0.7,0.5", "-o", "small.onnx"]
    assert main_of(known, monkeypatch, capsys)[0] == 0
    code, _, said = main_of([*common, "--statistics", "p1.npz"], monkeypatch, capsys)
    assert (code, "merge all parts first" in said) == (1, True)
    code, _, said = main_of([*common, "--statistics", "d.npz"], monkeypatch, capsys)
    assert (code, "holds no statistics" in said) == (1, True)


def test_losses_are_kept_beside_statistics(tmp_path, monkeypatch):
    file = _written(_part(Shard()), tmp_path / "all.npz")
    first = factorize(MODEL, DATA, statistics=file, budget="params=0.7", **OPTIONS)
    assert losses_beside(file).exists()
    alone = factorize(MODEL, DATA, budget="params=0.5", **OPTIONS)

    def never(*_):
        raise AssertionError

    monkeypatch.setattr(shrinkage_choice, "cross_validate", never)
    again = factorize(MODEL, DATA, statistics=file, budget="params=0.7", **OPTIONS)
    assert again.report.divergence == first.report.divergence
    other = factorize(MODEL, DATA, statistics=file, budget="params=0.5", **OPTIONS)
    assert _ranks(other) == _ranks(alone)
    # Those of more work are not among them.
    with pytest.raises(AssertionError):
        factorize(MODEL, DATA, statistics=file, effort="high", **OPTIONS)


@pytest.mark.parametrize("content", [b"", b"nothing"])
def test_losses_that_cannot_be_used_are_found_again(tmp_path, content):
    file = _written(_part(Shard()), tmp_path / "all.npz")
    losses_beside(file).write_bytes(content)
    factorize(MODEL, DATA, statistics=file, **OPTIONS)
    assert losses_beside(file).stat().st_size > len(content)
    other = _written(_part(Shard(), seed=1), tmp_path / "other.npz")
    losses_beside(file).rename(losses_beside(other))
    assert kept_losses(other, load(other).shared) is None


def test_a_part_that_is_there_is_kept(tmp_path):
    given = {"samples": 64, "threads": 1}
    np.savez(tmp_path / "d.npz", **DATA)
    model_file, data, part = tmp_path / "m.onnx", tmp_path / "d.npz", tmp_path / "p.npz"
    onnx.save(MODEL, model_file)
    for resume in (False, True):
        onnx_factorize.calibrate(model_file, data, part, shard="1/2", resume=resume, **given)
    first = part.stat().st_mtime_ns
    onnx_factorize.calibrate(model_file, data, part, shard="1/2", resume=True, **given)
    assert part.stat().st_mtime_ns == first
    onnx_factorize.calibrate(model_file, data, part, shard="2/2", resume=True, **given)
    assert load(part).numbers == (2,)
    part.write_bytes(b"half of a file")
    onnx_factorize.calibrate(model_file, data, part, shard="2/2", resume=True, **given, seed=1)
    assert load(part).shared.fingerprint.options["--seed"] == "1"


def test_the_functions_name_their_parameters(tmp_path):
    with pytest.raises(InputError, match=r'^shard="4/3"'):
        onnx_factorize.calibrate(MODEL, DATA, tmp_path / "x.npz", shard="4/3")
    onnx_factorize.calibrate(MODEL, DATA, tmp_path / "s.npz", survey=True, threads=1)
    onnx_factorize.calibrate(
        MODEL, DATA, tmp_path / "a.npz", use_survey=tmp_path / "s.npz", threads=1
    )
    onnx_factorize.merge([tmp_path / "a.npz"], tmp_path / "all.npz")
    assert _ranks(factorize(MODEL, DATA, statistics=tmp_path / "all.npz", **OPTIONS))
