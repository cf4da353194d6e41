//! Queries against fixed tables: scripts of statements with the rows they give, and what an engine does beside them.

mod engine;
mod fixture;
mod script;
