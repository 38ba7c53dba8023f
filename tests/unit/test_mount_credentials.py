# SPDX-License-Identifier: Apache-2.0
"""Credentials of mounts: which properties are secret, who is told, how references resolve."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from curvine.client.mount_secrets import MountSecrets
from curvine.errors import ConfigError, InvalidArgument
from curvine.master.disclosure import kept_secrets, told
from curvine.model.credentials import (
    EXPOSE,
    MASTER,
    WITHHELD,
    for_others,
    for_ours,
    is_secret,
    literal_secrets,
    redacted,
)
from curvine.model.mount import MountInfo
from curvine.ufs.credentials import resolved, stamp
from curvine.ufs.registry import check_properties, open_ufs

SECRET = "wJalrXUtnFEMI"
LITERAL = {
    "s3.endpoint_url": "http://s3:9000",
    "s3.credentials.access": "AKIA",
    "s3.credentials.secret": SECRET,
}


def refer(value: str) -> str:
    return f"{MASTER}1.{len(value)}"


@pytest.mark.parametrize(
    "name",
    ["s3.credentials.secret", "s3.secret_key", "oss.accessKeySecret", "azure.account_key",
     "aws_secret_access_key", "s3.session_token", "webhdfs.delegation", "hdfs.password",
     "gcs.credential", "azblob.sas_token", "cos.secret_id", "ftp.passwd", "x.private_key",
     "encryption_key", "S3.SECRET"],
)  # fmt: skip
def test_secret_names(name: str) -> None:
    assert is_secret(name) == (name != "webhdfs.delegation")


@pytest.mark.parametrize(
    "name",
    ["s3.endpoint_url", "s3.credentials.access", "s3.access_key", "oss.access_key_id",
     "oss.accessKeyId", "gcs.credential_path", "hdfs.kerberos.keytab", "s3.path_style",
     "load_task.parallel", "s3.region_name", EXPOSE],
)  # fmt: skip
def test_names_that_are_told(name: str) -> None:
    assert not is_secret(name)


def test_literals_stay_with_the_master() -> None:
    assert for_others(LITERAL, resolved) == {**LITERAL, "s3.credentials.secret": WITHHELD}
    assert literal_secrets(LITERAL) == ("s3.credentials.secret",)
    assert SECRET not in str(redacted(LITERAL))


def test_our_own_are_referred_to_the_master() -> None:
    mount = MountInfo("/a", "s3://b/", 7, LITERAL)
    mine = told(mount, references=True)
    reference = mine.properties["s3.credentials.secret"]
    assert reference.startswith(f"{MASTER}7.") and SECRET not in str(mine)
    assert told(mount, references=True) == mine
    changed = MountInfo("/a", "s3://b/", 7, {**LITERAL, "s3.credentials.secret": "other"})
    assert told(changed, references=True).properties["s3.credentials.secret"] != reference
    assert redacted(mine.properties)["s3.credentials.secret"] == "***"
    assert kept_secrets(mount) == {"s3.credentials.secret": SECRET}


def test_what_the_master_keeps_is_fetched_when_it_changes() -> None:
    async def body() -> None:
        asked = []
        kept = {"s3.credentials.secret": SECRET}

        async def fetch(mount_id: int) -> dict[str, str]:
            asked.append(mount_id)
            return dict(kept)

        secrets = MountSecrets(fetch)
        mount = MountInfo("/a", "s3://b/", 7, LITERAL)
        mine = told(mount, references=True)
        with pytest.raises(ConfigError, match="kept by the master"):
            secrets.filled(mine)
        await secrets.prepare([mine])
        await secrets.prepare([mine])
        assert secrets.filled(mine) == LITERAL and asked == [7]
        kept["s3.credentials.secret"] = "rotated"
        changed = told(MountInfo("/a", "s3://b/", 7, {**LITERAL, **kept}), references=True)
        await secrets.prepare([changed])
        assert secrets.filled(changed) == {**LITERAL, **kept} and asked == [7, 7]

    asyncio.run(body())


def test_references_go_to_our_own(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    properties = {**LITERAL, "s3.credentials.secret": f"file:{file}"}
    assert for_ours(properties, refer) == properties == redacted(properties)
    assert for_others(properties, resolved)["s3.credentials.secret"] == WITHHELD
    assert literal_secrets(properties) == ()


def test_exposed_mounts_give_values_to_those_who_know_no_references(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    exposed = {**LITERAL, EXPOSE: "true"}
    assert for_ours(exposed, refer) == exposed
    assert for_others(exposed, resolved) == LITERAL
    by_file = {**exposed, "s3.credentials.secret": f"file:{file}"}
    assert for_ours(by_file, refer) == by_file
    assert for_others(by_file, resolved) == LITERAL


@pytest.mark.parametrize("value", ["", "false", "no", "1"])
def test_only_true_exposes(value: str) -> None:
    assert for_others({**LITERAL, EXPOSE: value}, resolved)["s3.credentials.secret"] == WITHHELD


def test_one_mount_that_cannot_be_resolved_does_not_hide_the_table() -> None:
    properties = {**LITERAL, "s3.credentials.secret": "file:/none/here", EXPOSE: "true"}
    mount = MountInfo("/a", "s3://b/", 1, properties)
    assert told(mount, references=False).properties["s3.credentials.secret"] == WITHHELD
    assert told(mount, references=True).properties == properties


class TestResolving:
    def test_files_and_variables(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text(SECRET + "\r\n")
        environ = {"CURVINE_UFS_KEY": "AKIA"}
        made = resolved(
            {
                "s3.credentials.access": "env:CURVINE_UFS_KEY",
                "s3.credentials.secret": f"file:{file}",
                "s3.endpoint_url": "file:/not/a/credential",
                EXPOSE: "true",
            },
            environ,
        )
        assert made == {
            "s3.credentials.access": "AKIA",
            "s3.credentials.secret": SECRET,
            "s3.endpoint_url": "file:/not/a/credential",
        }

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ("file:relative", "no absolute path"),
            ("file:/none/here", "No such file"),
            ("file:/tmp", "Is a directory"),
            ("file:/dev/null", "is empty"),
            ("env:NOWHERE", "is not set"),
            ("env:CURVINE_AUTH_TOKEN", "is not set"),
            (WITHHELD, "keeps to itself"),
            (f"{MASTER}1.ab", "keeps to itself"),
        ],
    )
    def test_that_fails(self, value: str, reason: str) -> None:
        with pytest.raises(ConfigError, match=reason) as caught:
            resolved({"s3.credentials.secret": value}, {"CURVINE_AUTH_TOKEN": "hush"})
        assert "s3.credentials.secret" in str(caught.value) and "hush" not in str(caught.value)

    def test_at_the_door_of_every_storage(self, tmp_path: Path) -> None:
        """Opening resolves, so a missing credential is named before anything is asked."""
        check_properties(f"file://{tmp_path}", {EXPOSE: "true", "opendal.token": "env:NOWHERE"})
        with pytest.raises(ConfigError, match="NOWHERE"):
            open_ufs(f"file://{tmp_path}", {"opendal.token": "env:NOWHERE"})
        with pytest.raises(InvalidArgument):
            check_properties(f"file://{tmp_path}", {"s3.credentials.secret": "x"})

    def test_a_replaced_file_is_noticed(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text("one")
        properties = {"s3.credentials.secret": f"file:{file}", "s3.region_name": "file:/x"}
        before = stamp(properties)
        assert before == stamp(properties) and len(before) == 1
        fresh = tmp_path / "new"
        fresh.write_text("two")
        fresh.replace(file)
        assert stamp(properties) != before
        file.unlink()
        assert stamp(properties) == () == stamp(LITERAL)
