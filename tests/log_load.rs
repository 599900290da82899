//! A thousand dashboards at once within 2 GiB: every query is answered, ingest goes on, a small tenant is not
//! held up by a large one, and a query that needs more than its share says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod harness;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Process, free_port, get, novaobs_binary, wait_for};
use serde_json::json;

const CROWD: usize = 960;
const FEW: usize = 40;
const LINES: usize = 60_000;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

fn agent() -> ureq::Agent {
    let patience = Some(Duration::from_secs(300));
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(patience).build().into()
}

/// A server for tenants by header, with so much memory.
fn start(folder: &Path, memory: &str) -> (Process, String) {
    let port = free_port();
    let config = format!(
        "auth_enabled: true\nserver: {{http_listen_address: 127.0.0.1, http_listen_port: {port}}}\n\
         common: {{path_prefix: {}}}\n\
         limits_config: {{ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB, query_timeout: 5m, max_query_series: 1000000}}\n",
        folder.join("data").display()
    );
    std::fs::write(folder.join("loki.yml"), config).unwrap();
    let file = format!("-config.file={}", folder.join("loki.yml").display());
    let mut process = Process::start(
        Command::new(novaobs_binary()).args(["loki", &file, &format!("-memory={memory}")]),
        folder.join("log"),
    );
    let url = format!("http://127.0.0.1:{port}");
    wait_for("the server to be ready", || {
        assert!(process.is_running(), "it ended: {}", process.output());
        get(&format!("{url}/ready")).ok().filter(|answer| answer.status == 200)
    });
    (process, url)
}

fn push(url: &str, tenant: &str, from: usize, to: usize, start: i64) -> u16 {
    let values: Vec<_> = (from..to)
        .map(|i| {
            let line = format!(
                "{{\"level\":\"{}\",\"status\":{},\"took\":{}.5,\"id\":\"{i:032x}\",\"message\":\"request {i} handled\"}}",
                if i % 50 == 0 { "error" } else { "info" },
                if i % 50 == 0 { 500 } else { 200 },
                i % 300,
            );
            json!([(start + i as i64 * 10_000_000).to_string(), line])
        })
        .collect();
    let stream = json!({ "service": format!("s{}", from / 1000 % 10) });
    let body = json!({ "streams": [{ "stream": stream, "values": values }] }).to_string();
    let request = agent().post(format!("{url}/loki/api/v1/push")).header("x-scope-orgid", tenant);
    request.header("content-type", "application/json").send(body).unwrap().status().as_u16()
}

fn query(url: &str, tenant: &str, query: &str, start: i64, end: i64) -> (u16, String) {
    let range = [("start", start.to_string()), ("end", end.to_string()), ("step", "10".to_owned())];
    let mut answer = agent()
        .get(format!("{url}/loki/api/v1/query_range"))
        .query("query", query)
        .query_pairs(range.iter().map(|(name, value)| (*name, value.as_str())))
        .header("x-scope-orgid", tenant)
        .call()
        .unwrap();
    (answer.status().as_u16(), answer.body_mut().with_config().limit(1 << 30).read_to_string().unwrap())
}

fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

const PANELS: [&str; 5] = [
    "sum by (service) (count_over_time({service=~\".+\"}[1m]))",
    "sum by (status) (count_over_time({service=~\".+\"} | json | status >= 500 [1m]))",
    "quantile_over_time(0.95, {service=\"s3\"} | json | unwrap took [1m]) by (level)",
    "{service=\"s1\"} |= \"request\" | json | level=\"error\"",
    "topk(5, sum by (level) (bytes_over_time({service=~\"s[1-4]\"} | json [1m])))",
];

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "loads the machine: make blackbox")]
fn a_thousand_dashboards_starve_nobody() {
    let scratch = tempfile::tempdir().unwrap();
    let (process, url) = start(scratch.path(), "2GB");
    let start = now() - 900_000_000_000;
    for tenant in ["crowd", "few"] {
        for from in (0..LINES).step_by(1000) {
            assert_eq!(push(&url, tenant, from, from + 1000, start), 204);
        }
    }
    let end = start + LINES as i64 * 10_000_000;
    let (crowd_done, few_done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let crowd_when_few_were_done = AtomicUsize::new(0);
    let (over, pushed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let slowest_push = std::thread::scope(|scope| {
        let ingest = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            let mut from = LINES;
            while !over.load(Ordering::SeqCst) {
                let started = Instant::now();
                // Outside the range that the panels show.
                assert_eq!(push(&url, "crowd", from, from + 100, start - 36_000_000_000_000), 204);
                slowest = slowest.max(started.elapsed());
                from += 100;
                pushed.fetch_add(100, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(20));
            }
            slowest
        });
        let asked: Vec<_> = (0..CROWD + FEW)
            .map(|at| {
                // The few come last, when the crowd waits already.
                let tenant = if at < CROWD { "crowd" } else { "few" };
                let (url, crowd_done, few_done, at_few) =
                    (&url, &crowd_done, &few_done, &crowd_when_few_were_done);
                let panel = PANELS[at % PANELS.len()];
                std::thread::Builder::new()
                    .stack_size(256 << 10)
                    .spawn_scoped(scope, move || {
                        let (status, body) = query(url, tenant, panel, start, end);
                        assert_eq!(status, 200, "{tenant}: {panel}: {body}");
                        assert!(body.contains("\"values\":["), "{panel} finds nothing: {body}");
                        if tenant == "crowd" {
                            crowd_done.fetch_add(1, Ordering::SeqCst);
                        } else if few_done.fetch_add(1, Ordering::SeqCst) + 1 == FEW {
                            at_few.store(crowd_done.load(Ordering::SeqCst), Ordering::SeqCst);
                        }
                    })
                    .unwrap()
            })
            .collect();
        for one in asked {
            one.join().unwrap();
        }
        over.store(true, Ordering::SeqCst);
        ingest.join().unwrap()
    });
    let (peak, crowd) = (peak_memory(process.pid()), crowd_when_few_were_done.load(Ordering::SeqCst));
    println!(
        "{} queries; most memory {} MB; slowest push {slowest_push:?}, {} lines meanwhile; the few were done when {crowd} of {CROWD} were",
        CROWD + FEW,
        peak >> 20,
        pushed.load(Ordering::SeqCst),
    );
    assert!(peak < 2 << 30, "{peak} bytes");
    assert!(crowd < CROWD * 9 / 10, "the few waited for {crowd} of {CROWD} queries of the crowd");
    assert!(pushed.load(Ordering::SeqCst) >= 1000, "ingest was held up");
    assert!(slowest_push < Duration::from_secs(10), "a push took {slowest_push:?}");
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "starts the binary: make blackbox")]
fn a_query_over_its_share_of_memory_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut process, url) = start(scratch.path(), "64MB");
    let start = now() - 900_000_000_000;
    for from in (0..LINES).step_by(1000) {
        wait_for("the push to be taken", || (push(&url, "t", from, from + 1000, start) == 204).then_some(()));
    }
    let end = start + LINES as i64 * 10_000_000;
    let (status, body) =
        query(&url, "t", "sum by (id) (count_over_time({service=~\".+\"} | json [10m]))", start, end);
    assert!(matches!(status, 400 | 429 | 500 | 503), "{status}: {body}");
    assert!(body.contains("memory"), "it does not say why: {body}");
    assert!(process.is_running());
    let (status, body) = query(&url, "t", PANELS[0], start, end);
    assert_eq!(status, 200, "the next query is answered: {body}");
}
