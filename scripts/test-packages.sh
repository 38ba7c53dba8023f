#!/usr/bin/env bash
# Install the Debian packages in tests/debian-packages.txt that are missing. Needs root and apt; where
# one of them is absent it says what is missing and goes on: the tests that need it skip with a reason.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' tests/debian-packages.txt)
missing=()
for package in $wanted; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "WARNING: not installed, and this is no root shell with apt-get: ${missing[*]}" >&2
    exit 0
fi
echo "Installing for the tests: ${missing[*]} ..."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Services that a package would start at once (a database, a web server) stay off: tests start their own.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d.curvine && chmod +x /usr/sbin/policy-rc.d.curvine
made=
if [ ! -e /usr/sbin/policy-rc.d ]; then mv /usr/sbin/policy-rc.d.curvine /usr/sbin/policy-rc.d && made=yes; else rm -f /usr/sbin/policy-rc.d.curvine; fi
trap '[ -z "$made" ] || rm -f /usr/sbin/policy-rc.d' EXIT
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
