#!/usr/bin/env bash
# Fuzzes for real. What is found is left in build/fuzz/found and fails the run; once it is fixed it belongs into
# tests/fuzz/corpus, under a name that says what it was.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() {
    cat <<'EOT'
usage: tests/fuzz/run.sh SECONDS [TARGET...]
  SECONDS  for each target
  TARGET   wire fsm rib bfd (default: all, one after the other)
usage: tests/fuzz/run.sh --merge [TARGET...]
           takes over into tests/fuzz/corpus what reaches code that nothing there reaches
EOT
}

longest_of() { # of a target's inputs: what is longer is slower and finds no more
    case $1 in
    wire) echo 6000 ;;
    rib) echo 1500 ;;
    *) echo 2000 ;;
    esac
}

[ $# -gt 0 ] || { usage >&2; exit 2; }
seconds=$1
shift
[[ $seconds =~ ^(--merge|[0-9]+)$ ]] || { usage >&2; exit 2; }
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(wire fsm rib bfd)
for target in "${targets[@]}"; do
    [ -e "tests/fuzz/$target.cpp" ] || { echo "run.sh: no target '$target'" >&2; exit 2; }
done

cmake --preset fuzz >/dev/null
cmake --build build/fuzz --target fuzzers
failed=()
for target in "${targets[@]}"; do
    committed=tests/fuzz/corpus/$target
    grown=build/fuzz/corpus/$target
    mkdir -p "$grown" build/fuzz/found
    fuzzer=(build/fuzz/bin/fuzz."$target" -max_len="$(longest_of "$target")")
    if [ "$seconds" = --merge ]; then
        "${fuzzer[@]}" -set_cover_merge=1 -use_counters=0 "$committed" "$grown"
    else
        "${fuzzer[@]}" -max_total_time="$seconds" -print_final_stats=1 \
            -artifact_prefix="build/fuzz/found/$target-" "$grown" "$committed" || failed+=("$target")
    fi
done
[ ${#failed[@]} = 0 ] || { echo "run.sh: failed: ${failed[*]}" >&2; exit 1; }
