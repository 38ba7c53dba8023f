# SPDX-License-Identifier: Apache-2.0
"""The node table against a plain dictionary, and across the death of its writer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from curvine.errors import Common
from curvine.fuse import noderecords
from curvine.fuse.nodetable import NodeTable

FILE, DIRECTORY = 0o100644, 0o040755
ROOT = noderecords.ROOT


@pytest.fixture
def fd() -> Iterator[int]:
    descriptor = noderecords.create_table(4096)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def table(fd: int) -> Iterator[NodeTable]:
    nodes = NodeTable(fd)
    yield nodes
    nodes.close()


def test_a_new_table_knows_the_root(table: NodeTable) -> None:
    root = table.get(ROOT)
    assert (root.mode, root.lookups, root.parent) == (0o040755, 1, ROOT)
    assert table.components(ROOT) == []
    assert len(table.secret) == 16 and table.secret != bytes(16)


def test_lookup_counts_and_forget(table: NodeTable) -> None:
    node = table.intern(ROOT, b"a", 0, 7, FILE)
    assert table.intern(ROOT, b"a", 0, 7, FILE) == node
    assert table.get(node).lookups == 2
    assert not table.forget(node, 1)
    assert table.forget(node, 1)
    assert node not in table and table.find(ROOT, b"a") == 0 and table.by_inode(0, 7) == 0
    with pytest.raises(Common):
        table.get(node)


def test_a_node_id_used_again_has_another_generation(table: NodeTable) -> None:
    first = table.intern(ROOT, b"a", 0, 7, FILE)
    before = table.generation(first)
    table.forget(first, 1)
    second = table.intern(ROOT, b"b", 0, 8, FILE)
    assert second == first and table.generation(second) == before + 1


def test_a_directory_stays_while_it_has_children(table: NodeTable) -> None:
    directory = table.intern(ROOT, b"d", 0, 2, DIRECTORY)
    child = table.intern(directory, b"f", 0, 3, FILE)
    assert not table.forget(directory, 1) and directory in table
    assert table.components(child) == [b"d", b"f"]
    assert table.forget(child, 1)
    assert directory not in table


@pytest.mark.parametrize("name", [b"x", b"y" * 32, b"z" * 33, b"\xff" * 255], ids=len)
def test_names_of_every_length_come_back(table: NodeTable, name: bytes) -> None:
    node = table.intern(ROOT, name, 1, 9, FILE)
    assert table.get(node).name == name and table.find(ROOT, name) == node
    table.rename(ROOT, name, ROOT, b"short")
    assert table.get(node).name == b"short" and table.find(ROOT, name) == 0
    table.rename(ROOT, b"short", ROOT, name)
    assert table.find(ROOT, name) == node


def test_rename_of_a_directory_moves_what_is_below_it(table: NodeTable) -> None:
    a = table.intern(ROOT, b"a", 0, 2, DIRECTORY)
    b = table.intern(ROOT, b"b", 0, 3, DIRECTORY)
    leaf = table.intern(a, b"leaf", 0, 4, FILE)
    assert table.rename(ROOT, b"a", b, b"c") == a
    assert table.components(leaf) == [b"b", b"c", b"leaf"]


def test_rename_over_an_open_file_leaves_it_nameless(table: NodeTable) -> None:
    old = table.intern(ROOT, b"old", 0, 2, FILE)
    new = table.intern(ROOT, b"new", 0, 3, FILE)
    table.opened(new, noderecords.IO_CACHED)
    assert table.rename(ROOT, b"old", ROOT, b"new") == old
    assert table.find(ROOT, b"new") == old
    assert table.components(new) is None
    assert table.get(new).flags & noderecords.FLAG_UNLINKED
    table.forget(new, 1)
    assert new in table
    assert table.closed(new) == 0 and new not in table


def test_exchange(table: NodeTable) -> None:
    one = table.intern(ROOT, b"one", 0, 2, FILE)
    two = table.intern(ROOT, b"two", 0, 3, FILE)
    table.exchange(ROOT, b"one", ROOT, b"two")
    assert (table.find(ROOT, b"one"), table.find(ROOT, b"two")) == (two, one)


def test_hard_links_are_one_node_with_several_names(table: NodeTable) -> None:
    node = table.intern(ROOT, b"a", 0, 5, FILE)
    assert table.intern(ROOT, b"b", 0, 5, FILE, nlink=2) == node
    assert table.find(ROOT, b"a") == table.find(ROOT, b"b") == node
    assert table.names(node) == [(ROOT, b"b"), (ROOT, b"a")]
    assert table.unlink(ROOT, b"b") == node
    assert table.components(node) == [b"a"]
    assert not table.get(node).flags & noderecords.FLAG_UNLINKED
    table.opened(node, noderecords.IO_CACHED)
    table.unlink(ROOT, b"a")
    assert table.get(node).flags & noderecords.FLAG_UNLINKED


def test_the_name_looked_up_last_is_the_path(table: NodeTable) -> None:
    directory = table.intern(ROOT, b"d", 0, 6, DIRECTORY)
    node = table.intern(ROOT, b"a", 0, 7, FILE)
    for parent, name in ((directory, b"b"), (ROOT, b"c"), (ROOT, b"a"), (directory, b"b")):
        assert table.intern(parent, name, 0, 7, FILE, nlink=3) == node
        assert table.names(node)[0] == (parent, name)
    assert sorted(table.names(node)) == [(ROOT, b"a"), (ROOT, b"c"), (directory, b"b")]
    table.missing(directory, b"b")
    table.missing(ROOT, b"c")
    table.missing(ROOT, b"a")
    assert table.names(node) == [(ROOT, b"a")], "the last name stays"
    assert table.forget(directory, 1) and table.forget(node, 5)


def test_a_file_renamed_elsewhere_has_only_its_new_name(table: NodeTable) -> None:
    node = table.intern(ROOT, b"a", 0, 5, FILE)
    assert table.intern(ROOT, b"b", 0, 5, FILE, nlink=1) == node
    assert table.find(ROOT, b"a") == 0 and table.names(node) == [(ROOT, b"b")]


def test_another_inode_under_a_known_name_takes_the_name(table: NodeTable) -> None:
    old = table.intern(ROOT, b"a", 0, 5, FILE)
    new = table.intern(ROOT, b"a", 0, 6, FILE)
    assert new != old and table.find(ROOT, b"a") == new and table.components(old) is None


def test_open_state_ends_with_the_last_close(table: NodeTable) -> None:
    node = table.intern(ROOT, b"a", 0, 5, FILE)
    assert table.opened(node, noderecords.IO_PASSTHROUGH, 11, writer=True) == 1
    assert table.opened(node, noderecords.IO_CACHED) == 2
    state = table.get(node)
    assert (state.io_mode, state.backing_id, state.writers) == (noderecords.IO_PASSTHROUGH, 11, 1)
    assert list(table.open_nodes()) == [node]
    assert table.closed(node) == 1
    assert table.closed(node, writer=True) == 0
    state = table.get(node)
    assert (state.io_mode, state.backing_id, state.writers) == (noderecords.IO_NONE, 0, 0)


def test_remember_tells_whether_pages_may_be_kept(table: NodeTable) -> None:
    node = table.intern(ROOT, b"a", 0, 5, FILE)
    assert not table.remember(node, 10, -5)
    assert table.remember(node, 10, -5)
    assert not table.remember(node, 11, -5)


def test_rebind_gives_a_node_another_inode(table: NodeTable) -> None:
    node = table.intern(ROOT, b"a", 0, 1 << 62, FILE)
    table.rebind(node, 0, 12)
    assert table.by_inode(0, 12) == node and table.by_inode(0, 1 << 62) == 0


def test_a_full_table_says_so() -> None:
    fd = noderecords.create_table(8)
    nodes = NodeTable(fd)
    with pytest.raises(Common, match="full"):
        for number in range(10):
            nodes.intern(ROOT, b"%d" % number, 0, 100 + number, FILE)
    nodes.close()
    os.close(fd)


CHILD = """
import os, signal, sys
from curvine.fuse import noderecords
from curvine.fuse.nodetable import NodeTable
table = NodeTable(int(sys.argv[1]))
d = table.intern(1, b"dir", 0, 2, 0o040755)
f = table.intern(d, b"file", 0, 3, 0o100644)
table.intern(d, b"link", 0, 3, 0o100644, nlink=2)
table.forget(table.intern(1, b"gone", 0, 4, 0o100644), 1)
table.opened(f, noderecords.IO_CACHED)
table._r.u32[noderecords.BUSY] = 1  # as if killed in the middle of a change
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_a_successor_knows_every_node_after_kill_9(fd: int, seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", CHILD, str(fd)]
    subprocess.run(command, pass_fds=[fd], env=environment, timeout=20, check=False)
    table = NodeTable(fd)
    directory = table.find(ROOT, b"dir")
    node = table.find(directory, b"file")
    assert node and table.find(directory, b"link") == node == table.by_inode(0, 3)
    assert sorted(table.names(node)) == [(directory, b"file"), (directory, b"link")]
    assert list(table.open_nodes()) == [node] and len(table) == 4
    assert table.find(ROOT, b"gone") == 0
    assert table.intern(ROOT, b"next", 0, 9, FILE) not in {directory, node, ROOT}
    table.close()


class AgainstDictionary(RuleBasedStateMachine):
    """Random operations; names and reachability must agree with a dictionary."""

    NAMES = st.sampled_from([b"a", b"b", b"c", b"long" * 20])

    def __init__(self) -> None:
        super().__init__()
        self.fd = noderecords.create_table(512)
        self.table = NodeTable(self.fd)
        self.names: dict[bytes, int] = {}  # name in the root -> inode
        self.nodes: dict[int, int] = {}  # inode -> node id while the kernel holds it
        self.inode = 10

    @rule(name=NAMES)
    def create(self, name: bytes) -> None:
        self.inode += 1
        self.names[name] = self.inode
        self.nodes[self.inode] = self.table.intern(ROOT, name, 0, self.inode, FILE)

    @rule(name=NAMES, other=NAMES)
    def link(self, name: bytes, other: bytes) -> None:
        if name in self.names and other not in self.names:
            inode = self.names[other] = self.names[name]
            node = self.table.intern(ROOT, other, 0, inode, FILE, nlink=2)
            assert self.nodes.setdefault(inode, node) == node

    @rule(name=NAMES)
    def remove(self, name: bytes) -> None:
        assert bool(self.table.unlink(ROOT, name)) == (self.names.pop(name, 0) in self.nodes)

    @rule(name=NAMES, other=NAMES)
    def move(self, name: bytes, other: bytes) -> None:
        if name in self.names and name != other:
            if self.names.get(other) != self.names[name]:
                self.names[other] = self.names.pop(name)
            self.table.rename(ROOT, name, ROOT, other)

    @precondition(lambda self: self.nodes)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        inode = data.draw(st.sampled_from(sorted(self.nodes)))
        node = self.nodes.pop(inode)
        assert self.table.forget(node, self.table.get(node).lookups)
        for name in [n for n, i in self.names.items() if i == inode]:
            del self.names[name]

    @rule()
    def restart(self) -> None:
        self.table._r.u32[noderecords.BUSY] = 1
        self.table.close()
        self.table = NodeTable(self.fd)

    @invariant()
    def agree(self) -> None:
        for name in (b"a", b"b", b"c", b"long" * 20):
            assert self.table.find(ROOT, name) == self.nodes.get(self.names.get(name, 0), 0)
        for inode, node in self.nodes.items():
            assert self.table.by_inode(0, inode) == node
            named = {n for n, i in self.names.items() if i == inode}
            assert {n for _, n in self.table.names(node)} == named

    def teardown(self) -> None:
        self.table.close()
        os.close(self.fd)


TestAgainstDictionary = AgainstDictionary.TestCase
TestAgainstDictionary.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
