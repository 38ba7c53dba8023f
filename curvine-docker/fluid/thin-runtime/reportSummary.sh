#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# reportSummary of a CacheRuntimeClass: what the Dataset's status shows of the cache, as JSON.
set -eu
CURVINE_HOME=${CURVINE_HOME:-/opt/curvine}
export CURVINE_CONF_FILE=${CURVINE_CONF_FILE:-$CURVINE_HOME/conf/curvine-cluster.toml}
exec "$CURVINE_HOME/bin/cv" report fluid-summary
