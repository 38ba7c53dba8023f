#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Build the image for Fluid's ThinRuntime from build/dist (`make all`).
#
#   build-image.sh [--base IMAGE] [--tag NAME:TAG] [--builder docker|podman|buildah] [-- OPTIONS]
#   build-image.sh --context DIR      only make the build context, for another builder (kaniko, ...)
#
# OPTIONS go to the builder, for example: -- --build-arg http_proxy=http://proxy:3128
set -euo pipefail

here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
top=$(cd "$here/../../.." && pwd)
base=${BASE_IMAGE:-ubuntu:24.04}
tag=${IMAGE:-fluid-cloudnative/curvine-thinruntime:v1.0.0}
builder=${BUILDER:-}
dist=${DIST:-$top/build/dist}
context=

fail() {
    echo "ERROR: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
        --base | --tag | --builder | --context)
            [ $# -gt 1 ] || fail "$1 needs a value"
            declare "${1#--}=$2"
            shift 2
            ;;
        --)
            shift
            break
            ;;
        -h | --help)
            sed -n '3,9s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        *) fail "unknown option $1; see $0 --help" ;;
    esac
done

echo "=== checking the build in $dist"
for file in lib/curvine-fuse lib/curvine-server bin/cv bin/fluid-config-parse lib/python/MACHINE; do
    [ -e "$dist/$file" ] || fail "$dist/$file is not there; run \`make all\` in $top first"
done

works() {
    case $1 in
        docker | podman) command -v "$1" >/dev/null && "$1" info >/dev/null 2>&1 ;;
        buildah) command -v buildah >/dev/null ;;
        *) fail "$1 is no builder that is known here; docker, podman and buildah are" ;;
    esac
}
only_context=$context
if [ -n "$context" ]; then
    mkdir -p "$context"
    [ -z "$(ls -A "$context")" ] || fail "$context is not empty"
else
    if [ -n "$builder" ]; then
        works "$builder" || fail "$builder does not work here (is it installed, is its daemon running?)"
    else
        for candidate in docker podman buildah; do
            if works "$candidate"; then
                builder=$candidate
                break
            fi
        done
        [ -n "$builder" ] || fail "none of docker, podman and buildah works here; install one of them"
    fi

    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
fi
echo "=== making the context in $context"
cp -r "$dist" "$context/curvine"
rm -rf "$context/curvine"/{data,meta,logs,run,journal}
find "$context/curvine" -name __pycache__ -type d -prune -exec rm -rf {} +
# Both editions of the upstream image have the parser under their own name.
for name in fluid-config-parse.py config-parse.py; do
    cp "$dist/bin/fluid-config-parse" "$context/curvine/$name"
    sed -i 's#"\.\.", "lib"#"lib"#' "$context/curvine/$name"
done
cp "$dist/bin/curvine-generate-config" "$context/curvine/generate_config.py"
sed -i 's#"\.\.", "lib"#"lib"#' "$context/curvine/generate_config.py"
cp "$here"/{entrypoint.sh,mountUfs.sh,reportSummary.sh,dataload.sh} "$context/curvine/"
cp "$here/Dockerfile" "$context/Dockerfile"
chmod -R u=rwX,go=rX "$context/curvine"

if [ -n "$only_context" ]; then
    exit 0
fi
echo "=== building $tag on $base with $builder"
case $builder in
    buildah) buildah bud --build-arg BASE="$base" -t "$tag" "$@" "$context" ;;
    *) "$builder" build --build-arg BASE="$base" -t "$tag" "$@" "$context" ;;
esac
echo "=== $tag is built"
