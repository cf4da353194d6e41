#!/usr/bin/env bash
# Fuzzes whatever reads bytes or text that others wrote: decoders, expressions, configs, files (fuzz/src/main.rs).
#
#   fuzz.sh [SECONDS] [TARGET...]   each of the targets, all where none is named, for so long (600) beyond its seeds;
#                                   0 tries the seeds only
#   fuzz.sh list                    the names of the targets
#   fuzz.sh try TARGET FILE...      tries single inputs, with the trace of a panic
#
# Prints for each target how many inputs it tried, how many a second, what it covered, and what it found: where the input
# is and its bytes in base64. Fails where one found something. Seeds are in fuzz/corpus; what the fuzzer learned beyond them
# stays in the cache, and so does what it found.
#
# Environment (defaults in brackets):
#   FUZZ_CACHE   the build (some 3 GB), learned inputs, findings, logs [${XDG_CACHE_HOME:-~/.cache}/weir/fuzz]
#   FUZZ_JOBS    targets that run at once [2]
#   FUZZ_SEED    where chance begins; 0: anywhere [0]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=${FUZZ_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/fuzz}
jobs_most=${FUZZ_JOBS:-2}
export CARGO_TARGET_DIR=$cache/target
triple=$(rustc -vV | sed -n 's/^host: //p')
binary=$CARGO_TARGET_DIR/$triple/debug/weir-fuzz

die() { echo "fuzz.sh: $*" >&2; exit 2; }

# With a --target the flags are not those of build scripts and macros, whichever way they come.
build() {
  command -v c++ >/dev/null || die "the fuzzer's engine needs a C++ compiler (Debian: g++)"
  local quiet=--quiet
  if [ -t 2 ]; then quiet=; fi
  # shellcheck disable=SC2086 # no argument where it is empty
  RUSTC_WRAPPER=$PWD/fuzz/rustc.sh cargo build $quiet --manifest-path fuzz/Cargo.toml --target "$triple"
}

targets() { env -u WEIR_FUZZ_TARGET "$binary" 2>/dev/null; }

# The words of a target's language, where it has some.
words() {
  local language
  case $1 in
    json | json-confluent | clp | csv) language=json ;;
    expression) language=expression ;;
    config) language=config ;;
    avro-schema) language=avro ;;
    protobuf-schema) language=protobuf ;;
    *) return ;;
  esac
  echo "-dict=fuzz/dictionaries/$language.dict"
}

# One target, to its log. A message is as long as a seed or a few kilobytes: what only megabytes can show is not sought.
one() {
  local name=$1 seconds=$2 learned=$cache/learned/$1 found=$cache/found/$1 bound
  mkdir -p "$learned" "$found" "$cache/logs"
  if [ "$seconds" = 0 ]; then bound=-runs=0; else bound=-max_total_time=$seconds; fi
  # In the place of the shell that was started for it, so that a signal meets the fuzzer.
  # shellcheck disable=SC2046 # no argument where there are no words
  exec env WEIR_FUZZ_TARGET="$name" RUST_BACKTRACE=1 "$binary" "$bound" -seed="${FUZZ_SEED:-0}" -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="$found/" $(words "$name") "$learned" "fuzz/corpus/$name" >"$cache/logs/$name" 2>&1
}

# What came of a target: a line, and its finding.
tell() {
  local name=$1 status=$2 log=$cache/logs/$1 runs speed cover input
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  cover=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  printf '%-20s %10s inputs %8s a second %7s edges  %s\n' "$name" "${runs:-?}" "${speed:-?}" "${cover:-?}" \
    "$([ "$status" = 0 ] && echo nothing found || echo FOUND)"
  [ "$status" != 0 ] || return 0
  input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
  grep -m 1 -A 3 'panicked at\|ERROR: libFuzzer' "$log" | sed 's/^/  /' | cut -c 1-600 || true
  if [ -n "$input" ]; then
    echo "  input: $input"
    echo "  base64: $(base64 -w 0 "$input" | cut -c 1-20000)"
    echo "  again: scripts/fuzz.sh try $name $input"
  else
    tail -n 20 "$log" | sed 's/^/  /' | cut -c 1-600
  fi
}

fuzz() {
  local seconds=600 name status failed=0
  if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    seconds=$1
    shift
  fi
  local all chosen=("$@")
  mapfile -t all < <(targets)
  if [ ${#chosen[@]} -eq 0 ]; then chosen=("${all[@]}"); fi
  for name in "${chosen[@]}"; do
    [[ " ${all[*]} " == *" $name "* ]] || die "no target is named $name; there are: ${all[*]}"
    [ -n "$(ls "fuzz/corpus/$name" 2>/dev/null)" ] || die "$name has no seeds: put some into fuzz/corpus/$name"
  done
  local -A running=()
  local pid
  trap 'kill "${!running[@]}" 2>/dev/null || true; exit 130' INT TERM
  for name in "${chosen[@]}" ""; do
    # The last round waits for all.
    while [ ${#running[@]} -gt 0 ] && { [ -z "$name" ] || [ ${#running[@]} -ge "$jobs_most" ]; }; do
      status=0
      wait -n -p pid "${!running[@]}" || status=$?
      tell "${running[$pid]}" "$status"
      unset "running[$pid]"
      [ "$status" = 0 ] || failed=1
    done
    [ -n "$name" ] || break
    one "$name" "$seconds" &
    running[$!]=$name
  done
  return "$failed"
}

case ${1:-} in
  -h | --help | help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" ;;
  list) build; targets ;;
  try)
    name=${2:?which target?}
    build
    WEIR_FUZZ_TARGET=$name RUST_BACKTRACE=1 exec "$binary" -timeout=10 -rss_limit_mb=2048 "${@:3}"
    ;;
  *) build; fuzz "$@" ;;
esac
