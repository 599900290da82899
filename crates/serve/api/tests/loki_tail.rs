//! Tailing: history first, then lines as they are pushed, over a WebSocket and as server-sent events.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod loki_support;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt;
use loki_support::{EPOCH, Fixture};
use novaobs_tenants::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

/// Pushes a line of stream `{app="x"}` at second `at`.
async fn push(router: &Router, at: i64, line: &str) {
    let time = ((EPOCH + at) * 1_000_000_000).to_string();
    let stream = serde_json::json!({"stream": {"app": "x"}, "values": [[time, line, {"m": "1"}]]});
    let request = Request::post("/loki/api/v1/push")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(serde_json::json!({"streams": [stream]}).to_string()))
        .unwrap();
    assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 204);
}

fn fixture() -> Fixture {
    let limits = Limits {
        discover_log_levels: false,
        discover_service_name: Vec::new(),
        max_concurrent_tail_requests: 1,
        ..Fixture::default().limits
    };
    Fixture { limits, ..Fixture::default() }
}

/// A WebSocket, read frame by frame.
struct Socket(TcpStream);

impl Socket {
    async fn open(router: &Router, path: &str, headers: &str) -> Socket {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let router = router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Socket(stream)
    }

    /// Opcode and content of the next frame.
    async fn any_frame(&mut self) -> (u8, Vec<u8>) {
        let opcode = self.0.read_u8().await.unwrap() & 15;
        let length = match self.0.read_u8().await.unwrap() {
            126 => u64::from(self.0.read_u16().await.unwrap()),
            127 => self.0.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut content = vec![0; length as usize];
        self.0.read_exact(&mut content).await.unwrap();
        (opcode, content)
    }

    /// The next text.
    async fn text(&mut self) -> String {
        loop {
            if let (1, content) = self.any_frame().await {
                return String::from_utf8(content).unwrap();
            }
        }
    }

    /// Code and reason of the closing frame.
    async fn close(&mut self) -> (u16, String) {
        loop {
            if let (8, content) = self.any_frame().await {
                let reason = String::from_utf8(content[2..].to_vec()).unwrap();
                return (u16::from_be_bytes([content[0], content[1]]), reason);
            }
        }
    }
}

const TAIL: &str = "/loki/api/v1/tail?query=%7Bapp=%22x%22%7D";

#[tokio::test]
async fn a_web_socket_gets_history_then_news() {
    let router = fixture().router();
    for at in 0..3 {
        push(&router, at, &format!("old {at}")).await;
    }
    let mut socket = Socket::open(&router, &format!("{TAIL}&limit=2&start={EPOCH}"), "").await;
    assert_eq!(
        socket.text().await,
        r#"{"streams":[{"stream":{"app":"x","m":"1"},"values":[["1700000001000000000","old 1"]]},{"stream":{"app":"x","m":"1"},"values":[["1700000002000000000","old 2"]]}]}"#
    );
    push(&router, 9, "new <9>").await;
    assert_eq!(
        socket.text().await,
        r#"{"streams":[{"stream":{"app":"x","m":"1"},"values":[["1700000009000000000","new \u003c9\u003e"]]}]}"#
    );
    assert_eq!(socket.any_frame().await, (9, Vec::new()), "a ping");
    // One more is one too many; when the first is gone its place is free.
    let mut second = Socket::open(&router, TAIL, "").await;
    let reason = "rpc error: code = Code(400) desc = max concurrent tail requests limit exceeded, count > limit (2 > 1)";
    assert_eq!(second.close().await, (1011, reason.to_owned()));
}

#[tokio::test]
async fn a_pipeline_and_categories_apply_to_live_lines() {
    let router = fixture().router();
    push(&router, 0, "a=0").await;
    let path = format!("{TAIL}%7Clogfmt%7Ca%3E4&start={EPOCH}");
    let mut socket =
        Socket::open(&router, &path, "X-Loki-Response-Encoding-Flags: categorize-labels\r\n").await;
    // The first ping comes when the history has been asked for: nothing of it passes.
    assert_eq!(socket.any_frame().await.0, 9);
    push(&router, 1, "a=1").await;
    push(&router, 5, "a=5").await;
    assert_eq!(
        socket.text().await,
        r#"{"streams":[{"stream":{"app":"x"},"values":[["1700000005000000000","a=5",{"structuredMetadata":{"m":"1"},"parsed":{"a":"5"}}]]}],"encodingFlags":["categorize-labels"]}"#
    );
}

#[tokio::test]
async fn the_old_frames_have_label_texts() {
    let router = fixture().router();
    push(&router, 0, "line").await;
    let path = format!("/api/prom/tail?query=%7Bapp=%22x%22%7D&start={EPOCH}");
    let mut socket = Socket::open(&router, &path, "").await;
    assert_eq!(
        socket.text().await,
        "{\"streams\":[{\"labels\":\"{app=\\\"x\\\", m=\\\"1\\\"}\",\"entries\":[{\"ts\":\"2023-11-14T22:13:20Z\",\"line\":\"line\"}]}],\"dropped_entries\":null}\n"
    );
}

#[tokio::test]
async fn closing_frames_say_why() {
    let router = Fixture { tail_for: Duration::ZERO, ..fixture() }.router();
    let mut socket = Socket::open(&router, TAIL, "").await;
    assert_eq!(socket.close().await, (1011, "reached tail max duration limit".to_owned()));
    let path = "/loki/api/v1/tail?query=count_over_time(%7Bapp=%22x%22%7D%5B1m%5D)";
    let mut socket = Socket::open(&router, path, "").await;
    assert_eq!(socket.close().await, (1011, "only log selector is supported".to_owned()));
}

#[tokio::test]
async fn events_carry_the_same_frames() {
    let router = fixture().router();
    push(&router, 0, "old").await;
    let request = Request::get(format!("{TAIL}&start={EPOCH}"))
        .header(header::ACCEPT, "text/event-stream")
        .body(Body::empty())
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = response.into_body();
    let mut next = async || {
        let frame = body.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    assert_eq!(
        next().await,
        "data: {\"streams\":[{\"stream\":{\"app\":\"x\",\"m\":\"1\"},\"values\":[[\"1700000000000000000\",\"old\"]]}]}\n\n"
    );
    push(&router, 1, "new").await;
    assert!(next().await.contains("\"new\""));
}
