//! A node's ingestion from outside: tables over streams in this process, on a disk in memory and a paused clock.

#![expect(clippy::unwrap_used, reason = "a script that is wrong fails, and says where")]

mod ahead;
mod cut_log;
mod damage;
mod drops;
mod floor;
mod keep;
mod opening;
mod pace;
mod reindex;
mod reshape;
mod retention;
mod seams;
mod sizes;
mod topics;
mod transforms;
mod world;
