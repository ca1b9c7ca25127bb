"""One run's report: report.json for programs, report.md and report.html for people."""

from edgecv.report.details import Details
from edgecv.report.report_files import load, write

__all__ = ["Details", "load", "write"]
