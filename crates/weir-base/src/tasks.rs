//! Tasks have names; one that panics says so. Heavy work has threads of its own.

use futures::{FutureExt, future::BoxFuture};
use std::{any::Any, cell::Cell, future::Future, panic::AssertUnwindSafe, sync::Once};
use tokio::task::JoinHandle;

/// Spawns a task on the current runtime; its panic is logged with its name.
pub fn spawn_named(name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let name = name.into();
    tokio::spawn(async move {
        if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
            tracing::error!(task = name, panic = said(&*panic), "a task panicked");
        }
    })
}

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Calls a library that may panic on bad bytes: a panic is an error with its text, and nothing is written about it, for
/// whoever sends the bytes must not be able to fill the log.
///
/// # Errors
/// It panicked.
pub fn may_panic<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !EXPECTED.get() {
                told(panic);
            }
        }));
    });
    let before = EXPECTED.replace(true);
    let called = std::panic::catch_unwind(AssertUnwindSafe(call));
    EXPECTED.set(before);
    called.map_err(|panic| said(&*panic).to_owned())
}

/// Gives the calling thread, for good, less of the processor than others where there is too little for all. `niceness` is
/// that of Unix: each step is about a tenth.
pub fn yield_to_others(niceness: i32) {
    // A refusal changes speed only.
    if let Err(error) = rustix::process::nice(niceness) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

/// Where heavy work (building a segment, checking a file) is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeavyWork {
    /// On threads of their own.
    Threads,
    /// On the caller's thread: for simulation, where threads would bring chance.
    Inline,
}

/// What work that nobody waits for gives way by.
const LOW_NICENESS: i32 = 10;

impl HeavyWork {
    /// Runs `work` to its end, at lower priority: it must not take cycles from consuming and from queries.
    pub fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> BoxFuture<'static, T> {
        self.run_at(LOW_NICENESS, work)
    }

    /// Runs `work` to its end at the priority of all else: somebody waits for it.
    pub fn run_soon<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> BoxFuture<'static, T> {
        self.run_at(0, work)
    }

    fn run_at<T: Send + 'static>(
        self,
        niceness: i32,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> BoxFuture<'static, T> {
        match self {
            Self::Inline => Box::pin(async move { work() }),
            Self::Threads => Box::pin(async move {
                let (done, ended) = tokio::sync::oneshot::channel();
                let thread = std::thread::Builder::new().name("weir-heavy".into()).spawn(move || {
                    if niceness > 0 {
                        // The thread ends with its work.
                        yield_to_others(niceness);
                    }
                    // Nobody waits any more when the process is ending; the result is then not needed.
                    drop(done.send(work()));
                });
                let thread = thread.expect("a thread can be started: each kind of heavy work takes turns");
                match ended.await {
                    Ok(value) => value,
                    Err(_) => match thread.join() {
                        Err(panic) => std::panic::resume_unwind(panic),
                        Ok(()) => unreachable!("the thread sends before it ends"),
                    },
                }
            }),
        }
    }
}

/// The text of a panic.
#[must_use]
pub fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_task_and_nothing_else() {
        spawn_named("falls", async { panic!("on purpose") }).await.unwrap();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        spawn_named("works", async { sender.send(7).unwrap() }).await.unwrap();
        assert_eq!(receiver.await.unwrap(), 7);
    }

    #[test]
    fn a_panic_that_may_be_is_an_error() {
        assert_eq!(may_panic(|| 7), Ok(7));
        let nested = may_panic(|| (may_panic::<()>(|| panic!("inner")), EXPECTED.get()));
        assert_eq!(nested, Ok((Err("inner".to_owned()), true)));
        assert!(!EXPECTED.get(), "those that come after it are told of");
    }

    #[test]
    fn a_panic_says_its_text() {
        let number = 3;
        let formatted = std::panic::catch_unwind(|| panic!("number {number}")).unwrap_err();
        assert_eq!((said(&*formatted), said(&"plain"), said(&7)), ("number 3", "plain", "no text"));
    }
}
