# SPDX-License-Identifier: Apache-2.0
"""Answers made from records say what answers made from statuses say, byte order aside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from curvine.master.status_bytes import status_field
from curvine.metadata.records import RECORD_VERSION, Inode, status_of
from curvine.model.inode import FileType, StorageState, StorageType, TtlAction
from curvine.wire.convert import fill_status
from curvine.wire.pb import master_pb2

NUMBERS = st.integers(0, 2**62)
NAMES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="/"), min_size=1)
INODES = st.builds(
    Inode,
    v=st.just(RECORD_VERSION),
    id=NUMBERS,
    kind=st.sampled_from(list(FileType)),
    parent=NUMBERS,
    name=NAMES,
    mode=st.integers(0, 0o7777),
    owner=st.sampled_from(["", "a", "root"]),
    group=st.sampled_from(["", "g"]),
    mtime=NUMBERS,
    atime=NUMBERS,
    ctime=st.sampled_from([0, 5, 2**60]),
    nlink=st.integers(1, 3),
    len=st.integers(0, 2**50),
    storage_type=st.sampled_from(list(StorageType)),
    ttl_ms=st.sampled_from([0, 7]),
    ttl_action=st.sampled_from(list(TtlAction)),
    ufs_mtime=st.sampled_from([0, 9]),
    state=st.sampled_from(list(StorageState)),
    replicas=st.integers(0, 3),
    block_size=st.sampled_from([0, 1 << 20]),
    writers=st.sampled_from([(), ("w",)]),
    target=st.sampled_from([None, "", "x"]),
    xattrs=st.sampled_from([None, {"user.k": b"v"}]),
)


@given(inode=INODES, names=st.lists(NAMES, min_size=1, max_size=3), long=st.integers(0, 3))
def test_the_same_as_from_a_status(inode: Inode, names: list[str], long: int) -> None:
    path = "/" + "d" * (long**8) + "/" + "/".join(names)  # up to three bytes of length
    whole = master_pb2.GetFileStatusResponse()
    fill_status(whole.status, status_of(inode, path))
    made = status_field(inode, path)
    assert master_pb2.GetFileStatusResponse.FromString(made) == whole
    assert len(made) == len(whole.SerializeToString()), "each field once"
    rows = master_pb2.ListStatusResponse.FromString(made * 3).statuses
    assert list(rows) == [whole.status] * 3
