#!/usr/bin/env bash
# The demo passes in all three modes, beside servers of the user's that have its ports, can be kept
# and looked at, and leaves nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
export MARGAY_DEMO_DIR=/run/margay-demo-$$ MARGAY_DEMO_PREFIX=mgm$$
say() { echo "after --keep: $*"; }
servers=()
trap 'status=$?; kill "${servers[@]}" 2>/dev/null || true; deploy/demo.sh --down; exit $status' EXIT
# Where a port is taken already, that server stands for ours.
for port in 2379 179; do
    nc -lk 127.0.0.1 "$port" >/dev/null 2>&1 &
    servers+=($!)
done
for mode in ${MODES:-Always CrossSubnet Off}; do
    megabytes=10
    [ "$mode" != Always ] || megabytes=100
    MARGAY_DEMO_MB=$megabytes CALICO_IPV4POOL_IPIP=$mode deploy/demo.sh --keep --no-build
    # The cluster is up, and every node, pod and tool is at hand.
    deploy/demo.sh exec n1 margayctl status -o json | jq -e '.store.synced' >/dev/null || { say "margayctl fails" >&2; exit 1; }
    # shellcheck disable=SC2016
    deploy/demo.sh exec n2 bash -c 'bpftool map dump pinned $MARGAY_PIN_ROOT/v1/routes4 | grep -q prefix_bits' || { say "bpftool fails" >&2; exit 1; }
    deploy/demo.sh exec n1-a ping -q -c 1 -W 2 "$(jq -r .ip "$MARGAY_DEMO_DIR/pods/n2-a.json")" >/dev/null || { say "ping fails" >&2; exit 1; }
    status=0
    deploy/demo.sh exec n1-b sh -c 'exit 7' || status=$?
    [ $status = 7 ] || { say "exec ends with $status, not with its command's 7" >&2; exit 1; }
    if deploy/demo.sh exec n9 true 2>"$MARGAY_DEMO_DIR/said"; then say "a node n9 is there" >&2; exit 1; fi
    grep -q "no node or pod 'n9'" "$MARGAY_DEMO_DIR/said" || { say "n9 is not named" >&2; exit 1; }
    deploy/demo.sh --down
    for port in 2379 179; do
        ss -Htln "sport = :$port" | grep -q . || { echo "the server on port $port is gone" >&2; exit 1; }
    done
done
deploy/demo.sh --down # a second time is harmless
left=$(ip netns list | grep "^$MARGAY_DEMO_PREFIX-" || true; ls -d "$MARGAY_DEMO_DIR" 2>/dev/null || true
    grep -o "$MARGAY_DEMO_DIR[^ ]*" /proc/mounts || true)
[ -z "$left" ] || { printf 'left behind:\n%s\n' "$left" >&2; exit 1; }
echo "the demo passed in all modes and left nothing"
