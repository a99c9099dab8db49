#!/usr/bin/env bash
# Installs what is missing of Margay's Debian packages. Debian 12 and 13.
# Never removes a package, starts no service, and installs nothing when all is there.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: deploy/deps.sh [demo|test|bench] [--print]
  demo     what building and deploy/demo.sh need (default)
  test     that, and what tests/run.sh and bench/run.sh need
  bench    the same: the BGP daemons that bench/run.sh bgp compares with are those of the tests
  --print  prints the package names for this release and exits
Must run as root unless everything is installed already.
EOF
}

want=demo
print=no
for arg in "$@"; do
    case $arg in
    demo | test | bench) want=$arg ;;
    --print) print=yes ;;
    -h | --help) usage; exit 0 ;;
    *) echo "deps: unknown argument '$arg'" >&2; usage >&2; exit 2 ;;
    esac
done

. /etc/os-release
case "${ID:-}-${VERSION_ID:-}" in
debian-12) boost=(libboost1.81-dev libboost-json1.81-dev) ;;
debian-13) boost=(libboost-dev libboost-json-dev) ;;
*)
    echo "deps: this is ${PRETTY_NAME:-an unknown system}; package names are known for Debian 12 and 13 only" >&2
    exit 1
    ;;
esac

packages=(
    g++ cmake ninja-build pkg-config git ca-certificates
    clang-19 llvm-19 lld-19 bpftool libbpf-dev libelf-dev zlib1g-dev linux-libc-dev
    "${boost[@]}" libspdlog-dev libfmt-dev libyaml-cpp-dev libcli11-dev libssl-dev
    libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
    libmnl-dev libnftables-dev prometheus-cpp-dev libgtest-dev libgmock-dev libbenchmark-dev
    etcd-server etcd-client iproute2 nftables iputils-ping tcpdump jq procps kmod
    netcat-openbsd curl util-linux openssl
)
if [ "$want" != demo ]; then
    packages+=(bird2 frr openbgpd gobgpd bgpdump clang-format-19 clang-tidy-19 libclang-rt-19-dev python3 socat ethtool
        qemu-system-x86 busybox-static cpio xz-utils zstd)
fi

if [ "$print" = yes ]; then
    printf '%s\n' "${packages[@]}"
    exit 0
fi

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=()
for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "deps: run as root, or install first: ${missing[*]}" >&2
    exit 1
fi

# Servers of the tests are started by the tests alone. The policy file is the one switch that
# every Debian package asks before it starts a service.
# One that is there steps aside: it may allow what we do not want.
policy=/usr/sbin/policy-rc.d
own_policy=no
# Nor shall a server that came with us start when the machine does.
services=(etcd bird frr openbgpd gobgpd)
enabled() { systemctl is-enabled "$1" >/dev/null 2>&1; }
ours=()
for service in "${services[@]}"; do enabled "$service" || ours+=("$service"); done

leave_services_alone() { # also after an interrupted installation
    local service
    trap '' INT TERM HUP
    [ $own_policy = no ] || rm -f $policy
    [ ! -e $policy.before-margay ] || mv $policy.before-margay $policy
    for service in "${ours[@]}"; do
        ! enabled "$service" || systemctl disable "$service" >/dev/null 2>&1 ||
            echo "deps: could not disable $service, which was installed with the packages" >&2
    done
}
trap leave_services_alone EXIT
trap 'exit 130' INT TERM HUP
[ ! -e $policy ] || mv $policy $policy.before-margay
own_policy=yes
printf '#!/bin/sh\nexit 101\n' >$policy
chmod 755 $policy

echo "deps: installing ${#missing[@]} packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q=2
apt=(apt-get -q=2 -y --no-remove --no-install-recommends -o Dpkg::Use-Pty=0 install)
if ! "${apt[@]}" --simulate "${missing[@]}" >/dev/null; then
    cat >&2 <<EOF
deps: apt cannot install these without removing a package of yours, or lacks one (see above).
Nothing was changed. On Debian 12 the usual cause is libboost-dev (1.74), which excludes
libboost1.81-dev: build in a container, or remove it yourself first.
EOF
    exit 1
fi
"${apt[@]}" "${missing[@]}" >/dev/null
