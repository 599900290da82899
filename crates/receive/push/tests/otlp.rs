//! OTLP: Loki's path, port 4318, port 4317; what records become.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use common::{Answer, Memory, Setup, post, profile};
use http::Request;
use http_body_util::BodyExt as _;
use novaobs_model::logs::Tenant;
use novaobs_model::{GoRegex, Pool};
use novaobs_push::{Push, PushOptions, loki_routes, otlp_grpc_routes, otlp_http_routes};
use novaobs_tenants::limits::{AttributeAction, AttributeRule};
use novaobs_wire::otlp_logs::json_to_protobuf;
use tower::ServiceExt as _;

const LOKI: &str = "/otlp/v1/logs";
const T: i64 = 1_700_000_000_000_000_000;
const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn request(resource: &str, scope: &str, records: &str) -> String {
    format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{resource}]}},"scopeLogs":[{{"scope":{scope},"logRecords":[{records}]}}]}}]}}"#
    )
}

fn text(key: &str, value: &str) -> String {
    format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
}

fn full() -> String {
    let attributes = [
        text("http.method", "GET"),
        r#"{"key":"n","value":{"intValue":"5"}}"#.to_owned(),
        r#"{"key":"d","value":{"doubleValue":1.5}}"#.to_owned(),
        r#"{"key":"b","value":{"boolValue":true}}"#.to_owned(),
        format!(r#"{{"key":"m","value":{{"kvlistValue":{{"values":[{},{{"key":"z","value":{{"kvlistValue":{{"values":[{{"key":"q","value":{{"intValue":7}}}}]}}}}}}]}}}}}}"#, text("x.y", "1")),
        r#"{"key":"arr","value":{"arrayValue":{"values":[{"stringValue":"a<b>"},{"intValue":"1"},{"doubleValue":1e-7},{"doubleValue":1e21},{"boolValue":false},{}]}}}"#.to_owned(),
        r#"{"key":"by","value":{"bytesValue":"AQID"}}"#.to_owned(),
        r#"{"key":"empty","value":{}}"#.to_owned(),
        text("secret", "p"),
        text("lvl", "LL"),
        text("keepme", "k"),
    ];
    format!(
        r#"{{"timeUnixNano":"{T}","observedTimeUnixNano":"{}","severityNumber":17,"severityText":"Error","body":{{"stringValue":"hello"}},"attributes":[{}],"droppedAttributesCount":3,"flags":1,"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","eventName":"ev"}}"#,
        T + 5,
        attributes.join(",")
    )
}

const SCOPE: &str = r#"{"name":"sc","version":"1.2","attributes":[{"key":"sa","value":{"stringValue":"x"}},{"key":"sdrop","value":{"stringValue":"y"}}],"droppedAttributesCount":2}"#;

fn resource() -> String {
    let names = ["service.name", "k8s.pod.name", "host.name", "my.label", "dropx"];
    names.map(|name| text(name, &name[..2])).join(",")
}

#[tokio::test]
async fn records_become_entries() {
    let setup = Setup::new();
    let routes = loki_routes(setup.push.clone());
    let body = request(&resource(), SCOPE, &full());
    for (kind, body) in
        [(JSON, body.clone().into_bytes()), (PROTOBUF, json_to_protobuf(body.as_bytes()).unwrap())]
    {
        let answer = post(&routes, LOKI, &[kind, ("x-scope-orgid", "plain")], body).await;
        assert_eq!((answer.status, answer.text().as_str()), (204, ""));
        let want = format!(
            r#"{T} "hello" [http_method=GET n=5 d=1.5 b=true m_x_y=1 m_z_q=7 arr=["a<b>",1,1e-7,1e+21,false,null] by=AQID secret=p lvl=LL keepme=k observed_timestamp={} severity_number=17 severity_text=Error dropped_attributes_count=3 flags=1 trace_id=0102030405060708090a0b0c0d0e0f10 span_id=0102030405060708 event_name=ev host_name=ho my_label=my dropx=dr sa=x sdrop=y scope_name=sc scope_version=1.2 scope_dropped_attributes_count=2] {{k8s_pod_name="k8", service_name="se"}}"#,
            T + 5
        );
        assert_eq!(setup.written().pop().unwrap(), want);
    }
}

#[tokio::test]
async fn rules_of_a_tenant_decide_about_attributes() {
    let sink = Arc::new(Memory::default());
    let limits = Arc::new(|tenant: &Tenant| {
        let mut limits = profile(tenant);
        let rule = |action, names: &[&str], regex: Option<&str>| AttributeRule {
            action,
            attributes: names.iter().map(|name| (*name).to_owned()).collect(),
            regex: regex.map(|regex| GoRegex::new(regex).unwrap()),
        };
        let config = &mut limits.otlp_config;
        config.resource_attributes.ignore_defaults = true;
        config.resource_attributes.attributes_config = vec![
            rule(AttributeAction::IndexLabel, &["my.label", "service.name"], None),
            rule(AttributeAction::Drop, &[], Some("drop.*")),
        ];
        config.log_attributes = vec![
            rule(AttributeAction::Drop, &["secret", "arr", "m", "by"], None),
            rule(AttributeAction::IndexLabel, &["lvl"], None),
        ];
        config.scope_attributes = vec![rule(AttributeAction::Drop, &["sdrop"], None)];
        config.severity_text_as_label = true;
        Arc::new(limits)
    });
    let options = PushOptions::default();
    let push =
        Push::new(sink.clone(), limits, Pool::unlimited(), &prometheus::Registry::new(), options).unwrap();
    let routes = loki_routes(Arc::new(push));
    assert_eq!(post(&routes, LOKI, &[JSON], request(&resource(), SCOPE, &full())).await.status, 204);
    let (_, stream) = sink.0.lock().pop().unwrap();
    assert_eq!(
        stream.labels.to_string(),
        r#"{lvl="LL", my_label="my", service_name="se", severity_text="Error"}"#
    );
    let names: Vec<&str> = stream.metadata.get(0).map(|(name, _)| name).collect();
    assert_eq!(
        names.join(" "),
        "http_method n d b keepme observed_timestamp severity_number severity_text dropped_attributes_count flags trace_id span_id event_name k8s_pod_name host_name sa scope_name scope_version scope_dropped_attributes_count detected_level"
    );
    assert_eq!(stream.metadata.get(0).last().unwrap().1, "LL");
}

#[tokio::test]
async fn times_bodies_and_services() {
    let setup = Setup::new();
    let routes = loki_routes(setup.push.clone());
    let send = async |resource: &str, record: &str| {
        let body = request(resource, "{}", record);
        assert_eq!(post(&routes, LOKI, &[JSON, ("x-scope-orgid", "a")], body).await.status, 204, "{record}");
        setup.sink.0.lock().pop().unwrap().1
    };
    let at = format!(r#""timeUnixNano":"{T}""#);
    for (value, want) in [
        (r#"{"intValue":"5"}"#, "5"),
        (r#"{"doubleValue":0.1}"#, "0.1"),
        (r#"{"doubleValue":1e-7}"#, "1e-7"),
        (r#"{"doubleValue":1e22}"#, "1e+22"),
        (r#"{"doubleValue":100000000.0}"#, "100000000"),
        (r#"{"doubleValue":"NaN"}"#, "NaN"),
        (r#"{"doubleValue":"Infinity"}"#, "Infinity"),
        (r#"{"boolValue":true}"#, "true"),
        (r#"{"bytesValue":"AQID"}"#, "AQID"),
        (r#"{}"#, ""),
        (
            r#"{"kvlistValue":{"values":[{"key":"b","value":{"stringValue":"<x>&"}},{"key":"a","value":{"intValue":1}},{"key":"c","value":{}},{"key":"b","value":{"stringValue":"dup"}}]}}"#,
            r#"{"a":1,"b":"dup","c":null}"#,
        ),
        (
            r#"{"arrayValue":{"values":[{"stringValue":"a\"\n"},{"kvlistValue":{"values":[]}},{"arrayValue":{"values":[]}}]}}"#,
            r#"["a\"\n",{},[]]"#,
        ),
    ] {
        let stream = send("", &format!(r#"{{{at},"body":{value}}}"#)).await;
        assert_eq!((stream.timestamps[0], stream.lines.get(0)), (T, want), "{value}");
        assert_eq!(stream.labels.value("service_name"), "unknown_service");
    }
    let observed = format!(r#"{{"observedTimeUnixNano":"{}","body":{{"stringValue":"x"}}}}"#, T + 1);
    let stream = send(&text("container.name", "cn"), &observed).await;
    assert_eq!((stream.timestamps[0], stream.metadata.get(0).count()), (T + 1, 1));
    assert_eq!(stream.labels.to_string(), r#"{container_name="cn", service_name="cn"}"#);
    let stream = send(&text("service.name", ""), r#"{"body":{"stringValue":"x"}}"#).await;
    assert!(stream.timestamps[0] > T);
    assert_eq!(stream.labels.to_string(), r#"{service_name="unknown_service"}"#);
    for (severity, want) in [("9", "info"), ("\"SEVERITY_NUMBER_WARN2\"", "warn"), ("0", "error")] {
        let stream =
            send("", &format!(r#"{{{at},"severityNumber":{severity},"body":{{"stringValue":"an error"}}}}"#))
                .await;
        assert_eq!(stream.metadata.get(0).last().unwrap(), ("detected_level", want));
    }
    let snake = format!(
        r#"{{"resource_logs":[{{"scope_logs":[{{"log_records":[{{"time_unix_nano":{T},"body":{{"string_value":"snake"}}}}]}}]}}]}}"#
    );
    assert_eq!(post(&routes, LOKI, &[JSON, ("x-scope-orgid", "a")], snake).await.status, 204);
    assert_eq!(setup.sink.0.lock().pop().unwrap().1.lines.get(0), "snake");
}

/// The message of a `google.rpc.Status`.
fn message(answer: &Answer) -> String {
    let body = &answer.body;
    let start = body.iter().position(|byte| *byte == 0x12).unwrap() + 1;
    let length_bytes = 1 + usize::from(body[start] >= 128);
    String::from_utf8_lossy(&body[start + length_bytes..]).into_owned()
}

#[tokio::test]
async fn lokis_path_answers_as_the_peer() {
    let setup = Setup::new();
    let routes = loki_routes(setup.push.clone());
    let old = format!(
        r#"{{"timeUnixNano":"1000000000000000000","body":{{"stringValue":"old"}}}},{{"timeUnixNano":"{T}","body":{{"stringValue":"good"}}}}"#
    );
    let bad_name = |name: &str| {
        request("", "{}", &format!(r#"{{"timeUnixNano":"{T}","attributes":[{}]}}"#, text(name, "v")))
    };
    let nothing = "422 error at least one valid stream is required for ingestion";
    for (kind, encoding, body, want) in [
        ("application/json", "", "{}".to_owned(), nothing),
        ("application/x-protobuf", "", String::new(), nothing),
        ("application/json", "", request(&text("service.name", "x"), "{}", ""), nothing),
        ("text/plain", "", "{}".to_owned(), "400 content type: text/plain is not supported"),
        (
            "application/json; charset=utf-8",
            "",
            "{}".to_owned(),
            "400 content type: application/json; charset=utf-8 is not supported",
        ),
        ("application/x-protobuf", "", "garbage".to_owned(), "400 proto: illegal wireType 7"),
        ("application/x-protobuf", "", "\u{a}\u{5}abc".to_owned(), "400 unexpected EOF"),
        (
            "application/json",
            "br",
            "{}".to_owned(),
            "400 unsupported content encoding br: only gzip, lz4 and zstd are supported",
        ),
        (
            "application/json",
            "snappy",
            "{}".to_owned(),
            "400 unsupported content encoding snappy: only gzip, lz4 and zstd are supported",
        ),
        ("application/json", "zstd", "xxxxxx".to_owned(), "400 invalid input: magic number mismatch"),
        ("application/json", "lz4", "xxxxxxxx".to_owned(), "400 lz4: bad magic number"),
        ("application/json", "", bad_name(""), "400 symbolizer lookup: label name is empty"),
        (
            "application/json",
            "",
            bad_name("é"),
            "400 symbolizer lookup: normalization for label name \"é\" resulted in invalid name \"_\"",
        ),
        (
            "application/json",
            "",
            request("", "{}", &format!(r#"{{"timeUnixNano":"{T}"}}"#)),
            "400 error at least one label pair is required per stream",
        ),
    ] {
        let mut headers = vec![("content-type", kind), ("x-scope-orgid", "plain")];
        headers.extend((!encoding.is_empty()).then_some(("content-encoding", encoding)));
        let answer = post(&routes, LOKI, &headers, body.clone()).await;
        assert_eq!(format!("{} {}", answer.status, message(&answer)), want, "{kind} {encoding} {body}");
        assert_eq!(answer.header("content-type"), "application/octet-stream");
    }
    let body = request(&text("service.name", "x"), "{}", &old);
    let answer = post(&routes, LOKI, &[JSON, ("x-scope-orgid", "plain")], body).await;
    let want = "entry for stream '{service_name=\"x\"}' has timestamp too old: 2001-09-09T01:46:40Z, oldest acceptable";
    assert_eq!((answer.status, message(&answer).starts_with(want)), (400, true));
    assert_eq!(setup.written(), [format!("{T} \"good\" [] {{service_name=\"x\"}}")]);
    let answer = post(&routes, LOKI, &[JSON], "{}").await;
    assert_eq!((answer.status, &*answer.text()), (401, "no org id\n"));
}

#[tokio::test]
async fn encodings_are_unpacked() {
    let setup = Setup::new();
    let routes = otlp_http_routes(setup.push.clone());
    let body = request("", "{}", &full()).into_bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&body).unwrap();
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(&body).unwrap();
    let packed = [
        ("gzip", gzip.finish().unwrap()),
        ("lz4", lz4.finish().unwrap()),
        ("zstd", zstd::encode_all(&*body, 1).unwrap()),
        ("identity", body),
    ];
    for (encoding, body) in packed {
        let headers = [JSON, ("x-scope-orgid", "a"), ("content-encoding", encoding)];
        let answer = post(&routes, "/v1/logs", &headers, body).await;
        assert_eq!((answer.status, &*answer.text()), (200, r#"{"partialSuccess":{}}"#), "{encoding}");
        assert_eq!(setup.sink.0.lock().pop().unwrap().1.lines.get(0), "hello");
    }
}

#[tokio::test]
async fn port_4318_answers_as_specified() {
    let setup = Setup::new();
    let routes = otlp_http_routes(setup.push.clone());
    let old = r#"{"timeUnixNano":"1000000000000000000","body":{"stringValue":"old"}}"#;
    let good = format!(r#"{{"timeUnixNano":"{T}","body":{{"stringValue":"good"}}}}"#);
    let send = async |kind, tenant, records: &str| {
        let json = request(&text("service.name", "x"), "{}", records).into_bytes();
        let body = if kind == JSON { json } else { json_to_protobuf(&json).unwrap() };
        post(&routes, "/v1/logs", &[kind, ("x-scope-orgid", tenant)], body).await
    };
    let answer = send(PROTOBUF, "plain", &good).await;
    assert_eq!(
        (answer.status, answer.body.len(), answer.header("content-type")),
        (200, 0, "application/x-protobuf")
    );
    let answer = send(JSON, "plain", "").await;
    assert_eq!((answer.status, &*answer.text()), (200, r#"{"partialSuccess":{}}"#));
    let answer = send(JSON, "plain", &format!("{old},{good}")).await;
    let text = answer.text();
    assert!(
        text.starts_with(r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"entry for stream"#),
        "{text}"
    );
    assert_eq!(answer.status, 200);
    let answer = send(PROTOBUF, "plain", &format!("{old},{good}")).await;
    assert_eq!((answer.status, answer.body[0], answer.body[3..5].to_vec()), (200, 10, vec![8, 1]));
    let answer = send(JSON, "plain", old).await;
    assert_eq!((answer.status, answer.header("content-type")), (400, "application/json"));
    assert!(answer.text().starts_with(r#"{"code":3,"message":"entry for stream"#), "{}", answer.text());
    let long = format!(r#"{{"timeUnixNano":"{T}","body":{{"stringValue":"{}"}}}}"#, "x".repeat(300));
    let answer = send(PROTOBUF, "rate", &long).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
    assert!(message(&answer).starts_with("ingestion rate limit exceeded for user rate"));
    let answer = send(JSON, "readonly", &good).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.text(), r#"{"code":14,"message":"storage is read-only: no space left on device"}"#);
    let answer =
        post(&routes, "/v1/logs", &[("content-type", "text/plain"), ("x-scope-orgid", "a")], "{}").await;
    assert_eq!(answer.status, 415);
    let answer = post(&routes, "/v1/logs", &[JSON], "{}").await;
    assert_eq!((answer.status, &*answer.text()), (401, r#"{"code":16,"message":"no org id"}"#));
    let answer = post(&routes, "/v1/logs", &[JSON, ("x-scope-orgid", "a")], "{").await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn short_messages_that_mean_much_are_refused_in_time() {
    let memory = Pool::root("pushes", 64 << 20);
    let setup = Setup::with(memory.clone(), PushOptions::default());
    // The resource's attribute would be written out for each of 10,000 records: a gigabyte.
    let body = request(&text("host.name", &"x".repeat(100_000)), "{}", &vec!["{}"; 10_000].join(","));
    let routes = otlp_http_routes(setup.push.clone());
    let message = json_to_protobuf(body.as_bytes()).unwrap();
    assert!(message.len() < 200_000);
    let answer = post(&routes, "/v1/logs", &[PROTOBUF], message).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
    assert_eq!(memory.used(), 0);
    assert!(setup.written().is_empty());
}

#[tokio::test]
async fn maps_with_long_names_are_refused_in_time() {
    let memory = Pool::root("pushes", 64 << 20);
    let setup = Setup::with(memory.clone(), PushOptions::default());
    let routes = otlp_http_routes(setup.push.clone());
    // The map's name would be written out for each of 100,000 values: a hundred gigabytes. Values that are
    // maps without anything in them are never written, but their names are joined.
    for value in [r#"{"intValue":"1"}"#, r#"{"kvlistValue":{}}"#] {
        let values = vec![format!(r#"{{"key":"a","value":{value}}}"#); 100_000].join(",");
        let name = "k".repeat(1_000_000);
        let map = format!(r#"{{"key":"{name}","value":{{"kvlistValue":{{"values":[{values}]}}}}}}"#);
        let within = format!(r#"{{"attributes":[{map}]}}"#);
        for body in [request(&map, "{}", "{}"), request("", &within, "{}"), request("", "{}", &within)] {
            let message = json_to_protobuf(body.as_bytes()).unwrap();
            assert!(message.len() < 3_000_000);
            let answer = post(&routes, "/v1/logs", &[PROTOBUF], message).await;
            assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
            assert_eq!(memory.used(), 0);
        }
    }
    assert!(setup.written().is_empty());
}

/// Calls `Export`; gives the status, its message, the details and the answer.
async fn export(
    routes: &Router,
    tenant: Option<&str>,
    json: &str,
    zipped: bool,
) -> (String, String, bool, Vec<u8>) {
    let mut message = json_to_protobuf(json.as_bytes()).unwrap();
    if zipped {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&message).unwrap();
        message = gzip.finish().unwrap();
    }
    let mut framed = vec![u8::from(zipped)];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    let mut request = Request::post("/opentelemetry.proto.collector.logs.v1.LogsService/Export")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if zipped {
        request = request.header("grpc-encoding", "gzip");
    }
    if let Some(tenant) = tenant {
        request = request.header("x-scope-orgid", tenant);
    }
    let response = routes.clone().oneshot(request.body(Body::from(framed)).unwrap()).await.unwrap();
    let headers = response.headers().clone();
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let get = |name: &str| {
        let value = headers.get(name).or_else(|| trailers.get(name));
        value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    };
    let details = !get("grpc-status-details-bin").is_empty();
    (get("grpc-status"), get("grpc-message"), details, collected.to_bytes().to_vec())
}

#[tokio::test]
async fn grpc_takes_records_and_says_when_to_come_again() {
    let setup = Setup::new();
    let routes = otlp_grpc_routes(setup.push.clone());
    let good = request(&text("service.name", "x"), "{}", &full());
    for zipped in [false, true] {
        let (status, _, _, body) = export(&routes, Some("plain"), &good, zipped).await;
        assert_eq!((&*status, &*body), ("0", &[0, 0, 0, 0, 0][..]));
        assert_eq!(setup.sink.0.lock().pop().unwrap().1.lines.get(0), "hello");
    }
    let (status, text, details, _) = export(&routes, None, &good, false).await;
    assert_eq!((&*status, &*text, details), ("16", "no%20org%20id", false));
    let (status, _, details, _) = export(&routes, Some("rate"), &good, false).await;
    assert_eq!((&*status, details), ("8", true));
    let (status, _, details, _) = export(&routes, Some("readonly"), &good, false).await;
    assert_eq!((&*status, details), ("14", true));
    let old = request("", "{}", r#"{"timeUnixNano":"1000000000000000000"}"#);
    let (status, _, details, _) = export(&routes, Some("labels"), &old, false).await;
    assert_eq!((&*status, details), ("3", false));
}
