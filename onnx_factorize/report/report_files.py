"""Writing reports, in the format that the file's name says."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..files.writing import Files, atomic_path
from .report import Report

__all__ = ["check_report", "page_of", "write_page", "write_report", "write_sweep"]


def check_report(path: pathlib.Path) -> None:
    """Finds out before a run whether a report can be made.

    Raises:
        InputError: There is no such format, or what draws it is missing.
    """
    if path.suffix == ".html":
        from .html.availability import check_available  # noqa: PLC0415  (an extra)

        check_available()
    elif path.suffix != ".json":
        raise InputError(f"{path} is no report that can be written; use FILE.json or FILE.html.")


def write_report(report: Report, path: pathlib.Path, files: Files) -> None:
    """Writes a report, which appears with the model that it tells of.

    Args:
        report: The report.
        path: The .json or .html file.
        files: What collects what is to appear.
    """
    files.path(path).write_text(_text(report, path), encoding="utf-8")


def _text(report: Report, path: pathlib.Path) -> str:
    if path.suffix != ".html":
        return report.as_json()
    return _page([report.as_plain()])


def write_page(reports: Sequence[Mapping[str, Any]], path: pathlib.Path) -> None:
    """Writes the page of a report that is read from its file, or of several, that of a sweep.

    Args:
        reports: What each `Report.as_plain` gave.
        path: The .html file.

    Raises:
        InputError: Writing fails.
    """
    text = _page(reports)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def page_of(report: Report) -> str | None:
    """The page of a report; None where what draws pages is not installed."""
    from .html.availability import check_available  # noqa: PLC0415  (an extra)

    try:
        check_available()
    except InputError:
        return None
    return _page([report.as_plain()])


def _page(reports: Sequence[Mapping[str, Any]]) -> str:
    from .html.page import report_page  # noqa: PLC0415  (an extra)
    from .html.sweep_page import sweep_page  # noqa: PLC0415

    return report_page(reports[0]) if len(reports) == 1 else sweep_page(reports)


def write_sweep(reports: Mapping[str, Report], unmet: Sequence[str], path: pathlib.Path) -> None:
    """Writes the page of a sweep.

    Args:
        reports: The name of the page of each report, beside this one, to the report.
        unmet: Why other budgets were not met, one sentence each.
        path: The .html file.

    Raises:
        InputError: Writing fails.
    """
    from .html.sweep_page import sweep_page  # noqa: PLC0415  (an extra)

    plain = [report.as_plain() for report in reports.values()]
    with atomic_path(path) as temporary:
        temporary.write_text(sweep_page(plain, unmet, list(reports)), encoding="utf-8")
