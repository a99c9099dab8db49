#!/usr/bin/env bash
# Proves that tests can fail: plants the faults of tests/mutations/*.txt one after the other, builds
# the test named there, and expects it to turn red. Takes an hour or two; not part of tests/run.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'EOF'
usage: tests/mutate.sh [--list | --uncovered] [PATTERN]
  PATTERN      only faults whose title, "TEST: FAULT (CASE)", matches this regular expression
  --list       names the mutations, plants none; exits 1 where one does not fit the code any more
  --uncovered  names the tests without a mutation; exits 1 if there is one
Works on HEAD in a tree of its own, build/mutants: the first run builds what it needs there. Needs root
and the packages of deploy/deps.sh test.
EOF
}

mode=run
pattern=.
for arg in "$@"; do
    case $arg in
    --list | --uncovered) mode=${arg#--} ;;
    -h | --help) usage; exit 0 ;;
    -*) echo "mutate.sh: unknown argument '$arg'" >&2; usage >&2; exit 2 ;;
    *) pattern=$arg ;;
    esac
done
die() { echo "mutate.sh: $*" >&2; exit 2; }

tree=build/mutants
prepare_tree() {
    if [ -e $tree/.git ]; then
        git -C $tree checkout -q --force --detach "$(git rev-parse HEAD)"
    else
        git worktree prune
        git worktree add -q --detach $tree HEAD
    fi
    cd $tree
    # Each source by itself: a fault shall not make its neighbours compile again.
    [ -e build/build.ninja ] || cmake --preset release -DCMAKE_UNITY_BUILD=OFF >/dev/null
}
restore() { git checkout -q --force -- .; }

# Replaces the one occurrence of $old in $file by $new; with --list only looks for it.
plant() {
    [ -n "$old" ] || return 0
    local found
    found=$(FROM=$old perl -0777 -ne 'print scalar(() = /\Q$ENV{FROM}\E/g)' "$file") || found=0
    if [ "$found" != 1 ]; then
        misfit "found $found times in $file: $old"
    elif [ $mode = run ]; then
        FROM=$old TO=$new perl -0777 -i -pe 's/\Q$ENV{FROM}\E/$ENV{TO}/' "$file"
    fi
    old= new=
}
misfits=0
misfit() { # the code has moved on
    [ $mode = list ] || die "$test: $*"
    echo "mutate.sh: $title: $*" >&2
    misfits=1
}

targets_of() { # what must be built for a test
    case $1 in
    system.bench) echo demo_programs benchmarks ;;
    system.*) echo demo_programs margayd-rebuilt traffic bpf_load_check ;;
    *) echo "test.${1%.*}" ;;
    esac
}

red=0
lost=()
judge() {
    local log=build/mutate.log
    printf '%s' "$title"
    # shellcheck disable=SC2046 # several targets
    if ! cmake --build build --target $(targets_of "$test") >$log 2>&1; then
        printf ' - DOES NOT BUILD\n'
        grep -A 5 'error:' $log || tail -n 20 $log
        lost+=("$test")
    elif ctest --test-dir build -R "^${test//./\\.}\$" --no-tests=error --output-on-failure >$log 2>&1; then
        printf ' - GREEN\n'
        lost+=("$test")
    else
        printf ' - red: %s\n' "$(first_failure $log)"
        red=$((red + 1))
    fi
    restore
}
first_failure() {
    grep -m1 -oE '\[  FAILED  \] [A-Za-z0-9_./]+' "$1" || grep -m1 -E 'FAIL|failed' "$1" ||
        grep -m1 -oE '\*\*\*[A-Za-z ]+' "$1"
}

finish_block() {
    [ -n "$test" ] || return 0
    if [[ $title =~ $pattern ]]; then
        case $mode in
        list) plant; echo "$title" ;;
        run) plant; judge ;;
        esac
    fi
    test='' file='' title='' old='' new=''
}
end_replacement() {
    if [[ $title =~ $pattern ]]; then plant; fi
    old='' new=''
}

# A block ends with an empty line; within it each group of "-" and "+" lines is one replacement.
read_list() {
    local line last=''
    while IFS= read -r line <&3 || [ -n "$line" ]; do
        case $line in
        '') finish_block ;;
        '# '*) title=${line#\# } ;;
        'test '*) test=${line#test } ;;
        'file '*) end_replacement; file=${line#file } ;;
        -*) [ "$last" != + ] || end_replacement
            old+=${line#-}$'\n' ;;
        +*) new+=${line#+}$'\n' ;;
        *) die "$1: cannot read '$line'" ;;
        esac
        last=${line:0:1}
    done 3<"$1"
    finish_block
}

if [ $mode = uncovered ]; then
    missing=0
    while read -r name; do
        grep -qx "test $name" tests/mutations/*.txt || { echo "$name"; missing=1; }
    done < <(ctest --test-dir build -N | sed -n 's/^ *Test *#[0-9]*: //p')
    exit $missing
fi
test='' file='' title='' old='' new=''
[ $mode = list ] || prepare_tree
for list in tests/mutations/*.txt; do read_list "$list"; done
[ $mode = run ] || exit $misfits
echo "mutate.sh: $red red, ${#lost[@]} not"
[ ${#lost[@]} = 0 ] || { printf '  %s\n' "${lost[@]}"; exit 1; }
