# shellcheck shell=bash
# The three-node cluster that deploy/demo.sh shows and tests/system checks. To be sourced from the
# project's root, with two variables set:
#   prefix   of every namespace it makes ("mgd": mgd-n1, mgd-n1-a, ...)
#   state    its folder; a sub folder a node with bpffs, run folder and log
: "${prefix:?}" "${state:?}"
bin=${MARGAY_BIN:-$PWD/build/bin}
nodes=(n1 n2 n3)
declare -A address=([n1]=172.31.1.11 [n2]=172.31.1.12 [n3]=172.31.2.13)
etcd_url=http://172.31.1.1:2379
pool=10.244.0.0/16
mode=${CALICO_IPV4POOL_IPIP:-Always}
hold_seconds=${hold_seconds:-9}

# --- small things --------------------------------------------------------------------------------
bold() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
say() { printf '   %s\n' "$*"; }
fail() {
    printf '\033[31mFAILED: %s\033[0m\n' "$1" >&2
    shift
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}
passed=0
ok() {
    printf '\033[32m   ok: %s\033[0m\n' "$*"
    passed=$((passed + 1))
}
# check NAME CMD...: CMD must succeed.
check() {
    local name=$1 output
    shift
    output=$("$@" 2>&1) || fail "$name" "command: $*" "$output"
    ok "$name"
}
# refuse NAME CMD...: CMD must fail.
refuse() {
    local name=$1
    shift
    if "$@" >/dev/null 2>&1; then fail "$name" "command succeeded: $*"; fi
    ok "$name"
}
# eventually SECONDS CMD...: polls until CMD succeeds.
eventually() {
    local limit=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $limit ] || return 1
        sleep 0.2 # a poll is four processes or more
    done
}
not() { ! "$@"; }
prompt() { printf '\033[36m   %s$ %s\033[0m\n' "$1" "${*:2}"; } # prompt WHERE CMD...
show() {
    prompt "" "$@"
    "$@" 2>&1 | sed 's/^/     /' || true
}

# --- namespaces ----------------------------------------------------------------------------------
ns() { echo "$prefix-$1"; }
# Only the network namespace is entered, so that pins on the node's bpffs stay visible.
in_ns() { (exec_in_ns "$@"); }
exec_in_ns() { # takes the shell's place: of `exec_in_ns ... &`, $! is the program itself
    local name
    name=$(ns "$1")
    shift
    exec nsenter --net="/run/netns/$name" -- "$@"
}
in_node() { (exec_in_node "$@"); }
exec_in_node() {
    local node=$1
    shift
    exec env PATH="$bin:$PATH" MARGAY_PIN_ROOT="$state/$node/bpf/margay" MARGAY_RUN_DIR="$state/$node/run" \
        MARGAY_BIRD_SOCKET="$state/$node/run/bird.ctl" \
        nsenter --net="/run/netns/$(ns "$node")" -- "$@"
}
show_in() { # show_in NODE CMD...
    local node=$1
    shift
    prompt "$node" "$@"
    in_node "$node" "$@" 2>&1 | sed 's/^/     /' || true
}
pod_ip() { echo "$(<"$state/pods/$1.ip")"; }

# --- the cluster ---------------------------------------------------------------------------------
link() { # link NODE ROUTER_SIDE_NAME
    ip link add eth0 netns "$(ns "$1")" mtu 1500 type veth peer name "$2" netns "$(ns router)"
    in_ns router ip link set "$2" up
}

make_network() {
    for name in router "${nodes[@]}"; do
        ip netns add "$(ns "$name")"
        in_ns "$name" ip link set lo up
    done
    in_ns router sysctl -qw net.ipv4.ip_forward=1
    in_ns router ip link add lan1 type bridge
    in_ns router ip addr add 172.31.1.1/24 dev lan1
    in_ns router ip link set lan1 up
    for node in "${nodes[@]}"; do
        link "$node" "$node"
        if [ "${address[$node]%.*}" = 172.31.1 ]; then
            in_ns router ip link set "$node" master lan1
        else
            in_ns router ip addr add "${address[$node]%.*}.1/24" dev "$node"
        fi
    done
    for node in "${nodes[@]}"; do
        in_ns "$node" ip addr add "${address[$node]}/24" dev eth0
        in_ns "$node" ip link set eth0 up
        in_ns "$node" ip route add default via "${address[$node]%.*}.1"
    done
}

add_host() { # add_host NAME ADDRESS: a further machine in the subnet of n1 and n2
    ip netns add "$(ns "$1")"
    in_ns "$1" ip link set lo up
    link "$1" "$1"
    in_ns router ip link set "$1" master lan1
    in_ns "$1" ip addr add "$2/24" dev eth0
    in_ns "$1" ip link set eth0 up
    in_ns "$1" ip route add default via 172.31.1.1
}

start_etcd() {
    mkdir -p "$state/etcd"
    exec_in_ns router etcd --name demo --data-dir "$state/etcd" --logger zap \
        --listen-client-urls http://0.0.0.0:2379 --advertise-client-urls $etcd_url \
        --listen-peer-urls http://127.0.0.1:2380 >"$state/etcd.log" 2>&1 &
    echo $! >"$state/etcd.pid"
    disown # its end is no news to the shell
    eventually 30 in_ns router env ETCDCTL_API=3 etcdctl --endpoints http://127.0.0.1:2379 endpoint health ||
        fail "etcd starts" "$(tail -n 5 "$state/etcd.log")"
}

start_node() { # start_node NODE: runs margayd, or the program that $margayd names
    local node=$1
    mkdir -p "$state/$node/bpf" "$state/$node/run"
    mountpoint -q "$state/$node/bpf" || mount -t bpf bpf "$state/$node/bpf"
    NODENAME=$node CALICO_NODENAME_FILE=$state/$node/nodename IP=autodetect \
        DATASTORE_TYPE=etcdv3 ETCD_ENDPOINTS=$etcd_url CLUSTER_TYPE=demo \
        CALICO_IPV4POOL_CIDR=$pool CALICO_IPV4POOL_IPIP=$mode WAIT_FOR_DATASTORE=true \
        MARGAY_BGP_HOLD_TIME=$hold_seconds MARGAY_HTTP_LISTEN=127.0.0.1:9099 \
        exec_in_node "$node" "${margayd:-margayd}" >>"$state/$node/margayd.log" 2>&1 &
    echo $! >"$state/$node/pid"
    disown
}
node_ready() { in_node "$1" curl -fsS http://127.0.0.1:9099/readyz; }
await_node() { # await_node NODE...
    local node
    for node in "$@"; do
        eventually 60 node_ready "$node" || fail "margayd of $node becomes ready" "$(tail -n 20 "$state/$node/margayd.log")"
    done
}
start_nodes() { # start_nodes NODE...: they are ready then
    local node
    for node in "$@"; do start_node "$node"; done
    await_node "$@"
}

add_pod() { # add_pod NODE LETTER ROLE
    local pod=$1-$2
    mkdir -p "$state/pods"
    ip netns add "$(ns "$pod")"
    env PATH="$bin:$PATH" ETCD_ENDPOINTS=$etcd_url CALICO_NODENAME_FILE="$state/$1/nodename" \
        deploy/pod.sh add --node "$1" --node-netns "$(ns "$1")" --netns "$(ns "$pod")" \
        --namespace default --pod "$pod" --label "role=$3" --label "node=$1" >"$state/pods/$pod.json"
    jq -r .ip "$state/pods/$pod.json" >"$state/pods/$pod.ip"
}

is_dead() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"; }

down() {
    local pid
    for file in "$state"/*/pid "$state"/etcd.pid; do
        [ -e "$file" ] || continue
        pid=$(cat "$file")
        kill -KILL "$pid" 2>/dev/null || true
        eventually 10 is_dead "$pid" || true # or it writes into the folder that is to go
    done
    ip netns list 2>/dev/null | awk '{print $1}' | { grep "^$prefix-" || true; } | while read -r name; do
        ip netns pids "$name" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
        ip netns delete "$name"
    done
    for node in "${nodes[@]}"; do
        umount -l "$state/$node/bpf" 2>/dev/null || true
    done
    rm -rf "$state"
}

# --- what the cluster should do -----------------------------------------------------------------
pods=(n1-a n1-b n2-a n2-b n3-a n3-b)
node_of() { echo "${1%-*}"; }
same_subnet() { [ "${address[$(node_of "$1")]%.*}" = "${address[$(node_of "$2")]%.*}" ]; }
# Off is plain BGP: it needs layer-2 adjacency, which n3 has not.
reachable() { [ "${mode,,}" != off ] || same_subnet "$1" "$2"; }
tunnelled() {
    [ "$(node_of "$1")" != "$(node_of "$2")" ] || return 1
    case ${mode,,} in
    always) return 0 ;;
    crosssubnet) ! same_subnet "$1" "$2" ;;
    *) return 1 ;;
    esac
}

ping_command=(ping -q -n -c 2 -i 0.2 -W 2)
ping_pod() { in_ns "$1" "${ping_command[@]}" "$(pod_ip "$2")"; }

calico() { in_node router calico-client --endpoints $etcd_url "$@"; }
etcd() { in_ns router env ETCDCTL_API=3 etcdctl --endpoints $etcd_url "$@"; }

bgp_established() { # bgp_established NODE [PEERS]
    local want=${2:-$((${#nodes[@]} - 1))}
    [ "$(in_node "$1" margayctl bgp peers -o json | jq '[.peers[] | select(.state == "Established")] | length')" = "$want" ]
}
milliseconds() { date +%s%3N; }

# The network and etcd; nothing is left of an earlier cluster.
begin_cluster() {
    down
    mkdir -p "$state"
    make_network
    start_etcd
}

# Starts everything: network, etcd, nodes, pods; returns when pods can talk.
start_cluster() {
    begin_cluster
    start_nodes "${nodes[@]}"
    for node in "${nodes[@]}"; do
        add_pod "$node" a client
        add_pod "$node" b other
    done
    for node in "${nodes[@]}"; do
        eventually 30 bgp_established "$node" || fail "BGP of $node" "$(in_node "$node" margayctl bgp peers)"
    done
}
