//! Time comes from here, so that a whole node runs under simulated time.

use futures::future::BoxFuture;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The only source of time in the house.
pub trait Clock: Send + Sync + 'static {
    /// Wall time, milliseconds since the epoch.
    fn wall_ms(&self) -> i64;
    /// Time since some fixed point; never runs backwards.
    fn monotonic(&self) -> Duration;
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: tokio::time::Instant,
}

impl SystemClock {
    /// A clock that counts from now.
    #[must_use]
    pub fn shared() -> SharedClock {
        Arc::new(Self { origin: tokio::time::Instant::now() })
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The clock of a tokio runtime whose time is paused: wall time moves with the runtime's, from a fixed start.
#[derive(Debug)]
pub struct SimClock {
    origin: tokio::time::Instant,
    wall_start_ms: i64,
}

impl SimClock {
    /// A clock whose wall time is `wall_start_ms` now. Inside a runtime with paused time.
    #[must_use]
    pub fn shared(wall_start_ms: i64) -> SharedClock {
        Arc::new(Self { origin: tokio::time::Instant::now(), wall_start_ms })
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> i64 {
        self.wall_start_ms + i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock whose wall time stands still until it is set, for tests of what age decides.
#[derive(Debug)]
pub struct SetClock(AtomicI64);

impl SetClock {
    /// A clock at that wall time.
    #[must_use]
    pub fn at(wall_ms: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(wall_ms)))
    }

    /// Sets the wall time.
    pub fn set(&self, wall_ms: i64) {
        self.0.store(wall_ms, Ordering::Relaxed);
    }

    /// Lets time pass.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn wall_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
