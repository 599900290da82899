//! Metrics beside the peers in one run: ingest, bytes on disk, memory, restart after kill -9, six queries.
//!
//! The same synthetic hosts (shaped like node_exporter: two thirds constants, counters with fractions,
//! counters of bytes and packets, gauges, histogram buckets) are sent by remote write to novaobs, Debian's
//! Prometheus and Debian's VictoriaMetrics, one after the other on the same machine. Figures are CPU
//! seconds and bytes of the server process as the kernel counts them; wall time is printed only where it is
//! what a user waits for. `BENCH_HOSTS` and `BENCH_HOURS` change the size.
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

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cost::{Random, SETTLE, cpu_seconds, folder_bytes, rss, settle};
use harness::{Process, ask, free_port, get, novaobs_binary, post, wait_within};
use novaobs_model::Labels;
use novaobs_wire::remote_write;

const STEP_MS: i64 = 15_000;
/// Label sets and samples of one request.
const HOSTS_PER_REQUEST: usize = 10;
const QUERY_REPEATS: u32 = 20;

fn main() {
    let number =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let fleet = Fleet::new(number("BENCH_HOSTS", 40), number("BENCH_HOURS", 6));
    let scratch = tempfile::tempdir().unwrap();
    println!(
        "{} hosts, {} series, {} samples each, {:.1} million samples",
        fleet.hosts,
        fleet.series(),
        fleet.steps,
        fleet.samples() as f64 / 1e6
    );
    let results: Vec<Figures> = [Peer::Novaobs, Peer::Prometheus, Peer::VictoriaMetrics]
        .into_iter()
        .map(|peer| measure(peer, &fleet, &scratch.path().join(peer.name())))
        .collect();
    print_table(&results);
}

/// The machines that are watched.
struct Fleet {
    hosts: usize,
    steps: usize,
    start: i64,
    end: i64,
    /// What each host exposes: how it moves, its name, its labels.
    kinds: Vec<Exposed>,
}

type Exposed = (Kind, &'static str, Vec<(String, String)>);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Constant,
    /// Hundredths of a second, as CPU time.
    Seconds,
    /// Whole numbers that grow at a changing pace.
    Bytes,
    /// Pages of memory.
    Pages,
    /// Two decimals that wander.
    Load,
    /// Buckets of a histogram, by number.
    Bucket(usize),
}

impl Fleet {
    fn new(hosts: usize, hours: usize) -> Self {
        let mut kinds = Vec::new();
        let label = |name: &str, value: String| (name.to_owned(), value);
        for cpu in 0..8 {
            for mode in ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"] {
                let labels = vec![label("cpu", cpu.to_string()), label("mode", mode.to_owned())];
                let kind =
                    if matches!(mode, "nice" | "irq" | "steal") { Kind::Constant } else { Kind::Seconds };
                kinds.push((kind, "node_cpu_seconds_total", labels));
            }
        }
        for device in ["eth0", "eth1", "lo"] {
            for name in [
                "node_network_receive_bytes_total",
                "node_network_transmit_bytes_total",
                "node_network_receive_packets_total",
            ] {
                kinds.push((Kind::Bytes, name, vec![label("device", device.to_owned())]));
            }
        }
        for device in ["sda", "sdb"] {
            for name in [
                "node_disk_read_bytes_total",
                "node_disk_written_bytes_total",
                "node_disk_io_time_seconds_total",
            ] {
                let kind = if name.contains("seconds") { Kind::Seconds } else { Kind::Bytes };
                kinds.push((kind, name, vec![label("device", device.to_owned())]));
            }
        }
        for field in ["MemFree", "MemAvailable", "Cached", "Active", "Inactive", "Dirty", "Slab", "AnonPages"]
        {
            kinds.push((Kind::Pages, "node_memory_bytes", vec![label("field", field.to_owned())]));
        }
        for name in ["node_load1", "node_load5", "node_load15"] {
            kinds.push((Kind::Load, name, Vec::new()));
        }
        for handler in ["/api/v1/vms", "/api/v1/migrations"] {
            for (i, le) in
                ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
                    .iter()
                    .enumerate()
            {
                let labels = vec![label("handler", handler.to_owned()), label("le", (*le).to_owned())];
                kinds.push((Kind::Bucket(i), "http_request_duration_seconds_bucket", labels));
            }
        }
        let varying = kinds.len();
        for i in 0..(varying * 2) {
            kinds.push((Kind::Constant, "node_constant", vec![label("id", i.to_string())]));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let steps = hours * 240;
        let start = now - steps as i64 * STEP_MS;
        Fleet { hosts, steps, start, end: now, kinds }
    }

    fn series(&self) -> usize {
        self.hosts * self.kinds.len()
    }

    fn samples(&self) -> usize {
        self.series() * self.steps
    }

    /// Sends everything, in order of time, and calls `sent` after each request.
    fn send(&self, url: &str) {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut values: Vec<f64> = (0..self.series()).map(|i| (i * 7919 % 100_000) as f64).collect();
        let labels: Vec<Labels> = (0..self.hosts)
            .flat_map(|host| {
                self.kinds.iter().map(move |(_, name, pairs)| {
                    let instance = format!("host-{host:04}:9100");
                    let fixed = [("__name__", *name), ("job", "node"), ("instance", &instance)];
                    Labels::from_pairs(
                        fixed.into_iter().chain(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))),
                    )
                })
            })
            .collect();
        let headers = [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "0.1.0"),
        ];
        for step in 0..self.steps {
            for hosts in (0..self.hosts).collect::<Vec<_>>().chunks(HOSTS_PER_REQUEST) {
                let mut request = Vec::with_capacity(hosts.len() * self.kinds.len());
                for host in hosts {
                    // A scrape has one time for all its series; scrapers are a few milliseconds early or late.
                    let jitter = (random.next() % 5) as i64 + (*host as i64 * 311) % STEP_MS;
                    let time = self.start + step as i64 * STEP_MS + jitter;
                    let mut in_bucket = 0.0;
                    for (at, (kind, _, _)) in self.kinds.iter().enumerate() {
                        let index = host * self.kinds.len() + at;
                        if let Kind::Bucket(0) = kind {
                            in_bucket = 0.0;
                        }
                        let value = &mut values[index];
                        match kind {
                            Kind::Constant => {}
                            Kind::Seconds => {
                                *value = ((*value * 100.0).round() + (random.next() % 600) as f64) / 100.0
                            }
                            Kind::Bytes => *value += (random.next() % 3_000_000) as f64,
                            Kind::Pages => {
                                *value = (*value + ((random.next() % 41) as f64 - 20.0) * 4096.0).abs()
                            }
                            Kind::Load => {
                                *value = ((*value % 10.0 * 100.0).round() + (random.next() % 21) as f64
                                    - 10.0)
                                    .abs()
                                    / 100.0
                            }
                            Kind::Bucket(_) => {
                                in_bucket += (random.next() % 7) as f64;
                                *value += in_bucket;
                            }
                        }
                        request.push((labels[index].clone(), vec![(time, *value)]));
                    }
                }
                let pairs = request.iter().map(|(labels, samples)| (labels, samples.as_slice()));
                let body = remote_write::encode(pairs, &[]).unwrap();
                let answer = post(&format!("{url}/api/v1/write"), &headers, &body).unwrap();
                assert!(answer.status == 204 || answer.status == 200, "{answer:?}");
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Peer {
    Novaobs,
    Prometheus,
    VictoriaMetrics,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Peer::Novaobs => "novaobs",
            Peer::Prometheus => "prometheus 2.42",
            Peer::VictoriaMetrics => "victoria-metrics 1.79",
        }
    }

    fn command(self, folder: &Path, port: u16) -> Command {
        let listen = format!("127.0.0.1:{port}");
        let config = folder.join("prometheus.yml");
        std::fs::write(&config, "scrape_configs: []\n").unwrap();
        let prometheus_flags = |command: &mut Command| {
            command
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
                .arg(format!("--web.listen-address={listen}"))
                .arg("--web.enable-remote-write-receiver");
        };
        match self {
            Peer::Novaobs => {
                let mut command = Command::new(novaobs_binary());
                command.arg("prometheus");
                prometheus_flags(&mut command);
                command
            }
            Peer::Prometheus => {
                let mut command = Command::new("/usr/bin/prometheus");
                prometheus_flags(&mut command);
                command.arg("--web.enable-admin-api");
                command
            }
            Peer::VictoriaMetrics => {
                let mut command = Command::new("victoria-metrics");
                command
                    .arg(format!("-httpListenAddr={listen}"))
                    .arg(format!("-storageDataPath={}", folder.join("data").display()));
                // Its cache of answers would serve the repeats of a query.
                command.args(["-search.disableCache", "-retentionPeriod=1y"]);
                command
            }
        }
    }

    fn ready_path(self) -> &'static str {
        if self == Peer::VictoriaMetrics { "/health" } else { "/-/ready" }
    }
}

struct Figures {
    peer: &'static str,
    ingest_cpu_per_million: f64,
    bytes_per_sample: f64,
    rss_per_series: f64,
    rss_total: f64,
    restart_wall: f64,
    restart_cpu: f64,
    /// CPU seconds and wall seconds per query.
    queries: Vec<(f64, f64)>,
}

fn measure(peer: Peer, fleet: &Fleet, folder: &Path) -> Figures {
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
    let mut process = start();
    let empty_rss = rss(process.pid());
    let cpu_before = cpu_seconds(process.pid());
    fleet.send(&url);
    settle(process.pid());
    let ingest_cpu = cpu_seconds(process.pid()) - cpu_before;
    let rss_total = rss(process.pid());

    if peer == Peer::VictoriaMetrics {
        // 1.79 acknowledges samples that it writes to disk up to five seconds later, and says nowhere when
        // that is done; a kill before would lose them.
        std::thread::sleep(Duration::from_secs(8));
    }
    process.kill();
    let restarted = Instant::now();
    let mut process = start();
    let count = format!("count(count_over_time(node_load1[1h] @ {}))", fleet.end / 1000);
    let counted = ask(&format!("{url}/api/v1/query"), &[("query", &count)]).json();
    let restart_wall = restarted.elapsed().as_secs_f64();
    let restart_cpu = cpu_seconds(process.pid());
    if peer != Peer::VictoriaMetrics {
        // 1.79 does not know `@`; the others must have every host back.
        assert_eq!(counted["data"]["result"][0]["value"][1], fleet.hosts.to_string().as_str(), "{counted}");
    }

    let queries = QUERIES.iter().map(|query| time_query(&url, process.pid(), query, fleet)).collect();
    let bytes = compacted_bytes(peer, &url, &mut process, folder);
    Figures {
        peer: peer.name(),
        ingest_cpu_per_million: ingest_cpu / (fleet.samples() as f64 / 1e6),
        bytes_per_sample: bytes as f64 / fleet.samples() as f64,
        rss_per_series: rss_total.saturating_sub(empty_rss) as f64 / fleet.series() as f64,
        rss_total: rss_total as f64,
        restart_wall,
        restart_cpu,
        queries,
    }
}

struct Query {
    text: &'static str,
    /// Hours of a range query with a step of a minute; none: an instant query.
    hours: Option<i64>,
}

const QUERIES: [Query; 6] = [
    Query { text: "node_load1", hours: None },
    Query { text: "topk(10, sum by (instance) (rate(node_network_receive_bytes_total[5m])))", hours: None },
    Query { text: "count by (__name__) ({__name__=~\"node_.+\"})", hours: None },
    Query { text: "sum by (mode) (rate(node_cpu_seconds_total[5m]))", hours: Some(3) },
    Query {
        text: "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
        hours: Some(3),
    },
    Query { text: "max_over_time(node_memory_bytes{field=\"MemFree\"}[1h])", hours: Some(3) },
];

/// CPU and wall seconds of one answer, the mean of some repeats after a warm-up.
fn time_query(url: &str, pid: u32, query: &Query, fleet: &Fleet) -> (f64, f64) {
    let end = fleet.end / 1000 - 60;
    let once = || {
        let answer = match query.hours {
            None => ask(&format!("{url}/api/v1/query"), &[("query", query.text), ("time", &end.to_string())]),
            Some(hours) => ask(
                &format!("{url}/api/v1/query_range"),
                &[
                    ("query", query.text),
                    ("start", &(end - hours * 3600).to_string()),
                    ("end", &end.to_string()),
                    ("step", "60"),
                ],
            ),
        };
        assert_eq!(answer.status, 200, "{}: {}", query.text, answer.body);
        assert!(answer.body.contains("\"value"), "{} finds nothing: {}", query.text, answer.body);
    };
    once();
    let (cpu, started) = (cpu_seconds(pid), Instant::now());
    for _ in 0..QUERY_REPEATS {
        once();
    }
    let repeats = f64::from(QUERY_REPEATS);
    ((cpu_seconds(pid) - cpu) / repeats, started.elapsed().as_secs_f64() / repeats)
}

/// Bytes of all samples on disk when nothing is left to compact, by each server's own means.
fn compacted_bytes(peer: Peer, url: &str, process: &mut Process, folder: &Path) -> u64 {
    match peer {
        Peer::Novaobs => {
            process.signal("TERM");
            process.wait();
            folder_bytes(&folder.join("data"), &|name| !name.starts_with("wal"))
        }
        Peer::Prometheus => {
            let answer = post(&format!("{url}/api/v1/admin/tsdb/snapshot"), &[], b"").unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            folder_bytes(&folder.join("data/snapshots"), &|_| true)
        }
        Peer::VictoriaMetrics => {
            get(&format!("{url}/internal/force_flush")).unwrap();
            get(&format!("{url}/internal/force_merge")).unwrap();
            settle(process.pid());
            folder_bytes(&folder.join("data"), &|_| true)
        }
    }
}

fn print_table(results: &[Figures]) {
    let ours = &results[0];
    print!("{:<64}", "");
    results.iter().for_each(|r| print!("{:>24}", r.peer));
    println!();
    let row = |name: &str, figure: &dyn Fn(&Figures) -> f64, unit: &str| {
        print!("{name:<64}");
        for result in results {
            let ratio = figure(result) / figure(ours);
            let value = format!("{:.3} {unit}", figure(result));
            print!(
                "{:>24}",
                if std::ptr::eq(result, ours) { value } else { format!("{value} ({ratio:.1}x)") }
            );
        }
        println!();
    };
    row("ingest, CPU seconds per million samples", &|f| f.ingest_cpu_per_million, "s");
    row("bytes per sample on disk after compaction", &|f| f.bytes_per_sample, "B");
    row("anonymous memory per active series", &|f| f.rss_per_series, "B");
    row("anonymous memory after ingest", &|f| f.rss_total / 1e6, "MB");
    row("kill -9 to first right answer, wall", &|f| f.restart_wall, "s");
    row("kill -9 to first right answer, CPU", &|f| f.restart_cpu, "s");
    for (at, query) in QUERIES.iter().enumerate() {
        let name: String = query.text.chars().take(48).collect();
        row(&format!("CPU: {name}"), &|f| f.queries[at].0 * 1000.0, "ms");
        row(&format!("wall: {name}"), &|f| f.queries[at].1 * 1000.0, "ms");
    }
}
