# SPDX-License-Identifier: Apache-2.0
"""Run ceph/s3-tests, a checkout given by its path, against a gateway of our own.

    python tests/conformance/run_s3tests.py PATH [-k EXPRESSION]

Applicable are tests of what this gateway offers: marks and name patterns in s3_known.toml leave out
what it says it does not (versions, ACLs, policies ...). A test that fails and is not listed there
with its reason fails the run; so does a listed one that passes.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

from curvine.s3.acl import canonical_id
from curvine.testing.cluster import MiniCluster
from curvine.testing.s3_gateway import MiniGateway

SECRET = "a-secret-of-the-suite"
HERE = Path(__file__).parent
_SECTION = """
[{name}]
display_name = {user}
user_id = {id}
email = {user}@example.com
api_name =
access_key = key-of-{user}
secret_key = {secret}
tenant = testx
"""


USERS = ("main", "alt", "tenant", "iam", "iam-root", "iam-alt-root")  # an owner each


def _configuration(endpoint: str) -> str:
    host, port = endpoint.removeprefix("http://").split(":")
    text = f"[DEFAULT]\nhost = {host}\nport = {port}\nis_secure = False\nssl_verify = False\n"
    text += "[fixtures]\nbucket prefix = cv-{random}-\niam name prefix = s3-tests-\n"
    text += "iam path prefix = /s3-tests/\n"
    sections = ("s3 main", "s3 alt", "s3 tenant", "iam", "iam root", "iam alt root")
    for section, user in zip(sections, USERS, strict=True):
        text += _SECTION.format(name=section, user=user, id=canonical_id(user), secret=SECRET)
    return text


def _add_users(cluster: MiniCluster) -> None:
    for user in USERS:
        command = [
            sys.executable, "-m", "curvine.s3.run", "--conf", str(cluster.conf_path), "credential",
            "add", "--access-key", f"key-of-{user}", "--secret-key", SECRET, "--owner", user,
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("-k", default="")
    arguments = parser.parse_args()
    known = tomllib.loads((HERE / "s3_known.toml").read_text())
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        settings = {"s3_gateway": {"credentials_path": str(root / "credentials.jsonl")}}
        cluster = MiniCluster(root / "cluster", settings=settings)
        _add_users(cluster)
        with cluster, MiniGateway(cluster) as gateway:
            (root / "s3tests.conf").write_text(_configuration(gateway.endpoint))
            marks = " and ".join(f"not {mark}" for mark in known["not_offered"]["marks"])
            chosen = " or ".join(known["offered"]["names"])
            if arguments.k:
                chosen = f"({chosen}) and ({arguments.k})"
            began = time.monotonic()
            results = _run(arguments.path, root, "-m", marks, "-k", arguments.k)
            results |= _run(arguments.path, root, "-k", chosen)
            print(f"{time.monotonic() - began:.0f} s")
    return _report(results, known)


def _run(path: Path, root: Path, *options: str) -> dict[str, str]:
    """Results by test of one run of the suite."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=",
        "--timeout=90", f"--junitxml={root / 'result.xml'}", *options,
        "s3tests/functional/test_s3.py", "s3tests/functional/test_headers.py",
    ]  # fmt: skip
    env = {**os.environ, "S3TEST_CONF": str(root / "s3tests.conf")}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    subprocess.run(command, cwd=path, env=env, stdout=subprocess.DEVNULL)
    return _results(root / "result.xml")


def _results(path: Path) -> dict[str, str]:
    found = {}
    for case in ET.parse(path).iter("testcase"):
        kinds = {child.tag for child in case}
        bad = [child for child in case if child.tag in ("failure", "error")]
        state = "skipped" if "skipped" in kinds else "passed"
        found[case.get("name", "")] = (bad[0].get("message") or "failed")[:300] if bad else state
    return found


def _report(results: dict[str, str], known: dict[str, dict[str, object]]) -> int:
    patterns = [re.compile(text) for text in known["not_offered"]["names"]]  # type: ignore[union-attr]
    failures = known["failures"]
    passed, unexpected, surprising = 0, [], []
    applicable = 0
    for name, state in sorted(results.items()):
        if state == "skipped" or any(pattern.search(name) for pattern in patterns):
            continue
        applicable += 1
        if state == "passed":
            passed += 1
            if name in failures:
                surprising.append(name)
        elif name not in failures:
            unexpected.append(f"{name}: {state.splitlines()[0]}")
    print("\n".join(f"FAILED {line}" for line in unexpected))
    print("\n".join(f"PASSES NOW {name}" for name in surprising))
    print(f"{passed} passed of {applicable} applicable; {len(failures)} known failures")
    return 1 if unexpected or surprising or not applicable else 0


if __name__ == "__main__":
    sys.exit(main())
