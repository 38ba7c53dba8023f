# SPDX-License-Identifier: Apache-2.0
"""Random operations and random deaths: the engine agrees with the dictionary model throughout.

Hypothesis finds and shrinks short histories; the seeded ones are long enough for deep trees. More
seeds: ``CURVINE_MODEL_SEEDS=200 pytest tests/model``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from namespace_duel import Duel
from namespace_reference import MIB

# Many starts of a store, each with its fsyncs: a disk that others use makes them slow.
pytestmark = pytest.mark.timeout(900)

# Few names, so that operations meet; one of them sorts below "/", one outside ASCII.
BELOW = ["", "", "/a", "/a-b", "/ü", "/a/a"]
MORE_BELOW = [*BELOW, "/b", "/b!", "/c", "/d/e", "/x y"]
MODES = [0o755, 0o644, 0o2775]
CREATE_FLAGS = [0x41, 0x241, 0xC1, 0x1]
OPEN_FLAGS = [0x1, 0x2, 0x41, 0x241]
RENAME_FLAGS = [0, 0, 0, 1, 2, 2, 3, 4]
BLOCK_LENGTHS = [1, 4096, MIB]
FILE_LENGTHS = [0, 1, 4097, MIB, 3 * MIB - 1]
CLIENTS = ["c1", "c2"]

Where = tuple[int, str]
_AT = st.tuples(st.integers(0, 1 << 20), st.sampled_from(BELOW))


class NamespaceModel(RuleBasedStateMachine):
    """Short histories over a small tree."""

    @initialize(at_once=st.sampled_from([0, 3, 2000]))
    def start(self, at_once: int) -> None:
        self.duel = duel = Duel(at_once)
        duel.mkdir("/a/a-b", True, 0o755, "")
        duel.mkdir("/ü", False, 0o2775, "g")
        duel.create("/ü/a", 0x41, False, 0o644, "c1", False)
        duel.write("/ü/a", MIB, "c1", False)
        duel.link("/ü/a", "/a/ü")
        duel.symlink("/a-b", False, "a")

    def teardown(self) -> None:
        if hasattr(self, "duel"):
            self.duel.close()

    @rule(at=_AT, parents=st.booleans(), mode=st.sampled_from(MODES), group=st.just("g"))
    def mkdir(self, at: Where, parents: bool, mode: int, group: str) -> None:
        self.duel.mkdir(self.duel.path(*at), parents, mode, group)

    @rule(at=_AT, flags=st.sampled_from(CREATE_FLAGS), parents=st.booleans(), again=st.booleans())
    def create(self, at: Where, flags: int, parents: bool, again: bool) -> None:
        self.duel.create(self.duel.path(*at), flags, parents, 0o644, "c2", again)

    @rule(at=_AT, flags=st.sampled_from(OPEN_FLAGS))
    def open_write(self, at: Where, flags: int) -> None:
        self.duel.open_write(self.duel.path(*at), flags, "c1")

    @rule(at=_AT, length=st.sampled_from(BLOCK_LENGTHS), flush=st.booleans())
    def write(self, at: Where, length: int, flush: bool) -> None:
        self.duel.write(self.duel.path(*at), length, "c1", flush)

    @rule(at=_AT, length=st.sampled_from(FILE_LENGTHS))
    def resize(self, at: Where, length: int) -> None:
        self.duel.resize(self.duel.path(*at), length)

    @rule(at=_AT, recursive=st.booleans())
    def delete(self, at: Where, recursive: bool) -> None:
        self.duel.delete(self.duel.path(*at), recursive)

    @rule(src=_AT, dst=_AT, flags=st.sampled_from(RENAME_FLAGS))
    def rename(self, src: Where, dst: Where, flags: int) -> None:
        self.duel.rename(self.duel.path(*src), self.duel.path(*dst), flags)

    @rule(at=_AT, force=st.booleans())
    def symlink(self, at: Where, force: bool) -> None:
        self.duel.symlink(self.duel.path(*at), force, "a")

    @rule(src=_AT, dst=_AT)
    def link(self, src: Where, dst: Where) -> None:
        self.duel.link(self.duel.path(*src), self.duel.path(*dst))

    @rule(at=_AT, recursive=st.booleans(), mode=st.none() | st.sampled_from(MODES))
    def set_attr(self, at: Where, recursive: bool, mode: int | None) -> None:
        self.duel.set_attr(self.duel.path(*at), recursive, mode, 5, b"x")

    @rule()
    def kill(self) -> None:
        self.duel.engine.kill()

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "duel"):
            self.duel.check()


NamespaceModel.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, print_blob=True
)
TestNamespaceModel = NamespaceModel.TestCase


def _steps(duel: Duel, rng: random.Random) -> list[tuple[int, Callable[[], None]]]:
    """(weight, operation with random arguments)."""

    def at() -> str:
        return duel.path(rng.randrange(1 << 20), rng.choice(MORE_BELOW))

    def existing() -> str:
        return duel.path(rng.randrange(1 << 20), "")

    def flip() -> bool:
        return rng.random() < 0.5

    pick = rng.choice
    return [
        (8, lambda: duel.mkdir(at(), flip(), pick(MODES), pick(["", "g"]))),
        (6, lambda: duel.create(at(), pick(CREATE_FLAGS), flip(), 0o644, pick(CLIENTS), False)),
        (1, lambda: duel.create(at(), pick(CREATE_FLAGS), True, 0o600, pick(CLIENTS), True)),
        (2, lambda: duel.open_write(at(), pick(OPEN_FLAGS), pick(CLIENTS))),
        (4, lambda: duel.write(existing(), pick(BLOCK_LENGTHS), pick(CLIENTS), flip())),
        (2, lambda: duel.resize(at(), pick(FILE_LENGTHS))),
        (3, lambda: duel.delete(existing(), rng.random() < 0.1)),
        (5, lambda: duel.rename(existing(), at(), pick(RENAME_FLAGS))),
        (2, lambda: duel.symlink(at(), flip(), "a")),
        (6, lambda: duel.link(existing(), at())),
        (2, lambda: duel.set_attr(at(), flip(), pick([None, *MODES]), pick([None, 5]), b"x")),
        (1, duel.engine.kill),
    ]


@pytest.mark.parametrize("seed", range(int(os.environ.get("CURVINE_MODEL_SEEDS", "4"))))
def test_long_random_histories(seed: int) -> None:
    rng = random.Random(seed)
    duel = Duel(rng.choice([0, 3, 2000]))
    try:
        weights, steps = zip(*_steps(duel, rng), strict=True)
        for number in range(600):
            rng.choices(steps, weights)[0]()
            if number % 10 == 9:
                duel.check()
    finally:
        duel.close()
