#!/usr/bin/env bash
# All benchmarks in one run, targets checked, results in bench/results/NAME.{json,md}.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'EOF'
usage: bench/run.sh [--name NAME] [--quick] [--no-build] [PART...]
  PART        hooks policies cluster scale (default: these), bgp (other BGP daemons, half an hour)
  --name      of the result files (default: the host's kernel release)
  --quick     fewer rounds: to see that it runs; targets are printed, not enforced
  --no-build  use build/bin as it is
  --judge     measure nothing: judge NAME.json as it is, and write NAME.md anew
Absolute figures move from machine to machine and from minute to minute; compare ratios within one
run. Exit status 1 when a target is missed, and its name.
EOF
}

name=$(uname -r)
quick=no
build=yes
judge=no
parts=()
while [ $# -gt 0 ]; do
    case $1 in
    --name) shift; name=$1 ;;
    --quick) quick=yes ;;
    --no-build) build=no ;;
    --judge) judge=yes ;;
    -h | --help) usage; exit 0 ;;
    hooks | policies | cluster | scale | bgp) parts+=("$1") ;;
    *) echo "run.sh: unknown argument '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
[ ${#parts[@]} -gt 0 ] || parts=(hooks policies cluster scale)
[ $judge = no ] || parts=() build=no
[ "$(id -u)" = 0 ] || { echo "run.sh: needs root" >&2; exit 1; }
has() { [[ " ${parts[*]} " == *" $1 "* ]]; }
if [ $build = yes ]; then
    deploy/deps.sh "$(has bgp && echo bench || echo test)"
    cmake --preset release >/dev/null
    cmake --build build
fi
bin=${MARGAY_BIN:-$PWD/build/bin}
results=${MARGAY_BENCH_RESULTS:-bench/results} # elsewhere: tests/system/bench.sh
mkdir -p "$results"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
part() { # part NAME CMD...: its JSON goes to scratch, its progress to the terminal
    local part=$1
    shift
    echo "bench: $part" >&2
    "$@" >"$scratch/$part.json"
}

if has hooks; then part hooks "$bin/hooks_bench" $([ $quick = yes ] && echo 4000 || echo 40000); fi
if has policies; then part policies "$bin/policy_bench"; fi
if has cluster; then
    if [ $quick = yes ]; then export ROUNDS=3 FRAMES=50000; fi
    part cluster bench/cluster/run.sh
fi
if has scale; then part scale bench/scale/run.sh --no-targets; fi # judged below, with the others
if has bgp; then # the long one last: what cannot run shows before
    part kernel bench/bgp/kernel.sh $([ $quick = no ] || echo --routes 5000 --repeats 1)
    part bgp bench/bgp/run.sh $([ $quick = no ] || echo --quick)
    for hops in 1 2; do part maps$hops bench/bgp/maps.sh --hops $hops $([ $quick = no ] || echo --routes 10000 --repeats 1); done
fi

if [ $judge = yes ]; then
    mapfile -t parts < <(jq -r 'keys[]' "$results/$name.json")
else
    for file in "$scratch"/*.json; do
        jq --arg part "$(basename "$file" .json)" '{($part): .}' "$file"
    done | jq -s --arg date "$(date -u +%F)" --arg kernel "$(uname -r)" --arg cpu "$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | sed 's/^ //')" \
        --arg commit "$(git rev-parse --short HEAD)" 'add + {run: {date: $date, kernel: $kernel, cpu: $cpu, commit: $commit}}' >"$results/$name.json"
fi

# A target: text, measured value, limit. Ratios of figures of this one run. Where there is no figure,
# as of a daemon that is not installed or refused, the target is missed.
jq -r '
    # The case of most prefixes or clients.
    def bgp(scenario; dut; mix): [.bgp.cases[] | select(.scenario == scenario and .dut == dut and (mix == null or .mix == mix))]
        | max_by(.prefixes // .clients // .receivers);
    def ratio(a; b): if a == null or b == null then null else a / b end;
    def against(scenario; mix; other; figure): ratio(bgp(scenario; "margay"; mix)[figure].median; bgp(scenario; other; mix)[figure].median);
    def table_targets(mix): bgp("table"; "margay"; mix).prefixes as $n |
        {text: "bgp table \($n) \(mix): time / BIRD", value: against("table"; mix; "bird"; "ms"), limit: 0.6},
        {text: "bgp table \($n) \(mix): peak RSS / BIRD", value: against("table"; mix; "bird"; "peak_rss_mib"), limit: 1};
    def bgp_targets: table_targets("few"), table_targets("internet"),
        (bgp("reflector"; "margay"; null).clients as $n |
            {text: "bgp reflector \($n): time / BIRD", value: against("reflector"; null; "bird"; "ms"), limit: 0.25},
            {text: "bgp reflector \($n): time / FRR with coalesce-time 0", value: against("reflector"; null; "frr-c0"; "ms"), limit: 1},
            {text: "bgp reflector \($n): peak RSS, MiB", value: bgp("reflector"; "margay"; null).peak_rss_mib.median, limit: 40}),
        {text: "bgp lost: time / BIRD", value: against("lost"; null; "bird"; "ms"), limit: 1},
        {text: "bgp joiner: time / OpenBGPD", value: against("joiner"; null; "openbgpd"; "ms"), limit: 1},
        (bgp("flap"; "margay"; null) | {text: "bgp flap: sessions lost", value: .sessions_lost, limit: 0},
            {text: "bgp flap: worst turn, ms", value: .worst_turn_ms.max, limit: 20}),
        (bgp("mesh"; "margay"; null) | {text: "bgp mesh \(.peers): worst turn, ms", value: .worst_turn_ms.max, limit: 20});
    def kernel_targets: {text: "routes into the kernel: time / bare program", value: .ratio, limit: 1.2},
        {text: "routes into the kernel: turns above 20 ms", value: .long_turns, limit: 0},
        {text: "routes into the kernel: sessions ended", value: (if .sessions then .sessions - 1 else null end), limit: 0};
    def net(n): .hooks.cases[] | select(.name == n) | .net;
    [ (select(.hooks) | {text: "from_workload encap / bare encap (net)", value: (net("encap_hot") / net("bare_encap")), limit: 2},
                        {text: "from_uplink decap / bare decap (net)", value: (net("decap_hot") / net("bare_decap")), limit: 2}),
      (select(.cluster) | {text: "forward with margay / plain kernel routing", value: (.cluster.forward.margay.ns / .cluster.forward.plain.ns), limit: 1}),
      (select(.scale) | {text: "start to /readyz, s", value: .scale.ready_seconds, limit: 5},
                        {text: "resident memory, MB", value: .scale.rss_mb, limit: 300},
                        {text: "etcd PUT to changed verdict, median ms", value: .scale.verdict_ms.median, limit: 50}),
      (select(.bgp) | bgp_targets),
      (.kernel | values | kernel_targets),
      ((.maps1, .maps2) | values | {text: "bgp maps \(.routes), hops \(.hops): time / bare program", value: .ratio, limit: 2}) ]
    | .[] | "\(if .value != null and .value <= .limit then "met" else "MISSED" end)\t\(.text)\t\(if .value == null then "no figure" else .value * 100 | round / 100 end)\t\(.limit)"
' "$results/$name.json" >"$scratch/targets"

{
    echo "# Results: $name"
    echo
    jq -r '"\(.run.date), commit \(.run.commit), kernel \(.run.kernel), \(.run.cpu). Written by bench/run.sh."' "$results/$name.json"
    echo
    echo "| target | measured | at most | |"
    echo "|---|---|---|---|"
    awk -F'\t' '{printf "| %s | %s | %s | %s |\n", $2, $3, $4, $1}' "$scratch/targets"
    if has hooks; then
        echo
        echo "## ns a packet by BPF_PROG_TEST_RUN"
        echo
        echo "In bursts of 64 at the hook, and cold: one packet a system call (bench/README.md)."
        echo
        echo "| case | ns | net of noop | cold | cold, net of noop |"
        echo "|---|---|---|---|---|"
        jq -r '.hooks.cases[] | "| \(.name) | \(.ns // "-") | \(.net // "-") | \(.cold) | \(.cold_net) |"' "$results/$name.json"
    fi
    if has policies; then
        echo
        echo "## Policy programs, ns net of an empty policy"
        echo
        echo "| rules match on | number | last matches | none matches | mixed packets | segments | load, ms |"
        echo "|---|---|---|---|---|---|---|"
        jq -r '.policies.cases[] | "| \(.rules) | \(.count) | \(.last) | \(.none) | \(.mixed) | \(.segments) | \(.load_ms) |"' "$results/$name.json"
    fi
    if has cluster; then
        echo
        echo "## Two nodes, two pods, one CPU"
        echo
        echo "| path | forward, ns a packet (min to max) | TCP request-response, µs mean / p50 / p99 |"
        echo "|---|---|---|---|"
        jq -r '.cluster as $c | ["plain", "vxlan", "margay"][] | . as $w | $c.forward[$w] as $f | $c.request_response[$w] as $r |
            "| \($w) | \($f.ns) (\($f.min) to \($f.max)) | \($r.mean_us) / \($r.p50_us) / \($r.p99_us) |"' "$results/$name.json"
    fi
    if has scale; then
        echo
        echo "## 10,000 endpoints, 500 nodes, 1,000 policies"
        echo
        jq -r '.scale | to_entries[] | "- \(.key): \(.value | tojson)"' "$results/$name.json"
    fi
    if has bgp; then
        echo
        echo "## BGP daemons"
        echo
        echo "First octet of an UPDATE to the last prefix at the last receiver (bench/README.md)."
        echo
        echo "| scenario | daemon | ms, min / median / max | CPU, ms | peak RSS, MiB | worst turn, CPU ms |"
        echo "|---|---|---|---|---|---|"
        jq -r 'def size: [(.prefixes // empty | "\(.) prefixes"), (.mix // empty), (.clients // empty | "\(.) clients"), (.peers // empty | "\(.) peers"),
                (.feeders // empty | "\(.) feeders"), (.receivers // empty | "\(.) receivers")] | join(", ");
            .bgp.cases[] | "| \(.scenario): \(size) | \(.dut) | " + if .status != "measured" then "\(.status): \(.error | gsub("[|]"; "/")) | | | |"
            else "\(.ms.min) / \(.ms.median) / \(.ms.max)\(if .sessions_lost then ", \(.sessions_lost) sessions lost" else "" end) | \(.cpu_ms.median) | \(.peak_rss_mib.median) | \(.worst_turn_ms.max // "-") |" end' "$results/$name.json"
        echo
        jq -r '(.maps1, .maps2) | values | "\(.routes) routes by \(.hops) hops into the data path: \(.margay_ms) ms, a bare program \(.bare_ms) ms."' "$results/$name.json"
        echo
        jq -r '.bgp.cases | map(select(.version != "") | "\(.dut): \(.version)") | unique | join("; ") + "."' "$results/$name.json"
    fi
    if jq -e .kernel "$results/$name.json" >/dev/null; then
        echo
        echo "## Routes by BGP into the kernel's table"
        echo
        echo "Medians, from the first route to the last; turns and sessions are those of the worst run."
        echo
        echo "| routes | bare program, ms | margayd, ms | ratio | turns above 20 ms | sessions that came up |"
        echo "|---|---|---|---|---|---|"
        jq -r '.kernel | "| \(.routes) | \(.bare_ms) | \(.margay_ms) | \(.ratio * 100 | round / 100) | \(.long_turns) | \(.sessions) |"' "$results/$name.json"
    fi
} >"$results/$name.md"
cat "$results/$name.md"
if grep -q '^MISSED' "$scratch/targets"; then
    echo "bench: targets missed:" >&2
    grep '^MISSED' "$scratch/targets" | cut -f2- >&2
    [ $quick = yes ] || exit 1
fi
