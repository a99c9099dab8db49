#!/usr/bin/env bash
# The demo can fail: with encapsulation off, and with a policy that never arrives.
set -euo pipefail
cd "$(dirname "$0")/../.."
real=${MARGAY_BIN:-$PWD/build/bin}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# broken NAME PROGRAM SCRIPT: runs the demo with one program replaced; prints the failed assertion.
broken() {
    local name=$1 program=$2 bin=$scratch/$1 log=$scratch/$1.log
    mkdir -p "$bin"
    ln -s "$real"/* "$bin/"
    rm "$bin/$program"
    printf '#!/bin/sh\n%s\n' "$3" >"$bin/$program"
    chmod +x "$bin/$program"
    local status=0
    MARGAY_DEMO_MB=1 MARGAY_BIN=$bin MARGAY_DEMO_DIR=/run/margay-demo-$$ MARGAY_DEMO_PREFIX=mgx$$ deploy/demo.sh --no-build >"$log" 2>&1 || status=$?
    [ $status = 1 ] || { echo "the demo ended with $status although $name was broken" >&2; exit 1; }
    grep 'FAILED' "$log" || { tail -n 20 "$log"; exit 1; }
}
broken encapsulation margayd "FELIX_IPINIPENABLED=false exec $real/margayd \"\$@\"" | tee "$scratch/1"
grep -q 'IPIP\|ping' "$scratch/1"
broken policy calico-client "case \$* in *apply*) echo pretended;; *) exec $real/calico-client \"\$@\";; esac" | tee "$scratch/2"
grep -q 'policy' "$scratch/2"
echo "both breaks were noticed"
