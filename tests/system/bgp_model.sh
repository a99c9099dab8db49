#!/usr/bin/env bash
# Calico's BGP model from etcd to the wire: three nodes, and BIRD 2 as a router of another AS. BGPPeers
# and BGPFilters come, change and go; only the sessions that they concern do anything, and filters,
# pools and communities change what is told without a session being touched. Then the mesh goes, and first
# a node, then a machine without data path becomes the others' route reflector.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgm$$
. tests/system/lib.sh
nodes=(n1 n2 n3)
address[n3]=172.31.1.13 # one subnet for all: this is about BGP, and needs no tunnel
mode=Off
hold_seconds=90         # nothing here waits for it
bird=172.31.1.30
tor=Node_172_31_1_30
other_hop=172.31.1.77 # of 10.99.2.0/24
foreign=10.244.99.0/26 # of the pool, and no node's: only BGP knows it

# --- asking ----------------------------------------------------------------------------------------
up() { session_up "$@" >/dev/null; } # up NODE NAME
names() { peers "$1" | jq -r '[.peers[].name] | sort | join(" ")'; }
has_sessions() { [ "$(names "$1")" = "${*:2}" ]; }
# The mesh's sessions of all nodes with how often they came up and since when they are as they are.
mesh() { for node in "${nodes[@]}"; do peers "$node" | jq -c '[.peers[] | select(.from == "mesh") | {name, sessions, since}]'; done; }
tor_session() { peer n1 $tor '{sessions, since}' | jq -c .; }
learned() { in_node n1 margayctl bgp routes -o json | jq -e --arg p "$1" '.routes[] | select(.prefix == $p and .best)'; }
astray() { in_node n1 margayctl bgp routes -o json | jq -e --arg p "$1" '.routes[] | select(.prefix == $p and .why == "nothing leads to its next hop")'; }
from_peer() { # from_peer NODE PREFIX PEER NEXT_HOP
    in_node "$1" margayctl bgp routes -o json |
        jq -e --arg p "$2" --arg f "$3" --arg h "$4" '.routes[] | select(.prefix == $p and .from == $f and .next_hop == $h and .best)'
}
told() { bird_says bird show route all protocol n1 "$1" | grep "BGP.next_hop"; } # exactly this prefix
told_with() { bird_says bird show route all protocol n1 "$1" | grep -F -- "$2"; }
told_any() { bird_says bird show route protocol n1 | grep -c unicast; }
in_kernel() { in_ns n1 ip -4 route show proto 80 | grep "^$*"; }

# --- changing --------------------------------------------------------------------------------------
bgp_peer() { resource BGPPeer tor "{node: n1, peerIP: $bird, asNumber: 65030${1:+, $1}}"; } # bgp_peer FIELDS: what n1 and BIRD have
bgp_filter() { resource BGPFilter "$@"; } # bgp_filter NAME SPEC
configuration() { resource BGPConfiguration default "$1"; }
stored() { etcd get --print-value-only "$v3/$1" | grep .; } # fails where there is nothing
edit() { # edit KEY JQ: another tool than ours, straight in etcd
    stored "$1" | jq -c "$2" | etcd put "$v3/$1" >/dev/null
}
gone() { etcd del "$v3/$1" >/dev/null; }

start_tor() {
    start_bird bird $bird <<END
protocol static { ipv4; route 10.99.0.0/24 blackhole; route 10.99.1.0/24 blackhole; route 10.99.2.0/24 blackhole; route $foreign blackhole; }
filter to_node {
  if source != RTS_STATIC then reject;
  if net = 10.99.2.0/24 then bgp_next_hop = $other_hop;
  accept;
}
template bgp nodes {
  local $bird as 65030;
  connect retry time 1; error wait time 1,2;
  ipv4 { import all; next hop keep; export filter to_node; };
}
protocol bgp n1 from nodes { neighbor 172.31.1.11 as 64512; }
protocol bgp n2 from nodes { neighbor 172.31.1.12 as 64512; }
END
}

# check_untouched WHAT: each session that is not BIRD's is the one that it was.
check_untouched() {
    local now
    now=$(mesh)
    [ "$now" = "$mesh_before" ] || fail "$1: no session of the mesh is touched" "$mesh_before" "$now"
    ok "$1: no session of the mesh is touched"
}
check_same_session() {
    local now
    now=$(tor_session)
    [ "$now" = "$tor_before" ] || fail "$1: the session goes on" "$tor_before" "$now"
    ok "$1: the session goes on"
}

bold "three nodes in a mesh, BIRD beside them"
begin_cluster
mkdir -p "$state/secrets/bgp"
export MARGAY_BGP_PASSWORD_FOLDER=$state/secrets
add_host bird $bird
start_nodes "${nodes[@]}"
for node in "${nodes[@]}"; do
    add_pod "$node" a client
    eventually 60 bgp_established "$node" 2 || fail "the mesh of $node" "$(in_node "$node" margayctl bgp peers)"
done
start_tor
block1=$(block_of n1) block2=$(block_of n2)
mesh_before=$(mesh)

bold "a BGPPeer comes"
bgp_peer ""
check "n1 has a session with BIRD" eventually 60 up n1 $tor
[ "$(peer n1 $tor .from)" = '"BGPPeer tor"' ] || fail "margayctl says of which BGPPeer it is" "$(peers n1)"
ok "margayctl says of which BGPPeer it is"
show_in n1 margayctl bgp peers
check "BIRD is told n1's block" eventually 20 told "$block1"
check "and n2's, which is inside a pool" eventually 20 told "$block2"
refuse "but no pod of n1" told "$(pod_ip n1-a)/32"
refuse "and not the nodes' network" told 172.31.1.0/24
check "n1 takes BIRD's routes" eventually 20 learned 10.99.0.0/24
check "all of them" eventually 20 learned 10.99.1.0/24
has_sessions n2 Mesh_172_31_1_11 Mesh_172_31_1_13 || fail "n2 has nothing to do with it" "$(names n2)"
check_untouched "BGPPeer added"

bold "it changes"
bgp_peer "keepaliveTime: 20s, reachableBy: 172.31.1.1"
check "there is a static route to BIRD by its gateway" eventually 20 in_kernel "$bird via 172.31.1.1 dev eth0"
check "the session is another one" eventually 60 up n1 $tor
bgp_peer ""
check "the static route goes" eventually 20 not in_kernel "$bird "
check "the session is up again" eventually 60 up n1 $tor
check_untouched "BGPPeer changed"

bold "filters"
bgp_filter in '{importV4: [{cidr: 10.99.1.0/24, matchOperator: Equal, action: Reject}]}'
bgp_filter out '{exportV4: []}'
bgp_peer "filters: [in, out]"
check "the session with filters is up" eventually 60 up n1 $tor
eventually 20 learned 10.99.0.0/24 || fail "n1 takes what the filter lets pass"
eventually 20 told "$block1" || fail "BIRD is told n1's block"
tor_before=$(tor_session)
check "n1 does not take what the filter rejects" eventually 20 not learned 10.99.1.0/24
bgp_filter in '{importV4: [{cidr: 10.99.0.0/24, matchOperator: Equal, action: Reject}]}'
check "another rule, and it is the other way round" eventually 20 learned 10.99.1.0/24
check "both ways" eventually 20 not learned 10.99.0.0/24
bgp_filter out "{exportV4: [{cidr: $block1, matchOperator: Equal, peerType: eBGP, operations: [{addCommunity: {value: '65001:7'}}, {addCommunity: {value: '65001:1:2'}}, {prependASPath: {prefix: [64999]}}], action: Accept}, {source: RemotePeers, action: Reject}, {interface: 'cali*', action: Accept}]}"
check "a community on the way out" eventually 20 told_with "$block1" "(65001,7)"
check "a large one" eventually 20 told_with "$block1" "(65001, 1, 2)"
check "a longer path" eventually 20 told_with "$block1" "BGP.as_path: 64512 64999"
check "what peers told us is rejected" eventually 20 not told "$block2"
check "a pod's own address, by its interface" eventually 20 told "$(pod_ip n1-a)/32"
bgp_filter in '{importV4: [{interface: alt*, action: Reject}]}'
check "a rule for interfaces: of routes by another, all" eventually 20 learned 10.99.2.0/24
in_ns n1 ip link add alt0 type veth peer name alt1
for link in alt0 alt1; do in_ns n1 ip link set $link up; done
in_ns n1 ip route add $other_hop/32 dev alt0
check "a next hop that moves to that interface takes its route along" eventually 20 not learned 10.99.2.0/24
refuse "and no other" eventually 1 not learned 10.99.0.0/24
in_ns n1 ip link del alt0
check "and back" eventually 20 learned 10.99.2.0/24
in_ns n1 ip route add unreachable $other_hop/32
check "what has a next hop that nothing leads to is not used" eventually 20 not learned 10.99.2.0/24
check "margayctl says why" eventually 20 astray 10.99.2.0/24
check "margayctl status warns of it" eventually 20 warned n1 "nothing leads to next hop $other_hop, paths not used: 1"
in_ns n1 ip route del unreachable $other_hop/32
check "until something does" eventually 20 learned 10.99.2.0/24
check_same_session "BGPFilter changed"
gone bgpfilters/out
check "without the filter BIRD is told nothing" eventually 20 not told "$block1"
check "nothing at all" eventually 20 not told_any
check "nor is it believed" eventually 20 not learned 10.99.1.0/24
check "margayctl status names BGPPeer and filter" eventually 10 warned n1 "(BGPPeer tor): BGPFilter out is not there"
bgp_filter out '{exportV4: []}'
check "it comes back with the filter" eventually 20 told "$block1"
check "the warning is gone" eventually 10 not warned n1 "BGPFilter out"
check_same_session "BGPFilter removed and back"
check_untouched "filters"

bold "pools and communities"
edit ippools/default-ipv4-ippool '.spec.disableBGPExport = true'
check "disableBGPExport: BIRD is told nothing of the pool" eventually 20 not told "$block1"
edit ippools/default-ipv4-ippool '.spec.disableBGPExport = false'
check "and again when it is off" eventually 20 told "$block1"
configuration "{communities: [{name: site, value: '65001:9'}], prefixAdvertisements: [{cidr: $pool, communities: [site, '4200000000:3:4']}]}"
check "prefixAdvertisements: a community by name" eventually 20 told_with "$block1" "(65001,9)"
check "and a large one" eventually 20 told_with "$block1" "(4200000000, 3, 4)"
configuration "{ipv4NormalRoutePriority: 512}"
priority_512() { in_node n2 margayctl bgp routes -o json | jq -e --arg p "$block1" '.routes[] | select(.prefix == $p and .local_pref == 2147483135)'; }
check "ipv4NormalRoutePriority reaches the other nodes" eventually 20 priority_512
check_same_session "pools and communities"
check_untouched "pools and communities"

bold "a password"
bgp_peer "password: {secretKeyRef: {name: bgp, key: tor}}"
refused() { peer n1 $tor '.state == "Refused"' | grep -x true >/dev/null; }
check "without its file the session does not start" eventually 20 refused
check "margayctl status names BGPPeer and file" eventually 10 warned n1 "(BGPPeer tor): no password: $state/secrets/bgp/tor"
refuse "and BIRD has none" eventually 3 told "$block1"
echo open-sesame >"$state/secrets/bgp/tor"
check "with it, it starts" eventually 30 not refused
! grep -rF open-sesame "$state"/n*/margayd.log || fail "no log has it"
! in_node n1 margayctl status -o json | grep -F open-sesame || fail "no report has it"
ok "no log and no report has it"
rm "$state/secrets/bgp/tor"
check "when it is taken away, so is the session" eventually 30 refused
bgp_peer ""
check "without a password it is up again" eventually 60 up n1 $tor
check_untouched "passwords"

bold "the BGPPeer goes"
gone bgppeers/tor
check "and its session" eventually 20 has_sessions n1 Mesh_172_31_1_12 Mesh_172_31_1_13
check "and what it told" eventually 20 not learned 10.99.1.0/24
check_untouched "BGPPeer removed"

bold "no mesh"
configuration '{nodeToNodeMeshEnabled: false}'
for node in "${nodes[@]}"; do check "$node has no session" eventually 20 has_sessions "$node" ""; done

bold "n3 reflects"
edit nodes/n3 '.metadata.labels.rr = "yes" | .spec.bgp.routeReflectorClusterID = "1.0.0.3"'
resource BGPPeer reflectors '{nodeSelector: all(), peerSelector: has(rr)}'
check "n1 has a session with the reflector alone" eventually 20 has_sessions n1 Node_172_31_1_13
check "and n2" eventually 20 has_sessions n2 Node_172_31_1_13
check "the reflector has one with each" eventually 20 has_sessions n3 Node_172_31_1_11 Node_172_31_1_12
for node in n1 n2; do check "$node's is up" eventually 60 up $node Node_172_31_1_13; done
check "n1 has n2's block from the reflector, by n2" eventually 20 from_peer n1 "$block2" 172.31.1.13 172.31.1.12
check "n2 has n1's" eventually 20 from_peer n2 "$block1" 172.31.1.13 172.31.1.11
check "their pods talk" eventually 20 ping_pod n1-a n2-a
before=$(peer n1 Node_172_31_1_13 '{sessions, since}')
edit nodes/n2 '.metadata.labels.rack = "b"'
bgp_filter unused '{importV4: [{action: Reject}]}'
edit ippools/default-ipv4-ippool '.spec.natOutgoing = false'
sleep 1 # whatever would come of it
[ "$(peer n1 Node_172_31_1_13 '{sessions, since}')" = "$before" ] || fail "what does not concern BGP leaves it alone"
ok "what does not concern BGP leaves it alone"
edit bgppeers/reflectors '.spec.reversePeering = "Manual"'
check "reversePeering Manual: the reflector waits for nobody" eventually 20 has_sessions n3 ""
check "and nothing is reflected any more" eventually 20 not from_peer n1 "$block2" 172.31.1.13 172.31.1.12

bold "a machine that does nothing but reflect"
edit bgppeers/reflectors '.spec.reversePeering = "Auto"'
edit nodes/n3 'del(.metadata.labels.rr) | del(.spec.bgp.routeReflectorClusterID)'
add_host rr 172.31.1.40
export MARGAY_BGP_HOLD_TIME=$hold_seconds
start_reflector
check "it becomes ready" eventually 60 node_ready rr
cluster() { stored nodes/rr | jq -e '.spec.bgp.routeReflectorClusterID == "1.0.0.4" and (.spec.bgp | has("ipv4IPIPTunnelAddr") | not)'; }
check "its Node says what it is" cluster
edit nodes/rr '.metadata.labels.rr = "yes"'
check "n1 has a session with it alone" eventually 20 has_sessions n1 Node_172_31_1_40
for node in "${nodes[@]}"; do check "$node's is up" eventually 60 up "$node" Node_172_31_1_40; done
check "n1 has n2's block from it, by n2" eventually 20 from_peer n1 "$block2" 172.31.1.40 172.31.1.12
check "their pods talk" eventually 20 ping_pod n1-a n2-a
has_rules() { in_ns "$1" nft list tables | grep margay; }
has_routes() { in_ns "$1" ip -4 route show proto 80 | grep .; }
has_hooks() { in_node "$1" margayctl status -o json | jq -e '.hooks | length > 0'; }
for what in rules routes hooks; do
    has_$what n1 >/dev/null || fail "a node has $what"
    refuse "unlike a node it has no $what" has_$what rr
done
show_in rr margayctl status
[[ $(in_node rr margayctl drops 2>&1) = *"is a route reflector and has no 'drops'"* ]] || fail "margayctl says what it does not have"
ok "margayctl says what it does not have"
metrics rr | grep -F 'margay_bgp_peer_up{peer="Node_172_31_1_11"} 1' >/dev/null || fail "metrics of its sessions"
ok "metrics of its sessions"
gone nodes/rr
check "its Node is deleted, and back" eventually 20 cluster
edit nodes/rr '.metadata.labels.rr = "yes"'
check "n1 has its session" eventually 60 up n1 Node_172_31_1_40

bold "it is killed and starts again: the others keep what it told"
resource BGPPeer tor2 "{node: n2, peerIP: $bird, asNumber: 65030}"
check "n1 has from it what BIRD tells n2" eventually 60 from_peer n1 $foreign 172.31.1.40 $bird
in_n1s_kernel() { in_ns n1 ip -4 route show $foreign | grep "via $bird"; }
check "its kernel, too" eventually 20 in_n1s_kernel
in_ns rr ip route add unreachable $bird/32
check "the reflector does not tell what it finds no way to" eventually 20 not from_peer n1 $foreign 172.31.1.40 $bird
in_ns rr ip route del unreachable $bird/32
check "and does when there is one" eventually 20 from_peer n1 $foreign 172.31.1.40 $bird
check "n1's kernel has it again" eventually 20 in_n1s_kernel
watch_routes n1 & monitor=$!
disown
sleep 0.5 # until ip listens
kill -KILL "$(cat "$state/rr/pid")"
eventually 20 not up n1 Node_172_31_1_40 || fail "n1 notices"
check "n1 keeps n2's block" from_peer n1 "$block2" 172.31.1.40 172.31.1.12
start_reflector
check "the session is back" eventually 60 up n1 Node_172_31_1_40
fresh() { in_node n1 margayctl bgp routes -o json | jq -e --arg p "$1" '.routes[] | select(.prefix == $p and .best and (.stale | not))'; }
check "n2's block is told again" eventually 60 fresh "$block2"
check "and BIRD's" eventually 60 fresh $foreign
sleep 1 # what is wrongly taken for stale would go now
kill $monitor
in_n1s_kernel >/dev/null || fail "n1's kernel has it"
refuse "n2's block never left n1's kernel" lost n1 "$block2"
refuse "nor did BIRD's" lost n1 $foreign
