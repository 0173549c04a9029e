#!/bin/bash
# Installs what the real cloud is made of: MariaDB and RabbitMQ by apt, OpenStack by pip into a venv of its own.
#   install.sh CACHE      the versions are those of constraints.txt beside this file; nothing happens where all is there
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=$1
# shellcheck source=../bootstrap.sh
. "$HERE/../bootstrap.sh"

missing() {
  command -v mariadbd >/dev/null || echo mariadb-server
  [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || echo rabbitmq-server
}

openstack_venv() {
  local venv=$CACHE/openstack/venv versions
  versions=$(cat "$HERE/build.txt" "$HERE/constraints.txt" "$HERE/requirements.txt" | sha256sum | cut -c1-64)
  [ "$(cat "$venv/.made" 2>/dev/null)" != "$versions" ] || return 0
  say "installing OpenStack from PyPI (two to four minutes)"
  local started=$SECONDS
  rm -rf "$venv"; mkdir -p "$CACHE/openstack"
  /usr/bin/python3 -m venv "$venv" || die "cannot make a venv"
  # Only the very files whose hashes are there, and all of them: constraints.txt is complete, so pip looks for nothing else. Two have no
  # wheel; they are built with what is in build.txt and in Debian's venv, not with what pip would fetch for them unseen.
  "$venv/bin/pip" install --quiet --require-hashes --no-deps -r "$HERE/build.txt" >&2 || die "cannot install what OpenStack is built with"
  # Compiled afterwards and by every core: pip does it by one.
  "$venv/bin/pip" install --quiet --no-compile --require-hashes --no-deps --no-build-isolation -r "$HERE/constraints.txt" >&2 ||
    die "cannot install OpenStack"
  "$venv/bin/pip" check >&2 || die "constraints.txt lacks something that OpenStack needs"
  "$venv/bin/python" -m compileall -q -j 0 "$venv/lib" >/dev/null || say "some modules could not be compiled"
  echo "$versions" > "$venv/.made"
  say "OpenStack installed in $((SECONDS - started)) s"
}

mkdir -p "$CACHE"
exec 9>"$CACHE/bootstrap.lock"; flock 9
install_missing missing
openstack_venv
