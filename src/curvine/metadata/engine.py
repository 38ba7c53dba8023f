# SPDX-License-Identifier: Apache-2.0
"""The namespace engine: one class, composed from one module per family of operations.

``core`` (open, mutate, sync, changes) < ``reads`` < ``mutations`` < ``blocktable`` < ``upkeep``
(facts for redundancy and eviction, notes) < ``tables`` (mounts, locks) < ``expiry`` <
``snapshot`` < ``summaries`` < ``ledger`` (changes to export, rows of jobs). What the operations
mean stands in ``rules``.
"""

from __future__ import annotations

from curvine.metadata.ledger import Ledger


class Namespace(Ledger):
    """The metadata of a cluster, in one directory, owned by one thread of one process."""
