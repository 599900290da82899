//! Times the way of a push from body to store: 1,000 JSON lines of about 350 bytes, ten streams.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use novaobs_model::{AppendError, Labels, LogSink, LogStream, Pool, Tenant};
use novaobs_push::{Format, Push, PushOptions};
use novaobs_tenants::Limits;
use novaobs_wire::encoding::{Encoding, unpack};
use novaobs_wire::loki_push::{decode_json, decode_protobuf, encode_json, encode_protobuf};

struct Nowhere;

impl LogSink for Nowhere {
    fn append(&self, _: &Tenant, streams: &[LogStream]) -> Result<(), AppendError> {
        black_box(streams);
        Ok(())
    }
}

const STREAMS: usize = 10;
const ROWS: usize = 100;
const TIME: i64 = 1_700_000_000_000_000_000;

fn example(text: bool) -> Vec<LogStream> {
    let stream = |number: usize| {
        let labels = [
            ("app", format!("service-{number}")),
            ("env", "prod".to_owned()),
            ("pod", format!("pod-{number}")),
        ];
        let mut stream = LogStream { labels: Labels::from_pairs(labels), ..LogStream::default() };
        for row in 0..ROWS {
            stream.timestamps.push(TIME + row as i64);
            let line = if text {
                format!(
                    "10.0.0.{row} - - \"GET /api/v1/orders/{row} HTTP/1.1\" 200 {}",
                    "lorem ipsum dolor sit amet ".repeat(11)
                )
            } else {
                format!(
                    r#"{{"ts":"2023-11-14T22:13:20.{row:03}Z","caller":"orders/handler.go:{row}","msg":"request served","trace_id":"{row:032x}","method":"GET","path":"/api/v1/orders/{row}","status":200,"duration_ms":{row}.25,"user":"user-{row}","region":"eu-west-1","version":"1.2.3","bytes":{row},"level":"info","upstream":{{"host":"db-{row}","port":5432}},"tags":["a","b"],"note":"nothing of interest here"}}"#
                )
            };
            stream.lines.push(&line);
            stream.metadata.end_row();
        }
        stream
    };
    (0..STREAMS).map(stream).collect()
}

/// Runs `work` for a while; prints nanoseconds per line of its quickest run, which other processes disturb
/// least.
fn time(what: &str, mut work: impl FnMut()) {
    let start = Instant::now();
    let mut quickest = u128::MAX;
    while start.elapsed().as_millis() < 700 {
        let round = Instant::now();
        work();
        quickest = quickest.min(round.elapsed().as_nanos());
    }
    println!("{what:<46} {:>7} ns/line", quickest / (STREAMS * ROWS) as u128);
}

fn main() {
    let limits = Arc::new(Limits {
        reject_old_samples: false,
        ingestion_rate_mb: f64::INFINITY,
        per_stream_rate_limit: 0,
        max_global_streams_per_user: 0,
        ..Limits::default()
    });
    let registry = prometheus::Registry::new();
    let of = Arc::new(move |_: &Tenant| limits.clone());
    let push =
        Push::new(Arc::new(Nowhere), of, Pool::unlimited(), &registry, PushOptions::default()).unwrap();
    let tenant = Tenant::new("fake");
    for text in [false, true] {
        let streams = example(text);
        let bytes: usize = streams.iter().map(|stream| stream.lines.text().len()).sum();
        println!("{} lines, {} bytes each", if text { "plain" } else { "JSON" }, bytes / (STREAMS * ROWS));
        let json = encode_json(&streams).into_bytes();
        let packed = encode_protobuf(&streams).unwrap();
        let message = unpack(&packed, Encoding::Snappy, usize::MAX).unwrap().into_owned();
        time("decode JSON", || drop(black_box(decode_json(&json, usize::MAX).unwrap())));
        time("unpack snappy", || drop(black_box(unpack(&packed, Encoding::Snappy, usize::MAX).unwrap())));
        time("decode protobuf", || drop(black_box(decode_protobuf(&message, usize::MAX).unwrap())));
        time("decode protobuf, check, find levels", || {
            let streams = decode_protobuf(&message, usize::MAX).unwrap();
            black_box(push.push(&tenant, streams, Format::Loki, TIME));
        });
        time("decode JSON, check, find levels", || {
            let streams = decode_json(&json, usize::MAX).unwrap();
            black_box(push.push(&tenant, streams, Format::Loki, TIME));
        });
        time("encode protobuf and pack", || drop(black_box(encode_protobuf(&streams).unwrap())));
    }
}
