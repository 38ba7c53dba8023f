# SPDX-License-Identifier: Apache-2.0
"""Input for the fuzz tests: golden frames, messages with extreme fields, and damaged bytes.

Everything comes from one random generator, so a seed repeats a run. ``CURVINE_FUZZ_SECONDS`` is
the time of all fuzz tests together (``make fuzz``: 600; default: 6), ``CURVINE_FUZZ_SEED`` the
seed.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from curvine.wire.pb import (
    common_pb2,
    ext_pb2,
    job_pb2,
    master_pb2,
    mount_pb2,
    replication_pb2,
    transfer_pb2,
    worker_pb2,
)

SECONDS = float(os.environ.get("CURVINE_FUZZ_SECONDS", "6"))
SEED = int(os.environ.get("CURVINE_FUZZ_SEED", "0"))
TESTS = 5  # that share the time

_VECTORS = Path(__file__).parent.parent / "data" / "vectors"
MODULES = (
    common_pb2, ext_pb2, job_pb2, master_pb2, mount_pb2, replication_pb2, transfer_pb2, worker_pb2,
)  # fmt: skip
_INTS = (0, 1, -1, 2, 7, 64, 1000, 1001, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63))
_UNSIGNED = (0, 1, 2, 7, 1000, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_TEXTS = (
    "", "/", "/a", "/a/b", "/a/b/c", "/a/", "//", "/a//b", "a", "../a", "/a/../b", "/.", "/a\0b",
    "/*", "/a/*", "/a/[", "/{a,b}", "/?", "/ü", "\U0010ff00", "/" + "n" * 300, "/d" * 400,
    "file:///nowhere", "s3://b/k", "h:1", "-", "test", "9" * 30, "%s%n", "\udfff".encode(
        "utf-8", "surrogatepass").decode("utf-8", "ignore"),
)  # fmt: skip
_SIGNED_32 = {FieldDescriptor.CPPTYPE_INT32}
_SIGNED_64 = {FieldDescriptor.CPPTYPE_INT64}
_UNSIGNED_32 = {FieldDescriptor.CPPTYPE_UINT32}


def budget() -> Iterator[int]:
    """0, 1, 2, ... until this test's share of the time is over."""
    end = time.monotonic() + SECONDS / TESTS
    number = 0
    while time.monotonic() < end:
        yield number
        number += 1


def golden() -> list[bytes]:
    """All golden frames."""
    control = json.loads((_VECTORS / "control.json").read_text())["vectors"]
    blocks = json.loads((_VECTORS / "data.json").read_text())["vectors"]
    frames = [bytes.fromhex(row["hex"]) for row in control if row.get("hex")]
    return frames + [bytes.fromhex(row["frame_hex"]) for row in blocks if row.get("frame_hex")]


def message_classes() -> list[type[Message]]:
    """Every message of every schema."""
    return [
        item
        for module in MODULES
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Message)
    ]


def damaged(rng: random.Random, data: bytes) -> bytes:
    """``data`` with a few bytes changed, removed, repeated or put in."""
    out = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(6):
            case 0 if out:
                out[at % len(out)] = rng.randrange(256)
            case 1 if out:
                out[at % len(out)] ^= 1 << rng.randrange(8)
            case 2:
                del out[at : at + rng.randrange(1, 9)]
            case 3:
                out[at:at] = out[at : at + rng.randrange(1, 33)]
            case 4:
                out[at:at] = rng.randbytes(rng.randrange(1, 9))
            case _:
                del out[at:]
    return bytes(out)


def filled(rng: random.Random, message: type[Message], depth: int = 0) -> Message:
    """A message of that class with fields set at random, required ones mostly too."""
    out = message()
    for field in out.DESCRIPTOR.fields:
        if rng.random() < (0.05 if field.is_required else 0.5):
            continue
        if field.is_repeated:
            _fill_many(rng, out, field, depth)
        elif field.message_type is not None:
            if depth < 4:
                getattr(out, field.name).CopyFrom(filled(rng, _class_of(out, field), depth + 1))
        else:
            setattr(out, field.name, _value(rng, field))
    return out


def _class_of(out: Message, field: Any) -> type[Message]:
    return type(getattr(out, field.name))


def _fill_many(rng: random.Random, out: Message, field: Any, depth: int) -> None:
    count = rng.choice((0, 1, 1, 2, 5))
    entry = field.message_type
    values = getattr(out, field.name)
    if entry is None:
        values.extend(_value(rng, field) for _ in range(count))
    elif entry.GetOptions().map_entry:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        for _ in range(count):
            if value.message_type is None:
                values[_value(rng, key)] = _value(rng, value)
    elif depth < 4:
        for _ in range(count):
            row = values.add()
            row.CopyFrom(filled(rng, type(row), depth + 1))


def _value(rng: random.Random, field: Any) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        text = rng.choice(_TEXTS)
        return text if field.type == FieldDescriptor.TYPE_STRING else text.encode()
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return rng.choice(field.enum_type.values).number
    if kind in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}:
        return rng.choice((0.0, -1.5, 1e300, float("inf"), float("nan")))
    if kind in _SIGNED_32:
        return rng.choice([n for n in _INTS if -(2**31) <= n < 2**31])
    if kind in _SIGNED_64:
        return rng.choice([n for n in _INTS if n < 2**63])
    if kind in _UNSIGNED_32:
        return rng.choice([n for n in _UNSIGNED if n < 2**32])
    return rng.choice(_UNSIGNED)
