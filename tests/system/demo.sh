#!/usr/bin/env bash
# The demo passes in all three modes, beside servers of the user's that have its ports, and leaves
# nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
export MARGAY_DEMO_DIR=/run/margay-demo-$$ MARGAY_DEMO_PREFIX=mgm$$
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
    MARGAY_DEMO_MB=$megabytes CALICO_IPV4POOL_IPIP=$mode deploy/demo.sh --no-build
    for port in 2379 179; do
        ss -Htln "sport = :$port" | grep -q . || { echo "the server on port $port is gone" >&2; exit 1; }
    done
done
deploy/demo.sh --down
deploy/demo.sh --down # a second time is harmless
left=$(ip netns list | grep "^$MARGAY_DEMO_PREFIX-" || true; ls -d "$MARGAY_DEMO_DIR" 2>/dev/null || true
    grep -o "$MARGAY_DEMO_DIR[^ ]*" /proc/mounts || true)
[ -z "$left" ] || { printf 'left behind:\n%s\n' "$left" >&2; exit 1; }
echo "the demo passed in all modes and left nothing"
