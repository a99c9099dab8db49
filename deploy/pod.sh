#!/usr/bin/env bash
# Makes and removes pods on a Margay node without Kubernetes: see --help.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: deploy/pod.sh add --netns NETNS --pod NAME [--node-netns NETNS] [--mtu BYTES] [OPTION...]
       deploy/pod.sh del --netns NETNS --pod NAME [--node-netns NETNS] [OPTION...]

It stands in for a CNI plugin, for tests and demos: margay-pod does the datastore's part (address,
profile, WorkloadEndpoint), ip(8) the interface's (a veth with the host side on the node).

  --netns NETNS       network namespace of the pod, a name or a path; a name that does not exist is
                      created, and deleted again by del
  --node-netns NETNS  network namespace of the node, where the host side and margay-pod go, if the
                      node is not this machine itself
  --mtu BYTES         of the pod's interface; else /var/lib/calico/mtu, else that of the node's
                      default route less 20 for the tunnel
Every other OPTION goes to margay-pod: --node, --namespace, --container-id, --label k=v, --profile,
--port name:proto:port, --pool, --interface, ... (margay-pod add --help). The datastore is found by
the environment of margayd: ETCD_ENDPOINTS and so on. add prints margay-pod's JSON.
add and del are idempotent; a failed add leaves nothing behind. Needs root.
EOF
}

fail() {
    echo "pod.sh: $*" >&2
    exit 1
}

case "${1:-}" in
add | del) command=$1 ;;
-h | --help) usage; exit 0 ;;
*) usage >&2; exit 2 ;;
esac
shift

netns=
node_netns=
mtu=
arguments=()
common=() # those that del of margay-pod knows too
while [ $# -gt 0 ]; do
    option=${1%%=*}
    case $option in -h | --help) usage; exit 0 ;; esac
    if [[ $1 == *=* ]]; then
        value=${1#*=}
        shift
    else
        [ $# -ge 2 ] || fail "$1 needs a value"
        value=$2
        shift 2
    fi
    case $option in
    --netns) netns=$value ;;
    --node-netns) node_netns=$value ;;
    --mtu) mtu=$value ;;
    --node | --container-id | --pod | --namespace | --network)
        common+=("$option" "$value")
        ;;
    --label | --profile | --port | --pool | --interface | --mac)
        arguments+=("$option" "$value")
        ;;
    *) fail "unknown option $option; see --help" ;;
    esac
done
[ -n "$netns" ] || fail "--netns is missing; see --help"

margay_pod=$(command -v margay-pod || echo "$(dirname "$0")/../build/bin/margay-pod")
[ -x "$margay_pod" ] || fail "margay-pod is neither in PATH nor in build/bin: build it first"

path_of() { case $1 in */*) echo "$1" ;; *) echo "/run/netns/$1" ;; esac; }
# Only the network namespace is entered: files and pins stay visible.
on_node() {
    if [ -n "$node_netns" ]; then nsenter --net="$(path_of "$node_netns")" -- "$@"; else "$@"; fi
}
in_pod() { nsenter --net="$(path_of "$netns")" -- "$@"; }
made_by_us=/run/margay-pod/${netns//\//_}

default_mtu() {
    local shown
    if [ -r /var/lib/calico/mtu ]; then
        cat /var/lib/calico/mtu
        return
    fi
    shown=$(on_node ip route show default)
    if [[ $shown =~ dev\ ([^ ]+) ]]; then shown=$(on_node ip -o link show dev "${BASH_REMATCH[1]}"); fi
    if [[ $shown =~ mtu\ ([0-9]+) ]]; then echo $((BASH_REMATCH[1] - 20)); else echo 1480; fi
}

make_netns() {
    [ ! -e "$(path_of "$netns")" ] || return 0
    [[ $netns != */* ]] || fail "network namespace $netns does not exist"
    ip netns add "$netns"
    mkdir -p "${made_by_us%/*}"
    touch "$made_by_us"
}

remove_veth() {
    if [ -e "$(path_of "$netns")" ]; then
        in_pod ip link delete eth0 2>/dev/null || true
    fi
}

remove_netns_of_ours() {
    [ -e "$made_by_us" ] || return 0
    ip netns delete "$netns" 2>/dev/null || true
    rm -f "$made_by_us"
}

remove() {
    # The address is freed last: nobody may get it while the interface still has it.
    on_node "$margay_pod" del "${common[@]}" --keep-address
    remove_veth
    on_node "$margay_pod" del "${common[@]}"
    remove_netns_of_ours
}

set_sysctl() { # set_sysctl KEY VALUE: keys that the kernel lacks (no IPv6) are skipped
    [ ! -e "/proc/sys/net/$1" ] || echo "$2" >"/proc/sys/net/$1"
}

host_side() { # runs in the node's namespace
    local host=$1 address=$2 key
    for key in route_localnet=1 proxy_arp=1 forwarding=1; do
        set_sysctl "ipv4/conf/$host/${key%=*}" "${key#*=}"
    done
    set_sysctl "ipv4/neigh/$host/proxy_delay" 0
    set_sysctl "ipv6/conf/$host/accept_ra" 0
    ip -batch - <<EOF
link set $host up
route replace $address/32 dev $host scope link
EOF
}

pod_side() { # runs in the pod's namespace
    local address=$1
    ip -batch - <<EOF
link set lo up
addr add $address/32 dev eth0
link set eth0 up
route replace 169.254.1.1 dev eth0 scope link
route replace default via 169.254.1.1 dev eth0
EOF
    set_sysctl ipv4/ip_forward 0
}
export -f host_side pod_side set_sysctl

make_veth() {
    local host=$1 address=$2 mac=$3 node=$$
    [ -z "$node_netns" ] || node=$(path_of "$node_netns")
    on_node ip link delete "$host" 2>/dev/null || true
    remove_veth
    in_pod ip link add eth0 address "$mac" mtu "$mtu" type veth \
        peer name "$host" address ee:ee:ee:ee:ee:ee mtu "$mtu" netns "$node"
    on_node bash -euc 'host_side "$@"' pod.sh "$host" "$address"
    in_pod bash -euc 'pod_side "$@"' pod.sh "$address"
}

has_interface() { # the veth of an earlier add, whole
    on_node ip link show dev "$1" >/dev/null 2>&1 &&
        in_pod ip -o -4 addr show dev eth0 2>/dev/null | grep -qw "$2/32"
}

undo() {
    remove_veth
    on_node "$margay_pod" del "${common[@]}" || true
    remove_netns_of_ours
    fail "pod not added"
}

add() {
    local json host address mac
    trap undo EXIT
    make_netns
    json=$(on_node "$margay_pod" add "${common[@]}" ${arguments[@]+"${arguments[@]}"})
    read -r host address mac <<<"$(jq -r '"\(.interface) \(.ip) \(.mac)"' <<<"$json")"
    [ -n "$mtu" ] || mtu=$(default_mtu)
    has_interface "$host" "$address" || veth_is_missing=yes
    if [ -n "${veth_is_missing:-}" ]; then
        make_veth "$host" "$address" "$mac"
    fi
    trap - EXIT
    echo "$json"
}

if [ "$command" = add ]; then add; else remove; fi
