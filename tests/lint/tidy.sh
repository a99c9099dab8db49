#!/usr/bin/env bash
# clang-tidy with the checks of .clang-tidy: tests/lint/tidy.sh FILE.cpp... (needs build/dev configured).
# Not part of tests/run.sh: a file takes seconds to a minute.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || { echo "usage: tests/lint/tidy.sh FILE.cpp..." >&2; exit 2; }
exec clang-tidy-19 -p build/dev --quiet "$@"
