#!/usr/bin/env bash
# A stand-in for Amazon Kinesis (kinesalite) on the loopback address, in memory, for tests.
#
#   kinesis.sh install     install what package.json names into the cache (npm, once)
#   kinesis.sh start       start it; returns when the port is open; no harm when it runs
#   kinesis.sh stop        stop it; its streams are gone
#   kinesis.sh status      one line; exit status 0 running, 3 stopped
#
# Environment (defaults in brackets):
#   KINESIS_CACHE  packages, log and pid [${XDG_CACHE_HOME:-~/.cache}/weir/kinesis]
#   KINESIS_PORT   [4567]
#   KINESIS_WAIT   seconds that start and stop wait at most [20]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${KINESIS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/kinesis}
port=${KINESIS_PORT:-4567}
wait_s=${KINESIS_WAIT:-20}
log=$cache/node-$port.log
pidfile=$cache/node-$port.pid

die() { echo "kinesis.sh: $*" >&2; exit 1; }

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

# The pid of this node, if it runs: the process must be the one that was started with our script and port.
running() {
  local pid
  [ -s "$pidfile" ] || return 1
  pid=$(cat "$pidfile")
  ps -p "$pid" -o args= 2>/dev/null | grep -qF -- "$cache/node.js $port" || return 1
  echo "$pid"
}

accepts() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

install() { "$here/npm.sh" "$here/kinesis" "$cache"; }

start() {
  local pid end
  if pid=$(running); then
    echo "kinesis runs: pid $pid, 127.0.0.1:$port"
    return
  fi
  [ -f "$cache/.package" ] || die "nothing in $cache: run 'kinesis.sh install' first"
  if accepts "$port"; then die "port $port is taken by another process"; fi
  # shellcheck disable=SC2046
  nohup $(command -v setsid || true) node "$cache/node.js" "$port" > "$log" 2>&1 < /dev/null &
  pid=$!
  echo "$pid" > "$pidfile"
  end=$((SECONDS + wait_s))
  until accepts "$port"; do
    if ! kill -0 "$pid" 2>/dev/null; then
      rm -f "$pidfile"
      tail -n 25 "$log" >&2
      die "it ended while starting"
    fi
    if [ "$SECONDS" -ge "$end" ]; then stop; die "port $port not open after $wait_s s"; fi
    sleep 0.1
  done
  echo "kinesis started: pid $pid, 127.0.0.1:$port"
}

stop() {
  local pid end
  if ! pid=$(running); then
    rm -f "$pidfile"
    echo "kinesis is stopped"
    return
  fi
  kill -TERM "$pid"
  end=$((SECONDS + wait_s))
  while kill -0 "$pid" 2>/dev/null; do
    if [ "$SECONDS" -ge "$end" ]; then kill -KILL "$pid" 2>/dev/null || true; fi
    sleep 0.1
  done
  rm -f "$pidfile"
  echo "kinesis stopped: pid $pid"
}

status() {
  local pid
  if pid=$(running); then
    echo "kinesis runs: pid $pid, 127.0.0.1:$port"
  else
    echo "kinesis is stopped: port $port"
    return 3
  fi
}

case ${1:-} in
  install | start | stop | status) "$1" ;;
  *) usage >&2; exit 2 ;;
esac
