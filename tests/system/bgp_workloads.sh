#!/usr/bin/env bash
# BGP with a workload of the node itself (localWorkloadSelector): a BIRD in a pod, by the peering address that the
# host has towards it; what it tells is in the host's kernel and at the other node; and nobody else is concerned.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgw$$
. tests/system/lib.sh
nodes=(n1 n2)
mode=Off
hold_seconds=90
peering=169.254.0.179
child=10.244.99.0/26 # of the pool, and no node's: only the pod tells it

session() { peer n1 "$peer_name" "$1"; }
known() { session .name; }
host_has() { in_ns n1 ip -4 -o address show to $peering | grep "$@"; }
in_kernel() { in_ns "$1" ip -4 route show $child | grep "$2"; }
pod_up() { bird_says n1-a show protocols host | grep Established; }
pod_has() { bird_says n1-a show route "$1" | grep -E 'unicast|unreachable'; }

bold "two nodes, and a pod that is a router"
begin_cluster
start_nodes "${nodes[@]}"
add_pod n1 a router
add_pod n1 b client
add_pod n2 a router
eventually 60 bgp_established n1 1 || fail "the mesh" "$(in_node n1 margayctl bgp peers)"
router=$(pod_ip n1-a)
peer_name=Local_Workload_${router//./_}
interface=$(in_ns n1 ip -o route get "$router" | grep -o 'dev [^ ]*' | cut -d ' ' -f 2)
start_bird n1-a "$router" <<END
protocol static { ipv4; route $child blackhole; route 10.99.0.0/24 blackhole; }
protocol bgp host {
  local $router as 65401; neighbor $peering as 64512; multihop;
  connect retry time 1; error wait time 1,2;
  ipv4 { import all; export where source = RTS_STATIC; };
}
END

bold "a BGPPeer selects it"
resource BGPFilter child "{importV4: [{cidr: $child, matchOperator: Equal, action: Accept}, {action: Reject}], exportV4: [{source: RemotePeers, action: Reject}]}"
resource BGPPeer routers "{localWorkloadSelector: role == 'router', asNumber: 65401, filters: [child]}"
check "without the peering address the session does not start" eventually 20 session '.state == "Refused"'
check "and margayctl status says why" eventually 10 warned n1 "(BGPPeer routers): BGPConfiguration default has no localWorkloadPeeringIPV4"
resource BGPConfiguration default "{localWorkloadPeeringIPV4: $peering}"
check "with it the host has that address towards the pod" eventually 20 host_has "$interface .*$peering/32 scope link"
[ "$(host_has -c .)" = 1 ] || fail "towards no other" "$(host_has .)"
ok "towards no other"
check "the session is up" eventually 60 session_up n1 "$peer_name"
check "BIRD says so, too" eventually 20 pod_up
show_in n1 margayctl bgp peers
[ "$(peers n1 | jq '[.peers[] | select(.from == "BGPPeer routers")] | length')" = 1 ] || fail "nor has n1 with its other pod" "$(peers n1)"
ok "nor has n1 with its other pod"
check "what it tells is in the host's kernel, by the pod" eventually 20 in_kernel n1 "via $router dev $interface"
other_in_kernel() { in_ns n1 ip -4 route show 10.99.0.0/24 | grep .; }
refuse "but for what the filter rejects" other_in_kernel
n2_has() { in_node n2 margayctl bgp routes -o json | jq -e --arg p $child '.routes[] | select(.prefix == $p and .best and .as_path == "65401")'; }
check "n2 hears of it" eventually 20 n2_has
check "the pod is told n1's block" eventually 20 pod_has "$(block_of n1)"

bold "the node restarts"
kill -KILL "$(cat "$state/n1/pid")"
host_has . >/dev/null || fail "the address stays"
start_nodes n1
check "the session is up again" eventually 60 session_up n1 "$peer_name"
[ "$(host_has -c .)" = 1 ] || fail "the address is where it was" "$(host_has .)"
ok "the address is where it was"

bold "the BGPPeer goes"
etcd del $v3/bgppeers/routers >/dev/null
check "and its session" eventually 20 not known
check "and the address" eventually 20 not host_has .
check "and the route" eventually 20 not in_kernel n1 via
check "the pods still talk" eventually 20 ping_pod n1-b n2-a
