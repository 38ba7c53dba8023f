# SPDX-License-Identifier: Apache-2.0
"""How a configuration key is declared: name, default, unit, help and what values it takes.

A section is a frozen msgspec Struct whose class body assigns keys::

    class MasterConf(Section, frozen=True, kw_only=True):
        rpc_port: int = port(8995, "RPC port")

The metaclass takes the :class:`Key` objects out of the class body, leaves their defaults to msgspec
and keeps them in ``KEYS``; so default, unit and help stand in one place, attributes are plain
slots, and a type checker sees the annotation. Source: control-plane specification 8.1.

Units of values: sizes are bytes, durations milliseconds, whatever the file spells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from curvine.units import format_duration, format_size, parse_duration, parse_size

Parse = Callable[[Any], Any]


class Key:
    """One key. ``parse`` gives the value or raises ValueError saying what is accepted."""

    __slots__ = (
        "accepts", "aliases", "default", "factory", "help", "parse", "says", "section", "tables",
        "unit", "upstream", "variants", "why",
    )  # fmt: skip

    def __init__(
        self,
        parse: Parse,
        default: Any,
        help: str,
        *,
        unit: str = "",
        accepts: str = "",
        aliases: tuple[str, ...] = (),
        factory: Callable[[], Any] | None = None,
        says: str = "",
        upstream: Any = None,
        why: str = "",
        section: type[Section] | None = None,
        tables: bool = False,
        variants: bool = False,
    ) -> None:
        self.parse = parse
        self.default = default
        self.help = help
        self.unit = unit
        self.accepts = accepts  # for error messages: "a whole number"
        self.aliases = aliases  # further spellings in files
        self.factory = factory  # for defaults that depend on the machine
        self.says = says  # such a default in words, for documents
        self.upstream = upstream  # Curvine's default where ours differs (decision 5)
        self.why = why  # the reason for differing
        self.section = section  # a table of its own with these keys
        self.tables = tables  # ``section`` may be given many times ([[...]])
        self.variants = variants  # files also spell it with _str, or without _ms

    def spellings(self, attr: str) -> tuple[str, ...]:
        """Every name under which a file may give the key that is called ``attr`` here."""
        variants = (attr + "_str", attr.removesuffix("_ms")) if self.variants else ()
        return (attr, *self.aliases, *variants)

    def value(self) -> Any:
        """The default on this machine."""
        return self.factory() if self.factory else self.default


class _SectionMeta(msgspec.StructMeta):
    KEYS: Mapping[str, Key]
    NAMES: Mapping[str, str]  # every accepted spelling -> attribute

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> Any:
        keys = {attr: item for attr, item in namespace.items() if isinstance(item, Key)}
        for attr, item in keys.items():
            namespace[attr] = (
                msgspec.field(default_factory=item.factory) if item.factory else item.default
            )
        cls = super().__new__(mcs, name, bases, namespace, **options)
        cls.KEYS = keys
        cls.NAMES = {
            spelling: attr for attr, item in keys.items() for spelling in item.spellings(attr)
        }
        return cls


class Section(msgspec.Struct, metaclass=_SectionMeta, frozen=True, kw_only=True):
    """Base of all sections; ``KEYS`` and ``NAMES`` belong to the class."""


# Values. From a file they have TOML's types; from the environment and from flags they are text.


class Text(str):
    """A value from the environment or the command line: text that may stand for another type."""

    __slots__ = ()


_TRUE = frozenset(("true", "1", "yes", "on"))
_FALSE = frozenset(("false", "0", "no", "off"))


def parse_text(value: Any) -> str:
    if isinstance(value, str):
        return str(value).strip()
    raise ValueError


def parse_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, Text):
        text = value.strip().lower()
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
    raise ValueError


def parse_int(value: Any) -> int:
    if isinstance(value, Text):
        return int(value.strip(), 10)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError


def parse_float(value: Any) -> float:
    if isinstance(value, Text):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError


def _parse_amount(value: Any, parse: Callable[[str | int], int]) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError
    amount = parse(value)
    if amount < 0:
        raise ValueError
    return amount


def _parse_umask(value: Any) -> int:
    number = int(value, 8) if isinstance(value, str) else parse_int(value)
    if not 0 <= number <= 0o777:
        raise ValueError
    return number


def _parse_texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part for part in value.replace(",", " ").split() if part)
    if isinstance(value, list | tuple):
        return tuple(parse_text(item) for item in value)
    raise ValueError


def _parse_floats(value: Any) -> tuple[float, ...]:
    if isinstance(value, list | tuple):
        return tuple(parse_float(item) for item in value)
    raise ValueError


def _parse_mapping(value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        return {name: parse_text(item) for name, item in value.items()}
    raise ValueError


def _only_tables(value: Any) -> Any:
    """The loader walks into tables by itself; whatever else comes here is wrong."""
    raise ValueError


# Kinds of keys.


def text(default: str, help: str, *, choices: tuple[str, ...] = (), **more: Any) -> Any:
    """A string; with ``choices`` one of them, in any case."""

    def parse_choice(value: Any) -> str:
        chosen = parse_text(value).lower()
        if chosen not in choices:
            raise ValueError
        return chosen

    if not choices:
        return Key(parse_text, default, help, accepts="a text in quotes", **more)
    return Key(parse_choice, default, help, accepts="one of " + ", ".join(choices), **more)


def boolean(default: bool, help: str, **more: Any) -> Any:
    return Key(parse_bool, default, help, accepts="true or false", **more)


def integer(default: int, help: str, *, least: int = 0, most: int = 1 << 62, **more: Any) -> Any:
    def parse(value: Any) -> int:
        number = parse_int(value)
        if not least <= number <= most:
            raise ValueError
        return number

    accepts = f"a whole number from {least}" + (f" to {most}" if most < 1 << 62 else " up")
    return Key(parse, default, help, accepts=accepts, **more)


def port(default: int, help: str, **more: Any) -> Any:
    return integer(default, help, least=0, most=65535, **more)


def number(default: float, help: str, **more: Any) -> Any:
    return Key(parse_float, default, help, accepts="a number", **more)


def size(default: str, help: str, **more: Any) -> Any:
    return Key(
        lambda value: _parse_amount(value, parse_size),
        parse_size(default),
        help,
        unit="bytes",
        accepts="a size such as 64KB, 128MB or a number of bytes",
        variants=True,
        **more,
    )


def duration(default: str, help: str, **more: Any) -> Any:
    return Key(
        lambda value: _parse_amount(value, parse_duration),
        parse_duration(default),
        help,
        unit="ms",
        accepts="a duration such as 500ms, 30s, 10m, 7d or a number of milliseconds",
        variants=True,
        **more,
    )


def seconds(default: int, help: str, **more: Any) -> Any:
    """A key ending in ``_secs``: a plain integer of seconds, or a duration with its unit."""

    def parse(value: Any) -> int:
        if isinstance(value, str) and not value.strip().isdigit():
            return _parse_amount(value, parse_duration) // 1000
        return _parse_amount(int(value) if isinstance(value, str) else value, parse_duration)

    accepts = "a number of seconds or a duration such as 30s"
    return Key(parse, default, help, unit="s", accepts=accepts, **more)


def auto_duration(help: str, *, upstream: int, why: str, **more: Any) -> Any:
    """Milliseconds, or "auto" (None), which leaves the choice to the program."""

    def parse(value: Any) -> int | None:
        if isinstance(value, str) and value.strip().lower() == "auto":
            return None
        return _parse_amount(value, parse_duration)

    accepts = 'milliseconds, a duration such as 30s, or "auto"'
    return Key(parse, None, help, unit="ms", accepts=accepts, upstream=upstream, why=why, **more)


def umask(default: int, help: str) -> Any:
    return Key(_parse_umask, default, help, accepts="an octal mask such as 0o022")


def texts(default: tuple[str, ...], help: str, **more: Any) -> Any:
    return Key(_parse_texts, default, help, accepts="a list of texts", **more)


def floats(default: tuple[float, ...], help: str, **more: Any) -> Any:
    return Key(_parse_floats, default, help, accepts="a list of numbers", **more)


def optional_integer(help: str) -> Any:
    return Key(parse_int, None, help, accepts="a whole number")


def table(section: type[Section], help: str) -> Any:
    """A table of its own."""
    return Key(_only_tables, None, help, accepts="a table", factory=section, section=section)


def tables(section: type[Section], help: str, *, parse: Parse | None = None) -> Any:
    """An array of tables; ``parse`` may accept a text form too."""
    return Key(
        parse or _only_tables, (), help, accepts="an array of tables", section=section, tables=True
    )


def mapping(help: str) -> Any:
    """A table of texts with keys of its own."""
    return Key(_parse_mapping, None, help, accepts="a table of texts", factory=dict)


def ignored(help: str) -> Any:
    """A table or value of Curvine's that has no meaning here: accepted, whatever it holds."""
    return Key(lambda value: None, None, help, accepts="anything")


def shown(item: Key, value: Any) -> str:
    """``value`` as a person would write it in the file."""
    if value is None:
        return "auto" if item.unit == "ms" else ""
    if item.unit == "ms":
        return format_duration(value)
    if item.unit == "bytes":
        exact = format_size(value)
        return exact if value == parse_size(exact) else str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return str(value)
