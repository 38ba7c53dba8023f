# SPDX-License-Identifier: Apache-2.0
"""Patterns in ListStatus (control-plane specification 5.2 and 5.7).

Inside a component only "*", "?" and "[...]" mean something; "*" matches a leading dot too, "**"
spans one level. A path with unbalanced brackets is no pattern but a name.
"""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[*?\[{\\]")


def is_pattern(path: str) -> bool:
    """Whether ListStatus takes the path for a pattern."""
    if not _SPECIAL.search(path):
        return False
    try:
        for part in path.split("/"):
            compile_component(part)
    except ValueError:
        return False
    return True


def compile_component(part: str) -> re.Pattern[str] | None:
    """A matcher for one component, None if it is a plain name; ValueError if it is no pattern."""
    if not any(char in part for char in "*?["):
        return None
    if "**" in part and part != "**":
        raise ValueError(f"{part!r}: '**' has to be a component of its own")
    expression = []
    at = 0
    while at < len(part):
        char = part[at]
        at += 1
        if char == "*":
            expression.append(".*")
        elif char == "?":
            expression.append(".")
        elif char == "[":
            end = part.find("]", at + (2 if part.startswith("!", at) else 1))
            if end < 0:
                raise ValueError(f"{part!r}: '[' without ']'")
            expression.append(_character_class(part[at:end]))
            at = end + 1
        else:
            expression.append(re.escape(char))
    return re.compile("".join(expression), re.DOTALL)


def _character_class(body: str) -> str:
    """A regular expression for what stands between the brackets."""
    negated = body.startswith("!")
    body = body[1:] if negated else body
    pieces = []
    at = 0
    while at < len(body):
        if at + 2 < len(body) and body[at + 1] == "-":
            first, last = body[at], body[at + 2]
            at += 3
            if first <= last:
                pieces.append(f"{re.escape(first)}-{re.escape(last)}")
        else:
            pieces.append(re.escape(body[at]))
            at += 1
    if not pieces:  # an empty range such as [z-a] matches nothing
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(pieces)}]"
