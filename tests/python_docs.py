# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/python.md, for the tests that run them."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def examples(kind: str) -> list[str]:
    """The blocks fenced as ``kind`` ("python", "python clients"), in their order."""
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def run(kind: str) -> int:
    """Run each block by itself; how many there were."""
    blocks = examples(kind)
    for block in blocks:
        exec(compile(block, f"{PAGE.name}: {block.splitlines()[0]}", "exec"), {})
    return len(blocks)
