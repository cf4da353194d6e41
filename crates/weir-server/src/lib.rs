//! The process: one node with all roles, its REST surface in Pinot's shapes, and the command line.
//!
//! `serve.rs` starts everything; `connections.rs` bounds what clients may take; `node/` is the only place that calls the
//! lower floors; `rest/` has one module per resource; `pinot_json/` writes the response shapes; `console/` has the pages
//! that the controller shows in a browser; `cli/` has one module per command; `parts.rs` takes what a binary adds of its own.

pub mod cli;
pub mod client;
mod connections;
mod console;
pub mod node;
pub mod parts;
pub mod pinot_json;
pub mod rest;
mod serve;
pub mod system;

pub use connections::ConnectionLimits;
pub use node::{Node, NodeSettings};
pub use serve::{Server, StartError};
