//! What a part finds around it: an empty environment, a standard error whose beginning is kept, numbers that are always the
//! same where it asks for chance. No files, no network, no clock: a call of those ends the call that made it, and says so.
//!
//! The names are WASI's, of any version 0.2: a component that was built with a standard library imports them.

use crate::part::{Inside, SAID};
use wasmtime::{
    Engine, StoreContextMut,
    component::{
        Component, ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType, types::ComponentItem,
    },
};

/// Any resource of WASI's: there is nothing in them.
struct Handle;

/// Why a stream cannot be written.
#[derive(ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "writing never fails, its type is WASI's")]
enum StreamError {
    #[component(name = "last-operation-failed")]
    Failed(Resource<Handle>),
    #[component(name = "closed")]
    Closed,
}

/// Bytes that a stream takes at once.
const AT_ONCE: u64 = 64 << 10;
/// The standard error, among streams.
const ERRORS: u32 = 2;
/// Most bytes of chance that are given at once: a call of these is not counted by its length.
const CHANCE: u64 = 4 << 10;

/// All that a component imports.
pub(crate) fn linker(engine: &Engine, component: &Component) -> wasmtime::Result<Linker<Inside>> {
    let mut linker = Linker::new(engine);
    for (name, import) in component.component_type().imports(engine) {
        match import.ty {
            ComponentItem::ComponentInstance(instance) => {
                let mut place = linker.instance(name)?;
                for (item, export) in instance.exports(engine) {
                    define(&mut place, name, item, &export.ty)?;
                }
            }
            ComponentItem::Type(_) => {}
            _ => define(&mut linker.root(), "", name, &import.ty)?,
        }
    }
    Ok(linker)
}

fn define(place: &mut LinkerInstance<'_, Inside>, of: &str, item: &str, ty: &ComponentItem) -> wasmtime::Result<()> {
    match ty {
        ComponentItem::Resource(_) => place.resource(item, ResourceType::host::<Handle>(), |_, _| Ok(())),
        ComponentItem::ComponentFunc(_) => function(place, of, item),
        _ => Ok(()),
    }
}

type Inner<'a> = StoreContextMut<'a, Inside>;

fn own(handle: u32) -> Resource<Handle> {
    Resource::new_own(handle)
}

fn function(place: &mut LinkerInstance<'_, Inside>, of: &str, item: &str) -> wasmtime::Result<()> {
    let interface = of.split('@').next().unwrap_or_default();
    match (interface, item) {
        ("wasi:cli/environment", "get-environment") => {
            place.func_wrap(item, |_: Inner<'_>, (): ()| Ok((Vec::<(String, String)>::new(),)))
        }
        ("wasi:cli/environment", "get-arguments") => {
            place.func_wrap(item, |_: Inner<'_>, (): ()| Ok((Vec::<String>::new(),)))
        }
        ("wasi:cli/environment", "initial-cwd") => place.func_wrap(item, |_: Inner<'_>, (): ()| Ok((None::<String>,))),
        ("wasi:cli/stdin", "get-stdin") => place.func_wrap(item, |_: Inner<'_>, (): ()| Ok((own(0),))),
        ("wasi:cli/stdout", "get-stdout") => place.func_wrap(item, |_: Inner<'_>, (): ()| Ok((own(1),))),
        ("wasi:cli/stderr", "get-stderr") => place.func_wrap(item, |_: Inner<'_>, (): ()| Ok((own(ERRORS),))),
        ("wasi:cli/terminal-stdin", _) | ("wasi:cli/terminal-stdout", _) | ("wasi:cli/terminal-stderr", _) => {
            place.func_wrap(item, |_: Inner<'_>, (): ()| Ok((None::<Resource<Handle>>,)))
        }
        ("wasi:io/streams", "[method]output-stream.check-write") => {
            place.func_wrap(item, |_: Inner<'_>, _: (Resource<Handle>,)| Ok((Ok::<u64, StreamError>(AT_ONCE),)))
        }
        ("wasi:io/streams", "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush") => place
            .func_wrap(item, |mut inner: Inner<'_>, (stream, bytes): (Resource<Handle>, Vec<u8>)| {
                if stream.rep() == ERRORS {
                    let said = &mut inner.data_mut().said;
                    let room = SAID.saturating_sub(said.len()).min(bytes.len());
                    said.extend_from_slice(&bytes[..room]);
                }
                Ok((Ok::<(), StreamError>(()),))
            }),
        ("wasi:io/streams", "[method]output-stream.flush" | "[method]output-stream.blocking-flush") => {
            place.func_wrap(item, |_: Inner<'_>, _: (Resource<Handle>,)| Ok((Ok::<(), StreamError>(()),)))
        }
        ("wasi:io/streams", "[method]output-stream.subscribe") => {
            place.func_wrap(item, |_: Inner<'_>, _: (Resource<Handle>,)| Ok((own(0),)))
        }
        ("wasi:io/poll", "[method]pollable.block") => {
            place.func_wrap(item, |_: Inner<'_>, _: (Resource<Handle>,)| Ok(()))
        }
        ("wasi:random/random" | "wasi:random/insecure", "get-random-bytes" | "get-insecure-random-bytes") => {
            place.func_wrap(item, |_: Inner<'_>, (count,): (u64,)| {
                // More is an error of the part's.
                if count > CHANCE {
                    return Err(wasmtime::Error::msg(format!("it asks for {count} random bytes")));
                }
                Ok((vec![0_u8; count as usize],))
            })
        }
        ("wasi:random/random" | "wasi:random/insecure", "get-random-u64" | "get-insecure-random-u64") => {
            place.func_wrap(item, |_: Inner<'_>, (): ()| Ok((0_u64,)))
        }
        // Where tables of the standard library begin: always at the same place.
        ("wasi:random/insecure-seed", _) => place.func_wrap(item, |_: Inner<'_>, (): ()| Ok(((0_u64, 0_u64),))),
        _ => {
            let called = if of.is_empty() { item.to_owned() } else { format!("{of} {item}") };
            place.func_new(item, move |_, _, _, _| {
                Err(wasmtime::Error::msg(format!("it calls {called}, which a part cannot have")))
            })
        }
    }
}
