#!/usr/bin/env bash
# What the tests marked cluster and browser need of Debian, and the shells that completion is tried in; where one cannot
# be installed its tests skip and say why.
packages=(slurmctld slurmd slurm-client munge chromium chromium-driver zsh fish)
if dpkg --status "${packages[@]}" >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not root, or no apt-get: the tests that need ${packages[*]} skip where these are missing" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2 || true
# one by one: one that cannot be had does not keep the others away
for package in "${packages[@]}"; do
    apt-get install --quiet=2 --yes --no-install-recommends "$package" >/dev/null ||
        echo "$package could not be installed: the tests that need it skip" >&2
done
