# SPDX-License-Identifier: Apache-2.0
"""Everyday programs on a real mount give what they give on a local disk."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from curvine.testing.outside import python, shell

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(180)]

STDLIB = sysconfig.get_paths()["stdlib"]


def test_cp_p_keeps_bytes_mode_and_times(place: Path) -> None:
    shell(
        f"""
        cp -p {STDLIB}/argparse.py a; chmod 4750 a; touch -d '2001-02-03 04:05:06.789' a
        cp -p a b
        cmp a {STDLIB}/argparse.py; cmp a b
        test "$(stat -c '%a %Y %s' a)" = "$(stat -c '%a %Y %s' b)"
        test "$(stat -c '%y' b)" = "$(stat -c '%y' a)"
        """,
        place,
    )


def test_tar_out_and_in(place: Path) -> None:
    shell(
        f"""
        mkdir t; tar cf - -C {STDLIB} json email asyncio | tar xpf - -C t
        diff -r {STDLIB}/email t/email
        tar cf - -C t . | tar tvf - > listing; test "$(wc -l < listing)" -gt 50
        find t -newermt '1 minute ago' -name '*.py' | wc -l | grep -qx 0
        """,
        place,
    )


def test_git_init_commit_clone_gc(place: Path) -> None:
    shell(
        f"""
        export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
        git init -q one; cd one; git config user.email a@b.c; git config user.name n
        cp -r {STDLIB}/email .; git add -A; git commit -qm first
        test -z "$(git status --porcelain)"
        git mv email/utils.py email/moved.py; git commit -qm second; git gc -q; git fsck --strict
        cd ..; git clone -q one two; diff -r one/email two/email
        """,
        place,
    )


def test_sqlite_with_two_connections_and_a_write_ahead_log(place: Path) -> None:
    code = """
import sqlite3, sys
for mode in ("delete", "wal"):
    one = sqlite3.connect(f"{mode}.db", timeout=30); two = sqlite3.connect(f"{mode}.db", timeout=30)
    one.execute(f"pragma journal_mode={mode}")
    one.execute("create table t (a, b)")
    for i in range(15):
        for connection in (one, two):
            with connection:
                connection.execute("insert into t values (?, ?)", (i, "x" * 500))
    assert one.execute("select count(*) from t").fetchone() == (30,)
    assert two.execute("pragma integrity_check").fetchone() == ("ok",)
    one.close(); two.close()
"""
    python(code, place)


def test_compileall_and_import(place: Path) -> None:
    shell(f"cp -r {STDLIB}/json pkg; rm -rf pkg/__pycache__; python3 -m compileall -q pkg", place)
    shell(
        "test -n \"$(ls pkg/__pycache__)\"; python3 -c 'import pkg; print(pkg.dumps([1]))'", place
    )


def test_appending_from_many_processes_loses_no_line(place: Path) -> None:
    shell(
        """
        for w in 1 2 3 4; do (for i in $(seq 50); do echo "$w $i" >> log; done) & done; wait
        test "$(wc -l < log)" = 200; test "$(sort -u log | wc -l)" = 200
        """,
        place,
    )


def test_tail_follows_a_file_that_grows(place: Path) -> None:
    shell(
        """
        echo first > log
        timeout 3 tail -f -n +1 log > "$M/../$(basename "$M").out" & sleep 0.7
        for i in 1 2 3; do echo "line $i" >> log; sleep 0.1; done; wait || true
        test "$(wc -l < "$M/../$(basename "$M").out")" = 4
        """,
        place,
    )


def test_dd_patches_in_place_and_leaves_holes(place: Path) -> None:
    shell(
        """
        dd if=/dev/zero of=z bs=1M count=8 conv=fsync status=none
        printf PATCH | dd of=z bs=1 seek=3000000 conv=notrunc status=none
        test "$(dd if=z bs=1 skip=3000000 count=5 status=none)" = PATCH
        test "$(stat -c %s z)" = 8388608
        printf end | dd of=sparse bs=1 seek=20000000 status=none
        test "$(stat -c %s sparse)" = 20000003
        test "$(head -c 20000000 sparse | tr -d '\\0' | wc -c)" = 0
        """,
        place,
    )


def test_an_editor_saves_by_renaming_over(place: Path) -> None:
    code = """
import os
for turn in range(30):
    body = f"version {turn}\\n" * (turn + 1)
    with open(".doc.swp", "w") as file:
        file.write(body); file.flush(); os.fsync(file.fileno())
    os.rename(".doc.swp", "doc")
    assert open("doc").read() == body
    os.link("doc", "doc~") if turn == 0 else None
assert open("doc~").read() == "version 0\\n"
"""
    python(code, place)


def test_moving_trees_across_directories(place: Path) -> None:
    shell(
        f"""
        cp -a {STDLIB}/email one; mkdir -p deep/er; mv one deep/er/two
        diff -r {STDLIB}/email deep/er/two
        mv deep moved; diff -r {STDLIB}/email moved/er/two
        rm -r moved; test -z "$(ls -A)"
        """,
        place,
    )


def test_twenty_processes_at_once(place: Path) -> None:
    code = """
import os, random, sys
mine = int(sys.argv[1]); random.seed(mine)
for turn in range(6):
    body = random.randbytes(random.choice((0, 1, 4096, 100_000)))
    fd = os.open(f"{mine}-{turn}.part", os.O_CREAT | os.O_EXCL | os.O_RDWR)
    assert os.write(fd, body) == len(body)
    os.fsync(fd); os.close(fd)
    os.rename(f"{mine}-{turn}.part", f"{mine}-{turn % 2}")
    with open(f"{mine}-{turn % 2}", "rb") as file:
        assert file.read() == body
os.unlink(f"{mine}-0")
"""
    script = f"cat > ../w.py <<'EOF'\n{code}\nEOF\n" + (
        'pids=; for i in $(seq 20); do python3 ../w.py $i & pids="$pids $!"; done\n'
        "for p in $pids; do wait $p; done; test $(ls | wc -l) = 20"
    )
    shell(script, place, timeout=120)


def test_memory_mapped_reading_and_writing(place: Path) -> None:
    code = """
import mmap, os
with open("m", "wb") as file: file.write(b"a" * 300_000)
with open("m", "r+b") as file, mmap.mmap(file.fileno(), 0) as map:
    map[100:105] = b"hello"; map.flush()
    assert map[99:106] == b"ahelloa"
with open("m", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as map:
    assert map[99:106] == b"ahelloa" and len(map) == 300_000
"""
    python(code, place)


def test_executing_a_program_from_the_mount(place: Path) -> None:
    assert shell("cp /bin/echo e; ./e works; cp /bin/sh s; ./s -c 'echo too'", place) == (
        "works\ntoo\n"
    )


def test_df_and_ls_lr(place: Path) -> None:
    shell(
        """
        mkdir -p a/b; for i in $(seq 1500); do : > a/b/$i; done
        test "$(ls a/b | wc -l)" = 1500; test "$(ls -lR | grep -c ^-)" = 1500
        test "$(df --block-size=1 --output=size . | tail -1)" -gt 0
        rm -rf a
        """,
        place,
        timeout=120,
    )
