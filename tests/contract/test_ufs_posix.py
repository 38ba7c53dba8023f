# SPDX-License-Identifier: Apache-2.0
"""The UFS conformance suite on file://, with openat2 and with the walk of older kernels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from curvine.testing.ufs_suite import UfsSuite
from curvine.ufs import beneath
from curvine.ufs.base import Ufs
from curvine.ufs.posix import PosixUfs


class TestPosix(UfsSuite):
    """file:// as this kernel serves it."""

    async def make(self, scratch: str) -> tuple[Ufs, str]:
        return PosixUfs(f"file://{scratch}"), f"file://{scratch}"


class TestPosixWithoutOpenat2(TestPosix):
    """file:// where the kernel or a sandbox has no openat2."""

    @pytest.fixture(autouse=True)
    def _no_openat2(self) -> Iterator[None]:
        before = beneath._Probe.answer
        beneath._Probe.answer = False
        yield
        beneath._Probe.answer = before
