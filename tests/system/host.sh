#!/usr/bin/env bash
# What surrounds a node on its host: a host without default route, with taken ports, foreign routes
# and unknown interfaces; interfaces that are replaced; settings from several sources; the command line.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgh$$
. tests/system/lib.sh
nodes=(n1 n2)
pods=(n1-a n1-b n2-a n2-b)
taken=
drops() { in_node n1 margayctl drops -o json | jq --arg r "$1" '[.counters[] | select(.reason == $r) | .packets] | add // 0'; }
take() { # take NODE PORT: as a server of the user's would
    exec_in_ns "$1" nc -lk "$2" >/dev/null 2>&1 &
    taken+=" $!"
    disown
}
has_route() { in_ns n1 ip route show | grep "$*" >/dev/null; }

bold "the command line"
margayd() { in_node n1 margayd "$@"; }
ip netns add "$(ns n1)"
help=$(margayd --help) && grep -q -- --etcd-endpoints <<<"$help" || fail "--help names the settings"
grep -qE '^margayd [0-9]+\.[0-9]+\.[0-9]+$' <<<"$(margayd --version)" || fail "--version"
wrong=$(CALICO_IPV4POOL_IPIP=sometimes CALICO_IPV4POOL_BLOCK_SIZE=19 IP=1.2.3.400 margayd 2>&1) && fail "wrong values are refused"
for part in 'CALICO_IPV4POOL_IPIP: "sometimes" is refused; allowed: Off, Never, Always, CrossSubnet' \
    'CALICO_IPV4POOL_BLOCK_SIZE: "19" is refused; allowed: 20 to 32' 'IP: "1.2.3.400" is refused; allowed:'; do
    grep -qF "$part" <<<"$wrong" || fail "all wrong values are named at once" "missing: $part" "$wrong"
done
shown=$(AS=64999 margayd config --mark-mask 0xf000000 2>&1 || true)
grep -q '^as  *64999  *environment AS$' <<<"$(AS=64999 margayd config)" || fail "margayd config names value and source" "$shown"
ok "--help, --version, config; wrong values are refused together"
ip netns delete "$(ns n1)"

bold "a host without default route, with ports 179 and 2379 taken, and routes of its own"
begin_cluster
in_ns n1 ip route del default
in_ns n1 ip route add 10.99.0.0/16 via 172.31.1.1
in_ns n1 ip route add blackhole 10.98.0.0/16 proto static
take n2 179
take n2 2379
second_uplink() { # second_uplink NODE: by a name that autodetection passes over
    in_ns "$1" ip link add docker0 type veth peer name docker0peer
    in_ns "$1" ip addr add 198.51.100.1/24 dev docker0
    in_ns "$1" ip link set docker0 up
}
second_uplink n2
in_ns n2 sysctl -qw net.ipv4.conf.eth0.rp_filter=1
start_node n1
FELIX_IPINIPMTU=1300 FELIX_INTERFACEPREFIX=cali MARGAY_UPLINKS=eth0 start_node n2
await_node "${nodes[@]}"
port_named() { status n2 | jq -e '.warnings[] | select(.text | test("BGP.*179"))'; }
check "n2 names its BGP port as taken" eventually 20 port_named
strict() { status n2 | jq -e '.warnings[] | select(.text | contains("net.ipv4.conf.eth0.rp_filter is 1"))'; }
check "and rp_filter=1 of its uplink" eventually 10 strict
uplinks() { # uplinks NODE NAME...: exactly these have the hook of an uplink
    [ "$(status "$1" | jq -r '[.hooks[] | select(.program == "to_uplink").interface] | sort | join(" ")')" = "${*:2}" ]
}
check "n2's uplink is eth0 alone, as MARGAY_UPLINKS says" uplinks n2 eth0
check "so is n1's by itself" uplinks n1 eth0
second_uplink n1
check "until another interface has an address" eventually 10 uplinks n1 docker0 eth0
in_ns n1 ip link delete docker0
check "and when it is gone again" eventually 10 uplinks n1 eth0
for node in "${nodes[@]}"; do add_pod "$node" a client; add_pod "$node" b other; done
check "n2 goes on: it dials n1" eventually 30 bgp_established n2
check "pods talk between nodes" eventually 30 ping_pod n1-a n2-a
kill $taken
taken=
check "n2 listens when the port is free" eventually 30 not port_named
check "the session is as it was" bgp_established n2
gateway_mac() { in_ns n1-a ip neigh show 169.254.1.1 | grep 'lladdr ee:ee:ee:ee:ee:ee' >/dev/null; }
in_ns n1-a ip neigh flush dev eth0
check "pods talk on one node" eventually 10 ping_pod n1-a n1-b
check "their ARP for 169.254.1.1 is answered without a default route" gateway_mac

bold "interfaces"
device=$(jq -r .interface "$state/pods/n1-b.json")
mac=$(jq -r .mac "$state/pods/n1-b.json")
static() { in_ns n1 ip neigh show dev "$device" nud permanent | grep "$(pod_ip n1-b) lladdr ${mac,,}" >/dev/null; }
check "the host has a static ARP entry of the pod" eventually 10 static
check "and its route" eventually 10 has_route "$(pod_ip n1-b) dev $device scope link metric 1024"
index=$(in_ns n1 cat "/sys/class/net/$device/ifindex" 2>/dev/null || in_ns n1 ip -o link show "$device" | cut -d: -f1)
in_ns n1 ip link delete "$device"
check "without its interface a pod is not reached" not ping_pod n1-a n1-b
check "and its route is gone" eventually 10 not has_route "$(pod_ip n1-b)"
lost() { in_node n1 margayctl endpoints -o json | jq -e '.endpoints[] | select(.state == "interface is not there")'; }
check "margayctl names the endpoint without interface" eventually 10 lost
env PATH="$bin:$PATH" ETCD_ENDPOINTS=$etcd_url CALICO_NODENAME_FILE="$state/n1/nodename" \
    deploy/pod.sh add --node n1 --node-netns "$(ns n1)" --netns "$(ns n1-b)" --namespace default --pod n1-b >"$state/pods/n1-b.json"
check "an interface made again under the same name serves its pod" eventually 20 ping_pod n1-a n1-b
check "also from another node" eventually 20 ping_pod n2-a n1-b
check "with its static ARP entry" eventually 10 static
attached() { status n1 | jq -e --arg d "$device" '[.hooks[] | select(.interface == $d)] | length == 2'; }
check "both hooks are on the new one, and none on the old one" attached
refuse "its index is another one" in_ns n1 bash -c "[ $index = \"\$(ip -o link show $device | cut -d: -f1)\" ]"

ip netns add "$(ns n1-x)"
ip link add calix0 netns "$(ns n1)" type veth peer name eth0 netns "$(ns n1-x)"
in_ns n1 ip link set calix0 up
in_ns n1-x ip addr add 10.244.0.250/32 dev eth0
in_ns n1-x ip link set eth0 up
in_ns n1-x ip route add default dev eth0
in_ns n1-x ip neigh add "$(pod_ip n1-a)" lladdr ee:ee:ee:ee:ee:ee dev eth0
in_ns n1-x ip neigh add 172.31.1.11 lladdr "$(in_ns n1 ip -j link show calix0 | jq -r '.[0].address')" dev eth0
refuse "an interface that is no endpoint's reaches no pod" in_ns n1-x ping -q -c 2 -i 0.2 -W 1 "$(pod_ip n1-a)"
refuse "nor the host" in_ns n1-x ping -q -c 2 -i 0.2 -W 1 172.31.1.11
[ "$(drops unknown_workload)" -gt 0 ] || fail "the drop has its reason: unknown_workload" "$(in_node n1 margayctl drops)"
ok "the drop has its reason: unknown_workload $(drops unknown_workload)"

bold "settings from several sources"
etcd put $v3/felixconfigurations/default '{"kind":"FelixConfiguration","apiVersion":"projectcalico.org/v3","metadata":{"name":"default"},"spec":{"ipipMTU":1400,"interfacePrefix":"cali,tap","externalNodesList":["192.0.2.7","172.31.9.0/24"],"ipv4NormalRoutePriority":700}}' >/dev/null
mtu() { in_node "$1" margayctl routes -o json | jq -e --argjson m "$2" '[.routes[] | select(.kind == "remote") | .mtu] == [$m]'; }
check "FelixConfiguration sets the MTU of the tunnel" eventually 20 mtu n1 1400
check "but not where the environment did" mtu n2 1300
source_of() { in_node "$1" margayctl config -o json | jq -r --arg n "$2" '.settings[] | select(.name == $n) | .source'; }
[ "$(source_of n1 ipip-mtu) $(source_of n2 ipip-mtu)" = "datastore environment" ] || fail "margayctl config names both sources"
ok "margayctl config names both sources"
check "routes to workloads take the metric" eventually 10 has_route "$(pod_ip n1-b) dev $device scope link metric 700"
check "and leave none of the old metric" eventually 10 not has_route "metric 1024"
external() { # the /32 and the /24, as the map's bytes
    bpftool -j map dump pinned "$(find "$state/n1/bpf" -name nodes4)" |
        jq -e '[.[].key | join(" ")] | (index("0x20 0x00 0x00 0x00 0xc0 0x00 0x02 0x07") != null) and (index("0x18 0x00 0x00 0x00 0xac 0x1f 0x09 0x00") != null)'
}
check "externalNodesList is among the accepted senders" eventually 10 external
in_ns n1 ip link add tap0 type veth peer name tap0peer
in_ns n1 ip link set tap0 up
tap() { status n1 | jq -e '[.hooks[] | select(.interface == "tap0")] | length == 2'; }
check "a further interface prefix is in force" eventually 10 tap
check "margayd itself lets its interface answer ARP" eventually 10 in_ns n1 grep -x 1 /proc/sys/net/ipv4/conf/tap0/proxy_arp
etcd put $v3/felixconfigurations/default '{"kind":"FelixConfiguration","apiVersion":"projectcalico.org/v3","metadata":{"name":"default"},"spec":{}}' >/dev/null
check "and no longer when it is gone" eventually 20 not tap
check "nor the external nodes" eventually 10 not external
check "nor the MTU" eventually 10 mtu n1 1480
check "traffic passes as before" eventually 20 ping_pod n1-a n2-a

bold "the rest of the host"
refuse "a second margayd on the same run folder is refused" in_node n1 env NODENAME=n1 CALICO_NODENAME_FILE="$state/n1/nodename" ETCD_ENDPOINTS=$etcd_url timeout 20 margayd
check "the first one goes on" node_ready n1
kill_node TERM n1
in_node n1 margayd --cleanup >/dev/null
check "foreign routes are untouched by run and --cleanup" has_route "10.99.0.0/16 via 172.31.1.1 dev eth0"
check "of any kind" has_route "blackhole 10.98.0.0/16 proto static"
