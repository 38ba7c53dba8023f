# SPDX-License-Identifier: Apache-2.0
"""The reference of all keys as a Markdown document, written from the schema and nothing else.

docs/configuration.md is this text; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from curvine.config.keys import Key, Section, shown
from curvine.config.load import CONF_NAME, ENV_KEYS, ENV_SECRETS
from curvine.config.schema import ClusterConf, DocumentedKey, differing_defaults

_HEAD = f"""\
# Configuration

`cv config docs` writes this page from the declarations in `src/curvine/config`; change those.

A process reads one TOML file, `{CONF_NAME}`: the one that `--conf` names, else the one in
`CURVINE_CONF_FILE`, else `$CURVINE_HOME/conf/{CONF_NAME}`, else the one of `cv up` in
`$XDG_DATA_HOME/curvine` (`~/.local/share/curvine`). Environment variables win over the file, flags
over both. `cv config show` tells every value and where it came from, `cv config check` what is
wrong with a file.

- Every section and key is optional. A wrong type is an error, a key that nobody knows a warning.
- **Sizes**: `"128MB"`, `"1.5G"`, `4096`; 1024-based, in any case, without a unit bytes.
- **Durations**: `"500ms"`, `"30s"`, `"10m"`, `"7d"`, `90`; without a unit milliseconds, for keys
  that end in `_secs` seconds. Text and number are accepted for every one of them.
- Sizes may also be spelled with `_str` at the end, durations without `_ms`, as older files do.
- "No effect" keys are accepted so that the file of an existing Curvine cluster works unchanged.
"""


def markdown() -> str:
    """The whole document."""
    parts = [_HEAD, *_environment(), *_differences(), *_sections()]
    return "\n".join(parts).rstrip() + "\n"


def _environment() -> Iterator[str]:
    yield "## Environment\n"
    names: dict[str, list[str]] = {}
    for variable, key in ENV_KEYS:
        names.setdefault(variable, []).append(f"`{key}`")
    rows = [(f"`{variable}`", " and ".join(keys)) for variable, keys in names.items()]
    rows += [
        (f"`{variable}`", f"the token itself, instead of a file (`{stem}_env` gets its name)")
        for variable, stem in ENV_SECRETS
    ]
    rows += [
        ("`CURVINE_CONF_FILE`", "the file to read; it must exist"),
        ("`CURVINE_HOME`", f"`conf/{CONF_NAME}` is looked for there, `meta` kept there"),
        ("`ORPC_BIND_HOSTNAME`", "the address that every server listens on"),
    ]
    yield _table(("variable", "sets"), rows)
    yield "Host names that are set here yield to `net_interface`.\n"


def _differences() -> Iterator[str]:
    yield "## Defaults that differ from Curvine's\n"
    rows = [
        (f"`{row.name}`", _code(row.stated_default), _code(_upstream(row)), row.key.why)
        for row in differing_defaults()
    ]
    yield _table(("key", "default here", "in Curvine", "because"), rows)


def _upstream(row: DocumentedKey) -> str:
    value = row.key.upstream
    return value if isinstance(value, str) else shown(row.key, value)


def _sections() -> Iterator[str]:
    contained: dict[type[Section], list[str]] = {}
    yield "## Top level\n"
    yield _keys(ClusterConf, "", contained)
    tops = [(name, key) for name, key in ClusterConf.KEYS.items() if key.section is not None]
    for name, key in tops:
        assert key.section is not None
        if contained.get(key.section) == [name]:
            del contained[key.section]
            yield f"## [{name}]\n"
            yield f"{key.help}.\n"
            yield _keys(key.section, name + ".", contained)
    yield "## Tables inside sections\n"
    for section, places in contained.items():
        yield f"### {', '.join(f'`{place}`' for place in places)}\n"
        yield f"{_first_line(section)}\n"
        yield _keys(section, "", {})


def _keys(section: type[Section], prefix: str, contained: dict[type[Section], list[str]]) -> str:
    rows = []
    for name, key in section.KEYS.items():
        if key.section is not None:
            contained.setdefault(key.section, []).append(prefix + name)
        if key.section is None or key.tables or prefix:
            rows.append((f"`{name}`", _default(name, key), key.help))
    return _table(("key", "default", "meaning"), rows)


def _default(name: str, key: Key) -> str:
    if key.accepts == "anything":
        return ""
    if key.section is not None and not key.tables:
        return "a table, below"
    if key.tables:
        return "tables, below"
    text = _code(DocumentedKey(name, key).stated_default)
    return f"{text} {key.unit}" if key.unit not in ("", "ms", "bytes") else text


def _code(text: str) -> str:
    if not text:
        return "(empty)"
    return text if " " in text and not text.startswith("/") else f"`{text}`"


def _first_line(section: type[Section]) -> str:
    return (section.__doc__ or "").strip().splitlines()[0]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    ) + "\n"  # fmt: skip
