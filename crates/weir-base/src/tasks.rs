//! Tasks have names; one that panics says so.

use futures::FutureExt;
use std::{any::Any, future::Future, panic::AssertUnwindSafe};
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

/// Gives the calling thread, for good, less of the processor than others where there is too little for all. `niceness` is
/// that of Unix: each step is about a tenth.
pub fn yield_to_others(niceness: i32) {
    // A refusal changes speed only.
    if let Err(error) = rustix::process::nice(niceness) {
        tracing::debug!(%error, "a thread keeps its priority");
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
    fn a_panic_says_its_text() {
        let number = 3;
        let formatted = std::panic::catch_unwind(|| panic!("number {number}")).unwrap_err();
        assert_eq!((said(&*formatted), said(&"plain"), said(&7)), ("number 3", "plain", "no text"));
    }
}
