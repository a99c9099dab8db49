#!/usr/bin/env bash
# etcd is gone in three ways (killed, stopped, its packets dropped). The data path goes on, and
# margayd is in sync within seconds of its return, also after a compaction and a delete in the gap.
#   OUTAGE=20 tests/system/etcd_outage.sh    20 s each (default a minute)
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mge$$
. tests/system/lib.sh
nodes=(n1 n2)
pods=(n1-a n1-b n2-a n2-b)
outage=${OUTAGE:-60}

traffic_through() { # pings 10 a second during the outage; none may be lost
    in_ns n1-a ping -q -n -i 0.1 -w "$1" "$(pod_ip n2-a)"
}
lossless() { grep -q " 0% packet loss" "$state/ping"; }
allowed() { in_ns n1-b ping -q -n -c 1 -W 1 "$(pod_ip n2-b)"; }
policy() { # policy NAME ACTION
    cat <<EOF
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: $1}
spec: {order: 1, selector: "role == 'other'", types: [Ingress], ingress: [{action: $2}]}
EOF
}
synced() { status "$1" | jq -e '.store.connected and .store.synced'; }
disconnected() { not synced "$1"; }

bold "cluster"
start_cluster
eventually 20 allowed || fail "ping before"
policy gone-in-the-gap Deny >"$state/deny.yaml"

cut_off() { # nobody but the router reaches etcd, and nobody is told so
    in_ns router nft -f - <<'EOF'
table inet outage {
    chain in { type filter hook input priority 0; tcp dport 2379 iifname != "lo" drop; }
    chain out { type filter hook output priority 0; tcp sport 2379 oifname != "lo" drop; }
}
EOF
}
reconnect() { in_ns router nft delete table inet outage; }
etcd_here() { in_ns router env ETCDCTL_API=3 etcdctl --endpoints http://127.0.0.1:2379 "$@"; }

for how in kill stop drop; do
    bold "etcd is gone for $outage s: $how"
    calico apply -f "$state/deny.yaml" >/dev/null
    eventually 20 not allowed || fail "$how: the policy denies before the outage"
    case $how in
    kill) kill -KILL "$(cat "$state/etcd.pid")" ;;
    stop) kill -STOP "$(cat "$state/etcd.pid")" ;;
    drop) cut_off ;;
    esac
    traffic_through "$outage" >"$state/ping" || true
    lossless || fail "$how: the data path goes on" "$(tail -n 3 "$state/ping")"
    ok "$how: $(grep -o '[0-9]* packets transmitted.*loss' "$state/ping")"
    refuse "$how: the policy still denies" allowed
    for node in "${nodes[@]}"; do
        bgp_established "$node" || fail "$how: BGP goes on" "$(in_node "$node" margayctl bgp peers)"
        eventually 30 disconnected "$node" || fail "$how: $node says that it lost the datastore" "$(in_node "$node" margayctl status)"
    done
    ok "$how: BGP goes on, and margayctl says that the datastore is lost"
    # A delete and a compaction while margayd is still cut off: it can only list again.
    [ $how = drop ] || cut_off
    case $how in
    kill) start_etcd ;;
    stop) kill -CONT "$(cat "$state/etcd.pid")" ;;
    esac
    eventually 20 etcd_here endpoint health || fail "$how: etcd is back"
    etcd_here del $v3/globalnetworkpolicies/gone-in-the-gap >/dev/null
    etcd_here compact "$(etcd_here endpoint status -w json | jq '.[0].Status.header.revision')" >/dev/null
    refuse "$how: the delete is unknown to margayd" allowed
    reconnect
    start=$(milliseconds)
    eventually 30 allowed || fail "$how: in sync after the return" "$(in_node n2 margayctl status)"
    ok "$how: the delete in the gap is in force $(($(milliseconds) - start)) ms after the return"
    for node in "${nodes[@]}"; do
        eventually 30 synced "$node" || fail "$how: $node says that it is in sync"
    done
done

bold "etcd restarts, and nothing else happens"
kill -KILL "$(cat "$state/etcd.pid")"
for node in "${nodes[@]}"; do
    eventually 30 disconnected "$node" || fail "$node says that it lost the datastore"
done
start_etcd
start=$(milliseconds)
calico apply -f "$state/deny.yaml" >/dev/null
check "the watch goes on where it was: a new policy is in force" eventually 30 not allowed
say "$(($(milliseconds) - start)) ms after it was written"
for node in "${nodes[@]}"; do
    check "$node says that it is in sync" eventually 30 synced "$node"
done
