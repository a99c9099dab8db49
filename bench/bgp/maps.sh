#!/usr/bin/env bash
# 100,000 routes into the data path's maps by the agent's own code, beside a program that does nothing
# but write them.
#
#   bench/bgp/maps.sh [--routes N] [--hops H] [--repeats R]
#
# One hop: nodes in tunnels. Two: routers, over which flows are spread. Prints JSON: ms from the first
# route to the last entry in a map, and the ratio of a run's two halves, which take turns.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${MARGAY_BIN:-$PWD/build/bin}
routes=100000 hops=1 repeats=5
while [ $# -gt 0 ]; do
    case $1 in
    --routes) routes=$2; shift 2 ;;
    --hops) hops=$2; shift 2 ;;
    --repeats) repeats=$2; shift 2 ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
for _ in $(seq "$repeats"); do
    bare=$("$bin/map_bench" bare "$routes" "$hops")
    margay=$("$bin/map_bench" agent "$routes" "$hops")
    jq -cn --argjson bare "$bare" --argjson margay "$margay" '{routes: $bare.routes, hops: $bare.hops, bare_ms: $bare.ms, margay_ms: $margay.ms}'
done | jq -cs 'def median: sort | .[length / 2 | floor];
    {scenario: "maps", routes: .[0].routes, hops: .[0].hops, bare_ms: (map(.bare_ms) | median),
    margay_ms: (map(.margay_ms) | median), ratio: (map(.margay_ms / .bare_ms) | median)}'
