#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# local-cluster.sh start | stop | restart | status: master and worker of conf/curvine-cluster.toml
exec "$(dirname "$(readlink -f "$0")")/../lib/curvine-service" local-cluster "$@"
