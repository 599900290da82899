//! Loki's push endpoints: answers by text, and what reaches the store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use std::io::Write as _;

use common::{Answer, Setup, post};
use novaobs_model::Pool;
use novaobs_model::{Labels, LogStream};
use novaobs_push::{PushOptions, loki_routes};
use novaobs_wire::loki_push::{encode_json, encode_protobuf};

const PUSH: &str = "/loki/api/v1/push";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn json(setup: &Setup, tenant: &str, body: &str) -> Answer {
    let routes = loki_routes(setup.push.clone());
    post(&routes, PUSH, &[JSON, ("x-scope-orgid", tenant)], body.to_owned()).await
}

#[tokio::test]
async fn answers_are_those_of_the_peer() {
    let cases = include_str!("loki.cases");
    let cases: Vec<&str> = cases.split("\nPOST ").skip(1).collect();
    assert!(cases.len() > 200, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let (head, rest) = case.split_once('\n').unwrap();
        let (path, tenant) = head.split_once(' ').unwrap();
        let (body, want) = rest.split_once("\n=> ").unwrap();
        let setup = Setup::new();
        let routes = loki_routes(setup.push.clone());
        let answer = post(&routes, path, &[JSON, ("x-scope-orgid", tenant)], body.to_owned()).await;
        let mut text = answer.text().replace('\\', "\\\\").replace('\n', "\\n").replace('\0', "\\0");
        let oldest = "oldest acceptable timestamp is: ";
        if let Some(at) = text.find(oldest) {
            let at = at + oldest.len();
            text.replace_range(at..at + 20, "<time>");
        }
        let got = format!("{} {text}", answer.status);
        if got.trim_end() != want.trim_end() {
            wrong.push(format!("{path} {tenant}\n{body}\n want {}\n  got {got}", want.trim_end()));
        }
        let (kind, options) = match answer.status {
            204 => ("", ""),
            _ => ("text/plain; charset=utf-8", "nosniff"),
        };
        assert_eq!((answer.header("content-type"), answer.header("x-content-type-options")), (kind, options));
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[tokio::test]
async fn tenants_are_read_and_checked() {
    let setup = Setup::new();
    let routes = loki_routes(setup.push.clone());
    let long = "x".repeat(151);
    for (tenant, want) in [
        (None, "401 no org id\n"),
        (Some(""), "401 no org id\n"),
        (Some("a|b"), "400 multiple org IDs present\n"),
        (Some("."), "400 tenant ID is '.' or '..'\n"),
        (Some(".."), "400 tenant ID is '.' or '..'\n"),
        (Some(&*long), "400 tenant ID is too long: max 150 characters\n"),
        (Some("a/b"), "400 tenant ID 'a/b' contains unsupported character '/'\n"),
        (Some("A!_.*'()-9"), "422 error at least one valid stream is required for ingestion\n"),
    ] {
        for path in [PUSH, "/api/prom/push"] {
            let mut headers = vec![JSON];
            headers.extend(tenant.map(|tenant| ("x-scope-orgid", tenant)));
            let answer = post(&routes, path, &headers, "{}").await;
            assert_eq!(format!("{} {}", answer.status, answer.text()), want, "{tenant:?}");
        }
    }
    let open = Setup::with(Pool::unlimited(), PushOptions::default());
    let routes = loki_routes(open.push.clone());
    let body = r#"{"streams":[{"stream":{"a":"b"},"values":[["1700000000000000000","x"]]}]}"#;
    assert_eq!(post(&routes, PUSH, &[JSON, ("x-scope-orgid", "other")], body).await.status, 204);
    assert_eq!(open.sink.0.lock()[0].0.as_str(), "fake");
}

fn example() -> Vec<LogStream> {
    let mut stream =
        LogStream { labels: Labels::from_pairs([("a", "b"), ("é", "\"q\"\n")]), ..LogStream::default() };
    for row in 0..3 {
        stream.timestamps.push(1_700_000_000_000_000_000 + row);
        stream.lines.push(["plain", "with \"quotes\" \\ and\ttabs \u{1}", "é 日本"][row as usize]);
        let pairs: &[(&str, &str)] = if row == 1 { &[("trace", "1"), ("user", "x\ny")] } else { &[] };
        stream.metadata.push(pairs.iter().copied());
    }
    vec![stream]
}

#[tokio::test]
async fn every_packing_carries_the_same() {
    let setup = Setup::new();
    let routes = loki_routes(setup.push.clone());
    let json = encode_json(
        &example()
            .into_iter()
            .map(|mut stream| {
                // Names that are not plain have no place in the JSON form.
                stream.labels = Labels::from_pairs([("a", "b")]);
                stream
            })
            .collect::<Vec<_>>(),
    )
    .into_bytes();
    let snappy = encode_protobuf(&example()).unwrap();
    let gzip = |body: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(body).unwrap();
        out.finish().unwrap()
    };
    let deflate = |body: &[u8]| {
        let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(body).unwrap();
        out.finish().unwrap()
    };
    let raw = snap::raw::Decoder::new().decompress_vec(&snappy).unwrap();
    let (j, p) = ("application/json; charset=utf-8", "application/x-protobuf");
    for (kind, encoding, body, want) in [
        (j, "", json.clone(), "204 "),
        (j, "snappy", json.clone(), "204 "),
        (j, "gzip", gzip(&json), "204 "),
        (j, "deflate", deflate(&json), "204 "),
        (p, "", snappy.clone(), "204 "),
        (p, "snappy", snappy.clone(), "204 "),
        (p, "gzip", gzip(&snappy), "204 "),
        (p, "deflate", deflate(&snappy), "204 "),
        ("text/plain", "", snappy.clone(), "204 "),
        ("foo", "", snappy.clone(), "204 "),
        (p, "", raw.clone(), "400 snappy: corrupt input\n"),
        (p, "gzip", gzip(&raw), "400 snappy: corrupt input\n"),
        (p, "", Vec::new(), "400 snappy: corrupt input\n"),
        (p, "", vec![0xff, 0xff, 0xff, 0xff, 0x7f], "400 snappy: corrupt input\n"),
        (p, "br", snappy.clone(), "400 Content-Encoding \"br\" not supported\n"),
        (j, "identity", json.clone(), "400 Content-Encoding \"identity\" not supported\n"),
        (j, "GZIP", gzip(&json), "400 Content-Encoding \"GZIP\" not supported\n"),
        (j, "gzip, deflate", gzip(&json), "400 Content-Encoding \"gzip, deflate\" not supported\n"),
        (j, "zstd", json.clone(), "400 Content-Encoding \"zstd\" not supported\n"),
        (j, "gzip", json.clone(), "400 gzip: invalid header\n"),
        (j, "gzip", Vec::new(), "400 EOF\n"),
        ("", "", json.clone(), "400 mime: no media type\n"),
        (";", "", json.clone(), "400 mime: no media type\n"),
        ("/", "", json.clone(), "400 mime: no media type\n"),
        ("a b", "", json.clone(), "400 mime: expected slash after first token\n"),
        ("application/", "", json.clone(), "400 mime: expected token after slash\n"),
        ("foo/bar/baz", "", json.clone(), "400 mime: unexpected content after media subtype\n"),
        ("application/json; x", "", json.clone(), "400 mime: invalid media parameter\n"),
        ("application/json;", "", json.clone(), "204 "),
        ("Application/JSON", "", json.clone(), "204 "),
    ] {
        let mut headers = vec![("x-scope-orgid", "plain")];
        headers.extend((!kind.is_empty()).then_some(("content-type", kind)));
        headers.extend((!encoding.is_empty()).then_some(("content-encoding", encoding)));
        let answer = post(&routes, PUSH, &headers, body).await;
        assert_eq!(format!("{} {}", answer.status, answer.text()), want, "{kind} {encoding}");
        if answer.status == 204 {
            let (_, written) = setup.sink.0.lock().pop().unwrap();
            let sent = &example()[0];
            assert_eq!((&written.timestamps, &written.lines), (&sent.timestamps, &sent.lines));
            assert_eq!(written.metadata, sent.metadata);
            let all_labels = written.labels == sent.labels;
            assert!(all_labels || written.labels == Labels::from_pairs([("a", "b")]), "{}", written.labels);
        }
    }
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 128 {
        out.push(n as u8 | 128);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn integer(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value as u64)].concat()
}

#[tokio::test]
async fn protobuf_is_read_as_the_peer_reads_it() {
    let setup = Setup::new();
    let routes = loki_routes(setup.push.clone());
    let entry = |time: &[u8], line: &[u8]| field(2, &[field(1, time), field(2, line)].concat());
    let stream = |labels: &[u8], entry: &[u8]| field(1, &[&field(1, labels), entry].concat());
    let good = entry(&integer(1, 1_700_000_000), b"x");
    for (message, want) in [
        (stream(b"{a=\"b\"}", &good), "204 "),
        (Vec::new(), "422 error at least one valid stream is required for ingestion\n"),
        (b"garbage".to_vec(), "400 proto: illegal wireType 7\n"),
        (stream(b"{a=\"b\"}", &good)[..12].to_vec(), "400 unexpected EOF\n"),
        (integer(1, 5), "400 proto: wrong wireType = 0 for field Streams\n"),
        (vec![2, 0], "400 proto: PushRequest: illegal tag 0 (wire type 2)\n"),
        (
            stream(b"{a=}", &good),
            "400 couldn't parse labels: 1:4: parse error: unexpected \"}\" in label set, expected string\n",
        ),
        (stream(b"{a=\"b\"}", b""), "204 "),
        (stream(b"", &good), "400 error at least one label pair is required per stream\n"),
        (
            stream(b"{a=\"b\"}", &entry(&integer(2, 2_000_000_000), b"x")),
            "400 timestamp: &types.Timestamp{Seconds: 0,\nNanos: 2000000000,\n}: nanos not in range [0, 1e9)\n",
        ),
        (
            stream(b"{a=\"b\"}", &entry(&integer(1, 10_000_000_000_000), b"x")),
            "400 timestamp: &types.Timestamp{Seconds: 10000000000000,\nNanos: 0,\n} after 10000-01-01\n",
        ),
        (
            stream(b"{a=\"b\"}", &entry(&integer(1, -10_000_000_000_000), b"x")),
            "400 timestamp: &types.Timestamp{Seconds: -10000000000000,\nNanos: 0,\n} before 0001-01-01\n",
        ),
        (stream(b"{a=\"b\"}", &entry(&integer(1, 1_700_000_000), b"\xffx")), "204 "),
    ] {
        let body = snap::raw::Encoder::new().compress_vec(&message).unwrap();
        let answer = post(
            &routes,
            PUSH,
            &[("content-type", "application/x-protobuf"), ("x-scope-orgid", "plain")],
            body,
        )
        .await;
        assert_eq!(format!("{} {}", answer.status, answer.text()), want, "{message:?}");
    }
    let last = setup.written().pop().unwrap();
    assert_eq!(last, "1700000000000000000 \"\u{fffd}x\" [] {a=\"b\"}");
    // An entry without a time has Go's zero time.
    let message = stream(b"{a=\"b\"}", &field(2, &field(2, b"x")));
    let body = snap::raw::Encoder::new().compress_vec(&message).unwrap();
    let answer =
        post(&routes, PUSH, &[("content-type", "application/x-protobuf"), ("x-scope-orgid", "plain")], body)
            .await;
    assert!(answer.text().contains("timestamp too old: 0001-01-01T00:00:00Z"), "{}", answer.text());
}

#[tokio::test]
async fn bodies_are_bounded() {
    let options =
        PushOptions { auth_enabled: true, max_body: 1000, max_unpacked: 5000, ..PushOptions::default() };
    let setup = Setup::with(Pool::root("pushes", 100_000), options);
    let headers = [JSON, ("x-scope-orgid", "a")];
    let routes = loki_routes(setup.push.clone());
    let answer =
        post(&routes, PUSH, &[headers[0], headers[1], ("content-length", "1001")], vec![b' '; 1001]).await;
    let want = "413 request body too large: message size too large than max (1001 vs 1000)\n";
    assert_eq!(format!("{} {}", answer.status, answer.text()), want);
    let answer = post(&routes, PUSH, &headers, vec![b' '; 1001]).await;
    assert_eq!(format!("{} {}", answer.status, answer.text()), want);

    let bomb = snap::raw::Encoder::new().compress_vec(&vec![0; 5001]).unwrap();
    let answer = post(&routes, PUSH, &[("content-type", "x/y"), headers[1]], bomb).await;
    let want = "413 request body too large: message decompressed size too large than max (5001 vs 5000)\n";
    assert_eq!(format!("{} {}", answer.status, answer.text()), want);
    let discarded = setup.counter("loki_discarded_bytes_total", ("reason", "request_body_too_large"));
    assert!(discarded > 2002.0, "{discarded}");

    let small =
        Setup::with(Pool::root("pushes", 500), PushOptions { auth_enabled: true, ..PushOptions::default() });
    let answer = post(&loki_routes(small.push.clone()), PUSH, &headers, vec![b' '; 600]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
    assert!(answer.text().starts_with("too many bytes of pushes are on their way"), "{}", answer.text());
}

const T: i64 = 1_700_000_000_000_000_000;

fn one(label: &str, lines: &[&str]) -> String {
    let values: Vec<String> =
        lines.iter().enumerate().map(|(at, line)| format!("[\"{}\",\"{line}\"]", T + at as i64)).collect();
    format!("{{\"streams\":[{{\"stream\":{{\"a\":\"{label}\"}},\"values\":[{}]}}]}}", values.join(","))
}

#[tokio::test]
async fn rates_and_streams_are_limited() {
    let setup = Setup::new();
    let long = "x".repeat(200);
    let answer = json(&setup, "rate", &one("b", &[&long, "y"])).await;
    let want = "429 ingestion rate limit exceeded for user rate (limit: 104 bytes/sec) while attempting to ingest '2' lines totaling '201' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased\n";
    assert_eq!(format!("{} {}", answer.status, answer.text()), want);
    assert_eq!(json(&setup, "rate", &one("b", &["fits"])).await.status, 204);
    assert_eq!(setup.counter("loki_discarded_samples_total", ("reason", "rate_limited")), 2.0);
    assert_eq!(setup.counter("loki_discarded_bytes_total", ("reason", "rate_limited")), 201.0);

    for (label, status) in [("0", 204), ("1", 204), ("2", 429), ("1", 204)] {
        let answer = json(&setup, "stream", &one(label, &["x"])).await;
        assert_eq!(answer.status, status, "{label}");
        let want = "maximum active stream limit exceeded when trying to create stream {a=\"2\", service_name=\"unknown_service\"}, reduce the number of active streams (reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, user: 'stream'\n";
        if status == 429 {
            assert_eq!(answer.text(), want);
        }
    }

    let line = "x".repeat(30);
    let answer = json(&setup, "srate", &one("b", &[&line, "yy"])).await;
    let reason = |bytes| {
        format!(
            "'Per stream rate limit exceeded (limit: 10B/sec) while attempting to ingest for stream '{{a=\"b\", service_name=\"unknown_service\"}}' totaling {bytes}B, consider splitting a stream via additional labels or contact your Loki administrator to see if the limit can be increased'"
        )
    };
    let want = format!(
        "429 entry with timestamp 2023-11-14 22:13:20 +0000 UTC ignored, reason: {},\nentry with timestamp 2023-11-14 22:13:20.000000001 +0000 UTC ignored, reason: {},\nuser 'srate', total ignored: 2 out of 2 for stream: {{a=\"b\", service_name=\"unknown_service\"}}\n",
        reason(30),
        reason(2),
    );
    assert_eq!(format!("{} {}", answer.status, answer.text()), want);
    let lines: Vec<&str> = std::iter::repeat_n(&*line, 12).collect();
    let answer = json(&setup, "srate", &one("many", &lines)).await.text();
    assert_eq!((answer.matches("ignored, reason").count(), answer.contains("12 out of 12")), (10, true));
    assert_eq!(json(&setup, "srate", &one("b", &["fits"])).await.status, 204);
}

#[tokio::test]
async fn good_entries_of_a_mixed_request_are_kept() {
    let setup = Setup::new();
    let body = format!(
        r#"{{"streams":[{{"stream":{{"a":"b"}},"values":[["{T}","x"],["1000000000000000000","old"],["{T}","y"]]}},{{"stream":{{}},"values":[["{T}","z"]]}}]}}"#
    );
    let answer = json(&setup, "plain", &body).await;
    assert_eq!(answer.status, 400);
    let text = answer.text();
    assert!(
        text.starts_with(
            "1 errors like: entry for stream '{a=\"b\"}' has timestamp too old: 2001-09-09T01:46:40Z, oldest"
        ),
        "{text}"
    );
    assert!(
        text.ends_with("; 1 errors like: error at least one label pair is required per stream\n"),
        "{text}"
    );
    assert_eq!(setup.written(), [format!("{T} \"x\" [] {{a=\"b\"}}"), format!("{T} \"y\" [] {{a=\"b\"}}")]);
    for (reason, lines) in [("greater_than_max_sample_age", 1.0), ("missing_labels", 1.0)] {
        assert_eq!(setup.counter("loki_discarded_samples_total", ("reason", reason)), lines);
    }
    assert_eq!(setup.counter("loki_distributor_lines_received_total", ("tenant", "plain")), 4.0);
    assert_eq!(setup.counter("loki_distributor_bytes_received_total", ("tenant", "plain")), 6.0);
}

#[tokio::test]
async fn lines_are_cut_and_times_moved_where_a_tenant_wants_that() {
    let setup = Setup::new();
    json(&setup, "trunc", &one("b", &["0123456789abc"])).await;
    json(&setup, "trunc2", &one("b", &["0123456789abc"])).await;
    let cut: Vec<String> = setup.sink.0.lock().drain(..).map(|(_, s)| s.lines.get(0).to_owned()).collect();
    assert_eq!(cut, ["0123456789", "0123456..."]);
    assert_eq!(setup.counter("loki_mutated_bytes_total", ("truncated", "trunc2")), 6.0);

    let lines = [(0, "x"), (0, "y"), (0, "y"), (0, "z"), (1, "w"), (0, "x")];
    let values: Vec<String> = lines.iter().map(|(at, line)| format!("[\"{}\",\"{line}\"]", T + at)).collect();
    json(
        &setup,
        "dup",
        &format!(r#"{{"streams":[{{"stream":{{"a":"b"}},"values":[{}]}}]}}"#, values.join(",")),
    )
    .await;
    let moved: Vec<i64> = setup.sink.0.lock()[0].1.timestamps.iter().map(|at| at - T).collect();
    // As the peer: 1 for y, then y again at its own time, z and w behind it, x behind w.
    assert_eq!(moved, [0, 1, 0, 1, 2, 3]);
}

#[tokio::test]
async fn a_store_that_cannot_write_asks_to_come_again() {
    let setup = Setup::new();
    for (tenant, status, text) in [
        ("readonly", 503, "storage is read-only: no space left on device\n"),
        (
            "full",
            429,
            "logs would use more than its 10 bytes of memory (10 in use, 1 more wanted); narrow the request or raise --memory\n",
        ),
        ("closed", 503, "storage is closed\n"),
    ] {
        let answer = json(&setup, tenant, &one("b", &["x"])).await;
        assert_eq!((answer.status, &*answer.text(), answer.header("retry-after")), (status, text, "1"));
    }
}

#[tokio::test]
async fn metadata_is_made_plain() {
    let setup = Setup::new();
    let row =
        |pairs: &str| format!(r#"{{"streams":[{{"stream":{{"a":"b"}},"values":[["{T}","x",{pairs}]]}}]}}"#);
    for (pairs, want) in [
        (r#"{"m":"v","m":"w"}"#, "m=w detected_level=unknown"),
        (r#"{"a.b":"1","a_b":"2"}"#, "a_b=1 detected_level=unknown"),
        (r#"{"e":"","z":"1"}"#, "z=1 detected_level=unknown"),
        (r#"{"bad":"a�b"}"#, "bad=a b detected_level=unknown"),
        (
            r#"{"1a":"y","__d":"w","__e__":"v","a..b":"s"}"#,
            "key_1a=y _d=w __e__=v a_b=s detected_level=unknown",
        ),
        (r#"{"level":"ERR"}"#, "level=ERR detected_level=error"),
        (r#"{"detected_level":"INFORMATION"}"#, "detected_level=info"),
        (r#"{"detected_level":"foo"}"#, "detected_level=foo"),
        (r#"{"severity_number":"9"}"#, "severity_number=9 detected_level=info"),
        (r#"{"severity_number":"x"}"#, "severity_number=x detected_level=info"),
        (r#"{"severity_number":"-1"}"#, "severity_number=-1 detected_level=trace"),
        (r#"{"severity_number":"25"}"#, "severity_number=25 detected_level=unknown"),
        (
            r#"{"severity_number":"17","level":"debug"}"#,
            "severity_number=17 level=debug detected_level=debug",
        ),
        (r#"{"lvl":"foo"}"#, "lvl=foo detected_level=foo"),
    ] {
        assert_eq!(json(&setup, "anytime", &row(pairs)).await.status, 204);
        let written = setup.written().pop().unwrap();
        assert_eq!(written, format!("{T} \"x\" [{want}] {{a=\"b\", service_name=\"unknown_service\"}}"));
    }
    let answer = json(&setup, "anytime", &row(r#"{"":"v"}"#)).await;
    assert_eq!((answer.status, &*answer.text()), (400, "label name is empty\n"));
}

#[tokio::test]
async fn services_are_named() {
    let setup = Setup::new();
    for (labels, want) in [
        (r#""app":"x""#, "x"),
        (r#""service":"a","app":"b""#, "a"),
        (r#""container":"c","name":"n""#, "n"),
        (r#""workload":"w","job":"j""#, "w"),
        (r#""k8s_job_name":"q""#, "q"),
        (r#""service_name":"s","app":"x""#, "s"),
        (r#""service_name":"","z":"x""#, "unknown_service"),
        (r#""app_kubernetes_io_name":"k","container":"z""#, "k"),
    ] {
        let body = format!(r#"{{"streams":[{{"stream":{{{labels}}},"values":[["{T}","x"]]}}]}}"#);
        assert_eq!(json(&setup, "anytime", &body).await.status, 204);
        assert_eq!(setup.sink.0.lock().last().unwrap().1.labels.value("service_name"), want, "{labels}");
    }
}

#[tokio::test]
async fn levels_are_found_as_the_peer_finds_them() {
    let setup = Setup::new();
    let cases = include_str!("levels.cases");
    let cases: Vec<(&str, &str)> = cases
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    assert!(cases.len() > 100);
    let mut wrong = Vec::new();
    for (want, line) in cases {
        let stream = LogStream {
            labels: Labels::from_pairs([("a", "b")]),
            timestamps: vec![T],
            lines: [&*line.replace("\\t", "\t")].into_iter().collect(),
            metadata: novaobs_model::logs::PairLists::empty_rows(1),
        };
        assert_eq!(json(&setup, "anytime", &encode_json(&[stream])).await.status, 204);
        let (_, written) = setup.sink.0.lock().pop().unwrap();
        let got = written.metadata.get(0).next().map(|(_, level)| level.to_owned()).unwrap_or_default();
        if got != want {
            wrong.push(format!("{line}: want {want}, got {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (labels, want) in
        [(r#""level":"ERROR""#, "error"), (r#""severity":"foo""#, "foo"), (r#""lvl":"warn""#, "warn")]
    {
        let body = format!(r#"{{"streams":[{{"stream":{{{labels}}},"values":[["{T}","debug x"]]}}]}}"#);
        assert_eq!(json(&setup, "anytime", &body).await.status, 204);
        assert!(setup.written().pop().unwrap().contains(&format!("[detected_level={want}]")), "{labels}");
    }
}
