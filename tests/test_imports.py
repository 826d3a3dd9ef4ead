"""Imports point one way: from rooms to the rooms beneath them, and never in a circle.

A room is a folder of the package, or a module at its top. Imports within functions count, and those
for type checkers.
"""

from __future__ import annotations

import ast
import functools
import graphlib
import pathlib

ROOT = pathlib.Path(__file__).parents[1] / "onnx_factorize"

# From the ground up; rooms of one line know nothing of each other.
LAYERS = """
arrays
_version curve errors graph keyed_random parallel processes registering stages units
progress uncertainty
notebook
passes.adjoint.emission
passes.adjoint.bodies
foreign passes.adjoint passes.linear
passes.operators
user_code passes
deployment
deployment.devices
passes.identity_blocks passes.narrowing passes.segments
options files
runtime calibration.inputs
runtime.runtimes
calibration.sources
calibration
outputs
evaluation notes preparation statistics
factorization.forms
factorization
factorization.weightings factorization.narrowing
allocation
torch.execution
torch.operators
torch
goals.budgets goals.quantities
quantization goals finetune
meet_goal
report.html
report check_options fingerprint
result prepared
shards latency_kit
workers
pipeline calibrating
sweeping
api
__init__
cli
__main__
"""
LEVELS = {room: level for level, line in enumerate(LAYERS.split("\n")) for room in line.split()}

# Arrows that still point up: this list may only shrink.
UPWARD: set[tuple[str, str]] = set()


@functools.cache
def _files() -> dict[str, pathlib.Path]:
    """Module name, within the package, to its file."""
    files = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts).removesuffix(".__init__")] = path
    return files


def _imported(module: str, files: dict[str, pathlib.Path]) -> set[str]:
    """The modules of the package that one of them imports, anywhere in its file."""
    own = module.split(".") if files[module].name == "__init__.py" else module.split(".")[:-1]
    own = [part for part in own if part != "__init__"]
    found = set()
    for node in ast.walk(ast.parse(files[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            within = ["onnx_factorize", *own][: len(own) + 2 - node.level] if node.level else []
            start = within + (node.module.split(".") if node.module else [])
            named = [[*start, alias.name] for alias in node.names]
        else:
            continue
        for package, *inner in named:
            # What is imported is a module, or something that a module holds.
            paths = [".".join(inner), ".".join(inner[:-1]) or "__init__"]
            if package == "onnx_factorize":
                found.add(next(path for path in paths if path in files))
    return found - {module}


@functools.cache
def _arrows() -> dict[str, set[str]]:
    """Module name to the modules that it imports."""
    files = _files()
    return {module: _imported(module, files) for module in files}


def _room(module: str) -> str:
    """The folder that a module is in; or itself, at the top of the package."""
    folder, _, _ = module.rpartition(".")
    return module if not folder or _files()[module].name == "__init__.py" else folder


def test_imports_point_down():
    arrows = {(_room(one), _room(other)) for one, others in _arrows().items() for other in others}
    assert {room for arrow in arrows for room in arrow} == set(LEVELS)
    assert {(a, b) for a, b in arrows if a != b and LEVELS[a] <= LEVELS[b]} == UPWARD


def test_no_file_imports_itself_by_way_of_others():
    order = graphlib.TopologicalSorter(_arrows())
    assert len(list(order.static_order())) == len(_files())
