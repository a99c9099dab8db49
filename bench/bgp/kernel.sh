#!/usr/bin/env bash
# 100,000 routes by BGP into the kernel's table, beside a program that does nothing but add them.
#
#   bench/bgp/kernel.sh [--routes N] [--repeats R]
#
# A speaker of ours is a peer and tells N routes whose next hop is no node's, so that they are the kernel's
# alone. Prints JSON: ms from the first route in the table to the last, by margayd and by the
# bare program, both as somebody sees who listens; turns of margayd's event loop that took more than
# 20 ms; and whether a session ended meanwhile (hold time 3 s).
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgk$$
state=/run/margay-bench-$prefix
. deploy/lib/cluster.sh
nodes=(n1)
routes=100000 repeats=3
while [ $# -gt 0 ]; do
    case $1 in
    --routes) routes=$2; shift 2 ;;
    --repeats) repeats=$2; shift 2 ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
trap down EXIT
hold_seconds=3

loop_metric() { in_node n1 curl -fsS http://127.0.0.1:9099/metrics | awk -v m="margay_loop_$1" '$1 == m {print $2}'; }
peer_object() {
    jq -cn '{kind: "BGPPeer", apiVersion: "projectcalico.org/v3",
        metadata: {name: "feeder", uid: "7c3a9d4e-0000-4000-8000-000000000002", creationTimestamp: "2026-01-01T00:00:00Z"},
        spec: {peerIP: "172.31.1.12", asNumber: 64512}}'
}
watch() {
    exec_in_ns n1 "$bin/routes_bench" watch "$routes" >"$state/watch.json" &
    watcher=$!
    eventually 10 grep -q watching "$state/watch.json" || fail "the watcher listens"
}
watched() { # what the watcher saw, in `seen`
    wait "$watcher"
    seen=$(grep routes "$state/watch.json")
}
one_run() {
    begin_cluster
    add_host n2 172.31.1.12
    local bare margay feeder long
    watch
    in_ns n1 "$bin/routes_bench" bare "$routes" eth0 172.31.1.12 >/dev/null
    watched
    bare=$seen
    start_nodes n1
    etcd put /calico/resources/v3/projectcalico.org/bgppeers/feeder "$(peer_object)" >/dev/null
    long=$(loop_metric long_turns_total)
    watch
    exec_in_ns n2 "$bin/bgp_speaker" --quiet --id 172.31.1.12 --listen 172.31.1.12:179 --hold \
        --peer name=n1,address=172.31.1.11,source=172.31.1.12,as=64512,hold="$hold_seconds" \
        >"$state/feeder.log" 2>&1 <<<"count $routes 64.0.0.0/26"$'\n'complete &
    feeder=$!
    disown
    watched
    margay=$seen
    jq -cn --argjson bare "$bare" --argjson margay "$margay" \
        --argjson long "$(($(loop_metric long_turns_total) - long))" \
        --argjson sessions "$(in_node n1 margayctl bgp peers -o json | jq '.peers[0].sessions')" \
        '{routes: $bare.routes, bare_ms: $bare.first_to_last_ms, margay_ms: $margay.first_to_last_ms, long_turns: $long, sessions: $sessions}'
    kill "$feeder"
}
for _ in $(seq "$repeats"); do one_run; done | jq -s '{scenario: "kernel", routes: .[0].routes,
    bare_ms: (map(.bare_ms) | sort | .[length / 2 | floor]), margay_ms: (map(.margay_ms) | sort | .[length / 2 | floor]),
    ratio: (map(.margay_ms / .bare_ms) | sort | .[length / 2 | floor]),
    long_turns: (map(.long_turns) | max), sessions: (map(.sessions) | max)}'
