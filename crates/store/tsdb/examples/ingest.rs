//! Measures the store on data like node_exporter's: `ingest [series] [scrapes] [interval seconds]`.
//!
//! Prints CPU seconds per million samples, bytes per sample after compaction, memory per series, and the
//! time to open the folder again as a crash leaves it.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement, not a product"
)]

use std::time::Instant;

use novaobs_model::{
    Labels, Matcher, QueryControl, Sample, SampleSink, SelectRequest, SeriesSamples, SeriesSource,
};
use novaobs_tsdb::{Options, Tsdb};

/// Series per target, as node_exporter on a middling machine.
const PER_TARGET: usize = 500;

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>().unwrap());
    let series = args.next().unwrap_or(100_000);
    let scrapes = args.next().unwrap_or(480);
    let interval = args.next().unwrap_or(15) as i64 * 1000;
    let targets = series.div_ceil(PER_TARGET);

    let folder = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let store = Tsdb::open(folder.path(), Options { background: false, ..Options::new(&registry) }).unwrap();
    let rss_before = rss();
    let mut generators: Vec<Target> = (0..targets).map(|n| Target::new(&store, n)).collect();
    let generators_rss = generators.iter().map(|t| t.series.capacity() * size_of::<Shape>()).sum::<usize>();
    let rss_series = rss();
    println!("memory per series without samples: {} B", (rss_series - rss_before - generators_rss) / series);

    let mut batch = Vec::new();
    let (mut appending, mut flushing, mut peak) = (0.0, 0.0, 0);
    let mut wal_bytes = 0;
    for scrape in 0..scrapes {
        for (n, target) in generators.iter_mut().enumerate() {
            // Each target at its own offset, with a millisecond or two of jitter.
            let jitter = i64::from(random(scrape as u64 * 7919 + n as u64) < 0.05) * 3;
            let time = 1_700_000_000_000 + scrape as i64 * interval + n as i64 * 37 % interval + jitter;
            target.scrape(scrape as u64, time, &mut batch);
            let start = cpu();
            let report = store.append(&batch).unwrap();
            appending += cpu() - start;
            assert!(report.rejected.is_empty());
        }
        if (scrape + 1) as i64 % (300_000 / interval).max(1) == 0 {
            peak = peak.max(rss());
            wal_bytes = wal_bytes.max(
                std::fs::read_dir(folder.path())
                    .unwrap()
                    .flatten()
                    .filter(|e| e.file_name().to_string_lossy().starts_with("wal-"))
                    .map(|e| e.metadata().unwrap().len())
                    .sum::<u64>(),
            );
            if scrape + 1 < scrapes {
                let start = cpu();
                store.flush().unwrap();
                flushing += cpu() - start;
            }
        }
    }
    let samples = (targets * PER_TARGET * scrapes) as f64 / 1e6;
    println!("memory per series just before a flush: {} B", (peak - rss_before - generators_rss) / series);
    println!("memory per series after flushes: {} B", (rss() - rss_before - generators_rss) / series);
    println!(
        "append: {:.3} CPU s per million samples, largest log {} MB",
        appending / samples,
        wal_bytes >> 20
    );
    println!("flush: {:.3} CPU s per million samples", flushing / samples);

    let crash = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), crash.path().join(entry.file_name())).unwrap();
    }
    let start = Instant::now();
    let registry = prometheus::Registry::new();
    let reopened =
        Tsdb::open(crash.path(), Options { background: false, ..Options::new(&registry) }).unwrap();
    println!("open after a crash: {:.3} s", start.elapsed().as_secs_f64());
    drop(reopened);

    let start = cpu();
    store.flush().unwrap();
    store.run_maintenance().unwrap();
    println!("compaction: {:.3} CPU s per million samples", (cpu() - start) / samples);
    println!("bytes per sample: {:.3}", store.disk_bytes() as f64 / samples / 1e6);
    let parts = std::fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("part-"));
    println!("parts: {:?}", parts.map(|e| e.metadata().unwrap().len()).collect::<Vec<_>>());

    for (what, matcher) in [
        ("one metric", Matcher::equal("__name__", "node_metric_007_total")),
        ("one target", Matcher::equal("instance", "host-00003:9100")),
        ("everything", Matcher::new("__name__", novaobs_model::MatchOp::Match, ".+").unwrap()),
    ] {
        let start = cpu();
        let control = QueryControl::unlimited();
        let request = SelectRequest { matchers: vec![matcher], start: 0, end: i64::MAX };
        let mut cursor = store.select(&request, &control).unwrap();
        let mut out = SeriesSamples::default();
        let (mut found, mut read) = (0, 0);
        while cursor.next(&mut out).unwrap() {
            found += 1;
            read += out.samples.len();
        }
        let spent = cpu() - start;
        println!(
            "select {what}: {found} series, {read} samples, {:.1} ms, {:.1} ns per sample",
            spent * 1e3,
            spent * 1e9 / read as f64
        );
    }
}

/// How a series moves.
enum Shape {
    Constant(f64),
    Counter { value: f64, step: f64 },
    Seconds { value: f64 },
    Bytes { value: f64 },
    Gauge { decimals: f64 },
    Rare { value: f64 },
}

struct Target {
    series: Vec<Shape>,
    refs: Vec<novaobs_model::SeriesRef>,
}

impl Target {
    fn new(store: &Tsdb, number: usize) -> Target {
        let instance = format!("host-{number:05}:9100");
        let labels: Vec<Labels> = (0..PER_TARGET)
            .map(|n| {
                Labels::from_pairs([
                    ("__name__", format!("node_metric_{:03}_total", n * 3 / 5).as_str()),
                    ("instance", &instance),
                    ("job", "node"),
                    ("cluster", "production-eu-1"),
                    ("device", &format!("dev{}", n % 7)),
                    ("mode", ["idle", "user", "system"][n % 3]),
                    ("cpu", &format!("{}", n % 16)),
                ])
            })
            .collect();
        let mut refs = Vec::new();
        SampleSink::series(store, &labels, &mut refs).unwrap();
        // The mix of a real node_exporter: 317 of 507 constant.
        let series = (0..PER_TARGET).map(|n| match n % 50 {
            0..31 => Shape::Constant([0.0, 1.0, 4096.0, 0.25, 1e9][n % 5]),
            31..36 => Shape::Counter { value: n as f64 * 1000.0, step: 10.0 + n as f64 },
            36..40 => Shape::Seconds { value: n as f64 * 13.0 },
            40..42 => Shape::Bytes { value: 4096.0 * 1e6 },
            42..44 => Shape::Gauge { decimals: 100.0 },
            _ => Shape::Rare { value: n as f64 },
        });
        Target { series: series.collect(), refs }
    }

    fn scrape(&mut self, scrape: u64, timestamp: i64, out: &mut Vec<Sample>) {
        out.clear();
        for (shape, series) in self.series.iter_mut().zip(&self.refs) {
            let r = random(series.0 ^ scrape.wrapping_mul(0x9e37_79b9));
            let value = match shape {
                Shape::Constant(value) => *value,
                Shape::Counter { value, step } => {
                    *value += (*step * 2.0 * r).floor();
                    *value
                }
                Shape::Seconds { value } => {
                    *value = ((*value + r * 4.0) * 100.0).round() / 100.0;
                    *value
                }
                Shape::Bytes { value } => {
                    *value += 4096.0 * (r * 200.0 - 100.0).floor();
                    *value
                }
                Shape::Gauge { decimals } => (r * 300.0).round() / *decimals,
                Shape::Rare { value } => {
                    *value += f64::from(r < 0.02);
                    *value
                }
            };
            out.push(Sample { series: *series, timestamp, value });
        }
    }
}

/// A repeatable number in 0..1.
fn random(seed: u64) -> f64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// User and system seconds of this process.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn rss() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}
