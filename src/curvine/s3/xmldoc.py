# SPDX-License-Identifier: Apache-2.0
"""XML documents of S3: written by hand, read by expat with everything dangerous refused.

A document type, an entity or a processing instruction is MalformedXML: no entity is ever expanded,
nothing is ever fetched. Depth and size are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.parsers import expat
from xml.sax.saxutils import escape

from curvine.s3.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
XML = "application/xml"
MAX_DOCUMENT = 4 * 1024 * 1024
_MAX_DEPTH = 16
_MAX_ELEMENTS = 120_000  # 10,000 parts with a checksum each, and to spare
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
# What XML 1.0 cannot carry at all: such keys have to be asked for with encoding-type=url.
_IMPOSSIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")

Child = tuple[str, "str | int | list[Child] | Raw"]


class Raw(str):
    """Text that is XML already."""

    __slots__ = ()


def text(value: str) -> str:
    """Character data; what XML 1.0 cannot hold becomes a character reference, as Amazon does."""
    plain = escape(value, {"\r": "&#13;"})
    if _IMPOSSIBLE.search(plain):
        return _IMPOSSIBLE.sub(lambda match: f"&#x{ord(match[0]):x};", plain)
    return plain


def element(name: str, children: Iterable[Child]) -> str:
    """An element with children (name, text | number | children | raw XML)."""
    parts = [f"<{name}>"]
    for child, value in children:
        if isinstance(value, list):
            parts.append(element(child, value))
        elif isinstance(value, Raw):
            parts.append(value)
        else:
            parts.append(f"<{child}>{text(str(value))}</{child}>")
    parts.append(f"</{name}>")
    return "".join(parts)


def document(root: str, children: Iterable[Child], *, namespace: bool = True) -> bytes:
    """A whole document."""
    body = element(root, children)
    if namespace:
        body = body.replace(f"<{root}>", f'<{root} xmlns="{NAMESPACE}">', 1)
    return (_DECLARATION + body).encode("utf-8", "surrogatepass")


def opening() -> bytes:
    """The declaration alone, for an answer that begins before its content is known."""
    return _DECLARATION.encode()


class Node:
    """An element that was read; names without their namespace."""

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.children: list[Node] = []
        self.text = ""

    def all(self, name: str) -> list[Node]:
        """The children of that name."""
        return [child for child in self.children if child.name == name]

    def value(self, name: str) -> str | None:
        """The text of the only child of that name; None if there is none."""
        found = self.all(name)
        if len(found) > 1:
            raise S3Error("MalformedXML", f"{name} stands more than once")
        return found[0].text.strip() if found else None


class _Builder:
    def __init__(self) -> None:
        self.root: Node | None = None
        self.stack: list[Node] = []
        self.count = 0

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        node = Node(name.rpartition("\n")[2])
        self.count += 1
        if len(self.stack) >= _MAX_DEPTH or self.count > _MAX_ELEMENTS:
            raise S3Error("MalformedXML", "The document is too deep or has too many elements")
        if self.stack:
            self.stack[-1].children.append(node)
        else:
            self.root = node
        self.stack.append(node)

    def end(self, _name: str) -> None:
        self.stack.pop()

    def data(self, text: str) -> None:
        self.stack[-1].text += text

    def refuse(self, *_arguments: object) -> int:
        raise S3Error("MalformedXML", "Document types and entities are not accepted")


def parse(body: bytes, root: str) -> Node:
    """The document's root, which has to be ``root``. MalformedXML."""
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator="\n")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = builder.refuse
    parser.EntityDeclHandler = builder.refuse
    parser.ProcessingInstructionHandler = builder.refuse
    parser.ExternalEntityRefHandler = builder.refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise S3Error("MalformedXML") from error
    if builder.root is None or builder.root.name != root:
        raise S3Error("MalformedXML", f"The document has to be a {root}")
    return builder.root
