# SPDX-License-Identifier: Apache-2.0
"""Long operations in steps: bounded pieces, others in between, the same result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine.clock import ManualClock
from curvine.metadata import Limits, Namespace
from curvine.model.inode import CreateOpts, MkdirOpts, SetAttr

CREATE = 0x41
FILES = 450


@pytest.fixture
def ns(tmp_path: Path) -> Iterator[Namespace]:
    ns = Namespace(str(tmp_path), clock=ManualClock(), limits=Limits(delete_at_once=50))
    for directory in ("/d", "/d/below"):
        ns.mkdir(directory, MkdirOpts())
        for number in range(FILES):
            ns.create(f"{directory}/{number:04}", CreateOpts(), CREATE)
    yield ns
    ns.close()


def test_a_recursive_change_lets_others_in(ns: Namespace) -> None:
    steps = ns.set_attr_steps("/d", SetAttr(recursive=True, mode=0o600), req_id=-5)
    next(steps)
    assert ns.status("/d").mode == 0o755, "the path itself comes last"
    ns.delete("/d/0449")
    ns.create("/d/new", CreateOpts(), CREATE)
    ns.rename("/d/below", "/elsewhere")
    count = 1 + sum(1 for _ in steps)
    assert count > 2 * FILES / 101
    assert ns.status("/d").mode == 0o600
    modes = {status.mode for status in ns.list_status("/d") if status.name != "new"}
    assert modes == {0o600}
    assert ns.counts() == (2, 2 * FILES)
    again = ns.set_attr_steps("/d", SetAttr(recursive=True, mode=0o600), req_id=-5)
    with pytest.raises(StopIteration):
        next(again)


def test_a_small_tree_changes_as_one(ns: Namespace) -> None:
    ns.mkdir("/small", MkdirOpts())
    for number in range(20):
        ns.create(f"/small/{number}", CreateOpts(), CREATE)
    before = ns.epoch
    ns.set_attr("/small", SetAttr(recursive=True, mode=0o600))
    assert ns.epoch == before + 1
    assert {status.mode for status in ns.list_status("/small")} == {0o600}


def test_reclaiming_goes_on_where_it_ended(ns: Namespace, tmp_path: Path) -> None:
    ns.delete("/d", recursive=True)
    assert ns.counts()[1] == 2 * FILES
    for _ in range(3):
        assert ns.reclaim_step(100) <= 101
    ns.close()  # what was done is done, the place is forgotten
    again = Namespace(str(tmp_path))
    steps = 0
    while again.reclaim_step(100):
        steps += 1
    assert again.counts() == (0, 0)
    assert not again.is_reclaiming()
    assert steps < 20
    again.mkdir("/d", MkdirOpts())
    again.close()


def test_pages_and_pieces_are_the_same_tree(ns: Namespace) -> None:
    whole = [entry.path for entry in ns.snapshot_page(None, 10_000).entries]
    assert len(whole) == 3 + 2 * FILES
    assert [entry.path for chunk in ns.snapshot_chunks(None, 10_000) for entry in chunk] == whole
    paged: list[str] = []
    token = None
    while True:
        page = ns.snapshot_page(token, 130)
        paged += [entry.path for entry in page.entries]
        token = page.next_token
        if token is None:
            break
    assert paged == whole
    assert [path for path, _ in ns.listing("/d")] == [s.path for s in ns.list_status("/d")]


def test_a_walk_survives_what_happens_meanwhile(ns: Namespace) -> None:
    chunks = ns.snapshot_chunks(None, 10_000)
    seen = [entry.path for entry in next(chunks)]
    ns.delete("/d", recursive=True)
    while ns.reclaim_step():
        pass
    seen += [entry.path for chunk in chunks for entry in chunk]
    assert len(seen) == len(set(seen))
