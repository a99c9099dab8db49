#!/usr/bin/env bash
# deploy/deps.sh against a dpkg, an apt and a systemd that write down what they were asked: nothing is
# installed here (tests/fresh.sh does that). What it must leave alone stands in a mount namespace of
# its own, so that the machine's /usr/sbin is not touched.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "${1:-}" != inside ]; then exec unshare --mount "$0" inside; fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -a /usr/sbin "$scratch/sbin"
mount --bind "$scratch/sbin" /usr/sbin
policy=/usr/sbin/policy-rc.d
rm -f $policy
mkdir "$scratch/bin"
release() { # release ID VERSION: the machine is this one; fields as they are quoted there
    printf 'PRETTY_NAME="%s %s"\nID=%s\nVERSION_ID="%s"\n' "$1" "$2" "$1" "$2" >"$scratch/os-release"
}
release debian 12
mount --bind "$scratch/os-release" /etc/os-release
fail() { echo "FAILED: $1" >&2; [ $# = 1 ] || printf '  %s\n' "${@:2}" >&2; exit 1; }

program() { # program NAME: its text comes from stdin
    { echo '#!/bin/bash'; cat; } >"$scratch/bin/$1"
    chmod +x "$scratch/bin/$1"
}
program dpkg-query <<EOF
[ "\${!#}" = "\$(cat $scratch/missing)" ] && exit 1
echo -n installed
EOF
program apt-get <<EOF
echo "\$*" >>$scratch/asked
case "\$*" in
*--simulate*) exit \$(cat $scratch/simulation) ;;
*install*)
    # As a package's script would: may its service start?
    $policy etcd start; echo "policy \$?" >>$scratch/asked
    touch $scratch/etcd.enabled
    exit \$(cat $scratch/installation)
    ;;
esac
EOF
program systemctl <<EOF
echo "systemctl \$*" >>$scratch/asked
case "\$1 \$2" in
"is-enabled etcd") [ -e $scratch/etcd.enabled ] ;;
"disable etcd") rm $scratch/etcd.enabled ;;
*) exit 1 ;;
esac
EOF
run() { # run MISSING SIMULATION INSTALLATION: exit status in \$status, output in \$said
    rm -f "$scratch/asked" "$scratch/etcd.enabled"
    touch "$scratch/asked"
    echo "$1" >"$scratch/missing"
    echo "$2" >"$scratch/simulation"
    echo "$3" >"$scratch/installation"
    status=0
    said=$(PATH=$scratch/bin:$PATH deploy/deps.sh test 2>&1) || status=$?
    asked=$(cat "$scratch/asked")
}
asked_for() { grep -qE -- "$1" <<<"$asked"; }

run none 0 0
[ $status = 0 ] || fail "nothing is missing: exit status $status" "$said"
[ -z "$asked" ] || fail "nothing is missing: apt and systemd are not asked" "$asked"
[ ! -e $policy ] || fail "nothing is missing: no policy is written"
echo "ok: a second run installs nothing"

printf '#!/bin/sh\nexit 0\n' >$policy # a user's, which allows all
chmod 755 $policy
run bird2 0 0
[ $status = 0 ] || fail "one is missing: exit status $status" "$said" "$asked"
asked_for '--no-remove .*install --simulate bird2$' || fail "a simulation comes first" "$asked"
asked_for '--no-remove .*install bird2$' || fail "the missing one alone is installed, and nothing removed" "$asked"
asked_for '^policy 101$' || fail "no service may start meanwhile" "$asked"
[ ! -e "$scratch/etcd.enabled" ] || fail "a service that came with the packages does not start with the machine" "$asked"
[ "$(tail -n 1 $policy)" = "exit 0" ] || fail "the user's policy is back" "$(cat $policy)"
echo "ok: it installs what is missing, starts nothing, and leaves the user's policy"

run bird2 100 0
[ $status = 1 ] || fail "apt would remove something: exit status $status" "$said"
grep -q 'without removing a package of yours' <<<"$said" || fail "apt would remove something: it is said" "$said"
! asked_for 'install bird2$' || fail "apt would remove something: nothing is installed" "$asked"
[ "$(tail -n 1 $policy)" = "exit 0" ] || fail "the user's policy is back after a refusal" "$(cat $policy)"
echo "ok: nothing of the user's is removed"

run bird2 0 100
[ $status != 0 ] || fail "apt fails: so does deps.sh"
[ ! -e "$scratch/etcd.enabled" ] || fail "services stay disabled after a failure" "$asked"
[ "$(tail -n 1 $policy)" = "exit 0" ] || fail "the user's policy is back after a failure" "$(cat $policy)"
echo "ok: a failed installation leaves no trace but its packages"

for row in "12 libboost1.81-dev libboost-dev" "13 libboost-dev libboost1.81-dev"; do
    read -r version has lacks <<<"$row"
    release debian $version
    said=$(deploy/deps.sh --print)
    grep -qx "$has" <<<"$said" && grep -qx "${has/boost/boost-json}" <<<"$said" || fail "Debian $version: $has" "$said"
    ! grep -qx "$lacks" <<<"$said" || fail "Debian $version: no $lacks" "$said"
done
release ubuntu 24.04
status=0
said=$(deploy/deps.sh --print 2>&1) || status=$?
[ "$status: $said" = "1: deps: this is ubuntu 24.04; package names are known for Debian 12 and 13 only" ] ||
    fail "another system is named and refused: exit status $status" "$said"
echo "ok: it knows the names of Debian 12 and 13, and says so elsewhere"
