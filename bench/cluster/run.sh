#!/usr/bin/env bash
# Two nodes and two pods, three ways: plain kernel routing (no tunnel, no policy), kernel VXLAN,
# and margayd with IPIP, policy and flow state. The ways take turns, round by round, on one CPU,
# so that a noisy machine disturbs all of them alike. Prints one JSON object.
#   ROUNDS=9 FRAMES=400000 bench/cluster/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgbench$$
state=/run/margay-bench-$prefix
nodes=(n1 n2)
. deploy/lib/cluster.sh
nodes=(n1 n2)
# n1 and n2 share one wire, as the nodes of the other ways do, and have another for etcd: the library's
# bridge would be one more hop for margay alone.
make_network() {
    local name node i=1
    for name in router "${nodes[@]}"; do
        ip netns add "$(ns "$name")"
        in_ns "$name" ip link set lo up
    done
    in_ns router ip addr add 172.31.1.1/32 dev lo
    ip link add eth0 netns "$(ns n1)" mtu 1500 type veth peer name eth0 netns "$(ns n2)"
    for node in "${nodes[@]}"; do
        in_ns "$node" ip addr add "${address[$node]}/24" dev eth0
        in_ns "$node" ip link set eth0 up
        ip link add store netns "$(ns "$node")" type veth peer name "$node" netns "$(ns router)"
        in_ns router ip link set "$node" up
        in_ns router ip addr add 172.31.$((10 + i)).1/30 dev "$node"
        in_ns "$node" ip addr add 172.31.$((10 + i)).2/30 dev store
        in_ns "$node" ip link set store up
        in_ns "$node" ip route add 172.31.1.1 via 172.31.$((10 + i)).1
        i=$((i + 1))
    done
}
export IP_AUTODETECTION_METHOD=interface=eth0
rounds=${ROUNDS:-9}
frames=${FRAMES:-400000}
cpu=${CPU:-$(($(nproc) - 1))}
seconds=${SECONDS_RR:-2}
finish() {
    status=$?
    down
    for way in plain vxlan; do remove_plain $way; done
    exit $status
}
trap finish EXIT

# --- a pair of kernel-routed nodes ---------------------------------------------------------------
pns() { echo "mgbase$$-$1-$2"; } # not $prefix: start_cluster clears that one
remove_plain() {
    for name in n1 n2 a b; do ip netns delete "$(pns "$1" $name)" 2>/dev/null || true; done
}
make_plain() { # make_plain WAY: pods a (10.9.1.2) on n1, b (10.9.2.2) on n2
    local way=$1 name
    for name in n1 n2 a b; do
        ip netns add "$(pns $way $name)"
        ip -n "$(pns $way $name)" link set lo up
    done
    ip link add eth0 netns "$(pns $way n1)" mtu 1500 type veth peer name eth0 netns "$(pns $way n2)"
    ip link add pod netns "$(pns $way n1)" type veth peer name eth0 netns "$(pns $way a)"
    ip link add pod netns "$(pns $way n2)" type veth peer name eth0 netns "$(pns $way b)"
    local i=1 pod
    for name in n1 n2; do
        pod=$([ $name = n1 ] && echo a || echo b)
        ip -n "$(pns $way $name)" addr add 10.8.0.$i/24 dev eth0
        ip -n "$(pns $way $name)" addr add 10.9.$i.1/24 dev pod
        ip -n "$(pns $way $name)" link set eth0 up
        ip -n "$(pns $way $name)" link set pod up
        ip netns exec "$(pns $way $name)" sysctl -qw net.ipv4.ip_forward=1
        ip -n "$(pns $way $pod)" addr add 10.9.$i.2/24 dev eth0
        ip -n "$(pns $way $pod)" link set eth0 up
        ip -n "$(pns $way $pod)" route add default via 10.9.$i.1
        if [ $way = vxlan ]; then
            ip -n "$(pns $way $name)" link add vx type vxlan id 42 dstport 4789 local 10.8.0.$i remote 10.8.0.$((3 - i)) dev eth0
            ip -n "$(pns $way $name)" addr add 10.7.0.$i/24 dev vx
            ip -n "$(pns $way $name)" link set vx up
            ip -n "$(pns $way $name)" route add 10.9.$((3 - i)).0/24 via 10.7.0.$((3 - i))
        else
            ip -n "$(pns $way $name)" route add 10.9.$((3 - i)).0/24 via 10.8.0.$((3 - i))
        fi
        i=$((i + 1))
    done
}

# --- measuring -----------------------------------------------------------------------------------
# Frames sent by XDP reach the host side only when that side receives through NAPI: GRO does it.
mac_of() { nsenter --net="/run/netns/$1" ip -j link show "$2" | jq -r '.[0].address'; }
declare -A from to source destination gateway
way_is() { # way_is WAY FROM_NETNS TO_NETNS SOURCE DESTINATION HOST_NETNS HOST_IFACE
    from[$1]=$2 to[$1]=$3 source[$1]=$4 destination[$1]=$5
    gateway[$1]=$(mac_of "$6" "$7")
    nsenter --net="/run/netns/$6" ethtool -K "$7" gro on
    nsenter --net="/run/netns/$2" ping -q -c 2 -i 0.2 -W 3 "$5" >/dev/null || fail "$1: pods talk before the measurement"
}
forward() {
    taskset -c "$cpu" "$bin/bench_forward" "${from[$1]}" eth0 "${source[$1]}" "$(mac_of "${from[$1]}" eth0)" \
        "${gateway[$1]}" "${to[$1]}" eth0 "${destination[$1]}" "$frames" 1
}
request_response() {
    nsenter --net="/run/netns/${to[$1]}" taskset -c "$cpu" "$bin/bench_request_response" serve 7777 &
    local server=$!
    sleep 0.2
    nsenter --net="/run/netns/${from[$1]}" taskset -c "$cpu" "$bin/bench_request_response" run "${destination[$1]}" 7777 "$seconds"
    kill $server
    wait $server 2>/dev/null || true
}

{
    make_plain plain
    make_plain vxlan
    way_is plain "$(pns plain a)" "$(pns plain b)" 10.9.1.2 10.9.2.2 "$(pns plain n1)" pod
    way_is vxlan "$(pns vxlan a)" "$(pns vxlan b)" 10.9.1.2 10.9.2.2 "$(pns vxlan n1)" pod
    start_cluster
    calico apply -f - <<EOF
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: bench}
spec:
  selector: all()
  types: [Ingress, Egress]
  ingress: [{action: Allow, source: {selector: "role in {'client', 'other'}"}}]
  egress: [{action: Allow}]
EOF
    eventually 20 ping_pod n1-a n2-a
    host_side=$(in_node n1 margayctl endpoints -o json | jq -r --arg ip "$(pod_ip n1-a)" \
        '.endpoints[] | select(.addresses | join(",") | contains($ip)) | .interface')
    way_is margay "$(ns n1-a)" "$(ns n2-a)" "$(pod_ip n1-a)" "$(pod_ip n2-a)" "$(ns n1)" "$host_side"
} >&2

for round in $(seq 1 "$rounds"); do
    for way in plain vxlan margay; do
        forward $way | jq -c --arg way $way '{way: $way, kind: "forward", ns: .ns[0]}'
    done
    echo "bench: cluster round $round of $rounds" >&2
done >"$state/samples"
for round in 1 2 3; do
    for way in plain vxlan margay; do
        request_response $way | jq -c --arg way $way '{way: $way, kind: "request_response"} + .'
    done
done >>"$state/samples"
jq -s --argjson frames "$frames" '
    def median: sort | .[(length / 2) | floor];
    {frames: $frames,
     forward: (map(select(.kind == "forward")) | group_by(.way) | map({key: .[0].way, value: {
        ns: (map(.ns) | median), min: (map(.ns) | min), max: (map(.ns) | max)}}) | from_entries),
     request_response: (map(select(.kind == "request_response")) | group_by(.way) | map({key: .[0].way, value: {
        mean_us: (map(.mean_us) | median), p50_us: (map(.p50_us) | median), p99_us: (map(.p99_us) | median)}}) | from_entries)}
' "$state/samples"
