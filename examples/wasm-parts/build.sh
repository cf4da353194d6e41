#!/usr/bin/env bash
# Builds the components of this folder into a folder, each a file NAME.wasm: build.sh [FOLDER [NAME...]] (`parts`, all examples).
set -euo pipefail
to=$(realpath -m "${1:-parts}")
cd "$(dirname "${BASH_SOURCE[0]}")"
names=("${@:2}")
[ ${#names[@]} -gt 0 ] || names=(pairs card)
triple=wasm32-wasip2
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$triple/lib" ]; then
  if ! command -v rustup >/dev/null; then
    echo "build.sh: this Rust has no target $triple, and no rustup to add it with" >&2
    exit 1
  fi
  rustup target add "$triple"
fi
# What is set for a build of Weir around this one is not for this target.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_TARGET
packages=()
for name in "${names[@]}"; do packages+=(-p "$name"); done
built=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --quiet --release --target "$triple" --target-dir "$built" "${packages[@]}"
mkdir -p "$to"
for name in "${names[@]}"; do
  # In one step: a node that starts meanwhile finds the old one or the new one.
  cp "$built/$triple/release/$name.wasm" "$to/.$name.new"
  mv "$to/.$name.new" "$to/$name.wasm"
done
