#!/usr/bin/env bash
# The benchmarks of the hooks and of BGP run and their results are whole; bench/run.sh ends with 1 and
# the name of a target that is missed.
set -euo pipefail
cd "$(dirname "$0")/../.."
real=${MARGAY_BIN:-$PWD/build/bin}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "FAILED: $1" >&2; exit 1; }
export MARGAY_BENCH_RESULTS=$scratch/results

# The figures of a short run say nothing; that there are figures says that each path's own counter
# grew by the rounds and that the last frame was right, or hooks_bench would have refused.
MARGAY_BIN=$real bench/run.sh --quick --no-build --name quick hooks >/dev/null || fail "bench/run.sh --quick hooks"
jq -e '[.hooks.cases[] | select(.ns > 0 or .cold > 0)] | length >= 20' "$scratch/results/quick.json" >/dev/null ||
    fail "every case has a figure"
for case in encap_hot decap_hot local_hot encap_64k encap_new_1000; do
    grep "^| $case |" "$scratch/results/quick.md" >/dev/null || fail "$case is in the table"
done
echo "ok: a short run of the hooks has all figures"

# judged ENCAP DECAP: bench/run.sh on those figures with so many times the floors' net cost.
mkdir "$scratch/bin"
judged() {
    jq --argjson e "$1" --argjson d "$2" '.hooks | (.cases[] | select(.name | startswith("bare_")).net) = 10 |
        (.cases[] | select(.name == "encap_hot").net) = 10 * $e | (.cases[] | select(.name == "decap_hot").net) = 10 * $d' \
        "$scratch/results/quick.json" >"$scratch/figures"
    printf '#!/bin/sh\ncat %s\n' "$scratch/figures" >"$scratch/bin/hooks_bench"
    chmod +x "$scratch/bin/hooks_bench"
    MARGAY_BIN=$scratch/bin bench/run.sh --no-build --name judged hooks >/dev/null 2>"$scratch/said"
}
judged 1.9 2 || fail "targets that are met end with 0: $(cat "$scratch/said")"
for missed in "2.1 1.9 from_workload" "1.9 2.1 from_uplink"; do
    read -r encap decap target <<<"$missed"
    status=0
    judged "$encap" "$decap" || status=$?
    [ $status = 1 ] || fail "a missed target of $target ends with $status"
    grep "^$target.*2\.1" "$scratch/said" >/dev/null || fail "$target is named: $(cat "$scratch/said")"
done
echo "ok: a missed target ends with 1 and its name"

# judges JSON: bench/run.sh on these figures, without measuring. What it misses is in $scratch/said.
judges() {
    jq -cn "$1 + {run: {}}" >"$scratch/results/judges.json"
    bench/run.sh --judge --name judges >/dev/null 2>"$scratch/said"
}
kernel() { echo "{kernel: {routes: 1, bare_ms: 1, margay_ms: 1, ratio: $1, long_turns: $2, sessions: $3}}"; }
judges "$(kernel 1.2 0 1)" || fail "targets of the kernel's table that are met end with 0: $(cat "$scratch/said")"
for missed in "1.3 0 1 time" "1.2 1 1 turns" "1.2 0 2 sessions"; do
    read -r ratio turns sessions target <<<"$missed"
    status=0
    judges "$(kernel "$ratio" "$turns" "$sessions")" || status=$?
    [ $status = 1 ] || fail "a missed target of $target ends with $status"
    [ "$(grep -c '^routes into the kernel: ' "$scratch/said")" = 1 ] && grep "^routes into the kernel: $target" "$scratch/said" >/dev/null ||
        fail "routes into the kernel: $target is named alone: $(cat "$scratch/said")"
done
for worst in 19.9 20.1; do # the other scenarios have no figures, so the status is 1
    judges "{bgp: {cases: [{scenario: \"mesh\", dut: \"margay\", version: \"\", peers: 1000, status: \"failed\", error: \"\", worst_turn_ms: {max: $worst}}]}}" || true
    named=$(grep -c '^bgp mesh 1000: worst turn' "$scratch/said") || true
    [ "$named" = $([ $worst = 20.1 ] && echo 1 || echo 0) ] || fail "a worst turn of $worst ms: $(cat "$scratch/said")"
done
echo "ok: figures of the kernel's table and of the mesh are judged"

MARGAY_BIN=$real bench/bgp/kernel.sh --routes 2000 --repeats 1 >"$scratch/kernel.json" 2>"$scratch/said" || fail "kernel.sh: $(cat "$scratch/said")"
jq -e '.routes == 2000 and .bare_ms > 0 and .margay_ms > 0 and .sessions == 1' "$scratch/kernel.json" >/dev/null ||
    fail "kernel.sh: $(cat "$scratch/kernel.json")"
echo "ok: routes into the kernel's table have figures"

# Small, but each figure says that all receivers had every prefix, with the attributes that it must
# have: the feeder and the receivers refuse a figure otherwise.
for scenario in "table --prefixes 2000 --mix few" "table --prefixes 2000 --mix internet" "reflector --clients 10" \
    "joiner --prefixes 500 --receivers 3" "mesh --prefixes 500 --peers 20" "lost --receivers 5 --feeders 2" "flap --prefixes 1000 --receivers 3"; do
    # shellcheck disable=SC2086 # words of a command line
    "$real/bgp_bench" $scenario --dut margay --repeats 1 >"$scratch/bgp.json" 2>"$scratch/said" ||
        fail "bgp_bench $scenario: $(cat "$scratch/said")"
    jq -e '.status == "measured" and .worst_turn_ms.max > 0' "$scratch/bgp.json" >/dev/null || fail "bgp_bench $scenario: $(cat "$scratch/bgp.json")"
done
echo "ok: each scenario of the BGP bench has a figure"

# Both programs see to it that every entry is in the kernel.
for hops in 1 2; do
    MARGAY_BIN=$real bench/bgp/maps.sh --routes 2000 --hops $hops --repeats 1 >"$scratch/maps.json" || fail "bench/bgp/maps.sh"
    jq -e '.bare_ms > 0 and .margay_ms > 0 and .ratio > 0' "$scratch/maps.json" >/dev/null || fail "maps: $(cat "$scratch/maps.json")"
done
echo "ok: the bench of the maps has figures"
