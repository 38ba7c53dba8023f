# SPDX-License-Identifier: Apache-2.0
"""What a directory amounts to, asked for again and again (``tally`` has the theory)."""

from __future__ import annotations

from itertools import islice

from msgspec.structs import replace

from curvine.errors import NotFound
from curvine.metadata.snapshot import Snapshots
from curvine.metadata.stepping import Steps, finish
from curvine.metadata.tally import CHUNK, Tally, share
from curvine.model.inode import ContentSummary

_RECLAIMED = 100  # inodes taken out of a deleted subtree in one step
_KEPT_MS = 1_800_000  # sums that nobody has asked for since are no longer kept up


class Summaries(Snapshots):
    """Sums over subtrees."""

    def content_summary(self, path: str) -> ContentSummary:
        """What ``path`` amounts to, however long it takes; NotFound if missing."""
        return finish(self.content_summary_steps(path))

    def content_summary_steps(self, path: str) -> Steps[ContentSummary]:
        """The same in steps. The first time a directory is walked, later nothing is to be done."""
        while not (summary := self.content_summary_so_far(path)).is_complete:
            yield
        return summary

    def content_summary_so_far(self, path: str) -> ContentSummary:
        """Do one bounded piece of the counting that is left; call again until it is complete."""
        inode = self._view.resolve(path)
        if inode is None:
            raise NotFound(f"File {path} not found")
        if not inode.is_dir:
            return ContentSummary(*share(inode))
        now = self._clock.now_ms()
        self._tallies.drop_unused(now - _KEPT_MS)
        tally = self._tallies.of(inode.id, now)
        if not tally.is_walked:
            self._walk_on(tally)
        elif tally.leaving:
            self.reclaim_step(_RECLAIMED)
        done = tally.is_walked and not tally.leaving
        return replace(tally.summary, is_complete=done)

    def _walk_on(self, tally: Tally) -> None:
        directory, behind = tally.next_directory()
        after = behind.decode("utf-8", "surrogatepass")
        names = list(islice(self._view.children(directory, after), CHUNK))
        inodes = self._view.inodes([inode_id for _, inode_id in names])
        tally.count(
            directory,
            [
                (name.encode("utf-8", "surrogatepass"), inode)
                for (name, _), inode in zip(names, inodes, strict=True)
            ],
        )
