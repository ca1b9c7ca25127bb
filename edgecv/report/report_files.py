"""A run's report, written into its folder and read from there."""

import dataclasses
import json
from pathlib import Path

from edgecv.artifacts import SCHEMA, Report
from edgecv.errors import RunFolderError
from edgecv.files import write_text
from edgecv.report.details import Details
from edgecv.report.markdown import markdown
from edgecv.report.page import page

REPORT = "report.json"


def write(run_folder: Path, report: Report, details: Details) -> None:
    """Write report.md, report.html and, as the last one, report.json: it marks a finished run."""
    write_text(run_folder / "report.md", markdown(report, str(run_folder)))
    write_text(run_folder / "report.html", page(report, details, str(run_folder)))
    write_text(run_folder / REPORT, report.to_json() + "\n")


def load(run_folder: Path) -> Report:
    """The report of a finished run. Raises RunFolderError when there is none that can be read."""
    path = run_folder / REPORT
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunFolderError(f"{path}: no such file; is the run finished?") from error
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: not a readable report: {error}") from error
    if not isinstance(table, dict) or table.get("schema") != SCHEMA:
        schema = table.get("schema") if isinstance(table, dict) else None
        raise RunFolderError(f"{path}: schema {schema!r}; this edgecv reads schema {SCHEMA}")
    fields = dataclasses.fields(Report)
    required = {field.name for field in fields if _is_required(field)}
    wrong = required - table.keys() | table.keys() - {field.name for field in fields}
    if wrong:
        raise RunFolderError(f"{path}: keys missing or unknown: {', '.join(sorted(wrong))}")
    return Report(**table)


def _is_required(field: dataclasses.Field[object]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING
