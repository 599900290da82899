//! Connections: look up, dial, pass a proxy, do TLS.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;
use url::Url;

use crate::credentials::basic;
use crate::error::io_text;
use crate::proxy::{ProxyConfig, ProxyRule};

/// How long the first address family has before the other is tried beside it (RFC 8305, Go's default).
const FAMILY_HEAD_START: Duration = Duration::from_millis(300);
/// A CONNECT answer longer than this is none.
const MAX_CONNECT_ANSWER: usize = 16 << 10;

/// Opens connections for the pool.
#[derive(Clone)]
pub(crate) struct Connector {
    shared: Arc<Shared>,
}

struct Shared {
    tls: TlsConnector,
    /// TLS to a proxy: no HTTP/2, and its own name.
    proxy_tls: TlsConnector,
    server_name: String,
    rule: ProxyRule,
    connect_headers: ProxyConfig,
}

/// Why there is no connection, ready to be shown.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConnectError(pub(crate) String);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An open connection and what the pool must know about it.
pub(crate) struct Link {
    io: TokioIo<Box<dyn Io>>,
    /// Requests name the whole URL, because a proxy reads them.
    forwarded: bool,
    http2: bool,
}

impl Connector {
    pub(crate) fn new(
        tls: rustls::ClientConfig,
        server_name: &str,
        rule: ProxyRule,
        proxy: &ProxyConfig,
    ) -> Connector {
        let mut plain = tls.clone();
        plain.alpn_protocols = vec![b"http/1.1".to_vec()];
        Connector {
            shared: Arc::new(Shared {
                tls: TlsConnector::from(Arc::new(tls)),
                proxy_tls: TlsConnector::from(Arc::new(plain)),
                server_name: server_name.to_owned(),
                rule,
                connect_headers: proxy.clone(),
            }),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Link, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let shared = self.shared.clone();
        Box::pin(async move { shared.connect(&uri).await })
    }
}

impl Shared {
    async fn connect(&self, uri: &Uri) -> Result<Link, ConnectError> {
        let https = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let host = uri.host().unwrap_or("");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let proxy = self.rule.proxy_for(https, host, port);
        let mut io: Box<dyn Io> = match proxy {
            None => Box::new(dial(host, port).await?),
            Some(proxy) => {
                self.dial_proxy(proxy).await.map_err(|e| ConnectError(format!("proxyconnect {e}")))?
            }
        };
        if !https {
            return Ok(Link { io: TokioIo::new(io), forwarded: proxy.is_some(), http2: false });
        }
        if let Some(proxy) = proxy {
            self.tunnel(&mut io, proxy, host, port).await?;
        }
        let name = if self.server_name.is_empty() { host } else { &self.server_name };
        let stream = handshake(&self.tls, name, io).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Link { io: TokioIo::new(Box::new(stream)), forwarded: false, http2 })
    }

    async fn dial_proxy(&self, proxy: &Url) -> Result<Box<dyn Io>, ConnectError> {
        let host = proxy.host_str().unwrap_or("");
        let port = proxy.port_or_known_default().unwrap_or(80);
        let tcp = dial(host, port).await?;
        match proxy.scheme() {
            "http" => Ok(Box::new(tcp)),
            "https" => Ok(Box::new(handshake(&self.proxy_tls, host, tcp).await?)),
            other => Err(ConnectError(format!("unsupported proxy scheme {other:?}: use http or https"))),
        }
    }

    /// Asks the proxy for a tunnel to the server.
    async fn tunnel(
        &self,
        io: &mut Box<dyn Io>,
        proxy: &Url,
        host: &str,
        port: u16,
    ) -> Result<(), ConnectError> {
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if !proxy.username().is_empty() {
            request.push_str(&format!("Proxy-Authorization: {}\r\n", proxy_credentials(proxy)));
        }
        for (name, values) in &self.connect_headers.connect_headers {
            for value in values {
                request.push_str(&format!("{name}: {}\r\n", value.expose().replace(['\r', '\n'], " ")));
            }
        }
        request.push_str("\r\n");
        let broken = |error: io::Error| ConnectError(format!("proxyconnect tcp: {}", io_text(&error)));
        io.write_all(request.as_bytes()).await.map_err(broken)?;
        io.flush().await.map_err(broken)?;
        // Byte by byte: what follows the blank line belongs to the server's TLS.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() > MAX_CONNECT_ANSWER {
                return Err(ConnectError("proxyconnect tcp: the proxy's answer is too long".to_owned()));
            }
            answer.push(io.read_u8().await.map_err(broken)?);
        }
        let head = String::from_utf8_lossy(&answer);
        let status = head.lines().next().unwrap_or("").split_once(' ').map_or("", |(_, status)| status);
        if status.starts_with('2') {
            Ok(())
        } else {
            Err(ConnectError(status.split_once(' ').map_or(status, |(_, text)| text).to_owned()))
        }
    }
}

/// What a proxy's URL says about who we are.
pub(crate) fn proxy_credentials(proxy: &Url) -> String {
    let plain = |text: &str| {
        url::form_urlencoded::parse(text.replace('+', "%2B").as_bytes())
            .next()
            .map_or_else(String::new, |(key, _)| key.into_owned())
    };
    basic(&plain(proxy.username()), &plain(proxy.password().unwrap_or("")))
}

/// Opens a TCP connection to the first address that takes it; of two address families the second starts a
/// little later.
async fn dial(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let host = host.trim_matches(['[', ']']);
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> = match found {
        Ok(addresses) => addresses.collect(),
        // The resolver's own words differ per system.
        Err(_) => return Err(ConnectError(format!("dial tcp: lookup {host}: no such host"))),
    };
    let Some(first) = addresses.first() else {
        return Err(ConnectError(format!("dial tcp: lookup {host}: no such host")));
    };
    let (primary, fallback): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|a| a.is_ipv4() == first.is_ipv4());
    if fallback.is_empty() {
        return dial_each(primary).await;
    }
    let early = dial_each(primary);
    tokio::pin!(early);
    let early_failure = match tokio::time::timeout(FAMILY_HEAD_START, &mut early).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => Some(error),
        Err(_) => None,
    };
    let late = dial_each(fallback);
    if let Some(error) = early_failure {
        return late.await.map_err(|_| error);
    }
    tokio::pin!(late);
    tokio::select! {
        result = &mut early => match result { Ok(stream) => Ok(stream), Err(error) => late.await.map_err(|_| error) },
        result = &mut late => match result { Ok(stream) => Ok(stream), Err(_) => early.await },
    }
}

async fn dial_each(addresses: Vec<SocketAddr>) -> Result<TcpStream, ConnectError> {
    let mut failure = ConnectError("dial tcp: no address".to_owned());
    for (i, address) in addresses.iter().enumerate() {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Requests are small and whole: waiting to fill a segment only adds latency.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) if i == 0 => {
                failure = ConnectError(format!("dial tcp {address}: connect: {}", io_text(&error)))
            }
            Err(_) => {}
        }
    }
    Err(failure)
}

async fn handshake<S: AsyncRead + AsyncWrite + Send + Unpin>(
    tls: &TlsConnector,
    name: &str,
    io: S,
) -> Result<tokio_rustls::client::TlsStream<S>, ConnectError> {
    let server = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
        .map_err(|_| ConnectError(format!("tls: {name:?} is not a server name")))?;
    tls.connect(server, io).await.map_err(|error| ConnectError(tls_reason(&error, name)))
}

/// The commonest TLS failures in Go's words.
pub(crate) fn tls_reason(error: &io::Error, name: &str) -> String {
    use rustls::{CertificateError as Bad, Error, InvalidMessage};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(bad)) => {
            let reason = match bad {
                // Another authority of the same name gives a bad signature.
                Bad::UnknownIssuer | Bad::BadSignature => {
                    "certificate signed by unknown authority".to_owned()
                }
                Bad::Expired
                | Bad::ExpiredContext { .. }
                | Bad::NotValidYet
                | Bad::NotValidYetContext { .. } => "certificate has expired or is not yet valid".to_owned(),
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                    format!(
                        "certificate is not valid for {name}: set tls_config.server_name to a name it has"
                    )
                }
                other => format!("{other:?}"),
            };
            format!("tls: failed to verify certificate: x509: {reason}")
        }
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        Some(Error::AlertReceived(alert)) => format!("remote error: tls: {}", spaced(&format!("{alert:?}"))),
        Some(other) => format!("tls: {other}"),
        None => io_text(error),
    }
}

/// `CertificateRequired` as `certificate required`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.forwarded);
        if self.http2 { connected.negotiated_h2() } else { connected }
    }
}

impl hyper::rt::Read for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
