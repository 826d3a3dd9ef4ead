"""Decoders with caches, from token ids alone, end to end."""

import json

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnx_factorize import BudgetError, InputError, compare, factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.evaluation.state import find_state
from onnx_factorize.options import Selection
from onnx_factorize.outputs.caches import but_caches, run_caches
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from tests.builders import run
from tests.commands import main_of
from tests.decoders import decoder, text

CACHES = ["present.0.key", "present.0.value"]


def opened(proto, data, **options):
    """The data, and how many rows the model was run on to look at them."""
    dense = ir.from_proto(proto)
    session = OnnxRuntime().session(dense, but_caches(dense))
    rows = []

    def counting(feeds):
        rows.append(len(feeds["input_ids"]))
        return session.run(feeds)

    data = open_calibration(data, Signature.of(dense), Selection(), run=counting, **options)
    return data, sum(rows)


def test_the_command_line(tmp_path, monkeypatch, capsys):
    path, ids, small = (tmp_path / name for name in ("d.onnx", "ids.npz", "small.onnx"))
    onnx.save(decoder(), path)
    np.savez(ids, input_ids=text())
    arguments = [str(path), "--calib", str(ids), "-o", str(small), "--report", f"{small}.json"]
    arguments += ["--budget", "targets=0.7", "--threads", "1", "--effort", "low"]
    code, out, _ = main_of(arguments, monkeypatch, capsys)
    assert code == 0
    assert "'position_ids': 0, 1, 2, …" in out
    assert "only feed caches, and so do not count" in out
    report = json.loads((tmp_path / "small.onnx.json").read_text())
    assert report["data"]["filled"]["inputs"]["past_key_values.0.key"] == "an empty cache"
    assert report["caches"]["outputs"] == CACHES
    assert list(report["divergence"]["outputs"]) == ["logits"]
    assert report["warnings"] == []
    written = onnx.load(small)
    assert [value.name for value in written.graph.output] == ["logits", *CACHES]
    # What is written runs a second step with the caches of the first.
    first = {"input_ids": text(2, 5), "attention_mask": np.ones((2, 5), np.int64)}
    first |= {"position_ids": np.tile(np.arange(5), (2, 1))}
    first |= dict.fromkeys(
        ["past_key_values.0.key", "past_key_values.0.value"], np.zeros((2, 2, 0, 4), np.float32)
    )
    given = run(written, first)
    later = {"input_ids": text(2, 1), "attention_mask": np.ones((2, 6), np.int64)}
    later |= {"position_ids": np.full((2, 1), 5)}
    later |= {"past_key_values.0.key": given[1], "past_key_values.0.value": given[2]}
    assert run(written, later)[1].shape == (2, 2, 6, 4)


def test_caches_count_where_the_user_says_so():
    feeds = [{"input_ids": text()}]
    found = compare(decoder(), decoder(), feeds, outputs={"present.*": "gaussian"}, threads=1)
    assert set(found.agreement.outputs) == {"logits", *CACHES}
    assert found.caches is None
    plain = compare(decoder(), decoder(), feeds, threads=1)
    assert plain.caches.outputs == tuple(CACHES)
    assert plain.as_dict()["data"]["filled"]["inputs"]["attention_mask"] == "ones"


@pytest.mark.parametrize("merged", [False, True])
def test_opening_runs_few_samples(merged):
    data, rows = opened(decoder(merged=merged), [{"input_ids": text()}])
    assert rows <= 5
    assert data.axis.how == "checked"
    assert data.padding.input is None
    assert next(data.batches("calibration")).mask is None


def test_a_mask_that_marks_all_is_tried_on_one_sample():
    mask = np.ones((40, 12), np.int64)
    data, rows = opened(decoder(), [{"input_ids": text(), "attention_mask": mask}])
    assert data.padding.means == "keep"
    assert rows <= 20


def test_a_mask_that_pads_is_heeded():
    mask = np.ones((40, 12), np.int64)
    mask[::2, 8:] = 0
    data, _ = opened(decoder(), [{"input_ids": text(), "attention_mask": mask}])
    assert (data.padding.input, data.padding.means) == ("attention_mask", "keep")


def test_a_single_array_feeds_the_ids(tmp_path):
    np.save(tmp_path / "ids.npy", text())
    data, _ = opened(decoder(), tmp_path / "ids.npy")
    assert data.available == 40
    assert data.filled >= {"attention_mask", "position_ids"}


def test_empty_caches_are_no_stream():
    proto = decoder()
    data, _ = opened(proto, [{"input_ids": text()}])
    assert find_state(ir.from_proto(proto), data, None, OnnxRuntime()) == (None, None)
    asked = {"past_key_values.0.key": "present.0.key"}
    with pytest.raises(InputError, match=r"names 'past_key_values\.0\.key', which the data lack"):
        find_state(ir.from_proto(proto), data, asked, OnnxRuntime())


def test_what_is_missing_all_the_same(tmp_path, monkeypatch, capsys):
    path, ids = tmp_path / "d.onnx", tmp_path / "ids.npz"
    onnx.save(decoder(), path)
    np.savez(ids, input_ids=text(), **{"past_key_values.0.key": np.zeros((40, 2, 3, 4), "f4")})
    code, _, err = main_of([str(path), "--calib", str(ids)], monkeypatch, capsys)
    assert code == 1
    assert "has no array for the model's input 'past_key_values.0.value'" in err
    assert len(err.strip().splitlines()) == 1
    np.savez(ids, tokens=text())
    code, _, err = main_of([str(path), "--calib", str(ids)], monkeypatch, capsys)
    assert code == 1
    assert "has no array for the model's input 'input_ids'" in err


def test_python_says_it_too():
    result = factorize(
        decoder(), [{"input_ids": text()}], budget="targets=0.8", threads=1, effort="low"
    )
    assert result.report.data["filled"]["said"].startswith("Inputs that the data lack")


def steps(proto):
    """Prompts, and the step behind each with the caches that the dense model gave."""
    names = [value.name for value in proto.graph.output]
    for ids in text()[:, None]:
        prompt = {"input_ids": ids[:, :-1], "use_cache_branch": np.array([False])}
        yield prompt
        wants = Signature.of(ir.from_proto(proto)).lacking(prompt.keys())
        given = dict(zip(names, run(proto, wants.conform(prompt, "")), strict=True))
        caches = {f"past_key_values.{name[8:]}": given[name] for name in CACHES}
        yield {"input_ids": ids[:, -1:], "use_cache_branch": np.array([True]), **caches}


def test_both_branches_of_a_merged_decoder_run_on_ids_alone():
    proto = decoder(merged=True)
    options = {"budget": "targets=0.7", "threads": 1, "effort": "low", "prefer": "size"}
    for data in ([{"input_ids": text()}], steps(proto)):
        report = factorize(proto, data, **options).report
        assert report.data["filled"]["inputs"]["past_key_values.0.key"] == "an empty cache"
        assert report.warnings == []
        names = [layer.name for layer in report.layers if layer.status == "factorized"]
        assert {name.replace("_l_", "_f_") for name in names} == {
            name.replace("_l_", "_f_") for name in names if "_f_" in name
        }


def test_prompts_alone_leave_dense_what_branches_share():
    proto = decoder(merged=True)
    feeds = [{"input_ids": text(), "use_cache_branch": np.array([False])}]
    with pytest.raises(BudgetError, match="never ran 'Gather_l_e'"):
        factorize(proto, feeds, budget="targets=0.7", threads=1, effort="low")


def test_steps_of_the_later_branch_are_those_that_the_model_makes():
    proto = decoder(merged=True)
    dense = ir.from_proto(proto)
    data = open_calibration(
        [{"input_ids": text(), "labels": text()}],
        Signature.of(dense),
        Selection(samples=16, holdout=0.25, batch_size=4),
        run_caches=run_caches(dense, OnnxRuntime()),
    )
    batches = [batch for split in ("calibration", "holdout") for batch in data.batches(split)]
    assert sum(batch.samples for batch in batches) == 16
    later = [batch for batch in batches if batch.feeds["use_cache_branch"][0]]
    assert sum(batch.samples for batch in later) == 4
    assert {bool(batch.feeds["use_cache_branch"][0]) for batch in data.batches("holdout")} == {
        False,
        True,
    }
    for batch in later:
        assert batch.feeds["input_ids"].shape[1] == batch.labels.shape[1] == 1
        (window,) = [
            row for row in text() if row[-1] == batch.feeds["input_ids"][0, 0]
            and np.array_equal(caches_of(proto, row[:-1]), batch.feeds["past_key_values.0.key"][0])
        ][:1]  # fmt: skip
        assert batch.feeds["position_ids"][0, 0] == len(window) - 1
        assert batch.feeds["attention_mask"].shape[1] == len(window)
    assert "became a last step behind the others" in data.as_dict()["filled"]["said"]


def caches_of(proto, ids):
    """The keys that the first branch gives of a text."""
    wants = Signature.of(ir.from_proto(proto)).lacking(["input_ids"])
    names = [value.name for value in proto.graph.output]
    given = dict(zip(names, run(proto, wants.conform({"input_ids": ids[None]}, "")), strict=True))
    return given["present.0.key"][0]
