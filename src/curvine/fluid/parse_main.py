# SPDX-License-Identifier: Apache-2.0
"""``fluid-config-parse``: Fluid's document in, curvine-cluster.toml and mount-curvine.sh out.

Exit code 0, or 1 with one line ``ERROR: ...`` on stderr (decision 30); warnings go to stderr, a
summary without secrets to stdout. Source: the seed document, Fluid contract 9, issue 2.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from curvine import __version__
from curvine.errors import ConfigError, CurvineError
from curvine.fluid.mount_plan import MountPlan, make_plan
from curvine.fluid.mount_script import mount_script
from curvine.fluid.runtime_config import (
    RuntimeConfig,
    find_config,
    read_config,
    searched_paths,
)
from curvine.fluid.secrets import DIRECTORY_VARIABLE, PREFIX
from curvine.fluid.toml_text import cluster_toml

DEFAULT_HOME = "/opt/curvine"
CONF_NAME = os.path.join("conf", "curvine-cluster.toml")
SCRIPT_NAME = "mount-curvine.sh"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a summary must not fail on a terminal's charset
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        warnings, summary = generate(os.environ, arguments.config)
    except CurvineError as error:
        print(f"ERROR: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    for warning in warnings:
        print(f"WARNING: {' '.join(warning.split())}", file=sys.stderr)
    for line in summary:
        print(line)
    return 0


def generate(
    env: Mapping[str, str], explicit: str | None = None
) -> tuple[tuple[str, ...], list[str]]:
    """Write both files. Returns the warnings and the lines of the summary."""
    home = env.get("CURVINE_HOME") or DEFAULT_HOME
    if not home.startswith("/") or "\0" in home:
        raise ConfigError(f"CURVINE_HOME {home!r} is not an absolute path")
    home = home.rstrip("/") or "/"
    path, config = _input(env, explicit)
    plan = make_plan(config, env)
    conf = os.path.join(home, CONF_NAME)
    script = os.path.join(home, SCRIPT_NAME)
    conf_dir = os.path.dirname(conf)
    write_all((
        *((os.path.join(conf_dir, name), token, 0o600) for token, name in plan.token_names.items()),
        (conf, cluster_toml(plan, conf_dir), 0o600 if plan.has_secrets else 0o644),
        (script, mount_script(plan, home, conf, **_following(path, env)), 0o755),
    ))  # fmt: skip
    return plan.warnings, list(_summary(plan, path, conf, script))


def _following(path: str | None, env: Mapping[str, str]) -> dict[str, str]:
    """What a running mount looks at, and how it has the configuration made anew."""
    if path is None or ":" in path:
        return {}
    secrets = env.get(DIRECTORY_VARIABLE) or PREFIX.rstrip("/")
    command = (sys.executable, "-m", "curvine.fluid.parse_main", "--config", os.path.abspath(path))
    return {"sources": f"{os.path.abspath(path)}:{secrets}", "refresh": shlex.join(command)}


def _input(env: Mapping[str, str], explicit: str | None) -> tuple[str | None, RuntimeConfig | None]:
    """The document and its path; (None, None) when the environment has to do."""
    path = explicit or find_config(env)
    if path is not None:
        return path, read_config(path)
    if not env.get("CURVINE_MASTER_ENDPOINTS", "").strip():
        raise ConfigError(
            "no configuration file (looked for "
            + ", ".join(searched_paths(env))
            + ") and no CURVINE_MASTER_ENDPOINTS to do without (also understood then: "
            "CURVINE_TARGET_PATH, CURVINE_MOUNT_POINT, CURVINE_MASTER_WEB_PORT, "
            "CURVINE_IO_THREADS, CURVINE_WORKER_THREADS)"
        )
    return None, None


def write_all(files: Sequence[tuple[str, str, int]]) -> None:
    """Put all files in place, each as a whole; none while one of them cannot be made."""
    staged: list[tuple[str, str]] = []
    try:
        for path, content, mode in files:
            try:
                staged.append((_stage(path, content, mode), path))
            except OSError as error:
                raise ConfigError(f"cannot write {path}: {error.strerror}") from None
            except UnicodeEncodeError:
                raise ConfigError(f"cannot write {path}: a value is not Unicode text") from None
        for temporary, path in staged:
            try:
                os.replace(temporary, path)
            except OSError as error:
                raise ConfigError(f"cannot write {path}: {error.strerror}") from None
    finally:
        for temporary, _ in staged:
            if os.path.lexists(temporary):
                os.unlink(temporary)


def _stage(path: str, content: str, mode: int) -> str:
    directory = os.path.dirname(path)
    os.makedirs(directory, exist_ok=True)
    data = content.encode("utf-8")
    handle, temporary = tempfile.mkstemp(prefix=".curvine-", dir=directory)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
    except OSError:
        os.unlink(temporary)
        raise
    return temporary


def _summary(plan: MountPlan, path: str | None, conf: str, script: str) -> Iterator[str]:
    yield "Configuration generated successfully!"
    yield f"  input:   {path or 'environment variables'}"
    yield f"  config:  {conf}"
    yield f"  script:  {script}"
    yield f"  target:  {plan.target}"
    for place in plan.places:
        masters = ", ".join(f"{host}:{port}" for host, port in place.masters)
        access = "read-only" if place.read_only else "read-write"
        shown = "(from a secret)" if place.masters_secret else masters
        yield f"  {place.path} = curvine://{place.fs_path} ({access}) on {shown}"
    if not plan.places:
        yield "  no mounts yet: an empty directory is shown"
    yield f"  threads: io {plan.io_threads}, worker {plan.worker_threads}"
    for setting in plan.settings:
        yield f"  {setting.name} = {setting.shown!r} ({setting.source})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fluid-config-parse",
        description="Turn the configuration that Fluid mounts into a ThinRuntime pod into "
        "$CURVINE_HOME/conf/curvine-cluster.toml and $CURVINE_HOME/mount-curvine.sh.",
    )
    parser.add_argument("--config", metavar="FILE", help="read this file instead of Fluid's")
    parser.add_argument("--version", action="version", version=f"curvine {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
