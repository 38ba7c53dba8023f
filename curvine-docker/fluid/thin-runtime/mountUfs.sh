#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# mountUFS of a CacheRuntimeClass: mounts what the Dataset lists, unmounts the rest, prints JSON.
set -eu
CURVINE_HOME=${CURVINE_HOME:-/opt/curvine}
export CURVINE_CONF_FILE=${CURVINE_CONF_FILE:-$CURVINE_HOME/conf/curvine-cluster.toml}
exec "$CURVINE_HOME/bin/cv" fluid mount-ufs
