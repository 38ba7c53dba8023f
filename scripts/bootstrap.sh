#!/usr/bin/env bash
# Make .venv (or $VENV) from a lock file: scripts/bootstrap.sh LOCKFILE. Needs Python 3.11 or later, nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=$1
venv=${VENV:-.venv}
python=${PYTHON:-python3}
for candidate in "$python" python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        found=$candidate
        break
    fi
done
if [ -z "${found:-}" ]; then
    echo "ERROR: Python 3.11 or later is needed, and $python is not it." \
        "Install it, or name it: make PYTHON=/path/to/python3.11 ..." >&2
    exit 1
fi
if [ ! -x "$venv/bin/pip" ]; then
    # Debian and Ubuntu split ensurepip off; as root we can fetch it.
    if ! "$found" -m venv "$venv" 2>/dev/null; then
        rm -rf "$venv"
        version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            apt-get update -qq && apt-get install -y -qq "python$version-venv" >/dev/null
        else
            echo "ERROR: $found cannot make a virtual environment;" \
                "install its venv module (on Debian: apt-get install python$version-venv)" >&2
            exit 1
        fi
        "$found" -m venv "$venv"
    fi
fi
echo "Installing what $lock pins into $venv ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
