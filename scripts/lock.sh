#!/usr/bin/env bash
# Resolves every lock anew, all with the versions that are tested; UPGRADE=--upgrade takes newer ones. Needs uv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lock() {
    # shellcheck disable=SC2086  UPGRADE is an option, or nothing
    uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
        --annotation-style line --custom-compile-command "make lock" --quiet ${UPGRADE:-} "$@"
}

lock pyproject.toml --extra local --group dev --output-file requirements.lock
lock pyproject.toml --constraint requirements.lock --output-file requirements-image.lock
for group in build:image browser:browser; do
    lock --group "${group#*:}" --constraint requirements.lock --output-file "requirements-${group%:*}.lock"
done
{
    echo "# For buildpacks, which look for this name: what requirements-image.lock pins, by make lock."
    sed -n 's/^\([a-z0-9].*==.*[^ ]\) *\\$/\1/p' requirements-image.lock
    echo .
} > requirements.txt
