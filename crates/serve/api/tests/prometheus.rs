//! The Prometheus face, text in, text out: the files under `tests/prometheus` hold requests (lines after
//! `> `) and their answers. `UPDATE_EXPECT=1 cargo test` writes the answers; read the difference.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use expect_test::expect_file;
use http_body_util::BodyExt;
use support::{Fixture, labels, timeline};
use tower::ServiceExt;

/// Answers each request of a file. `> GET /path`, `> POST /path form` or `> GET /path {Header: value}`.
async fn answers(file: &str, router: &Router) -> String {
    let mut out = String::new();
    for line in file.lines() {
        if line.is_empty() || line.starts_with("# ") {
            out.push_str(line);
            out.push('\n');
        } else if let Some(request) = line.strip_prefix("> ") {
            out.push_str(line);
            out.push('\n');
            out.push_str(&answer(request, router).await);
        }
    }
    out
}

async fn answer(line: &str, router: &Router) -> String {
    let (line, headers) = line.split_once(" {").unwrap_or((line, ""));
    let mut words = line.splitn(3, ' ');
    let (method, path, body) = (words.next().unwrap(), words.next().unwrap(), words.next());
    let path = path.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
    let mut request = Request::builder().method(method).uri(path);
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    for pair in headers.trim_end_matches('}').split("; ").filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let request = request.body(Body::from(body.unwrap_or_default().to_owned())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let mut shown = Vec::new();
    for name in ["content-type", "access-control-allow-origin", "x-prometheus-stopping", "vary", "allow"] {
        let values: Vec<_> = response.headers().get_all(name).iter().map(|v| v.to_str().unwrap()).collect();
        if !values.is_empty() && (name != "vary" || headers.contains("Origin")) {
            shown.push(format!("{name}: {}", values.join(", ")));
        }
    }
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let shown = shown.join("; ").replace("content-type: application/json", "json");
    let mut out = format!("{status} {shown}").trim_end().to_owned();
    out.push('\n');
    for line in body.lines() {
        out.push_str(&format!("{}\n", if line.is_empty() { "~" } else { line }));
    }
    out
}

macro_rules! file_tests {
    ($($name:ident: $file:literal with $fixture:expr,)*) => {$(
        #[tokio::test]
        async fn $name() {
            let router = $fixture.router();
            let text = answers(include_str!(concat!("prometheus/", $file)), &router).await;
            expect_file![concat!("prometheus/", $file)].assert_eq(&text);
        }
    )*};
}

file_tests! {
    queries: "query.test" with Fixture::new(),
    series_and_labels: "labels.test" with Fixture::new(),
    targets_and_metadata: "targets.test" with Fixture::new(),
    rules_and_alerts: "rules.test" with Fixture::new(),
    status: "status.test" with Fixture::new(),
    not_ready: "not_ready.test" with Fixture { ready: false, ..Fixture::new() },
    lifecycle_enabled: "lifecycle.test" with Fixture { lifecycle: true, ..Fixture::new() },
    cors_for_some: "cors.test" with Fixture { cors: "https?://(a|b).example", ..Fixture::new() },
}

/// Sends a remote write body; gives status and text.
async fn write(router: &Router, content_type: &str, encoding: &str, body: Vec<u8>) -> (StatusCode, String) {
    let request = Request::post("/api/v1/write")
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CONTENT_ENCODING, encoding)
        .body(Body::from(body))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

const PROTOBUF: &str = "application/x-protobuf";

#[tokio::test]
async fn remote_write_is_acknowledged_once_it_is_stored() {
    let fixture = Fixture::new();
    let router = fixture.router();
    let body =
        support::write_request(&[(&[("__name__", "pushed"), ("job", "w")], &[(1_000, 1.5), (2_000, 2.5)])]);
    let (status, text) = write(&router, PROTOBUF, "snappy", body).await;
    assert_eq!((status, text.as_str()), (StatusCode::NO_CONTENT, ""));
    let stored = fixture.store.samples(&labels(&[("__name__", "pushed"), ("job", "w")]));
    assert_eq!(stored, [(1_000, 1.5), (2_000, 2.5)]);
}

#[tokio::test]
async fn remote_write_says_what_not_to_send_again() {
    let fixture = Fixture::new();
    let router = fixture.router();
    let good = || support::write_request(&[(&[("__name__", "up")], &[(1_000, 1.0)])]);
    let far = support::write_request(&[(&[("__name__", "far")], &[(1_000, 1.0), (i64::MAX / 2, 1.0)])]);
    let late =
        support::write_request(&[(&[("__name__", "late")], &[(5_000, 1.0), (4_000, 1.0), (6_000, 1.0)])]);
    let text = |status: u16, text: &str| (StatusCode::from_u16(status).unwrap(), format!("{text}\n"));
    assert_eq!(
        write(&router, "application/json", "snappy", good()).await,
        text(
            415,
            "expected application/x-protobuf as the first (media) part, got application/json content-type"
        ),
    );
    assert_eq!(
        write(&router, "application/x-protobuf;proto=io.prometheus.write.v2.Request", "snappy", good()).await,
        text(
            415,
            "io.prometheus.write.v2.Request protobuf message is not accepted by this server; only accepts prometheus.WriteRequest"
        ),
    );
    assert_eq!(
        write(&router, PROTOBUF, "gzip", good()).await,
        text(415, "gzip encoding (compression) is not accepted by this server; only snappy is acceptable"),
    );
    assert_eq!(
        write(&router, PROTOBUF, "snappy", far).await,
        text(400, "out of bounds: timestamp is too far in the future"),
    );
    assert!(fixture.store.samples(&labels(&[("__name__", "far")])).is_empty());
    assert_eq!(write(&router, PROTOBUF, "snappy", late).await, text(400, "out of order sample"));
    assert_eq!(fixture.store.samples(&labels(&[("__name__", "late")])), [(5_000, 1.0), (6_000, 1.0)]);
    let (status, message) = write(&router, PROTOBUF, "snappy", b"\xff\xff\xff".to_vec()).await;
    assert!(status == 400 && message.starts_with("snappy: corrupt input"), "{message}");
    let (status, message) = write(&router, PROTOBUF, "snappy", support::snappy(b"\x0a\xff")).await;
    assert_eq!(status, 400, "{message}");
    let huge = support::snappy_claiming(1 << 30);
    assert_eq!(
        write(&router, PROTOBUF, "snappy", huge).await,
        text(400, "decoded size exceeds the 33554432 bytes limit"),
    );
    let off = Fixture { write: false, ..Fixture::new() }.router();
    assert_eq!(
        write(&off, PROTOBUF, "snappy", good()).await,
        text(404, "remote write receiver needs to be enabled with --web.enable-remote-write-receiver"),
    );
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_query() {
    let fixture = Fixture { stuck: true, ..Fixture::new() };
    let router = fixture.router();
    let request = Request::get("/api/v1/query?query=up&time=10").body(Body::empty()).unwrap();
    let query = tokio::spawn(router.oneshot(request));
    fixture.store.wait_for_select().await;
    query.abort();
    fixture.store.wait_for_cancel().await;
}

#[tokio::test]
async fn a_connection_that_breaks_cancels_its_query() {
    use tokio::io::AsyncWriteExt;
    let fixture = Fixture { stuck: true, ..Fixture::new() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = fixture.router();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /api/v1/query?query=up&time=10 HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    fixture.store.wait_for_select().await;
    drop(client);
    fixture.store.wait_for_cancel().await;
    server.abort();
}

#[tokio::test]
async fn queries_wait_for_room_and_not_forever() {
    let fixture = Fixture { stuck: true, concurrency: 1, ..Fixture::new() };
    let router = fixture.router();
    let request = |timeout: &str| {
        let uri = format!("/api/v1/query?query=up&time=10&timeout={timeout}");
        Request::get(uri).body(Body::empty()).unwrap()
    };
    let first = tokio::spawn(router.clone().oneshot(request("60")));
    fixture.store.wait_for_select().await;
    let response = router.clone().oneshot(request("0.01")).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"status":"error","errorType":"timeout","error":"query timed out in query queue"}"#);
    first.abort();
}

#[tokio::test]
async fn statistics_come_when_asked_for() {
    let router = Fixture::new().router();
    let ask = async |stats: &str| {
        let uri = format!("/api/v1/query?query=sum(up)&time=10&stats={stats}");
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<serde_json::Value>(&body).unwrap()
    };
    assert_eq!(ask("").await["data"].get("stats"), None);
    let answer = ask("true").await;
    let stats = &answer["data"]["stats"];
    assert_eq!(stats["samples"]["totalQueryableSamples"], 2);
    let timings: Vec<&String> = stats["timings"].as_object().unwrap().keys().collect();
    let names = [
        "evalTotalTime",
        "resultSortTime",
        "queryPreparationTime",
        "innerEvalTime",
        "execQueueTime",
        "execTotalTime",
    ];
    assert_eq!(timings, names);
    assert_eq!(answer.get("warnings"), None);
    let answer = ask("yes").await;
    assert!(answer["data"]["stats"].is_object());
    assert_eq!(
        answer["warnings"][0],
        r#"value "yes" for parameter "stats" is deprecated and will be rejected in the next major release, use "true" or "all""#
    );
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_can_read_that() {
    use std::io::Read;
    let router = Fixture::new().router();
    let request = Request::get("/api/v1/status/flags").header("Accept-Encoding", "gzip").body(Body::empty());
    let response = router.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.headers().get(header::CONTENT_ENCODING).unwrap(), "gzip");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    assert!(text.starts_with(r#"{"status":"success""#), "{text}");
}

#[tokio::test]
async fn federation_shows_last_samples_with_external_labels() {
    let fixture = Fixture::new();
    let now = timeline::now();
    fixture
        .store
        .add(labels(&[("__name__", "b_total"), ("job", "x")]), &[(now - 2_000, 1.0), (now - 1_000, 2.5)]);
    fixture
        .store
        .add(labels(&[("__name__", "a"), ("instance", "i"), ("region", "own")]), &[(now - 1_000, 3.0)]);
    fixture.store.add(
        labels(&[("__name__", "a"), ("instance", "gone")]),
        &[(now - 1_000, novaobs_model::stale_nan())],
    );
    fixture.store.add(labels(&[("__name__", "a"), ("instance", "old")]), &[(now - 600_000, 3.0)]);
    let router = fixture.router();
    let request = |query: &str| Request::get(format!("/federate?{query}")).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request("match[]=a&match[]=b_total&match[]=a")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let at = now - 1_000;
    let want = format!(
        "# TYPE a untyped\na{{instance=\"i\",region=\"own\"}} 3 {at}\n# TYPE b_total untyped\nb_total{{instance=\"\",job=\"x\",region=\"eu\"}} 2.5 {at}\n"
    );
    assert_eq!(String::from_utf8(body.to_vec()).unwrap(), want);
    let response = router.oneshot(request("match[]=a{")).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "1:3: parse error: unexpected end of input inside braces\n");
}

#[tokio::test]
async fn own_metrics_count_requests_by_handler() {
    let router = Fixture::new().router();
    for path in ["/api/v1/label/job/values", "/api/v1/label/instance/values", "/metrics"] {
        let response = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    let response = router.oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    for line in [
        r#"prometheus_http_requests_total{code="200",handler="/api/v1/label/:name/values"} 2"#,
        r#"prometheus_http_requests_total{code="200",handler="/metrics"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}
