# SPDX-License-Identifier: Apache-2.0
"""Sums over subtrees stay what a walk gives, whatever happens between and during their walks."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from curvine.clock import ManualClock
from curvine.errors import CurvineError, NotFound
from curvine.metadata import Namespace
from curvine.metadata.values import Limits
from curvine.model.inode import ContentSummary, CreateOpts, MkdirOpts, OpenFlag, SetAttr

FLAGS = int(OpenFlag.WRONLY | OpenFlag.CREAT)
DIRECTORIES = ("/a", "/a/b", "/a/b/c", "/d", "/d/e")


def walked(namespace: Namespace, path: str) -> ContentSummary:
    """The reference: a walk, each inode once at its main name."""
    files = directories = size = cached = 0
    for where, inode in namespace.walk(path):
        if inode.is_dir:
            directories += 1
        elif where == namespace.path_of(inode.id):
            files += 1
            size += inode.len
            cached += inode.block_bytes
    return ContentSummary(files, directories, size, cached, cached)


def change(namespace: Namespace, rng: random.Random) -> None:
    """Something at random; what cannot be is refused."""
    place, other = rng.choice(DIRECTORIES), rng.choice(DIRECTORIES)
    name, new = f"{place}/f{rng.randrange(40):02}", f"{other}/f{rng.randrange(40):02}"
    opts = CreateOpts(client_name="c", sync_ufs_meta=True, ufs_len=rng.randrange(1000))
    match rng.randrange(9):
        case 0 | 1 | 2:
            namespace.create(name, opts, FLAGS | int(rng.choice((0, OpenFlag.TRUNC))))
        case 3:
            namespace.delete(name)
        case 4:
            namespace.rename(name, new, rng.choice((0, 2)))
        case 5:
            namespace.link(name, new)
        case 6:
            namespace.rename(place, f"{other}/{rng.choice('bcex')}")
        case 7:
            if rng.random() < 0.3:
                namespace.delete(place, recursive=True)
        case _:
            namespace.mkdir(place, MkdirOpts(create_parent=True))


@pytest.mark.parametrize("seed", range(12))
def test_sums_equal_a_walk_at_any_time(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few names a step and few inodes at once, so that walks and deletions are met half way."""
    monkeypatch.setattr("curvine.metadata.tally.CHUNK", 3)
    monkeypatch.setattr("curvine.metadata.summaries.CHUNK", 3)
    rng = random.Random(seed)
    namespace = Namespace(
        str(tmp_path / "ns"), clock=ManualClock(), limits=Limits(delete_at_once=4)
    )
    try:
        compared = 0
        for _ in range(600):
            try:
                change(namespace, rng)
            except CurvineError:
                pass
            path = rng.choice(("/", "/a", "/a/b", "/d"))
            try:
                summary = namespace.content_summary_so_far(path)
                if rng.random() < 0.3:
                    summary = namespace.content_summary(path)
            except NotFound:
                continue
            if summary.is_complete:
                compared += 1
                assert summary == walked(namespace, path), path
        assert compared > 100
    finally:
        namespace.close()


def test_a_sum_is_kept_up_without_walking_again(tmp_path: Path) -> None:
    """Once made, a sum follows changes of length and costs one look."""
    namespace = Namespace(str(tmp_path / "ns"), clock=ManualClock())
    try:
        namespace.mkdir("/a/b", MkdirOpts(create_parent=True))
        for number in range(500):
            opts = CreateOpts(client_name="c", sync_ufs_meta=True, ufs_len=10)
            namespace.create(f"/a/b/{number}", opts, FLAGS)
        assert not namespace.content_summary_so_far("/a").is_complete
        assert namespace.content_summary("/a") == ContentSummary(500, 2, 5000)
        namespace.delete("/a/b/7")
        namespace.set_attr("/a/b/8", SetAttr(mode=0o600))
        assert namespace.content_summary_so_far("/a") == ContentSummary(499, 2, 4990)
        assert namespace.content_summary_so_far("/a/b/8") == ContentSummary(1, 0, 10)
        with pytest.raises(NotFound):
            namespace.content_summary("/nowhere")
    finally:
        namespace.close()
