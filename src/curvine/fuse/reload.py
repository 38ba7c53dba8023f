# SPDX-License-Identifier: Apache-2.0
"""A mount that follows its configuration: places come and go while it is in use.

Whoever started ``curvine-fuse`` may name files in CURVINE_CONF_SOURCE (paths joined with colons)
and a command in CURVINE_CONF_REFRESH that makes the configuration file of them anew. When such a
file changes, the command runs, the configuration is read again and what differs is changed: nothing
else is touched, and the FUSE session stays. What cannot be read or understood changes nothing, is
logged, and is tried again. Under Fluid the files are the ConfigMap and the Secrets, the command its
parser (docs/adr/0010). Looking every two seconds costs a few stat calls and works for every kind of
volume; inotify sees nothing of a file that was mounted by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping

from curvine.config.schema import ClusterConf
from curvine.errors import ConfigError, CurvineError
from curvine.fuse.composite import CompositeFileSystem
from curvine.fuse.flags import parse_flags
from curvine.fuse.placenumbers import PlaceNumbers
from curvine.fuse.places import Places, following
from curvine.fuse.run import read_conf

_log = logging.getLogger(__name__)

SOURCE, REFRESH, FLAGS = "CURVINE_CONF_SOURCE", "CURVINE_CONF_REFRESH", "CURVINE_FUSE_FLAGS"
LOOK_SECONDS = 2.0
SETTLE_SECONDS = 0.5  # an editor, or kubelet, may write several files one after another
RETRY_SECONDS = 20.0  # a Secret may come later than the Dataset that names it
REFRESH_SECONDS = 60.0

Fingerprint = tuple[tuple[str, int, int], ...]


def is_changeable(env: Mapping[str, str]) -> bool:
    """Whether the configuration of this mount may change."""
    return bool(env.get(SOURCE) and env.get(REFRESH))


def place_numbers(env: Mapping[str, str], *, resume: bool) -> PlaceNumbers | None:
    """The numbers of this mount's places; None when they are always the same."""
    if not is_changeable(env):
        return None
    conf = env.get("CURVINE_CONF_FILE", "")
    return PlaceNumbers(f"{conf}.places" if conf else "", resume=resume)


def conf_now(env: Mapping[str, str], otherwise: ClusterConf) -> ClusterConf:
    """What flags and file say now; ``otherwise`` when they cannot be read."""
    try:
        return _read(env)
    except CurvineError as error:
        _log.error("the configuration cannot be read, the one from the start holds: %s", error)
        return otherwise


def _read(env: Mapping[str, str]) -> ClusterConf:
    loaded, _ = read_conf(parse_flags(json.loads(env.get(FLAGS, "[]")), ""), env)
    return loaded.conf


def fingerprint(source: str) -> Fingerprint:
    """What tells a changed file from the old one. A directory stands for all files below it."""
    found: list[tuple[str, int, int]] = []
    for path in filter(None, source.split(":")):
        paths = [path]
        for folder, _, names in os.walk(path, followlinks=True):
            if "/..2" not in folder:  # Kubernetes shows each file of such a directory above it
                paths += [os.path.join(folder, name) for name in names]
        for name in sorted(paths):
            try:
                status = os.stat(name)
            except OSError:
                continue
            found.append((name, status.st_ino, status.st_mtime_ns))
    return tuple(found)


class Follower:
    """Looks at the sources of the configuration and changes the places of a mount."""

    def __init__(
        self, files: CompositeFileSystem, places: Places, conf: ClusterConf, env: Mapping[str, str]
    ) -> None:
        self._files = files
        self._places = places
        self._conf = conf
        self._env = env
        self._source = env[SOURCE]
        self._command = shlex.split(env[REFRESH])
        self.on_shown: Callable[[], None] = lambda: None  # other places are shown now
        self._seen: Fingerprint | None = None
        self._wake = asyncio.Event()
        made = fingerprint(env.get("CURVINE_CONF_FILE", ""))
        now = fingerprint(self._source)
        if made and max((item[2] for item in now), default=0) <= made[0][2]:
            self._seen = now  # else something changed since the file was made of it

    def wake(self) -> None:
        """Do not wait for the next look (SIGHUP)."""
        self._seen = None
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        retry = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)
            except TimeoutError:
                pass
            self._wake.clear()
            seen = await asyncio.to_thread(fingerprint, self._source)
            if seen == self._seen and not (retry and loop.time() >= retry):
                continue
            await asyncio.sleep(SETTLE_SECONDS)
            self._seen = await asyncio.to_thread(fingerprint, self._source)
            retry = 0.0 if await self._reload() else loop.time() + RETRY_SECONDS

    async def _reload(self) -> bool:
        try:
            await asyncio.to_thread(self._refresh)
            conf = _read(self._env)
            wanted = await self._places.of(conf)
        except (CurvineError, OSError, subprocess.SubprocessError) as error:
            _log.error("the new configuration is not taken, the mount stays as it is: %s", error)
            return False
        self._warn(conf)
        current = self._files.shown
        shown = following(current, wanted)
        if set(shown) == set(current):
            _log.info("the configuration was written again, nothing differs")
            return True
        for place in current:
            if place not in shown:
                _log.info("%s = curvine://%s is not shown any more", place.path, place.fs_path)
        for place in shown:
            if place not in current:
                _log.info("%s = curvine://%s is shown now", place.path, place.fs_path)
        self._files.show(shown)
        self.on_shown()
        return True

    def _refresh(self) -> None:
        done = subprocess.run(
            self._command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=REFRESH_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"{self._command[0]} failed"]
            raise ConfigError(lines[-1].removeprefix("ERROR: "))
        for line in done.stderr.splitlines():
            _log.warning("%s", line.removeprefix("WARNING: "))

    def _warn(self, conf: ClusterConf) -> None:
        if conf.fuse.mnt_path != self._conf.fuse.mnt_path:
            _log.warning("a new target path takes effect when the mount is started anew")
        if self._conf.fuse.readonly and not conf.fuse.readonly:
            _log.warning("the mount stays read-only until it is started anew")
