# SPDX-License-Identifier: Apache-2.0
"""Encoded answers to stat, kept as long as nothing they tell has changed.

A stat of a file that was asked about before is one look at its answer instead of a walk along the
path and twenty fields to encode. An answer is good while the path still means the very same record
(inodes are immutable: any change, a rename included, makes another object) and no directory has
been moved or removed since.
"""

from __future__ import annotations

from curvine.master.status_bytes import status_field
from curvine.metadata import Namespace
from curvine.metadata.cache import Generations
from curvine.metadata.reads import Known

LIMIT = 16_384  # answers in each of two generations, about 600 bytes each


class StatReplies:
    """Answers to GetFileStatus by path."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._answers: Generations[str, tuple[Known, bytes]] = Generations(limit)

    def answer(self, namespace: Namespace, path: str) -> bytes:
        """The answer; NotFound if there is no such path."""
        answer = self._answers.get(path)
        if answer is not None and namespace.is_unchanged(answer[0]):
            return answer[1]
        answer = fresh_answer(namespace, path)
        self._answers.put(path, answer)
        return answer[1]


def fresh_answer(namespace: Namespace, path: str) -> tuple[Known, bytes]:
    """(what the answer rests on, the answer); NotFound if there is no such path."""
    known = namespace.known(path)
    return known, status_field(known[0], path)
