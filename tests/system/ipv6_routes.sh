#!/usr/bin/env bash
# Two routers (BIRD 2) tell IPv6 routes over IPv6 sessions, and n1's kernel has them: by both, by one, behind
# a next hop that is not on the link, and as default. They outlive margayd, but not their withdrawal.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgx$$
state=/run/margay-test-$prefix
. deploy/lib/cluster.sh
nodes=(n1)
mode=Off
trap 'status=$?; [ $status = 0 ] || { in_ns n1 ip -6 route; tail -n 30 $state/n1/margayd.log $state/r*.log; }; down; exit $status' EXIT
declare -A number=([r1]=31 [r2]=32)
both=2001:db8:99::/48
target=2001:db8:99::1 # at both
one=2001:db8:98::/48 # r1's
far=2001:db8:77::/48 # r1's, with a next hop that is elsewhere
far_hop=2001:db8:5::5

start_router() { # start_router NAME ROUTE...
    local name=$1 routes=
    shift
    for route in "$@"; do routes+="route $route blackhole; "; done
    cat >"$state/$name.conf" <<END
router id 172.31.1.${number[$name]};
log "$state/$name.log" all;
protocol device {}
protocol direct { ipv6; }
protocol kernel { ipv6 { export where source = RTS_BGP; }; }
protocol static { ipv6; $routes }
filter tell {
  if source != RTS_STATIC then reject;
  if net = $far then bgp_next_hop = $far_hop;
  accept;
}
protocol bgp n1 {
  local 2001:db8:1::${number[$name]} as 64512; neighbor 2001:db8:1::11 as 64512;
  connect retry time 1; error wait time 1,2; graceful restart on;
  ipv6 { import all; export filter tell; };
}
END
    run_router "$name"
}
run_router() { # or have it read its configuration again
    local name=$1
    if birdc -s "$state/$name.ctl" configure >/dev/null 2>&1; then return; fi
    exec_in_ns "$name" bird -f -c "$state/$name.conf" -s "$state/$name.ctl" &
    disown
    eventually 20 birdc -s "$state/$name.ctl" show status || fail "BIRD of $name starts" "$(tail -n 5 "$state/$name.log")"
}
ours() { in_ns n1 ip -6 route show proto 80 "$@"; }
has() { ours "$1" | grep .; }
hops_of() { ours "$1" | grep -o 'via [^ ]*' | sort -u | cut -d ' ' -f 2 | paste -sd ' '; }
goes_by() { [ "$(hops_of "$1")" = "${*:2}" ]; } # goes_by PREFIX HOP...
listed() { in_node n1 margayctl routes -o json | jq -e --arg p "$1" --arg s "$2" '.routes[] | select(.prefix == $p and .state == $s)'; }
counted() { in_node n1 curl -fsS http://127.0.0.1:9099/metrics | grep -Fx "margay_kernel_routes{family=\"ipv6\"} $1"; }
stale() { in_node n1 margayctl bgp routes -o json | jq -e '.routes[] | select(.stale)'; }
settled() { [ "$(grep -c "BGP has settled" "$state/n1/margayd.log")" = "$1" ]; }

bold "margayd on n1, two routers beside it"
down
mkdir -p "$state"
make_network
in_ns n1 ip addr add 2001:db8:1::11/64 dev eth0 nodad
start_etcd
for name in r1 r2; do
    add_host $name 172.31.1.${number[$name]}
    in_ns $name sysctl -qw net.ipv6.conf.all.forwarding=1
    in_ns $name ip addr add 2001:db8:1::${number[$name]}/64 dev eth0 nodad
    in_ns $name ip addr add $target/128 dev lo
done
start_node n1
eventually 60 node_ready n1 || fail "margayd becomes ready" "$(tail -n 20 "$state/n1/margayd.log")"
node_key=/calico/resources/v3/projectcalico.org/nodes/n1
etcd get --print-value-only $node_key | jq -c '.spec.bgp.ipv6Address = "2001:db8:1::11/64"' | etcd put $node_key >/dev/null
peer() { # peer NAME [FILTER]
    calico apply -f - >/dev/null <<END
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: $1}
spec: {peerIP: "2001:db8:1::${number[$1]}", asNumber: 64512, filters: [${2:-}]}
END
}
filter() { # filter INTERFACE: routes by it are refused
    calico apply -f - >/dev/null <<END
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: in}
spec: {importV6: [{interface: '$1', action: Reject}]}
END
}
peer r1
peer r2
# Somebody else's, one of them with a prefix that will be told, and one where ours would be.
in_ns n1 ip -6 route add 2001:db8:55::/48 via 2001:db8:1::32 proto static
in_ns n1 ip -6 route add $one via 2001:db8:1::32 proto static metric 4096
start_router r1 $both $one $far ::/0
start_router r2 $both

bold "what the routers tell is in n1's kernel"
check "by both, one route" eventually 60 goes_by $both 2001:db8:1::31 2001:db8:1::32
check "by one" eventually 20 goes_by $one 2001:db8:1::31
check "a default route" eventually 20 goes_by default 2001:db8:1::31
check "the host reaches them" eventually 20 in_ns n1 ping -q -n -c 1 -W 1 $target
check "and nothing else" [ "$(ours | grep -cv nexthop)" = 4 ]
check "margayctl names a route" listed $both "kernel only"
check "the metrics count them" eventually 20 counted 4
show_in n1 margayctl routes
show in_ns n1 ip -6 route

bold "a next hop that is not on the link"
check "it goes where a route leads to it: the default route" goes_by $far 2001:db8:1::31
in_ns n1 ip -6 route add 2001:db8:5::/64 via 2001:db8:1::32 proto static
check "another route leads to it" eventually 20 goes_by $far 2001:db8:1::32
in_ns n1 ip -6 route replace unreachable 2001:db8:5::/64 proto static
in_ns n1 ip -6 route del 2001:db8:5::/64 via 2001:db8:1::32 proto static 2>/dev/null || true
check "nothing leads to it: no route" eventually 20 not has $far
in_ns n1 ip -6 route del unreachable 2001:db8:5::/64
check "and the default route again" eventually 20 goes_by $far 2001:db8:1::31

bold "withdrawal"
start_router r2
check "what r2 withdraws is by r1 alone" eventually 20 goes_by $both 2001:db8:1::31
start_router r2 $both
check "and by both again" eventually 20 goes_by $both 2001:db8:1::31 2001:db8:1::32

bold "a BGPFilter that asks for the interface"
filter 'eth*'
peer r2 in
check "r2's routes, which lead by it, are refused" eventually 20 goes_by $both 2001:db8:1::31
filter 'alt*'
check "and taken where it names another" eventually 20 goes_by $both 2001:db8:1::31 2001:db8:1::32
peer r2

bold "margayd is killed and starts again"
exec_in_ns n1 ip -6 monitor route >"$state/monitor" & disown
kill -KILL "$(cat "$state/n1/pid")"
sleep 1
check "the kernel has the routes meanwhile" goes_by $both 2001:db8:1::31 2001:db8:1::32
start_router r1 $both $far ::/0 # less $one
start_node n1
eventually 60 settled 2 || fail "BGP settles" "$(tail -n 20 "$state/n1/margayd.log")"
check "what was withdrawn meanwhile goes" eventually 20 not has $one
check "the others are as before" goes_by $both 2001:db8:1::31 2001:db8:1::32
check "the default route, too" goes_by default 2001:db8:1::31
lost() { grep -F Deleted "$state/monitor" | grep -F "$1"; }
refuse "$both was there all the time" lost $both
refuse "the default route, too" lost "default"
check "what was withdrawn was seen to go" eventually 10 lost $one
check "somebody else's routes are as they were" [ "$(in_ns n1 ip -6 route show proto static | wc -l)" = 2 ]

bold "cleanup"
kill -KILL "$(cat "$state/n1/pid")"
eventually 10 is_dead "$(cat "$state/n1/pid")" || fail "margayd is gone"
check "margayd --cleanup" in_node n1 margayd --cleanup
check "no route of ours is left" [ -z "$(ours)" ]
check "somebody else's are" [ "$(in_ns n1 ip -6 route show proto static | wc -l)" = 2 ]
bold "a link-local neighbour, who comes from a range"
etcd get --print-value-only $node_key | jq -c 'del(.spec.bgp.ipv6Address)' | etcd put $node_key >/dev/null
for name in r1 r2; do
    calico delete bgppeer $name >/dev/null
done
export MARGAY_BGP_LISTEN_RANGE='fe80::/64 as=internal'
start_node n1
eventually 60 node_ready n1 || fail "margayd becomes ready" "$(tail -n 20 "$state/n1/margayd.log")"
link_local() { in_ns "$1" ip -6 -o addr show dev eth0 scope link | grep -o 'fe80[^/]*'; }
sed -i "s/local .*; neighbor .*/local as 64512; neighbor $(link_local n1)%eth0 as 64512; direct;/" "$state/r2.conf"
run_router r2
check "its routes go by the link that is shared with it" eventually 60 goes_by $both "$(link_local r2)"
check "on eth0" in_ns n1 sh -c "ip -6 route show $both | grep 'dev eth0'"
bold "$passed assertions passed in ${SECONDS} s"
