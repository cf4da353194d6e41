//! A node in this process, asked over HTTP as clients ask it; and the binary, started as people start it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod bad_days_offsets;
mod command_line;
mod configs;
mod control;
mod discovery;
mod first_record;
mod observability;
mod quarantine;
mod queries;
mod rejects;
mod restart;
mod routes;
mod secrets;
mod streams;
mod support;
mod topics;
mod views;
