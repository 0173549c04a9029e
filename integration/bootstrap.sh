# shellcheck shell=bash
# What the lab needs from outside, fetched once into $CACHE. Sourced by `lab`; every function is a no-op when its
# part is already there, so that a warm start costs milliseconds. Nothing here names a host: apt and pip know theirs.

# The pinned Redfish emulator; a newer one may change the driver interface that novalab/redfish_app.py extends. From PyPI nothing is
# installed but the very files whose hashes are here.
SUSHY_TOOLS=$(dirname "${BASH_SOURCE[0]}")/sushy-tools/requirements.txt
LINTERS=$(dirname "${BASH_SOURCE[0]}")/checks/requirements.txt

say() { printf 'lab: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# apt_packages: prints the packages of which the program is missing.
missing_packages() {
  local pair
  for pair in \
    ip:iproute2 nft:nftables sshd:openssh-server ssh-keygen:openssh-client unshare:util-linux mount:mount \
    ipmi_sim:openipmi ipmitool:ipmitool fence_ipmilan:fence-agents jq:jq curl:curl openssl:openssl \
    pkg-config:pkg-config cc:gcc make:make ping:iputils-ping systemd-analyze:systemd; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
  done
  [ -x /usr/libexec/fence-agents/fence_kdump_send ] || echo fence-agents
  [ -e /usr/include/openssl/ssl.h ] || echo libssl-dev
  /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 "$@"; }

# The package lists are refreshed at most once per call of the lab.
apt_update_once() {
  [ -z "${APT_UPDATED:-}" ] || return 0
  say "apt-get update"
  apt_get update >&2 || say "apt-get update failed; going on with the lists that are there"
  APT_UPDATED=1
}

install_packages() { install_missing missing_packages; }

# Installs what the function named prints, one package a line, until it prints nothing.
install_missing() {
  local packages
  packages=$("$1")
  [ -n "$packages" ] || return 0
  command -v apt-get >/dev/null || die "missing, and there is no apt-get: $packages"
  apt_update_once
  say "installing: $(echo "$packages" | tr '\n' ' ')"
  # A policy that starts no service: the lab runs its own servers and wants no other.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' > $policy; chmod 755 $policy; made=1; fi
  # shellcheck disable=SC2086
  apt_get install --no-install-recommends $packages >&2 || { [ -z "$made" ] || rm -f $policy; die "apt-get install failed"; }
  [ -z "$made" ] || rm -f $policy
  packages=$("$1")
  [ -z "$packages" ] || die "still missing after the install: $packages"
}

# Consul from PATH, else the cache, else bullseye's package: Debian 12 has none. Sets CONSUL.
find_consul() {
  CONSUL=$(command -v consul) && return 0
  CONSUL=$CACHE/consul/usr/bin/consul
  [ ! -x "$CONSUL" ] || return 0
  say "fetching consul (Debian bullseye's package)"
  local work=$CACHE/consul.partial repo
  rm -rf "$work"; mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/root"
  repo=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Created-By: Packages' | sort -u | head -1)
  [ -n "$repo" ] || { apt_update_once
    repo=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Created-By: Packages' | sort -u | head -1); }
  [ -n "$repo" ] || die "no consul in PATH, and apt knows no bookworm archive to take bullseye's from"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $repo bullseye main" > "$work/sources.list"
  local options=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false)
  apt_get "${options[@]}" update >&2 || die "cannot read bullseye's package list"
  (cd "$work" && apt_get "${options[@]}" download consul >&2) || die "cannot download consul"
  dpkg -x "$work"/consul_*.deb "$work/root"
  rm -rf "$CACHE/consul"; mv "$work/root" "$CACHE/consul"; rm -rf "$work"
}

# A venv with the Redfish emulator. Sets VENV.
make_venv() {
  VENV=$CACHE/venv
  venv_of "$VENV" "$SUSHY_TOOLS" sushy-tools
}

# A venv with the linters of `integration/lab check`. Sets CHECKS.
make_checks_venv() {
  CHECKS=$CACHE/checks
  venv_of "$CHECKS" "$LINTERS" ruff
}

# venv_of FOLDER REQUIREMENTS NAME: a venv with those wheels. The marker is written last, so that an interrupted install is redone.
venv_of() {
  local versions
  versions=$(sha256sum < "$2" | cut -c1-64)
  [ "$(cat "$1/.made" 2>/dev/null)" != "$versions" ] || return 0
  say "making a venv with $(grep -o "^$3==[^ ]*" "$2")"
  rm -rf "$1"
  /usr/bin/python3 -m venv "$1" || die "cannot make a venv: is python3-venv installed?"
  "$1/bin/pip" install --quiet --require-hashes --no-deps --only-binary :all: -r "$2" >&2 ||
    die "cannot install $3 from PyPI"
  echo "$versions" > "$1/.made"
}

# build_product PROFILE FOLDER: the product, without LTO, into that folder of Cargo's. Sets BIN_DIR. `NOVA_HA_LAB_NO_BUILD=1`
# takes what is there.
build_product() {
  # shellcheck disable=SC2034  # The lab exports it.
  BIN_DIR=${CARGO_TARGET_DIR:-$REPO/target}/$2
  [ -z "${NOVA_HA_LAB_NO_BUILD:-}" ] || return 0
  command -v cargo >/dev/null || die "cargo is missing: install Rust (rustup) first"
  # Niced: a lab that runs beside it keeps its times.
  (cd "$REPO" && nice -n 10 cargo build --quiet --bins --profile "$1" >&2) || die "cargo build failed"
}
