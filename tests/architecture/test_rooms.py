# SPDX-License-Identifier: Apache-2.0
"""Rules that keep a module liveable: sizes, names, headers, one importer per engine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "curvine"
MODULES = sorted(path for path in SRC.rglob("*.py") if "wire/pb" not in path.as_posix())
TESTS = sorted((Path(__file__).parents[1]).rglob("*.py"))
ENGINES = {
    "rocksdict": "metadata/store.py",
    "psycopg": "journal_pg/",
    "obstore": "ufs/",
    "opendal": "ufs/",
    "fsspec": "fsspec_client/",
    "aiohttp": ("httpd/", "ufs/http_engine.py"),
    "crc32c": "checksum.py",
}
RUN_MODULES = ("run.py", "server.py", "main.py")


def name_of(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_sizes(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 600, "a module is about 400 lines and never over 600"
    for node in ast.walk(ast.parse(text)):
        length = (getattr(node, "end_lineno", 0) or 0) - getattr(node, "lineno", 0) + 1
        if isinstance(node, ast.ClassDef):
            assert length <= 300, f"class {node.name} has {length} lines, at most 300"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert length <= 60, f"function {node.name} has {length} lines, at most 60"


@pytest.mark.parametrize("path", MODULES + TESTS, ids=lambda p: p.name)
def test_header_and_names(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# SPDX-License-Identifier: Apache-2.0\n")
    assert path.stem not in {"utils", "util", "common", "helpers", "misc"}
    if path.name != "__init__.py":
        assert ast.get_docstring(ast.parse(text)), "a module says what it is"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_left_undone(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        assert not re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", line), f"line {number}"
        match = re.search(r"#\s*(noqa|type: ignore|pragma: no cover)(.*)", line)
        if match:
            assert re.search(r"#.*#\s*\S+", line), f"line {number}: {match[1]} needs its reason"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_one_importer_per_engine(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            engine = name.split(".")[0]
            if engine in ENGINES:
                assert name_of(path).startswith(ENGINES[engine]), f"{engine} belongs elsewhere"
