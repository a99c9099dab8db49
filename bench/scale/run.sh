#!/usr/bin/env bash
# The agent in a large cluster: 10,000 workload endpoints (100 local ones with real interfaces), 500
# nodes, 1,000 policies of 5 rules (200 select local endpoints), already in etcd when margayd starts.
#
#   bench/scale/run.sh [--no-targets] [--keep]
#
# Prints JSON: start to /readyz and the processor time in it, resident memory, PUT of a policy to
# changed verdict (50 samples), memory of the maps, and how loaded the machine was. Exit 1 when a
# target is missed, unless --no-targets. MARGAY_BIN names the folder of a Release build.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgs$$
state=/run/margay-bench-$prefix
nodes=(n1)
. deploy/lib/cluster.sh
nodes=(n1)
targets='{"ready_seconds": 5, "rss_mb": 300, "verdict_ms": 50}'
samples=50 local_pods=100 keep= check=1
while [ $# -gt 0 ]; do
    case $1 in
    --no-targets) check=; shift ;;
    --keep) keep=1; shift ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
finish() {
    local status=$?
    [ $status = 0 ] || [ ! -e "$state/n1/margayd.log" ] || tail -n 20 "$state/n1/margayd.log" >&2
    [ -n "$keep" ] || down
    exit $status
}
trap finish EXIT

# Pods 1 and 2 have namespaces of their own; the others' inner ends share one.
make_pods() {
    local i netns hex
    for name in pod1 pod2 pods; do ip netns add "$(ns $name)"; done
    for i in $(seq $local_pods); do
        netns=$(ns pods)
        [ "$i" -gt 2 ] || netns=$(ns "pod$i")
        hex=$(printf '02:00:00:00:00:%02x' "$i")
        echo "link add cali$i type veth peer name pod$i address $hex netns $netns"
        echo "link set cali$i up"
    done | in_ns n1 ip -batch -
    for i in $(seq $local_pods); do
        [ "$i" -gt 2 ] && echo "link set pod$i up"
    done | in_ns pods ip -batch -
    for i in 1 2; do
        in_ns "pod$i" ip -batch - <<END
link set lo up
link set pod$i up
addr add 10.244.0.$i/32 dev pod$i
route add 169.254.1.1 dev pod$i scope link
route add default via 169.254.1.1 dev pod$i
END
    done
}

map_bytes() { # {name: bytes}
    local pin
    for pin in "$state"/n1/bpf/margay/v*/*; do
        if [ -f "$pin" ]; then bpftool -j map show pinned "$pin" 2>/dev/null || true; fi
    done | jq -s 'map({key: .name, value: .bytes_memlock}) | sort_by(-.value) | from_entries'
}
kilobytes() { awk -v key="$1:" '$1 == key {print $2}' "/proc/$pid/status"; }
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{print ($14 + $15) * 1000 / hz}' "/proc/$pid/stat"; }

begin_cluster
make_pods
keys=$(in_ns router "$bin/bench_scale_generate" $etcd_url 1)
started=$(milliseconds)
start_node n1
pid=$(cat "$state/n1/pid")
until node_ready n1 >/dev/null 2>&1; do
    [ $(($(milliseconds) - started)) -lt 120000 ] || fail "margayd becomes ready"
    kill -0 "$pid" || fail "margayd lives"
    sleep 0.02
done
ready_ms=$(($(milliseconds) - started))
ready_cpu=$(cpu_ms)
ready_rss=$(kilobytes VmRSS)
verdict=$(in_ns router "$bin/bench_scale_flip" $etcd_url "$(ns pod1)" "$(ns pod2)" $samples)
result=$(jq -n --argjson keys "$keys" --argjson ready "$ready_ms" --argjson cpu "$ready_cpu" \
    --argjson ready_rss "$ready_rss" --argjson peak "$(kilobytes VmHWM)" --argjson verdict "$verdict" \
    --argjson maps "$(map_bytes)" --argjson load "$(cut -d' ' -f1 /proc/loadavg)" --argjson cpus "$(nproc)" '
    def mb: . * 10 / 1000000 | round / 10;
    {etcd_keys: $keys, ready_seconds: ($ready / 1000), ready_cpu_seconds: ($cpu / 1000),
     rss_mb: ($peak * 1024 | mb), rss_at_ready_mb: ($ready_rss * 1024 | mb), verdict_ms: $verdict,
     map_memory_mb: ([$maps[]] | add | mb), maps_mb: ($maps | map_values(mb) | with_entries(select(.value >= 0.5))),
     machine: {cpus: $cpus, load: $load}}')
echo "$result"
[ -n "$check" ] || exit 0
jq -e --argjson targets "$targets" '
    (.ready_seconds < $targets.ready_seconds) and (.rss_mb < $targets.rss_mb) and
    (.verdict_ms.median < $targets.verdict_ms)' <<<"$result" >/dev/null ||
    fail "a target is missed: $targets"
