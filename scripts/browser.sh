#!/usr/bin/env bash
# What the test of the console needs beside Node: a browser of the machine (Debian: chromium) and the library that drives it.
#
#   browser.sh install     install what package.json names into the cache (npm, once); no browser is downloaded
#   browser.sh modules     the folder of those packages
#   browser.sh path        the path of the browser; exit status 3 where there is none
#
# Environment (defaults in brackets):
#   BROWSER_CACHE  packages [${XDG_CACHE_HOME:-~/.cache}/weir/browser]
#   BROWSER        the browser [chromium, chromium-browser or google-chrome of the PATH]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${BROWSER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/browser}

die() { echo "browser.sh: $*" >&2; exit 1; }

install() { "$here/npm.sh" "$here/browser" "$cache"; }

modules() { echo "$cache/node_modules"; }

path() {
  local name
  for name in ${BROWSER:-chromium chromium-browser google-chrome}; do
    command -v "$name" && return
  done
  echo "browser.sh: no browser on the PATH (Debian: apt-get install chromium), and BROWSER names none" >&2
  return 3
}

case ${1:-} in
  install | modules | path) "$1" ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
