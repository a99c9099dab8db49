#!/usr/bin/env bash
# margayd is killed ten times under load, three times in the middle of a policy change, then with
# etcd down: no packet is lost at the receivers, no connection fails, no route leaves the peers.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgr$$
state=/run/margay-test-$prefix
. deploy/lib/cluster.sh
trap 'status=$?; [ $status = 0 ] || tail -n 30 $state/n*/margayd.log; down; exit $status' EXIT

kills=${KILLS:-10}
seconds=$((kills * 4 + 20))
udp_rate=500
traffic() { nsenter --net="/run/netns/$(ns "$1")" -- "$bin/traffic" "${@:2}"; }

# start_load FROM TO PORT: UDP both ways, a TCP stream, and a new connection every 10 ms.
declare -A job
start_load() {
    local from=$1 to=$2 base=$3 key=$1-$2
    traffic "$to" udp-receive $base 3 >"$state/$key.udp-there" & job[$key.udp-there]=$!
    traffic "$from" udp-receive $((base + 1)) 3 >"$state/$key.udp-back" & job[$key.udp-back]=$!
    traffic "$to" tcp-receive $((base + 2)) >"$state/$key.stream" & job[$key.stream]=$!
    traffic "$to" tcp-serve $((base + 3)) & job[$key.serve]=$!
    eventually 10 bash -c "nsenter --net=/run/netns/$(ns "$to") ss -Htln sport = :$((base + 3)) | grep -q ."
    traffic "$from" udp-send "$(pod_ip "$to")" $base $udp_rate $seconds >"$state/$key.sent-there" & job[$key.sent-there]=$!
    traffic "$to" udp-send "$(pod_ip "$from")" $((base + 1)) $udp_rate $seconds >"$state/$key.sent-back" & job[$key.sent-back]=$!
    traffic "$from" tcp-send "$(pod_ip "$to")" $((base + 2)) $seconds >"$state/$key.stream-sent" & job[$key.stream-sent]=$!
    traffic "$from" tcp-connect "$(pod_ip "$to")" $((base + 3)) 10 $seconds >"$state/$key.connect" & job[$key.connect]=$!
}

finish_load() { # finish_load KEY: all must have arrived
    local key=$1 what
    for what in sent-there sent-back stream-sent connect udp-there udp-back stream; do
        wait "${job[$key.$what]}" || fail "load $key: $what ends well"
    done
    kill "${job[$key.serve]}"
    for what in udp-there udp-back; do
        say "$key $what: $(cat "$state/$key.$what")"
        [ "$(jq '.missing' "$state/$key.$what")" = 0 ] &&
            [ "$(jq '.received' "$state/$key.$what")" = $((udp_rate * seconds)) ] ||
            fail "no UDP packet is lost: $key $what"
    done
    say "$key stream: $(cat "$state/$key.stream")"
    [ "$(jq '.received' "$state/$key.stream")" = "$(jq '.sent' "$state/$key.stream-sent")" ] &&
        [ "$(jq '.wrong' "$state/$key.stream")" = 0 ] || fail "the TCP stream is whole: $key"
    say "$key connect: $(cat "$state/$key.connect")"
    [ "$(jq '.failed' "$state/$key.connect")" = 0 ] || fail "no new connection fails: $key"
    ok "no UDP packet, no stream byte and no connection was lost: $key"
}

restart_n1() {
    kill -KILL "$(cat "$state/n1/pid")"
    sleep 0.$((RANDOM % 5))
    start_node n1
}

write_policy() { # write_policy NUMBER
    calico apply -f - >/dev/null <<EOF
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: churn}
spec:
  order: $1
  selector: all()
  types: [Ingress, Egress]
  ingress: [{action: Allow, source: {selector: "role in {'client', 'other'}"}}]
  egress: [{action: Allow}, {action: Allow, protocol: TCP, destination: {ports: [$((1000 + $1))]}}]
EOF
}

bold "cluster"
start_cluster
for pair in "n1-a n1-b" "n1-a n2-a" "n1-a n3-a"; do
    read -r from to <<<"$pair"
    eventually 20 ping_pod "$from" "$to" || fail "ping $from -> $to before the load"
done
n2_routes=$(in_node n2 margayctl bgp routes -o json | jq -c '[.routes[].prefix] | sort')

bold "$kills SIGKILLs under load"
# The peers' routes are watched all the time: one line each time n1's block is missing.
block=$(in_node n1 margayctl status -o json | jq -r '.blocks[0]')
(nsenter --net="/run/netns/$(ns n2)" -- ip monitor route >"$state/n2.monitor" 2>&1) &
monitor=$!
start_load n1-a n1-b 6000
start_load n1-a n2-a 6010
for kill in $(seq 1 "$kills"); do
    sleep $((RANDOM % 2)).$((RANDOM % 10))
    if [ $kill -le 3 ]; then
        write_policy $kill &
        writer=$!
        restart_n1
        wait $writer
    else
        restart_n1
    fi
    eventually 30 node_ready n1 || fail "n1 is ready again after kill $kill"
done
for key in n1-a-n1-b n1-a-n2-a; do finish_load $key; done
kill $monitor
if grep -q "^Deleted ${block%/*}" "$state/n2.monitor"; then
    fail "no route is withdrawn at the peers" "$(cat "$state/n2.monitor")"
fi
[ "$(in_node n2 margayctl bgp routes -o json | jq -c '[.routes[].prefix] | sort')" = "$n2_routes" ] ||
    fail "the peers hold the same routes as before"
ok "no route of n1 ($block) left n2"

bold "restart while etcd is down"
seconds=15
kill -KILL "$(cat "$state/etcd.pid")"
start_load n1-a n1-b 6100
start_load n1-a n2-a 6110
sleep 2
restart_n1
for key in n1-a-n1-b n1-a-n2-a; do finish_load $key; done
start_etcd
eventually 30 node_ready n1 || fail "n1 is ready when etcd is back" "$(tail -n 20 "$state/n1/margayd.log")"
ok "n1 became ready when etcd came back"
bold "$passed assertions passed in ${SECONDS} s"
