"""The report as one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2

_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("conformance.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def render(report: Mapping[str, Any]) -> str:
    """Return the page."""
    return _environment.get_template("report.html").render(report=report)
