#!/usr/bin/env bash
# Proves README's two commands on a machine that has nothing: a minimal Debian root, a clone in
# it, both commands as root, and a build by that release's g++. Takes some 30 minutes; run once for
# each release, not in CI.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: tests/fresh.sh 12|13 [--keep] [--only demo|test|gcc]
  Builds a minimal Debian root with mmdebstrap (installed if missing), clones this checkout's
  HEAD into it, and runs deploy/demo.sh, tests/run.sh and tests/run.sh gcc there. --keep leaves the
  root behind.
EOF
}

release=
keep=no
only=
while [ $# -gt 0 ]; do
    case $1 in
    12) release=bookworm ;;
    13) release=trixie ;;
    --keep) keep=yes ;;
    --only) shift; only=$1 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "fresh.sh: unknown argument '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
[ -n "$release" ] || { usage >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "fresh.sh: needs root" >&2; exit 1; }
command -v mmdebstrap >/dev/null || apt-get install -y -q=2 --no-install-recommends mmdebstrap

source=$(cd "$(dirname "$0")/.." && pwd)
root=$(mktemp -d "${TMPDIR:-/var/tmp}/margay-fresh.XXXXXX")
cleanup() {
    for mount in sys/fs/bpf sys proc dev/pts dev run; do
        umount -R -l "$root/$mount" 2>/dev/null || true
    done
    umount -l "$root" 2>/dev/null || true
    [ $keep = yes ] || rm -rf "$root"
}
trap cleanup EXIT

echo "fresh: Debian $release in $root"
# The host's own apt settings (mirror, proxy) reach the new root, nothing else does.
mmdebstrap --variant=minbase --include=ca-certificates,git $release "$root" >/dev/null
git clone -q "$source" "$root/root/margay"
for file in /etc/resolv.conf /etc/hosts; do
    [ -e $file ] && cp -L $file "$root$file"
done
mount --bind "$root" "$root" # "ip netns exec" wants / to be a mount point
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --make-rslave "$root/sys"
mount --rbind /dev "$root/dev"
mount --make-rslave "$root/dev"
mount -t tmpfs tmpfs "$root/run"

inside() { chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    bash -c "cd /root/margay && $1"; }
if [ -z "$only" ] || [ "$only" = demo ]; then
    inside deploy/demo.sh
fi
if [ -z "$only" ] || [ "$only" = test ]; then
    inside tests/run.sh
fi
if [ -z "$only" ] || [ "$only" = gcc ]; then
    inside "tests/run.sh gcc"
fi
echo "fresh: ${only:-demo, test and gcc} passed on Debian $release"
