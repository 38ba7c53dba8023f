# SPDX-License-Identifier: Apache-2.0
"""Results of a benchmark: printed as lines, kept as JSON in build/bench.

A figure never stands alone: it is given beside a reference measured in the same run, because these
figures move with the machine and its neighbours while ratios hardly do.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

OUT = Path(__file__).parents[1] / "build" / "bench"


class Report:
    """Collects the rows of one benchmark."""

    def __init__(self, name: str, question: str) -> None:
        self.name = name
        self.question = question.strip().splitlines()[0]
        self.rows: list[dict[str, object]] = []
        print(f"{name}: {self.question}")

    def compare(
        self, case: str, ours: float, reference: float, *, unit: str, reference_name: str
    ) -> None:
        """One row: our figure, the reference's, and their ratio."""
        self.rows.append(
            {
                "case": case,
                "ours": ours,
                "reference": reference,
                "reference_name": reference_name,
                "unit": unit,
                "ratio": ours / reference,
            }
        )
        print(
            f"  {case:<28} {_scaled(ours, unit):>14}   {reference_name} "
            f"{_scaled(reference, unit):>14}   ratio {ours / reference:.2f}",
            flush=True,
        )

    def write(self) -> None:
        """Keep the rows as build/bench/<name>.json."""
        OUT.mkdir(parents=True, exist_ok=True)
        result = {
            "name": self.name,
            "question": self.question,
            "kernel": platform.release(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "rows": self.rows,
        }
        (OUT / f"{self.name}.json").write_text(json.dumps(result, indent=2) + "\n")


def _scaled(value: float, unit: str) -> str:
    for prefix, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:.2f} {prefix}{unit}"
    return f"{value:.2f} {unit}"
