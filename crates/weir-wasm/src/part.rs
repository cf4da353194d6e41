//! A component and its instances: what a call may take of time and memory, and why it ended where it took more.
//!
//! What becomes of a message must follow from the message, for it is read again after a restart, by another replica, or
//! beside others. So time is counted in instructions (wasmtime's fuel, which counts the bytes of copies too), the same at
//! each reading, and not by a clock; and a call that fails is made again in a new instance before it counts.

use crate::outside;
use std::sync::Arc;
use wasmtime::{
    Config, Engine, ResourceLimiter, Store, Trap,
    component::{Component, Linker},
};

/// Memory of one instance: enough for messages of some MiB and what is made of them, little enough that a hundred partitions
/// fit into a machine.
pub(crate) const MEMORY: usize = 64 << 20;
/// Entries of all tables of one instance: those of a part have some hundreds.
const TABLE: usize = 100_000;
/// Instructions of one call, whatever it is given: about a tenth of a second.
pub(crate) const INSTRUCTIONS: u64 = 100_000_000;
/// Instructions for each byte that it is given: parsers take ten to two hundred.
pub(crate) const INSTRUCTIONS_PER_BYTE: u64 = 1000;
/// Bytes of what a part writes to its standard error that are kept: the message of a panic.
pub(crate) const SAID: usize = 1000;

/// What an instance has of its own.
#[derive(Debug, Default)]
pub(crate) struct Inside {
    /// What it wrote to its standard error.
    pub(crate) said: Vec<u8>,
    /// It asked for more memory than it may have.
    over: bool,
}

impl ResourceLimiter for Inside {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.over |= desired > MEMORY;
        // A part that could go on without would give another outcome in an instance that has less in it already.
        if self.over { Err(wasmtime::Error::msg("too much memory")) } else { Ok(true) }
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.over |= desired > TABLE;
        if self.over { Err(wasmtime::Error::msg("too large a table")) } else { Ok(true) }
    }

    fn memories(&self) -> usize {
        1
    }
}

/// The engine of a process.
pub(crate) fn engine() -> Result<Engine, String> {
    let mut config = Config::new();
    config.consume_fuel(true);
    // What differs between processors would make outcomes differ.
    config.wasm_relaxed_simd(false).cranelift_nan_canonicalization(true);
    Engine::new(&config).map_err(|error| format!("WebAssembly cannot be run here: {error:#}"))
}

/// A component that was read, compiled, and given all that it finds around it.
#[derive(Clone)]
pub(crate) struct Part {
    /// The name of its file, without the ending.
    pub(crate) name: Arc<str>,
    pub(crate) component: Component,
    pub(crate) linker: Arc<Linker<Inside>>,
}

impl Part {
    /// Compiles a component.
    pub(crate) fn new(engine: &Engine, name: &str, bytes: &[u8]) -> Result<Self, String> {
        if is_module(bytes) {
            return Err(
                "it is a core module, not a component: build it for wasm32-wasip2, or make a component of it with \
                        `wasm-tools component new`"
                    .to_owned(),
            );
        }
        if !bytes.starts_with(b"\0asm") {
            return Err("it is no component: a file of WebAssembly begins with other bytes".to_owned());
        }
        let component = Component::new(engine, bytes).map_err(|error| {
            let told = format!("{error:#}");
            format!("it is no component: {}", told.split_whitespace().collect::<Vec<_>>().join(" "))
        })?;
        let linker = outside::linker(engine, &component).map_err(|error| format!("{error:#}"))?;
        Ok(Self { name: name.into(), component, linker: Arc::new(linker) })
    }

    /// Where a new instance is to live.
    pub(crate) fn store(&self) -> Store<Inside> {
        let mut store = Store::new(self.component.engine(), Inside::default());
        store.limiter(|inside| inside);
        store
    }

    /// Why a call failed: the component, and the bound that it met or what it says.
    pub(crate) fn why(&self, store: &Store<Inside>, error: &wasmtime::Error, bytes: usize) -> String {
        let inside = store.data();
        let why = match error.downcast_ref::<Trap>() {
            _ if inside.over => format!("takes more than {} MiB of memory", MEMORY >> 20),
            Some(Trap::OutOfFuel) => format!("takes more than {} million instructions", allowed(bytes) / 1_000_000),
            Some(Trap::UnreachableCodeReached) => match said(&inside.said) {
                nothing if nothing.is_empty() => "gave up".to_owned(),
                said => format!("gave up: {said}"),
            },
            Some(trap) => format!("failed: {trap}"),
            None => format!("failed: {}", error.root_cause()),
        };
        format!("component '{}' {why}", self.name)
    }
}

/// What a part wrote before it gave up, in one line; of a panic in Rust what went wrong where.
fn said(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter(|line| !line.starts_with("note: ")).map(|line| match line.find("panicked at ") {
        Some(start) => &line[start..],
        None => line,
    });
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// Whether the bytes begin as those of a core module do.
fn is_module(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x01\0\0\0")
}

/// Instructions of a call that is given this many bytes.
fn allowed(bytes: usize) -> u64 {
    INSTRUCTIONS.saturating_add(INSTRUCTIONS_PER_BYTE.saturating_mul(bytes as u64))
}

/// Allows a call what it may take.
pub(crate) fn allow(store: &mut Store<Inside>, bytes: usize) {
    store.set_fuel(allowed(bytes)).expect("the engine counts instructions");
    // Bytes that one call of either side hands over are copied on ours.
    store.set_hostcall_fuel(MEMORY);
    store.data_mut().said.clear();
}
