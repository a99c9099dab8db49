#!/usr/bin/env bash
# Installs what is missing, builds, and passes all tests. Run as root: most of them need it.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'EOF'
usage: tests/run.sh [--quick] [LABEL...]
  LABEL    lint unit wire fuzz asan abi bpf integration system gcc
           (default: all but gcc, which builds everything once more by g++ and runs nothing;
           unit, wire and fuzz are run as asan, that is with sanitizers)
  --quick  installs no packages
EOF
}

quick=no
labels=()
for arg in "$@"; do
    case $arg in
    --quick) quick=yes ;;
    -h | --help) usage; exit 0 ;;
    lint | unit | abi | bpf | wire | fuzz | asan | integration | system | gcc) labels+=("$arg") ;;
    *) echo "run.sh: unknown argument '$arg'" >&2; usage >&2; exit 2 ;;
    esac
done
[ ${#labels[@]} -gt 0 ] || labels=(lint asan abi bpf integration system)
has() { [[ " ${labels[*]} " == *" $1 "* ]]; }
step() { printf '\n=== %s (%ss)\n' "$1" "$SECONDS"; }

[ "$(id -u)" = 0 ] || { echo "run.sh: needs root (BPF, network namespaces)" >&2; exit 1; }
if [ $quick = no ]; then
    step "packages"
    deploy/deps.sh test
fi

if has lint; then
    step "lint"
    tests/lint/run.sh
    tests/lint/selftest.sh
fi

ctest_labels() { # ctest_labels LABEL...: those that were asked for, as a pattern
    local label found=()
    for label in "$@"; do
        if has "$label"; then found+=("$label"); fi
    done
    local IFS='|'
    echo "${found[*]}"
}
failed=()
run_tests() { # run_tests FOLDER PATTERN [JOBS]
    step "tests: $2"
    ctest --test-dir "$1" -L "^($2)$" -j "${3:-1}" --output-on-failure --no-tests=error || failed+=("$2")
}

pure=$(ctest_labels unit wire fuzz)
rooted=$(ctest_labels abi bpf integration system)
if [ -n "$pure$rooted" ]; then
    step "build"
    cmake --preset release >/dev/null
    # Benchmarks too: they must not rot.
    cmake --build build --target ${pure:+unit_tests} ${rooted:+root_tests benchmarks}
fi
[ -z "$pure" ] || run_tests build "$pure" 2
[ -z "$rooted" ] || run_tests build "$rooted" 5
# Not beside the tests: both are slower for it than one after the other.
if has asan; then
    step "build (ASan and UBSan)"
    if cmake --preset asan >/dev/null && cmake --build build/asan --target unit_tests; then
        # Libraries are not instrumented: what they read after it was freed shall not look right.
        export ASAN_OPTIONS=max_free_fill_size=65536
        run_tests build/asan 'unit|wire|fuzz' 2
    else
        failed+=(asan)
    fi
fi
if has gcc; then
    step "build (g++)"
    cmake --preset gcc >/dev/null
    cmake --build build/gcc || failed+=(gcc)
fi
step "done"
[ ${#failed[@]} = 0 ] || { echo "run.sh: failed: ${failed[*]}" >&2; exit 1; }
