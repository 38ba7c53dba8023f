#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# DataLoad of a CacheRuntimeClass: loads FLUID_DATALOAD_DATA_PATH and waits.
set -eu
CURVINE_HOME=${CURVINE_HOME:-/opt/curvine}
exec "$CURVINE_HOME/bin/cv" fluid load "$@"
