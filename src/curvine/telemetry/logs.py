# SPDX-License-Identifier: Apache-2.0
"""Text logs: one set-up per process, and a helper that says a thing once, not a thousand times.

A line is ``2026-01-31 12:00:00,123 WARNING curvine.rpc.server: text``; times are local. Secrets
never reach a log: whoever logs an argument knows what is in it.
"""

from __future__ import annotations

import logging
import os
import sys

from curvine.clock import Clock, SystemClock
from curvine.config.schema import LogConf
from curvine.errors import ConfigError

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LEVELS = {
    "trace": logging.DEBUG,  # upstream's name for more than debug
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
MAX_KEYS = 1024  # a peer that invents keys cannot grow the table


def setup(level: str = "info", target: str = "stderr") -> None:
    """Send the process's log to ``target``: "stdout", "stderr" or the path of a file (appended).

    Calling it again replaces what the last call set up.
    """
    number = LEVELS.get(level.lower())
    if number is None:
        raise ConfigError(f"log level {level!r} is not one of {', '.join(LEVELS)}")
    handler: logging.Handler
    if target in {"stdout", "stderr"}:
        handler = logging.StreamHandler(sys.stdout if target == "stdout" else sys.stderr)
    else:
        try:
            handler = logging.FileHandler(target, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise ConfigError(f"cannot write the log to {target}: {error.strerror}") from error
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(number)
    logging.getLogger("asyncio").setLevel(max(number, logging.INFO))


def setup_from(conf: LogConf, file_name: str, *, level: str | None = None) -> None:
    """Set up a process's logs as its configuration says: to a stream, or to ``file_name`` in the
    directory that it names. ``level`` wins over the configured one."""
    target = conf.log_dir or "stdout"
    if target not in {"stdout", "stderr"}:
        os.makedirs(target, exist_ok=True)
        target = os.path.join(target, conf.file_name or file_name)
    setup(level or conf.level, target)


class OnceLogger:
    """Writes a line per key at most once per ``interval`` seconds and counts what it held back."""

    def __init__(
        self, logger: logging.Logger, *, interval: float = 60.0, clock: Clock | None = None
    ) -> None:
        self._logger = logger
        self._interval = interval
        self._clock = clock or SystemClock()
        #: key -> (when its line was written last, lines held back since)
        self._seen: dict[object, tuple[float, int]] = {}

    def log(
        self,
        level: int,
        key: object,
        text: str,
        *args: object,
        error: BaseException | None = None,
    ) -> bool:
        """Log ``text % args`` unless ``key`` was logged just now; say whether it was written."""
        now = self._clock.monotonic()
        last, held = self._seen.get(key, (None, 0))
        if last is not None and now - last < self._interval:
            self._seen[key] = (last, held + 1)
            return False
        if last is None and len(self._seen) >= MAX_KEYS:
            self._forget(now)
        self._seen[key] = (now, 0)
        if held:
            text, args = text + " (and %d more like it)", (*args, held)
        self._logger.log(level, text, *args, exc_info=error)
        return True

    def _forget(self, now: float) -> None:
        recent = {
            key: value for key, value in self._seen.items() if now - value[0] < self._interval
        }
        self._seen = recent if len(recent) < MAX_KEYS else {}
