#!/usr/bin/env bash
# Settings that reach what they are about: a node on a folder of manifests, configured by a YAML file;
# a node that decapsulates in native XDP; what margayctl and /metrics say of bad and unenforced values.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgs$$
state=/run/margay-test-$prefix
. deploy/lib/cluster.sh
nodes=(n1 n2)
trap 'status=$?; [ $status = 0 ] || tail -n 30 $state/n*/margayd.log; down; exit $status' EXIT
status() { in_node "$1" margayctl status -o json; }
metric() { in_node n2 curl -fsS http://127.0.0.1:9099/metrics | grep -F "$1" >/dev/null; }

bold "a YAML file and a folder of manifests"
down
mkdir -p "$state/n1/bpf" "$state/n1/run" "$state/store"
make_network
mount -t bpf bpf "$state/n1/bpf"
cat >"$state/margayd.yaml" <<EOF
datastoreType: file
fileStore: $state/store
nodename: n1
nodenameFile: $state/n1/nodename
ip: autodetect
ipAutodetectionMethod: interface=eth0
ipv4poolCidr: 10.20.0.0/16
ipv4poolIpip: CrossSubnet
ipv4poolBlockSize: 28
ipv4poolNatOutgoing: false
logSeverity: debug
EOF
exec_in_node n1 margayd --config "$state/margayd.yaml" --log-severity warning >"$state/n1/margayd.log" 2>&1 &
echo $! >"$state/n1/pid"
disown
eventually 60 node_ready n1 || fail "n1 becomes ready"
shown=$(in_node n1 margayctl config)
grep -qE '^ipv4pool-block-size +28 +file' <<<"$shown" || fail "the file is read" "$shown"
grep -qE '^log-severity +warning +flag' <<<"$shown" || fail "a flag wins over the file" "$shown"
ok "the file is read, a flag wins over it"
pools=$(tr -d " \"" <"$(find "$state/store" -name default-ipv4-ippool.kv)")
for part in cidr:10.20.0.0/16 blockSize:28 ipipMode:CrossSubnet; do
    grep -q "$part" <<<"$pools" || fail "the default pool has $part" "$pools" "$(find "$state/store")"
done
! grep -q natOutgoing:true <<<"$pools" || fail "the default pool hides nobody" "$pools"
ok "the default pool is as the file says"
! grep -qE ' (info|debug) ' "$state/n1/margayd.log" || fail "only warnings are logged" "$(head -n 5 "$state/n1/margayd.log")"
ok "only warnings are logged"
[ "$(status n1 | jq -r .store.type)" = file ] || fail "status names the datastore" "$(status n1 | jq .store)"
ok "status names the datastore"
has_block() { in_ns n1 ip route show type blackhole | grep -E '10\.20\.[0-9.]+/28' >/dev/null; }
check "the node has a block of the pool" eventually 20 has_block
down

bold "native XDP on the uplink"
mode=Always
export MARGAY_XDP=native
start_cluster
xdp() { status "$1" | jq -e '[.hooks[] | select(.hook == "xdp" and .interface == "eth0" and .program == "uplink_xdp")] | length == 1' >/dev/null; }
for node in "${nodes[@]}"; do check "$node decapsulates in XDP" xdp "$node"; done
check "pods talk through it" eventually 20 ping_pod n1-a n2-a
head -c 20000000 /dev/urandom >"$state/sent"
in_ns n2-b nc -ln 7001 >"$state/received" &
receiver=$!
send() { in_ns n1-b nc -N "$(pod_ip n2-b)" 7001 <"$state/sent"; }
eventually 10 send || fail "a stream gets through XDP"
wait $receiver
cmp "$state/sent" "$state/received" || fail "the stream is whole"
ok "20 MB arrive whole"

bold "every map is pinned, no slot is empty"
missing=$(in_node n2 margayctl programs -o json | jq '[.slots[] | select(.program == "MISSING")] | length')
[ "$missing" = 0 ] || fail "no slot is empty" "$(in_node n2 margayctl programs)"
id=$(in_node n2 margayctl programs -o json | jq '[.slots[] | select(.array == "policies")][0].program_id')
bpftool prog show id "$id" | grep pol_ >/dev/null || fail "margayctl names the kernel's programs" "$(bpftool prog show id "$id")"
ok "margayctl programs agrees with the kernel"
pinned=$(find "$state/n2/bpf" -type f ! -path '*/links/*' ! -path '*/programs/*' -printf '%f\n' | sort)
for map in $(status n2 | jq -r '.maps[].name'); do
    grep -qx "$map" <<<"$pinned" || fail "map $map is pinned" "$pinned"
done
ok "every map is pinned: $(wc -w <<<"$pinned")"
for command in status endpoints routes policies drops config events programs 'bgp peers' 'bgp routes'; do
    # shellcheck disable=SC2086
    [ -n "$(in_node n2 margayctl $command)" ] || fail "margayctl $command shows a table"
    # shellcheck disable=SC2086
    in_node n2 margayctl $command -o json | jq -e . >/dev/null || fail "margayctl $command -o json is JSON"
done
ok "every command of margayctl has a table and JSON"

bold "bad and unenforced values"
prefix_v3=/calico/resources/v3/projectcalico.org
etcd put $prefix_v3/globalnetworkpolicies/broken '{"spec":{"selector":"role ==","types":["Ingress"]}}' >/dev/null
etcd put $prefix_v3/felixconfigurations/default '{"spec":{"interfaceExclude":"kube-ipvs0","ipipMTU":10}}' >/dev/null
named() { status n2 | jq -e --arg k "$1" --arg f "$2" '[.problems[] | select((.key | contains($k)) and (.in_force | contains($f)))] | length >= 1' >/dev/null; }
check "the policy is named, and what stands in its place" eventually 20 named globalnetworkpolicies/broken "a policy that denies"
check "a setting without effect is named" eventually 20 named felixconfigurations/default "everything else"
check "a setting out of range is named" eventually 20 named FelixConfiguration "as it was given"
check "the metric counts the bad values" eventually 10 metric 'margay_datastore_bad_values{kind="bad"} 2'
check "and what is not enforced" metric 'margay_datastore_bad_values{kind="not-enforced"} 1'
check "the pod is denied meanwhile" eventually 10 not ping_pod n1-a n2-a
etcd put $prefix_v3/globalnetworkpolicies/other '{"spec":{"selector":"role == \"nobody\"","types":["Ingress"]}}' >/dev/null
etcd del $prefix_v3/globalnetworkpolicies/broken >/dev/null
check "and is not afterwards" eventually 20 ping_pod n1-a n2-a
times=$(grep -c 'globalnetworkpolicies/broken' "$state/n2/margayd.log")
[ "$times" = 1 ] || fail "the log names it once" "$times times"
ok "the log names it once"
[ "$(in_node n2 curl -fsS http://127.0.0.1:9099/healthz)" = ok ] || fail "/healthz"
ok "/healthz answers"
bold "$passed assertions passed in ${SECONDS} s"
