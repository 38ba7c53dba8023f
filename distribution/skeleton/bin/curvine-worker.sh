#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# curvine-worker.sh start | stop | restart | status
exec "$(dirname "$(readlink -f "$0")")/../lib/curvine-service" worker "$@"
