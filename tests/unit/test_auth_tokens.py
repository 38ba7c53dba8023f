# SPDX-License-Identifier: Apache-2.0
"""Where tokens come from, how they are replaced, who may change something over HTTP."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import msgspec
import pytest

from curvine.clock import ManualClock
from curvine.config.load import auth_environment, load
from curvine.config.schema import AuthConf, ClusterConf
from curvine.config.tokens import AdminCheck, Tokens, admin_token, cluster_tokens
from curvine.errors import ConfigError

FIRST = "the-first-token-of-this-test"
SECOND = "the-second-token-of-this-test"
GRACE = 600_000


def put(path: Path, text: str) -> None:
    """As kubelet and editors do it: a new file under the old name."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(FIRST + "\n")
    return file


class TestFile:
    def test_is_read_without_white_space_around(self, path: Path) -> None:
        path.write_text(f"  {FIRST} \r\n\n")
        assert Tokens(path=str(path), grace=GRACE, clock=ManualClock()).good() == (FIRST.encode(),)

    def test_rotation(self, path: Path) -> None:
        clock = ManualClock()
        tokens = Tokens(path=str(path), grace=GRACE, clock=clock)
        put(path, SECOND)
        assert tokens.good() == (SECOND.encode(), FIRST.encode())
        assert tokens.accepts(FIRST.encode()) and tokens.accepts(SECOND.encode())
        clock.advance(GRACE / 1000 - 1)
        assert tokens.accepts(FIRST.encode())
        clock.advance(1)
        assert tokens.good() == (SECOND.encode(),)
        assert not tokens.accepts(FIRST.encode())

    def test_rotation_in_place_and_back(self, path: Path) -> None:
        tokens = Tokens(path=str(path), grace=GRACE, clock=ManualClock())
        path.write_text(SECOND)
        assert tokens.good()[0] == SECOND.encode()
        path.write_text(FIRST)
        assert tokens.good() == (FIRST.encode(), SECOND.encode())

    def test_touching_changes_nothing(self, path: Path) -> None:
        tokens = Tokens(path=str(path), grace=GRACE, clock=ManualClock())
        os.utime(path, (1, 1))
        assert tokens.good() == (FIRST.encode(),)

    @pytest.mark.parametrize("state", ["gone", "empty", "short", "binary", "long"])
    def test_that_becomes_unusable_changes_nothing(
        self, path: Path, state: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        tokens = Tokens(path=str(path), grace=GRACE, clock=ManualClock())
        texts = {"empty": b"\n", "short": b"abc", "binary": b"\xff" * 40, "long": b"x" * 10_000}
        path.unlink()
        if state in texts:
            path.write_bytes(texts[state])
        for _ in range(3):
            assert tokens.good() == (FIRST.encode(),)
        assert len(caplog.records) == 1 and "stays in use" in caplog.text
        put(path, SECOND)
        assert tokens.good()[0] == SECOND.encode()

    @pytest.mark.parametrize("text", ["", "short", "two words of a token", "ümlaut-ümlaut-ümlaut"])
    def test_that_is_unusable_at_the_beginning(self, path: Path, text: str) -> None:
        path.write_text(text)
        with pytest.raises(ConfigError, match="openssl rand -hex 32") as caught:
            Tokens(path=str(path), grace=GRACE, clock=ManualClock())
        assert str(path) in str(caught.value)
        assert not text or text not in str(caught.value)

    def test_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="No such file"):
            Tokens(path=str(tmp_path / "none"), grace=GRACE, clock=ManualClock())

    def test_is_not_logged(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            tokens = Tokens(path=str(path), grace=GRACE, clock=ManualClock())
            put(path, SECOND)
            tokens.good()
        assert "changed" in caplog.text
        assert FIRST not in caplog.text and SECOND not in caplog.text


class TestConfiguration:
    def test_off_by_default(self) -> None:
        assert cluster_tokens(ClusterConf(), ManualClock(), {}) is None

    def test_from_the_environment(self) -> None:
        env = {"CURVINE_AUTH_TOKEN": FIRST}
        loaded = load(None, env=env)
        assert loaded.conf.auth.token_env == "CURVINE_AUTH_TOKEN"
        assert loaded.origin("auth.token_env") == "env CURVINE_AUTH_TOKEN"
        tokens = cluster_tokens(loaded.conf, ManualClock(), env)
        assert tokens is not None and tokens.good() == (FIRST.encode(),)

    def test_the_environment_wins_over_the_file(self, path: Path, tmp_path: Path) -> None:
        conf = tmp_path / "conf.toml"
        conf.write_text(f'[auth]\ntoken_file = "{path}"\n')
        assert load(str(conf), env={}).conf.auth.token_file == str(path)
        by_value = load(str(conf), env={"CURVINE_AUTH_TOKEN": SECOND}).conf
        assert by_value.auth.token_file == "" and by_value.auth.token_env
        both = {"CURVINE_AUTH_TOKEN": SECOND, "CURVINE_AUTH_TOKEN_FILE": "/other"}
        assert load(str(conf), env=both).conf.auth == AuthConf(token_file="/other")

    def test_no_dump_shows_a_token(self, path: Path) -> None:
        env = {"CURVINE_AUTH_TOKEN": FIRST, "CURVINE_ADMIN_TOKEN": SECOND}
        conf = load(None, env=env).conf
        cluster_tokens(conf, ManualClock(), env)
        dumps = json.dumps(msgspec.to_builtins(conf)) + repr(conf) + str(conf)
        assert FIRST not in dumps and SECOND not in dumps
        assert auth_environment({**env, "HOME": "/"}) == env

    def test_an_empty_variable_is_no_token(self) -> None:
        assert load(None, env={"CURVINE_AUTH_TOKEN": ""}).conf.auth == AuthConf()
        conf = msgspec.structs.replace(ClusterConf(), auth=AuthConf(token_env="NOWHERE"))
        with pytest.raises(ConfigError, match="NOWHERE is empty"):
            cluster_tokens(conf, ManualClock(), {})


class TestAdminCheck:
    def conf(self, **auth: str) -> ClusterConf:
        return msgspec.structs.replace(ClusterConf(), auth=AuthConf(**auth))

    def test_without_any_token_the_loopback_may(self) -> None:
        check = AdminCheck.of(self.conf(), ManualClock(), {})
        assert check.allows(None, loopback=True)
        assert not check.allows(None, loopback=False)
        assert not check.allows(f"Bearer {FIRST}", loopback=False)
        assert check.own() is None

    def test_a_token_of_its_own(self) -> None:
        env = {"ADMIN": FIRST, "TOKEN": SECOND}
        conf = self.conf(admin_token_env="ADMIN", token_env="TOKEN")
        check = AdminCheck.of(conf, ManualClock(), env)
        assert check.allows(f"Bearer {FIRST}", loopback=False)
        assert check.allows(f"bearer  {FIRST}", loopback=False)
        derived = admin_token(SECOND.encode(), "curvine").decode()
        for shown in (None, "", FIRST, f"Basic {FIRST}", f"Bearer {SECOND}", f"Bearer {derived}",
                      "Bearer", f"Bearer {FIRST}x", "Bearer ü\udcff"):  # fmt: skip
            assert not check.allows(shown, loopback=True)

    def test_the_one_that_follows_from_the_clusters(self, path: Path) -> None:
        check = AdminCheck.of(self.conf(token_file=str(path)), ManualClock(), {})
        own = check.own()
        assert own is not None and own != FIRST and check.allows(f"Bearer {own}", loopback=False)
        assert not check.allows(None, loopback=True)
        assert not check.allows(f"Bearer {FIRST}", loopback=True)
        put(path, SECOND)
        assert check.allows(f"Bearer {check.own()}", loopback=False) and check.own() != own
        assert check.allows(f"Bearer {own}", loopback=False)  # for the grace time

    def test_it_depends_on_the_cluster(self) -> None:
        assert admin_token(b"t" * 32, "a") != admin_token(b"t" * 32, "b")
