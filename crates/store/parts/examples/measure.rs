//! What a part costs: `cargo run --release -p novaobs-parts --example measure -- [lines] [file]` prints bytes a
//! line, CPU seconds a million lines for writing and merging, and CPU milliseconds of queries. The lines are
//! those of `make bench-logs`. With a file name the merged part is left there for other readers.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool for us")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use novaobs_model::labels::Labels;
use novaobs_model::logs::{
    Field, FieldSource, FieldTest, LineMatch, LineTest, LineWanted, LogBatch, LogColumns, LogScan, LogStream,
    NumberRange, Order, ScanStats, Tenant, TextColumn,
};
use novaobs_model::matcher::Matcher;
use novaobs_model::select::QueryControl;
use novaobs_parts::{MemoryFile, Part, merge, write};

const SERVICES: usize = 20;
const PODS: usize = 16;
const NEEDLE: &str = "quetzalcoatl";
const RESOURCES: [&str; 10] =
    ["vms", "migrations", "hosts", "volumes", "networks", "images", "snapshots", "users", "jobs", "quotas"];
const ACTIONS: [&str; 8] = ["list", "get", "create", "delete", "start", "stop", "resize", "console"];
const METHODS: [&str; 5] = ["GET", "GET", "GET", "POST", "DELETE"];
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
const START: i64 = 1_767_225_600_000_000_000;
const DAY: i64 = 86_400_000_000_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn trace_id(number: u64) -> String {
    let mut mixed = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    mixed.next();
    format!("{:016x}{:016x}", mixed.next(), mixed.next())
}

fn line(at: usize, lines: usize, service: usize, pod: &str, time: i64, random: &mut Random) -> String {
    let (seconds, micros) = (time / 1_000_000_000 % 86_400, time / 1000 % 1_000_000);
    let roll = random.below(1000);
    let (level, status) = match roll {
        0..8 => ("error", 500 + roll % 4),
        8..40 => ("warn", 400 + roll % 5),
        40..300 => ("debug", 200),
        _ => ("info", if roll.is_multiple_of(10) { 201 } else { 200 }),
    };
    let trace = trace_id((at as u64 / 90) * 10 + random.below(10));
    let (resource, action) = (RESOURCES[random.below(10) as usize], ACTIONS[random.below(8) as usize]);
    let (order, ms) = (random.below(100_000), random.below(3_000_000));
    let mut text = String::with_capacity(384);
    write!(
        text,
        "{{\"ts\":\"2026-01-01T{:02}:{:02}:{:02}.{micros:06}Z\",\"level\":\"{level}\",\
         \"service\":\"novacron-service-{service:02}\",\"pod\":\"{pod}\",\"trace_id\":\"{trace}\",\
         \"span_id\":\"{:016x}\",\"method\":\"{}\",\"endpoint\":\"/api/v1/{resource}/{action}\",\"status\":{status},\
         \"duration_ms\":{}.{:03},\"user_id\":\"user-{}\",\"message\":\"{} {order}{}\"}}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        random.next(),
        METHODS[random.below(5) as usize],
        ms / 1000,
        ms % 1000,
        random.below(random.0 % 5000 + 1),
        MESSAGES[random.below(8) as usize],
        if at == lines / 3 { " quetzalcoatl" } else { "" },
    )
    .unwrap();
    text
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let lines: usize = arguments.next().map_or(2_000_000, |text| text.parse().unwrap());
    let keep = arguments.next();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let pods: Vec<String> = (0..SERVICES * PODS)
        .map(|at| {
            format!("svc{:02}-{:08x}-{:x}", at / PODS, at as u64 * 2_654_435_761 % 0xffff_ffff, at % PODS)
        })
        .collect();
    let (mut raw, mut write_cpu, mut parts) = (0, 0.0, Vec::new());
    let each = 200_000.min(lines);
    for from in (0..lines).step_by(each) {
        let mut streams: Vec<LogStream> = (0..SERVICES * PODS)
            .map(|at| LogStream {
                labels: Labels::from_pairs([
                    ("service", format!("novacron-service-{:02}", at / PODS)),
                    ("pod", pods[at].clone()),
                ]),
                ..LogStream::default()
            })
            .collect();
        for at in from..lines.min(from + each) {
            let stream = random.below((SERVICES * PODS) as u64) as usize;
            let time = START + (DAY as i128 * at as i128 / lines as i128) as i64 / 1000 * 1000;
            let text = line(at, lines, stream / PODS, &pods[stream], time, &mut random);
            raw += text.len();
            streams[stream].timestamps.push(time);
            streams[stream].lines.push(&text);
            streams[stream].metadata.push([]);
        }
        let begun = cpu();
        let mut bytes = Vec::new();
        write(&streams, &mut bytes).unwrap();
        write_cpu += cpu() - begun;
        parts.push(Part::open("piece", Arc::new(MemoryFile::new(bytes))).unwrap());
    }
    let millions = lines as f64 / 1e6;
    println!("{lines} lines of {} bytes", raw / lines);
    let bytes: u64 = parts.iter().map(|part| part.info().file_bytes).sum();
    println!("write: {:.2} CPU s/M lines, {:.2} B/line", write_cpu / millions, bytes as f64 / lines as f64);
    let begun = cpu();
    let mut out = Vec::new();
    merge(&parts, &[], &mut out, &QueryControl::unlimited()).unwrap();
    println!(
        "merge: {:.2} CPU s/M lines, {:.2} B/line",
        (cpu() - begun) / millions,
        out.len() as f64 / lines as f64
    );
    if let Some(path) = keep {
        std::fs::write(path, &out).unwrap();
    }
    drop(parts);
    let part = Part::open("merged", Arc::new(MemoryFile::new(out))).unwrap();
    queries(&part, lines);
    println!("memory of the open part: {} kB", part.memory() / 1024);
}

fn scan() -> LogScan {
    LogScan {
        tenant: Tenant::new("fake"),
        start: START,
        end: START + DAY,
        matchers: vec![],
        lines: vec![],
        fields: vec![],
        columns: LogColumns::default(),
        order: Order::Any,
    }
}

fn json(name: &str) -> Field {
    Field { source: FieldSource::Json, name: name.into() }
}

fn text_scan(text: &str) -> LogScan {
    let lines = vec![LineTest { any: vec![LineMatch::Text(text.into())], negated: false }];
    LogScan { lines, columns: LogColumns { line: LineWanted::Always, ..LogColumns::default() }, ..scan() }
}

fn queries(part: &Part, lines: usize) {
    let fields = |names: &[&str]| LogColumns {
        fields: names.iter().map(|name| json(name)).collect(),
        ..LogColumns::default()
    };
    let trace = trace_id((lines as u64 / 3 / 90) * 10 + 7);
    let server_errors = NumberRange { low: (500.0, true), high: (f64::INFINITY, true), outside: false };
    let equal = |name: &str, value: &str| {
        let wanted: Arc<str> = value.into();
        let accepts = wanted.clone();
        FieldTest {
            field: json(name),
            accepts: Arc::new(move |found| found == Some(&*accepts)),
            one_of: Some(vec![wanted]),
            range: None,
        }
    };
    let at_least = FieldTest {
        field: json("status"),
        accepts: Arc::new(|found| {
            found.and_then(|text| text.parse::<f64>().ok()).is_some_and(|n| n >= 500.0)
        }),
        one_of: None,
        range: Some(server_errors),
    };
    let mut counts: HashMap<String, Vec<u64>> = HashMap::new();
    ask(part, "count by service, minute", &scan(), |batch| {
        let mut times = batch.timestamps.iter();
        for run in &batch.streams {
            let service = run.labels.value("service");
            if !counts.contains_key(service) {
                counts.insert(service.to_owned(), vec![0; 1441]);
            }
            let counts = counts.get_mut(service).unwrap();
            for time in times.by_ref().take(run.rows) {
                counts[((time - START) / 60_000_000_000) as usize] += 1;
            }
        }
    });
    ask(part, "rare word", &text_scan(NEEDLE), |_| {});
    ask(part, "rare substring", &text_scan("uetzalco"), |_| {});
    ask(part, "absent word", &text_scan("axolotl"), |_| {});
    ask(part, "trace id in line", &text_scan(&trace), |_| {});
    let by_field = LogScan {
        fields: vec![equal("trace_id", &trace)],
        columns: LogColumns { line: LineWanted::Always, ..LogColumns::default() },
        ..scan()
    };
    ask(part, "trace id as field", &by_field, |_| {});
    let newest = LogScan {
        matchers: vec![Matcher::equal("service", "novacron-service-07")],
        fields: vec![equal("level", "error")],
        columns: LogColumns { line: LineWanted::Always, ..fields(&["level"]) },
        order: Order::Newest,
        ..scan()
    };
    ask(part, "all errors of a service", &newest, |_| {});
    let errors = LogScan { fields: vec![at_least], columns: fields(&["status", "endpoint"]), ..scan() };
    ask(part, "status >= 500 by endpoint", &errors, |_| {});
    let mut users: HashMap<String, u64> = HashMap::new();
    ask(part, "top users", &LogScan { columns: fields(&["user_id"]), ..scan() }, |batch| {
        if let TextColumn::Dictionary { codes, values } = &batch.fields[0] {
            let mut counts = vec![0u64; values.len()];
            for code in codes {
                counts[*code as usize] += 1;
            }
            for (value, count) in values.iter().zip(counts) {
                match users.get_mut(value) {
                    Some(sum) => *sum += count,
                    None => drop(users.insert(value.to_owned(), count)),
                }
            }
        }
    });
    let mut sum = 0.0;
    ask(
        part,
        "duration by endpoint",
        &LogScan { columns: fields(&["duration_ms", "endpoint"]), ..scan() },
        |batch| {
            let mut scratch = String::new();
            for row in 0..batch.timestamps.len() {
                sum += batch.fields[0]
                    .get(row, &mut scratch)
                    .and_then(|text| text.parse::<f64>().ok())
                    .unwrap_or(0.0);
            }
        },
    );
    let all = LogScan { columns: LogColumns { line: LineWanted::Always, ..LogColumns::default() }, ..scan() };
    ask(part, "all lines", &all, |_| {});
    ask(
        part,
        "lines with a regex",
        &LogScan {
            lines: vec![LineTest {
                any: vec![LineMatch::Regex(
                    novaobs_model::regex::GoRegex::new("hypervisor 999[0-9]{2}").unwrap(),
                )],
                negated: false,
            }],
            ..all.clone()
        },
        |_| {},
    );
    ask(part, "level=error in JSON text", &text_scan("\"level\":\"error\""), |_| {});
}

fn ask(part: &Part, name: &str, scan: &LogScan, mut each: impl FnMut(&LogBatch)) {
    const RUNS: usize = 4;
    let control = QueryControl::unlimited();
    let (mut rows, mut best, mut first, mut planned) = (0, f64::MAX, 0.0, 0);
    for run in 0..RUNS {
        let begun = cpu();
        rows = 0;
        let blocks = part.plan(scan, &control).unwrap();
        planned = blocks.len();
        for block in &blocks {
            if let Some(batch) = part.read(scan, block, &control, &mut ScanStats::default()).unwrap() {
                rows += batch.timestamps.len();
                each(&batch);
            }
        }
        let took = (cpu() - begun) * 1000.0;
        best = best.min(took);
        if run == 0 {
            first = took;
        }
    }
    println!("{name:>28}: {best:8.2} ms (first {first:.2}), {rows} rows, {planned} blocks");
}
