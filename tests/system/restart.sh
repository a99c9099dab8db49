#!/usr/bin/env bash
# margayd is killed again and again under load: KILLS times (10) at random moments, three of them
# while policies change, then while it starts, then exchanged for rebuilt programs, then with etcd down. No packet is lost
# at the receivers, no connection fails, no route leaves the kernels of n1 and its peers. At last,
# what left the cluster while margayd was dead leaves the data path.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgr$$
. tests/system/lib.sh
kills=${KILLS:-10}
limit=400 # seconds that the load would last; it is told to end before
udp_rate=500
stream_rate=20000000 # octets a second: enough to see any gap, and no CPU is at its end

# --- load ----------------------------------------------------------------------------------------
# A stream of traffic is known as FROM.TO.KIND; each has a sender, whose end we ask for, and a
# receiver, whose count is the judge.
declare -A sender receiver
ip_of() { echo "${address[$1]:-$(pod_ip "$1")}"; }
traffic() { exec_in_ns "$1" "$bin/traffic" "${@:2}"; } # only with & behind it
listens() { in_ns "$1" ss -Hln"$2" sport = ":$3" | grep .; }

start_udp() { # start_udp FROM TO PORT
    local name=$1.$2.udp
    traffic "$2" udp-receive "$3" 3 >"$state/$name.received" & receiver[$name]=$!
    eventually 10 listens "$2" u "$3" || fail "$name: receiver"
    traffic "$1" udp-send "$(ip_of "$2")" "$3" $udp_rate $limit >"$state/$name.sent" & sender[$name]=$!
}
start_stream() {
    local name=$1.$2.stream
    traffic "$2" tcp-receive "$3" >"$state/$name.received" & receiver[$name]=$!
    eventually 10 listens "$2" t "$3" || fail "$name: receiver"
    traffic "$1" tcp-send "$(ip_of "$2")" "$3" $limit $stream_rate >"$state/$name.sent" & sender[$name]=$!
}
start_connects() { # a new connection every 10 ms
    local name=$1.$2.connects
    traffic "$2" tcp-serve "$3" & receiver[$name]=$!
    eventually 10 listens "$2" t "$3" || fail "$name: server"
    traffic "$1" tcp-connect "$(ip_of "$2")" "$3" 10 $limit >"$state/$name.sent" & sender[$name]=$!
}
# Local and between nodes, UDP both ways; and the node itself to its pod, which goes through the
# host's stack and so through the nftables guard.
start_load() {
    local to port=6000
    for to in n1-b n2-a; do
        start_udp n1-a $to $port
        start_udp $to n1-a $((port + 1))
        start_stream n1-a $to $((port + 2))
        start_connects n1-a $to $((port + 3))
        port=$((port + 10))
    done
    start_udp n1 n1-a $port
    start_connects n1 n1-a $((port + 1))
}

finish_load() {
    local name lost=()
    for name in "${!sender[@]}"; do
        kill -TERM "${sender[$name]}" || fail "load $name lasted until the end"
    done
    for name in "${!sender[@]}"; do
        wait "${sender[$name]}" || fail "load $name: the sender ends well"
        case $name in
        *.connects) kill -KILL "${receiver[$name]}" ;;
        *) wait "${receiver[$name]}" || fail "load $name: the receiver ends well" ;;
        esac
        judge_load "$name" || lost+=("$name")
    done
    sender=() receiver=()
    [ ${#lost[@]} = 0 ] || fail "nothing is lost: ${lost[*]}"
}
judge_load() {
    local name=$1 sent received='{}'
    sent=$(cat "$state/$name.sent")
    [[ $name = *.connects ]] || received=$(cat "$state/$name.received")
    say "$name sent $sent received $received"
    case $name in
    *.udp)
        jq -en --argjson s "$sent" --argjson r "$received" \
            '$s.refused == 0 and $r.missing == 0 and $r.duplicates == 0 and $r.received == $s.sent and $s.sent > 0'
        ;;
    *.stream)
        jq -en --argjson s "$sent" --argjson r "$received" \
            '$r.received == $s.sent and $r.wrong == 0 and ($r.reset | not) and $s.sent > 0'
        ;;
    *.connects) jq -en --argjson s "$sent" '$s.failed == 0 and $s.tried > 0' ;;
    esac >/dev/null
}

# --- margayd -------------------------------------------------------------------------------------
n1_pid() { cat "$state/n1/pid"; }
kill_n1() {
    [ "$(cat "/proc/$(n1_pid)/comm")" = "$running" ] || fail "margayd of n1 runs before it is killed"
    kill -KILL "$(n1_pid)"
    eventually 10 not test -e "/proc/$(n1_pid)" || fail "margayd of n1 is dead"
}
running=margayd
restart_n1() { # restart_n1 [PROGRAM]
    kill_n1
    sleep 0.$((RANDOM % 5))
    running=${1:-margayd}
    margayd=$running start_node n1
}
n1_back() { eventually 60 node_ready n1 || fail "$1" "$(tail -n 20 "$state/n1/margayd.log")"; }
write_policy() { # write_policy NUMBER
    apply <<EOF2
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: churn}
spec:
  order: $1
  selector: all()
  types: [Ingress, Egress]
  ingress: [{action: Deny, source: {nets: ["198.51.100.$1/32"]}}, {action: Allow, source: {selector: "role in {'client', 'other'}"}}]
  egress: [{action: Deny, protocol: TCP, destination: {ports: [$((1000 + $1))]}}, {action: Allow}]
EOF2
}
churn() { # a new policy again and again, until the file says stop
    local number=0
    while [ -e "$state/churning" ]; do write_policy $((number = number % 200 + 1)); done
}
no_route_left() { # no_route_left WHAT
    local node
    for node in n2 n3; do
        if grep -F "Deleted" "$state/$node.monitor" | grep -F "$block"; then fail "$1: n1's route $block stays at $node"; fi
    done
    if grep -F "Deleted" "$state/n1.monitor"; then fail "$1: no route leaves n1" "$(cat "$state/n1.monitor")"; fi
    [ "$(in_node n2 margayctl bgp routes -o json | jq -c '[.routes[].prefix] | sort')" = "$n2_routes" ] ||
        fail "$1: n2 holds the same BGP routes as before"
    ok "$1: no route left n1, and none of n1's left n2 and n3"
}
knows_churn() { in_node n1 margayctl policies -o json | grep churn; }
tags() { # of the programs that n1's hooks run
    in_node n1 bpftool -j prog show pinned "$state/n1/bpf/margay/v1/programs/$1" | jq -r .tag
}

bold "cluster"
start_cluster
# What only the datastore tells: margayd does not know it when it starts.
etcd put /calico/resources/v3/projectcalico.org/felixconfigurations/default '{"spec":{"interfacePrefix":"cali,tap"}}' >/dev/null
guards_tap() { in_ns n1 nft list table inet margay | grep 'iifname.*"tap\*"'; }
eventually 20 guards_tap || fail "the guard covers tap*" "$(in_ns n1 nft list table inet margay)"
for pair in "n1-a n1-b" "n1-a n2-a" "n1-a n3-a"; do
    read -r from to <<<"$pair"
    eventually 20 ping_pod "$from" "$to" || fail "ping $from -> $to before the load"
done
n2_routes=$(in_node n2 margayctl bgp routes -o json | jq -c '[.routes[].prefix] | sort')
block=$(in_node n1 margayctl status -o json | jq -r '.blocks[0]')
for node in n1 n2 n3; do watch_routes $node & done

bold "$kills SIGKILLs under load, the first three while policies change"
start_load
for kill in $(seq 1 "$kills"); do
    [ $kill != 1 ] || { touch "$state/churning"; churn & writer=$!; }
    sleep $((RANDOM % 2)).$((RANDOM % 10))
    restart_n1
    n1_back "n1 is ready again after kill $kill"
    [ $kill != 3 ] || { rm "$state/churning"; wait $writer || fail "policies could be written"; }
done
finish_load
ok "no UDP packet, no octet of a stream and no connection was lost in $kills kills"
no_route_left "$kills kills"

bold "killed while it starts: before it has read anything, in its snapshot, while it adopts"
start_load
for delay in 0.02 0.05 0.1 0.2 0.3 0.4 0.6 0.8; do
    restart_n1
    sleep $delay
    kill -KILL "$(n1_pid)" 2>/dev/null || fail "margayd lives after $delay s" "$(tail -n 5 "$state/n1/margayd.log")"
    eventually 10 not test -e "/proc/$(n1_pid)" || fail "margayd of n1 is dead"
    start_node n1
    n1_back "n1 is ready after it was killed $delay s after its start"
done
finish_load
ok "nothing was lost while starts were cut off"
no_route_left "kills in starts"

bold "restart with rebuilt programs"
start_load
tag=$(tags from_workload)
for program in margayd-rebuilt margayd margayd-rebuilt; do
    restart_n1 $program
    n1_back "n1 is ready with $program"
    now=$(tags from_workload)
    [ "$now" != "$tag" ] || fail "the hooks run other programs under $program" "tag $now"
    tag=$now
    sleep 0.$((RANDOM % 5))
done
finish_load
ok "nothing was lost while hooks changed to rebuilt programs and back"
no_route_left "rebuilt programs"

bold "restart while etcd is down"
start_load
kill -KILL "$(cat "$state/etcd.pid")"
sleep 2
restart_n1
sleep 10
refuse "n1 does not call itself ready without a snapshot" node_ready n1
in_ns n1 nft delete table inet margay
check "a guard that is lost meanwhile comes back, with FelixConfiguration's prefix" eventually 20 guards_tap
start_etcd
n1_back "n1 is ready when etcd is back"
finish_load
ok "nothing was lost from etcd's end to its return, with a restart between"
no_route_left "restart without etcd"

bold "what went while margayd was dead"
write_policy 1
eventually 20 knows_churn || fail "n1 knows the policy"
add_pod n1 c client # its interface goes with it
add_pod n1 d client # its interface stays
for pod in n1-c n1-d; do eventually 20 ping_pod n1-a $pod || fail "ping n1-a -> $pod"; done
d_device=$(in_ns n1 ip -4 -j route show "$(pod_ip n1-d)" | jq -r '.[0].dev')
c_device=$(in_ns n1 ip -4 -j route show "$(pod_ip n1-c)" | jq -r '.[0].dev')
index_of() { in_ns n1 ip -j link show "$1" | jq '.[0].ifindex'; }
c_index=$(index_of "$c_device")
d_index=$(index_of "$d_device")
maps=$state/n1/bpf/margay/v1
as_number() { # an address as bpftool prints it: a number in the machine's byte order
    local IFS=. part
    read -ra part <<<"$1"
    echo $((part[0] | part[1] << 8 | part[2] << 16 | part[3] << 24))
}
mentions() { bpftool map dump pinned "$maps/$1" | grep -E "\"($2)\": $3,?\$"; }
held() { # held POD IFINDEX: everything of it is there
    mentions endpoints addr "$(as_number "$(pod_ip "$1")")" && mentions routes4 addr "$(as_number "$(pod_ip "$1")")" &&
        mentions workloads key "$2" && in_ns n1 ip route show "$(pod_ip "$1")" | grep cali
}
held_in_part() {
    mentions endpoints addr "$(as_number "$(pod_ip "$1")")" || mentions routes4 addr "$(as_number "$(pod_ip "$1")")" ||
        mentions workloads key "$2" || in_ns n1 ip route show "$(pod_ip "$1")" | grep cali
}
eventually 20 held n1-c "$c_index" || fail "n1-c is in the data path" "$(bpftool map dump pinned "$maps/workloads")"
eventually 20 held n1-d "$d_index" || fail "n1-d is in the data path" "$(bpftool map dump pinned "$maps/workloads")"
[ -e "$maps/links/${c_index}_ingress" ] || fail "n1-c's link is pinned" "$(ls "$maps/links")"
kill_n1
env PATH="$bin:$PATH" ETCD_ENDPOINTS=$etcd_url CALICO_NODENAME_FILE="$state/n1/nodename" \
    deploy/pod.sh del --node n1 --node-netns "$(ns n1)" --netns "$(ns n1-c)" --namespace default --pod n1-c
etcd del "/calico/resources/v3/projectcalico.org/workloadendpoints/default/$(jq -r .wep "$state/pods/n1-d.json")" |
    grep '^1$' >/dev/null || fail "the endpoint of n1-d could be deleted"
calico delete globalnetworkpolicy churn >/dev/null
held_in_part n1-c "$c_index" >/dev/null || fail "what is gone is still there while nobody removes it"
margayd=$running start_node n1
n1_back "n1 is ready after pods left"
for pod in "n1-c $c_index" "n1-d $d_index"; do
    read -r name index <<<"$pod"
    eventually 20 not held_in_part "$name" "$index" || fail "nothing of $name is left in maps and routes" \
        "$(bpftool map dump pinned "$maps/endpoints" | grep -B 7 -A 7 "$(as_number "$(pod_ip "$name")")")" \
        "$(in_ns n1 ip route)"
    ok "nothing of $name is left in maps and routes"
done
[ -z "$(find "$maps/links" -name "${c_index}_*")" ] || fail "no link of n1-c's interface is pinned" "$(ls "$maps/links")"
ok "no link of n1-c's interface is pinned"
# n1-d's interface goes on without endpoint: nothing passes.
refuse "n1-a does not reach n1-d" ping_pod n1-a n1-d
refuse "n1-d reaches nobody" ping_pod n1-d n1-a
refuse "the policy that was deleted meanwhile is gone" knows_churn
check "the others talk as before" ping_pod n1-a n2-a
