# SPDX-License-Identifier: Apache-2.0
"""No connection is made or taken without saying whether it is authenticated (docs/adr/0007)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "curvine"
MAKERS = {"RpcServer", "MasterConnector", "BlockPool", "WorkerCalls"}
CONNECTS = {("RpcConnection", "connect"), ("RpcConnection", "connect_to"),
            ("BlockStream", "connect")}  # fmt: skip
#: where a socket may be dialled without ``rpc.auth`` around it
DIALS = {"rpc/auth.py", "rpc/dialing.py"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name):
            yield function.id, node
        elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            yield f"{function.value.id}.{function.attr}", node


def test_every_connection_says_how_it_is_authenticated() -> None:
    wanted = MAKERS | {f"{owner}.{name}" for owner, name in CONNECTS}
    found = set()
    for path in SRC.rglob("*.py"):
        for name, node in calls(path):
            if name in wanted:
                found.add(name)
                given = {keyword.arg for keyword in node.keywords} | {
                    argument.id for argument in node.args if isinstance(argument, ast.Name)
                }
                where = f"{path.relative_to(SRC)}:{node.lineno}"
                assert given & {"auth", None}, f"{where}: {name} is made without auth="
    assert found >= MAKERS | {"BlockStream.connect", "RpcConnection.connect"}


def test_nobody_dials_past_the_gate() -> None:
    for path in SRC.rglob("*.py"):
        name = path.relative_to(SRC).as_posix()
        if name in DIALS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "curvine.rpc.dialing":
                names = {alias.name for alias in node.names}
                assert "dial" not in names, f"{name} dials without rpc.auth.connect"
