#!/usr/bin/env bash
# Settings that reach what they are about: a node on a folder of manifests, configured by a YAML file;
# an etcd that asks for certificates and a user; decapsulation in native and generic XDP; a link with
# a small MTU; what margayctl and /metrics say of bad and unenforced values.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgs$$
. tests/system/lib.sh
nodes=(n1 n2)
metric() { metrics n2 | grep -F "$1" >/dev/null; }

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
await_node n1
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

bold "an etcd that asks for certificates and a user"
mkdir -p "$state/tls" "$state/etcd" "$state/n1/bpf" "$state/n1/run"
make_network
mount -t bpf bpf "$state/n1/bpf"
openssl_() { openssl "$@" 2>"$state/tls/log" || fail "openssl $1" "$(cat "$state/tls/log")"; }
openssl_ req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca \
    -keyout "$state/tls/ca.key" -out "$state/tls/ca.pem"
for name in server client; do
    openssl_ req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout "$state/tls/$name.key" -out "$state/tls/$name.csr"
    openssl_ x509 -req -in "$state/tls/$name.csr" -CA "$state/tls/ca.pem" -CAkey "$state/tls/ca.key" -CAcreateserial \
        -days 2 -extfile <(echo "subjectAltName=IP:172.31.1.1,IP:127.0.0.1") -out "$state/tls/$name.pem"
done
exec_in_ns router etcd --name demo --data-dir "$state/etcd" --logger zap \
    --cert-file "$state/tls/server.pem" --key-file "$state/tls/server.key" --client-cert-auth --trusted-ca-file "$state/tls/ca.pem" \
    --listen-client-urls https://0.0.0.0:2379 --advertise-client-urls https://172.31.1.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 >"$state/etcd.log" 2>&1 &
echo $! >"$state/etcd.pid"
disown
etcd_as() { # etcd_as USER:PASSWORD|- CMD...
    local user=()
    [ "$1" = - ] || user=(--user "$1")
    in_ns router env ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert "$state/tls/ca.pem" \
        --cert "$state/tls/client.pem" --key "$state/tls/client.key" "${user[@]}" "${@:2}"
}
eventually 30 etcd_as - endpoint health || fail "etcd starts" "$(tail -n 5 "$state/etcd.log")"
etcd_as - user add root:boss >/dev/null
etcd_as - user grant-role root root >/dev/null
etcd_as - role add calico >/dev/null
etcd_as - role grant-permission calico --prefix=true readwrite /calico/ >/dev/null
etcd_as - user add margay:secret >/dev/null
etcd_as - user grant-role margay calico >/dev/null
etcd_as - auth enable >/dev/null
secured() { # secured PASSWORD: margayd of n1, by the environment of calico-node
    local -x ETCD_CA_CERT_FILE=$state/tls/ca.pem ETCD_CERT_FILE=$state/tls/client.pem ETCD_KEY_FILE=$state/tls/client.key
    local -x ETCD_USERNAME=margay ETCD_PASSWORD=$1
    start_node n1
}
etcd_url=https://172.31.1.1:2379
secured wrong
refused() { grep -E 'ETCD_PASSWORD|invalid user ID or password|authentication failed' "$state/n1/margayd.log"; }
check "a wrong password is told" eventually 30 refused
refuse "and the node is not ready" node_ready n1
kill_node TERM n1 # while it waits for etcd
secured secret
check "with certificates and user it becomes ready" eventually 60 node_ready n1
check "and wrote its Node as that user" etcd_as margay:secret get --prefix /calico/resources/v3/projectcalico.org/nodes/n1 --print-value-only
shown=$(in_node n1 margayctl config -o json | jq -r '.settings[] | select(.name == "etcd-password").value')
[ "$shown" = '***' ] || fail "margayctl hides the password" "$shown"
! grep -F secret "$state/n1/margayd.log" >/dev/null || fail "the log does not have the password"
ok "the password is in neither margayctl nor the log"
down
etcd_url=http://172.31.1.1:2379

bold "native XDP on the uplink"
mode=Always
export MARGAY_XDP=native
start_cluster
xdp() { status "$1" | jq -e '[.hooks[] | select(.hook == "xdp" and .interface == "eth0" and .program == "uplink_xdp")] | length == 1' >/dev/null; }
for node in "${nodes[@]}"; do check "$node decapsulates in XDP" xdp "$node"; done
check "pods talk through it" eventually 20 ping_pod n1-a n2-a
head -c 20000000 /dev/urandom >"$state/sent"
whole_stream() { # whole_stream WHAT: 20 MB from n1-b to n2-b
    in_ns n2-b nc -ln 7001 >"$state/received" &
    local receiver=$!
    send() { in_ns n1-b nc -N "$(pod_ip n2-b)" 7001 <"$state/sent"; }
    eventually 10 send || fail "a stream gets through $1"
    wait $receiver
    cmp "$state/sent" "$state/received" || fail "the stream through $1 is whole"
    ok "20 MB arrive whole through $1"
}
whole_stream "native XDP"

bold "generic XDP on n2's uplink"
kill_node TERM n2
MARGAY_XDP=generic start_nodes n2
attached() { in_ns n2 ip -d link show eth0 | grep -w "$1" >/dev/null; }
check "the kernel says so" eventually 20 attached xdpgeneric
check "n2 decapsulates in XDP" xdp n2
check "pods talk through it" eventually 20 ping_pod n1-a n2-a
whole_stream "generic XDP"

bold "a link with a small MTU"
for node in "${nodes[@]}"; do in_ns "$node" ip link set eth0 mtu 1400; done
told_mtu() {
    { in_ns n1-a ping -n -c 1 -W 1 -M do -s 1400 "$(pod_ip n2-a)" 2>&1 || true; } | grep "Frag needed and DF set (mtu = 1380)"
}
believes_mtu() { in_ns n1-a ip route get "$(pod_ip n2-a)" | grep "mtu 1380"; }
check "a pod with DF is told what fits: 1400 less the outer header" eventually 20 told_mtu
check "and believes it" eventually 20 believes_mtu
fragments() { in_ns n1-a ping -q -n -c 1 -W 2 -M dont -s 1440 "$(pod_ip n2-a)"; }
check "a packet without DF is cut, and arrives" eventually 20 fragments
whole_stream "a path of 1380 octets"
for node in "${nodes[@]}"; do in_ns "$node" ip link set eth0 mtu 1500; done

bold "every map is pinned with its types, no slot is empty"
missing=$(in_node n2 margayctl programs -o json | jq '[.slots[] | select(.program == "MISSING")] | length')
[ "$missing" = 0 ] || fail "no slot is empty" "$(in_node n2 margayctl programs)"
id=$(in_node n2 margayctl programs -o json | jq '[.slots[] | select(.array == "policies")][0].program_id')
bpftool prog show id "$id" | grep pol_ >/dev/null || fail "margayctl names the kernel's programs" "$(bpftool prog show id "$id")"
ok "margayctl programs agrees with the kernel"
defined=$(sed -nE 's/^\} (\w+) SEC\("\.maps"\);$/\1/p' bpf/maps.bpf.h | sort)
folder=$(find "$state/n2/bpf" -name flows4 -printf %h)
pinned=$(find "$folder" -maxdepth 1 -type f -printf '%f\n' | sort)
[ "$pinned" = "$defined" ] ||
    fail "the pins are the maps of bpf/maps.bpf.h" "$(diff <(cat <<<"$defined") <(cat <<<"$pinned"))"
ok "every map of bpf/maps.bpf.h is pinned, and nothing else: $(wc -w <<<"$pinned")"
untyped=$(for map in $pinned; do echo "map show pinned $folder/$map"; done | bpftool -j batch file - |
    jq -r '.[].output | select((.btf_id // 0) == 0) | "\(.name) \(.type)"' | sort)
[ "$untyped" = $'events ringbuf\npolicies prog_array\nstages prog_array' ] ||
    fail "every map that can have types has them" "$untyped"
typed() { # typed MAP FILTER: bpftool dumps it with the names of its structs' fields
    bpftool map dump pinned "$folder/$1" | jq -e ".[0] | $2" >/dev/null ||
        fail "bpftool names the fields of $1" "$(bpftool map dump pinned "$folder/$1" | head -n 20)"
}
typed flows4 '(.key | has("addr") and has("query")) and (.value.dir[0] | has("action"))'
typed counters '.values[0].value | has("packets") and has("bytes")'
ok "all but the ring buffer and program arrays carry their types, and bpftool names their fields"
for command in status endpoints routes policies drops config events programs 'bgp peers' 'bgp routes'; do
    # shellcheck disable=SC2086
    [ -n "$(in_node n2 margayctl $command)" ] || fail "margayctl $command shows a table"
    # shellcheck disable=SC2086
    in_node n2 margayctl $command -o json | jq -e . >/dev/null || fail "margayctl $command -o json is JSON"
done
ok "every command of margayctl has a table and JSON"

budget=$(bpftool -j map dump pinned "$state/n2/bpf/margay/v1/config" | jq '[.. | .flow_budget? // empty][0]')
[ "$budget" = 131072 ] || fail "the default flow budget is in force" "$budget"
ok "the default flow budget is in force"

bold "bad and unenforced values"
etcd put $v3/globalnetworkpolicies/broken '{"spec":{"selector":"role ==","types":["Ingress"]}}' >/dev/null
etcd put $v3/felixconfigurations/default '{"spec":{"interfaceExclude":"kube-ipvs0","ipipMTU":10}}' >/dev/null
named() { status n2 | jq -e --arg k "$1" --arg f "$2" '[.problems[] | select((.key | contains($k)) and (.in_force | contains($f)))] | length >= 1' >/dev/null; }
check "the policy is named, and what stands in its place" eventually 20 named globalnetworkpolicies/broken "a policy that denies"
check "a setting without effect is named" eventually 20 named felixconfigurations/default "everything else"
check "a setting out of range is named" eventually 20 named FelixConfiguration "as it was given"
check "the metric counts the bad values" eventually 10 metric 'margay_datastore_bad_values{kind="bad"} 2'
check "and what is not enforced" metric 'margay_datastore_bad_values{kind="not-enforced"} 1'
check "the pod is denied meanwhile" eventually 10 not ping_pod n1-a n2-a
etcd put $v3/globalnetworkpolicies/other '{"spec":{"selector":"role == \"nobody\"","types":["Ingress"]}}' >/dev/null
etcd del $v3/globalnetworkpolicies/broken >/dev/null
check "and is not afterwards" eventually 20 ping_pod n1-a n2-a
times=$(grep -c 'globalnetworkpolicies/broken' "$state/n2/margayd.log")
[ "$times" = 1 ] || fail "the log names it once" "$times times"
ok "the log names it once"
known=$(grep '^| `margay_' README.md | grep -o '`margay_[a-z_]*' | cut -c 2- | sort -u)
served=$(metrics n2 | sed -n 's/^\(margay_[a-z_]*\).*/\1/p' | sort -u)
[ "$served" = "$known" ] || fail "the metrics are those of README" "$(diff <(cat <<<"$known") <(cat <<<"$served"))"
ok "the metrics are those of README: $(wc -w <<<"$served")"
[ "$(in_node n2 curl -fsS http://127.0.0.1:9099/healthz)" = ok ] || fail "/healthz"
ok "/healthz answers"
