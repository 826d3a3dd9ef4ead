"""What the tables of operators know of versions agrees with onnx, and with one another."""

from __future__ import annotations

import onnx
import pytest

import onnx_factorize.passes.adjoint
import onnx_factorize.torch  # noqa: F401 - fills the table of functions
from onnx_factorize.graph.registry import Registry
from onnx_factorize.passes.adjoint.registry import RULES
from onnx_factorize.torch.execution.table import OPERATORS

# onnxruntime runs nothing older: what changed up to here changed nothing that is ever run.
OLDEST = 7

SCHEMAS: dict[tuple[str, str], set[int]] = {}
for schema in onnx.defs.get_all_schemas_with_history():
    SCHEMAS.setdefault((schema.domain, schema.name), set()).add(schema.since_version)

TABLES = pytest.mark.parametrize("table", [RULES, OPERATORS], ids=["rules", "functions"])


def test_the_newest_entry_not_above_an_opset_is_found():
    table = Registry[str]()
    table.add("new", "Op", since=13)
    table.add("old", "Op", "Other", since=7)
    assert [table.find("", "Op", opset) for opset in (6, 7, 12, 13, 20)] == [
        None, "old", "old", "new", "new",
    ]  # fmt: skip
    assert table.find("ai.onnx", "Other", 13) == "old"
    assert table.find("other", "Op", 13) is None
    assert table.operators() == [("", "Op"), ("", "Other")]


@TABLES
def test_an_entry_holds_from_a_version_of_the_operator_on(table):
    """From its first version (1), or from one in which onnx changed it."""
    for domain, name in table.operators():
        versions = {*table.versions(domain, name), *table.spans[domain, name]} - {1}
        assert versions <= SCHEMAS.get((domain, name), set()) | {OLDEST}, name


@TABLES
def test_a_version_that_an_entry_spans_is_above_it(table):
    for (domain, name), spans in table.spans.items():
        assert all(version > min(table.versions(domain, name)) for version in spans), name


@pytest.mark.parametrize("key", sorted({*RULES.operators()} & {*OPERATORS.operators()}))
def test_both_tables_see_the_same_versions(key):
    """A version that one tells from those before it the other tells, too, or spans for a reason."""
    told = [{v for v in table.versions(*key) if v > OLDEST} for table in (RULES, OPERATORS)]
    first = min(SCHEMAS.get(key, {1}))
    told = [versions - {first} for versions in told]  # as long as there is the operator
    spans = [set(table.spans[key]) for table in (RULES, OPERATORS)]
    assert told[0] | spans[0] == told[1] | spans[1]
