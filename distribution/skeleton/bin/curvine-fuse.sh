#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# curvine-fuse.sh start | stop | restart | status | reload [options of curvine-fuse]
exec "$(dirname "$(readlink -f "$0")")/../lib/curvine-service" fuse "$@"
