//! Logs beside the peers in one run: ingest, bytes on disk, memory, kill -9, time to visibility, eight queries.
//!
//! The same JSON lines of a platform (20 services, 320 streams, about 350 bytes a line, a few needles) are
//! pushed as Loki's protobuf to novaobs and, where `BENCH_PEER_LOKI` and `BENCH_PEER_VICTORIALOGS` name their
//! binaries, to these. Figures are CPU seconds and bytes of the server process as the kernel counts them.
//! `BENCH_LINES` (2,000,000) and `BENCH_HOURS` (24) change the size; `BENCH_KEEP` keeps the data of novaobs
//! in that folder and asks again what is there already.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench"
)]

mod cost;
#[path = "../tests/harness/mod.rs"]
mod harness;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cost::{Random, SETTLE, cpu_seconds, folder_bytes, peak_rss, rss, settle};
use harness::{Process, ask, free_port, get, novaobs_binary, post, wait_within};

/// Entries of one push.
const LINES_PER_PUSH: usize = 5_000;
const SERVICES: usize = 20;
const PODS: usize = 16;
/// A word of one line, and a piece of it that no line has elsewhere.
const NEEDLE: &str = "zephyrquartz7";
const PIECE: &str = "phyrquar";
/// A query is repeated until it has used this much CPU, so that the kernel's ticks of 10 ms do not matter.
const ENOUGH_CPU: f64 = 0.4;
const MOST_REPEATS: u32 = 60;

fn main() {
    let number =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let platform = Platform::new(number("BENCH_LINES", 2_000_000), number("BENCH_HOURS", 24));
    let scratch = tempfile::tempdir().unwrap();
    let mut peers = vec![Peer::Novaobs];
    peers.extend(std::env::var_os("BENCH_PEER_LOKI").map(|at| Peer::Loki(at.into())));
    peers.extend(std::env::var_os("BENCH_PEER_VICTORIALOGS").map(|at| Peer::VictoriaLogs(at.into())));
    println!("{} lines over {} hours", platform.lines, platform.hours);
    let results: Vec<Figures> = peers
        .iter()
        .map(|peer| {
            let kept = std::env::var_os("BENCH_KEEP").filter(|_| matches!(peer, Peer::Novaobs));
            let folder = kept.map_or_else(|| scratch.path().join(peer.name()), PathBuf::from);
            measure(peer, &platform, &folder)
        })
        .collect();
    print_table(&results);
}

/// What writes the lines.
struct Platform {
    lines: usize,
    hours: usize,
    /// Unix nanoseconds.
    start: i64,
    end: i64,
    trace: String,
}

const METHODS: [&str; 5] = ["GET", "GET", "GET", "POST", "DELETE"];
const RESOURCES: [&str; 10] =
    ["vms", "migrations", "hosts", "volumes", "networks", "images", "snapshots", "users", "jobs", "quotas"];
const ACTIONS: [&str; 8] = ["list", "get", "create", "delete", "start", "stop", "resize", "console"];
const MESSAGES: [&str; 8] = [
    "request handled",
    "placement of machine decided by scheduler",
    "cache miss, reading from database",
    "queue drained without backlog",
    "volume attached to hypervisor",
    "token refreshed for session",
    "dirty pages sent to target host",
    "health probe of neighbour answered",
];

impl Platform {
    fn new(lines: usize, hours: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        // A whole minute ends the range, so that every run has the same number of steps.
        let end = now - now % 60_000_000_000;
        let start = end - hours as i64 * 3_600_000_000_000;
        Platform { lines, hours, start, end, trace: trace_id((lines as u64 / 3 / 90) * 10 + 7) }
    }

    /// The time of a line: evenly spread, microseconds as loggers write them.
    fn time(&self, line: usize) -> i64 {
        let at = self.start + ((self.end - self.start) as i128 * line as i128 / self.lines as i128) as i64;
        at - at % 1000
    }

    /// Pushes everything in order of time.
    fn send(&self, url: &str) {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut streams: Vec<Vec<(i64, String)>> = vec![Vec::new(); SERVICES * PODS];
        for line in 0..self.lines {
            let at = random.below((SERVICES * PODS) as u64) as usize;
            let time = self.time(line);
            streams[at].push((time, self.line(line, at, time, &mut random)));
            if (line + 1).is_multiple_of(LINES_PER_PUSH) || line + 1 == self.lines {
                push(url, &streams);
                streams.iter_mut().for_each(Vec::clear);
            }
        }
    }

    fn line(&self, line: usize, stream: usize, time: i64, random: &mut Random) -> String {
        let (service, pod) = (stream / PODS, stream % PODS);
        let time = chrono::DateTime::from_timestamp_nanos(time).format("%Y-%m-%dT%H:%M:%S%.6fZ");
        let roll = random.below(1000);
        let (level, status) = match roll {
            0..8 => ("error", 500 + roll % 4),
            8..40 => ("warn", 400 + roll % 5),
            40..300 => ("debug", 200),
            _ => ("info", if roll.is_multiple_of(10) { 201 } else { 200 }),
        };
        let needle = if line == self.lines / 3 { NEEDLE } else { "" };
        // About nine lines of each trace, from several services.
        let trace = trace_id((line as u64 / 90) * 10 + random.below(10));
        let mut text = String::with_capacity(384);
        let resource = RESOURCES[random.below(10) as usize];
        let action = ACTIONS[random.below(8) as usize];
        let (order, ms) = (random.below(100_000), random.below(3_000_000));
        write!(
            text,
            "{{\"ts\":\"{time}\",\"level\":\"{level}\",\"service\":\"{}\",\"pod\":\"{}\",\"trace_id\":\"{trace}\",\
             \"span_id\":\"{:016x}\",\"method\":\"{}\",\"endpoint\":\"/api/v1/{resource}/{action}\",\"status\":{status},\
             \"duration_ms\":{}.{:03},\"user_id\":\"user-{}\",\"message\":\"{} {order}{}{needle}\"}}",
            service_name(service),
            pod_name(service, pod),
            random.next(),
            METHODS[random.below(5) as usize],
            ms / 1000,
            ms % 1000,
            random.below(random.0 % 5000 + 1),
            MESSAGES[random.below(8) as usize],
            if needle.is_empty() { "" } else { " " },
        )
        .unwrap();
        text
    }
}

fn service_name(service: usize) -> String {
    format!("novacron-service-{service:02}")
}

fn pod_name(service: usize, pod: usize) -> String {
    format!("svc{service:02}-{:08x}-{pod:x}", (service * 16 + pod) * 2_654_435_761 % 0xffff_ffff)
}

fn trace_id(number: u64) -> String {
    let mut mixed = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    mixed.next();
    format!("{:016x}{:016x}", mixed.next(), mixed.next())
}

/// Sends a push as Loki's agents do: protobuf in a snappy block.
fn push(url: &str, streams: &[Vec<(i64, String)>]) {
    let mut request = Vec::new();
    for (at, entries) in streams.iter().enumerate().filter(|(_, entries)| !entries.is_empty()) {
        let (service, pod) = (at / PODS, at % PODS);
        let mut stream = Vec::new();
        let labels = format!("{{pod=\"{}\", service=\"{}\"}}", pod_name(service, pod), service_name(service));
        field(&mut stream, 1, labels.as_bytes());
        for (time, line) in entries {
            let mut stamp = Vec::new();
            stamp.push(0x08);
            varint(&mut stamp, (time / 1_000_000_000) as u64);
            stamp.push(0x10);
            varint(&mut stamp, (time % 1_000_000_000) as u64);
            let mut entry = Vec::with_capacity(line.len() + 24);
            field(&mut entry, 1, &stamp);
            field(&mut entry, 2, line.as_bytes());
            field(&mut stream, 2, &entry);
        }
        field(&mut request, 1, &stream);
    }
    let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    let answer = wait_within(SETTLE, "the server to take lines", || {
        // A peer may say that it is busy; an agent would wait and send again.
        let answer = post(url, &headers, &body).unwrap();
        (answer.status != 429 && answer.status < 500).then_some(answer)
    });
    assert!(answer.status == 204 || answer.status == 200, "{answer:?}");
}

/// A length-delimited field of a protobuf message.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

enum Peer {
    Novaobs,
    Loki(PathBuf),
    VictoriaLogs(PathBuf),
}

impl Peer {
    fn name(&self) -> &'static str {
        match self {
            Peer::Novaobs => "novaobs",
            Peer::Loki(_) => "loki",
            Peer::VictoriaLogs(_) => "victoria-logs",
        }
    }

    fn command(&self, folder: &Path, port: u16) -> Command {
        let config = folder.join("loki.yml");
        std::fs::write(&config, loki_config(folder, port)).unwrap();
        match self {
            Peer::Novaobs => {
                let mut command = Command::new(novaobs_binary());
                command.arg("loki").arg(format!("-config.file={}", config.display()));
                command
            }
            Peer::Loki(program) => {
                let mut command = Command::new(program);
                command.arg(format!("-config.file={}", config.display()));
                command
            }
            Peer::VictoriaLogs(program) => {
                let mut command = Command::new(program);
                command
                    .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
                    .arg(format!("-storageDataPath={}", folder.join("data").display()))
                    .arg("-retentionPeriod=1y");
                command
            }
        }
    }

    fn ready_path(&self) -> &'static str {
        if matches!(self, Peer::VictoriaLogs(_)) { "/health" } else { "/ready" }
    }

    fn push_path(&self) -> &'static str {
        match self {
            Peer::VictoriaLogs(_) => "/insert/loki/api/v1/push?_stream_fields=service,pod&_msg_field=message",
            _ => "/loki/api/v1/push",
        }
    }

    /// Asks a query and returns how many lines of answer (rows or series) there are.
    fn ask(&self, url: &str, query: &Query, platform: &Platform) -> usize {
        let (start, end) = (platform.start.to_string(), platform.end.to_string());
        if let Peer::VictoriaLogs(_) = self {
            let parameters = [("query", query.logsql.as_str()), ("start", &start), ("end", &end)];
            let answer = ask(&format!("{url}/select/logsql/query"), &parameters);
            assert_eq!(answer.status, 200, "{}: {}", query.logsql, answer.body);
            return answer.body.lines().count();
        }
        let answer = match query.shape {
            Shape::Lines(limit) => ask(
                &format!("{url}/loki/api/v1/query_range"),
                &[("query", &query.logql), ("start", &start), ("end", &end), ("limit", &limit.to_string())],
            ),
            Shape::PerStep(step) => ask(
                &format!("{url}/loki/api/v1/query_range"),
                &[("query", &query.logql), ("start", &start), ("end", &end), ("step", step)],
            ),
            Shape::Instant => {
                ask(&format!("{url}/loki/api/v1/query"), &[("query", &query.logql), ("time", &end)])
            }
        };
        assert_eq!(answer.status, 200, "{}: {}", query.logql, answer.body);
        let results = answer.json()["data"]["result"].as_array().unwrap().clone();
        match query.shape {
            Shape::Lines(_) => results.iter().map(|s| s["values"].as_array().unwrap().len()).sum(),
            _ => results.len(),
        }
    }
}

/// Limits out of the way, everything on local disk: read by Loki and by novaobs.
fn loki_config(folder: &Path, port: u16) -> String {
    let (data, grpc) = (folder.join("data"), free_port());
    format!(
        "auth_enabled: false
server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}, grpc_listen_port: {grpc}, log_level: warn}}
common:
  path_prefix: {data}
  instance_addr: 127.0.0.1
  replication_factor: 1
  ring: {{kvstore: {{store: inmemory}}}}
  storage: {{filesystem: {{chunks_directory: {data}/chunks, rules_directory: {data}/rules}}}}
schema_config:
  configs: [{{from: 2020-10-24, store: tsdb, object_store: filesystem, schema: v13, index: {{prefix: index_, period: 24h}}}}]
limits_config:
  reject_old_samples: false
  ingestion_rate_mb: 1000
  ingestion_burst_size_mb: 2000
  per_stream_rate_limit: 1GB
  per_stream_rate_limit_burst: 1GB
  max_query_series: 100000
  discover_log_levels: false
  max_query_bytes_read: 0
query_range: {{cache_results: false}}
querier: {{query_ingesters_within: 0s}}
analytics: {{reporting_enabled: false}}
",
        data = data.display()
    )
}

struct Query {
    name: &'static str,
    logql: String,
    logsql: String,
    shape: Shape,
}

enum Shape {
    /// Newest lines, at most so many.
    Lines(usize),
    /// A metric over the range.
    PerStep(&'static str),
    /// A metric at its end.
    Instant,
}

fn queries(platform: &Platform) -> Vec<Query> {
    let all = "{service=~\".+\"}";
    let window = format!("{}h", platform.hours);
    let query =
        |name, shape, logql: String, logsql: &str| Query { name, logql, logsql: logsql.to_owned(), shape };
    let (step, step_text) = if platform.hours > 24 { ("1h", "1h") } else { ("1m", "1m") };
    vec![
        query(
            "count by service and step",
            Shape::PerStep(step),
            format!("sum by (service) (count_over_time({all}[{step}]))"),
            &format!("* | stats by (_time:{step_text}, service) count() n"),
        ),
        query("rare word", Shape::Lines(100), format!("{all} |= \"{NEEDLE}\""), NEEDLE),
        query("rare substring", Shape::Lines(100), format!("{all} |= \"{PIECE}\""), &format!("~\"{PIECE}\"")),
        query(
            "one trace id",
            Shape::Lines(100),
            format!("{all} |= \"{}\"", platform.trace),
            &format!("trace_id:{}", platform.trace),
        ),
        query(
            "newest 100 errors of a service",
            Shape::Lines(100),
            format!("{{service=\"{}\"}} | json | level=\"error\"", service_name(7)),
            &format!("{{service=\"{}\"}} level:=error | sort by (_time) desc limit 100", service_name(7)),
        ),
        query(
            "status >= 500 by endpoint",
            Shape::Instant,
            format!("sum by (endpoint) (count_over_time({all} | json | status >= 500 [{window}]))"),
            "status:>=500 | stats by (endpoint) count() n",
        ),
        query(
            "top 10 users",
            Shape::Instant,
            format!("topk(10, sum by (user_id) (count_over_time({all} | json [{window}])))"),
            "* | stats by (user_id) count() n | sort by (n) desc limit 10",
        ),
        query(
            "p95 of duration by endpoint",
            Shape::Instant,
            format!("quantile_over_time(0.95, {all} | json | unwrap duration_ms [{window}]) by (endpoint)"),
            "* | stats by (endpoint) quantile(0.95, duration_ms) p95",
        ),
    ]
}

struct Figures {
    peer: &'static str,
    ingest_cpu_per_million: f64,
    bytes_per_line: f64,
    anonymous: f64,
    peak: f64,
    lost: f64,
    visible_ms: f64,
    /// CPU and wall seconds of each query, and rows of its answer.
    queries: Vec<(f64, f64, usize)>,
}

fn measure(peer: &Peer, platform: &Platform, folder: &Path) -> Figures {
    println!("measuring {}", peer.name());
    std::fs::create_dir_all(folder).unwrap();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let start = || {
        let process = Process::start(&mut peer.command(folder, port), folder.join("log"));
        wait_within(SETTLE, "the server", || {
            get(&format!("{url}{}", peer.ready_path())).ok().filter(|a| a.status == 200)
        });
        process
    };
    let there_already = folder.join("sent").exists();
    let mut process = start();
    let push_url = format!("{url}{}", peer.push_path());
    if !there_already {
        platform.send(&push_url);
    }
    let pid = process.pid();
    let before_kill = (cpu_seconds(pid), rss(pid), peak_rss(pid));
    // Killed at once after the last acknowledgement: what was promised must be there.
    let mut lost = 0.0;
    if !there_already {
        process.kill();
        process = start();
        lost = (platform.lines as f64 - lines_there(peer, &url, platform)).max(0.0);
    }
    if lost > 0.0 {
        // What is left would be refused as too old or stand twice: it is sent to an empty server instead.
        println!("{} lost {lost} acknowledged lines; it begins anew", peer.name());
        process.kill();
        std::fs::remove_dir_all(folder.join("data")).unwrap();
        process = start();
        platform.send(&push_url);
    }
    let anonymous = rss(process.pid()).max(before_kill.1);
    let after_send = peak_rss(process.pid()).max(before_kill.2);
    if !matches!(peer, Peer::VictoriaLogs(_)) {
        // What is asked below stands on disk, not in memory.
        assert!(post(&format!("{url}/flush"), &[], b"").unwrap().status < 300);
    }
    settle(process.pid());
    // After a loss the second server did all of the work, else each its part.
    let ingest_cpu = cpu_seconds(process.pid()) + if lost > 0.0 { 0.0 } else { before_kill.0 };
    std::fs::write(folder.join("sent"), "").unwrap();
    let visible_ms = visibility(peer, &url, &push_url);
    let bytes = folder_bytes(&folder.join("data"), &|_| true);
    let queries =
        queries(platform).iter().map(|q| time_query(peer, &url, process.pid(), q, platform)).collect();
    Figures {
        peer: peer.name(),
        ingest_cpu_per_million: ingest_cpu / (platform.lines as f64 / 1e6),
        bytes_per_line: bytes as f64 / platform.lines as f64,
        anonymous: anonymous as f64,
        peak: after_send as f64,
        lost,
        visible_ms,
        queries,
    }
}

/// How many lines the server has.
fn lines_there(peer: &Peer, url: &str, platform: &Platform) -> f64 {
    let number = |value: &serde_json::Value| value.as_str().and_then(|n| n.parse().ok()).unwrap_or(0.0);
    if let Peer::VictoriaLogs(_) = peer {
        let answer = ask(&format!("{url}/select/logsql/query"), &[("query", "* | stats count() n")]);
        return number(&answer.json()["n"]);
    }
    // A second past the end: the window is closed on the right and open on the left.
    let query = format!("sum(count_over_time({{service=~\".+\"}}[{}h]))", platform.hours + 1);
    let time = (platform.end + 1_000_000_000).to_string();
    let answer = ask(&format!("{url}/loki/api/v1/query"), &[("query", &query), ("time", &time)]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    number(&answer.json()["data"]["result"][0]["value"][1])
}

/// Milliseconds from an acknowledged push until a query finds the line.
fn visibility(peer: &Peer, url: &str, push_url: &str) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    let word = format!("visible{now}");
    let mut streams = vec![Vec::new(); SERVICES * PODS];
    streams[0].push((now, format!("{{\"message\":\"{word}\"}}")));
    push(push_url, &streams);
    let started = Instant::now();
    let (from, to) = ((now - 60_000_000_000).to_string(), (now + 60_000_000_000).to_string());
    wait_within(Duration::from_secs(60), "the line", || {
        let answer = match peer {
            Peer::VictoriaLogs(_) => ask(&format!("{url}/select/logsql/query"), &[("query", word.as_str())]),
            _ => ask(
                &format!("{url}/loki/api/v1/query_range"),
                &[("query", &format!("{{service=~\".+\"}} |= \"{word}\"")), ("start", &from), ("end", &to)],
            ),
        };
        answer
            .body
            .contains(&format!("\\\"{word}"))
            .then_some(())
            .or_else(|| (matches!(peer, Peer::VictoriaLogs(_)) && answer.body.contains(&word)).then_some(()))
    });
    started.elapsed().as_secs_f64() * 1000.0
}

fn time_query(peer: &Peer, url: &str, pid: u32, query: &Query, platform: &Platform) -> (f64, f64, usize) {
    let rows = peer.ask(url, query, platform);
    assert!(rows > 0, "{}: {} finds nothing", peer.name(), query.name);
    let (cpu, started) = (cpu_seconds(pid), Instant::now());
    let mut repeats = 0;
    while repeats < 3 || (repeats < MOST_REPEATS && cpu_seconds(pid) - cpu < ENOUGH_CPU) {
        peer.ask(url, query, platform);
        repeats += 1;
    }
    let repeats = f64::from(repeats);
    ((cpu_seconds(pid) - cpu) / repeats, started.elapsed().as_secs_f64() / repeats, rows)
}

fn print_table(results: &[Figures]) {
    let ours = &results[0];
    print!("{:<44}", "");
    results.iter().for_each(|r| print!("{:>26}", r.peer));
    println!();
    let row = |name: &str, figure: &dyn Fn(&Figures) -> f64, unit: &str| {
        print!("{name:<44}");
        for result in results {
            let value = format!("{:.2} {unit}", figure(result));
            let ratio = figure(result) / figure(ours);
            let alone = std::ptr::eq(result, ours) || !ratio.is_finite();
            print!("{:>26}", if alone { value } else { format!("{value} ({ratio:.1}x)") });
        }
        println!();
    };
    row("ingest, CPU seconds per million lines", &|f| f.ingest_cpu_per_million, "s");
    row("bytes per line on disk", &|f| f.bytes_per_line, "B");
    row("anonymous memory after ingest", &|f| f.anonymous / 1e6, "MB");
    row("most resident memory during ingest", &|f| f.peak / 1e6, "MB");
    row("acknowledged lines lost by kill -9", &|f| f.lost, "");
    row("pushed line found by a query after", &|f| f.visible_ms, "ms");
    let names = queries(&Platform::new(1, 1)).into_iter().map(|query| query.name);
    for (at, name) in names.enumerate() {
        row(&format!("CPU: {name}"), &|f| f.queries[at].0 * 1000.0, "ms");
        row(&format!("wall: {name}"), &|f| f.queries[at].1 * 1000.0, "ms");
        row(&format!("rows: {name}"), &|f| f.queries[at].2 as f64, "");
    }
}
