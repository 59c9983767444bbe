//! Sockets: takes connections, hands their requests to the router, and gets rid of clients that hold them up.
//!
//! **Rule:** nothing a client does or leaves undone may hold memory or a socket for longer than a limit here says.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::guard;

/// How much a connection may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once; one more is answered 503 and closed.
    pub connections: usize,
    /// For all headers of a request, and for a connection without a request.
    pub header_timeout: Duration,
    /// For a client that takes nothing of what waits for it, or less than [`SLOWEST`] of an answer. Quiet event streams
    /// and sockets do not count.
    pub write_timeout: Duration,
    /// Bytes of the request line and all headers. More of either is answered 431 without a body; the guard refuses less
    /// than that with one.
    pub header_bytes: usize,
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 4096,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            header_bytes: 2 * guard::MOST_HEADER_BYTES,
            headers: 2 * guard::MOST_HEADERS,
        }
    }
}

/// Says when to stop: `stop` takes no more connections and ends each after the request at work; `abort` cuts them.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    pub stop: CancellationToken,
    pub abort: CancellationToken,
}

/// Bytes a second that a client must take of an answer, on average over `write_timeout`.
const SLOWEST: f64 = 1024.0;

const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Answers connections until told to stop, then until the last one has ended.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: Stop) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    // One address may have half, so that it cannot keep all others out.
    let each = (limits.connections / 2).max(1);
    let by_address: ByAddress = Arc::default();
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors or memory, or a client that left: the next one may get through.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
                {
                    tracing::warn!(%error, "could not take a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            tokio::spawn(refuse(stream));
            continue;
        };
        let Some(place) = Place::take(&by_address, peer.ip(), each) else {
            tokio::spawn(refuse(stream));
            continue;
        };
        let (router, limits, stop) = (router.clone(), limits.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = connection(stream, peer, router, &limits, &stop) => {}
                () = stop.abort.cancelled() => {}
            }
            drop((permit, place));
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

type ByAddress = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One of the connections that an address may have.
struct Place {
    by_address: ByAddress,
    address: IpAddr,
}

impl Place {
    fn take(by_address: &ByAddress, address: IpAddr, most: usize) -> Option<Place> {
        let address = guard::network(address.to_canonical());
        let mut all = by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let open = all.entry(address).or_default();
        if *open >= most {
            return None;
        }
        *open += 1;
        Some(Place { by_address: by_address.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = all.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                all.remove(&self.address);
            }
        }
    }
}

async fn refuse(mut stream: TcpStream) {
    // The answer fits into any socket buffer, so this waits for nobody.
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(FULL)).await;
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, limits: &Limits, stop: &Stop) {
    // Events are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let answering = Arc::new(Answering::default());
    let shared = answering.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (router, answering) = (router.clone(), shared.clone());
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = router.oneshot(request).await;
            if let Ok(answer) = &answer {
                answering.slow.store(is_stream(answer), Ordering::Relaxed);
                let upgraded = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
                answering.upgraded.store(upgraded, Ordering::Relaxed);
            }
            answer
        }
    });
    let io = TokioIo::new(Patient::new(stream, limits.write_timeout, answering));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.headers)
        .max_header_size(limits.header_bytes)
        // Also how much of a body waits in memory.
        .max_buf_size(limits.header_bytes.max(64 * 1024))
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "connection ended");
    }
}

/// Whether an answer comes as slowly as things happen.
fn is_stream(answer: &Response) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    answer.status() == StatusCode::SWITCHING_PROTOCOLS || kind.starts_with(b"text/event-stream")
}

/// What a connection is used for.
#[derive(Default)]
struct Answering {
    /// An answer that comes as slowly as things happen: any progress is enough.
    slow: AtomicBool,
    /// HTTP has ended; whoever has the connection now drops it without closing it.
    upgraded: AtomicBool,
}

/// A stream that fails when the peer takes too little for a while, and that reads what the peer still sends after the
/// last answer: closing at once would reset the connection, and the peer would never see a refusal of its upload.
struct Patient {
    /// `None` while it is dropped.
    stream: Option<TcpStream>,
    write_timeout: Duration,
    answering: Arc<Answering>,
    /// Bytes written so far.
    written: u64,
    /// Since the peer kept something waiting: the end of the time it has, and what was written before.
    waiting: Option<(Pin<Box<Sleep>>, u64)>,
    closing: Option<Pin<Box<Sleep>>>,
}

/// How long a peer may go on sending after the last answer.
const LINGER: Duration = Duration::from_secs(2);

impl Patient {
    fn new(stream: TcpStream, write_timeout: Duration, answering: Arc<Answering>) -> Patient {
        Patient { stream: Some(stream), write_timeout, answering, written: 0, waiting: None, closing: None }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("taken by its drop alone"))
    }

    fn is_slow(&self) -> bool {
        self.answering.slow.load(Ordering::Relaxed)
    }

    fn watch(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = result {
            if let Ok(bytes) = &result {
                self.written += *bytes as u64;
            }
            if self.is_slow() {
                self.waiting = None;
            }
            return Poll::Ready(result);
        }
        loop {
            let (timeout, written, slow) = (self.write_timeout, self.written, self.is_slow());
            let start = || (Box::pin(tokio::time::sleep(timeout)), written);
            let (end, before) = self.waiting.get_or_insert_with(start);
            ready!(end.as_mut().poll(context));
            let least = (SLOWEST * timeout.as_secs_f64()) as u64;
            if slow || written - *before < least.max(1) {
                let error =
                    io::Error::new(io::ErrorKind::TimedOut, "the client takes too little of its answer");
                return Poll::Ready(Err(error));
            }
            self.waiting = None;
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = self.stream().poll_write(context, bytes);
        self.watch(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.stream().poll_write_vectored(context, bytes);
        self.watch(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Everything that waited has gone.
        self.waiting = None;
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(self.stream().poll_shutdown(context))?;
            self.closing = Some(Box::pin(tokio::time::sleep_until(Instant::now() + LINGER)));
        }
        let mut scrap = [std::mem::MaybeUninit::uninit(); 16 * 1024];
        // A few rounds a turn, so that a fast sender does not keep the thread.
        for _ in 0..16 {
            let sleep = self.closing.as_mut().expect("set above");
            if sleep.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::uninit(&mut scrap);
            match ready!(self.stream().poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Patient {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        // Whoever took over says goodbye in its own protocol, which a reset would take back.
        if self.answering.upgraded.load(Ordering::Relaxed)
            && self.closing.is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(tokio::time::timeout(LINGER, read_on(stream)));
        }
    }
}

/// Sends no more, and reads until the peer does the same.
async fn read_on(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut scrap = vec![0; 16 * 1024];
    while stream.read(&mut scrap).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests;
