# SPDX-License-Identifier: Apache-2.0
"""What handlers work with: the namespace and everything around it, built by ``server``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from curvine.clock import Clock
from curvine.config.schema import ClusterConf
from curvine.errors import NotLeader
from curvine.master.chores import Chores
from curvine.master.decommission import Decommission
from curvine.master.eviction import Eviction
from curvine.master.exporter import Exporter
from curvine.master.jobs import LoadJobs
from curvine.master.locate import Locator
from curvine.master.metrics import Metrics
from curvine.master.placement import Placement
from curvine.master.replication import Replication
from curvine.master.reports import FullReports
from curvine.master.stat_replies import StatReplies
from curvine.master.summing import Summing
from curvine.master.watch import WatchHub
from curvine.master.workers import WorkerMap
from curvine.metadata.engine import Namespace
from curvine.model.block import CommitBlock
from curvine.wire.codes import code_name


@dataclass(slots=True)
class Services:
    """One master's parts. Everything is called from its loop only."""

    conf: ClusterConf
    clock: Clock
    namespace: Namespace
    workers: WorkerMap
    placement: Placement
    locator: Locator
    reports: FullReports
    jobs: LoadJobs
    exporter: Exporter
    watch: WatchHub
    metrics: Metrics
    replication: Replication
    decommission: Decommission
    eviction: Eviction
    chores: Chores
    address: str  # "host:port" that clients see
    is_active: bool = True  # whether this master may read and change the namespace
    stat_replies: StatReplies = field(default_factory=StatReplies)
    summing: Summing = field(init=False)

    def __post_init__(self) -> None:
        self.summing = Summing(self.namespace)

    def committed(self, commits: Sequence[CommitBlock]) -> None:
        """A client says which workers have written blocks; called before that is stored."""
        self.reports.committed(commits)
        self.replication.committed(commits)
        self.decommission.committed(commits)

    def upkeep_metrics(self) -> dict[str, float]:
        """What the chores count, by the names of control-plane specification 7.5 and ours."""
        copies, evicted = self.replication.totals, self.eviction.totals
        buckets, expiring = self.chores.ttl_counts
        return {
            "replication_staging_number": len(self.replication.queue),
            "replication_inflight_number": len(self.replication.jobs),
            "replication_failure_count": copies.failures,
            "replication_blocks_copied": copies.copied,
            "replication_bytes_copied": copies.copied_bytes,
            "replication_replicas_trimmed": copies.trimmed,
            "eviction_lru_cache_size": len(self.eviction.recency),
            "eviction_trigger_count": evicted.runs,
            "eviction_files_deleted": evicted.files,
            "eviction_bytes_freed": evicted.bytes,
            "ttl_bucket_len": buckets,
            "ttl_total_inodes": expiring,
            "ttl_skipped_inodes": self.chores.ttl_skipped,
        }

    def require_active(self, code: int, client_ip: str) -> None:
        """The role check, made before any request is looked at: NotLeader on a standby."""
        if not self.is_active:
            raise NotLeader(f"Not a leader master, code={code_name(code)}, client_ip={client_ip}")
