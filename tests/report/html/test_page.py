"""The report for people: whole, safe, readable, and true to the data that it shows."""

from __future__ import annotations

import copy
import html.parser
import importlib.util
import json
from collections import Counter

import pytest
from builders import BUNDLED, BUNDLED_DATA
from commands import main_of

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from browser import BROWSER, see

from onnx_factorize import factorize
from onnx_factorize.options import Options
from onnx_factorize.report.html.bars import everywhere
from onnx_factorize.report.html.dot_plot import dot_plot
from onnx_factorize.report.html.page import report_page
from onnx_factorize.report.html.paths import without_folders
from onnx_factorize.report.html.reproduce import command_of

VOID = {"meta", "link", "br", "hr", "img", "input"}


@pytest.fixture(scope="module")
def report():
    options = {"samples": 128, "threads": 1, "budget": "params=0.4", "seed": 3}
    return factorize(BUNDLED, BUNDLED_DATA, **options).report.as_plain()


class _Reader(html.parser.HTMLParser):
    """Checks that elements nest, and gathers what a page asks for and shows."""

    def __init__(self, page):
        super().__init__()
        self.open, self.ids, self.requests, self.text, self.tags = [], [], [], [], Counter()
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.requests.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append((self.open[-1] if self.open else "", data))


def test_a_page_holds_everything_and_asks_for_nothing(report):
    page = report_page(report)
    read = _Reader(page)
    inside = ("#", "data:,", "data:image/png;base64,")
    assert all(request.startswith(inside) for request in read.requests), read.requests
    assert "@import" not in page
    assert "url(h" not in page
    assert not [i for i, times in Counter(read.ids).items() if times > 1]
    assert len(page) < 3e6
    data = next(text for tag, text in read.text if tag == "script")
    assert json.loads(data) == json.loads(json.dumps(without_folders(report)))


def test_it_shows_the_figures_and_a_chart_for_each_target(report):
    read = _Reader(report_page(report))
    shown = "".join(text for tag, text in read.text if tag not in ("script", "style"))
    shown = shown.replace("\u200b", "")
    for layer in report["layers"]:
        assert layer["name"] in shown
    for figure in (report["model"]["dense"]["sha256"], report["versions"]["onnxruntime"]):
        assert figure in shown
    for warning in report["warnings"]:
        assert warning in shown
    assert read.tags["svg"] == sum(layer["curve"] is not None for layer in report["layers"])


def test_names_cannot_become_markup(report):
    bad = copy.deepcopy(report)
    evil = "</script><script>alert(1)</script><img src=//x.test/>\"'&"
    bad["layers"][0]["name"] = bad["layers"][3]["name"] = evil
    bad["warnings"] = [evil]
    bad["model"]["dense"]["file"] = bad["command_line"] = evil
    bad["layers"][1]["module"] = bad["divergence"]["worst"][0]["text"] = evil
    bad["metric"] = {"name": evil, "dense": 1.0, "compressed": 0.5, "error": None}
    bad["rewritten"]["after"][0]["reads"] = [evil]
    bad["config"] = {"include": [evil]}
    read = _Reader(report_page(bad))
    assert read.tags["script"] == 1
    assert read.tags["img"] == len(report["divergence"]["worst"])


def test_what_is_missing_or_not_finite_is_left_out_or_said(report):
    bare = copy.deepcopy(report)
    bare["divergence"] |= {"predicted": None, "second_order": None, "ratio": None, "plan": None}
    bare["divergence"] |= {"tried": {"a": None, "b": 0.0}, "holdout": None}
    bare["accuracy"] = bare["peak_rss_mb"] = None
    bare["model"]["dense"] |= {"file": None, "sha256": None, "latency_ms": None, "macs": None}
    for layer in bare["layers"]:
        layer["curve"] = [[r, None] for r, _ in layer["curve"]]
        layer["macs"] = layer["spectrum"] = None
    page = report_page(bare)
    _Reader(page)
    assert "not finite" in page


def test_it_says_how_surely_it_is_faster_and_what_became_of_subnormals(report):
    whole = copy.deepcopy(report)
    whole["subnormals"] = {"numbers": 7, "zeroed": True, "samples": 9, "said": "7 are 0"}
    for quartiles, noisy in (([0.5, 0.52], False), ([0.5, 1.3], True)):
        whole["timing"] |= {"ratio": 0.51, "quartiles": quartiles, "rounds": 30}
        page = report_page(whole)
        assert f"0.51 times as long (0.50 to {quartiles[1]:.2f} in the middle half of 30" in page
        assert ("too noisy to say" in page.partition("<script")[0]) == noisy
        assert "7 are 0." in page


def test_it_says_how_data_were_read_and_models_treated(report):
    whole = copy.deepcopy(report)
    whole["data"]["batch_axis"]["said"] = "samples are along axis 1 of x"
    whole["data"]["mask"]["said"] = "keep marks what is real"
    whole["selection"] = {"behind": {"y": "TopK 't'"}, "entering": ["s"], "said": "judged by s"}
    whole["random"] = {"nodes": ["noise"], "runs": True}
    stream = {"state": {"h": "hn"}, "certain": True, "divergence": 0.0764, "steps": 96}
    whole["stream"] = stream | {"streams": 3}
    page = report_page(whole).replace("\u200b", "").partition("<script")[0]
    for said in ("along axis 1 of x", "keep marks what is real", "judged by s", "numbers (noise)"):
        assert said in page
    assert "along the stream (hn to h: the data are steps of a stream): divergence 0.0764" in page


def test_it_says_what_was_guaranteed_timed_trained_and_quantized(report):
    whole = copy.deepcopy(report)
    whole["promise"] = {
        "metric": "top1", "asked": 0.9, "measured": 0.97, "bound": 0.93, "confidence": 0.95,
        "kept": True, "samples": 26, "budget": "params=0.4321",
    }  # fmt: skip
    whole["latency"] = {"asked": 0.7, "predicted": 0.66, "measured": 0.69, "tried": [{}, {}]}
    whole["finetune"] = {"before": 0.02, "after": 0.013, "best": 3, "epochs": [{}] * 5}
    whole["quantization"] = {"bits": "int8", "way": "static", "bytes": 625000, "divergence": 0.0017}
    whole["layers"][3]["ms"] = [0.111, 0.077]
    shown = report_page(whole)
    _Reader(shown)
    for words in (
        "params=0.4321", "0.66 predicted", "after 2 models", "0.013 after epoch 3 of 5",
        "625.00 kB before", "0.0017", "0.111 → 0.077 ms",
    ):  # fmt: skip
        assert words in shown, words
    later = ("promise", "latency", "finetune", "quantization", "command_line")
    older = {key: value for key, value in report.items() if key not in later}
    assert "What was guaranteed" not in report_page(older)


def test_bars_add_up_to_the_model(report):
    bars = everywhere(report)
    for index, which in enumerate(("dense", "compressed")):
        total = report["model"][which]["params"]
        assert sum(bar.params[index] for bar in bars) == pytest.approx(total, rel=2e-3)
    largest = max(bars, key=lambda bar: bar.params[0])
    assert largest.params_share[0] == 100
    assert largest.params_share[1] == pytest.approx(100 * largest.params[1] / largest.params[0])


def test_the_dot_plot_is_logarithmic():
    rows = [("a", 1e-4, "", False), ("b", 1e-3, "", True), ("c", 1e-2, "", False)]
    assert [row.place for row in dot_plot(rows)] == pytest.approx([0, 50, 100])
    near = dot_plot([("a", 1.0, "", False), ("b", 1.01, "", False), ("c", None, "", False)])
    assert near[1].place - near[0].place < 1
    assert near[2].place is None


def test_the_call_that_is_shown_makes_the_same_options(report):
    given = {}
    call = command_of(report).replace("onnx_factorize.factorize(", "take(")
    eval(call, {"take": lambda model, data, **options: given.update(options), "data": None})
    again = json.loads(json.dumps(Options.of(**given).as_dict()))
    assert again == json.loads(json.dumps(report["command"]))


def test_the_command_writes_it_with_what_was_typed(tmp_path, monkeypatch, capsys):
    typed = [
        str(BUNDLED), "--calib", str(BUNDLED_DATA), "--samples", "96", "--threads", "1", "-q",
        "-o", str(tmp_path / "s.onnx"), "--report", str(tmp_path / "r.html"),
    ]  # fmt: skip
    code, _, error = main_of(typed, monkeypatch, capsys)
    assert code == 0, error
    page = (tmp_path / "r.html").read_text()
    assert f"onnx-factorize {' '.join(word.rpartition('/')[2] for word in typed)}" in page
    assert str(tmp_path) not in page
    assert "fashion-cnn.onnx" in page
    assert "s.onnx" in page


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_a_missing_library_is_said_before_the_run(missing, tmp_path, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == missing else find(name, *a)
    )
    (tmp_path / "m.onnx").write_bytes(BUNDLED.read_bytes())
    files = [str(tmp_path / "m.onnx"), "--report", str(tmp_path / "r.html")]
    arguments = [*files, "--calib", "nothing"]
    code, _, error = main_of(arguments, monkeypatch, capsys)
    assert code == 1
    assert "onnx-factorize[report]" in error
    assert missing in error
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_opens_it_without_complaint(report, width, tmp_path):
    long = copy.deepcopy(report)
    long["layers"][0]["name"] = "/encoder/layers.0/" + "attention/" * 12 + "MatMul"
    long["layers"][3]["name"] = "x" * 120
    page = tmp_path / "report.html"
    page.write_text(report_page(long), encoding="utf-8")
    seen = see(page, width)
    assert seen.title == "fashion-cnn.onnx, factorized"
    assert seen.width <= width
    assert seen.sticking_out == 0
    assert not seen.complaints
    assert seen.screenshot.stat().st_size > 10_000
