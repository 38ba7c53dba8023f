# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a Curvine mount under Fluid: every known trouble as a check with its fix.

Checks look at what is there: the pod's own files, mounts and network (:mod:`doctor_pod`), or the
objects of Kubernetes (:mod:`doctor_cluster`). Source: the seed document ("Troubleshooting"), Fluid
contract 8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Status = Literal["ok", "note", "warning", "error", "skipped"]
_ORDER: tuple[Status, ...] = ("error", "warning", "note", "skipped", "ok")


class Result(msgspec.Struct, frozen=True):
    """What one check found."""

    check: str
    status: Status
    finding: str
    fix: str = ""


def worst(results: Iterable[Result]) -> Status:
    """The gravest status among them."""
    found = {result.status for result in results}
    return next((status for status in _ORDER if status in found), "ok")


def verdict(results: Iterable[Result]) -> str:
    """One sentence: the first thing to put right."""
    rows = list(results)
    for status in ("error", "warning"):
        for row in rows:
            if row.status == status:
                return f"{row.check}: {row.finding}" + (f" -> {row.fix}" if row.fix else "")
    return "nothing is wrong as far as can be seen from here"
