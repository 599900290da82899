//! CPU time of the engine over two million rows that are in memory as columns: what a query costs beside
//! the store. `cargo run --release -p novaobs-logql --example measure [rows]`
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a tool")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use novaobs_logql::{Query, QueryLimits, Value, run, run_by_rows};
use novaobs_logql_parser::parse;
use novaobs_model::logs::{
    FieldSource, LineWanted, LogBatch, LogCursor, LogScan, LogSource, LogStats, PairLists, ScanStats,
    StreamRun, Strings, Structure, Tenant, TextColumn,
};
use novaobs_model::select::QueryControl;
use novaobs_model::{Labels, Matcher, SelectError};

const SERVICES: usize = 20;
const DAY: i64 = 86_400_000_000_000;
const BATCH: usize = 8192;

/// A day of requests by twenty services.
struct Platform {
    rows: usize,
}

struct Rows {
    platform_rows: usize,
    scan: LogScan,
    next: usize,
}

/// A number that looks random and is the same each time.
fn mix(n: usize) -> usize {
    let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)) as usize
}

fn field(name: &str, row: usize) -> Option<String> {
    Some(match name {
        "status" => {
            ["200", "200", "200", "201", "404", "200", "200", "200", "500", "302"][mix(row) % 10].to_owned()
        }
        "endpoint" => format!("/api/v1/resource/{}", mix(row / 3) % 40),
        "user" => format!("user-{}", mix(row) % 100_000),
        "duration" => format!("{}.{}", mix(row + 7) % 900, 1 + mix(row) % 9),
        _ => return None,
    })
}

fn line(row: usize) -> String {
    let get = |name| field(name, row).unwrap();
    format!(
        r#"{{"status":{},"endpoint":"{}","user":"{}","duration":{},"message":"request handled by worker {}"}}"#,
        get("status"),
        get("endpoint"),
        get("user"),
        get("duration"),
        row % 64,
    )
}

impl LogCursor for Rows {
    fn next(&mut self) -> Result<Option<LogBatch>, SelectError> {
        if self.next >= self.platform_rows {
            return Ok(None);
        }
        let rows = self.next..(self.next + BATCH).min(self.platform_rows);
        self.next = rows.end;
        let per_service = self.platform_rows / SERVICES + 1;
        let mut batch = LogBatch::default();
        for row in rows.clone() {
            let service = row / per_service;
            let labels =
                Labels::from_pairs([("service", format!("svc-{service}")), ("env", "prod".to_owned())]);
            match batch.streams.last_mut() {
                Some(run) if run.labels == labels => run.rows += 1,
                _ => batch.streams.push(StreamRun { labels, rows: 1 }),
            }
            batch.timestamps.push((row % per_service) as i64 * (DAY / per_service as i64));
        }
        let columns = &self.scan.columns;
        if columns.line == LineWanted::Always {
            batch.lines = rows.clone().map(line).collect::<Vec<_>>().iter().map(String::as_str).collect();
        }
        if columns.metadata {
            batch.metadata = PairLists::empty_rows(rows.len());
        }
        batch.structures = vec![Structure::Json; rows.len()];
        for wanted in &columns.fields {
            let name = &*wanted.name;
            let known = wanted.source == FieldSource::Json && field(name, 0).is_some();
            batch.fields.push(match name {
                _ if !known => TextColumn::Dictionary {
                    codes: vec![TextColumn::ABSENT; rows.len()],
                    values: Strings::default(),
                },
                "duration" => TextColumn::Decimal {
                    present: Vec::new(),
                    mantissas: rows
                        .clone()
                        .map(|row| (mix(row + 7) % 900 * 10 + 1 + mix(row) % 9) as i64)
                        .collect(),
                    scale: 1,
                },
                _ => {
                    let mut values: Vec<String> = rows.clone().filter_map(|row| field(name, row)).collect();
                    values.sort_unstable();
                    values.dedup();
                    let code = |row| values.binary_search(&field(name, row).unwrap()).unwrap() as u32;
                    let codes = rows.clone().map(code).collect();
                    TextColumn::Dictionary { codes, values: values.iter().map(String::as_str).collect() }
                }
            });
        }
        Ok(Some(batch))
    }

    fn bound(&mut self, _start: i64, _end: i64) {}

    fn stats(&self) -> ScanStats {
        ScanStats::default()
    }
}

/// Batches made before the clock starts.
struct Prepared(Arc<Vec<LogBatch>>, usize);

impl LogCursor for Prepared {
    fn next(&mut self) -> Result<Option<LogBatch>, SelectError> {
        self.1 += 1;
        Ok(self.0.get(self.1 - 1).cloned())
    }
    fn bound(&mut self, _start: i64, _end: i64) {}
    fn stats(&self) -> ScanStats {
        ScanStats::default()
    }
}

struct Recorded {
    platform: Platform,
    /// By the columns asked for, as text.
    batches: std::sync::Mutex<HashMap<String, Arc<Vec<LogBatch>>>>,
}

impl LogSource for Recorded {
    fn scan<'a>(
        &'a self,
        scan: &LogScan,
        _: &'a QueryControl,
    ) -> Result<Box<dyn LogCursor + 'a>, SelectError> {
        let mut held = self.batches.lock().unwrap();
        let batches = held.entry(format!("{:?}", scan.columns)).or_insert_with(|| {
            let mut rows = Rows { platform_rows: self.platform.rows, scan: scan.clone(), next: 0 };
            let mut all = Vec::new();
            while let Ok(Some(batch)) = rows.next() {
                all.push(batch);
            }
            Arc::new(all)
        });
        Ok(Box::new(Prepared(batches.clone(), 0)))
    }

    fn streams(
        &self,
        _: &Tenant,
        _: &[Vec<Matcher>],
        _: i64,
        _: i64,
        _: &QueryControl,
        _: &mut dyn FnMut(&Labels, LogStats),
    ) -> Result<(), SelectError> {
        Ok(())
    }
}

/// User and system time of the process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let rest: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = rest[11].parse::<u64>().unwrap() + rest[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn main() {
    let rows = std::env::args().nth(1).map_or(2_000_000, |rows| rows.parse().unwrap());
    println!("{rows} rows; CPU and wall time in ms, the cost of copying the batches included");
    for (name, text, step) in [
        ("copying the batches", "sum(count_over_time({env=\"prod\"} | __error__=\"x\" [24h]))", 0),
        ("count by service per minute", "sum by (service) (count_over_time({env=\"prod\"}[1m]))", 60),
        (
            "status >= 500 by endpoint",
            "sum by (endpoint) (count_over_time({env=\"prod\"} | json | status >= 500 [24h]))",
            0,
        ),
        ("top 10 users", "topk(10, sum by (user) (count_over_time({env=\"prod\"} | json [24h])))", 0),
        (
            "p95 of duration by endpoint",
            "quantile_over_time(0.95, {env=\"prod\"} | json | unwrap duration [24h]) by (endpoint)",
            0,
        ),
        (
            "mean duration by service per 5 m over 1 h",
            "avg_over_time({env=\"prod\"} | json | unwrap duration [1h]) by (service)",
            300,
        ),
    ] {
        let query = Query {
            tenant: Tenant::new("fake"),
            expr: parse(text).unwrap(),
            start: if step == 0 { DAY } else { 0 },
            end: DAY,
            step: step * 1_000_000_000,
            interval: 0,
            limit: 100,
            newest_first: true,
            limits: QueryLimits { max_series: 0, max_bytes_read: 0 },
        };
        let source = Recorded { platform: Platform { rows }, batches: Default::default() };
        // The first run makes the batches.
        run(&source, &query, &QueryControl::unlimited()).unwrap();
        let (before, clock) = (cpu(), Instant::now());
        let mut series = 0;
        for _ in 0..5 {
            series = match run(&source, &query, &QueryControl::unlimited()).unwrap().value {
                Value::Matrix(all) | Value::Vector(all) => all.len(),
                _ => 0,
            };
        }
        let (used, wall) = ((cpu() - before) / 5, clock.elapsed() / 5);
        println!("{:6} {:6}  {name} ({series} series)", used.as_millis(), wall.as_millis());
    }
    let text = "sum by (endpoint) (count_over_time({env=\"prod\"} | json | status >= 500 [24h]))";
    let query = Query {
        tenant: Tenant::new("fake"),
        expr: parse(text).unwrap(),
        start: DAY,
        end: DAY,
        step: 0,
        interval: 0,
        limit: 100,
        newest_first: true,
        limits: QueryLimits { max_series: 0, max_bytes_read: 0 },
    };
    let source = Recorded { platform: Platform { rows: rows / 10 }, batches: Default::default() };
    run_by_rows(&source, &query, &QueryControl::unlimited()).unwrap();
    let before = cpu();
    run_by_rows(&source, &query, &QueryControl::unlimited()).unwrap();
    println!(
        "{:6}         status >= 500 by endpoint row by row, a tenth of the rows",
        (cpu() - before).as_millis()
    );
}
