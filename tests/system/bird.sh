#!/usr/bin/env bash
# BIRD 2 takes part in the node mesh through a Node object, in a pool without tunnel: routes go both
# ways, pods of both sides talk, what BIRD withdraws is gone, and each side keeps the other's routes
# while the other restarts without a word (RFC 4724), until it says goodbye.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgb$$
. tests/system/lib.sh
nodes=(n1)
mode=Off # the kernel that this runs on need not have ipip: kernel_ipip.sh shows the tunnel
bird_block=10.244.99.0/26
bird_pod=10.244.99.1

start_router() { # start_router [OPTION...]
    start_bird bird 172.31.1.30 "$@" <<EOF
protocol direct { ipv4; }
protocol kernel { persist; graceful restart on; ipv4 { export where source = RTS_BGP; }; }
protocol static { ipv4; route $bird_block blackhole; }
protocol bgp Mesh_n1 {
  local 172.31.1.30 as 64512;
  neighbor 172.31.1.11 as 64512;
  multihop;
  graceful restart on;
  ipv4 { import all; export where source = RTS_STATIC; };
}
EOF
}
bird_knows() { bird_says bird show route for "$1" protocol Mesh_n1 | grep "via 172.31.1.11"; }
bird_established() { bird_says bird show protocols Mesh_n1 | grep Established; }
n1_knows() { in_node n1 margayctl bgp routes -o json | jq -e --arg p "$1" '.routes[] | select(.prefix == $p)'; }
n1_fresh() { n1_knows "$1" | jq -e '.stale | not'; }
kernel_of() { in_ns "$1" ip -4 route show "$2" | grep via; }
n1_routes_to_bird() {
    in_node n1 margayctl routes -o json | jq -e --arg p "$bird_block" '.routes[] | select(.prefix == $p and .node == "bird")'
}
to_bird() { in_ns n1-a ping -q -n -c 1 -W 1 $bird_pod; }
from_bird() { in_ns bird ping -q -n -c 1 -W 1 -I $bird_pod "$(pod_ip n1-a)"; }

# Asks BIRD itself all the time, and notes when the route was not there.
watch_bird() {
    while [ -e "$state/watching" ]; do
        bird_knows "$block" >/dev/null || date +%T.%N >>"$state/bird.missed"
        echo >>"$state/bird.asked"
        sleep 0.05
    done
}

bold "margayd on n1, BIRD on a second machine"
begin_cluster
add_host bird 172.31.1.30
in_ns bird sysctl -qw net.ipv4.ip_forward=1
in_ns bird ip addr add $bird_pod/32 dev lo
start_nodes n1
add_pod n1 a client
resource Node bird '{bgp: {ipv4Address: 172.31.1.30/24}}'
resource GlobalNetworkPolicy bird-pods "{selector: all(), types: [Ingress, Egress], ingress: [{action: Allow, source: {nets: [$bird_block]}}], egress: [{action: Allow}]}"
start_router
block=$(block_of n1)

bold "routes both ways"
eventually 60 bgp_established n1 1 || fail "session with BIRD" "$(in_node n1 margayctl bgp peers)"
ok "session with BIRD: $(peers n1 | jq -c '.peers[0] | {name, state, prefixes}')"
check "BIRD knows n1's block $block by n1" eventually 20 bird_knows "$block"
check "BIRD's kernel has n1's block" eventually 20 kernel_of bird "$block"
check "n1 knows BIRD's $bird_block" eventually 20 n1_knows $bird_block
check "n1's kernel has BIRD's block" eventually 20 kernel_of n1 $bird_block
check "n1's data path has BIRD's block" eventually 20 n1_routes_to_bird
show bird_says bird show route
show_in n1 margayctl bgp routes
check "a pod of n1 reaches BIRD's" eventually 20 to_bird
check "BIRD's pod reaches n1's" eventually 20 from_bird

bold "withdrawal"
bird_says bird disable static1 >/dev/null
check "what BIRD withdraws leaves n1" eventually 20 not n1_knows $bird_block
check "n1's kernel, too" eventually 20 not kernel_of n1 $bird_block
check "n1's data path, too" eventually 20 not n1_routes_to_bird
refuse "n1's pod does not reach BIRD's" to_bird
bird_says bird enable static1 >/dev/null
check "and comes back" eventually 20 to_bird

bold "margayd is killed and starts again: BIRD has its routes all the time"
watch_routes bird & disown
watch_routes n1 & disown
touch "$state/watching"
watch_bird & asking=$!
exec_in_ns n1-a ping -q -n -i 0.02 -w 100 $bird_pod >"$state/ping" & ping=$!
sleep 1
kill -KILL "$(cat "$state/n1/pid")"
eventually 20 not bird_established || fail "BIRD notices"
start_node n1
eventually 60 bgp_established n1 1 || fail "the session comes back" "$(in_node n1 margayctl bgp peers)"
eventually 60 n1_fresh $bird_block || fail "BIRD tells its routes again"
sleep 1 # what is wrongly taken for stale would go now
kill -INT $ping
wait $ping || fail "pings went on" "$(cat "$state/ping")"
rm "$state/watching"
wait $asking
[ ! -e "$state/bird.missed" ] || fail "BIRD had n1's block whenever it was asked" "$(cat "$state/bird.missed")"
ok "BIRD had n1's block each of the $(wc -l <"$state/bird.asked") times it was asked"
refuse "n1's block never left BIRD's kernel" lost bird "$block"
refuse "BIRD's block never left n1's kernel" lost n1 $bird_block
grep -q " 0% packet loss" "$state/ping" || fail "no packet to BIRD's pod is lost" "$(cat "$state/ping")"
ok "no packet to BIRD's pod was lost: $(grep -o '[0-9]* packets transmitted.*loss' "$state/ping")"

bold "BIRD dies without a NOTIFICATION: its routes stay for the restart time"
kill -KILL "$(cat "$state/bird.bird.pid")"
eventually 20 bgp_established n1 0 || fail "n1 notices"
check "the route is kept while BIRD restarts" n1_knows $bird_block
check "and used" to_bird
start_router -R
check "BIRD is back" eventually 60 bgp_established n1 1
check "the route is fresh again" eventually 20 n1_fresh $bird_block
check "and used" to_bird

bold "the pool's mode becomes Always: BIRD's block is reached through the tunnel"
resource IPPool default-ipv4-ippool "{cidr: $pool, blockSize: 26, ipipMode: Always, natOutgoing: true, nodeSelector: all()}"
on_the_wire() { # the echo request in IPIP, from node to node
    local file=$state/always.pcap
    in_ns n1 timeout 5 tcpdump -ni eth0 -U -w "$file" -c 1 "ip proto 4" 2>/dev/null & local dumper=$!
    to_bird || true # a second one, should the capture not have begun
    to_bird || true
    wait $dumper || true
    tcpdump -nr "$file" 2>/dev/null | grep -F "172.31.1.11 > 172.31.1.30: IP $(pod_ip n1-a) > $bird_pod: ICMP echo request"
}
check "n1 puts an outer header to BIRD's node on" eventually 30 on_the_wire

bold "BIRD says goodbye: its routes go at once"
bird_says bird down >/dev/null
check "the route is withdrawn" eventually 10 not n1_knows $bird_block
why() { peers n1 | jq -r '.peers[] | select(.node == "bird") | .why'; }
show_in n1 margayctl bgp peers
[[ $(why) = *"Administrative Shutdown (6/2)"* ]] || fail "margayctl says why the peer is down" "$(peers n1)"
ok "margayctl says why the peer is down: $(why)"
