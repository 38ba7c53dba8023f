# SPDX-License-Identifier: Apache-2.0
"""The main job, shown: Fluid's configuration goes in, a mounted and cached dataset comes out.

``make demo`` runs this. Everything lives below one temporary directory and on free ports, and is
stopped and removed at the end, Ctrl-C included; ``make demo KEEP=1`` leaves it running. The dataset
is Python's own standard library, and one large tar made of it. Nothing here touches the mount from
inside this process: every look is a process of its own, as a pod would be.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

LARGE = 256 * 1024 * 1024  # bytes; the large file is at least this long
BIN = Path(sys.executable).parent
READER = """
import os, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
buffer, total, began = bytearray(256 * 1024), 0, time.perf_counter()
while n := os.readv(fd, [buffer]):
    total += n
print(total / 1e6 / (time.perf_counter() - began))
"""


DROPPER = """
import os, sys
for top, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(top, name)
        if os.path.islink(path):
            continue
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
"""


class Stopped(Exception):
    """Ctrl-C or SIGTERM."""


class Demo:
    """The places of one demonstration and the steps over them."""

    def __init__(self, top: Path, mounting: bool) -> None:
        self.top = top
        self.mounting = mounting
        self.source = top / "source"
        self.cluster = top / "cluster"
        self.conf = self.cluster / "curvine-cluster.toml"
        self.home = top / "opt" / "curvine"
        self.target = top / "runtime-mnt" / "thin" / "default" / "curvine-dataset" / "thin-fuse"
        self.fuse: subprocess.Popen[bytes] | None = None

    def make_source(self) -> None:
        """A directory of real files: the standard library, a test file, one large tar."""
        library = Path(sysconfig.get_paths()["stdlib"])
        tree = self.source / "python"
        skip = shutil.ignore_patterns("__pycache__", "site-packages", "test", "tests", "*.a")
        shutil.copytree(library, tree, ignore=skip, symlinks=True, ignore_dangling_symlinks=True)
        shutil.copy(tree / "keyword.py", self.source / "testfile")
        large = self.source / "stdlib.tar"
        with tarfile.open(large, "w") as tar:
            turn = 0
            while large.stat().st_size < LARGE:
                tar.add(tree, arcname=f"copy-{turn}")
                turn += 1
        files = sum(len(names) for _, _, names in os.walk(self.source))
        megabytes = large.stat().st_size / 1e6
        print(f"{files} files below {self.source}, stdlib.tar has {megabytes:.0f} MB")

    def start_cluster(self) -> None:
        """A master and a worker, and the dataset's under storage at /data."""
        data = f"[SSD:4GB]{self.cluster / 'data'}"
        self.cv("up", "--dir", str(self.cluster), "--free-ports", "--data-dir", data, "--detach")
        uri = f"file://{self.source}"
        options = ["--write-type", "cache_mode", "--check-path-consist", "false"]
        self.cv("--conf", str(self.conf), "mount", uri, "/data", *options)

    def write_fluid_config(self) -> Path:
        """config.json as Fluid's controller renders it: one compact line."""
        config = {
            "mounts": [
                {
                    "mountPoint": "curvine:///data",
                    "options": {"master-endpoints": self.master()},
                    "name": "curvine",
                }
            ],
            "targetPath": str(self.target),
            "accessModes": ["ReadOnlyMany"],
        }
        path = self.top / "etc" / "fluid" / "config" / "config.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(config, separators=(",", ":")) + "\n")
        print(path.read_text(), end="")
        return path

    def master(self) -> str:
        """host:port of the master, as `cv status` tells it."""
        text = self.output(BIN / "cv", "status", "--dir", str(self.cluster), "--output", "json")
        rows = json.loads(text)["processes"]
        return next(row["address"] for row in rows if row["role"] == "master")

    def parse(self, config: Path) -> None:
        """The image's parser: TOML and mount script, below our own CURVINE_HOME."""
        (self.home / "lib").mkdir(parents=True)
        (self.home / "lib" / "curvine-fuse").symlink_to(BIN / "curvine-fuse")
        os.environ["CURVINE_HOME"] = str(self.home)
        os.environ["FLUID_RUNTIME_CONFIG_PATH"] = str(config)
        self.run(BIN / "fluid-config-parse")
        print("\n--- conf/curvine-cluster.toml")
        print((self.home / "conf" / "curvine-cluster.toml").read_text(), end="")
        print("--- mount-curvine.sh")
        print((self.home / "mount-curvine.sh").read_text(), end="")

    def mount(self) -> None:
        """Run the generated script as it is, and wait until the mount is there."""
        log = self.top / "fuse.log"
        env = {**os.environ, "FLUID_RUNTIME_TYPE": "thin"}
        with open(log, "wb") as out:
            self.fuse = subprocess.Popen(
                [self.home / "mount-curvine.sh"], stdout=out, stderr=out, env=env
            )
        deadline = time.monotonic() + 30
        while not self.mounted():
            if self.fuse.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no mount appeared; the script said:\n{log.read_text()}")
            time.sleep(0.05)
        print(next(row for row in mounts() if str(self.target) in row))

    def mounted(self) -> bool:
        """Whether the target is a mount point, without touching it."""
        return any(row.split()[1] == str(self.target) for row in mounts())

    def look(self) -> None:
        """What the seed document's test pod does."""
        self.run("ls", "-lh", self.target)
        self.run("df", "-h", self.target)
        self.run("cat", self.target / "testfile", head=6)

    def measure(self) -> None:
        """Cold and warm throughput of the large file beside the native file's."""
        ours, native = self.target / "stdlib.tar", self.source / "stdlib.tar"
        self.drop_pages(self.source)
        rows = [("first read, from the under storage", self.speed(ours))]
        self.load()
        cold = [(self.cold(ours), self.cold(native)) for _ in range(3)]
        warm = [(self.speed(ours), self.speed(native)) for _ in range(7)]
        for kind, pairs in (("pages cold", cold), ("warm", warm)):
            mine, reference = (best(speeds) for speeds in zip(*pairs, strict=True))
            rows.append((f"read from the cache, {kind}", mine))
            rows.append((f"native file, {kind}", reference))
            rows.append((f"mount / native, {kind}", mine / reference))
        for title, value in rows:
            print(
                f"{title:<36} {value:>9.2f}" if "/" in title else f"{title:<36} {value:>6.0f} MB/s"
            )

    def cold(self, path: Path) -> float:
        """The speed when neither the source's nor the cache's pages are in memory."""
        self.drop_pages(self.source)
        self.drop_pages(self.cluster / "data")
        return self.speed(path)

    def drop_pages(self, tree: Path) -> None:
        """Write back and forget the cached pages of all files below ``tree``."""
        self.output(sys.executable, "-c", DROPPER, tree)

    def load(self) -> None:
        """Wait for the automatic caching that the first read set off."""
        self.cv("--conf", str(self.conf), "load", "/data", "--watch")

    def compare(self) -> None:
        """Checksum every file, below the mount and below the source."""
        mine, other = self.checksum(self.target), self.checksum(self.source)
        print(f"source   {other}\nmount    {mine}")
        if mine != other:
            raise RuntimeError("THE CHECKSUMS DIFFER")
        print("the checksums agree")

    def checksum(self, tree: Path) -> str:
        """One SHA-256 over names and contents of all files below ``tree``."""
        script = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
        return self.output("bash", "-o", "pipefail", "-c", script, cwd=tree).split()[0]

    def through_client(self) -> None:
        """The same without a mount: by the client library, through `cv`."""
        conf = ("--conf", str(self.conf))
        self.cv(*conf, "fs", "ls", "-H", "/data")
        self.cv(*conf, "fs", "df", "-h")
        self.load()
        copy = self.top / "copy"
        began = time.monotonic()
        self.cv(*conf, "fs", "get", "/data", str(copy))
        size = sum(f.stat().st_size for f in copy.rglob("*") if f.is_file())
        print(f"{size / 1e6 / (time.monotonic() - began):.0f} MB/s through the client")
        self.target = copy
        self.compare()

    def tell_how_to_go_on(self) -> None:
        """What a user may type now, and how to end it."""
        print(f"\nLeft running. Look:  ls {self.target}")
        print(f"                     {BIN / 'cv'} --conf {self.conf} report")
        stop = f"{BIN / 'cv'} down --dir {self.cluster} && rm -rf {self.top}"
        print(f"Stop:  umount {self.target}; {stop}")

    def clean_up(self) -> None:
        """Unmount and stop what was started here, then remove the directory."""
        if self.fuse is not None and self.fuse.poll() is None:
            self.fuse.terminate()
            try:
                self.fuse.wait(15)
            except subprocess.TimeoutExpired:
                self.fuse.kill()
        if self.mounted():
            subprocess.run(["umount", "-l", self.target], check=False)
        if self.conf.exists():
            down = [BIN / "cv", "down", "--dir", self.cluster]
            subprocess.run(down, check=False, stdout=subprocess.DEVNULL)
        shutil.rmtree(self.top, ignore_errors=True)

    def speed(self, path: Path) -> float:
        """MB/s of one sequential read in pieces of 256 KiB."""
        return float(self.output(sys.executable, "-c", READER, path))

    def cv(self, *arguments: str) -> None:
        """Run `cv` and show the line."""
        self.run(BIN / "cv", *arguments)

    def run(self, *argv: object, head: int | None = None) -> None:
        """Show a command and its output; at most ``head`` lines of it."""
        print(
            "$ "
            + shlex.join(
                os.path.basename(str(a)) if i == 0 else str(a) for i, a in enumerate(argv)
            ),
            flush=True,
        )
        if head is None:
            subprocess.run([str(a) for a in argv], check=True)
        else:
            lines = self.output(*argv).splitlines()
            print("\n".join(lines[:head] + ["..."] * (len(lines) > head)))

    def output(self, *argv: object, cwd: Path | None = None) -> str:
        """The output of a command."""
        done = subprocess.run(
            [str(a) for a in argv], check=True, stdout=subprocess.PIPE, text=True, cwd=cwd
        )
        return done.stdout


def mounts() -> list[str]:
    """The lines of /proc/self/mounts."""
    return Path("/proc/self/mounts").read_text().splitlines()


def best(speeds: Iterable[float]) -> float:
    """The fastest of several runs: the one that others disturbed least."""
    return max(speeds)


def why_not_mount() -> str | None:
    """The reason why no mount can be made here, or None."""
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse on this machine"
    if os.geteuid() != 0:
        return "mounting needs root"
    return None


def title(text: str) -> None:
    """A heading between two steps."""
    print(f"\n=== {text}", flush=True)


def show(demo: Demo) -> None:
    """All steps in order."""
    title("a dataset that nobody here wrote")
    demo.make_source()
    title("a cluster, and the dataset under it (file://, cache_mode, read-only)")
    demo.start_cluster()
    if not demo.mounting:
        title("the same through the client library")
        demo.through_client()
        return
    title("what Fluid hands to the image: config.json")
    config = demo.write_fluid_config()
    title("the image's parser")
    demo.parse(config)
    title("the generated script, run as it is")
    demo.mount()
    title("the dataset is a directory")
    demo.look()
    title("throughput, 256 KiB reads of stdlib.tar")
    demo.measure()
    title("every byte is the source's")
    demo.compare()
    title("bytes cached per tier")
    demo.cv("--conf", str(demo.conf), "report", "tiers")


def main() -> int:
    """Run the demonstration; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    arguments = parser.parse_args()
    reason = why_not_mount()
    if reason is not None:
        print(f"No mount here ({reason}): the same is shown through the client library.")

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # stdout is text here
    demo = Demo(Path(tempfile.mkdtemp(prefix="curvine-demo-")), mounting=reason is None)
    began = time.monotonic()
    done = False
    try:
        show(demo)
        done = True
    except Stopped:
        print("\nstopped; cleaning up")
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"\nERROR: {error}", file=sys.stderr)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if done and arguments.keep:
            demo.tell_how_to_go_on()
        else:
            demo.clean_up()
    if done:
        print(f"\nDone in {time.monotonic() - began:.0f} s.")
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
