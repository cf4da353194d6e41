#!/usr/bin/env bash
# npm.sh FOLDER CACHE: copies what is in FOLDER into CACHE and installs what its package.json names there, once. Nothing is
# built and no script of a package runs.
set -euo pipefail

folder=$1 cache=$2
want=$(cat "$folder"/* | cksum)
[ "$(cat "$cache/.package" 2>/dev/null)" = "$want" ] && exit
command -v npm >/dev/null || { echo "npm.sh: npm is not on the PATH" >&2; exit 1; }
mkdir -p "$cache"
cp "$folder"/* "$cache/"
(cd "$cache" && npm install --silent --no-audit --no-fund --ignore-scripts)
echo "$want" > "$cache/.package"
