#!/usr/bin/env bash
# BIRD 2 takes part in the node mesh through a Node object: routes go both ways, pods of both
# sides talk, and what BIRD withdraws is gone.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgb$$
state=/run/margay-test-$prefix
nodes=(n1)
. deploy/lib/cluster.sh
nodes=(n1)
trap 'status=$?; [ $status = 0 ] || tail -n 30 $state/n1/margayd.log $state/bird.log; down; exit $status' EXIT
bird_block=10.244.99.0/26
bird_pod=10.244.99.1

start_bird() {
    cat >"$state/bird.conf" <<EOF
router id 172.31.1.30;
log "$state/bird.log" all;
protocol device {}
protocol kernel { ipv4 { export all; }; }
protocol static { ipv4; route $bird_block blackhole; }
protocol bgp Mesh_n1 {
  local 172.31.1.30 as 64512;
  neighbor 172.31.1.11 as 64512;
  multihop;
  graceful restart on;
  ipv4 { import all; export where source = RTS_STATIC; };
}
EOF
    in_ns bird bird -f -c "$state/bird.conf" -s "$state/bird.ctl" -P "$state/bird.pid" &
    eventually 10 birdcl_ show status
}
birdcl_() { birdc -s "$state/bird.ctl" "$@"; }
bird_knows() { birdcl_ show route for "$1" | grep -q "Mesh_n1"; }
n1_knows() { in_node n1 margayctl bgp routes -o json | jq -e --arg p "$1" '.routes[] | select(.prefix == $p)'; }

bold "margayd on n1, BIRD on a second machine"
down
mkdir -p "$state"
make_network
add_host bird 172.31.1.30
start_etcd
start_node n1
eventually 60 node_ready n1 || fail "margayd becomes ready"
add_pod n1 a client
calico apply -f - <<EOF
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: bird}
spec: {bgp: {ipv4Address: 172.31.1.30/24}}
EOF
in_ns bird ip addr add $bird_pod/32 dev lo
start_bird
block=$(in_node n1 margayctl status -o json | jq -r '.blocks[0]')

bold "routes both ways"
eventually 60 bgp_established n1 1 || fail "session with BIRD" "$(in_node n1 margayctl bgp peers)"
ok "session with BIRD: $(in_node n1 margayctl bgp peers -o json | jq -c '.peers[0] | {name, state, prefixes}')"
check "BIRD knows n1's block $block" eventually 20 bird_knows "$block"
check "n1 knows BIRD's $bird_block" eventually 20 n1_knows $bird_block
show birdcl_ show route
show_in n1 margayctl bgp routes
check "n1's kernel has BIRD's block" eventually 10 bash -c "nsenter --net=/run/netns/$(ns n1) ip route show $bird_block | grep -q ."
check "n1's data path has BIRD's block" eventually 10 bash -c "[ \"\$(env MARGAY_RUN_DIR=$state/n1/run $bin/margayctl routes -o json | jq -r '.routes[] | select(.prefix == \"$bird_block\") | .node')\" = bird ]"

bold "withdrawal"
birdcl_ disable static1 >/dev/null
check "what BIRD withdraws leaves n1" eventually 20 not n1_knows $bird_block
birdcl_ enable static1 >/dev/null
check "and comes back" eventually 20 n1_knows $bird_block

bold "BIRD dies without a NOTIFICATION: its routes stay for the restart time"
kill -KILL "$(cat "$state/bird.pid")"
sleep 3
check "the route is kept while BIRD restarts" n1_knows $bird_block
start_bird
check "BIRD is back" eventually 60 bgp_established n1 1
check "the route is still there" n1_knows $bird_block

bold "BIRD says goodbye: its routes go at once"
birdcl_ down >/dev/null
check "the route is withdrawn" eventually 10 not n1_knows $bird_block
show_in n1 margayctl bgp peers
bold "$passed assertions passed in ${SECONDS} s"
