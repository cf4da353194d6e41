//! Queries against fixed tables: scripts of statements with the rows they give, and what an engine does beside them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod deep;
mod engine;
mod fixture;
mod memory;
mod opening;
mod script;
mod shelf;
