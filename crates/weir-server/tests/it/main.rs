//! A node in this process, asked over HTTP as clients ask it; and the binary, started as people start it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod bad_days_creation;
mod bad_days_decoders;
mod bad_days_offsets;
mod bad_days_records;
mod bad_days_registry;
mod bad_days_restart;
mod bad_days_retention;
mod bad_days_scale;
mod bad_days_sealing;
mod bad_days_secrets;
mod command_line;
mod configs;
mod console;
mod control;
mod decoders;
mod discovery;
mod doctor;
mod every_key;
mod every_trap;
mod first_minutes;
mod first_record;
mod infer;
mod lost_files;
mod observability;
mod on_kinesis;
mod on_pulsar;
mod opening;
mod process;
mod quarantine;
mod queries;
mod quick_starts;
mod rejects;
mod reload;
mod restart;
mod routes;
mod slow_clients;
mod streams;
mod support;
mod tail;
mod topics;
mod tried;
mod views;
#[cfg(feature = "wasm")]
mod wasm;
mod written;
