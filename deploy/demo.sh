#!/usr/bin/env bash
# A cluster of three nodes on one machine, real in every part: see --help.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'EOF'
usage: deploy/demo.sh [--keep]           build, start the cluster, show it, check it, remove it
       deploy/demo.sh exec NODE CMD...   run CMD in a node: n1, n2, n3, router, or a pod: n1-a
       deploy/demo.sh --down             remove every trace of a kept cluster

  n1 and n2 share the subnet 172.31.1.0/24; n3 sits behind a router (172.31.2.0/24) that knows no
  pod route. Each node is a network namespace with a bpffs and a run folder of its own and runs
  the real margayd; etcd (the router's namespace) holds the cluster; each node has two pods, a
  and b. deploy/pod.sh makes the pods in place of a CNI plugin.

  CALICO_IPV4POOL_IPIP=Always|CrossSubnet|Off   the pool's IPIP mode (Always)
  --keep       leave the cluster up; then e.g.
                 deploy/demo.sh exec n1 margayctl status
                 deploy/demo.sh exec n1 bpftool map dump pinned $MARGAY_PIN_ROOT/v1/routes4
  --no-build   use build/bin as it is
Needs root. Exit status 1 and the name of the assertion when one fails.
EOF
}

prefix=${MARGAY_DEMO_PREFIX:-mgd}
state=${MARGAY_DEMO_DIR:-/run/margay-demo}
. deploy/lib/cluster.sh
keep=no
build=yes

# --- what is shown and checked -------------------------------------------------------------------
# A step is a command, what it said, and the assertion about it.
in_pod() { # in_pod POD CMD...: leaves what succeeds() and the others show
    at=$1 ran=${*:2}
    said=$(exec_in_ns "$@" 2>&1)
}
ping_from() { in_pod "$1" "${ping_command[@]}" "$(pod_ip "$2")"; }
http_get() { in_pod "$1" curl -fsS -m 2 "http://$(pod_ip "$2"):8080/"; }
http_times_out() { # not refused: the little server is away between two connections
    local status=0
    http_get "$@" || status=$?
    [ $status = 28 ]
}
succeeds() { # succeeds NAME CMD...: CMD ends with an in_pod
    local status=0
    "${@:2}" || status=$?
    shown
    [ $status = 0 ] || fail "$1"
    ok "$1"
}
fails() { # fails NAME CMD...
    local status=0
    "${@:2}" || status=$?
    shown
    [ $status != 0 ] || fail "$1" "the command succeeded"
    ok "$1"
}
shown() {
    if [[ $said =~ [0-9]+\ packets\ transmitted[^$'\n']* ]]; then # of a ping this line is enough
        on_one_line "${BASH_REMATCH[0]}"
    else
        prompt "$at" "$ran"
        printf '     %s\n' "${said//$'\n'/$'\n     '}"
    fi
}
on_one_line() { printf '\033[36m   %s$ %s\033[0m  %s\n' "$at" "$ran" "$*"; }

pings() {
    local from to
    for from in "${pods[@]}"; do
        for to in "${pods[@]}"; do
            [ "$from" != "$to" ] || continue
            if reachable "$from" "$to"; then
                eventually 20 ping_from "$from" "$to" || fail "ping $from -> $to" "$ran" "$said"
                shown
            else
                ! in_pod "$from" ping -q -n -c 1 -W 1 "$(pod_ip "$to")" || fail "no ping $from -> $to" "$ran" "$said"
                shown
                ok "no ping $from -> $to: the router knows no pod route (mode Off)"
            fi
        done
    done
    ok "ping between all pods that mode $mode connects"
}

megabytes=${MARGAY_DEMO_MB:-100} # fewer for tests of what is not TCP
transfer() { # transfer FROM TO: equal checksums
    local from=$1 to=$2 sum port=5001 address start took at ran
    address=$(pod_ip "$to")
    in_ns "$to" timeout 60 nc -N -l $port </dev/null 2>/dev/null | sha256sum >"$state/sum.$to" &
    local receiver=$!
    send() { # refused until the receiver listens
        start=${EPOCHREALTIME/[.,]/}
        in_ns "$from" timeout 60 nc -N "$address" $port <"$state/data"
    }
    eventually 10 send || fail "TCP $megabytes MB $from -> $to" "connection failed"
    wait $receiver
    read -r sum _ <"$state/sum.$to"
    took=$(((${EPOCHREALTIME/[.,]/} - start) / 10000))
    [ "$sum" = "$data_sum" ] || fail "TCP $megabytes MB $from -> $to" "sha256 $sum, sent $data_sum"
    at=$from ran="nc -N $address $port <data"
    on_one_line "${megabytes}000000 octets, sha256 ${sum:0:8}... equal, $((took / 100)).$((took / 10 % 10))$((took % 10)) s"
}

transfers() {
    local from to
    head -c ${megabytes}000000 /dev/urandom >"$state/data"
    data_sum=$(sha256sum "$state/data" | cut -d' ' -f1)
    for from in "${pods[@]}"; do
        for to in "${pods[@]}"; do
            if [ "$from" != "$to" ] && reachable "$from" "$to"; then transfer "$from" "$to"; fi
        done
    done
    ok "TCP $megabytes MB with equal checksums ($data_sum) between all pods that mode $mode connects"
}

capture() { # capture FROM TO: what is on FROM's uplink while FROM pings TO
    local node file=$state/capture.pcap
    node=$(node_of "$1")
    in_ns "$node" timeout 10 tcpdump -ni eth0 -U -w "$file" -c 4 "icmp or ip proto 4" 2>"$state/tcpdump.log" &
    local dumper=$!
    eventually 10 grep -q "listening on" "$state/tcpdump.log" || true
    ping_pod "$1" "$2" >/dev/null || true
    wait $dumper || true
    tcpdump -nr "$file" 2>/dev/null
}

wire() {
    local lines pair from to outer
    for pair in "n1-a n2-a" "n1-a n3-a"; do
        read -r from to <<<"$pair"
        reachable "$from" "$to" || continue
        prompt "$(node_of "$from")" "tcpdump -ni eth0 'icmp or ip proto 4'   # while $from pings $to"
        lines=$(capture "$from" "$to")
        printf '%s\n' "$lines" | sed 's/^/     /'
        outer="${address[$(node_of "$from")]} > ${address[$(node_of "$to")]}"
        if tunnelled "$from" "$to"; then
            grep -q "$outer: IP $(pod_ip "$from") > $(pod_ip "$to"): ICMP echo request" <<<"$lines" ||
                fail "IPIP on the wire $from -> $to" "no outer $outer around the echo request"
            ok "IPIP on the wire $from -> $to: outer $outer, inner $(pod_ip "$from") > $(pod_ip "$to")"
        else
            grep -q "IP $(pod_ip "$from") > $(pod_ip "$to"): ICMP echo request" <<<"$lines" ||
                fail "plain packets on the wire $from -> $to"
            ! grep -q "$outer" <<<"$lines" || fail "no IPIP on the wire $from -> $to (mode $mode)"
            ok "no encapsulation $from -> $to (mode $mode, same subnet)"
        fi
    done
}

policy() {
    cat >"$state/policy.yaml" <<'EOF'
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata:
  name: demo-server
spec:
  selector: role == 'server'
  types: [Ingress]
  ingress:
  - action: Allow
    protocol: TCP
    source:
      selector: role == 'client'
    destination:
      ports: [8080]
  - action: Deny
EOF
    in_ns n2-a bash -c 'while true; do printf "HTTP/1.0 200 OK\r\n\r\nhello\n" | nc -N -l 8080 >/dev/null; done' 2>/dev/null &
    echo $! >"$state/n2/http.pid"
    disown
    succeeds "before the policy n1-a reaches n2-a:8080" eventually 10 http_get n1-a n2-a
    succeeds "and so does n1-b" eventually 10 http_get n1-b n2-a
    show cat "$state/policy.yaml"
    prompt router calico-client --endpoints $etcd_url apply -f "$state/policy.yaml"
    calico apply -f "$state/policy.yaml" | sed 's/^/     /'
    eventually 10 http_times_out n1-b n2-a || fail "the policy denies n1-b" "$ran" "$said"
    succeeds "the policy allows n1-a (role=client)" eventually 10 http_get n1-a n2-a
    succeeds "the policy denies n1-b (role=other): no answer at all" http_times_out n1-b n2-a
    fails "the policy denies ping n1-a -> n2-a (only TCP 8080 is allowed)" ping_from n1-a n2-a
    show_in n2 margayctl policies
    show_in n2 margayctl drops
    in_node n2 margayctl drops -o json |
        jq -e 'any(.events[]; .reason == "policy_ingress" and (.by | contains("demo-server")))' >/dev/null ||
        fail "a drop is shown with reason policy_ingress and policy demo-server"
    ok "a drop is shown with reason policy_ingress and policy demo-server"
    prompt router calico-client --endpoints $etcd_url delete GlobalNetworkPolicy demo-server
    calico delete GlobalNetworkPolicy demo-server | sed 's/^/     /'
    succeeds "without the policy n1-b is back" eventually 10 http_get n1-b n2-a
    ip netns pids "$(ns n2-a)" | xargs -r kill -KILL 2>/dev/null || true
}

bgp() {
    for node in "${nodes[@]}"; do
        eventually 30 bgp_established "$node" ||
            fail "BGP of $node with both others" "$(in_node "$node" margayctl bgp peers)"
    done
    show_in n1 margayctl bgp peers
    ok "BGP sessions between all nodes"
    show_in n1 margayctl bgp routes
    show_in n1 margayctl routes
    show_in n1 ip route
}

n3_route_gone() { ! in_node n1 margayctl bgp routes -o json | grep "\"${address[n3]}\"" >/dev/null; }
n3_route_there() { ! n3_route_gone; }

lose_n3() {
    local start
    n3_route_there || fail "n1 has a route to n3 before it is lost"
    prompt n3 "ip link set eth0 down; kill -KILL \$margayd   # hold time ${hold_seconds} s"
    start=$(milliseconds)
    in_ns n3 ip link set eth0 down
    kill -KILL "$(cat "$state/n3/pid")"
    eventually 60 n3_route_gone || fail "n1 withdraws the route to n3"
    start=$(($(milliseconds) - start))
    show_in n1 margayctl bgp peers
    ok "n1 withdrew n3's routes after $start ms"
    succeeds "n1-a still reaches n2-a" ping_from n1-a n2-a
    fails "n1-a does not reach n3-a" ping_from n1-a n3-a

    prompt n3 "ip link set eth0 up; ip route replace default via 172.31.2.1; margayd"
    start=$(milliseconds)
    in_ns n3 ip link set eth0 up
    in_ns n3 ip route replace default via 172.31.2.1
    start_node n3
    eventually 60 n3_route_there || fail "n3 is back in n1's routes" "$(tail -n 20 "$state/n3/margayd.log")"
    ok "n3 is back after $(($(milliseconds) - start)) ms"
    if reachable n1-a n3-a; then succeeds "n1-a reaches n3-a again" eventually 20 ping_from n1-a n3-a; fi
}

run() {
    down
    mkdir -p "$state"
    trap 'status=$?; [ $keep = yes ] && [ $status = 0 ] || { [ -n "${MARGAY_DEMO_LOGS:-}" ] && cp -r "$state" "$MARGAY_DEMO_LOGS"; down; }; exit $status' EXIT
    bold "Network: n1 and n2 in one subnet, n3 behind a router without pod routes; etcd in the router"
    make_network
    start_etcd
    show_in router ip -br addr
    bold "margayd on three nodes, CALICO_IPV4POOL_IPIP=$mode"
    start_nodes "${nodes[@]}"
    show_in n1 margayctl status
    ok "margayd is ready on n1, n2 and n3"
    bold "Two pods on each node"
    for node in "${nodes[@]}"; do
        add_pod "$node" a "$([ "$node" = n2 ] && echo server || echo client)"
        add_pod "$node" b other
    done
    for pod in "${pods[@]}"; do say "$pod  $(pod_ip "$pod")"; done
    show_in n1 margayctl endpoints
    bold "BGP"
    bgp
    bold "Pings and $megabytes MB of TCP between all pods"
    pings
    transfers
    bold "The wire"
    wire
    bold "A policy through etcd"
    policy
    bold "n3 is lost and comes back"
    lose_n3
    if [ "${mode,,}" = off ]; then
        say "Off: pods in one subnet reach each other without encapsulation. n3 does not: the route to"
        say "its block needs n3 as next hop, which is not a neighbour of n1, and the router between"
        say "them knows no pod route. Pure BGP needs layer-2 adjacency or a router that takes part."
    fi
    bold "$passed assertions passed, mode $mode, ${SECONDS} s"
    if [ $keep = yes ]; then say "The cluster is up: deploy/demo.sh exec n1 margayctl status; deploy/demo.sh --down"; fi
}

case ${1:-} in
-h | --help) usage; exit 0 ;;
esac
[ "$(id -u)" = 0 ] || { echo "demo.sh: needs root" >&2; exit 1; }
case ${1:-} in
exec)
    [ $# -ge 3 ] || { usage >&2; exit 2; }
    shift
    where=$1
    shift
    [ -e "/run/netns/$(ns "$where")" ] || fail "no node or pod '$where'; start with deploy/demo.sh --keep"
    in_node "$where" "$@"
    exit
    ;;
--down) down; exit 0 ;;
esac
while [ $# -gt 0 ]; do
    case $1 in
    --keep) keep=yes ;;
    --no-build) build=no ;;
    *) echo "demo.sh: unknown argument '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
case ${mode,,} in
always | crosssubnet | off) ;;
*) echo "demo.sh: CALICO_IPV4POOL_IPIP is '$mode'; allowed: Always, CrossSubnet, Off" >&2; exit 2 ;;
esac
if [ $build = yes ]; then
    deploy/deps.sh demo
    bold "Build"
    cmake --preset release >/dev/null
    cmake --build build --target demo_programs
fi
run
