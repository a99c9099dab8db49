#!/usr/bin/env bash
# The interop matrix of README.md: what the tests of this folder found out, for each Debian release.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
readme=$here/../../../README.md
begin='<!-- begin: tests/integration/interop/matrix.sh -->'
end='<!-- end -->'

usage() {
    cat <<'EOF2'
usage: matrix.sh [--check | --update FOLDER SOURCE...]
  (nothing)  prints the matrix that the recorded results of debian-*.jsonl make
  --readme   fails unless README.md shows that matrix
  --check    fails unless FOLDER/SOURCE.jsonl..., which the tests wrote, says what is recorded for this
             release; what a daemon says of itself in its proofs may change
  --update   records them, and writes README.md
EOF2
}

# A row for each scenario, in the order of the tests; under it why a cell is n/a.
markdown() {
    jq -nr '
        [inputs | . + {release: (input_filename | capture("debian-(?<n>[0-9]+)").n)}] as $all
        | ($all | map(.release) | unique) as $releases
        | def in_order: reduce .[] as $x ([]; if index([$x]) then . else . + [$x] end);
          def proof: .proof | gsub("`"; "\u0027") | if length > 240 then .[:240] + " …" else . end;
          ($all | map(.row) | in_order) as $rows
        | ($all | map(.daemon) | in_order) as $daemons
        | ($all | map(select(.cell == "n/a")) | map({row, daemon}) | in_order) as $notes
        | def number($row; $daemon): ($notes | index([{row: $row, daemon: $daemon}])) + 1;
          def cell($row; $daemon):
            [$all[] | select(.row == $row and .daemon == $daemon)] as $here
            | ($here | map(select(.cell == "yes").release)) as $yes
            | if ($here | length) == 0 then ""
              elif ($yes | length) == ($here | length) then "yes"
              elif ($yes | length) == 0 then "n/a (\(number($row; $daemon)))"
              else "Debian \($yes | join(", ")); else n/a (\(number($row; $daemon)))" end;
          "| | \($daemons | join(" | ")) |",
          "|---|\($daemons | map("---|") | join(""))",
          ($rows[] as $row | "| \($row) | \([$daemons[] | cell($row; .)] | join(" | ")) |"),
          "",
          ($notes | to_entries[] | .key as $i | .value as $note
            | [$all[] | select(.row == $note.row and .daemon == $note.daemon and .cell == "n/a")] as $na
            | "\($i + 1). \($note.daemon), \($note.row): "
              + ([$na[] | "`\(proof)`"] | in_order | join("; "))
              + (if ($na | length) < ($releases | length) then " (Debian \($na | map(.release) | join(", ")))" else "" end))
    ' "$here"/debian-*.jsonl
}

shown() { awk -v b="$begin" -v e="$end" '$0 == e { on = 0 } on; $0 == b { on = 1 }' "$readme"; }

write_readme() {
    local table
    table=$(mktemp)
    markdown >"$table"
    awk -v b="$begin" -v e="$end" -v table="$table" '
        $0 == e { skip = 0 }
        !skip
        $0 == b { while ((getline line < table) > 0) print line; skip = 1 }' "$readme" >"$table.new"
    cat "$table.new" >"$readme"
    rm -f "$table" "$table.new"
}

check_readme() {
    diff <(shown) <(markdown) >&2 || {
        echo "README.md: its interop matrix is not what tests/integration/interop/matrix.sh prints" >&2
        exit 1
    }
}

found() { # found FOLDER SOURCE...
    local folder=$1 source
    shift
    for source in "$@"; do jq -c . "$folder/$source.jsonl"; done
}
recorded() {
    . /etc/os-release
    echo "$here/debian-$VERSION_ID.jsonl"
}
without_proofs() { jq -r '[.row, .daemon, .cell] | join(" | ")' | sort; }

case ${1:-} in
'') markdown ;;
--readme) check_readme ;;
--check)
    shift
    [ -e "$(recorded)" ] || { echo "matrix.sh: nothing is recorded for this release: --update it" >&2; exit 1; }
    diff <(without_proofs <"$(recorded)") <(found "$@" | without_proofs) || {
        echo "matrix.sh: the tests found (>) what is not recorded (<): mend it, or matrix.sh --update $*" >&2
        exit 1
    }
    ;;
--update)
    shift
    new=$(found "$@")
    ! grep -q '"cell":"FAILED"' <<<"$new" || { echo "matrix.sh: a failure is not recorded" >&2; exit 1; }
    printf '%s\n' "$new" >"$(recorded)"
    write_readme
    ;;
*) usage >&2; exit 2 ;;
esac
