//! Does nothing: the package is there for its list of dependencies (see its `Cargo.toml`).

fn main() {}
