//! Stores for tests: rows in memory or in a part, and a record of what was asked of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses some of it")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use novaobs_model::logs::{
    LogBatch, LogCursor, LogScan, LogSource, LogStats, LogStream, Order, PairLists, ScanStats, Strings,
    Tenant,
};
use novaobs_model::select::{QueryControl, SelectError};
use novaobs_model::{Labels, Matcher};
use novaobs_parts::{Block, MemoryFile, Part, scan_rows};
use novaobs_sql::format::Format;
use novaobs_sql::{SqlEngine, SqlError, SqlOptions};

/// 2024-05-01T00:00:00Z.
pub const MIDNIGHT: i64 = 1_714_521_600_000_000_000;
pub const SECOND: i64 = 1_000_000_000;

/// What a store was asked for and how much it gave.
#[derive(Clone, Debug)]
pub struct Asked {
    pub scan: LogScan,
    pub rows: usize,
    pub bounds: Vec<(i64, i64)>,
}

pub struct Store {
    streams: Vec<LogStream>,
    part: Option<Arc<Part>>,
    batch_rows: usize,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

impl Store {
    pub fn in_memory(streams: Vec<LogStream>, batch_rows: usize) -> Arc<Self> {
        Arc::new(Store { streams, part: None, batch_rows, asked: Arc::default() })
    }

    pub fn in_a_part(streams: &[LogStream]) -> Arc<Self> {
        let mut bytes = Vec::new();
        novaobs_parts::write(streams, &mut bytes).unwrap();
        let part = Part::open("test", Arc::new(MemoryFile::new(bytes))).unwrap();
        Arc::new(Store { streams: Vec::new(), part: Some(part), batch_rows: 0, asked: Arc::default() })
    }

    pub fn last(&self) -> Asked {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

enum Rest {
    Batches(VecDeque<LogBatch>),
    Blocks(Arc<Part>, VecDeque<Block>),
}

struct Cursor<'a> {
    rest: Rest,
    start: i64,
    end: i64,
    scan: LogScan,
    control: &'a QueryControl,
    stats: ScanStats,
    asked: Arc<Mutex<Vec<Asked>>>,
    at: usize,
}

impl LogSource for Store {
    fn scan<'a>(
        &'a self,
        scan: &LogScan,
        control: &'a QueryControl,
    ) -> Result<Box<dyn LogCursor + 'a>, SelectError> {
        let ours = scan.tenant.as_str() == "fake";
        let rest = match &self.part {
            Some(part) => {
                let blocks = part.plan(scan, control).map_err(|e| SelectError::Storage(e.to_string()))?;
                Rest::Blocks(part.clone(), blocks.into())
            }
            None if ours => Rest::Batches(scan_rows(&self.streams, scan, self.batch_rows).into()),
            None => Rest::Batches(VecDeque::new()),
        };
        let mut asked = self.asked.lock().unwrap();
        asked.push(Asked { scan: scan.clone(), rows: 0, bounds: Vec::new() });
        Ok(Box::new(Cursor {
            rest,
            start: scan.start,
            end: scan.end,
            scan: scan.clone(),
            control,
            stats: ScanStats::default(),
            at: asked.len() - 1,
            asked: self.asked.clone(),
        }))
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

impl LogCursor for Cursor<'_> {
    fn next(&mut self) -> Result<Option<LogBatch>, SelectError> {
        loop {
            self.control.check()?;
            let batch = match &mut self.rest {
                Rest::Batches(batches) => batches.pop_front(),
                Rest::Blocks(part, blocks) => match blocks.pop_front() {
                    Some(block) => match part.read(&self.scan, &block, self.control, &mut self.stats) {
                        Ok(Some(batch)) => Some(batch),
                        Ok(None) => continue,
                        Err(error) => return Err(SelectError::Storage(error.to_string())),
                    },
                    None => None,
                },
            };
            let Some(batch) = batch else { return Ok(None) };
            // As stores do: batches wholly outside of what is still wanted are left out.
            let outside = |time: &i64| *time < self.start || *time >= self.end;
            if batch.timestamps.iter().all(outside) {
                continue;
            }
            if matches!(self.rest, Rest::Batches(_)) {
                self.stats.memory_rows += batch.timestamps.len() as u64;
            }
            self.asked.lock().unwrap()[self.at].rows += batch.timestamps.len();
            return Ok(Some(batch));
        }
    }

    fn bound(&mut self, start: i64, end: i64) {
        self.asked.lock().unwrap()[self.at].bounds.push((start, end));
        (self.start, self.end) = (self.start.max(start), self.end.min(end));
    }

    fn stats(&self) -> ScanStats {
        self.stats
    }
}

/// A stream of lines, each a second after the one before and with a trace id.
pub fn stream(labels: &[(&str, &str)], first: i64, lines: &[String]) -> LogStream {
    let mut metadata = PairLists::default();
    for at in 0..lines.len() {
        let trace = format!("t{}", at % 4);
        metadata.push([("trace_id", trace.as_str())]);
    }
    LogStream {
        labels: Labels::from_pairs(labels.iter().copied()),
        timestamps: (0..lines.len() as i64).map(|at| MIDNIGHT + (first + at) * SECOND).collect(),
        lines: lines.iter().map(String::as_str).collect::<Strings>(),
        metadata,
    }
}

/// JSON lines of an API, logfmt lines of a web server, words of a database.
pub fn shop() -> Vec<LogStream> {
    let api: Vec<String> = (0..8)
        .map(|n| {
            let status = [200, 200, 404, 500][n % 4];
            format!(
                r#"{{"status":{status},"ms":{}.5,"user":{{"name":"u{}"}},"msg":"call {n}"}}"#,
                n * 10,
                n % 3
            )
        })
        .collect();
    let web: Vec<String> = (0..6)
        .map(|n| {
            format!("status={} ms={} path=/p/{n} note=\"it's \\\"ok\\\"\"", [200, 302, 503][n % 3], n * 7)
        })
        .collect();
    let db: Vec<String> = ["checkpoint complete", "ERROR: deadlock detected", "slow query: 1,5 s\nSELECT 1"]
        .map(str::to_owned)
        .into();
    vec![
        stream(&[("service", "api"), ("env", "prod"), ("zone", "a")], 0, &api),
        stream(&[("service", "web"), ("env", "prod")], 60, &web),
        stream(&[("service", "db"), ("env", "test")], 3600, &db),
    ]
}

pub fn engine(store: &Arc<Store>) -> SqlEngine {
    SqlEngine::new(store.clone(), SqlOptions::default()).unwrap()
}

/// The answer in a form.
pub async fn answer(
    engine: &SqlEngine,
    sql: &str,
    control: QueryControl,
    format: Format,
) -> Result<Vec<u8>, SqlError> {
    let mut rows = engine.query(&Tenant::new("fake"), sql, control).await?;
    let mut writer = format.writer(rows.schema())?;
    let mut out = writer.begin();
    while let Some(batch) = rows.next().await {
        out.extend(writer.rows(&batch?)?);
    }
    out.extend(writer.end()?);
    Ok(out)
}

/// The answer as CSV, or the error.
pub async fn csv(engine: &SqlEngine, sql: &str) -> String {
    match answer(engine, sql, QueryControl::unlimited(), Format::Csv).await {
        Ok(bytes) => String::from_utf8(bytes).unwrap().replace("\r\n", "\n"),
        Err(error) => format!("error: {error}\n"),
    }
}

/// The order scans were asked to have.
pub fn order(asked: &Asked) -> Order {
    asked.scan.order
}
