#!/usr/bin/env bash
# All scenarios of bgp_bench with all daemons, which take turns, run by run. Prints one JSON object.
#   DUTS="margay bird" REPEATS=5 bench/bgp/run.sh [--quick]
# --quick: small sizes, one run each, a minute in all. A daemon that is not installed, refuses or fails
# is a case with its status and reason; exit status 1 is for bgp_bench itself.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${MARGAY_BIN:-$PWD/build/bin}
quick=no
case ${1:-} in
'') ;;
--quick) quick=yes ;;
*) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
[ -x "$bin/bgp_bench" ] || {
    echo "bench/bgp: no $bin/bgp_bench: build the target benchmarks, or set MARGAY_BIN to its folder" >&2
    exit 1
}
duts=() mesh_duts=()
for dut in ${DUTS:-margay bird frr frr-c0 openbgpd gobgp}; do
    duts+=(--dut "$dut")
    case $dut in frr | frr-c0 | gobgp) ;; *) mesh_duts+=(--dut "$dut") ;; esac
done

measure() { # measure SCENARIO [OPTION...]: a line of JSON a daemon
    local status=0
    "$bin/bgp_bench" "$@" "${duts[@]}" --repeats "$repeats" || status=$?
    [ $status -le 1 ] || exit 1
}
# Without GoBGP, which learns routes of its own from its API alone, and FRR, which resets what connects
# before each peer's start timer is over: that timer would be measured.
measure_mesh() {
    local duts=("${mesh_duts[@]}")
    [ ${#duts[@]} = 0 ] || measure mesh "$@"
}

if [ $quick = yes ]; then
    repeats=${REPEATS:-1}
    for mix in few internet; do measure table --prefixes 10000 --mix $mix; done
    measure fanout --prefixes 2000 --receivers 10
    measure reflector --clients 20
    measure joiner --prefixes 1000 --receivers 3
    measure lost --receivers 10 --feeders 3
    measure_mesh --peers 50 --prefixes 2000
    measure flap --prefixes 2000 --receivers 3
else
    repeats=${REPEATS:-5}
    for prefixes in 10000 100000 1000000; do
        for mix in few internet; do measure table --prefixes $prefixes --mix $mix; done
    done
    measure fanout --prefixes 100000 --receivers 50
    for clients in 100 500; do measure reflector --clients $clients; done
    measure joiner --prefixes 10000 --receivers 20
    measure lost --receivers 100 --feeders 20
    measure_mesh --peers 1000
    measure flap --prefixes 100000 --receivers 10
fi | jq -s '{cases: .}'
