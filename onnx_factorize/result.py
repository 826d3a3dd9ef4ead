"""The result of compressing a model: the model, and the report of how it was made."""

from __future__ import annotations

import dataclasses
import html
import math
import os
import pathlib
from collections.abc import Sequence

import onnx_ir as ir

from .files import model_io
from .files.side_files import SideFiles
from .files.writing import Files
from .report.report import Report
from .report.report_files import check_report, page_of, write_report
from .units import count, nats, size

__all__ = ["Result"]


@dataclasses.dataclass(repr=False)
class Result:
    """The result of `factorize`.

    Attributes:
        model: The compressed model.
        report: What was done and how it compares.

    Example:
        >>> import onnx_factorize
        >>> result = onnx_factorize.factorize("model.onnx", "data.npz", weighting="none", threads=1)
        >>> len(repr(result).splitlines())
        5
        >>> [value.name for value in result.model.graph.outputs]
        ['y']
    """

    model: ir.Model
    report: Report
    _external: bool = False

    def save(
        self,
        path: str | os.PathLike[str],
        reports: Sequence[str | os.PathLike[str]] = (),
        *,
        side_files: str | os.PathLike[str] | SideFiles | None = None,
    ) -> None:
        """Writes the model, with external weights if the dense model had them.

        Args:
            path: The .onnx file to write.
            reports: The .json or .html files to write; if one cannot be, the model does not appear.
            side_files: The dense model's file: what lies beside it and goes with it (tokenizer,
                configurations) is copied to the folder of `path`, and `genai_config.json` names
                the written model there.

        Raises:
            InputError: A file cannot be written, or a copy would take the place of another file.
        """
        for report in reports:
            check_report(pathlib.Path(report))
        beside = side_files
        if isinstance(beside, str | os.PathLike):
            beside = SideFiles(pathlib.Path(beside), pathlib.Path(path))
        if beside is not None:
            _ = beside.contents  # what is wrong is found out before anything is written

        def describe(written: pathlib.Path, files: Files) -> None:
            figures = self.report.model["compressed"]
            figures.sha256, figures.file = model_io.sha256(written), pathlib.Path(path).name
            parts = [written]
            if written.name == figures.file:  # beside its weights, in a folder of their own
                parts += [part for part in written.parent.iterdir() if part != written]
            figures.bytes = sum(part.stat().st_size for part in parts)
            for report in reports:
                write_report(self.report, pathlib.Path(report), files)
            if beside is not None:
                beside.copy(files)

        model_io.save(self.model, path, external=self._external, beside=describe)

    def _repr_html_(self) -> str:
        """The report's page, for notebooks; its figures where what draws pages is missing."""
        page = page_of(self.report)
        if page is None:
            return f"<pre>{html.escape(repr(self))}</pre>"
        return (
            '<iframe title="Report of onnx-factorize" style="width:100%;height:720px;border:0" '
            f'srcdoc="{html.escape(page)}"></iframe>'
        )

    def __repr__(self) -> str:
        """The figures that count, in five lines."""
        dense, own = self.report.model["dense"], self.report.model["compressed"]
        holdout = self.report.divergence["holdout"]
        lost = holdout if math.isfinite(holdout) else None
        times = ("?" if ms is None else f"{ms:.3g} ms" for ms in (dense.latency_ms, own.latency_ms))
        return "\n".join(
            (
                f"<Result {own.file or 'in memory'}: {self.report.command['budget']}",
                f"  parameters  {count(dense.params)} -> {count(own.params)}",
                f"  size        {size(dense.bytes)} -> {size(own.bytes)}",
                f"  latency     {' -> '.join(times)}",
                f"  divergence  {nats(lost)} on {self.report.samples['holdout']} samples>",
            )
        )
