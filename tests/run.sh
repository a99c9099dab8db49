#!/usr/bin/env bash
# Installs what is missing, builds, and passes all tests. Run as root: most of them need it.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'EOF'
usage: tests/run.sh [--quick] [LABEL...]
  LABEL    lint unit abi bpf wire asan integration system (default: all)
  --quick  neither installs packages nor runs the second compiler
EOF
}

quick=no
labels=()
for arg in "$@"; do
    case $arg in
    --quick) quick=yes ;;
    -h | --help) usage; exit 0 ;;
    lint | unit | abi | bpf | wire | asan | integration | system) labels+=("$arg") ;;
    *) echo "run.sh: unknown argument '$arg'" >&2; usage >&2; exit 2 ;;
    esac
done
[ ${#labels[@]} -gt 0 ] || labels=(lint unit abi bpf wire asan integration system)
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

step "build (g++)"
cmake --preset release >/dev/null
cmake --build build

ctest_labels=()
for label in unit abi bpf wire integration system; do
    has $label && ctest_labels+=("$label")
done
status=0
if [ ${#ctest_labels[@]} -gt 0 ]; then
    step "tests: ${ctest_labels[*]}"
    pattern=$(IFS='|'; echo "${ctest_labels[*]}")
    ctest --test-dir build -L "^($pattern)$" --output-on-failure || status=1
fi

if has asan; then
    step "unit tests with clang, ASan and UBSan"
    cmake --preset asan >/dev/null
    cmake --build build/asan --target unit_tests
    ctest --test-dir build/asan -L '^(unit|wire)$' --output-on-failure || status=1
fi
step "done"
exit $status
