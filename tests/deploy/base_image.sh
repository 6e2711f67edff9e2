#!/usr/bin/env bash
# Makes what the Dockerfile builds on, for a machine without a registry: Debian's own Python 3.13, imported under the
# name of the official image. On Debian or Ubuntu, as root; it installs the tools that are missing. Again: says so.
set -euo pipefail

IMAGE=docker.io/library/python:3.13-slim-trixie
SUITE=trixie
MIRROR=${MIRROR:-http://deb.debian.org/debian}
PACKAGES=ca-certificates,python3,python3-venv

tools=(buildah podman runc debootstrap)
missing=()
for tool in "${tools[@]}"; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
if ((${#missing[@]})); then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null
fi

if podman image exists "$IMAGE"; then
    echo "the base image is there"
    exit 0
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$root" "$MIRROR" >/dev/null
# Where the official image has it, and whom the machine's own network trusts (a proxy may look into its TLS).
ln -s /usr/bin/python3 "$root/usr/local/bin/python3"
ln -s /usr/bin/python3 "$root/usr/local/bin/python"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar --directory "$root" --create --one-file-system . |
    podman import --quiet --change ENV=SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
        --change 'CMD ["python3"]' - "$IMAGE" >/dev/null
echo "the base image is there"
