//! What taking lines costs: CPU, memory, disk, and how soon a line is seen.
//!
//! `cargo run --release --example ingest -- [lines] [folder]` appends generated JSON lines of 20 services and
//! 320 streams, and prints CPU seconds per million lines, the highest resident size, bytes a line on disk
//! after everything was flushed and merged, and how long an appended line takes to be found.
#![allow(clippy::print_stdout, clippy::indexing_slicing, reason = "a tool for developers")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use novaobs_events::{Events, Options};
use novaobs_model::logs::{LineMatch, LineTest, LineWanted, LogColumns, Order, PairLists, Strings};
use novaobs_model::{Labels, LogScan, LogSink, LogSource, LogStream, QueryControl, Tenant};

const STREAMS: u64 = 320;
const LINES_PER_CALL: u64 = 1000;

/// The next of a sequence of numbers that looks random.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// One line of a service, about 350 bytes.
fn line(random: &mut u64, time: i64, stream: u64) -> String {
    let status = [200, 200, 200, 201, 204, 301, 404, 500][(next(random) % 8) as usize];
    let level = if status >= 500 { "error" } else { "info" };
    let (trace, span, user) = (next(random), next(random), next(random) % 50_000);
    format!(
        "{{\"ts\":\"{time}\",\"level\":\"{level}\",\"service\":\"service-{}\",\"endpoint\":\"/api/v1/items/{}\",\"method\":\"GET\",\"status\":{status},\"duration_ms\":{}.{:02},\"user\":\"user-{user}\",\"trace_id\":\"{trace:016x}{:016x}\",\"span_id\":\"{span:016x}\",\"bytes\":{},\"msg\":\"request handled by worker {} of pool main\"}}",
        stream % 20,
        next(random) % 40,
        next(random) % 900,
        next(random) % 100,
        next(random),
        next(random) % 100_000,
        next(random) % 64,
    )
}

fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    peak.unwrap_or(0.0) / 1024.0
}

fn call(random: &mut u64, first: u64, time: i64) -> Vec<LogStream> {
    let mut streams = Vec::new();
    for piece in 0..10 {
        let stream = (first / LINES_PER_CALL * 10 + piece) % STREAMS;
        let lines: Vec<String> =
            (0..LINES_PER_CALL / 10).map(|row| line(random, time + row as i64 * 1000, stream)).collect();
        streams.push(LogStream {
            labels: Labels::from_pairs([
                ("service", format!("service-{}", stream % 20)),
                ("pod", format!("pod-{stream}")),
            ]),
            timestamps: (0..lines.len() as i64).map(|row| time + row * 1000).collect(),
            metadata: PairLists::empty_rows(lines.len()),
            lines: lines.iter().map(String::as_str).collect::<Strings>(),
        });
    }
    streams
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let lines: u64 = arguments.next().map_or(Ok(2_000_000), |text| text.parse())?;
    let scratch = std::env::temp_dir().join(format!("events-ingest-{}", std::process::id()));
    let folder = arguments.next().map_or(scratch, PathBuf::from);
    let registry = prometheus::Registry::new();
    let events = Events::open(&folder, Options::new(&registry))?;
    let tenant = Tenant::new("fake");
    let mut random = 88_172_645_463_325_252u64;
    let end = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
    let begin = end - 24 * 3_600_000_000_000;

    let (mut raw, mut generating) = (0, 0.0);
    let (started, cpu_before) = (Instant::now(), cpu());
    let mut first = 0;
    while first < lines {
        let time = begin + (end - begin) / lines as i64 * first as i64;
        let before = cpu_of_thread();
        let streams = call(&mut random, first, time);
        generating += cpu_of_thread() - before;
        raw += streams.iter().map(|stream| stream.lines.text().len()).sum::<usize>();
        loop {
            match events.append(&tenant, &streams) {
                Ok(()) => break,
                Err(error) => {
                    println!("append: {error}");
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
        first += LINES_PER_CALL;
    }
    let million = first as f64 / 1e6;
    println!(
        "append   {:.2} s wall, {:.2} CPU s per million lines so far",
        started.elapsed().as_secs_f64(),
        (cpu() - cpu_before - generating) / million
    );

    seen(&events, &tenant, end)?;
    events.flush()?;
    println!("flushed  {:.2} CPU s per million lines", (cpu() - cpu_before - generating) / million);
    events.run_maintenance(false)?;
    println!("merged   {:.2} CPU s per million lines", (cpu() - cpu_before - generating) / million);
    if let Some(stats) = events.stats().tenants.first() {
        println!(
            "disk     {:.1} bytes a line of {:.1} raw, {} parts",
            stats.bytes as f64 / stats.rows as f64,
            raw as f64 / first as f64,
            stats.parts
        );
    }
    println!("memory   {:.0} MB at most", peak_mb());
    events.close();
    clean(&folder);
    Ok(())
}

/// Appends a line and looks for it.
fn seen(events: &Events, tenant: &Tenant, time: i64) -> Result<(), Box<dyn std::error::Error>> {
    let stream = LogStream {
        labels: Labels::from_pairs([("service", "probe")]),
        timestamps: vec![time],
        lines: ["a needle of its own"].into_iter().collect(),
        metadata: PairLists::empty_rows(1),
    };
    let started = Instant::now();
    events.append(tenant, &[stream])?;
    let appended = started.elapsed();
    let scan = LogScan {
        tenant: tenant.clone(),
        start: time - 1_000_000_000,
        end: time + 1,
        matchers: Vec::new(),
        lines: vec![LineTest { any: vec![LineMatch::Text("needle of its own".into())], negated: false }],
        fields: Vec::new(),
        columns: LogColumns { line: LineWanted::Always, ..LogColumns::default() },
        order: Order::Newest,
    };
    let control = QueryControl::unlimited();
    let found = events.scan(&scan, &control)?.next()?.map_or(0, |batch| batch.timestamps.len());
    println!(
        "visible  {found} line {:.2} ms after its append, which took {:.2} ms",
        started.elapsed().as_secs_f64() * 1e3,
        appended.as_secs_f64() * 1e3
    );
    Ok(())
}

fn cpu_of_thread() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn clean(folder: &Path) {
    if folder.starts_with(std::env::temp_dir()) {
        let _ = std::fs::remove_dir_all(folder);
    }
}
