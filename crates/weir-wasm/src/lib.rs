//! Decoders and functions that are WebAssembly components: loaded by name when a node starts, bounded in time and memory, with
//! nothing of the machine at hand. A bad one costs the message that it is bad at.
//!
//! `part.rs` makes instances and bounds them, `outside.rs` is all that a part finds around it, `decoder.rs` and `function.rs`
//! are the two worlds of `wit/weir.wit`, `cells.rs` looks into the columns that cross the border, `folder.rs` loads them.

mod cells;
mod decoder;
mod folder;
mod function;
mod outside;
mod part;

pub use folder::{Loaded, load};

/// The two worlds, as `weir.wit` draws them.
mod world {
    pub(crate) mod decoder {
        wasmtime::component::bindgen!({ path: "wit", world: "decoder-part" });
    }

    pub(crate) mod function {
        wasmtime::component::bindgen!({
            path: "wit",
            world: "function-part",
            with: { "weir:parts/values": crate::world::decoder::weir::parts::values },
        });
    }

    pub(crate) use decoder::weir::parts::values::{Blobs, Cells, Column, Texts};
}
