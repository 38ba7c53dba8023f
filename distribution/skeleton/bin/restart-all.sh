#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# restart-all.sh: stop and start master, worker and the mount of conf/curvine-cluster.toml
set -e
service="$(dirname "$(readlink -f "$0")")/../lib/curvine-service"
"$service" fuse stop
"$service" local-cluster restart
exec "$service" fuse start "$@"
