#!/usr/bin/env bash
# One node through its life: host traffic untouched from start to --cleanup, flows that outlive
# emptied maps, repair of the own Node, bad values across a restart, nothing left at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgl$$
hold_seconds=60 # n1 is stopped for a while, and its peers shall not miss it
. tests/system/lib.sh
nodes=(n1 n2)
pods=(n1-a n1-b n2-a n2-b)
traffic() { exec_in_ns "$1" "$bin/traffic" "${@:2}"; }
listens() { in_ns "$1" ss -Htln "sport = :$2" | grep . >/dev/null; }
pins() { find "$state/$1/bpf/margay" -type f 2>/dev/null; }
ping_from() { in_ns "$1" ping -q -c 1 -W 2 "$2"; }

bold "host traffic before margayd ever ran"
begin_cluster
# The node's own TCP, from the router, through everything that follows.
traffic n1 tcp-receive 8022 >"$state/host-stream" & receiver=$!
eventually 5 listens n1 8022
traffic router tcp-send 172.31.1.11 8022 600 2000000 >"$state/host-sent" & sender=$!
links_before=$(in_ns n1 ip -br link | awk '{print $1}' | sort)
routes_before=$(in_ns n1 ip -4 route show table all)
rules_before=$(in_ns n1 nft list ruleset)

bold "start"
start_nodes "${nodes[@]}"
for node in "${nodes[@]}"; do add_pod "$node" a client; add_pod "$node" b other; done
check "pods talk between nodes" eventually 30 ping_pod n1-a n2-a
check "pods talk on one node" eventually 10 ping_pod n1-a n1-b
check "host reaches its own pod" ping_from n1 "$(pod_ip n1-a)"
check "pod reaches its host" ping_from n1-a 172.31.1.11
check "pod reaches the world by natOutgoing: nobody there has a route back" ping_from n1-a 172.31.1.1
refuse "another host does not pass the profile, which lets in pods of its own" ping_from n1 "$(pod_ip n2-a)"
tunnel=$(status n1 | jq -r .tunnel_address)
resource GlobalNetworkPolicy hosts "{selector: role == 'client', types: [Ingress], ingress: [{action: Allow, source: {nets: [$tunnel/32]}}, {action: Pass}]}"
check "host reaches a remote pod, which sees the tunnel address" eventually 20 ping_from n1 "$(pod_ip n2-a)"
calico delete GlobalNetworkPolicy hosts >/dev/null

bold "a tier that passes, and sets of addresses"
# n1-b stands in the set, but the first tier denies it; everybody else the tier leaves to the policy.
apply <<YAML
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: first}
spec: {order: 1}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: first.gate}
spec:
  tier: first
  selector: role == 'client' && node == 'n1'
  types: [Ingress]
  ingress:
  - {action: Deny, source: {nets: [$(pod_ip n1-b)/32]}}
  - {action: Pass}
---
apiVersion: projectcalico.org/v3
kind: NetworkSet
metadata: {name: friends, namespace: default, labels: {set: friends}}
spec: {nets: [$(pod_ip n2-a)/32, $(pod_ip n1-b)/32]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: sets, namespace: default}
spec:
  selector: role == 'client' && node == 'n1'
  types: [Ingress]
  ingress:
  - {action: Allow, source: {selector: set == 'friends'}}
  - {action: Allow, source: {selector: set == 'friends', namespaceSelector: global()}}
YAML
check "who is in no set is denied" eventually 20 not ping_from n2-b "$(pod_ip n1-a)"
check "the NetworkSet's n2-a is allowed: the first tier passes it on" ping_from n2-a "$(pod_ip n1-a)"
refuse "its n1-b is not: the first tier denies it" ping_from n1-b "$(pod_ip n1-a)"
apply <<YAML
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: world, labels: {set: friends}}
spec: {nets: [$(pod_ip n2-b)/32, $(pod_ip n1-b)/32]}
YAML
check "the GlobalNetworkSet's n2-b is allowed" eventually 20 ping_from n2-b "$(pod_ip n1-a)"
calico delete NetworkSet friends -n default >/dev/null
check "without the NetworkSet n2-a is denied" eventually 20 not ping_from n2-a "$(pod_ip n1-a)"
calico delete GlobalNetworkPolicy first.gate >/dev/null
calico delete Tier first >/dev/null
check "without the first tier n1-b is allowed" eventually 20 ping_from n1-b "$(pod_ip n1-a)"
calico delete NetworkPolicy sets -n default >/dev/null
calico delete GlobalNetworkSet world >/dev/null
check "without the policy n2-a is back" eventually 20 ping_from n2-a "$(pod_ip n1-a)"

bold "offloads survive the tunnel"
# On a veth whole segments stand on the wire: what was cut on the way would be seen as small packets.
big_on_wire() { # big_on_wire PROTOCOL: waits for a tunnel packet far above the MTU
    in_ns n2 timeout 20 tcpdump -nn -c 1 -i eth0 "ip proto 4 and ip[29] == $1 and greater 4000" >/dev/null 2>&1
}
big_on_wire 6 & watcher=$!
traffic n2-a tcp-receive 7000 >"$state/gso-tcp" & stream=$!
eventually 5 listens n2-a 7000
in_ns n1-a "$bin/traffic" tcp-send "$(pod_ip n2-a)" 7000 3 >"$state/gso-tcp-sent"
wait $stream || fail "the stream with offloads ends well"
wait $watcher || fail "TCP segments cross the tunnel whole"
ok "TCP segments cross the tunnel whole"
big_on_wire 17 & watcher=$!
traffic n2-a udp-receive 7001 2 >"$state/gso-udp" & stream=$!
eventually 5 in_ns n2-a sh -c 'ss -Hlun "sport = :7001" | grep -q .' || fail "the receiver of bursts listens"
in_ns n1-a "$bin/traffic" udp-gso "$(pod_ip n2-a)" 7001 400 >"$state/gso-udp-sent" || fail "bursts can be sent (UDP GSO)"
wait $stream || fail "the receiver of bursts ends well"
wait $watcher || fail "UDP bursts cross the tunnel whole"
jq -en --slurpfile s "$state/gso-udp-sent" --slurpfile r "$state/gso-udp" '$r[0].received == $s[0].sent and $r[0].missing == 0' >/dev/null ||
    fail "no packet of a burst is lost" "$(cat "$state/gso-udp-sent" "$state/gso-udp")"
ok "UDP bursts cross the tunnel whole, and none is lost: $(cat "$state/gso-udp")"

bold "a flow goes on while the slow path's maps are empty"
traffic n2-a tcp-receive 7100 >"$state/stream" & stream=$!
eventually 5 listens n2-a 7100
traffic n1-a tcp-send "$(pod_ip n2-a)" 7100 60 20000000 >"$state/stream-sent" & sent=$!
arriving() { [ "$(in_ns n2-a cat /proc/net/dev | awk '$1 == "eth0:" {print $2}')" -gt "$1" ]; }
eventually 20 arriving 1000000 || fail "the stream begins"
kill -STOP "$(cat "$state/n1/pid")"
keys() { # of a map or program array, as bpftool takes them
    bpftool -j map dump pinned "$1" | jq -r '.[] | select((.value | type) == "array" or (.value | has("error") | not)) | .key | join(" ")'
}
for map in routes4 nodes4 classes4 policies; do
    file=$(pins n1 | grep "/$map$")
    [ -n "$(keys "$file")" ] || fail "map $map had entries"
    keys "$file" | while read -r key; do bpftool map delete pinned "$file" key hex ${key//0x/}; done
    [ -z "$(keys "$file")" ] || fail "map $map is empty" "$(bpftool map dump pinned "$file" | head -n 5)"
done
before=$(in_ns n2-a cat /proc/net/dev | awk '$1 == "eth0:" {print $2}')
check "TCP goes on without routes, nodes, classes and policies" eventually 20 arriving $((before + 20000000))
refuse "a new flow does not" ping_pod n1-a n2-b
kill -TERM $sent
wait $sent $stream || fail "both ends of the stream end well"
[ "$(jq .received "$state/stream")" = "$(jq .sent "$state/stream-sent")" ] && [ "$(jq .wrong "$state/stream")" = 0 ] ||
    fail "the stream is whole" "$(cat "$state/stream" "$state/stream-sent")"
ok "the stream is whole: $(cat "$state/stream")"
kill_node KILL n1
start_nodes n1
check "margayd fills the maps again: new flows work" eventually 20 ping_pod n1-a n2-b

bold "own Node deleted, tunnel address lost"
node_key=$v3/nodes/n1
exec_in_ns n1 ip -4 -o monitor address route >"$state/changes" & monitor=$!
exec_in_ns n1-a ping -O -n -i 0.2 "$(pod_ip n1-b)" >"$state/pings" & pings=$!
etcd del $node_key >/dev/null
node_back() {
    etcd get --print-value-only $node_key |
        jq -e ".spec.bgp.ipv4Address == \"172.31.1.11/24\" and .spec.bgp.ipv4IPIPTunnelAddr == \"$tunnel\""
}
check "margayd writes its Node again, with the address $tunnel that it holds" eventually 30 node_back
check "pods still talk" eventually 20 ping_pod n1-a n2-a
etcd put $node_key "$(etcd get --print-value-only $node_key | jq -c 'del(.spec.bgp.ipv4IPIPTunnelAddr)')" >/dev/null
check "margayd restores its tunnel address" eventually 30 node_back
tunl0_back() { in_ns n1 ip -o -4 addr show dev tunl0 | grep -w "$tunnel/32" >/dev/null; }
check "tunl0 carries it" eventually 20 tunl0_back
check "n1 is ready again" eventually 20 node_ready n1
kill -INT $pings
wait $pings || fail "n1's pods reach each other meanwhile" "$(cat "$state/pings")"
in_ns n1 ip route add blackhole 10.97.0.0/16 # a change of our own shows that they are watched
eventually 10 grep 10.97 "$state/changes" || fail "the kernel's changes are watched"
in_ns n1 ip route del blackhole 10.97.0.0/16
kill $monitor
wait $monitor || true
# Not by the summary: it counts one as lost that was on its way when ping was stopped.
! grep 'no answer yet' "$state/pings" || fail "n1's pods lose no packet meanwhile"
! grep '^Deleted.*\(cali\|tunl0\)' "$state/changes" || fail "n1 keeps its pods' routes and its tunnel address meanwhile"
! grep ' via .* proto 80' "$state/changes" | grep -v ' src ' || fail "n1 reaches other nodes' pods from its tunnel address meanwhile"
ok "n1 keeps its pods' routes and its tunnel address, and its pods lose no packet meanwhile: $(grep -o '^[0-9]* packets' "$state/pings")"

bold "bad values"
etcd put $v3/globalnetworkpolicies/broken '{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3",
    "metadata":{"name":"broken"},"spec":{"selector":"role == \"other\"","types":["Ingress"],
    "ingress":[{"action":"Allow","protocol":"NoSuchThing"}]}}' >/dev/null
names() { # names LINE...: exactly these bad values are in n1's status, with what is in force instead
    [ "$(status n1 | jq -r '[.problems[] | "\(.key | split("/")[-1]): \(.in_force)"] | sort[]')" = "$(printf '%s\n' "$@")" ]
}
check "the bad policy is named in status" eventually 10 names "broken: a policy that denies"
counted() { metrics n1 | grep -x 'margay_datastore_bad_values{kind="bad"} 1'; }
check "and in the metric" eventually 10 counted
check "what it selects is denied" eventually 10 not ping_pod n2-a n1-b
endpoint=$(jq -r .wep "$state/pods/n1-b.json")
sound=$(etcd get --print-value-only "$v3/workloadendpoints/default/$endpoint")
etcd put "$v3/workloadendpoints/default/$endpoint" "$(jq -c '.spec.ipNetworks = ["x"]' <<<"$sound")" >/dev/null
etcd put $v3/tiers/garbage 'no JSON' >/dev/null
check "a bad endpoint and a bad tier are named, too" eventually 10 names "broken: a policy that denies" "garbage: nothing" \
    "$endpoint: the last good value"
check "others are not denied, and the endpoint is as it was" ping_pod n1-b n1-a
etcd put $v3/globalnetworkpolicies/brace '{' >/dev/null # not even its selector can be read
kill_node KILL n1
cat >"$state/wrapper" <<'SH'
#!/bin/sh
# margayd, and its exit status in a file
margayd "$@" & pid=$!
trap 'kill -TERM $pid' TERM
wait $pid || { wait $pid; }
echo $? >"$MARGAY_RUN_DIR/exit-status"
SH
chmod +x "$state/wrapper"
margayd=$state/wrapper start_nodes n1
check "after a restart, which leaves no last good value, all are named" eventually 10 names "brace: a policy that denies" \
    "broken: a policy that denies" "garbage: nothing" "$endpoint: nothing: the workload is denied"
refuse "the unreadable policy denies what n1-a sends" ping_from n1-a 172.31.1.11
refuse "and what it is sent" ping_from n2 "$(pod_ip n1-a)" # from a host: no pod's egress is in the way
by_brace() {
    in_node n1 margayctl drops -o json |
        jq -e '[.events[] | select(.by | contains("/brace,")).reason] | unique == ["policy_egress", "policy_ingress"]'
}
check "the drops name it" eventually 5 by_brace
etcd del $v3/globalnetworkpolicies/brace >/dev/null
check "without it n1-a is reached again" eventually 20 ping_pod n2-a n1-a
refuse "the pod of the bad endpoint reaches nobody" ping_pod n1-b n1-a
etcd put "$v3/workloadendpoints/default/$endpoint" "$sound" >/dev/null
check "with its endpoint mended it does" eventually 20 ping_pod n1-b n1-a
refuse "but is denied as before by the bad policy" ping_pod n2-a n1-b
etcd del $v3/globalnetworkpolicies/broken >/dev/null
check "without which traffic passes" eventually 20 ping_pod n2-a n1-b
etcd del $v3/tiers/garbage >/dev/null
check "nothing is named any more" eventually 10 names

bold "--cleanup"
refuse "--cleanup refuses while margayd runs" in_node n1 margayd --cleanup
programs=$(status n1 | jq -r '[.hooks[].program_id, .programs[].id] | unique[]')
maps=$(pins n1 | while read -r pin; do bpftool -j map show pinned "$pin" 2>/dev/null | jq -r '.id // empty' || true; done)
[ "$(wc -w <<<"$programs")" -ge 4 ] && [ "$(wc -w <<<"$maps")" -ge 10 ] || fail "ids of programs and maps are known"
kill_node TERM n1
[ "$(cat "$state/n1/run/exit-status")" = 0 ] || fail "SIGTERM is a clean end" "exit status $(cat "$state/n1/run/exit-status")"
ok "SIGTERM is a clean end"
check "pods still talk without margayd" ping_pod n1-a n2-a
in_node n1 margayd --cleanup 2>&1 | sed 's/^/     /'
[ -z "$(pins n1)" ] || fail "no pin is left" "$(pins n1)"
gone() { # gone prog|map ID...: the kernel frees them a little later
    local what=$1 id
    shift
    for id in "$@"; do ! bpftool "$what" show id "$id" >/dev/null 2>&1 || return 1; done
}
# shellcheck disable=SC2086
eventually 30 gone prog $programs || fail "no program is left"
# shellcheck disable=SC2086
eventually 30 gone map $maps || fail "no map is left"
[ "$(in_ns n1 nft list ruleset)" = "$rules_before" ] || fail "no nftables rule is left" "$(in_ns n1 nft list ruleset)"
left=$(in_ns n1 ip -4 route show | grep ' dev cali' || true)
[ -z "$left" ] || fail "no route to a pod is left" "$left"
for pod in n1-a n1-b; do ip netns delete "$(ns $pod)"; done # with their veths; they are not Margay's
same() { [ "$(in_ns n1 "${@:2}")" = "$1" ]; }
devices() { [ "$(in_ns n1 ip -br link | awk '{print $1}' | sort)" = "$links_before" ]; }
eventually 10 devices || fail "no device is left" "$(in_ns n1 ip -br link)"
eventually 10 same "$routes_before" ip -4 route show table all || fail "the routes are as before" "$(in_ns n1 ip -4 route show table all)"
ok "--cleanup left no pin, program, map, rule, device or route"
check "a second --cleanup ends well, too" in_node n1 margayd --cleanup
kill -TERM $sender
wait $sender $receiver || fail "the node's own TCP survives" "$(cat "$state/host-sent")"
[ "$(jq .received "$state/host-stream")" = "$(jq .sent "$state/host-sent")" ] || fail "the node's own TCP is whole"
ok "the node's own TCP survived start, kill, a bad policy and --cleanup: $(cat "$state/host-stream")"
