//! A listening face: connections are limited, slow clients are timed out, shutdown lets requests finish.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Limits of a face.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at one time; more wait in the kernel's queue.
    pub connections: usize,
    /// How long a request's head may take to arrive.
    pub read_timeout: Duration,
}

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
        let flag = if error.kind() == io::ErrorKind::AddrInUse {
            format!("; stop what listens there or move it with --{face}.listen")
        } else {
            String::new()
        };
        io::Error::new(error.kind(), format!("{face}: listen on {address}: {error}{flag}"))
    })
}

/// Serves `router` until `stop`, then lets running requests finish for a while.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.read_timeout);
    builder.http2().timer(TokioTimer::new());
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
        let connection = connection(&builder, stream, peer, router.clone(), &connections);
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

/// The future that serves one connection to its end.
fn connection(
    builder: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    connections: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    let _ = stream.set_nodelay(true);
    let service = router.map_request(move |mut request: axum::http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(axum::body::Body::new)
    });
    let connection =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    let watched = connections.watch(connection.into_owned());
    async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "connection ended early");
        }
    }
}
