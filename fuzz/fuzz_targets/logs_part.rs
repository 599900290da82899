//! Parts of log entries: what is written reads back, and with changed bytes it is an error or an answer.
//!
//! An input that begins with a byte below 3 is the damage of a sample: places of three bytes, and the byte that
//! stands there instead. Any other is the lines of a part, to be written and read. A tab begins the structured
//! metadata of a line: names and values, with tabs between them.
#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use novaobs_model::Labels;
use novaobs_model::logs::{
    Field, FieldSource, LineMatch, LineTest, LineWanted, LogColumns, LogScan, LogStream, Order, ScanStats,
    Tenant,
};
use novaobs_model::select::QueryControl;
use novaobs_parts::{MemoryFile, Part, PartError, merge, write};

/// Stream, time, line, metadata.
type Row = (Labels, i64, String, Vec<(String, String)>);

fn streams_of(text: &str) -> Vec<LogStream> {
    let mut streams: BTreeMap<Labels, LogStream> = BTreeMap::new();
    for (line, time) in text.split('\n').zip(0i64..) {
        let app = if line.starts_with('{') { "json" } else { "text" };
        let stream = streams.entry(Labels::from_pairs([("app", app)])).or_default();
        let mut pieces = line.split('\t');
        stream.timestamps.push(time * 1_000_000_007);
        stream.lines.push(pieces.next().unwrap_or_default());
        // Names as receivers give them: not empty, sorted, each once.
        let mut metadata = BTreeMap::new();
        while let (Some(name), Some(value)) = (pieces.next(), pieces.next()) {
            metadata.insert(if name.is_empty() { "empty" } else { name }, value);
        }
        stream.metadata.push(metadata);
    }
    let labelled = streams.into_iter().map(|(labels, stream)| LogStream { labels, ..stream });
    labelled.collect()
}

fn rows_of(streams: &[LogStream]) -> Vec<Row> {
    let mut rows = Vec::new();
    for stream in streams {
        for (row, time) in stream.timestamps.iter().enumerate() {
            let pairs = stream.metadata.get(row).map(|(name, value)| (name.to_owned(), value.to_owned()));
            rows.push((stream.labels.clone(), *time, stream.lines.get(row).to_owned(), pairs.collect()));
        }
    }
    rows.sort();
    rows
}

fn open(bytes: Vec<u8>) -> Result<Arc<Part>, PartError> {
    Part::open("fuzz", Arc::new(MemoryFile::new(bytes)))
}

/// All rows, or with `narrow` those of a search, with fields.
fn read(part: &Part, narrow: bool) -> Result<Vec<Row>, PartError> {
    let field = |source, name: &str| Field { source, name: name.into() };
    let mut scan = LogScan {
        tenant: Tenant::new("fuzz"),
        start: i64::MIN,
        end: i64::MAX,
        matchers: vec![],
        lines: vec![],
        fields: vec![],
        columns: LogColumns { line: LineWanted::Always, line_bytes: true, metadata: true, fields: vec![] },
        order: Order::Newest,
    };
    if narrow {
        scan.lines = vec![LineTest { any: vec![LineMatch::Text("err".into())], negated: false }];
        scan.columns.fields = vec![
            field(FieldSource::Json, "a"),
            field(FieldSource::Logfmt, "a"),
            field(FieldSource::Metadata, "a"),
        ];
    }
    let control = QueryControl::unlimited();
    let mut rows = Vec::new();
    for block in part.plan(&scan, &control)? {
        let Some(batch) = part.read(&scan, &block, &control, &mut ScanStats::default())? else { continue };
        let mut row = 0;
        for run in &batch.streams {
            for _ in 0..run.rows {
                let pairs = batch.metadata.get(row).map(|(name, value)| (name.to_owned(), value.to_owned()));
                let line = batch.lines.get(row).to_owned();
                rows.push((run.labels.clone(), batch.timestamps[row], line, pairs.collect()));
                row += 1;
            }
        }
        assert_eq!(row, batch.timestamps.len());
    }
    rows.sort();
    Ok(rows)
}

/// Parts to damage: their lines are JSON, logfmt, and plain with metadata.
static SAMPLES: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let json = |n: i64| {
        format!(
            "{{\"level\":\"error\",\"a\":{n},\"b\":{{\"c\":\"00ff00ff00ff00f{}\"}},\"f\":1.{}5}}\n",
            n % 7,
            n % 9
        )
    };
    let logfmt =
        |n: i64| format!("level=error a={n} msg=\"x y {n}\" trace=deadbeefdeadbee{} dur={n}ms\n", n % 9);
    let plain = |n: i64| format!("err {n}\tname\tvalue {}\tother\t{n}\n", n % 3);
    [&json as &dyn Fn(i64) -> String, &logfmt, &plain]
        .map(|line| written(&streams_of(&(0..40).map(line).collect::<String>())))
});

fn written(streams: &[LogStream]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(streams, &mut bytes).expect("entries within the limits");
    bytes
}

fn round_trip(text: &str) {
    let streams = streams_of(text);
    let part = open(written(&streams)).expect("a part as it was written");
    assert_eq!(read(&part, false).expect("rows as they were written"), rows_of(&streams));
}

fn damaged(mut bytes: Vec<u8>, damage: &[u8]) {
    for [high, middle, low, value] in damage.as_chunks::<4>().0 {
        let at = u32::from_be_bytes([0, *high, *middle, *low]) as usize % bytes.len();
        bytes[at] = *value;
    }
    let Ok(part) = open(bytes) else { return };
    let _ = (read(&part, false), read(&part, true));
    let _ = merge(&[part.clone(), part], &[], &mut Vec::new(), &QueryControl::unlimited());
}

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((sample, damage)) if *sample < 3 => damaged(SAMPLES[usize::from(*sample)].clone(), damage),
        _ => round_trip(&String::from_utf8_lossy(input)),
    }
});
