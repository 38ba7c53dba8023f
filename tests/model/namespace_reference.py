# SPDX-License-Identifier: Apache-2.0
"""The namespace as plain dictionaries: what the engine must agree with, after every step.

Written from control-plane specification 5, not from the engine: a node per inode, a dictionary of
names per directory. Errors are named by the class that the engine has to raise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1 << 20


class Refused(Exception):
    """The model refuses, by the name of the error class."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass
class Node:
    kind: str  # dir, file, link
    mode: int
    group: str = ""
    mtime: int = 0
    ctime: int | None = None
    children: dict[str, Node] = field(default_factory=dict)
    names: int = 1
    blocks: list[int] = field(default_factory=list)  # lengths
    block_size: int = MIB
    writers: set[str] = field(default_factory=set)
    xattrs: dict[str, bytes] = field(default_factory=dict)
    target: str | None = None

    @property
    def nlink(self) -> int:
        if self.kind != "dir":
            return self.names
        return 2 + sum(child.kind == "dir" for child in self.children.values())

    @property
    def length(self) -> int:
        return len(self.children) if self.kind == "dir" else sum(self.blocks)


class ReferenceNamespace:
    """Same calls as the engine, with ``now`` in ms given from outside."""

    def __init__(self) -> None:
        self.root = Node("dir", 0o777)
        self.now = 0

    # -- looking -------------------------------------------------------------------------------

    def find(self, path: str) -> Node | None:
        node = self.root
        for name in path.split("/")[1:] if path != "/" else []:
            if node.kind != "dir" or name not in node.children:
                return None
            node = node.children[name]
        return node

    def walk(self, path: str = "/", node: Node | None = None) -> list[tuple[str, Node]]:
        node = node or self.root
        found = [(path, node)]
        for name in sorted(node.children, key=str.encode):
            below = f"/{name}" if path == "/" else f"{path}/{name}"
            found += self.walk(below, node.children[name])
        return found

    def counts(self) -> tuple[int, int]:
        nodes = [node for _, node in self.walk()]
        dirs = sum(node.kind == "dir" for node in nodes) - 1
        return dirs, len({id(node) for node in nodes if node.kind != "dir"})

    def _need(self, path: str) -> Node:
        node = self.find(path)
        if node is None:
            raise Refused("NotFound")
        return node

    # -- changing ------------------------------------------------------------------------------

    def _parent(self, path: str, create: bool, mode: int, group: str) -> tuple[Node, str]:
        *above, name = path.split("/")[1:]
        node = self.root
        missing: list[str] = []
        for part in above:
            if missing:
                missing.append(part)
            elif node.kind != "dir":
                raise Refused("Common")
            elif part in node.children:
                node = node.children[part]
            else:
                missing.append(part)
        if node.kind != "dir" or (missing and not create):
            raise Refused("Common")
        for part in missing:
            node = self._add(node, part, Node("dir", mode, group))
        return node, name

    def _add(self, parent: Node, name: str, node: Node) -> Node:
        if node.mtime == 0:
            node.mtime = self.now
            if parent.mode & 0o2000:
                node.group = parent.group
                if node.kind == "dir":
                    node.mode |= 0o2000
        parent.children[name] = node
        self._touch(parent)
        return node

    def _touch(self, node: Node) -> None:
        node.mtime = node.ctime = self.now

    def _drop(self, parent: Node, name: str) -> None:
        node = parent.children.pop(name)
        node.names -= 1
        if node.names:
            node.ctime = self.now
        self._touch(parent)

    def mkdir(self, path: str, create_parent: bool, mode: int, group: str) -> None:
        if path == "/":
            raise Refused("Common")
        node = self.find(path)
        if node is not None:
            if node.kind == "dir" and create_parent:
                return
            raise Refused("AlreadyExists")
        parent, name = self._parent(path, create_parent, mode, group)
        self._add(parent, name, Node("dir", mode, group))

    def create(self, path: str, flags: int, create_parent: bool, mode: int, client: str) -> None:
        if not flags & 0x40:
            raise Refused("Common")
        node = self.find(path)
        if node is not None:
            if node.kind == "dir":
                raise Refused("Common")
            if flags & 0x80 or not flags & 0x200:
                raise Refused("AlreadyExists")
            self._overwrite(node, client)
            return
        parent, name = self._parent(path, create_parent, mode, "")
        self._add(parent, name, Node("file", mode, writers={client}))

    def open_write(self, path: str, flags: int, client: str) -> None:
        node = self.find(path)
        if node is None:
            if not flags & 0x40:
                raise Refused("NotFound")
            self.create(path, flags, False, 0o644, client)
        elif node.kind == "dir":
            raise Refused("Common")
        elif flags & 0x200:
            self._overwrite(node, client)
        else:
            node.writers.add(client)

    def _overwrite(self, node: Node, client: str) -> None:
        if node.kind == "link":
            raise Refused("Common")
        node.blocks = []
        node.writers.add(client)
        self._touch(node)

    def write(self, path: str, length: int, client: str, only_flush: bool) -> None:
        """Append one block of ``length`` bytes after a full file, then complete."""
        node = self._need(path)
        if node.kind == "dir":
            raise Refused("Common")
        node.blocks.append(length)
        self._touch(node)
        if not only_flush:
            node.writers.discard(client)

    def resize(self, path: str, length: int) -> None:
        node = self.find(path)
        if node is None or node.kind == "dir":
            raise Refused("Common")
        if length == node.length:
            return
        kept: list[int] = []
        for size in node.blocks:
            room = length - sum(kept)
            if room > 0:
                kept.append(min(size, room))
        if kept and length > sum(kept):
            kept[-1] = min(node.block_size, kept[-1] + length - sum(kept))
        while sum(kept) < length:
            kept.append(min(node.block_size, length - sum(kept)))
        node.blocks = kept
        self._touch(node)

    def delete(self, path: str, recursive: bool) -> int:
        if path == "/":
            raise Refused("Common")
        node = self._need(path)
        if node.kind == "dir" and node.children and not recursive:
            raise Refused("DirectoryNotEmpty")
        before = self.counts()[1]
        for _, below in self.walk(path, node)[1:]:
            below.names -= 1
            if below.kind != "dir" and below.names:
                below.ctime = self.now
        parent_path, _, name = path.rpartition("/")
        self._drop(self._need(parent_path or "/"), name)
        return before - self.counts()[1]

    def rename(self, src: str, dst: str, flags: int) -> bool:
        if src == "/":
            raise Refused("Common")
        if src == dst:
            return False
        if dst.startswith(src + "/"):
            raise Refused("InvalidArgument")
        if flags == 2 and (src.startswith(dst + "/") or dst == "/"):
            raise Refused("InvalidArgument")
        source = self._need(src)
        target = self.find(dst)
        old_parent = self._need(src.rpartition("/")[0] or "/")
        old_name = src.rpartition("/")[2]
        if flags == 2:
            if target is None:
                raise Refused("NotFound")
            if target is source:
                return True
            new_parent = self._need(dst.rpartition("/")[0] or "/")
            old_parent.children[old_name] = target
            new_parent.children[dst.rpartition("/")[2]] = source
            self._touch(old_parent)
            self._touch(new_parent)
            return True
        if target is not None:
            if flags & 1:
                raise Refused("AlreadyExists")
            if target.kind == "dir" and source.kind != "dir":
                raise Refused("IsADirectory")
            if source.kind == "dir" and target.kind != "dir":
                raise Refused("NotADirectory")
            if target.children:
                raise Refused("DirectoryNotEmpty")
            if target is source:
                return True
        parent, name = self._parent(dst, False, 0, "")
        if target is not None:
            self._drop(parent, name)
        del old_parent.children[old_name]
        parent.children[name] = source
        source.ctime = self.now
        self._touch(old_parent)
        self._touch(parent)
        return True

    def symlink(self, target: str, path: str, force: bool) -> None:
        node = self.find(path)
        if node is not None and (node.kind != "link" or not force):
            raise Refused("AlreadyExists")
        parent, name = self._parent(path, False, 0, "")
        if node is not None:
            self._drop(parent, name)
        self._add(parent, name, Node("link", 0o777, target=target))

    def link(self, src: str, dst: str) -> None:
        node = self._need(src)
        if node.kind == "dir":
            raise Refused("Common")
        if self.find(dst) is not None:
            raise Refused("AlreadyExists")
        parent, name = self._parent(dst, True, 0o755, node.group)
        node.names += 1
        node.ctime = self.now
        self._add(parent, name, node)

    def set_attr(
        self, path: str, recursive: bool, mode: int | None, mtime: int | None, xattr: bytes | None
    ) -> None:
        node = self._need(path)
        if recursive:
            for _, below in self.walk(path, node)[1:]:
                below.mode = below.mode if mode is None else mode
                below.ctime = self.now
        node.mode = node.mode if mode is None else mode
        node.mtime = node.mtime if mtime is None else mtime
        if xattr is not None:
            node.xattrs["user.x"] = xattr
        node.ctime = self.now
