//! Sources of lines in memory: one that knows lines as text only, one that shreds them into columns.

use std::collections::BTreeMap;

use novaobs_log_pipeline::Pipeline;
use novaobs_logql_parser::Stage;
use novaobs_model::logs::batch::read_decimal;
use novaobs_model::logs::{
    FieldSource, LineMatch, LineTest, LineWanted, LogBatch, LogCursor, LogScan, LogSource, LogStats,
    LogStream, Order, ScanStats, StreamRun, Strings, Structure, Tenant, TextColumn,
};
use novaobs_model::select::QueryControl;
use novaobs_model::{Labels, Matcher, SelectError};

/// How a source answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Lines as text.
    Text,
    /// Fields of JSON and logfmt lines as columns.
    Shredded,
}

pub(crate) struct Memory {
    pub(crate) streams: Vec<LogStream>,
    pub(crate) kind: Kind,
    pub(crate) batch_rows: usize,
}

impl Memory {
    pub(crate) fn new(mut streams: Vec<LogStream>, kind: Kind, batch_rows: usize) -> Self {
        for stream in &mut streams {
            sort(stream);
        }
        Memory { streams, kind, batch_rows }
    }

    fn rows(&self, scan: &LogScan) -> Vec<LogBatch> {
        let mut batches = Vec::new();
        let mut batch = Building::new(scan, self.kind);
        for stream in &self.streams {
            if !scan.matchers.iter().all(|matcher| matcher.matches_labels(&stream.labels)) {
                continue;
            }
            for row in 0..stream.timestamps.len() {
                if batch.push(stream, row) && batch.rows() >= self.batch_rows {
                    batches.push(std::mem::replace(&mut batch, Building::new(scan, self.kind)).finish());
                }
            }
        }
        if batch.rows() > 0 {
            batches.push(batch.finish());
        }
        match scan.order {
            Order::Any => {}
            Order::Newest => batches.sort_by_key(|b| std::cmp::Reverse(b.timestamps.iter().max().copied())),
            Order::Oldest => batches.sort_by_key(|b| b.timestamps.iter().min().copied()),
        }
        batches
    }
}

/// In order of time, as a store keeps them.
fn sort(stream: &mut LogStream) {
    let mut order: Vec<usize> = (0..stream.timestamps.len()).collect();
    order.sort_by_key(|row| stream.timestamps[*row]);
    stream.lines = order.iter().map(|row| stream.lines.get(*row)).collect();
    let mut metadata = novaobs_model::logs::PairLists::default();
    order.iter().for_each(|row| metadata.push(stream.metadata.get(*row)));
    stream.metadata = metadata;
    stream.timestamps = order.iter().map(|row| stream.timestamps[*row]).collect();
}

/// The fields of a line as the parser of `source` gives them; `None` when it would not read it whole.
fn shred(line: &str, stage: &Stage) -> Option<BTreeMap<String, String>> {
    let pipeline = Pipeline::compile(std::slice::from_ref(stage), None).unwrap();
    let mut stream = pipeline.stream(&Labels::empty());
    let row = stream.run(0, line, std::iter::empty())?;
    if row.labels.get("__error__").is_some() {
        return None;
    }
    Some(row.labels.parsed().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

struct Building<'s> {
    scan: &'s LogScan,
    kind: Kind,
    batch: LogBatch,
    columns: Vec<Vec<Option<String>>>,
}

impl<'s> Building<'s> {
    fn new(scan: &'s LogScan, kind: Kind) -> Self {
        Building {
            scan,
            kind,
            batch: LogBatch::default(),
            columns: vec![Vec::new(); scan.columns.fields.len()],
        }
    }

    fn rows(&self) -> usize {
        self.batch.timestamps.len()
    }

    fn push(&mut self, stream: &LogStream, row: usize) -> bool {
        let scan = self.scan;
        let (time, line) = (stream.timestamps[row], stream.lines.get(row));
        if time < scan.start || time >= scan.end || !scan.lines.iter().all(|test| line_passes(test, line)) {
            return false;
        }
        let (structure, fields) = match line.starts_with('{') {
            _ if self.kind == Kind::Text => (Structure::Text, None),
            true => (Structure::Json, shred(line, &Stage::Json(Vec::new()))),
            false => {
                let stage = Stage::Logfmt { strict: false, keep_empty: false, extractions: Vec::new() };
                (Structure::Logfmt, shred(line, &stage))
            }
        };
        let structure = if fields.is_some() { structure } else { Structure::Text };
        let fields = fields.unwrap_or_default();
        let metadata =
            |name: &str| stream.metadata.get(row).find(|(n, _)| *n == name).map(|(_, v)| v.to_owned());
        for test in &scan.fields {
            let name = &*test.field.name;
            let fails = match test.field.source {
                FieldSource::Metadata => !(test.accepts)(metadata(name).as_deref()),
                FieldSource::Json if structure == Structure::Json => {
                    !(test.accepts)(fields.get(name).map(String::as_str))
                }
                FieldSource::Logfmt if structure == Structure::Logfmt => {
                    !(test.accepts)(fields.get(name).map(String::as_str))
                }
                _ => false,
            };
            if fails {
                return false;
            }
        }
        let batch = &mut self.batch;
        match batch.streams.last_mut() {
            Some(run) if run.labels == stream.labels => run.rows += 1,
            _ => batch.streams.push(StreamRun { labels: stream.labels.clone(), rows: 1 }),
        }
        batch.timestamps.push(time);
        let wanted = match scan.columns.line {
            LineWanted::Never => false,
            LineWanted::Always => true,
            LineWanted::Unless(FieldSource::Json) => structure != Structure::Json,
            LineWanted::Unless(FieldSource::Logfmt) => structure != Structure::Logfmt,
            LineWanted::Unless(FieldSource::Metadata) => true,
        };
        if scan.columns.line != LineWanted::Never {
            batch.lines.push(if wanted { line } else { "" });
        }
        if scan.columns.line_bytes {
            batch.line_bytes.push(line.len() as u32);
        }
        if scan.columns.metadata {
            batch.metadata.push(stream.metadata.get(row));
        }
        if !scan.columns.fields.is_empty() {
            batch.structures.push(structure);
        }
        for (field, column) in scan.columns.fields.iter().zip(&mut self.columns) {
            column.push(match field.source {
                FieldSource::Metadata => metadata(&field.name),
                FieldSource::Json if structure == Structure::Json => fields.get(&*field.name).cloned(),
                FieldSource::Logfmt if structure == Structure::Logfmt => fields.get(&*field.name).cloned(),
                _ => None,
            });
        }
        true
    }

    fn finish(self) -> LogBatch {
        let mut batch = self.batch;
        batch.fields = self.columns.iter().map(|values| column(values)).collect();
        batch
    }
}

/// A column in the form its values allow; which of the general forms depends on how many there are.
fn column(values: &[Option<String>]) -> TextColumn {
    let numbers: Option<Vec<Option<(i64, u8)>>> = values
        .iter()
        .map(|value| match value {
            None => Some(None),
            Some(text) => read_decimal(text).map(Some),
        })
        .collect();
    if let Some(numbers) = numbers.filter(|numbers| numbers.iter().flatten().count() > 0) {
        let scale = numbers.iter().flatten().map(|(_, scale)| *scale).max().unwrap();
        let scaled: Option<Vec<i64>> = numbers
            .iter()
            .map(|number| match number {
                None => Some(0),
                Some((mantissa, own)) => mantissa.checked_mul(10i64.checked_pow(u32::from(scale - own))?),
            })
            .collect();
        if let Some(mantissas) = scaled {
            let present = numbers.iter().map(Option::is_some).collect();
            return TextColumn::Decimal { present, mantissas, scale };
        }
    }
    if values.len().is_multiple_of(2) {
        let mut distinct: Vec<&str> = values.iter().flatten().map(String::as_str).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let code = |value: &Option<String>| match value {
            None => TextColumn::ABSENT,
            Some(text) => distinct.binary_search(&text.as_str()).unwrap() as u32,
        };
        let codes = values.iter().map(code).collect();
        return TextColumn::Dictionary { codes, values: distinct.iter().copied().collect() };
    }
    let present = values.iter().map(Option::is_some).collect();
    let values: Strings = values.iter().map(|value| value.as_deref().unwrap_or("")).collect();
    TextColumn::Plain { present, values }
}

fn line_passes(test: &LineTest, line: &str) -> bool {
    let found = test.any.iter().any(|one| match one {
        LineMatch::Text(text) => line.contains(&**text),
        LineMatch::Regex(regex) => regex.unanchored().unwrap().is_match(line),
    });
    found != test.negated
}

struct Batches {
    batches: std::vec::IntoIter<LogBatch>,
    stats: ScanStats,
}

impl LogCursor for Batches {
    fn next(&mut self) -> Result<Option<LogBatch>, SelectError> {
        let batch = self.batches.next();
        self.stats.rows += batch.as_ref().map_or(0, |batch| batch.timestamps.len() as u64);
        Ok(batch)
    }

    fn bound(&mut self, start: i64, end: i64) {
        // Whole batches outside are left out; nothing is said about the rest.
        let inside = |batch: &LogBatch| batch.timestamps.iter().any(|time| *time >= start && *time < end);
        let left: Vec<LogBatch> = self.batches.by_ref().filter(inside).collect();
        self.batches = left.into_iter();
    }

    fn stats(&self) -> ScanStats {
        self.stats
    }
}

impl LogSource for Memory {
    fn scan<'a>(
        &'a self,
        scan: &LogScan,
        control: &'a QueryControl,
    ) -> Result<Box<dyn LogCursor + 'a>, SelectError> {
        control.check()?;
        let batches = self.rows(scan);
        Ok(Box::new(Batches { batches: batches.into_iter(), stats: ScanStats::default() }))
    }

    fn streams(
        &self,
        _tenant: &Tenant,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        _control: &QueryControl,
        each: &mut dyn FnMut(&Labels, LogStats),
    ) -> Result<(), SelectError> {
        for stream in &self.streams {
            let wanted = selectors.is_empty()
                || selectors
                    .iter()
                    .any(|all| all.iter().all(|matcher| matcher.matches_labels(&stream.labels)));
            let inside: Vec<i64> =
                stream.timestamps.iter().copied().filter(|time| *time >= start && *time < end).collect();
            if let (true, Some(first), Some(last)) = (wanted, inside.first(), inside.last()) {
                let bytes = stream.lines.text().len() as u64;
                let entries = inside.len() as u64;
                each(&stream.labels, LogStats { entries, bytes, blocks: 1, first: *first, last: *last });
            }
        }
        Ok(())
    }
}
