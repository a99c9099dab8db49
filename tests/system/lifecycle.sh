#!/usr/bin/env bash
# One node through its life: foreign traffic untouched from start to --cleanup, flows that outlive
# emptied maps, repair of the own Node, interfaces without endpoint, bad values across a restart.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgl$$
state=/run/margay-test-$prefix
nodes=(n1 n2)
. deploy/lib/cluster.sh
nodes=(n1 n2)
pods=(n1-a n1-b n2-a n2-b)
trap 'status=$?; [ $status = 0 ] || tail -n 30 $state/n*/margayd.log; down; exit $status' EXIT
traffic() { nsenter --net="/run/netns/$(ns "$1")" -- "$bin/traffic" "${@:2}"; }
status() { in_node "$1" margayctl status -o json; }
drops() { in_node n1 margayctl drops -o json | jq --arg r "$1" '[.counters[] | select(.reason == $r) | .packets] | add // 0'; }
pins() { find "$state/$1/bpf/margay" -type f 2>/dev/null; }

bold "host traffic before margayd ever ran"
down
mkdir -p "$state"
make_network
start_etcd
# The node's own TCP, from the router, for the whole test.
traffic n1 tcp-receive 8022 >"$state/host-stream" & receiver=$!
eventually 5 bash -c "nsenter --net=/run/netns/$(ns n1) ss -Htln sport = :8022 | grep -q ."
traffic router tcp-send 172.31.1.11 8022 ${HOST_STREAM_SECONDS:-60} >"$state/host-sent" & sender=$!
links_before=$(in_ns n1 ip -br link | awk '{print $1}' | sort)

bold "start"
for node in "${nodes[@]}"; do start_node "$node"; done
for node in "${nodes[@]}"; do eventually 60 node_ready "$node" || fail "$node becomes ready"; done
for node in "${nodes[@]}"; do add_pod "$node" a client; add_pod "$node" b other; done
check "pods talk between nodes" eventually 30 ping_pod n1-a n2-a
check "pods talk on one node" eventually 10 ping_pod n1-a n1-b
check "host reaches its own pod" in_ns n1 ping -q -c 1 -W 2 "$(pod_ip n1-a)"
check "host reaches a remote pod by the tunnel address" eventually 10 in_ns n1 ping -q -c 1 -W 2 "$(pod_ip n2-a)"
check "pod reaches its host" in_ns n1-a ping -q -c 1 -W 2 172.31.1.11
check "pod reaches the world by natOutgoing" in_ns n1-a ping -q -c 1 -W 2 172.31.1.1

bold "a flow goes on while the slow path's maps are empty"
traffic n2-a tcp-receive 7100 >"$state/stream" & stream=$!
eventually 5 bash -c "nsenter --net=/run/netns/$(ns n2-a) ss -Htln sport = :7100 | grep -q ."
traffic n1-a tcp-send "$(pod_ip n2-a)" 7100 6 >"$state/stream-sent" & sent=$!
sleep 1
kill -STOP "$(cat "$state/n1/pid")"
for map in routes4 nodes4 classes4 policies; do
    file=$(pins n1 | grep "/$map$")
    # bpftool writes keys as JSON bytes, or formatted when it has BTF; the raw ones come first.
    bpftool -j map dump pinned "$file" | jq -r '.[] | (.key // .key) | if type == "array" then join(" ") else empty end' |
        while read -r key; do bpftool map delete pinned "$file" key $key 2>/dev/null || true; done
    [ "$(bpftool -j map dump pinned "$file" | jq '[.[] | select(.value | type == "array" or (type == "object" and (has("error") | not)))] | length')" = 0 ] ||
        fail "map $map is empty" "$(bpftool map dump pinned "$file" | head -n 5)"
done
wait $sent $stream || true
[ "$(jq .received "$state/stream")" = "$(jq .sent "$state/stream-sent")" ] && [ "$(jq .wrong "$state/stream")" = 0 ] ||
    fail "TCP goes on without routes, nodes, classes and policies"
ok "TCP went on without routes, nodes, classes and policies: $(cat "$state/stream")"
kill -KILL "$(cat "$state/n1/pid")"
start_node n1
eventually 60 node_ready n1 || fail "n1 is ready after the restart"
check "the maps are filled again: new flows work" eventually 20 ping_pod n1-a n2-b

bold "own Node deleted, tunnel address lost"
tunnel=$(status n1 | jq -r .tunnel_address)
etcd del /calico/resources/v3/projectcalico.org/nodes/n1 >/dev/null
node_back() { etcd get --print-value-only /calico/resources/v3/projectcalico.org/nodes/n1 | jq -e '.spec.bgp.ipv4Address == "172.31.1.11/24" and (.spec.bgp.ipv4IPIPTunnelAddr | length > 0)'; }
check "margayd writes its Node again" eventually 30 node_back
check "pods still talk" eventually 20 ping_pod n1-a n2-a
etcd get --print-value-only /calico/resources/v3/projectcalico.org/nodes/n1 |
    jq -c 'del(.spec.bgp.ipv4IPIPTunnelAddr)' >"$state/node.json"
etcd put /calico/resources/v3/projectcalico.org/nodes/n1 "$(cat "$state/node.json")" >/dev/null
check "margayd restores its tunnel address (was $tunnel)" eventually 30 node_back

bold "an interface that is no endpoint's"
ip netns add "$(ns n1-x)"
ip link add calix0 netns "$(ns n1)" type veth peer name eth0 netns "$(ns n1-x)"
in_ns n1 ip link set calix0 up
in_ns n1-x ip addr add 10.244.0.250/32 dev eth0
in_ns n1-x ip link set eth0 up
in_ns n1-x ip route add default dev eth0
refuse "an unknown workload reaches nobody" in_ns n1-x ping -q -c 2 -W 1 "$(pod_ip n1-a)"
[ "$(drops unknown_workload)" -gt 0 ] || fail "the drop has its reason: unknown_workload" "$(in_node n1 margayctl drops)"
ok "the drop has its reason: unknown_workload $(drops unknown_workload)"

bold "bad values"
bad=/calico/resources/v3/projectcalico.org/globalnetworkpolicies/broken
etcd put $bad '{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"broken"},"spec":{"selector":"role == '"'other'"'","types":["Ingress"],"ingress":[{"action":"Allow","protocol":"NoSuchThing"}]}}' >/dev/null
named() { status n1 | jq -e '.problems[] | select(.key | contains("broken"))'; }
check "the bad policy is named in status" eventually 10 named
check "what it selects is denied" eventually 10 not ping_pod n2-a n1-b
check "others are not" ping_pod n1-b n1-a
kill -KILL "$(cat "$state/n1/pid")"
start_node n1
eventually 60 node_ready n1 || fail "n1 is ready with the bad value there"
check "after a restart it is named again" eventually 10 named
refuse "and still denies" ping_pod n2-a n1-b
etcd del $bad >/dev/null
check "without it traffic passes" eventually 20 ping_pod n2-a n1-b

bold "--cleanup"
wait $sender || fail "the node's own TCP survives start, kill, a bad policy" "$(cat "$state/host-sent")"
traffic n1 tcp-receive 8023 >"$state/host-stream2" & receiver2=$!
eventually 5 bash -c "nsenter --net=/run/netns/$(ns n1) ss -Htln sport = :8023 | grep -q ."
traffic router tcp-send 172.31.1.11 8023 4 >"$state/host-sent2" & sender2=$!
sleep 1
refuse "--cleanup refuses while margayd runs" in_node n1 margayd --cleanup
kill -TERM "$(cat "$state/n1/pid")"
eventually 20 bash -c "! kill -0 $(cat "$state/n1/pid")" || fail "SIGTERM ends margayd"
in_node n1 margayd --cleanup 2>&1 | sed 's/^/     /'
[ -z "$(pins n1)" ] || fail "no pin is left" "$(pins n1)"
[ -z "$(in_ns n1 nft list tables | grep margay || true)" ] || fail "no nftables table is left"
[ -z "$(in_ns n1 ip route show proto 80)" ] || fail "no route is left" "$(in_ns n1 ip route show proto 80)"
[ "$(in_ns n1 ip -br link | awk '{print $1}' | grep -v '^cali' | sort)" = "$links_before" ] ||
    fail "no device is left" "$(in_ns n1 ip -br link)"
[ "$(in_ns n1 bpftool -j net | jq '[.[].tc[], .[].xdp[]] | length')" = 0 ] || fail "no program is attached" "$(in_ns n1 bpftool net)"
ok "--cleanup left no pin, table, route, device or program"
wait $sender2 $receiver $receiver2 || fail "the node's own TCP survives --cleanup"
for n in "" 2; do
    [ "$(jq .received "$state/host-stream$n")" = "$(jq .sent "$state/host-sent$n")" ] || fail "host TCP is whole"
done
ok "the node's own TCP survived start, kill, a bad policy and --cleanup: $(cat "$state/host-stream") $(cat "$state/host-stream2")"
bold "$passed assertions passed in ${SECONDS} s"
