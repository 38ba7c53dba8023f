# SPDX-License-Identifier: Apache-2.0
"""Text fields of requests that are not UTF-8.

Protobuf's proto2 does not look at the bytes of a string when it parses; the Python library then
gives ``bytes`` where ``str`` is expected, which must not reach the namespace. A check is built once
for each message from its descriptor, and looks at nothing but fields that can hold text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from curvine.errors import Common

Check = Callable[[Any], None]


def text_check(message: Any) -> Check | None:
    """A function that raises Common for a message with a text that is not UTF-8.

    ``message`` is a descriptor, of whichever of the library's two kinds. None when such a message
    cannot hold any text.
    """
    singles: list[str] = []
    many: list[Check] = []
    for name, field in _fields(message, ""):
        entry = field.message_type
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            singles.append(name)
        elif field.type == FieldDescriptor.TYPE_STRING:
            many.append(_check_list(name, lambda item: _expect_texts((item,))))
        elif entry is not None and entry.GetOptions().map_entry:
            many.append(_check_map(name, entry))
        elif entry is not None and field.is_repeated:
            inner = text_check(entry)
            if inner is not None:
                many.append(_check_list(name, inner))
    if not (singles or many):
        return None
    # with a second name attrgetter always gives a tuple
    get_singles = attrgetter(*singles, singles[0]) if singles else None

    def check_texts(request: Any) -> None:
        if get_singles is not None:
            _expect_texts(get_singles(request))
        for check in many:
            check(request)

    return check_texts


def _fields(message: Any, prefix: str) -> Iterator[tuple[str, FieldDescriptor]]:
    """The fields of a message and of its singular inner messages, by dotted names."""
    for field in message.fields:
        name = prefix + field.name
        if field.message_type is not None and not field.is_repeated:
            yield from _fields(field.message_type, name + ".")
        else:
            yield name, field


def _check_list(name: str, check: Check) -> Check:
    get = attrgetter(name)

    def check_items(request: Any) -> None:
        for item in get(request):
            check(item)

    return check_items


def _check_map(name: str, entry: Any) -> Check:
    get = attrgetter(name)
    text_keys, text_values = (
        entry.fields_by_name[part].type == FieldDescriptor.TYPE_STRING for part in ("key", "value")
    )

    def check_entries(request: Any) -> None:
        table = get(request)
        if table and text_keys:
            _expect_texts(table.keys())
        if table and text_values:
            _expect_texts(table.values())

    return check_entries


def _expect_texts(values: Any) -> None:
    for value in values:
        if type(value) is not str:
            raise Common("A text in the request is not valid UTF-8")
