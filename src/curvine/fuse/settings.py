# SPDX-License-Identifier: Apache-2.0
"""What a mount was told to do, resolved: every "auto" has become a value. Times are ms."""

from __future__ import annotations

from dataclasses import dataclass

from curvine.config.schema import FuseConf

AUTO_TIMEOUT_MS = 1000
AUTO_READ_ONLY_TIMEOUT_MS = 10_000  # nobody writes through this mount, and data sets rarely change
# A file that was changed less than this ago on a writable mount is read through the page cache, not
# by passthrough: who still appends to it is then seen by readers that have it open (tail -f).
SETTLE_MS = 5000
# From this many bytes on speed counts for more: a complete file passes through at once.
LARGE_FILE = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How one mount behaves."""

    root: str = "/"
    read_only: bool = False
    entry_ms: int = AUTO_TIMEOUT_MS
    attr_ms: int = AUTO_TIMEOUT_MS
    negative_ms: int = 0
    # Longer while changes are told (fuse.belief): nobody has set these times.
    auto_entry: bool = True
    auto_attr: bool = True
    auto_negative: bool = False
    push: bool = True  # rest on what the master tells of changes
    list_limit: int = 1000
    read_path: str = "auto"
    direct_io: bool = False
    direct_on_stale: bool = False
    splice: bool = True
    cache_readdir: bool = False
    non_seekable: bool = False
    uid: int = 0
    gid: int = 0
    debug: bool = False
    io_threads: int = 32
    slow_seconds: float = float("inf")  # requests that take longer are logged


def settings_of(conf: FuseConf, *, root: str, read_only: bool) -> Settings:
    """The settings of a mount of ``root`` from its configuration."""
    auto = AUTO_READ_ONLY_TIMEOUT_MS if read_only else AUTO_TIMEOUT_MS
    negative = conf.negative_timeout_ms
    return Settings(
        root=root,
        read_only=read_only,
        entry_ms=auto if conf.entry_timeout_ms is None else conf.entry_timeout_ms,
        attr_ms=auto if conf.attr_timeout_ms is None else conf.attr_timeout_ms,
        negative_ms=0 if negative is None else negative,
        auto_entry=conf.entry_timeout_ms is None,
        auto_attr=conf.attr_timeout_ms is None,
        auto_negative=negative is None and read_only,
        push=conf.coherence == "push",
        list_limit=conf.list_limit,
        read_path=conf.read_path,
        direct_io=conf.direct_io,
        direct_on_stale=conf.open_direct_on_stale,
        splice=conf.enable_splice,
        cache_readdir=conf.cache_readdir,
        non_seekable=conf.non_seekable,
        uid=conf.uid,
        gid=conf.gid,
        debug=conf.debug,
        io_threads=conf.io_threads,
        slow_seconds=conf.slow_operation / 1000 if conf.slow_operation else float("inf"),
    )
