# SPDX-License-Identifier: Apache-2.0
"""Large software on a real mount: a database server, an environment, a mirror, a compilation."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.outside import shell

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

# Too long for `make test`.
long = pytest.mark.skipif(
    not os.environ.get("CURVINE_SOFTWARE"), reason="a long form: CURVINE_SOFTWARE=1 runs it"
)
TRANSACTIONS = int(os.environ.get("CURVINE_PGBENCH_TRANSACTIONS", "500"))


def need(*programs: str) -> None:
    """Skip when one is missing (fail in CI)."""
    for program in programs:
        if shutil.which(program) is None:
            message = f"{program} is not installed (tests/debian-packages.txt)"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)


@long
def test_pip_installs_into_an_environment_and_it_runs(place: Path) -> None:
    shell(
        """
        wheel=$(python3 -c 'import ensurepip, pathlib
print(*(pathlib.Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))')
        python3 -m venv --without-pip env
        PYTHONPATH=$wheel env/bin/python -m pip install -q --no-index --no-cache-dir "$wheel"
        env/bin/pip --version | grep -qF "$PWD/env"
        env/bin/pip check; env/bin/pip uninstall -q -y pip; test ! -e env/bin/pip
        """,
        place,
        timeout=300,
    )


def test_rsync_mirrors_and_finds_nothing_left_to_do(place: Path) -> None:
    need("rsync")
    shell(
        """
        python3 -c 'import email, shutil; shutil.copytree(email.__path__[0], "../rsync-from")'
        trap 'rm -rf ../rsync-from' EXIT
        ln -s charset.py ../rsync-from/link; ln ../rsync-from/header.py ../rsync-from/hard
        chmod 600 ../rsync-from/utils.py; touch -d '2003-04-05 06:07:08' ../rsync-from/utils.py
        rsync -aHAX --checksum ../rsync-from/ to
        test -z "$(rsync -aHAXi --checksum --delete ../rsync-from/ to)"
        diff -r ../rsync-from to; test to/header.py -ef to/hard
        echo more >> ../rsync-from/utils.py; rm ../rsync-from/parser.py
        rsync -aHAX --delete --inplace ../rsync-from/ to
        diff -r ../rsync-from to; test ! -e to/parser.py
        """,
        place,
        timeout=300,
    )


def test_a_parallel_compilation_links_and_is_up_to_date(place: Path) -> None:
    need("gcc", "make")
    shell(
        """
        {
            echo 'OBJECTS := $(addsuffix .o,$(basename $(wildcard *.c)))'
            echo 'all: sum'; echo 'sum: $(OBJECTS); gcc -o $@ $^'
            echo '%.o: %.c all.h; gcc -MMD -c -o $@ $<'
        } > Makefile
        echo 'int main(void) { int s = 0;' > main.c.new
        for i in $(seq 20); do
            echo "int f$i(void);" >> all.h
            printf '#include "all.h"\\nint f%d(void) { return %d; }\\n' $i $i > part$i.c
            echo "s += f$i();" >> main.c.new
        done
        { echo '#include "all.h"'; cat main.c.new; echo 'return s; }'; } > main.c; rm main.c.new
        make -s -j8; code=0; ./sum || code=$?; test $code = 210
        make -q; make -q sum
        echo 'int f1(void) { return 2; }' > part1.c; make -s -j8
        code=0; ./sum || code=$?; test $code = 211
        ar rcs lib.a part*.o; test "$(ar t lib.a | wc -l)" = 20
        """,
        place,
        timeout=300,
    )


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A mount that other users reach: pytest's own directories are closed to them."""
    with tempfile.TemporaryDirectory(prefix="curvine-software-") as name:
        top = Path(name)
        top.chmod(0o755)
        cluster = MiniCluster(top / "cluster")
        with cluster, MiniMount(cluster.conf_path, top / "mnt") as mount:
            yield mount.target


@long
def test_a_postgresql_data_directory_under_pgbench_survives_a_crash(open_place: Path) -> None:
    postgres = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not postgres:
        need("initdb", "pgbench")
    out = shell(
        f"""
        export PATH={postgres[-1] if postgres else ""}:$PATH LC_ALL=C
        run() {{ if [ "$(id -u)" = 0 ]; then setpriv --reuid postgres --regid postgres \\
            --init-groups "$@"; else "$@"; fi; }}
        mkdir -m 700 data; if [ "$(id -u)" = 0 ]; then chown postgres data; fi
        sockets=$(mktemp -d); chmod 777 "$sockets"; trap 'run pg_ctl -D data -m immediate \\
            -W stop >/dev/null 2>&1 || true; rm -rf "$sockets"' EXIT
        run initdb -D data --no-instructions -A trust -U bench >/dev/null
        start() {{ run pg_ctl -D data -w -t 120 -l data/log \\
            -o "-k $sockets -c listen_addresses=" start >/dev/null; }}
        start
        export PGHOST=$sockets PGUSER=bench PGDATABASE=postgres
        pgbench -q -i -s 1 2>/dev/null
        pgbench -n -c 4 -t {TRANSACTIONS} 2>&1 | grep -E 'actually processed|failed'
        run pg_ctl -D data -m immediate -w stop >/dev/null
        start
        psql -Atc 'select (select sum(abalance) from pgbench_accounts) =
            (select sum(delta) from pgbench_history), count(*) from pgbench_history'
        psql -Atc 'create extension amcheck' \\
            -c "select bt_index_check('pgbench_accounts_pkey', true)" >/dev/null
        run pg_ctl -D data -m fast -w stop >/dev/null
        """,
        open_place,
        timeout=500,
    )  # fmt: skip
    assert f"t|{4 * TRANSACTIONS}" in out.splitlines(), out
