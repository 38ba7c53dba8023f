# SPDX-License-Identifier: Apache-2.0
"""The FUSE protocol byte by byte: requests as the kernel builds them, replies as it reads them."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curvine.errors import ProtocolViolation
from curvine.fuse.abi import constants as c
from curvine.fuse.abi import negotiation, notifications, replies, structs
from curvine.fuse.abi.opcodes import BY_OPCODE, OPERATIONS, Opcode
from curvine.fuse.abi.requests import decode, forgets
from curvine.fuse.device import SplicePipe

# sizeof() of the kernel's structs (include/uapi/linux/fuse.h, 7.45).
SIZES = {
    structs.ForgetIn: 8, structs.BatchForgetIn: 8, structs.GetattrIn: 16, structs.SetattrIn: 88,
    structs.MknodIn: 16, structs.MkdirIn: 8, structs.RenameIn: 8, structs.Rename2In: 16,
    structs.LinkIn: 8, structs.OpenIn: 8, structs.CreateIn: 16, structs.ReadIn: 40,
    structs.WriteIn: 40, structs.ReleaseIn: 24, structs.FlushIn: 24, structs.FsyncIn: 16,
    structs.SetxattrIn: 8, structs.GetxattrIn: 8, structs.LkIn: 48, structs.AccessIn: 8,
    structs.InitIn: 16, structs.InterruptIn: 8, structs.BmapIn: 16, structs.IoctlIn: 32,
    structs.PollIn: 24, structs.FallocateIn: 32, structs.LseekIn: 24,
    structs.CopyFileRangeIn: 56, structs.NotifyRetrieveIn: 40, structs.SyncfsIn: 8,
    structs.StatxIn: 24,
}  # fmt: skip
ATTR = replies.Attr(7, 100, 1, 11, 12, 13, 21, 22, 23, 0o100644, 1, 1000, 1001, 0, 65536)


def message(opcode: int, body: bytes = b"", *, unique: int = 2, nodeid: int = 1) -> memoryview:
    """A request as the kernel sends it."""
    head = struct.pack("=IIQQIIIHH", 40 + len(body), opcode, unique, nodeid, 1000, 1001, 77, 0, 0)
    return memoryview(head + body)


def test_struct_sizes_are_the_kernels() -> None:
    assert {body: layout.size for body, layout in structs.LAYOUTS.items()} == SIZES
    assert structs.IN_HEADER.size == 40 and structs.OUT_HEADER.size == 16


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_every_operation_decodes(row: object) -> None:
    operation = BY_OPCODE[row.opcode]  # type: ignore[attr-defined]  # parametrize gives object
    assert operation.since <= c.KERNEL_MINOR
    layout = structs.LAYOUTS[operation.body] if operation.body else None
    body = bytes(range(layout.size)) if layout else b""
    names = [b"name%d" % number for number in range(operation.names)]
    request = decode(message(operation.opcode, body + b"".join(n + b"\0" for n in names) + b"tail"))
    assert request.name == operation.name and request.names == tuple(names)
    assert bytes(request.data) == b"tail"
    assert (request.uid, request.gid, request.pid) == (1000, 1001, 77)
    if operation.body and layout:
        assert request.body == operation.body._make(layout.unpack(body))


def test_a_lookup() -> None:
    raw = bytes.fromhex(
        "2c000000" "01000000" "0200000000000080" "0500000000000000" "e8030000" "e9030000" "4d000000"
        "0000" "0000" "61ff6200"
    )  # fmt: skip
    request = decode(memoryview(raw))
    assert request.opcode == Opcode.LOOKUP and request.names == (b"a\xffb",)
    assert request.nodeid == 5 and request.resent and request.unique == 2 | c.UNIQUE_RESEND


def test_what_carries_no_data_does_not_hold_the_buffer() -> None:
    for opcode, body in ((Opcode.LOOKUP, b"name\0"), (Opcode.GETATTR, bytes(16))):
        buffer = bytearray(message(opcode, body))
        held = decode(memoryview(buffer))
        buffer += b"may grow: nobody has a view of it"
        assert len(held.data) == 0


def test_a_write_is_a_view_into_the_buffer() -> None:
    buffer = bytearray(message(Opcode.WRITE, struct.pack("=QQIIQII", 9, 8, 3, 0, 0, 1, 0) + b"xyz"))
    request = decode(memoryview(buffer))
    assert (request.body.fh, request.body.offset, request.body.size) == (9, 8, 3)
    buffer[-1:] = b"!"
    assert bytes(request.data) == b"xy!"


def test_setattr_fields() -> None:
    body = struct.pack(
        "=IIQQQQQQIIIIIIII", c.FATTR_SIZE, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0o644, 0, 10, 11, 0
    )
    got = decode(message(Opcode.SETATTR, body)).body
    assert got == structs.SetattrIn(c.FATTR_SIZE, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0o644, 10, 11)


def test_forgets_single_and_batch() -> None:
    assert forgets(decode(message(Opcode.FORGET, struct.pack("=Q", 3), nodeid=8))) == [(8, 3)]
    batch = struct.pack("=II", 2, 0) + struct.pack("=QQQQ", 8, 1, 9, 2)
    assert forgets(decode(message(Opcode.BATCH_FORGET, batch))) == [(8, 1), (9, 2)]


def test_an_unknown_opcode_is_a_request_without_operation() -> None:
    request = decode(message(999, b"something"))
    assert request.operation is None and request.name == "unknown"


@pytest.mark.parametrize(
    "raw", [b"short", bytes(message(1, b"x\0"))[:-1], bytes(message(1, b"no end")),
            bytes(message(Opcode.READ, b"1234"))],
)  # fmt: skip
def test_a_malformed_request_is_a_protocol_violation(raw: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode(memoryview(raw))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(raw: bytes) -> None:
    try:
        decode(memoryview(struct.pack("=I", len(raw) + 4) + raw))
    except ProtocolViolation:
        pass


@pytest.mark.parametrize(
    ("reply", "size"),
    [
        (replies.ok(5), 16), (replies.error(5, 2), 16), (replies.attr(5, ATTR, 1500), 120),
        (replies.entry(5, 2, 1, ATTR, 1000, 500), 144), (replies.negative_entry(5, 1000), 144),
        (replies.open_(5, 1, c.FOPEN_KEEP_CACHE), 32), (replies.written(5, 9), 24),
        (replies.create(5, 2, 1, ATTR, 1, 1, 3, c.FOPEN_PASSTHROUGH, 7), 160),
        (replies.lock(5, 0, 1, 2, 3), 40), (replies.offset(5, 1), 24), (replies.ioctl(5, 0), 32),
        (replies.data(5, b"abc"), 19), (replies.xattr_size(5, 1), 24),
        (replies.statfs(5, blocks=1, bfree=2, bavail=3, files=4, ffree=5, bsize=4096), 96),
    ],
)  # fmt: skip
def test_replies_carry_their_length_and_number(reply: bytes, size: int) -> None:
    length, _, unique = struct.unpack_from("=IiQ", reply)
    assert (length, len(reply), unique) == (size, size, 5)


def test_entry_fields() -> None:
    fields = struct.unpack("=IiQ QQQQII QQQQQQIIIIIIIIII", replies.entry(5, 2, 1, ATTR, 1500, 250))
    assert fields[3:9] == (2, 1, 1, 0, 500_000_000, 250_000_000) and fields[9:] == tuple(ATTR)
    assert struct.unpack("=IiQ", replies.error(9, 13)) == (16, -13, 9)


def test_open_carries_the_backing_id() -> None:
    raw = replies.open_(5, 3, c.FOPEN_PASSTHROUGH | c.FOPEN_NOFLUSH, 42)
    assert struct.unpack_from("=QIi", raw, 16) == (3, 0xA0, 42)


def test_a_directory_listing_is_aligned_and_bounded() -> None:
    listing = replies.DirectoryBuffer(24 + 8 + 24 + 16)
    assert listing.add(10, 1, 0o040755, b"abc")
    assert listing.add(11, 2, 0o100644, b"123456789")
    assert not listing.add(12, 3, 0o120777, b"x")
    raw = listing.message(5)[16:]
    assert len(raw) == len(listing) == 72
    assert struct.unpack_from("=QQII", raw) == (10, 1, 3, 4) and raw[24:32] == b"abc" + bytes(5)
    assert struct.unpack_from("=QQII", raw, 32) == (11, 2, 9, 8)
    plus = replies.DirectoryBuffer(4096)
    assert plus.add_plus(2, 1, ATTR, 1000, 1000, 4, b"n" * 11)
    assert len(plus) == replies.plus_size(b"n" * 11) == 168
    assert struct.unpack_from("=QQII", plus.message(1), 16 + 128) == (7, 4, 11, 8)


def test_notifications() -> None:
    assert notifications.resend() == bytes.fromhex("10000000070000000000000000000000")
    assert struct.unpack("=IiQQqq", notifications.inval_inode(4, -1, 0)) == (40, 2, 0, 4, -1, 0)
    raw = notifications.inval_entry(1, b"ab", expire_only=True)
    assert struct.unpack_from("=IiQQII", raw) == (35, 3, 0, 1, 2, 1) and raw[32:] == b"ab\0"
    raw = notifications.delete(1, 9, b"ab")
    assert struct.unpack_from("=IiQQQI", raw) == (43, 6, 0, 1, 9, 2) and raw[40:] == b"ab\0"
    raw = notifications.store(3, 8, b"xy")
    assert struct.unpack_from("=IiQQQI", raw) == (42, 4, 0, 3, 8, 2)


def test_ioctl_numbers() -> None:
    assert c.DEV_IOC_CLONE == 0x8004E500
    assert (c.DEV_IOC_BACKING_OPEN, c.DEV_IOC_BACKING_CLOSE) == (0x4010E501, 0x4004E502)


def init_message(minor: int, flags: int, major: int = 7) -> memoryview:
    body = struct.pack("=IIIII", major, minor, 131072, flags & 0xFFFFFFFF, flags >> 32)
    return message(Opcode.INIT, body + bytes(44))


def test_init_with_a_new_kernel() -> None:
    offered = (1 << 43) - 1
    unique, body, flags = negotiation.read_init(init_message(45, offered))
    assert flags == offered and unique == 2
    wanted = negotiation.Wanted()
    agreed = negotiation.negotiate(body, flags, wanted)
    assert agreed and agreed.has(c.PASSTHROUGH) and agreed.has(c.HAS_RESEND)
    assert (agreed.minor, agreed.max_pages, agreed.max_stack_depth) == (45, 256, 1)
    reply = negotiation.init_reply(unique, agreed, wanted)
    assert len(reply) == 16 + 64
    got = struct.unpack_from("=IiQIIIIHHIIHHII", reply)
    assert got[3:7] == (7, 45, 1 << 20, agreed.flags & 0xFFFFFFFF)
    assert got[7:] == (256, 192, 1 << 20, 1_000_000, 256, 0, agreed.flags >> 32, 1)


def test_init_with_linux_5_10_and_with_older_ones() -> None:
    _, body, flags = negotiation.read_init(init_message(32, 0x07FFFFFF))
    agreed = negotiation.negotiate(body, flags, negotiation.Wanted())
    assert agreed and agreed.minor == 32 and not agreed.flags >> 32
    assert not agreed.has(c.PASSTHROUGH) and agreed.max_stack_depth == 0
    _, body, flags = negotiation.read_init(init_message(28, 0xFF))
    assert negotiation.negotiate(body, flags, negotiation.Wanted()) is None


def test_writeback_cache_excludes_passthrough() -> None:
    wanted = negotiation.Wanted(flags=negotiation.DEFAULT_FLAGS | c.WRITEBACK_CACHE)
    _, body, flags = negotiation.read_init(init_message(45, (1 << 43) - 1))
    agreed = negotiation.negotiate(body, flags, wanted)
    assert agreed and agreed.has(c.WRITEBACK_CACHE) and not agreed.has(c.PASSTHROUGH)


def test_version_reply_to_a_later_major() -> None:
    raw = negotiation.version_reply(4)
    assert len(raw) == 80 and struct.unpack_from("=II", raw, 16) == (7, 45)


def test_splice_carries_header_and_bytes_and_stays_clean(tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / "file").write_bytes(content)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    out, device = os.pipe2(os.O_NONBLOCK)  # stands in for the device: splice needs a pipe on a side
    with SplicePipe(1 << 17) as pipe:
        assert not pipe.reply(device, 1, fd, 0, pipe.capacity + 1)
        assert not pipe.reply(device, 1, fd, 90_000, 20_000), "shorter than asked: copy instead"
        assert pipe.reply(device, 2, fd, 1000, 30_000)
        raw = os.read(out, 1 << 20)
        assert raw == replies.header(2, 30_000) + content[1000:31_000]
    for descriptor in (fd, out, device):
        os.close(descriptor)
