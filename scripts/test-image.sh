#!/usr/bin/env bash
# Build the image on a base made by debootstrap, without a registry, and try it: make test-image.
# Needs root, debootstrap, buildah and crun. CURVINE_BASE_ROOT names a root file system to use instead.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in debootstrap buildah crun; do
    command -v "$tool" >/dev/null || { echo "ERROR: $tool is missing; apt-get install $tool" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "ERROR: make test-image needs root" >&2; exit 1; }
work=$PWD/build/image
mkdir -p "$work"
base=${CURVINE_BASE_ROOT:-$work/base}
if [ ! -e "$base/etc/debian_version" ]; then
    echo "=== a base: Debian 12 by debootstrap"
    rm -rf "$work/base.part"
    debootstrap --variant=minbase \
        --include=ca-certificates,fuse3,gawk,iputils-ping,mount,procps,python3,telnet \
        bookworm "$work/base.part" "${MIRROR:-http://deb.debian.org/debian}" >"$work/debootstrap.log"
    rm -rf "$work/base.part"/var/cache/apt/archives/*.deb
    mv "$work/base.part" "$work/base"
fi
cat >"$work/storage.conf" <<CONF
[storage]
driver = "vfs"
runroot = "$work/run"
graphroot = "$work/store"
CONF
export CONTAINERS_STORAGE_CONF=$work/storage.conf BUILDAH_ISOLATION=chroot
tag=fluid-cloudnative/curvine-thinruntime:v1.0.0
made=$(buildah from scratch)
buildah copy --quiet "$made" "$base" / >/dev/null
buildah commit --quiet --rm "$made" localhost/curvine-base >/dev/null
curvine-docker/fluid/thin-runtime/build-image.sh --builder buildah --base localhost/curvine-base -- --quiet
buildah images --format '{{.Name}}:{{.Tag}} {{.Size}}'
container=$(buildah from "$tag")
trap 'buildah rm "$container" >/dev/null; buildah rmi --all --force >/dev/null 2>&1 || true' EXIT
root=$(buildah mount "$container")
echo "of which Curvine: $(du -sm "$root/opt/curvine" | cut -f1) MB, the base: $(du -sm "$base" | cut -f1) MB"
CURVINE_IMAGE_ROOT=$root CURVINE_APP_ROOT=$base .venv/bin/python -m pytest -q -s tests/fluid/test_pod.py
