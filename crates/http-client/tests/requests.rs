//! The client against servers in this process: credentials, redirects, TLS, proxies, deadlines.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking, in its helpers too

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use novaobs_config::{Document, UnknownKeys};
use novaobs_http_client::{HttpClient, HttpConfig, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

fn config(text: &str) -> HttpConfig {
    Document::parse("c.yml", text).unwrap().read(UnknownKeys::Refuse, HttpConfig::read).unwrap().value
}

fn client(text: &str) -> HttpClient {
    HttpClient::new(&config(text)).unwrap()
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Answers with what it was asked: method, path and the headers that matter here.
async fn echo(method: axum::http::Method, uri: Uri, headers: HeaderMap, body: String) -> String {
    let shown = ["authorization", "x-static", "cookie", "proxy-authorization"];
    let headers: Vec<String> = shown
        .iter()
        .flat_map(|name| {
            headers.get_all(*name).iter().map(move |v| format!(" {name}={}", v.to_str().unwrap()))
        })
        .collect();
    format!("{method} {uri}{} {body}", headers.concat()).trim_end().to_owned()
}

async fn ask(client: &HttpClient, url: &str) -> String {
    match client.send(Request::get(url.parse().unwrap())).await {
        Ok(response) => {
            let status = response.status().as_u16();
            let body = response.bytes(1 << 20).await.unwrap();
            format!("{status} {}", String::from_utf8_lossy(&body))
        }
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn sends_credentials_and_reads_files_again() {
    let at = serve(Router::new().fallback(any(echo))).await;
    let url = format!("http://{at}/x?y=1");
    assert_eq!(ask(&client(""), &url).await, "200 GET /x?y=1");
    assert_eq!(
        ask(&client("basic_auth: {username: u, password: p}"), &url).await,
        "200 GET /x?y=1 authorization=Basic dTpw"
    );
    assert_eq!(ask(&client("bearer_token: t"), &url).await, "200 GET /x?y=1 authorization=Bearer t");
    assert_eq!(
        ask(&client("authorization: {type: Token, credentials: t}"), &url).await,
        "200 GET /x?y=1 authorization=Token t"
    );
    assert_eq!(ask(&client(""), &format!("http://u:p@{at}/")).await, "200 GET / authorization=Basic dTpw");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, " first\n").unwrap();
    let by_file = client(&format!(
        "authorization: {{credentials_file: {0}}}\nhttp_headers: {{X-Static: {{values: [a], secrets: [b], files: [{0}]}}}}",
        file.display()
    ));
    assert_eq!(
        ask(&by_file, &url).await,
        "200 GET /x?y=1 authorization=Bearer first x-static=a x-static=b x-static=first"
    );
    std::fs::write(&file, "second").unwrap();
    assert!(ask(&by_file, &url).await.contains("Bearer second"));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        ask(&by_file, &url).await,
        format!(
            "Get \"{url}\": unable to read headers file: unable to read file {}: no such file or directory",
            file.display()
        )
    );
}

#[tokio::test]
async fn redirects_do_not_carry_credentials_to_other_hosts() {
    let target = serve(Router::new().fallback(any(echo))).await;
    // The same server under another name is another host.
    let elsewhere = format!("http://localhost:{}/there", target.port());
    let near = format!("http://{target}/there");
    let router = Router::new()
        .route(
            "/far",
            any(move || {
                let to = elsewhere.clone();
                async move { Redirect::temporary(&to) }
            }),
        )
        .route(
            "/near",
            any(move || {
                let to = near.clone();
                async move { Redirect::temporary(&to) }
            }),
        )
        .route("/see-other", any(|| async { Redirect::to("/echo") }))
        .route("/loop", any(|| async { Redirect::to("/loop") }))
        .route("/ftp", any(|| async { Redirect::to("ftp://x/") }))
        .route("/echo", any(echo));
    let at = serve(router).await;
    let secret = "basic_auth: {username: u, password: p}\nhttp_headers: {X-Static: {values: [s]}}";
    let client_ = client(secret);
    assert_eq!(
        ask(&client_, &format!("http://{at}/near")).await,
        "200 GET /there authorization=Basic dTpw x-static=s"
    );
    assert_eq!(ask(&client_, &format!("http://{at}/far")).await, "200 GET /there");
    assert_eq!(
        ask(&client_, &format!("http://{at}/loop")).await,
        format!("Get \"http://{at}/loop\": stopped after 10 redirects")
    );
    assert!(
        ask(&client_, &format!("http://{at}/ftp")).await.ends_with("unsupported protocol scheme \"ftp\"")
    );
    let stay = client(&format!("{secret}\nfollow_redirects: false"));
    assert_eq!(ask(&stay, &format!("http://{at}/see-other")).await, "303 ");

    let send = |path: &str| {
        let request = Request::post(format!("http://{at}{path}").parse().unwrap(), "body")
            .header(header::COOKIE, "c=1".parse().unwrap());
        let client_ = client_.clone();
        async move {
            String::from_utf8(client_.send(request).await.unwrap().bytes(1000).await.unwrap().to_vec())
                .unwrap()
        }
    };
    assert_eq!(send("/near").await, "POST /there authorization=Basic dTpw x-static=s cookie=c=1 body");
    assert_eq!(send("/far").await, "POST /there body");
    assert_eq!(send("/see-other").await, "GET /echo authorization=Basic dTpw x-static=s cookie=c=1");
}

async fn token(State(count): State<Arc<AtomicUsize>>, headers: HeaderMap, body: String) -> Response {
    if headers.contains_key(header::AUTHORIZATION) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    assert_eq!(body, "grant_type=client_credentials&scope=a+b&aud=x&client_id=id&client_secret=s%26s");
    let n = count.fetch_add(1, Ordering::SeqCst);
    format!(r#"{{"access_token":"t{n}","token_type":"bearer","expires_in":3600}}"#).into_response()
}

#[tokio::test]
async fn oauth2_tokens_are_fetched_once() {
    let count = Arc::new(AtomicUsize::new(0));
    let router = Router::new().route("/token", post(token)).with_state(count.clone()).fallback(any(echo));
    let at = serve(router).await;
    let client = client(&format!(
        "oauth2: {{client_id: id, client_secret: s&s, scopes: [a, b], endpoint_params: {{aud: x}}, token_url: 'http://{at}/token'}}"
    ));
    for _ in 0..2 {
        assert_eq!(ask(&client, &format!("http://{at}/m")).await, "200 GET /m authorization=Bearer t0");
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn failures_are_named_as_go_names_them() {
    let plain = client("");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(
        ask(&plain, &format!("http://u:p@{closed}/")).await,
        format!("Get \"http://u:xxxxx@{closed}/\": dial tcp {closed}: connect: connection refused")
    );
    assert_eq!(
        ask(&plain, "http://no-such-host.invalid/").await,
        "Get \"http://no-such-host.invalid/\": dial tcp: lookup no-such-host.invalid: no such host"
    );

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap();
    let request = Request::get(format!("http://{at}/").parse().unwrap()).timeout(Duration::from_millis(50));
    let error = plain.send(request).await.unwrap_err();
    assert!(error.is_deadline());
    assert_eq!(error.to_string(), format!("Get \"http://{at}/\": context deadline exceeded"));

    let slow =
        serve(Router::new().route("/", get(|| async { axum::body::Body::from_stream(futures_stream()) })))
            .await;
    let request =
        Request::get(format!("http://{slow}/").parse().unwrap()).timeout(Duration::from_millis(200));
    let mut response = plain.send(request).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "first");
    assert_eq!(response.chunk().await.unwrap_err().to_string(), "context deadline exceeded");

    let rude = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = rude.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = rude.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").await;
        }
    });
    let error = ask(&plain, &format!("http://{at}/")).await;
    assert!(error.contains("malformed HTTP response"), "{error}");
    let error = ask(&plain, &format!("https://{at}/")).await;
    assert!(error.ends_with("http: server gave HTTP response to HTTPS client"), "{error}");

    let big = serve(Router::new().route("/", get(|| async { "x".repeat(1000) }))).await;
    let response = plain.send(Request::get(format!("http://{big}/").parse().unwrap())).await.unwrap();
    assert_eq!(response.bytes(999).await.unwrap_err().to_string(), "body size limit of 999 bytes exceeded");
}

/// One piece, then silence.
fn futures_stream() -> impl futures::Stream<Item = Result<&'static str, std::io::Error>> {
    use futures::StreamExt as _;
    futures::stream::once(async { Ok("first") }).chain(futures::stream::pending())
}

struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

fn authority() -> Authority {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    Authority { certificate, issuer: rcgen::Issuer::new(params, key) }
}

/// A TLS server that wants client certificates if told so, and answers with the name it was asked for.
async fn serve_tls(authority: &Authority, name: &str, want_client: bool) -> SocketAddr {
    use rustls::pki_types::PrivateKeyDer;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &authority.issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let builder = if want_client {
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let sni = stream.get_ref().1.server_name().unwrap_or("-").to_owned();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{sni}",
                    sni.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

#[tokio::test]
async fn tls_checks_the_server_and_shows_the_client() {
    let ours = authority();
    let other = authority();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let ca = write("ca.pem", other.certificate.pem());
    let at = serve_tls(&ours, "metrics.example", false).await;
    let url = format!("https://{at}/");

    let by_file = client(&format!("tls_config: {{ca_file: {ca}, server_name: metrics.example}}"));
    assert_eq!(
        ask(&by_file, &url).await,
        format!(
            "Get \"{url}\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
        )
    );
    // The right authority is written into the same file: the next request uses it.
    write("ca.pem", ours.certificate.pem());
    assert_eq!(ask(&by_file, &url).await, "200 metrics.example");
    let no_name = client(&format!("tls_config: {{ca_file: {ca}}}"));
    assert!(ask(&no_name, &url).await.contains("x509: certificate is not valid for 127.0.0.1"));
    assert_eq!(ask(&client("tls_config: {insecure_skip_verify: true}"), &url).await, "200 -");
    assert!(
        HttpClient::new(&config("tls_config: {ca_file: /no/such}"))
            .err()
            .unwrap()
            .to_string()
            .contains("/no/such: no such file or directory")
    );
    assert!(
        HttpClient::new(&config("tls_config: {ca: nonsense}"))
            .err()
            .unwrap()
            .to_string()
            .contains("no certificate in it")
    );

    let strict = serve_tls(&ours, "metrics.example", true).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["client".to_owned()])
        .unwrap()
        .signed_by(&key, &ours.issuer)
        .unwrap();
    let cert_file = write("cert.pem", certificate.pem());
    let key_file = write("key.pem", key.serialize_pem());
    let shown = client(&format!(
        "tls_config: {{ca_file: {ca}, server_name: metrics.example, cert_file: {cert_file}, key_file: {key_file}, min_version: TLS13}}"
    ));
    assert_eq!(ask(&shown, &format!("https://{strict}/")).await, "200 metrics.example");
    let error = ask(&by_file, &format!("https://{strict}/")).await;
    assert!(error.ends_with("remote error: tls: certificate required"), "{error}");
}

#[tokio::test]
async fn proxies_forward_and_tunnel() {
    let at = serve(Router::new().fallback(any(echo))).await;
    let through = client(&format!("proxy_url: 'http://u:p%40@{at}'"));
    assert_eq!(
        ask(&through, "http://far.invalid/path").await,
        "200 GET http://far.invalid/path proxy-authorization=Basic dTpwQA=="
    );
    let around = format!("proxy_url: 'http://{at}'\nno_proxy: far.invalid");
    assert!(ask(&client(&around), "http://far.invalid/path").await.contains("no such host"));

    let ours = authority();
    let server = serve_tls(&ours, "metrics.example", false).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy_at = proxy.local_addr().unwrap();
    let tunnel = tokio::spawn(async move {
        let (mut inner, _) = proxy.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(inner.read_u8().await.unwrap());
        }
        inner.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut outer = tokio::net::TcpStream::connect(server).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
        String::from_utf8(head).unwrap()
    });
    let client = client(&format!(
        "proxy_url: 'http://{proxy_at}'\nproxy_connect_header: {{X-Pass: [sesame]}}\ntls_config: {{insecure_skip_verify: true}}"
    ));
    assert_eq!(ask(&client, "https://metrics.example/").await, "200 metrics.example");
    let head = tunnel.await.unwrap();
    assert_eq!(
        head,
        "CONNECT metrics.example:443 HTTP/1.1\r\nHost: metrics.example:443\r\nX-Pass: sesame\r\n\r\n"
    );
}
