//! Real clients deliver lines, and every one comes back: OpenTelemetry's Python SDK, winston-loki, syslog-ng,
//! our own agent; and parts on a real S3 server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod harness;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use harness::loki::Loki;
use harness::{Process, ask, free_port, get, novaobs_binary, wait_for};
use serde_json::json;

const HOUR: i64 = 3_600_000_000_000;
const LINES: usize = 500;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

/// Where `xtask/install-log-clients` put them.
fn clients() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/log-clients");
    assert!(folder.join("stamp").exists(), "the clients are missing: make deps");
    folder.canonicalize().unwrap()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/log_clients").join(name)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {} {}", text(&output.stdout), text(&output.stderr));
}

/// Waits until each of the numbered lines is there once and no other.
fn all_arrive(url: &str, query: &str, line: impl Fn(usize) -> String) {
    let wanted: BTreeSet<String> = (0..LINES).map(line).collect();
    let (start, end) = ((now() - HOUR).to_string(), (now() + HOUR).to_string());
    let lines = wait_for(query, || {
        let answer = ask(
            &format!("{url}/loki/api/v1/query_range"),
            &[("query", query), ("start", &start), ("end", &end), ("limit", "5000")],
        );
        assert_eq!(answer.status, 200, "{}", answer.body);
        let result = answer.json()["data"]["result"].take();
        let streams = result.as_array().unwrap().clone();
        let lines: Vec<String> = streams
            .iter()
            .flat_map(|stream| stream["values"].as_array().unwrap())
            .map(|value| value[1].as_str().unwrap().to_owned())
            .collect();
        (lines.len() >= LINES).then_some(lines)
    });
    let strange = lines.iter().find(|line| !wanted.contains(*line));
    assert_eq!(strange, None, "{query}: a line that nobody sent");
    assert_eq!(lines.into_iter().collect::<BTreeSet<_>>().len(), LINES, "{query}: some lines came twice");
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "needs Python and Node clients: make blackbox")]
fn opentelemetry_and_winston_deliver_every_line() {
    let scratch = tempfile::tempdir().unwrap();
    let [loki, grpc, http] = [(); 3].map(|()| free_port());
    let mut process = Process::start(
        Command::new(novaobs_binary())
            .arg("serve")
            .arg(format!("--data={}", scratch.path().join("data").display()))
            .arg(format!("--loki.listen=127.0.0.1:{loki}"))
            .arg(format!("--otlp-grpc.listen=127.0.0.1:{grpc}"))
            .arg(format!("--otlp-http.listen=127.0.0.1:{http}"))
            .args(["--grafana.listen=off", "--prometheus.listen=off", "--alertmanager.listen=off"])
            .current_dir(scratch.path()),
        scratch.path().join("log"),
    );
    let url = format!("http://127.0.0.1:{loki}");
    wait_for("the server to be ready", || {
        assert!(process.is_running(), "it ended: {}", process.output());
        get(&format!("{url}/ready")).ok().filter(|answer| answer.status == 200)
    });

    let python = clients().join("venv/bin/python");
    let count = LINES.to_string();
    for (protocol, endpoint) in [
        ("grpc", format!("http://127.0.0.1:{grpc}")),
        ("http", format!("http://127.0.0.1:{http}/v1/logs")),
        ("http", format!("{url}/otlp/v1/logs")),
    ] {
        run(Command::new(&python).arg(script("otel.py")).args([protocol, &endpoint, &count]));
        if endpoint.ends_with("/otlp/v1/logs") {
            continue;
        }
        let query = format!("{{service_name=\"otel-{protocol}\"}} | lane=\"a\" | severity_text=\"WARN\"");
        all_arrive(&url, &query, |number| format!("order {number} was late"));
    }
    // The same lines at other times by Loki's own path: they came as well.
    let counted = ask(
        &format!("{url}/loki/api/v1/query"),
        &[("query", "sum(count_over_time({service_name=\"otel-http\"}[1h]))")],
    );
    assert_eq!(counted.json()["data"]["result"][0]["value"][1], (2 * LINES).to_string().as_str());

    for form in ["json", "protobuf"] {
        run(Command::new("node")
            .arg(script("winston.cjs"))
            .args([&url, &count, form])
            .env("NODE_PATH", clients().join("node/node_modules")));
        let query = format!("{{job=\"winston-{form}\"}}");
        all_arrive(&url, &query, |number| {
            format!("order {number} was late {{\"order\":{number},\"level\":\"info\"}}")
        });
    }
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "needs syslog-ng: make blackbox")]
fn syslog_ng_delivers_every_line() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Loki::start(scratch.path(), "");
    let log = scratch.path().join("in.log");
    std::fs::write(&log, "").unwrap();
    // An ordinary http() destination that writes Loki's JSON, one push for each line.
    let config = format!(
        "@version: 3.38\noptions {{ keep-timestamp(no); stats-freq(0); }};\n\
         source in {{ file(\"{}\" flags(no-parse) follow-freq(0.1)); }};\n\
         destination loki {{ http(url(\"{}/loki/api/v1/push\") method(\"POST\") workers(1) persist-name(\"x\")\n\
           headers(\"Content-Type: application/json\")\n\
           body('{{\"streams\":[{{\"stream\":{{\"job\":\"syslog-ng\"}},\"values\":[[\"$(* ${{R_UNIXTIME}} 1000000000)\",\"$(substr \"${{MESSAGE}}\" 0 1000)\"]]}}]}}')); }};\n\
         log {{ source(in); destination(loki); flags(flow-control); }};\n",
        log.display(),
        server.url
    );
    let file = scratch.path().join("syslog-ng.conf");
    std::fs::write(&file, config).unwrap();
    let at = |name: &str| scratch.path().join(name);
    let shipper = Process::start(
        Command::new("syslog-ng")
            .args(["--foreground", "--no-caps", "--cfgfile"])
            .arg(&file)
            .arg("--persist-file")
            .arg(at("persist"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("--control")
            .arg(at("ctl")),
        at("syslog-ng.log"),
    );
    let mut writer = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    for number in 0..LINES {
        writeln!(writer, "order {number} was late").unwrap();
    }
    all_arrive(&server.url, "{job=\"syslog-ng\"}", |number| format!("order {number} was late"));
    drop(shipper);
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "starts the binary: make blackbox")]
fn the_agent_delivers_every_line_through_kills_and_rotation() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Loki::start(&scratch.path().join("server"), "");
    let (log, positions) = (scratch.path().join("app.log"), scratch.path().join("positions.json"));
    let agent = || {
        Process::start(
            Command::new(novaobs_binary())
                .arg("agent")
                .arg(format!("--path={}", log.display()))
                .arg(format!("--url={}/loki/api/v1/push", server.url))
                .arg(format!("--positions={}", positions.display()))
                .arg("--job=agent"),
            scratch.path().join("agent.log"),
        )
    };
    let mut running = agent();
    let start = now();
    // Each line says its own time, so that one read twice is the same entry again.
    let line = |number: usize| {
        let time = chrono::DateTime::from_timestamp_nanos(start + number as i64 * 1_000_000);
        format!("{{\"ts\":\"{}\",\"order\":{number}}}", time.to_rfc3339())
    };
    let mut first_of_file = 0;
    for number in 0..LINES {
        if number == first_of_file + 1 {
            // A file that was rotated away before anyone saw it cannot be found again.
            let first = line(first_of_file);
            wait_for("the agent to have seen the file", || {
                server.lines("{job=\"agent\"}", start - HOUR, start + HOUR).contains(&first).then_some(())
            });
        }
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&log).unwrap();
        writeln!(file, "{}", line(number)).unwrap();
        if number % 100 == 50 {
            running.kill();
            if number % 200 == 50 {
                std::fs::rename(&log, scratch.path().join("app.log.1")).unwrap();
                first_of_file = number + 1;
            }
            running = agent();
        }
    }
    all_arrive(&server.url, "{job=\"agent\"}", line);
    let mut labels =
        server.result("query", &[("query", "sum by (filename) (count_over_time({job=\"agent\"}[1h]))")]);
    assert_eq!(labels[0]["metric"].take(), json!({ "filename": log.display().to_string() }));
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "needs an S3 server: make blackbox")]
fn parts_stand_on_an_s3_server() {
    let scratch = tempfile::tempdir().unwrap();
    let port = free_port();
    let s3 = Process::start(
        Command::new(clients().join("venv/bin/moto_server")).args([
            "-H",
            "127.0.0.1",
            "-p",
            &port.to_string(),
        ]),
        scratch.path().join("s3.log"),
    );
    let endpoint = format!("http://127.0.0.1:{port}");
    wait_for("the S3 server", || get(&endpoint).ok());
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    assert_eq!(agent.put(format!("{endpoint}/logs")).send("").unwrap().status(), 200);
    let config = format!(
        "common: {{path_prefix: {}, storage: {{s3: {{endpoint: '127.0.0.1:{port}', insecure: true, bucketnames: logs, region: us-east-1, access_key_id: key, secret_access_key: secret, s3forcepathstyle: true}}}}}}\n",
        scratch.path().join("data").display()
    );
    let mut server = Loki::start_with(scratch.path(), &config);
    let start = now();
    let entries: Vec<_> = (0..3_000).map(|i| (start + i, format!("{{\"i\":{i}}}"))).collect();
    assert_eq!(server.push(&json!({ "job": "s3" }), &entries).unwrap().status, 204);
    server.process.signal("TERM");
    assert_eq!(server.process.wait(), Some(0), "{}", server.process.output());
    let listing = get(&format!("{endpoint}/logs?list-type=2")).unwrap().body;
    assert!(listing.contains(".parquet"), "no part in the bucket: {listing}");
    // What is local is gone: the bucket has everything.
    std::fs::remove_dir_all(scratch.path().join("data")).unwrap();
    server.restart();
    let lines = server.lines("{job=\"s3\"}", start, start + HOUR);
    assert_eq!(lines.len(), 3_000);
    drop(s3);
}
