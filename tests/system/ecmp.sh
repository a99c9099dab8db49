#!/usr/bin/env bash
# Two routers (BIRD 2) tell one prefix. n1's pods reach it by both, flow by flow; where one router
# goes, its flows move to the other, no other flow does, and they are back when the router is.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mge$$
. tests/system/lib.sh
nodes=(n1)
mode=Off
declare -A router=([r1]=172.31.1.31 [r2]=172.31.1.32)
block=10.244.99.0/26
target=10.244.99.1 # at both
flows=32

start_router() {
    start_bird "$1" "${router[$1]}" <<END
protocol direct { ipv4; }
protocol kernel { ipv4 { export where source = RTS_BGP; }; }
protocol static { ipv4; route $block blackhole; }
protocol bgp n1 {
  local ${router[$1]} as 64512; neighbor 172.31.1.11 as 64512; multihop; connect retry time 1; error wait time 1,2;
  ipv4 { import all; export where source = RTS_STATIC; };
}
END
}
pings_at() { in_ns "$1" awk '/^Icmp: [0-9]/ {print $10}' /proc/net/snmp; }
# By which router each flow goes, a digit a flow. Every ping must come back.
ways() {
    local before list=
    for id in $(seq $flows); do
        before=$(pings_at r1)
        in_ns n1-a ping -q -n -c 1 -W 2 -e "$id" $target >/dev/null || return 1
        if [ "$(pings_at r1)" = "$before" ]; then list+=2; else list+=1; fi
    done
    echo $list
}
goes_by() { # goes_by NEXT_HOP...: in n1's data path
    in_node n1 margayctl routes -o json | jq -e --arg p $block --arg v "$*" '.routes[] | select(.prefix == $p and .via == $v and .state == "direct")'
}
kernel_hops() { [ "$(in_ns n1 ip -4 route show $block | grep -o 'via 172[^ ]*' | sort -u | wc -l)" = "$1" ]; }
flows_created() { metrics n1 | awk '/reason="flow_created"/ {sum += $2} END {print sum}'; }

bold "margayd on n1, two routers beside it"
begin_cluster
for name in r1 r2; do
    add_host $name "${router[$name]}"
    in_ns $name sysctl -qw net.ipv4.ip_forward=1
    in_ns $name ip addr add $target/32 dev lo
done
start_nodes n1
add_pod n1 a client
resource GlobalNetworkPolicy pods-ask '{selector: all(), types: [Ingress, Egress], egress: [{action: Allow}]}'
for name in r1 r2; do
    resource Node $name "{bgp: {ipv4Address: ${router[$name]}/24}}"
    start_router $name
done
check "n1's data path has both routers" eventually 60 goes_by 172.31.1.31, 172.31.1.32
check "n1's kernel has both" eventually 20 kernel_hops 2
eventually 30 in_ns n1-a ping -q -n -c 1 -W 1 -e 99 $target || fail "the pod reaches the routers"

bold "flows are spread"
both=$(ways) || fail "every flow has its answer"
[[ $both == *1*1*1* && $both == *2*2*2* ]] || fail "flows go by both routers" "$both"
ok "flows go by both routers: $both"
[ "$(ways)" = "$both" ] || fail "a flow keeps its router"
ok "a flow keeps its router"

bold "a router goes"
created=$(flows_created)
bird_says r1 down >/dev/null
check "n1's data path has the other one" eventually 30 goes_by 172.31.1.32
check "n1's kernel, too" eventually 20 kernel_hops 1
[ "$(ways)" = "${both//1/2}" ] || fail "all flows go by the other router, each is answered"
ok "all flows go by the other router, each is answered"
start_router r1
check "n1's data path has both again" eventually 60 goes_by 172.31.1.31, 172.31.1.32
again=$(ways) || fail "every flow has its answer"
[ "$again" = "$both" ] || fail "each flow has the router that it had" "$both" "$again"
ok "each flow has the router that it had"
# The router's attempts at a session are flows of their own, a few; the pods' that came back would be one each.
back=${both//2/}
[ $(($(flows_created) - created)) -lt ${#back} ] || fail "they are the same flows" "$created" "$(flows_created)"
ok "they are the same flows"

