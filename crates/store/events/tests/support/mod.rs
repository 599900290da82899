//! What the tests of the store share: entries, reading them back, and a bucket that fails on demand.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of several tests"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use novaobs_events::bucket::{Object, Upload};
use novaobs_events::{Bucket, Events, Options};
use novaobs_model::logs::{LineMatch, LineTest, LineWanted, LogColumns, Order, PairLists, RowFilter};
use novaobs_model::{Labels, LogScan, LogSink, LogSource, LogStream, Matcher, QueryControl, Tenant};
use novaobs_parts::PartFile;

/// Nanoseconds of an hour.
pub const HOUR: i64 = 3_600_000_000_000;
/// Nanoseconds of a day.
pub const DAY: i64 = 24 * HOUR;

/// Stream, time, line, structured metadata.
pub type Entry = (String, i64, String, Vec<(String, String)>);

pub fn tenant() -> Tenant {
    Tenant::new("fake")
}

pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_nanos() as i64
}

/// An entry of stream `{app=…}`; an even time has structured metadata.
pub fn entry(app: &str, time: i64, line: &str) -> Entry {
    let metadata =
        if time % 2 == 0 { vec![("trace".to_owned(), format!("t{}", time % 10))] } else { Vec::new() };
    (app.to_owned(), time, line.to_owned(), metadata)
}

/// The entries as a call.
pub fn streams(entries: &[Entry]) -> Vec<LogStream> {
    let mut by_app: BTreeMap<&str, LogStream> = BTreeMap::new();
    for (app, time, line, metadata) in entries {
        let stream = by_app.entry(app).or_insert_with(|| LogStream {
            labels: Labels::from_pairs([("app", app.as_str()), ("env", "test")]),
            metadata: PairLists::default(),
            ..LogStream::default()
        });
        stream.timestamps.push(*time);
        stream.lines.push(line);
        stream.metadata.push(metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
    by_app.into_values().collect()
}

/// A scan of everything with all columns.
pub fn everything() -> LogScan {
    LogScan {
        tenant: tenant(),
        start: i64::MIN,
        end: i64::MAX,
        matchers: Vec::new(),
        lines: Vec::new(),
        fields: Vec::new(),
        columns: LogColumns { line: LineWanted::Always, metadata: true, ..LogColumns::default() },
        order: Order::Any,
    }
}

/// All rows of a scan, sorted.
pub fn rows(source: &dyn LogSource, scan: &LogScan) -> Vec<Entry> {
    let control = QueryControl::unlimited();
    let mut cursor = source.scan(scan, &control).unwrap();
    let mut rows = Vec::new();
    while let Some(batch) = cursor.next().unwrap() {
        assert!(!batch.timestamps.is_empty());
        assert_eq!(batch.streams.iter().map(|run| run.rows).sum::<usize>(), batch.timestamps.len());
        let labels = batch.streams.iter().flat_map(|run| std::iter::repeat_n(&run.labels, run.rows));
        for (row, (labels, time)) in labels.zip(&batch.timestamps).enumerate() {
            let metadata = batch.metadata.get(row).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            rows.push((labels.value("app").to_owned(), *time, batch.lines.get(row).to_owned(), metadata));
        }
    }
    rows.sort();
    rows
}

pub fn all(source: &dyn LogSource) -> Vec<Entry> {
    rows(source, &everything())
}

pub fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort();
    entries
}

/// Understands `text`, which lines must have, and `app=text`, which the stream must have, and `trace=text`.
pub fn compile(query: &str) -> Result<RowFilter, String> {
    let mut filter = RowFilter { matchers: Vec::new(), lines: Vec::new(), rest: None };
    match query.split_once('=') {
        Some(("app", app)) => filter.matchers.push(Matcher::equal("app", app)),
        Some(("trace", trace)) => {
            let wanted = trace.to_owned();
            filter.rest =
                Some(Arc::new(move |row| row.metadata.iter().any(|pair| *pair == ("trace", &*wanted))));
        }
        Some(_) => return Err(format!("cannot read {query}")),
        None => filter.lines.push(LineTest { any: vec![LineMatch::Text(query.into())], negated: false }),
    }
    Ok(filter)
}

/// Options without threads, with the deletes of [`compile`].
pub fn options(registry: &prometheus::Registry) -> Options<'_> {
    Options {
        background: false,
        compile_filter: Arc::new(compile),
        delete_delay: Duration::ZERO,
        grace: Duration::ZERO,
        ..Options::new(registry)
    }
}

/// A store without threads in `folder`, on `bucket` when given.
pub fn open(folder: &Path, bucket: Option<Arc<dyn Bucket>>) -> Arc<Events> {
    let registry = prometheus::Registry::new();
    Events::open(folder, Options { bucket, ..options(&registry) }).unwrap()
}

pub fn append(events: &Events, entries: &[Entry]) {
    events.append(&tenant(), &streams(entries)).unwrap();
}

/// Passes calls on, or fails them.
#[derive(Debug)]
pub struct Faulty {
    pub inner: Arc<dyn Bucket>,
    /// Writes fail as on a full disk.
    pub full: AtomicBool,
    /// So many manifests are written although the caller is told that they were not.
    pub lost_answers: AtomicU32,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Bucket>) -> Arc<Faulty> {
        Arc::new(Faulty { inner, full: AtomicBool::new(false), lost_answers: AtomicU32::new(0) })
    }

    fn check(&self) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        }
        Ok(())
    }
}

impl Bucket for Faulty {
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> io::Result<bool> {
        self.check()?;
        let done = self.inner.put_if_absent(key, bytes)?;
        let lose =
            self.lost_answers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if lose.is_ok() { Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")) } else { Ok(done) }
    }

    fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.inner.put(key, bytes)
    }

    fn upload(&self, key: &str) -> io::Result<Box<dyn Upload>> {
        self.check()?;
        self.inner.upload(key)
    }

    fn get(&self, key: &str) -> io::Result<Vec<u8>> {
        self.inner.get(key)
    }

    fn open(&self, key: &str, bytes: u64) -> Arc<dyn PartFile> {
        self.inner.open(key, bytes)
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<Object>> {
        self.inner.list(prefix)
    }

    fn delete(&self, key: &str) -> io::Result<()> {
        self.inner.delete(key)
    }
}
