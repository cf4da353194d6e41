//! Tests that need several crates stand in `tests/`; nothing imports this crate.
