#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which role this container has. Every way ends in exec: the program becomes process 1.
#
#   entrypoint.sh fluid-thin-runtime          Fluid's ThinRuntime
#   entrypoint.sh master|worker|client [start]
#   entrypoint.sh COMMAND ...                 anything else
#   entrypoint.sh                             what Fluid's environment says, else a master
set -eu
export CURVINE_HOME=${CURVINE_HOME:-/opt/curvine}
lib=$CURVINE_HOME/lib

thin() {
    python3 "$CURVINE_HOME/fluid-config-parse.py"
    exec "$CURVINE_HOME/mount-curvine.sh"
}

# A configuration that was given is used as it is; under CacheRuntime one is made of runtime.json.
configure() {
    if [ -n "${CURVINE_CONF_FILE:-}" ] && [ -f "$CURVINE_CONF_FILE" ]; then
        return
    fi
    if [ -f "${FLUID_RUNTIME_CONFIG_PATH:-}" ] && [ -f "$CURVINE_HOME/generate_config.py" ]; then
        local made
        made=$(python3 "$CURVINE_HOME/generate_config.py")
        eval "$made"
    fi
    export CURVINE_CONF_FILE=$CURVINE_HOME/conf/curvine-cluster.toml
}

role() {
    case ${2:-start} in
        start) ;;
        *)
            echo "ERROR: a container can only start $1; end it by stopping the container" >&2
            exit 1
            ;;
    esac
    configure
    cd "$CURVINE_HOME"
    if [ "$1" = client ]; then
        local target=${CURVINE_TARGET_PATH:-${FLUID_RUNTIME_MOUNT_PATH:-}}
        if [ -n "$target" ]; then
            exec "$lib/curvine-fuse" --conf "$CURVINE_CONF_FILE" --mnt-path "$target"
        fi
        exec "$lib/curvine-fuse" --conf "$CURVINE_CONF_FILE"
    fi
    # Others than this container have to reach it.
    export ORPC_BIND_HOSTNAME=${ORPC_BIND_HOSTNAME:-0.0.0.0}
    exec "$lib/curvine-server" --service "$1" --conf "$CURVINE_CONF_FILE"
}

case ${1:-} in
    fluid-thin-runtime) thin ;;
    master | worker | client) role "$@" ;;
    "")
        if [ "${FLUID_RUNTIME_TYPE:-}" = thin ]; then
            thin
        elif [ -n "${FLUID_RUNTIME_COMPONENT_TYPE:-}" ]; then
            role "$FLUID_RUNTIME_COMPONENT_TYPE"
        elif [ -n "${FLUID_RUNTIME_NS:-}" ] || [ -f /etc/fluid/config/config.json ]; then
            thin
        else
            role master
        fi
        ;;
    *) exec "$@" ;;
esac
