# SPDX-License-Identifier: Apache-2.0
"""Public POSIX suites on a mount of a small real cluster: ``make conformance``.

The suites are installed by whoever runs this and named by their paths: PJDFSTEST (a built
pjdfstest), LTP (an installed Linux Test Project: runtest/ and testcases/bin), XFSTESTS (a built
xfstests-dev). known-failures/SUITE.txt lists what fails, one identifier and its reason a line. A
failure that is not listed fails the run, and so does a listed one that passes. Results:
build/conformance/SUITE.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from suites import Outcome, Verdicts, ltp, pjdfstest, xfstests

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount

HERE = Path(__file__).parent


def known_failures(suite: str) -> dict[str, str]:
    """Identifier -> reason. A line without a reason is an error."""
    path = HERE / "known-failures" / f"{suite}.txt"
    known = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition("  ")
            if not reason.strip():
                raise SystemExit(f"ERROR: {path}: {name} has no reason")
            known[name.strip()] = reason.strip()
    return known


def judge(suite: str, verdicts: Verdicts, results: Path) -> bool:
    """Print and write the result of a suite; whether it is as expected."""
    known = known_failures(suite)
    by_outcome = {kind: sorted(n for n, v in verdicts.items() if v is kind) for kind in Outcome}
    failed = set(by_outcome[Outcome.FAILED])
    unexpected = sorted(failed - set(known))
    cured = sorted(name for name in known if verdicts.get(name) is Outcome.PASSED)
    results.mkdir(parents=True, exist_ok=True)
    document = {kind.value: names for kind, names in by_outcome.items()}
    (results / f"{suite}.json").write_text(json.dumps(document, indent=1))
    counts = ", ".join(f"{len(names)} {kind.value}" for kind, names in by_outcome.items())
    print(f"{suite}: {counts} ({len(failed & set(known))} of the failures are known)")
    for name in unexpected:
        print(f"  FAILED {name}")
    for name in cured:
        print(f"  LISTED AS FAILING, BUT PASSES: {name} ({known[name]})")
    return not unexpected and not cured


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    for suite in ("pjdfstest", "ltp", "xfstests"):
        parser.add_argument(f"--{suite}", default=os.environ.get(suite.upper(), ""), metavar="PATH")
    parser.add_argument("--only", default="", help="part of the identifiers to run")
    parser.add_argument("--results", type=Path, default=Path("build/conformance"))
    options = parser.parse_args()
    runs: dict[str, Callable[[Path, MiniMount, str], Verdicts]] = {
        "pjdfstest": pjdfstest, "ltp": ltp, "xfstests": xfstests,
    }  # fmt: skip
    wanted = {name: Path(getattr(options, name)) for name in runs if getattr(options, name)}
    if not wanted:
        raise SystemExit("ERROR: name a suite: make conformance PJDFSTEST=DIR LTP=DIR XFSTESTS=DIR")
    for name, path in wanted.items():
        if not path.is_dir():
            raise SystemExit(f"ERROR: {name}: {path} is not a directory")
    good = True
    with tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
        root = Path(scratch)
        root.chmod(0o755)
        with (
            MiniCluster(root / "cluster") as cluster,
            MiniMount(cluster.conf_path, root / "mnt", arguments=("-o", "dev,suid")) as mount,
        ):
            os.environ["CURVINE_MASTERS"] = ",".join(
                f"{host}:{port}" for host, port in cluster.conf().client_master_addrs()
            )
            for name, path in wanted.items():
                good &= judge(name, runs[name](path, mount, options.only), options.results)
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"ERROR: {error}")
