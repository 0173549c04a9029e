#!/bin/bash
# Installs what the disk lab is made of: the User-mode Linux kernel, and the programs that make its root image.
#   install.sh CACHE      nothing happens where all is there; what is inside the image is listed in `packages`
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=$1
# shellcheck source=../bootstrap.sh
. "$HERE/../bootstrap.sh"

missing() {
  local pair
  for pair in linux.uml:user-mode-linux mmdebstrap:mmdebstrap mksquashfs:squashfs-tools mke2fs:e2fsprogs; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
  done
  # Of the initrd: one program that needs no library.
  [ -x /bin/busybox ] && /bin/busybox cpio --help >/dev/null 2>&1 && ! ldd /bin/busybox >/dev/null 2>&1 || echo busybox-static
}

mkdir -p "$CACHE"
exec 9>"$CACHE/bootstrap.lock"; flock 9
install_missing missing
