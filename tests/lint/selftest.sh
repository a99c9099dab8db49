#!/usr/bin/env bash
# The lints find what they claim: a copy of the tree with one fault of each kind gets the words for
# each of them. (Without faults they say nothing, or tests/lint/run.sh has failed.)
set -euo pipefail
cd "$(dirname "$0")/../.."
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$tree"
git -C "$tree" init -q

words=()
plant() { # plant WORDS FILE LINE: with LINE at FILE's end the lint must say WORDS
    words+=("$1")
    printf '%s\n' "$3" >>"$tree/$2"
}
plant "bgp/wire/open.h:" bgp/wire/open.h "int   x ;" # the formatter names the line
plant "bgp/ is a library of its own" bgp/wire/open.h '#include "agent/agent.h"'
plant "bfd/ is a library of its own" bfd/socket.h '#include "bgp/wire/bytes.h"'
plant "bfd/session.h is pure" bfd/session.h '#include <spdlog/spdlog.h>'
plant "bpf/ sees only maps/" bpf/packet.h '#include "margay/ip.h"'
plant "maps/ includes nothing of ours" maps/flows.h '#include "bpf/packet.h"'
plant "agent/model is pure" agent/model/key.h '#include <spdlog/spdlog.h>'
plant "threads are agent/store's and margay/worker's alone" bgp/rib/rib.h '#include <mutex>'
plant "no SPDX line: agent/new.h" agent/new.h '#pragma once'
plant "banned words" agent/agent.h '// TO''DO'
plant "syntax: deploy/new.sh" deploy/new.sh 'if'
plant "no coroutines" agent/agent.cpp 'void f() { co_await g(); }'
mkdir "$tree/agent/new"
plant "no README.md in agent/new" agent/new/x.h '// SPDX-License-Identifier: Apache-2.0'
plant "leads nowhere" maps/README.md '[x](nothing.h)'
plant "found 0 times in agent/new/x.h: gone" tests/mutations/store.txt $'\n# x\ntest unit.x\nfile agent/new/x.h\n-gone\n+here'
plant "interop matrix" tests/integration/interop/debian-12.jsonl '{"row":"new","daemon":"FRR","cell":"yes"}'
after=$(tests/lint/run.sh "$tree" 2>&1 || true)

for word in "${words[@]}"; do
    grep -qF "$word" <<<"$after" || { echo "selftest: '$word' is not found" >&2; exit 1; }
done
echo "lint selftest: ${#words[@]} faults found"
