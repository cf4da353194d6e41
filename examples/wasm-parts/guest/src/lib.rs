//! What a part of Weir that is a WebAssembly component is written with: rows go in value by value, and leave in the columns
//! of `weir:parts`, many messages at a time.

mod cells;
mod decoder;
mod function;

pub use cells::Value;
pub use decoder::{Decoder, Rows, State};
pub use function::{Argument, DataType, Function, Gives, Made};

/// What is made of `weir.wit`, for parts that do without the rest of this crate.
pub mod bindings {
    /// The world of a decoder.
    pub mod decoder {
        wit_bindgen::generate!({
            world: "decoder-part",
            path: "../../../crates/weir-wasm/wit",
            pub_export_macro: true,
            export_macro_name: "export_decoder",
            default_bindings_module: "weir_guest::bindings::decoder",
        });
    }

    /// The world of functions.
    pub mod function {
        wit_bindgen::generate!({
            world: "function-part",
            path: "../../../crates/weir-wasm/wit",
            pub_export_macro: true,
            export_macro_name: "export_functions",
            default_bindings_module: "weir_guest::bindings::function",
            with: { "weir:parts/values@0.1.0": crate::bindings::decoder::weir::parts::values },
        });
    }
}
