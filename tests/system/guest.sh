# shellcheck shell=bash
# A small virtual machine with Debian's own cloud kernel, which has what a test host may lack
# (ipip above all). To be sourced; `state` is the folder it works in.

# Fetches the kernel package that linux-image-cloud-amd64 stands for and unpacks it into
# $state/kernel, without installing it.
fetch_guest_kernel() {
    local package
    mkdir -p "$state/kernel"
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image/ {print $2; exit}')
    if [ -z "$package" ]; then
        apt-get update -q=2
        package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
    fi
    (cd "$state/kernel" && apt-get download -q=2 "$package" 2>/dev/null && dpkg-deb -x "$package"_*.deb .) ||
        return 1
    guest_kernel=$(echo "$state"/kernel/boot/vmlinuz-*)
    guest_release=${guest_kernel##*/vmlinuz-}
}

# add_program FILE...: copies programs and the libraries they need into the guest's root.
add_program() {
    local file library
    for file in "$@"; do
        file=$(command -v "$file")
        install -D "$file" "$state/guest/bin/$(basename "$file")"
        ldd "$file" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
            [ -e "$state/guest$library" ] || install -D "$library" "$state/guest$library"
        done
    done
}

# build_guest MODULE... <<<INIT: an initramfs that loads the modules and runs INIT. Output of INIT
# goes to the serial console; the machine powers off after it.
build_guest() {
    local module dependency
    local root=$state/guest modules=$state/kernel/lib/modules/$guest_release
    mkdir -p "$root"/{bin,proc,sys,dev,tmp,run,modules,etc}
    install /bin/busybox "$root/bin/busybox"
    [ -e "$state/kernel/lib" ] || ln -s usr/lib "$state/kernel/lib" # packages of a merged /usr
    depmod -b "$state/kernel" "$guest_release"
    for module in "$@"; do
        modprobe -S "$guest_release" -d "$state/kernel" --show-depends "$module" 2>/dev/null |
            awk '/^insmod/ {print $2}' | while read -r dependency; do
            grep -qx "${dependency##*/}" "$root/modules/order" 2>/dev/null && continue
            echo "${dependency##*/}" >>"$root/modules/order"
            case $dependency in
            *.xz) xz -dc "$dependency" >"$root/modules/${dependency##*/}" ;;
            *.zst) zstd -qdc "$dependency" >"$root/modules/${dependency##*/}" ;;
            *) cp "$dependency" "$root/modules/" ;;
            esac
        done
    done
    cat >"$root/test.sh"
    cat >"$root/init" <<'EOF'
#!/bin/busybox sh
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/bin LD_LIBRARY_PATH=/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmp /run
while read -r module; do insmod /modules/$module || echo "GUEST insmod $module failed"; done </modules/order
echo "GUEST kernel $(uname -r)"
sh /test.sh
echo "GUEST done"
poweroff -f
EOF
    chmod +x "$root/init"
    (cd "$root" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$state/initramfs.gz"
    [ -d "$modules" ]
}

# boot_guest NAMESPACE TAP: runs until the guest powers off; its console is $state/console.log.
boot_guest() {
    nsenter --net="/run/netns/$1" -- timeout 300 qemu-system-x86_64 -accel tcg -cpu max -m 1024 -smp 1 \
        -nodefaults -no-reboot -display none -serial "file:$state/console.log" \
        -kernel "$guest_kernel" -initrd "$state/initramfs.gz" \
        -append "console=ttyS0 panic=-1 quiet" \
        -netdev "tap,id=n0,ifname=$2,script=no,downscript=no" \
        -device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:20
}
