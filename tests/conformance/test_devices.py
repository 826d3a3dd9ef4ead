"""What holds for every device that is registered: its rules act, and explicit options win."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx_ir as ir
import pytest
from builders import BUNDLED, ROOT, model, normal
from commands import main_of

import onnx_factorize
from onnx_factorize.deployment import Device, kinds_of
from onnx_factorize.deployment.devices import device_named, device_names, registry
from onnx_factorize.errors import InputError
from onnx_factorize.factorization.forms import form_names
from onnx_factorize.options import Options

# A plain convolution, a grouped one, few channels, and a product: all of them too large for a half.
TEXT = """(float[b, 96, 6, 6] x) => (float[b, 96] z) {
    [plain] h = Conv <pads=[1,1,1,1]> (x, v)
    r = Relu (h)
    [grouped] g = Conv <pads=[1,1,1,1], group=2> (r, u)
    p = GlobalAveragePool (g)
    f = Flatten (p)
    [few] n = MatMul (f, s)
    [wide] z = MatMul (n, w)
}"""
WEIGHTS = {
    "v": normal(1, 128, 96, 3, 3) / 30,
    "u": normal(2, 128, 64, 3, 3) / 20,
    "s": normal(3, 128, 24) / 8,
    "w": normal(4, 24, 96) / 5,
}


def _of(op, domain="", shapes=(), **attributes):
    inputs = [ir.Value(name=f"x{i}", shape=ir.Shape(s)) for i, s in enumerate(shapes)]
    made = [ir.AttrInt64(name, value) for name, value in attributes.items()]
    return kinds_of(ir.Node(domain, op, inputs, made))


def test_kinds_of_nodes():
    assert _of("Einsum") == ["Einsum"]
    assert _of("Attention", "com.microsoft") == ["com.microsoft.Attention"]
    assert _of("Gather", shapes=[(5, 3), (2,)], axis=1)[0] == "Gather on the last axis"
    assert _of("Gather", shapes=[(5, 3), (2,)], axis=-1)[0] == "Gather on the last axis"
    assert _of("Gather", shapes=[(5, 3), (2,)]) == ["Gather"]
    assert _of("Conv", shapes=[(1, 8, 5, 5), (8, 4, 3, 3)], group=2)[0] == "grouped Conv"
    assert _of("Conv", shapes=[(1, 8, 5, 5), (8, 1, 3, 3)], group=8) == ["Conv"]
    assert _of("Conv", shapes=[(1, 8, 5, 5, 5), (8, 8, 3, 3, 3)])[0] == "3-D Conv"


@pytest.mark.parametrize("name", device_names())
def test_rules_are_of_what_there_is(name):
    device = device_named(name)
    assert device.forms is None or {"channel", *device.forms} <= set(form_names())
    assert device.forms is None or "channel" in device.forms
    assert device.rank_multiple & (device.rank_multiple - 1) == 0
    for said in (*device.dense.values(), *device.refused.values(), device.open_axes or "x"):
        assert said
        assert not said.endswith(".")


@pytest.fixture(scope="module")
def feeds():
    return [{"x": normal(7, 16, 96, 6, 6)}]


def _compressed(feeds, **options):
    proto = model(TEXT, WEIGHTS)
    options = {"weighting": "none", "narrow": "off", "best_effort": True, **options}
    found = onnx_factorize.factorize(proto, feeds, budget="targets=0.5", **options)
    return {layer.name: layer for layer in found.report.layers}


@pytest.mark.parametrize("name", device_names())
def test_its_rules_act(name, feeds):
    device, layers = device_named(name), _compressed(feeds, deploy_to=name)
    for layer in layers.values():
        assert layer.rank is None or layer.rank % device.rank_multiple == 0
    if "grouped Conv" in device.dense:
        assert layers["grouped"].rank is None
        assert f"stays dense for {device.title}: grouped Conv" in layers["grouped"].reason
    if device.least_channels > 24:
        assert layers["few"].rank is None
        assert "fewer than" in layers["few"].reason
    assert layers["plain"].rank
    if device.forms == ("channel",):
        assert layers["plain"].form == "channel"


def test_options_that_are_given_win(feeds):
    layers = _compressed(feeds, deploy_to="generic-npu", rank_multiple=8, form="input")
    assert layers["plain"].form == "input channel"
    assert layers["plain"].rank % 8 == 0
    plain = _compressed(feeds, deploy_to="generic-npu")
    assert plain["plain"].rank % 32 == 0
    assert layers["plain"].rank % 32


def test_identity_blocks_are_left_out_only_where_they_are_a_choice(feeds):
    def form_of(name, factors):
        options = {"deploy_to": name, "factors": factors, "form": "channel"}
        return str(_compressed(feeds, **options)["plain"].form)

    given = (("qnn", "auto"), ("qnn", "identity"), ("openvino", "identity"), ("openvino", "auto"))
    said = {each: form_of(*each) for each in given}
    assert "identity" not in said["qnn", "auto"]
    assert "identity" in said["qnn", "identity"]
    assert "identity" in said["openvino", "auto"]


def test_the_example_of_the_page_works(monkeypatch, feeds):
    monkeypatch.setattr(registry, "_DEVICES", dict(registry._DEVICES))
    text = (ROOT / "docs" / "development" / "extending.md").read_text(encoding="utf-8")
    section = text.partition("## A device\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    exec(compile(code, "extending.md", "exec"), {"__name__": __name__})
    layers = _compressed(feeds, deploy_to="abacus")
    assert layers["plain"].rank == 64
    said = "stays dense for an abacus: grouped Conv has too few beads a group"
    assert layers["grouped"].reason == said
    with pytest.raises(ValueError, match="device 'abacus' already"):
        registry.register(Device("abacus", "another"))


def test_unknown_devices_are_refused(monkeypatch, capsys):
    with pytest.raises(InputError, match=r"no device 'abacus'; use one of coreml, .*webgpu"):
        Options.of(deploy_to="abacus")
    code, _, error = main_of(["inspect", str(BUNDLED), "--deploy-to", "fax"], monkeypatch, capsys)
    assert code == 1
    assert "There is no device 'fax'" in error


def test_inspect_says_what_would_be_kept_from_it(monkeypatch, capsys):
    arguments = ["inspect", str(BUNDLED), "--deploy-to", "qnn"]
    code, out, _ = main_of(arguments, monkeypatch, capsys)
    assert code == 0
    assert "for QNN (HTP) (--deploy-to qnn): ranks go in multiples of 32" in out
    assert "note: open axes of 'image' are not supported" in out.replace("\n", " ")
    code, out, _ = main_of([*arguments, "--json"], monkeypatch, capsys)
    found = json.loads(out)
    kept = {layer["name"] for layer in found["layers"] if "QNN" in (layer["reason"] or "")}
    assert kept == set(found["deployment"]["kept"])
    assert kept == {"node_Conv_25", "node_linear_1"}


def test_lint_of_nodes_domains_and_opsets():
    text = """(float[2, 8] x) => (float[2, 3] z) {
        a = com.example.Thing (x)
        [pick] b = Gather <axis=1> (a, i)
        [sum] z = Einsum <equation="ab,bc->ac"> (b, w)
    }"""
    proto = model(text, {"i": np.arange(4), "w": normal(1, 4, 3)}, opset=18)
    proto.opset_import.add(domain="com.example", version=1)
    found = onnx_factorize.inspect(proto, deploy_to="generic-npu").deployment
    about = {finding.about: finding for finding in found.findings}
    assert about["Einsum"].names == ["sum"]
    assert about["domain"].said.startswith("operators of com.example are not known")
    assert "opset 18 is above 17" in about["opset"].said
    assert "open axes" not in about
    quiet = onnx_factorize.inspect(model(TEXT, WEIGHTS), deploy_to="ort-cpu").deployment
    assert quiet.findings == []
    assert quiet.kept == {}
    assert onnx_factorize.inspect(model(TEXT, WEIGHTS)).deployment is None
