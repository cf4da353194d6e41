#!/usr/bin/env bash
# One schema registry (Apicurio, which speaks Confluent's REST API) on the loopback address, its schemas in memory, for tests.
#
#   registry.sh install   fetch it into the cache (Maven, once; 142 MB)
#   registry.sh start     start it; returns when it answers; no harm when it runs
#   registry.sh stop      stop it; what was registered is gone
#   registry.sh status    one line; exit status 0 running, 3 stopped
#   registry.sh url       its URL for clients
#
# Environment (defaults in brackets):
#   REGISTRY_CACHE   the program [${XDG_CACHE_HOME:-~/.cache}/weir/registry]
#   REGISTRY_PORT    [18085]
#   REGISTRY_DATA    log and pid of this one [$REGISTRY_CACHE/node-$REGISTRY_PORT]
#   REGISTRY_WAIT    seconds that start and stop wait at most [60]
set -euo pipefail

version=2.6.13.Final
cache=${REGISTRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/registry}
port=${REGISTRY_PORT:-18085}
data=${REGISTRY_DATA:-$cache/node-$port}
wait_s=${REGISTRY_WAIT:-60}
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
jar=$cache/app/apicurio-registry-app-$version-runner.jar
url=http://127.0.0.1:$port/apis/ccompat/v7
pidfile=$data/registry.pid
log=$data/registry.log

die() { echo "registry.sh: $*" >&2; exit 1; }

# The pid of this registry, if it runs: the process must be the one that was started on our port.
running() {
  local pid
  [ -s "$pidfile" ] || return 1
  pid=$(cat "$pidfile")
  ps -p "$pid" -o args= 2>/dev/null | grep -qF -- "-Dquarkus.http.port=$port" || return 1
  echo "$pid"
}

answers() { curl -sf -o /dev/null -m 2 "$url/subjects"; }

install() {
  [ -e "$jar" ] && return
  command -v mvn >/dev/null || die "install needs Maven (mvn) on the PATH"
  rm -rf "${cache:?}/app" "$cache/archive"
  mkdir -p "$cache/app" "$cache/archive"
  mvn -q -B -Dstyle.color=never dependency:copy -DoutputDirectory="$cache/archive" \
    -Dartifact=io.apicurio:apicurio-registry-app:$version:tar.gz:all
  tar xzf "$cache/archive"/*-all.tar.gz -C "$cache/app"
  rm -rf "$cache/archive"
  [ -e "$jar" ] || die "the archive has no $(basename "$jar")"
}

start() {
  if running >/dev/null && answers; then return; fi
  install
  mkdir -p "$data"
  (cd "$data" && exec "$java" -Xmx256m -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$port" -jar "$jar" >"$log" 2>&1) &
  echo $! >"$pidfile"
  disown
  local until=$((SECONDS + wait_s))
  until answers; do
    running >/dev/null || die "it ended at once: see $log"
    [ $SECONDS -lt $until ] || die "it does not answer within $wait_s s: see $log"
    sleep 0.2
  done
}

stop() {
  local pid until=$((SECONDS + wait_s))
  pid=$(running) || { rm -f "$pidfile"; return 0; }
  kill "$pid"
  while running >/dev/null; do
    [ $SECONDS -lt $until ] || die "it does not end within $wait_s s"
    sleep 0.1
  done
  rm -f "$pidfile"
}

case ${1:-} in
  install) install ;;
  start) start ;;
  stop) stop ;;
  status) if running >/dev/null; then echo "running at $url"; else echo stopped; exit 3; fi ;;
  url) echo "$url" ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
