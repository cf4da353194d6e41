//! The connections of one port: as many as there is room for, and none that waits for a client without end.
//!
//! When all places are taken nobody is accepted: who comes then waits in the system's queue until one is free. A client
//! that sends its request, or takes its answer, too slowly loses its place.

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::ConnectInfo,
};
use hyper::{
    Request,
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, Sleep, sleep, sleep_until},
};

/// Places of a port at most. Each has a task and some kilobytes of buffers: all of them take tens of megabytes.
const MOST_CONNECTIONS: usize = 4_096;
/// Of the files that the process may open, a port's connections take one in this many at most: there are two ports, and
/// segments, streams and the catalog need files too.
const OF_FILES: u64 = 4;
/// Places of a port where the system allows few files: enough for a command, a page and a probe at once.
const LEAST_CONNECTIONS: usize = 16;
/// Until the head of a request is whole, from when it may begin: so long a connection is kept alive without one, and a
/// head of some kilobytes needs a moment only, on any line.
const HEAD: Duration = Duration::from_secs(30);
/// Until a body is whole, beside what [`BODY_PACE`] allows: for its beginning, and for pauses of a line.
const BODY: Duration = Duration::from_secs(30);
/// Bytes of a body that extend its time by a second: far less than the slowest line of a client that loads data.
const BODY_PACE: u64 = 64 << 10;
/// How long an answer may wait for its client to take more of it.
const TAKEN: Duration = Duration::from_secs(60);
/// After an accept that failed for want of files or memory.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);
/// A port that is full says so this often at most.
const SAY_FULL: Duration = Duration::from_secs(60);

/// Bounds of one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How many connections are open at once; more wait.
    pub connections: usize,
    /// How long a connection may be without the head of a request.
    pub head: Duration,
    /// How long a body may take.
    pub body: Duration,
    /// Bytes of a body that extend its time by a second.
    pub body_pace: u64,
    /// How long an answer may wait for its client to take more of it.
    pub taken: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        // No limit is no reason to keep more.
        let share = files.map_or(usize::MAX, |files| usize::try_from(files / OF_FILES).unwrap_or(usize::MAX));
        Self {
            connections: share.clamp(LEAST_CONNECTIONS, MOST_CONNECTIONS),
            head: HEAD,
            body: BODY,
            body_pace: BODY_PACE,
            taken: TAKEN,
        }
    }
}

/// Says to an answer without an end of its own when the process stops.
#[derive(Debug, Clone)]
pub(crate) struct Stopping(pub(crate) watch::Receiver<bool>);

/// Answers on a port until it is told to stop and all requests under way have ended.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut said_full: Option<Instant> = None;
    loop {
        if places.available_permits() == 0 && said_full.is_none_or(|said| said.elapsed() >= SAY_FULL) {
            said_full = Some(Instant::now());
            let connections = limits.connections;
            tracing::warn!(connections, port = ?listener.local_addr().ok(), "a port is full: more clients wait");
        }
        let accepted = tokio::select! {
            biased;
            () = told(&mut stopped) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let connection = connection(stream, peer, router.clone(), limits, stopped.clone(), place);
                tokio::spawn(connection);
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "a connection cannot be accepted");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    // Whoever has a place gives it back in the end: with all of them here nobody is left. Places are never closed.
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _all = places.acquire_many(all).await;
}

/// Returns once it is told to stop; a sender that is gone means the same.
async fn told(stopped: &mut watch::Receiver<bool>) {
    stopped.wait_for(|stop| *stop).await.ok();
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// A client that left before it was accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: ConnectionLimits,
    mut stopped: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    // Answers are small and awaited: nothing is gained by collecting them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let router = TowerToHyperService::new(router);
    let stopping = stopped.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(|body| Body::new(TimedBody::new(body, limits)));
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(Stopping(stopping.clone()));
        router.call(request)
    });
    let io = TokioIo::new(Taken { stream, longest: limits.taken, waiting: None });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended");
    }
}

/// A body came too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly: {received} bytes in {seconds} s; send it faster, or less at once")]
pub(crate) struct SlowBody {
    received: u64,
    seconds: u64,
}

/// A body that has to come in time.
struct TimedBody {
    body: Incoming,
    limits: ConnectionLimits,
    begun: Instant,
    received: u64,
    /// Made when the body is waited for first: most are there with their head.
    until: Option<Pin<Box<Sleep>>>,
}

impl TimedBody {
    fn new(body: Incoming, limits: ConnectionLimits) -> Self {
        Self { body, limits, begun: Instant::now(), received: 0, until: None }
    }

    fn deadline(&self) -> Instant {
        let earned = Duration::from_millis(self.received.saturating_mul(1000) / self.limits.body_pace.max(1));
        self.begun + self.limits.body + earned
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame {
                self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            // Who sends byte by byte never lets us wait long.
            if frame.is_none() || Instant::now() < self.deadline() {
                return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
            }
        } else {
            let deadline = self.deadline();
            let until = self.until.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if until.deadline() != deadline {
                until.as_mut().reset(deadline);
            }
            if until.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        let slow = SlowBody { received: self.received, seconds: self.begun.elapsed().as_secs() };
        Poll::Ready(Some(Err(slow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose reader has to take what is written in time.
struct Taken<S> {
    stream: S,
    longest: Duration,
    /// Until when the reader has to take something, while it is waited for.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    /// What writing gave, or an error where it has waited too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let longest = self.longest;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(longest)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no answer"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.in_time(cx, shut)
    }
}
