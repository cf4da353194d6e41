#!/usr/bin/env bash
# Mutates one line of the offset logic at a time, in a scratch copy of the tree, and has the simulation find it.
#
#   scripts/mutate.sh [RUNS] [NAME...]   RUNS seeds of each scenario for each mutation (300), all of them or those named
#
# Prints the seed that found each; fails where one survives. The mutations are in mutants.txt beside this file. The copy and
# its build (some 4 GB) are kept in the cache folder: the first build takes some minutes, each mutation about two.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mutants=$PWD/scripts/mutants.txt
cache=${XDG_CACHE_HOME:-$HOME/.cache}/weir/mutants
tree=$cache/tree
export CARGO_TARGET_DIR=$cache/target
scenarios=(a_node_survives_bad_days moves:: old_rows_go_and_nothing_else_does)

runs=300
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
  runs=$1
  shift
fi

die() { echo "mutate: $*" >&2; exit 2; }

# What git knows or would, with its times: what did not change is not built again.
copy() {
  rm -rf "$tree"
  mkdir -p "$tree"
  git ls-files -co --exclude-standard -z | while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
  done | tar --null -T - -cf - | tar -xf - -C "$tree"
}

build() {
  if ! cargo test --quiet --manifest-path "$tree/Cargo.toml" -p weir-tests -p weir-features --test sim --no-run >"$cache/build.log" 2>&1; then
    cat "$cache/build.log" >&2
    die "$1 does not compile"
  fi
}

# Runs the scenarios; fails where they find nothing.
found() {
  local log=$cache/run.log
  if (cd "$tree" && WEIR_SIM_RUNS=$runs RUST_BACKTRACE=0 cargo test --quiet -p weir-tests -p weir-features --test sim -- "${scenarios[@]}") >"$log" 2>&1; then
    return 1
  fi
  local what
  what=$(sed -n 's/^\(.*, seed [0-9]*: .*\)$/\1/p' "$log" | head -n 1)
  echo "${what:-$(grep -m 1 -A 1 panicked "$log" | tail -n 1)}"
}

copy
build "the tree as it is"
if what=$(found); then die "the simulation fails without a mutation: $what"; fi

survived=() done=0
while IFS=$'\t' read -r name file before after; do
  [[ -z $name || $name == \#* ]] && continue
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  [ -f "$tree/$file" ] || die "$name: there is no $file"
  whole=$(cat "$tree/$file"; echo .)
  whole=${whole%.}
  rest=${whole/"$before"/}
  [ "$rest" != "$whole" ] || die "$name: $file has no '$before'"
  [ "${rest/"$before"/}" = "$rest" ] || die "$name: $file has '$before' more than once"
  printf '%s' "${whole/"$before"/"$after"}" >"$tree/$file"
  build "$name"
  if what=$(found); then
    echo "caught    $name: ${what:0:200}"
  else
    echo "SURVIVED  $name: $runs seeds found nothing"
    survived+=("$name")
  fi
  printf '%s' "$whole" >"$tree/$file"
  done=$((done + 1))
done <"$mutants"
[ "$done" -gt 0 ] || die "no mutation is called that; $mutants lists them"
echo "$done mutations, ${#survived[@]} survived"
[ ${#survived[@]} -eq 0 ]
