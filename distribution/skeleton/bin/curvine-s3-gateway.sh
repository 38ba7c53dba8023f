#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# curvine-s3-gateway.sh start | stop | restart | status [options of curvine-s3-gateway]
exec "$(dirname "$(readlink -f "$0")")/../lib/curvine-service" s3-gateway "$@"
