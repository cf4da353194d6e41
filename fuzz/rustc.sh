#!/usr/bin/env bash
# Cargo's compiler for the fuzz targets (RUSTC_WRAPPER): instruments what the targets are about, and nothing else.
#
# Counters in every crate would make the build longer, and each run walk through those of crates that no target is about.
set -euo pipefail
crate= target=
arguments=("$@")
for ((at = 0; at < ${#arguments[@]}; at++)); do
  case ${arguments[at]} in
    --crate-name) crate=${arguments[at + 1]} ;;
    --target) target=1 ;;
  esac
done
# Build scripts and macros run in the compiler: they have no --target.
if [ -n "$target" ]; then
  case $crate in
    weir_fuzz) ;;
    # Half of it is of use to streams that are left out here.
    weir_streams) set -- "$@" -Adead_code ;;
    weir_* | apache_avro | arrow_ipc | bson | ciborium_ll | flatbuffers | prost_reflect | protox | protox_parse | serde_smile | sqlparser)
      # Stable compilers have no -Z sanitizer; the pass itself they have.
      set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
      ;;
  esac
fi
exec "$@"
