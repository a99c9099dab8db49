#!/usr/bin/env bash
# A plain node with the kernel's own tunl0 (Debian's cloud kernel in a virtual machine) and a node
# with margayd exchange ICMP, TCP and UDP through IPIP, in both directions. The guest also loads
# every BPF program and attaches them by clsact.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgk$$
. tests/system/lib.sh
. tests/system/guest.sh
nodes=(n1)

guest_address=172.31.1.20
guest_block=10.244.200.0/26
guest_tunnel=10.244.200.0
guest_pod=10.244.200.1

bold "cluster of one margayd and one virtual machine"
begin_cluster
fetch_guest_kernel || fail "the kernel package is fetched"
# A plain node speaks no BGP here: the datastore alone routes (mesh off).
resource BGPConfiguration default '{nodeToNodeMeshEnabled: false}'
start_nodes n1
add_pod n1 a client
resource Node kvm "{bgp: {ipv4Address: $guest_address/24, ipv4IPIPTunnelAddr: $guest_tunnel}}"
etcd put "/calico/ipam/v2/host/kvm/ipv4/block/${guest_block/\//-}" '{"state":"confirmed","deleted":false}' >/dev/null
allocations=$(jq -cn '[range(64) | if . < 2 then . else null end]')
etcd put "/calico/ipam/v2/assignment/ipv4/block/${guest_block/\//-}" "$(jq -cn --argjson a "$allocations" \
    "{cidr: \"$guest_block\", affinity: \"host:kvm\", allocations: \$a, unallocated: [range(2; 64)],
      attributes: [{handle_id: \"ipip-tunnel-addr-kvm\", secondary: {node: \"kvm\", type: \"ipipTunnelAddress\"}},
                   {handle_id: \"k8s-pod-network.guest\", secondary: {node: \"kvm\", pod: \"guest\", namespace: \"default\"}}],
      sequenceNumber: 1, sequenceNumberForAllocation: {}, deleted: false}")" >/dev/null
# The pods' profile lets in its own pods only; the guest's is none of them.
resource GlobalNetworkPolicy guest "{selector: all(), types: [Ingress], ingress: [{action: Allow, source: {nets: [$guest_block]}}]}"
pod=$(pod_ip n1-a)
block=$(block_of n1)
node_tunnel=$(status n1 | jq -r .tunnel_address)

bold "the guest"
add_program "$(command -v ip)" "$bin/traffic" "$bin/bpf_load_check"
build_guest virtio_pci virtio_net ipip veth dummy sch_ingress cls_bpf <<EOF
/bin/ip link set lo up
/bin/ip addr add $guest_address/24 dev eth0
/bin/ip link set eth0 up
/bin/ip addr add $guest_tunnel/32 dev tunl0
/bin/ip link set tunl0 up
/bin/ip link set dummy0 up
/bin/ip addr add $guest_pod/32 dev dummy0
echo 1 >/proc/sys/net/ipv4/ip_forward
for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >\$f; done
/bin/ip route add $block via 172.31.1.11 dev tunl0 onlink src $guest_pod
traffic tcp-receive 7001 >/tmp/tcp &
traffic udp-receive 7002 5 >/tmp/udp &
sleep 1
echo "GUEST ready"
ping -q -c 5 -I $guest_pod $pod && echo "GUEST ping pod ok"
ping -q -c 5 -s 4000 -I $guest_pod $pod && echo "GUEST ping pod fragments ok"
echo "GUEST tcp-sent \$(traffic tcp-send $pod 7003 3)"
traffic udp-send $pod 7004 200 3 && echo "GUEST udp to pod ok"
echo "GUEST talked"
wait
echo "GUEST tcp-received \$(cat /tmp/tcp)"
echo "GUEST udp-received \$(cat /tmp/udp)"
bpf_load_check --attach-clsact dummy0 && echo "GUEST programs ok"
EOF
in_ns router ip tuntap add kvm mode tap
in_ns router ip link set kvm master lan1
in_ns router ip link set kvm up

in_pod() { nsenter --net="/run/netns/$(ns n1-a)" -- "$@"; }
in_pod "$bin/traffic" tcp-receive 7003 >"$state/tcp-in" & tcp_in=$!
in_pod "$bin/traffic" udp-receive 7004 5 >"$state/udp-in" & udp_in=$!
boot_guest "$(ns router)" kvm & guest=$!
said() { grep -q "^GUEST $1" "$state/console.log"; }
eventually 120 said ready || fail "the guest boots"
say "guest: $(grep -o 'GUEST kernel.*' "$state/console.log")"
eventually 60 in_pod ping -q -c 1 -W 1 $guest_pod || fail "ping pod -> guest"
check "ping pod -> guest pod, 10 packets" in_pod ping -q -c 10 -i 0.2 -W 3 $guest_pod
check "ping pod -> guest's tunnel address" in_pod ping -q -c 2 -W 3 $guest_tunnel
check "ping host -> guest pod, from the tunnel address $node_tunnel" in_ns n1 ping -q -c 2 -W 3 $guest_pod
in_pod "$bin/traffic" tcp-send $guest_pod 7001 3 >"$state/tcp-out" || fail "TCP pod -> guest"
in_pod "$bin/traffic" udp-send $guest_pod 7002 200 3 >"$state/udp-out" || fail "UDP pod -> guest"
eventually 200 said done || fail "the guest ends its tests"
wait $guest $tcp_in $udp_in || true
grep '^GUEST\|^kernel\|^loaded\|^attached' "$state/console.log" | tr -d '\r' | sed 's/^/     /'
for word in "ping pod ok" "ping pod fragments ok" "udp to pod ok" "programs ok"; do
    said "$word" || fail "guest says: $word"
    ok "guest: $word"
done
guest_json() { grep -o "GUEST $1 .*" "$state/console.log" | sed "s/GUEST $1 //"; }
[ "$(guest_json tcp-received | jq .received)" = "$(jq .sent "$state/tcp-out")" ] || fail "TCP pod -> guest is whole"
[ "$(guest_json tcp-received | jq .wrong)" = 0 ] || fail "TCP pod -> guest is right"
[ "$(guest_json udp-received | jq .received)" = 600 ] || fail "UDP pod -> guest: all 600 arrive"
[ "$(jq .received "$state/udp-in")" = 600 ] || fail "UDP guest -> pod: all 600 arrive"
[ "$(jq .received "$state/tcp-in")" = "$(guest_json tcp-sent | jq .sent)" ] || fail "TCP guest -> pod is whole"
[ "$(jq .wrong "$state/tcp-in")" = 0 ] || fail "TCP guest -> pod is right"
ok "TCP and UDP in both directions: pod->guest $(jq .sent "$state/tcp-out") bytes, guest->pod $(jq .received "$state/tcp-in") bytes"
