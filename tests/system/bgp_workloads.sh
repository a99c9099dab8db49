#!/usr/bin/env bash
# BGP with a workload of the node itself (localWorkloadSelector): a BIRD in a pod, by the peering address that the
# host has towards it; what it tells is in the host's kernel and at the other node; and nobody else is concerned.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgw$$
state=/run/margay-test-$prefix
. deploy/lib/cluster.sh
nodes=(n1 n2)
mode=Off
hold_seconds=90
trap 'status=$?; [ $status = 0 ] || tail -n 30 $state/n*/margayd.log $state/bird.log; down; exit $status' EXIT
peering=169.254.0.179
child=10.244.99.0/26 # of the pool, and no node's: only the pod tells it

peers() { in_node "$1" margayctl bgp peers -o json; }
session() { peers n1 | jq -e --arg n "$1" ".peers[] | select(.name == \$n) | $2"; } # session NAME JQ
up() { session "$1" '.state == "Established"' | grep -x true; }
known() { session "$1" .name; }
warned() { in_node n1 margayctl status -o json | jq -e --arg t "$1" '.warnings[] | select(.text | contains($t))'; }
apply() { calico apply -f - >/dev/null; }
configuration() {
    apply <<END
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: $1
END
}
host_has() { in_ns n1 ip -4 -o address show to $peering | grep "$@"; }
in_kernel() { in_ns "$1" ip -4 route show $child | grep "$2"; }
birdcl_() { birdc -s "$state/bird.ctl" "$@"; }
pod_up() { birdcl_ show protocols host | grep Established; }
pod_has() { birdcl_ show route "$1" | grep -E 'unicast|unreachable'; }

bold "two nodes, and a pod that is a router"
down
make_network
start_etcd
for node in "${nodes[@]}"; do start_node "$node"; done
for node in "${nodes[@]}"; do
    eventually 60 node_ready "$node" || fail "$node becomes ready" "$(tail -n 20 "$state/$node/margayd.log")"
done
add_pod n1 a router
add_pod n1 b client
add_pod n2 a router
eventually 60 bgp_established n1 1 || fail "the mesh" "$(in_node n1 margayctl bgp peers)"
router=$(pod_ip n1-a)
name=Local_Workload_${router//./_}
interface=$(in_ns n1 ip -o route get "$router" | grep -o 'dev [^ ]*' | cut -d ' ' -f 2)
cat >"$state/bird.conf" <<END
router id $router;
log "$state/bird.log" all;
protocol device {}
protocol static { ipv4; route $child blackhole; route 10.99.0.0/24 blackhole; }
protocol bgp host {
  local $router as 65401; neighbor $peering as 64512; multihop;
  connect retry time 1; error wait time 1,2;
  ipv4 { import all; export where source = RTS_STATIC; };
}
END
exec_in_ns n1-a bird -f -c "$state/bird.conf" -s "$state/bird.ctl" &
disown
eventually 20 birdcl_ show status || fail "BIRD starts" "$(tail -n 5 "$state/bird.log")"

bold "a BGPPeer selects it"
apply <<END
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: child}
spec: {importV4: [{cidr: $child, matchOperator: Equal, action: Accept}, {action: Reject}], exportV4: [{source: RemotePeers, action: Reject}]}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: routers}
spec: {localWorkloadSelector: role == 'router', asNumber: 65401, filters: [child]}
END
check "without the peering address the session does not start" eventually 20 session "$name" '.state == "Refused"'
check "and margayctl status says why" eventually 10 warned "(BGPPeer routers): BGPConfiguration default has no localWorkloadPeeringIPV4"
configuration "{localWorkloadPeeringIPV4: $peering}"
check "with it the host has that address towards the pod" eventually 20 host_has "$interface .*$peering/32 scope link"
[ "$(host_has -c .)" = 1 ] || fail "towards no other" "$(host_has .)"
ok "towards no other"
check "the session is up" eventually 60 up "$name"
check "BIRD says so, too" eventually 20 pod_up
show_in n1 margayctl bgp peers
[ "$(peers n1 | jq '[.peers[] | select(.from == "BGPPeer routers")] | length')" = 1 ] || fail "nor has n1 with its other pod" "$(peers n1)"
ok "nor has n1 with its other pod"
check "what it tells is in the host's kernel, by the pod" eventually 20 in_kernel n1 "via $router dev $interface"
other_in_kernel() { in_ns n1 ip -4 route show 10.99.0.0/24 | grep .; }
refuse "but for what the filter rejects" other_in_kernel
n2_has() { in_node n2 margayctl bgp routes -o json | jq -e --arg p $child '.routes[] | select(.prefix == $p and .best and .as_path == "65401")'; }
check "n2 hears of it" eventually 20 n2_has
check "the pod is told n1's block" eventually 20 pod_has "$(in_node n1 margayctl status -o json | jq -er '.blocks[0]')"

bold "the node restarts"
kill -KILL "$(cat "$state/n1/pid")"
host_has . >/dev/null || fail "the address stays"
start_node n1
eventually 60 node_ready n1 || fail "n1 becomes ready"
check "the session is up again" eventually 60 up "$name"
[ "$(host_has -c .)" = 1 ] || fail "the address is where it was" "$(host_has .)"
ok "the address is where it was"

bold "the BGPPeer goes"
etcd del /calico/resources/v3/projectcalico.org/bgppeers/routers >/dev/null
check "and its session" eventually 20 not known "$name"
check "and the address" eventually 20 not host_has .
check "and the route" eventually 20 not in_kernel n1 via
check "the pods still talk" eventually 20 ping_pod n1-b n2-a
bold "$passed assertions passed in ${SECONDS} s"
