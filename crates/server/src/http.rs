//! A listening face: connections are limited, guarded and perhaps encrypted, slow clients are timed out,
//! shutdown lets requests finish.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::web_config::WebGuard;

/// Limits of a face.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at one time; more wait in the kernel's queue.
    pub connections: usize,
    /// How long a request's head may take to arrive.
    pub read_timeout: Duration,
}

/// How long a TLS handshake may take, unless the limits say less.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long requests may take to finish at shutdown.
const GRACE: Duration = Duration::from_secs(10);

/// Opens the port of a face.
///
/// # Errors
/// The system's reason with the face and the address in front.
pub async fn listen(face: &str, address: &str) -> io::Result<TcpListener> {
    // `:9090` means every address, as Go programs take it.
    let address = if address.starts_with(':') { format!("[::]{address}") } else { address.to_owned() };
    TcpListener::bind(&address).await.map_err(|error| {
        let flag = match error.kind() {
            // `novaobs prometheus` has the peer's name for it.
            io::ErrorKind::AddrInUse if face == "prometheus" => {
                "; stop what listens there or move it with --prometheus.listen or --web.listen-address"
                    .to_owned()
            }
            io::ErrorKind::AddrInUse => format!("; stop what listens there or move it with --{face}.listen"),
            _ => String::new(),
        };
        io::Error::new(error.kind(), format!("{face}: listen on {address}: {error}{flag}"))
    })
}

/// Serves `router` until `stop`, then lets running requests finish for a while. `guard` decides for each
/// connection whether it is encrypted, and for each request whether it may come in.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    guard: Option<WebGuard>,
    limits: Limits,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.read_timeout);
    builder.http2().timer(TokioTimer::new());
    let router = guard.as_ref().map_or_else(|| router.clone(), |guard| guard.protect(router.clone()));
    let door = Door { builder, router, guard, handshake: limits.read_timeout.min(HANDSHAKE) };
    loop {
        let accept = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accept => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: waiting lets other connections end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connection = door.clone().connection(stream, peer, connections.watcher(), stop.clone());
        tokio::spawn(async move {
            connection.await;
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, connections.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time and are cut off");
    }
}

/// What every connection of a face goes through.
#[derive(Clone)]
struct Door {
    builder: auto::Builder<TokioExecutor>,
    router: Router,
    guard: Option<WebGuard>,
    handshake: Duration,
}

impl Door {
    /// Serves one connection to its end.
    async fn connection(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
        stop: CancellationToken,
    ) {
        let _ = stream.set_nodelay(true);
        let Some(guard) = self.guard.clone() else { return self.requests(stream, peer, watcher).await };
        // Files are read, which may block.
        let tls = match tokio::task::spawn_blocking(move || guard.tls()).await {
            Ok(Ok(None)) => return self.requests(stream, peer, watcher).await,
            Ok(Ok(Some(tls))) => tls,
            Ok(Err(error)) => {
                tracing::error!(%error, "a connection is closed: unable to use the web configuration");
                return;
            }
            // The runtime is going down.
            Err(_) => return,
        };
        let handshake = tokio::time::timeout(self.handshake, encrypt(TlsAcceptor::from(tls), stream));
        let encrypted = tokio::select! {
            encrypted = handshake => encrypted,
            () = stop.cancelled() => return,
        };
        match encrypted {
            Ok(Ok(stream)) => self.requests(stream, peer, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, %peer, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        }
    }

    /// Answers the requests of a connection that may be encrypted.
    async fn requests<S>(self, stream: S, peer: SocketAddr, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service =
            self.router.map_request(move |mut request: axum::http::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(ConnectInfo(peer));
                request.map(axum::body::Body::new)
            });
        let connection = self
            .builder
            .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
        if let Err(error) = watcher.watch(connection.into_owned()).await {
            tracing::debug!(%error, "connection ended early");
        }
    }
}

/// The answer of Go's server to who speaks plain HTTP where TLS is spoken.
const NOT_HTTPS: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

async fn encrypt(acceptor: TlsAcceptor, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut start = [0; 5];
    stream.peek(&mut start).await?;
    if matches!(&start, b"GET /" | b"HEAD " | b"POST " | b"PUT /" | b"OPTIO") {
        // Closing while bytes are unread would take the answer back.
        let _ = stream.read(&mut [0; 4096]).await?;
        stream.write_all(NOT_HTTPS).await?;
        stream.shutdown().await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the client speaks plain HTTP"));
    }
    acceptor.accept(stream).await
}
