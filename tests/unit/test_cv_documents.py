# SPDX-License-Identifier: Apache-2.0
"""Documents that are written from declarations, and what every command has in common."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from curvine.cli import manual
from curvine.cli.main import COMMANDS, cv
from curvine.config import document
from curvine.config.effective import DERIVED, effective_keys
from curvine.config.load import load

DOCS = Path(__file__).parents[2] / "docs"
WITHOUT_OUTPUT = {
    "cv fs cat", "cv completion", "cv config docs", "cv manual", "cv transfer",
    "cv bench prefill", "cv fuse umount", "cv fuse abort", "cv fuse upgrade",
    "cv fluid render", "cv fluid run", "cv fluid mount-ufs", "cv fluid load",
}  # fmt: skip


def commands(group: click.Group = cv, name: str = "cv") -> Iterator[tuple[str, click.Command]]:
    ctx = click.Context(group, info_name=name)
    for word in COMMANDS if group is cv else group.list_commands(ctx):
        command = group.get_command(ctx, word)
        assert command is not None
        yield f"{name} {word}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")


ALL = dict(commands())


def test_configuration_reference_is_current() -> None:
    assert (DOCS / "configuration.md").read_text() == document.markdown(), (
        "run: cv config docs --write docs/configuration.md"
    )


def test_command_reference_is_current() -> None:
    assert (DOCS / "cv.md").read_text() == manual.markdown(), "run: cv manual --write docs/cv.md"


@pytest.mark.parametrize("name", ALL)
def test_commands_agree_with_each_other(name: str) -> None:
    command = ALL[name]
    assert command.help and command.help.splitlines()[0].endswith(".")
    options = {word for param in command.params for word in param.opts}
    leaf = not isinstance(command, click.Group) or command.invoke_without_command
    if leaf and name not in WITHOUT_OUTPUT:
        assert {"-o", "--output", "--format"} <= options
    if any(param.name == "settings" for param in command.params):
        pytest.fail("settings come from pass_settings")


def test_help_imports_little() -> None:
    """What `cv --help` costs, counted in modules because time depends on the machine."""
    code = (
        "import sys; sys.argv = ['cv', '--help']\n"
        "from curvine.cli.main import main\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Commands:" in done.stdout
    modules = set(done.stderr.split())
    slow = {"asyncio", "uvloop", "rich", "google", "msgspec", "tomllib", "ssl", "urllib.request"}
    assert not modules & slow
    ours = {name for name in modules if name.startswith("curvine")}
    assert ours == {"curvine", "curvine.cli", "curvine.cli.main", "curvine.cli.context",
                    "curvine.errors"}  # fmt: skip
    assert len(modules) < 160


def test_the_shell_is_told_commands_and_options() -> None:
    def complete(words: str, number: int) -> set[str]:
        env = {**os.environ, "_CV_COMPLETE": "bash_complete", "COMP_WORDS": words}
        done = subprocess.run(
            [sys.executable, "-m", "curvine.cli.main"],
            env={**env, "COMP_CWORD": str(number)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return {line.partition(",")[2] for line in done.stdout.splitlines()}

    assert complete("cv no", 1) == {"node"}
    assert {"ls", "put"} <= complete("cv fs ", 2)
    assert "--update" in complete("cv mount --u", 2)
    assert complete("cv report fl", 2) == {"fluid-summary"}


def test_effective_keys_know_their_origin(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        '[master]\nhostname = "m"\n[client]\nblock_size_str = "1GB"\n'
        '[[client.master_addrs]]\nhostname = "::1"\nport = 1\n'
    )
    loaded = load(str(path), env={"CURVINE_WORKER_HOSTNAME": "w"}, overrides={"fuse.fs_path": "/x"})
    rows = {row.name: row for row in effective_keys(loaded)}
    assert rows["master.hostname"].origin == f"file {path}"
    assert rows["worker.hostname"].origin == "env CURVINE_WORKER_HOSTNAME"
    assert rows["fuse.fs_path"].origin == "flag"
    assert rows["master.bind_host"].origin == DERIVED
    assert rows["master.rpc_port"].origin == "default"
    assert rows["client.block_size"].text == "1.00GiB"
    assert rows["client.master_addrs"].text == "[::1]:1"
    assert "master.rocksdb" not in rows and "master.log.level" in rows


def test_all_errors_are_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        'cluster_id = 5\n[master]\nweb_port = "x"\nrcp_port = 1\n'
        '[worker]\ndata_dir = ["[MEM:lots]/d"]\nrpc_port = 7\nweb_port = 7\n'
    )
    errors: list[str] = []
    loaded = load(str(path), env={}, errors=errors)
    assert [error.split(": ")[1].split(" = ")[0] for error in errors] == [
        "cluster_id", "master.web_port", "worker.data_dir",
    ]  # fmt: skip
    assert any("did you mean rpc_port" in text for text in loaded.warnings)
    assert any("worker.rpc_port and worker.web_port" in text for text in loaded.warnings)
    assert loaded.conf.cluster_id == "curvine"
