#!/usr/bin/env bash
# 100,000 routes by BGP into the kernel's table, beside a program that does nothing but add them.
#
#   bench/bgp/kernel.sh [--routes N] [--repeats R]
#
# BIRD is a node of the mesh and tells N routes whose next hop is a router, so that they are the
# kernel's alone. Prints JSON: ms from the first route in the table to the last, by margayd and by the
# bare program; turns of margayd's event loop that took more than 20 ms; and whether a session ended
# meanwhile (hold time 3 s).
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
bird_conf() {
    cat <<EOF
router id 172.31.1.12;
protocol device {}
protocol direct { ipv4; }
protocol static feed {
  ipv4;
EOF
    awk -v n="$routes" 'BEGIN { for (i = 0; i < n; i++) { a = 64 * 16777216 + i * 64
        printf "  route %d.%d.%d.%d/26 via 172.31.1.50;\n", int(a / 16777216) % 256, int(a / 65536) % 256, int(a / 256) % 256, a % 256 } }'
    cat <<EOF
}
protocol bgp margay {
  local 172.31.1.12 as 64512; neighbor 172.31.1.11 as 64512; hold time 3;
  ipv4 { import all; export where source = RTS_STATIC; };
}
EOF
}
node_object() {
    jq -cn --arg name n2 --arg address 172.31.1.12/24 '{kind: "Node", apiVersion: "projectcalico.org/v3",
        metadata: {name: $name, uid: "7c3a9d4e-0000-4000-8000-000000000002", creationTimestamp: "2026-01-01T00:00:00Z"},
        spec: {bgp: {ipv4Address: $address}}}'
}
one_run() {
    down
    mkdir -p "$state/bird"
    make_network
    start_etcd
    add_host n2 172.31.1.12
    local bare margay bird long
    bare=$(in_ns n1 "$bin/routes_bench" bare "$routes" eth0 172.31.1.50)
    start_node n1
    eventually 60 node_ready n1 || fail "margayd becomes ready"
    etcd put /calico/resources/v3/projectcalico.org/nodes/n2 "$(node_object)" >/dev/null
    bird_conf >"$state/bird/bird.conf"
    long=$(loop_metric long_turns_total)
    exec_in_ns n1 "$bin/routes_bench" watch "$routes" 80 >"$state/watch.json" &
    local watcher=$!
    exec_in_ns n2 bird -f -c "$state/bird/bird.conf" -s "$state/bird/ctl" -P "$state/bird/pid" >"$state/bird/log" 2>&1 &
    bird=$!
    disown
    wait $watcher
    margay=$(grep routes "$state/watch.json")
    jq -cn --argjson bare "$bare" --argjson margay "$margay" \
        --argjson long "$(($(loop_metric long_turns_total) - long))" \
        --argjson sessions "$(in_node n1 margayctl bgp peers -o json | jq '.peers[0].sessions')" \
        '{routes: $bare.routes, bare_ms: $bare.add_ms, margay_ms: $margay.first_to_last_ms, long_turns: $long, sessions: $sessions}'
    kill "$bird"
}
for _ in $(seq "$repeats"); do one_run; done | jq -s '{scenario: "kernel", routes: .[0].routes,
    bare_ms: (map(.bare_ms) | sort | .[length / 2 | floor]), margay_ms: (map(.margay_ms) | sort | .[length / 2 | floor]),
    ratio: (map(.margay_ms / .bare_ms) | sort | .[length / 2 | floor]),
    long_turns: (map(.long_turns) | max), sessions: (map(.sessions) | max)}'
