# SPDX-License-Identifier: Apache-2.0
"""Log set-up and the once-a-minute helper."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from curvine.clock import ManualClock
from curvine.errors import ConfigError
from curvine.telemetry.logs import MAX_KEYS, OnceLogger, setup


def test_a_thing_is_said_once_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    once = OnceLogger(logging.getLogger("t"), interval=60, clock=clock)
    for _ in range(5):
        once.log(logging.WARNING, "a", "peer %s misbehaves", "x")
    once.log(logging.WARNING, "b", "another")
    assert caplog.messages == ["peer x misbehaves", "another"]
    clock.advance(61)
    once.log(logging.WARNING, "a", "peer %s misbehaves", "x")
    assert caplog.messages[-1] == "peer x misbehaves (and 4 more like it)"


def test_invented_keys_do_not_grow_the_table() -> None:
    once = OnceLogger(logging.getLogger("t.silent"), clock=ManualClock())
    for key in range(3 * MAX_KEYS):
        once.log(logging.DEBUG, key, "x")
    assert len(once._seen) <= MAX_KEYS


def test_setup_writes_to_a_file_and_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for handler in handlers:
        root.removeHandler(handler)
    try:
        setup("warn", str(tmp_path / "log"))
        logging.getLogger("curvine.x").info("not this")
        logging.getLogger("curvine.x").warning("this")
        assert (tmp_path / "log").read_text().endswith(" WARNING curvine.x: this\n")
        with pytest.raises(ConfigError, match="loud"):
            setup("loud")
        with pytest.raises(ConfigError, match="cannot write"):
            setup("info", str(tmp_path / "none" / "log"))
    finally:
        for handler in root.handlers[:]:
            root.removeHandler(handler)
            handler.close()
        for handler in handlers:
            root.addHandler(handler)
        root.setLevel(level)
