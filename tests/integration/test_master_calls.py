# SPDX-License-Identifier: Apache-2.0
"""Every RPC of the master, over a socket, against a real process without workers of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine import ANNOUNCED_VERSION, errors
from curvine.master.dispatch import StreamRow
from curvine.master.table import ROWS
from curvine.model.inode import SetAttr
from curvine.model.lock import FileLock, LockType
from curvine.model.mount import MountOptions, WriteType
from curvine.testing.cluster import MiniCluster
from curvine.wire.codes import CAP_SYNC, CAP_WATCH, OPEN, SEQ_NONE, RpcCode
from curvine.wire.convert import fill_lock, fill_set_attr
from curvine.wire.convert_cluster import fill_mount_options
from curvine.wire.frame import encode
from curvine.wire.pb import common_pb2, ext_pb2, master_pb2, mount_pb2, replication_pb2
from master_wire import WireClient, add_block_request, create_request, new_id, opened

MIB = 1 << 20
BLOCK = 4 * MIB

# What the real master handles (specification section 3); what only ours answers; 100 to 127 are
# ours.
HANDLED = {2, 3, 4, 5, 7, 8, *range(9, 22), *range(23, 32), 33, 34, 35, 36, 37, 38, 40, 41, 43, 60}
BEYOND = {RpcCode.REQUEST_REPLACEMENT_WORKER, RpcCode.REPORT_UNDER_REPLICATED_BLOCKS}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("calls"), workers=0) as running:
        yield running


@pytest.fixture
def client(cluster: MiniCluster) -> Iterator[WireClient]:
    with WireClient(cluster.master_address) as connected:
        yield connected


@pytest.fixture
def base(client: WireClient) -> str:
    """A fresh directory."""
    path = f"/{uuid.uuid4().hex}"
    client.mkdir(path)
    return path


@pytest.fixture
def worker(client: WireClient) -> Iterator[int]:
    """A worker that only beats."""
    client.heartbeat(77)
    yield 77
    client.heartbeat(77, 2)


def write(client: WireClient, path: str, worker: int, sizes: list[int]) -> list[int]:
    """Create a file of blocks of these sizes; their ids."""
    client.create(path, block_size=BLOCK)
    ids: list[int] = []
    length = 0
    for index, size in enumerate(sizes):
        commit = {"size": sizes[index - 1], "worker_id": worker} if index else {}
        ids.append(client.add_block(path, length, ids[-1] if ids else None, **commit).block.id)
        length += size
    client.complete(path, length, {ids[-1]: (sizes[-1], worker)})
    return ids


def test_the_table_has_every_code_once() -> None:
    codes = [int(row.code) for row in ROWS]
    assert len(codes) == len(set(codes))
    assert {code for code in codes if code < 100} == HANDLED | BEYOND
    assert {RpcCode.WATCH, RpcCode.SYNC_METADATA, RpcCode.CONTENT_SUMMARY} <= set(codes)


def test_every_row_refuses_garbage_and_lives(client: WireClient) -> None:
    for row in ROWS:
        garbage = b"\x0a\xff"  # a field longer than the message
        client.send(row.code, garbage, status=OPEN if isinstance(row, StreamRow) else 0xF1)
        with pytest.raises(errors.Common):
            opened(client.receive(), row.reply)
    assert client.status("/").id == 1000


def test_every_row_survives_an_empty_request(client: WireClient) -> None:
    for row in ROWS:
        if isinstance(row, StreamRow):
            continue
        try:
            client.call(row.code, b"", row.reply)
        except errors.CurvineError as error:
            assert error.message, row


@pytest.mark.parametrize("field", ["path", "client_name", "owner", "x_attr"])
def test_text_that_is_not_utf8_is_refused(client: WireClient, base: str, field: str) -> None:
    """Stored, it would make the record unreadable."""
    marked = {"client_name": "MARK", "owner": "MARK", "x_attr": {"MARK": b"v"}}
    options = {field: marked[field]} if field in marked else {}
    path = f"{base}/MARK" if field == "path" else f"{base}/f"
    raw = create_request(path, **options).SerializeToString().replace(b"MARK", b"MA\xffK")
    with pytest.raises(errors.Common):
        client.call(RpcCode.CREATE_FILE, raw, master_pb2.CreateFileResponse)
    mount = mount_pb2.MountRequest(cv_path="/MARK", ufs_path="file:///x")
    fill_mount_options(mount.mount_options, MountOptions(add_properties={"k": "MARK"}))
    raw = mount.SerializeToString().replace(b"MARK", b"MA\xffK")
    with pytest.raises(errors.Common, match=r"UTF-8|utf-8"):
        client.call(RpcCode.MOUNT, raw, mount_pb2.MountResponse)
    assert client.names(base) == []
    client.create(f"{base}/\u00fc\uf7ff", owner="\u00e9")
    assert client.names(base) == ["\u00fc\uf7ff"]


def test_unknown_codes_are_common(client: WireClient, cluster: MiniCluster) -> None:
    for code in (0, 6, 22, 32, 54, 81, 99, 127):
        with pytest.raises(errors.Common, match="Unsupported operation"):
            client.call(code, b"", master_pb2.ExistsResponse)
    assert client.status("/").id == 1000
    assert cluster.master.output().count("(code 99)") == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 64,
        encode(7, 0xF1, 1, SEQ_NONE)[:10],
        b"\x7f\xff\xff\xff" + b"\x00" * 18,
        b"\x00" * 22,
        encode(7, 0xFF, 1, SEQ_NONE),
        b"GET / HTTP/1.1\r\nHost: master\r\n\r\n",
    ],
    ids=["ones", "half", "2GiB", "zeros", "empty message", "http"],
)
def test_bad_frames_end_their_connection_only(cluster: MiniCluster, data: bytes) -> None:
    with WireClient(cluster.master_address) as good:
        bad = WireClient(cluster.master_address, timeout=5)
        bad.send_bytes(data)
        if len(data) > 10:
            with pytest.raises(ConnectionError):
                bad.receive()
        bad.close()
        assert good.status("/").id == 1000


def test_names(client: WireClient, base: str) -> None:
    client.mkdir(f"{base}/a/b", create_parent=True, mode=0o700, owner="u", group="g")
    status = client.status(f"{base}/a/b")
    assert (status.is_dir, status.mode, status.owner, status.group) == (True, 0o700, "u", "g")
    with pytest.raises(errors.AlreadyExists):
        client.mkdir(f"{base}/a")
    with pytest.raises(errors.Common, match="Parent"):
        client.create(f"{base}/x/y")
    created = client.create(f"{base}/f", mode=0o640)
    assert created.path == f"{base}/f"
    assert created.name == "f"
    assert not created.is_complete
    assert client.names(base) == ["a", "f"]
    assert client.rename(f"{base}/f", f"{base}/a/g")
    assert not client.rename(f"{base}/a/g", f"{base}/a/g")
    with pytest.raises(errors.NotFound):
        client.status(f"{base}/f")
    with pytest.raises(errors.DirectoryNotEmpty):
        client.delete(f"{base}/a")
    assert client.delete(f"{base}/a", recursive=True) == 1
    exists = client.call(
        RpcCode.EXISTS, master_pb2.ExistsRequest(path=f"{base}/a"), master_pb2.ExistsResponse
    )
    assert not exists.exists


def test_paging_and_links(client: WireClient, base: str) -> None:
    for name in ("c", "a", "b"):
        client.create(f"{base}/{name}")
    request = master_pb2.ListOptionsRequest(path=base)
    request.options.limit = 2
    request.options.start_after = "a"
    page = client.call(RpcCode.LIST_OPTIONS, request, master_pb2.ListOptionsResponse)
    assert [status.name for status in page.statuses] == ["b", "c"]
    assert page.statuses[0].path == f"{base}/b"
    client.call(
        RpcCode.SYMLINK,
        master_pb2.SymlinkRequest(target="../x", link=f"{base}/l", force=False, mode=0o777),
        master_pb2.SymlinkResponse,
    )
    status = client.status(f"{base}/l")
    assert (status.file_type, status.target) == (common_pb2.FILE_TYPE_PROTO_LINK, "../x")
    client.call(
        RpcCode.LINK,
        master_pb2.LinkRequest(src_path=f"{base}/a", dst_path=f"{base}/h"),
        master_pb2.LinkResponse,
    )
    assert client.status(f"{base}/h").id == client.status(f"{base}/a").id
    assert client.status(f"{base}/h").nlink == 2


def test_set_attr(client: WireClient, base: str) -> None:
    client.create(f"{base}/f")
    request = master_pb2.SetAttrRequest(path=f"{base}/f")
    opts = SetAttr(mode=0o600, owner="me", mtime=5, add_x_attr={"user.k": b"\0v"}, ttl_ms=9)
    fill_set_attr(request.opts, opts)
    reply = client.call(RpcCode.SET_ATTR, request, master_pb2.SetAttrResponse)
    assert reply.status == client.status(f"{base}/f")
    assert (reply.status.mode, reply.status.owner, reply.status.mtime) == (0o600, "me", 5)
    assert reply.status.x_attr["user.k"] == b"\0v"
    assert reply.status.ctime > 5


def test_replays_are_answered_once_executed(client: WireClient, base: str) -> None:
    req_id = new_id()
    first = client.create(f"{base}/f", req_id=req_id)
    assert client.create(f"{base}/f", req_id=req_id).id == first.id
    with pytest.raises(errors.AlreadyExists):
        client.create(f"{base}/f")
    req_id = new_id()
    assert client.rename(f"{base}/f", f"{base}/g", req_id=req_id)
    assert client.rename(f"{base}/f", f"{base}/g", req_id=req_id)
    req_id = new_id()
    assert client.delete(f"{base}/g", req_id=req_id) == 1
    client.create(f"{base}/g")
    assert client.delete(f"{base}/g", req_id=req_id) == 0
    assert client.names(base) == ["g"]


def test_no_worker_no_block(client: WireClient, base: str) -> None:
    client.create(f"{base}/f")
    with pytest.raises(errors.Common, match="No available worker"):
        client.add_block(f"{base}/f")


def test_life_of_a_block(client: WireClient, base: str, worker: int) -> None:
    path = f"{base}/f"
    inode = client.create(path, block_size=BLOCK).id
    first = client.add_block(path)
    assert first.block.id == inode << 24
    assert [(loc.worker_id, loc.rpc_port) for loc in first.locs] == [(worker, 1)]
    assert first.HasField("has_spdk")
    again = client.add_block(path)
    assert again == first, "a retry names the block and the workers chosen for it"
    assert client.locations(path).block_locs[0].locs == [], "readers see no uncommitted replica"
    second = client.add_block(path, BLOCK, first.block.id, size=BLOCK, worker_id=worker)
    assert second.block.id == first.block.id + 1
    flushed = client.complete(path, BLOCK + 5, {second.block.id: (5, worker)}, only_flush=True)
    blocks = flushed.file_blocks
    assert [block.block.block_size for block in blocks.block_locs] == [BLOCK, 5]
    assert not blocks.status.is_complete
    assert not client.complete(path, BLOCK + 5, {}).HasField("file_blocks")
    blocks = client.locations(path)
    assert blocks.status.is_complete
    assert blocks.status.len == BLOCK + 5
    assert [[loc.worker_id for loc in block.locs] for block in blocks.block_locs] == [[77], [77]]
    request = master_pb2.OpenFileRequest(path=path, flags=0)
    request.opts.CopyFrom(create_request(path).opts)
    reply = client.call(RpcCode.OPEN_FILE, request, master_pb2.OpenFileResponse)
    assert reply.file_blocks == blocks
    request.flags = 0x2
    reply = client.call(RpcCode.OPEN_FILE, request, master_pb2.OpenFileResponse)
    assert not reply.file_blocks.status.is_complete
    assert len(reply.file_blocks.block_locs) == 2


def test_a_lost_only_replica_is_an_error(client: WireClient, base: str) -> None:
    client.heartbeat(88)
    write(client, f"{base}/f", 88, [3])
    client.heartbeat(88, 2)
    with pytest.raises(errors.Common, match="all replicas has been lost"):
        client.locations(f"{base}/f")
    client.heartbeat(88)
    assert client.locations(f"{base}/f").block_locs[0].locs[0].worker_id == 88
    client.heartbeat(88, 2)


def test_deletions_are_commanded_until_confirmed(
    client: WireClient, base: str, worker: int
) -> None:
    ids = write(client, f"{base}/f", worker, [BLOCK, 1])
    assert client.heartbeat(worker) == []
    client.delete(f"{base}/f")
    assert client.heartbeat(worker) == ids
    assert client.heartbeat(worker) == ids
    client.report(worker, {ids[0]: 3})
    assert client.heartbeat(worker) == ids[1:]
    client.report(worker, {ids[1]: 3})
    assert client.heartbeat(worker) == []


def test_full_report_corrects_locations(client: WireClient, base: str) -> None:
    client.heartbeat(90)
    kept, gone = (write(client, f"{base}/{name}", 90, [1])[0] for name in ("kept", "gone"))
    client.heartbeat(90, 0)
    orphan = 1 << 50
    assert client.report(90, {kept: 1}, total=2) == []
    assert client.report(90, {orphan: 1}, total=2) == [orphan]
    client.heartbeat(90)
    assert client.locations(f"{base}/kept").block_locs[0].locs[0].worker_id == 90
    for _ in range(100):
        if not client.locations(f"{base}/gone").block_locs[0].locs:
            break
    assert client.locations(f"{base}/gone").block_locs[0].block.id == gone
    assert not client.locations(f"{base}/gone").block_locs[0].locs
    client.heartbeat(90, 2)


def test_a_commit_just_before_the_report_stays(client: WireClient, base: str) -> None:
    """A worker that lost the master for a moment beats, takes stock and reports; meanwhile a block
    is published and committed."""
    client.heartbeat(91)
    (old,) = write(client, f"{base}/old", 91, [1])
    client.heartbeat(91)
    write(client, f"{base}/new", 91, [1])
    client.report(91, {old: 1}, total=1)
    client.status("/")
    assert client.locations(f"{base}/new").block_locs[0].locs
    client.heartbeat(91, 2)


def test_foreign_worker_is_refused(client: WireClient) -> None:
    with pytest.raises(errors.Common, match="elsewhere"):
        client.heartbeat(5, cluster_id="elsewhere")


def test_resize_and_assign(client: WireClient, base: str, worker: int) -> None:
    path = f"{base}/sparse"
    client.create(path, block_size=BLOCK)
    request = master_pb2.FileResizeRequest(path=path)
    request.opts.CopyFrom(
        common_pb2.FileAllocOptsProto(truncate=True, off=0, len=BLOCK + 9, mode=0)
    )
    blocks = client.call(RpcCode.RESIZE_FILE, request, master_pb2.FileResizeResponse).file_blocks
    assert blocks.status.len == BLOCK + 9
    hole = blocks.block_locs[1]
    assert hole.block.alloc_opts.len == 9
    assert not hole.locs
    assign = master_pb2.AssignWorkerRequest(path=path, block=hole.block)
    assign.client_address.CopyFrom(add_block_request(path).client_address)
    reply = client.call(RpcCode.ASSIGN_WORKER, assign, master_pb2.AssignWorkerResponse)
    assert [loc.worker_id for loc in reply.block.locs] == [worker]
    assert reply.block.block.id == hole.block.id


def test_batches(client: WireClient, base: str, worker: int) -> None:
    paths = [f"{base}/f{index}" for index in range(3)]
    create = master_pb2.CreateFilesBatchRequest(requests=[create_request(path) for path in paths])
    req_id = new_id()
    code = RpcCode.CREATE_FILES_BATCH
    made = client.call(code, create, master_pb2.CreateFilesBatchResponse, req_id)
    assert client.call(code, create, master_pb2.CreateFilesBatchResponse, req_id) == made
    add = master_pb2.AddBlocksBatchRequest(requests=[add_block_request(path) for path in paths])
    blocks = client.call(RpcCode.ADD_BLOCKS_BATCH, add, master_pb2.AddBlocksBatchResponse).blocks
    assert [block.block.id >> 24 for block in blocks] == [row.id for row in made.file_statuses]
    complete = master_pb2.CompleteFilesBatchRequest()
    for path in (*paths, f"{base}/missing"):
        complete.requests.add(path=path, len=0, client_name="test", only_flush=False)
    code = RpcCode.COMPLETE_FILES_BATCH
    results = client.call(code, complete, master_pb2.CompleteFilesBatchResponse).results
    assert list(results) == [True, True, True, False]


def test_locks(client: WireClient, base: str) -> None:
    client.create(f"{base}/f")

    def set_lock(owner: int, kind: LockType) -> master_pb2.SetLockResponse:
        request = master_pb2.SetLockRequest(path=f"{base}/f")
        fill_lock(request.lock, FileLock("c", owner, 1, 0, kind, start=0, end=9))
        return client.call(RpcCode.SET_LOCK, request, master_pb2.SetLockResponse)

    assert not set_lock(1, LockType.WRITE).HasField("conflict")
    assert set_lock(2, LockType.READ).conflict.owner_id == 1
    request = master_pb2.GetLockRequest(path=f"{base}/f")
    fill_lock(request.lock, FileLock("c", 2, 1, 0, LockType.READ))
    conflict = client.call(RpcCode.GET_LOCK, request, master_pb2.GetLockResponse).conflict
    assert (conflict.owner_id, conflict.end) == (1, 9)
    assert conflict.acquire_time > 0
    set_lock(1, LockType.UNLOCK)
    assert not set_lock(2, LockType.READ).HasField("conflict")


def test_mounts(client: WireClient, base: str, tmp_path: Path) -> None:
    uri = tmp_path.as_uri()
    request = mount_pb2.MountRequest(cv_path=f"{base}/m", ufs_path=uri)
    fill_mount_options(request.mount_options, MountOptions(write_type=WriteType.CACHE_MODE))
    client.call(RpcCode.MOUNT, request, mount_pb2.MountResponse)
    table = client.call(RpcCode.GET_MOUNT_TABLE, b"", mount_pb2.GetMountTableResponse).mount_table
    row = next(row for row in table if row.cv_path == f"{base}/m")
    assert row.ttl_action == common_pb2.TTL_ACTION_PROTO_DELETE
    for path in (f"{base}/m/x/y", f"{uri}/x"):
        found = client.call(
            RpcCode.GET_MOUNT_INFO,
            mount_pb2.GetMountInfoRequest(path=path),
            mount_pb2.GetMountInfoResponse,
        )
        assert found.mount_info == row
    none = client.call(
        RpcCode.GET_MOUNT_INFO,
        mount_pb2.GetMountInfoRequest(path=base),
        mount_pb2.GetMountInfoResponse,
    )
    assert not none.HasField("mount_info")
    with pytest.raises(errors.Common):
        client.call(RpcCode.MOUNT, request, mount_pb2.MountResponse)
    with pytest.raises(errors.Common):
        client.delete(f"{base}/m", recursive=True)
    fill_mount_options(request.mount_options, MountOptions(update=True, ttl_ms=77))
    client.call(RpcCode.MOUNT, request, mount_pb2.MountResponse)
    table = client.call(RpcCode.GET_MOUNT_TABLE, b"", mount_pb2.GetMountTableResponse).mount_table
    assert next(row for row in table if row.cv_path == f"{base}/m").ttl_ms == 77
    unmount = mount_pb2.UnMountRequest(cv_path=f"{base}/m")
    client.call(RpcCode.UN_MOUNT, unmount, mount_pb2.UnMountResponse)
    with pytest.raises(errors.Common):
        client.call(RpcCode.UN_MOUNT, unmount, mount_pb2.UnMountResponse)


def test_free_drops_the_copy(client: WireClient, base: str, worker: int) -> None:
    ids = write(client, f"{base}/f", worker, [7])
    change = master_pb2.SetAttrRequest(path=f"{base}/f")
    fill_set_attr(change.opts, SetAttr(ttl_action=2, ttl_ms=10**9, ufs_mtime=123))
    client.call(RpcCode.SET_ATTR, change, master_pb2.SetAttrResponse)
    request = master_pb2.FreeRequest(path=f"{base}/f", recursive=False)
    result = client.call(RpcCode.FREE, request, master_pb2.FreeResponse).res
    assert (result.inodes, result.bytes) == (1, 7)
    status = client.status(f"{base}/f")
    assert (status.len, status.storage_policy.state) == (7, common_pb2.STORAGE_STATE_PROTO_UFS)
    assert client.heartbeat(worker) == ids
    client.report(worker, dict.fromkeys(ids, 3))


def test_filesystem_info(client: WireClient, worker: int, cluster: MiniCluster) -> None:
    info = client.info()
    assert info.active_master == f"127.0.0.1:{cluster.master_port}"
    assert [row.address.worker_id for row in info.live_workers] == [worker]
    assert info.capacity == info.allocatable_capacity == 1 << 41
    server = info.compatibility.server
    assert (server.component, server.release_version) == ("master", ANNOUNCED_VERSION)
    assert {CAP_WATCH, CAP_SYNC} <= set(server.capabilities)
    assert info.journal_nodes


def test_metadata_pages(client: WireClient, base: str) -> None:
    epoch = client.call(
        RpcCode.SYNC_METADATA, b"", ext_pb2.SyncMetadataResponse
    ).epoch  # also: everything so far is durable
    client.create(f"{base}/f")
    request = master_pb2.GetCvMetadataSnapshotPageRequest(page_size=2)
    seen: list[str] = []
    while True:
        page = client.call(
            RpcCode.GET_CV_METADATA_SNAPSHOT_PAGE,
            request,
            master_pb2.GetCvMetadataSnapshotPageResponse,
        )
        seen += [entry.status.path for entry in page.entries]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert f"{base}/f" in seen
    assert len(seen) == len(set(seen))
    delta = client.call(
        RpcCode.GET_CV_METADATA_DELTA_PAGE,
        master_pb2.GetCvMetadataDeltaPageRequest(from_epoch=epoch),
        master_pb2.GetCvMetadataDeltaPageResponse,
    )
    assert f"{base}/f" in [entry.path for entry in delta.entries]
    assert delta.to_epoch == page.epoch


def test_small_answers(client: WireClient) -> None:
    report = master_pb2.MetricsReportRequest(instance="i", source="")
    report.metrics.add(metric_type=2, name="n", value=1.5, tags={"a": "b"})
    client.call(RpcCode.METRICS_REPORT, report, master_pb2.MetricsReportResponse)
    result = client.call(
        RpcCode.REPORT_BLOCK_REPLICATION_RESULT,
        replication_pb2.ReportBlockReplicationRequest(block_id=1, storage_type=1, success=True),
        replication_pb2.ReportBlockReplicationResponse,
    )
    assert result.success


def test_pipelined_requests_are_all_answered(client: WireClient, base: str) -> None:
    sent = {}
    for index in range(500):
        sent[client.send(RpcCode.CREATE_FILE, create_request(f"{base}/{index:03d}"))] = index
    for _ in range(500):
        frame = client.receive()
        reply = opened(frame, master_pb2.CreateFileResponse)
        assert reply.file_status.name == f"{sent.pop(frame.req_id):03d}"
    assert not sent
    assert len(client.names(base)) == 500


def test_watch_pushes_changes(cluster: MiniCluster, client: WireClient, base: str) -> None:
    client.mkdir(f"{base}/in")
    with WireClient(cluster.master_address) as watcher:
        request = ext_pb2.WatchRequest(prefixes=[f"{base}/in"])
        req_id = watcher.send(RpcCode.WATCH, request, status=OPEN)
        answer = opened(watcher.receive(), ext_pb2.WatchOpenResponse)
        assert not answer.reset
        client.create(f"{base}/out")
        client.create(f"{base}/in/f")
        frame = watcher.receive()
        assert frame.req_id == req_id
        events = opened(frame, ext_pb2.WatchEventsProto)
        assert (f"{base}/in/f", ext_pb2.WATCH_KIND_PROTO_ENTRY) in [
            (event.path, event.kind) for event in events.events
        ]
        assert all(event.path != f"{base}/out" for event in events.events)
        client.rename(base, f"{base}moved")
        moved = opened(watcher.receive(), ext_pb2.WatchEventsProto)
        assert base in [event.path for event in moved.events]
    with WireClient(cluster.master_address) as late:
        late.send(RpcCode.WATCH, ext_pb2.WatchRequest(epoch=answer.epoch), status=OPEN)
        assert not opened(late.receive(), ext_pb2.WatchOpenResponse).reset
        missed = opened(late.receive(), ext_pb2.WatchEventsProto)
        assert f"{base}/out" in [event.path for event in missed.events]
        late.send(RpcCode.WATCH, b"")
        with pytest.raises(errors.Common, match="Open frame"):
            opened(late.receive(), ext_pb2.WatchOpenResponse)
    with WireClient(cluster.master_address) as stranger:
        stranger.send(RpcCode.WATCH, ext_pb2.WatchRequest(epoch=1 << 60), status=OPEN)
        assert opened(stranger.receive(), ext_pb2.WatchOpenResponse).reset


def test_complete_with_sync(client: WireClient, base: str, worker: int) -> None:
    client.create(f"{base}/f")
    block = client.add_block(f"{base}/f").block.id
    client.complete(f"{base}/f", 4, {block: (4, worker)}, sync=True)
    assert client.status(f"{base}/f").is_complete


def test_content_summary(client: WireClient, base: str, worker: int) -> None:
    """Sums of a subtree, right away and after changes; kind 8 for what is not there."""
    write(client, f"{base}/a", worker, [BLOCK, 10])
    client.mkdir(f"{base}/d")
    client.create(f"{base}/d/empty")

    def ask(path: str) -> ext_pb2.ContentSummaryResponse:
        request = ext_pb2.ContentSummaryRequest(path=path)
        return client.call(RpcCode.CONTENT_SUMMARY, request, ext_pb2.ContentSummaryResponse)

    size = BLOCK + 10
    assert ask(base) == ext_pb2.ContentSummaryResponse(
        files=2, directories=2, bytes=size, cached_bytes=size, space_bytes=size, complete=True
    )
    write(client, f"{base}/d/b", worker, [7])
    assert ask(base).bytes == size + 7
    assert (ask(f"{base}/a").files, ask(f"{base}/a").directories) == (1, 0)
    with pytest.raises(errors.NotFound):
        ask(f"{base}/nowhere")


def test_deleting_a_large_tree_tells_what_it_released(
    client: WireClient, cluster: MiniCluster, base: str, worker: int
) -> None:
    """More than is deleted in one batch; a file with a name elsewhere stays. A replay while the
    first call is at work gives the same counts, one afterwards none."""
    for number in range(3):
        client.mkdir(f"{base}/tree/d{number}", create_parent=True)
        for file in range(100):
            client.create(f"{base}/tree/d{number}/{file:03}")
    write(client, f"{base}/tree/d1/data", worker, [BLOCK, 10])
    link = master_pb2.LinkRequest(src_path=f"{base}/tree/d0/007", dst_path=f"{base}/kept")
    client.call(RpcCode.LINK, link, master_pb2.LinkResponse)
    request = master_pb2.DeleteRequest(path=f"{base}/tree", recursive=True)
    req_id = new_id()
    with WireClient(cluster.master_address) as second:
        client.send(RpcCode.DELETE, request, req_id)
        again = second.call(RpcCode.DELETE, request, master_pb2.DeleteResponse, req_id)
        first = opened(client.receive(), master_pb2.DeleteResponse)
    assert (first.res.inodes, first.res.bytes) == (300, BLOCK + 10)
    assert again.res.inodes in {0, 300}
    assert client.names(base) == ["kept"]
    late = client.call(RpcCode.DELETE, request, master_pb2.DeleteResponse, req_id)
    assert late.res.inodes == 0
