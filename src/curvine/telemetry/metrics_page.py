# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md from the table: ``python -m curvine.telemetry.metrics_page > docs/metrics.md``.

A test compares the file with what this prints.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from curvine.telemetry.metric_table import PAGES, PROCESS

_HEAD = """\
# Metrics

Generated from `src/curvine/telemetry/metric_table.py`; do not edit. Every page is in Prometheus'
text format. Durations are microseconds, sizes bytes. Names without "Ours" are Curvine's, so its
dashboards work; a name that Curvine has and we do not export stands at the end of its section with
the reason.
"""


def lines() -> Iterator[str]:
    """The page, line by line."""
    yield _HEAD
    for title, where, table in PAGES:
        rows = [row for row in table if row not in PROCESS]
        yield f"## {title}\n"
        yield f"{where}\n"
        yield "| name | kind | labels | what it is |"
        yield "|---|---|---|---|"
        for row in rows:
            if not row.absent:
                labels = ", ".join(row.labels)
                yield f"| `{row.name}` | {row.kind} | {labels} | {row.help} |"
        yield ""
        missing = [row for row in rows if row.absent]
        if missing:
            yield "Not exported:\n"
            for row in missing:
                yield f"- `{row.name}`: {row.absent}"
            yield ""
    yield "## Every process\n"
    yield "| name | kind | what it is |"
    yield "|---|---|---|"
    for row in PROCESS:
        yield f"| `{row.name}` | {row.kind} | {row.help} |"


def text() -> str:
    """The whole page."""
    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
