# SPDX-License-Identifier: Apache-2.0
"""Kept answers to stat: never an old one, whatever changed the file or the way to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curvine.errors import NotFound
from curvine.master.stat_replies import StatReplies
from curvine.metadata import Namespace
from curvine.model.inode import CreateOpts, MkdirOpts, RenameFlag, SetAttr
from curvine.wire.pb import master_pb2

CREATE = 0x41


def stat(replies: StatReplies, ns: Namespace, path: str) -> tuple[int, int, int]:
    answer = master_pb2.GetFileStatusResponse.FromString(replies.answer(ns, path)).status
    status = ns.status(path)
    assert (answer.id, answer.path, answer.mode, answer.nlink, answer.len, answer.children_num) == (
        status.id, status.path, status.mode, status.nlink, status.len, status.children_num,
    )  # fmt: skip
    return answer.id, answer.mode, answer.nlink


CHANGES: list[tuple[str, Callable[[Namespace], object]]] = [
    ("mode", lambda ns: ns.set_attr("/d/f", SetAttr(mode=0o600))),
    ("link", lambda ns: ns.link("/d/f", "/d/l")),
    ("writer", lambda ns: ns.open_write("/d/f", CreateOpts("w"), 0x1)),
    ("exchange", lambda ns: ns.rename("/d/f", "/d/g", RenameFlag.EXCHANGE)),
    ("replaced", lambda ns: ns.rename("/d/g", "/d/f")),
    ("directory", lambda ns: (ns.rename("/d", "/e"), ns.rename("/other", "/d"))),
    ("again", lambda ns: (ns.delete("/d/f"), ns.create("/d/f", CreateOpts(), CREATE))),
    ("other", lambda ns: ns.create("/d/h", CreateOpts(), CREATE)),
    ("recursive", lambda ns: ns.set_attr("/d", SetAttr(recursive=True, mode=0o640))),
]


@pytest.fixture
def ns(tmp_path: Path) -> Namespace:
    ns = Namespace(str(tmp_path))
    for directory in ("/d", "/other"):
        ns.mkdir(directory, MkdirOpts())
        for name in ("f", "g"):
            ns.create(f"{directory}/{name}", CreateOpts(), CREATE)
    return ns


@pytest.mark.parametrize("change", [change for _, change in CHANGES], ids=[n for n, _ in CHANGES])
def test_a_change_is_seen(ns: Namespace, change: Callable[[Namespace], object]) -> None:
    replies = StatReplies()
    paths = ("/", "/d", "/d/f", "/d/g")
    for path in paths:
        stat(replies, ns, path)
        assert replies.answer(ns, path) is replies.answer(ns, path), "kept"
    change(ns)
    for path in paths:
        if ns.exists(path):
            stat(replies, ns, path)
        else:
            with pytest.raises(NotFound):
                replies.answer(ns, path)
    ns.close()


def test_what_is_gone_is_gone(ns: Namespace) -> None:
    replies = StatReplies()
    stat(replies, ns, "/d/f")
    ns.delete("/d", recursive=True)
    with pytest.raises(NotFound):
        replies.answer(ns, "/d/f")
    ns.close()


def test_it_forgets(ns: Namespace) -> None:
    replies = StatReplies(limit=4)
    for number in range(50):
        ns.create(f"/d/{number}", CreateOpts(), CREATE)
        stat(replies, ns, f"/d/{number}")
    assert len(replies._answers) <= 9
    ns.close()
