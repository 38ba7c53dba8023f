# SPDX-License-Identifier: Apache-2.0
"""Mounts of something else than one cluster's root: sub trees, several clusters, nothing at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from curvine.client.blocking import BlockingFileSystem
from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.outside import shell

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]


def test_a_sub_tree_is_made_and_mounted(tmp_path: Path) -> None:
    with MiniCluster(tmp_path / "cluster") as cluster:
        with MiniMount(cluster.conf_path, tmp_path / "mnt", fs_path="/a/b") as mount:
            shell("echo x > f; test $(ls -A) = f", mount.target)
            with BlockingFileSystem(cluster.conf()) as files:
                assert files.status("/a/b/f").len == 2


def test_two_clusters_in_one_mount(tmp_path: Path) -> None:
    with MiniCluster(tmp_path / "one") as one, MiniCluster(tmp_path / "two") as two:
        for cluster in (one, two):
            with BlockingFileSystem(cluster.conf()) as files:
                files.mkdir("/data")
        conf = tmp_path / "both.toml"
        blocks = []
        for name, cluster, read_only in (("one", one, "false"), ("deep/two", two, "true")):
            host, port = cluster.conf().client_master_addrs()[0]
            blocks.append(
                f'[[fuse.mounts]]\npath = "/{name}"\nfs_path = "/data"\nread_only = {read_only}\n'
                f'[[fuse.mounts.master_addrs]]\nhostname = "{host}"\nport = {port}\n'
            )
        conf.write_text('cluster_id = "mini"\n' + "".join(blocks))
        with MiniMount(conf, tmp_path / "mnt") as mount:
            shell(
                """
                test "$(ls | tr '\\n' ' ')" = "deep one "; echo x > one/f; test "$(cat one/f)" = x
                ! touch deep/two/g; ! mkdir x; ! mv one/f deep/two/
                exec 5< one/f; rm one/f; test "$(cat <&5)" = x; exec 5<&-; test -z "$(ls -A one)"
                df . | tail -1
                """,
                mount.target,
            )
            two.master.kill()
            shell("echo y > one/g; test $(cat one/g) = y; ls", mount.target)
            two.master.start()
            shell("ls -A deep/two", mount.target)


def test_a_mount_of_nothing_is_an_empty_directory(tmp_path: Path) -> None:
    conf = tmp_path / "empty.toml"
    conf.write_text('[fuse]\nfs_path = ""\nreadonly = true\n[client]\nmaster_addrs = []\n')
    with MiniMount(conf, tmp_path / "mnt", fs_path="") as mount:
        shell('test -z "$(ls -A)"; ! touch f; ! stat f; df . | tail -1', mount.target)


def test_without_a_local_worker_a_read_only_mount_opens_without_asking(tmp_path: Path) -> None:
    with MiniCluster(tmp_path / "cluster") as cluster:
        with BlockingFileSystem(cluster.conf()) as files:
            with files.create("/f") as writer:
                writer.write(0, b"data")
        other = tmp_path / "other.toml"
        text = cluster.conf_path.read_text().replace('cluster_id = "mini"', 'cluster_id = "else"')
        other.write_text(text)  # under another name the worker's socket is not found
        arguments = ("--readonly", "true")
        with MiniMount(other, tmp_path / "mnt", arguments=arguments) as mount:
            assert shell("cat f f", mount.target) == "datadata"
            assert "without asking" in mount.output()
