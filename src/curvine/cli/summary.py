# SPDX-License-Identifier: Apache-2.0
"""What Fluid shows of a Dataset's cache (Fluid contract 7.5): texts, shown as they are."""

from __future__ import annotations

import re

from curvine.cli.webport import MasterPages
from curvine.config.schema import ClusterConf
from curvine.errors import CurvineError
from curvine.model.worker import FilesystemInfo

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_COUNTER = re.compile(r"^client_cache_(hits|misses)(?:_total)?(?:\{[^}]*\})?\s+(\S+)", re.MULTILINE)


def fluid_summary(info: FilesystemInfo, conf: ClusterConf) -> dict[str, str]:
    """The summary of a cluster; the hit ratio is what its clients have reported so far."""
    capacity = info.capacity
    return {
        "cached": bytes_text(info.fs_used),
        "cachedPercentage": percentage(info.fs_used, capacity),
        "cacheCapacity": bytes_text(capacity),
        "cacheHitRatio": _hit_ratio(info, conf),
        "fileNum": str(info.inode_file_num),
    }


def bytes_text(size: int) -> str:
    """Two decimals and a binary unit, bytes too ("0.00B", "12.00MiB")."""
    value = float(size)
    for unit in _UNITS[:-1]:
        if abs(value) < 1024:
            return f"{value:.2f}{unit}"
        value /= 1024
    return f"{value:.2f}{_UNITS[-1]}"


def percentage(part: float, whole: float) -> str:
    """``part`` of ``whole`` in percent ("0", "41.7%"); "0" of nothing."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.1f}%" if share else "0"


def hit_ratio(metrics: str) -> str:
    """The share of opens that a cached copy served, from the master's /metrics page."""
    counts = {"hits": 0.0, "misses": 0.0}
    for kind, value in _COUNTER.findall(metrics):
        counts[kind] += float(value)
    return percentage(counts["hits"], sum(counts.values()))


def _hit_ratio(info: FilesystemInfo, conf: ClusterConf) -> str:
    try:
        return hit_ratio(MasterPages(info, conf).fetch("/metrics").decode("utf-8", "replace"))
    except CurvineError:
        return "0"  # nobody knows: the field has to be there
