#!/usr/bin/env bash
# Checks that a reader would otherwise have to make: format, include arrows, threads, words.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}" # selftest.sh gives it a tree of its own
status=0
fail() {
    echo "lint: $*" >&2
    status=1
}
files() { git ls-files --cached --others --exclude-standard -- "$@"; }

# 1. One format.
mapfile -t sources < <(files '*.cpp' '*.h' '*.c' '*.inl')
printf '%s\0' "${sources[@]}" | xargs -0 -P "$(nproc)" -n 32 clang-format-19 --dry-run --Werror || fail "format: run clang-format-19 -i on the files above"

# 2. Include arrows (DESIGN.md, Layout): who may not include whom.
arrow() { # arrow FOLDER PATTERN TEXT
    local hits
    hits=$(grep -nE "^#include ($2)" -r "$1" --include='*.h' --include='*.cpp' --include='*.c' --include='*.inl' || true)
    [ -z "$hits" ] || fail "$3:"$'\n'"$hits"
}
[ -d maps ] && arrow maps '"(agent|bgp|bpf)/' "maps/ includes nothing of ours but maps/ and include/margay"
[ -d bpf ] && arrow bpf '"(agent|bgp|margay)/' "bpf/ sees only maps/"
[ -d bgp ] && arrow bgp '"(agent|maps|bfd)/|["<]bpf/' "bgp/ is a library of its own"
[ -d bfd ] && arrow bfd '"(agent|maps|bgp)/|["<]bpf/' "bfd/ is a library of its own"
for pure in bgp/wire bgp/session bgp/rib bfd/{packet,session}.{h,cpp} agent/model agent/calc agent/bgp; do
    [ -e $pure ] && arrow $pure '["<](boost/asio|grpc|bpf/|spdlog|margay/log.h|margay/executor.h|sys/socket.h)' "$pure is pure: no socket, log, clock or kernel"
done

# 3. Threads live in one folder and one file.
hits=$(grep -nE '#include <(mutex|thread|atomic|condition_variable|future)>' -r agent bgp bfd maps include --include='*.h' --include='*.cpp' | grep -vE '^(agent/store/|include/margay/worker\.cpp)' || true)
[ -z "$hits" ] || fail "threads are agent/store's and margay/worker's alone:"$'\n'"$hits"

# 4. One licence line a file.
while read -r file; do
    fail "no SPDX line: $file"
done < <(awk 'FNR == 1 { seen[FILENAME] = 0 } FNR > 2 { nextfile }
    /SPDX-License-Identifier/ { seen[FILENAME] = 1 }
    END { for (file in seen) if (!seen[file]) print file }' "${sources[@]}")

# 5. Words that hide unfinished work or second definitions.
hits=$(grep -nE '[Kk]eep in sync|\bTODO\b|\bFIXME\b|\bXXX\b' -r agent bgp bfd bpf maps include tests bench deploy \
    --include='*.h' --include='*.cpp' --include='*.c' --include='*.sh' --exclude-dir=lint || true)
[ -z "$hits" ] || fail "banned words:"$'\n'"$hits"

# 6. Shell scripts parse.
while read -r script; do
    bash -n "$script" || fail "syntax: $script"
done < <(files '*.sh')

# 7. What g++ 12 miscompiles, and what no folder may let out.
hits=$(grep -nE '\bco_(await|return|yield)\b|^[^/"]*\bthrow\b' -r agent bgp bfd maps include --include='*.h' --include='*.cpp' || true)
[ -z "$hits" ] || fail "no coroutines, no exceptions of ours:"$'\n'"$hits"

# 8. Every folder with code says what it is, and links lead somewhere.
for folder in agent agent/*/ bgp bfd bpf maps maps/table include tests bench deploy; do
    [ -e "$folder/README.md" ] || fail "no README.md in $folder"
done
while read -r page; do
    while read -r link; do
        [ -e "$(dirname "$page")/$link" ] || fail "$page: link to $link leads nowhere"
    done < <(grep -oE '\]\([^)#]+\)' "$page" | sed -E 's/^\]\(//; s/\)$//' | grep -vE '^https?:' || true)
done < <(files '*.md')

# 9. Every fault of tests/mutations fits the code as it is.
[ ! -e tests/mutate.sh ] || tests/mutate.sh --list >/dev/null || fail "tests/mutations: bring the faults above up to date"

# 10. README shows what the interop tests recorded.
matrix=tests/integration/interop/matrix.sh
[ ! -e $matrix ] || $matrix --readme || fail "interop matrix: $matrix writes it, see its usage"

[ $status = 0 ] && echo "lint: ${#sources[@]} sources clean"
exit $status
