# SPDX-License-Identifier: Apache-2.0
"""Runs of stats answered at once: the same answers as one by one, and only where that is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curvine.master.metrics import Metrics
from curvine.master.quick_stats import QuickStats
from curvine.metadata import Namespace
from curvine.model.inode import CreateOpts, MkdirOpts, SetAttr
from curvine.wire.codes import OPEN, RPC, RpcCode
from curvine.wire.frame import Frame, FrameDecoder
from curvine.wire.pb import master_pb2


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Any]:
    ns = Namespace(str(tmp_path))
    ns.mkdir("/d", MkdirOpts())
    for name in ("f", "g"):
        ns.create(f"/d/{name}", CreateOpts(), 0x41)
    yield SimpleNamespace(namespace=ns, metrics=Metrics(), is_active=True)
    ns.close()


def stat(path: str, req_id: int = -7, status: int = RPC) -> Frame:
    header = master_pb2.GetFileStatusRequest(path=path).SerializeToString()
    return Frame(RpcCode.FILE_STATUS, status, req_id, -1, header)


def modes(answers: list[bytes]) -> list[tuple[int, str, int]]:
    """(request id, path, mode) of each answer, which all have to be successes."""
    frames = [FrameDecoder().feed(answer)[0] for answer in answers]
    assert all((f.code, f.status, f.seq_id) == (RpcCode.FILE_STATUS, 1, -1) for f in frames)
    rows = [(f.req_id, master_pb2.GetFileStatusResponse.FromString(f.header)) for f in frames]
    return [(req_id, row.status.path, row.status.mode) for req_id, row in rows]


def test_every_answer_is_of_now(services: Any) -> None:
    """Kept answers do not outlive a change of the file, of another one, or of the way to it."""
    quick, ns = QuickStats(services, limit=8), services.namespace
    run = [stat("/d/f", -1), stat("/d/g", -2), stat("/d/f", -3)]
    for mode in (0o600, 0o640, 0o604):
        ns.set_attr("/d/f", SetAttr(mode=mode))
        for _ in range(2):
            expected = [(-1, "/d/f", mode), (-2, "/d/g", 0o644), (-3, "/d/f", mode)]
            assert modes(quick(run)) == expected
    ns.rename("/d", "/e")
    assert quick(run) == []
    ns.mkdir("/d", MkdirOpts())
    ns.create("/d/f", CreateOpts(mode=0o400), 0x41)
    assert modes(quick(run)) == [(-1, "/d/f", 0o400)]
    assert services.metrics.calls[RpcCode.FILE_STATUS].count == 19


@pytest.mark.parametrize(
    "odd",
    [
        stat("/nowhere"),
        stat("d"),
        stat("/d/f", status=OPEN),
        Frame(RpcCode.FILE_STATUS, RPC, -5, -1, b"\x0a\xff"),
        Frame(RpcCode.FILE_STATUS, RPC, -5, -1, b"\x0a\x02/\xff"),
        Frame(RpcCode.DELETE, RPC, -5, -1, stat("/d/f").header),
    ],
)
def test_a_run_ends_before_what_is_not_plain(services: Any, odd: Frame) -> None:
    """What follows waits for its turn: a stat behind a delete sees what that left."""
    quick = QuickStats(services)
    assert [row[1] for row in modes(quick([stat("/d/f"), odd, stat("/d/g")]))] == ["/d/f"]
    assert quick([odd, stat("/d/g")]) == []


def test_a_standby_answers_nothing(services: Any) -> None:
    quick = QuickStats(services)
    assert quick([stat("/d/f")])
    services.is_active = False
    assert quick([stat("/d/f")]) == []
    assert quick([]) == []


def test_it_forgets(services: Any) -> None:
    quick = QuickStats(services, limit=4)
    for number in range(50):
        services.namespace.create(f"/d/{number}", CreateOpts(), 0x41)
        assert quick([stat(f"/d/{number}")])
    assert len(quick._kept) <= 9
