//! Random entries and random scans: a part, a merged part and rows in memory answer as a plain filter does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use novaobs_model::labels::Labels;
use novaobs_model::logs::{
    Field, FieldSource, FieldTest, LineMatch, LineTest, LineWanted, LogBatch, LogColumns, LogScan, LogStream,
    NumberRange, Order, PairLists, RowFilter, ScanStats, Strings, Structure, Tenant,
};
use novaobs_model::matcher::{MatchOp, Matcher};
use novaobs_model::regex::GoRegex;
use novaobs_model::select::QueryControl;
use novaobs_parts::{Dropped, MemoryFile, Part, merge, scan_rows, write};
use proptest::prelude::*;

/// An entry: stream, time, line, metadata.
type Row = (Labels, i64, String, Vec<(String, String)>);

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "error", "info", "GET", "/api/v1/users", "x y", "a=b", "caf\u{e9}", "12.50", "7", "007", "-3", "1.5",
            "2026-01-02T03:04:05.678Z", "1970-01-01T00:00:00.000000005Z", "00ff00ff00ff00ff", "deadbeefdeadbeef",
            "needle", "C:\\\\dir", "say \\\"hi\\\"", "tab\\t", "\\u00e9", "{", "}", ",", "\u{1f600}", "",
        ]).prop_map(str::to_owned),
        1 => "[a-z0-9 ]{0,12}",
        1 => "[0-9a-f]{16}",
        2 => (0u32..5000).prop_map(|n| n.to_string()),
        1 => (0u32..500_000).prop_map(|n| format!("{}.{:03}", n / 1000, n % 1000)),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec!["level", "msg", "status", "trace_id", "ts", "user.id", "dur", "_line", "a-b"])
            .prop_map(str::to_owned),
        1 => "[a-z_]{1,3}",
    ]
}

fn line() -> impl Strategy<Value = String> {
    let pair = || (key(), value());
    prop_oneof![
        5 => prop::collection::vec((pair(), any::<bool>()), 0..6).prop_map(|pairs| {
            let members = pairs.iter().map(|((key, value), bare)| {
                if *bare && value.parse::<f64>().is_ok() {
                    format!("\"{key}\":{value}")
                } else {
                    format!("\"{key}\":\"{value}\"")
                }
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }),
        3 => prop::collection::vec((pair(), any::<bool>()), 1..6).prop_map(|pairs| {
            let members = pairs.iter().map(|((key, value), quoted)| {
                if *quoted { format!("{key}=\"{value}\"") } else { format!("{key}={value}") }
            });
            members.collect::<Vec<_>>().join(" ")
        }),
        1 => Just("{\"level\":\"info\",\"o\":{\"p\":{\"q\":1},\"r\":[1,\"]\",{\"s\":null}]},\"n\":null,\"t\":true}".to_owned()),
        1 => "\\PC{0,20}",
        1 => Just(String::new()),
        1 => "[{}\":,\\\\a1 =\\[\\]]{0,16}",
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let labels = (0..3u32, 0..2u32).prop_map(|(app, level)| {
        let mut pairs = vec![("app".to_owned(), format!("app{app}"))];
        if level > 0 {
            pairs.push(("level".to_owned(), "error".to_owned()));
        }
        Labels::from_pairs(pairs)
    });
    let time = prop_oneof![0i64..12, Just(1_767_323_045_678_000_000), Just(-5)];
    let metadata =
        prop::collection::vec((prop::sample::select(vec!["trace_id", "user", "k"]), value()), 0..3);
    (labels, time, line(), metadata).prop_map(|(labels, time, line, metadata)| {
        (labels, time, line, metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    })
}

fn streams(rows: &[Row], each: usize) -> Vec<LogStream> {
    rows.chunks(each)
        .flat_map(|chunk| {
            let mut by_labels: BTreeMap<Labels, LogStream> = BTreeMap::new();
            for (labels, time, line, metadata) in chunk {
                let stream = by_labels.entry(labels.clone()).or_default();
                stream.labels = labels.clone();
                stream.timestamps.push(*time);
                stream.lines.push(line);
                stream.metadata.push(metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            }
            by_labels.into_values()
        })
        .collect()
}

fn part(rows: &[Row]) -> Arc<Part> {
    let mut bytes = Vec::new();
    let info = write(&streams(rows, 7), &mut bytes).unwrap();
    assert_eq!(info.file_bytes, bytes.len() as u64);
    let part = Part::open("test", Arc::new(MemoryFile::new(bytes))).unwrap();
    assert_eq!(part.info(), &info);
    part
}

fn merged(rows: &[Row], pieces: usize, drop: &[Dropped<'_>]) -> Option<Arc<Part>> {
    let parts: Vec<Arc<Part>> = rows.chunks(rows.len().div_ceil(pieces)).map(part).collect();
    let mut bytes = Vec::new();
    let info = merge(&parts, drop, &mut bytes, &QueryControl::unlimited()).unwrap()?;
    assert_eq!(info.file_bytes, bytes.len() as u64);
    let part = Part::open("merged", Arc::new(MemoryFile::new(bytes))).unwrap();
    assert_eq!(part.info(), &info);
    Some(part)
}

fn scan() -> LogScan {
    LogScan {
        tenant: Tenant::new("fake"),
        start: i64::MIN,
        end: i64::MAX,
        matchers: vec![],
        lines: vec![],
        fields: vec![],
        columns: LogColumns { line: LineWanted::Always, line_bytes: true, metadata: true, fields: vec![] },
        order: Order::Any,
    }
}

fn answer(part: &Part, scan: &LogScan) -> Vec<LogBatch> {
    let control = QueryControl::unlimited();
    let mut stats = ScanStats::default();
    let blocks = part.plan(scan, &control).unwrap();
    blocks.iter().filter_map(|block| part.read(scan, block, &control, &mut stats).unwrap()).collect()
}

/// Rows of batches, whose parts must agree in number.
fn rows_of(batches: &[LogBatch]) -> BTreeSet<Row> {
    let mut out = BTreeSet::new();
    for batch in batches {
        let mut at = 0;
        assert_eq!(batch.streams.iter().map(|run| run.rows).sum::<usize>(), batch.timestamps.len());
        for run in &batch.streams {
            let times = &batch.timestamps[at..at + run.rows];
            assert!(times.is_sorted(), "rows of a stream in order of time");
            for _ in 0..run.rows {
                let line = batch.lines.get(at).to_owned();
                if let Some(length) = batch.line_bytes.get(at) {
                    assert_eq!(*length as usize, line.len());
                }
                let metadata = batch.metadata.get(at).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                let new = out.insert((run.labels.clone(), batch.timestamps[at], line, metadata));
                assert!(new, "a row came twice");
                at += 1;
            }
        }
    }
    out
}

fn contains(test: &LineTest, line: &str) -> bool {
    let found = test.any.iter().any(|one| match one {
        LineMatch::Text(text) => line.contains(&**text),
        LineMatch::Regex(regex) => {
            regex::Regex::new(&format!("(?s:{})", regex.source())).unwrap().is_match(line)
        }
    });
    found != test.negated
}

fn line_test() -> impl Strategy<Value = LineTest> {
    let text = prop_oneof![
        prop::sample::select(vec![
            "needle",
            "eedl",
            "level",
            "\"level\":\"error\"",
            "level=error",
            "error\"",
            "\":\"",
            "7",
            "\"status\":7",
            "00ff",
            "00ff00ff00ff00ff",
            "info msg",
            "=",
            "",
            "{",
            "caf\u{e9}",
            "user",
            "1970-01",
            "000000005Z\"",
            ".5",
            "app",
            "\",\"msg",
            "x y",
            "=\"",
            "a-b",
            "}",
            "\\",
            "\"}",
            "1\",\"",
            "o\":{\"p\"",
            "null",
        ])
        .prop_map(str::to_owned),
        "[a-z0-9\":,=]{1,4}",
    ]
    .prop_map(|text| LineMatch::Text(text.as_str().into()));
    let regex = prop::sample::select(vec![
        "err.r",
        "(needle|info)",
        "level.{3}error",
        "[0-9]{3,}",
        "^\\{",
        "x$",
        "",
        "(GET)+ ?",
    ])
    .prop_map(|source| LineMatch::Regex(GoRegex::new(source).unwrap()));
    (prop::collection::vec(prop_oneof![4 => text, 1 => regex], 1..3), any::<bool>())
        .prop_map(|(any, negated)| LineTest { any, negated })
}

#[derive(Clone, Debug)]
struct Wish {
    range: Option<(i64, i64)>,
    matcher: usize,
    lines: Vec<LineTest>,
}

fn wish() -> impl Strategy<Value = Wish> {
    (prop::option::of((-6i64..13, 0i64..14)), 0..4usize, prop::collection::vec(line_test(), 0..3))
        .prop_map(|(range, matcher, lines)| Wish { range, matcher, lines })
}

impl Wish {
    fn scan(&self) -> LogScan {
        let mut scan = scan();
        if let Some((start, length)) = self.range {
            (scan.start, scan.end) = (start, start + length);
        }
        scan.matchers = match self.matcher {
            0 => vec![Matcher::equal("app", "app1")],
            1 => vec![Matcher::new("level", MatchOp::NotEqual, "error").unwrap()],
            2 => vec![Matcher::new("app", MatchOp::Match, "app[02]").unwrap()],
            _ => vec![],
        };
        scan.lines = self.lines.clone();
        scan
    }
}

fn expected(rows: &[Row], scan: &LogScan) -> BTreeSet<Row> {
    let wanted = |(labels, time, line, _): &&Row| {
        *time >= scan.start
            && *time < scan.end
            && scan.matchers.iter().all(|matcher| matcher.matches_labels(labels))
            && scan.lines.iter().all(|test| contains(test, line))
    };
    rows.iter().filter(wanted).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_row_comes_back_byte_for_byte(rows in prop::collection::vec(row(), 1..120)) {
        let all: BTreeSet<Row> = rows.iter().cloned().collect();
        let one = part(&rows);
        prop_assert_eq!(one.info().rows, all.len() as u64);
        prop_assert_eq!(&rows_of(&answer(&one, &scan())), &all);
        prop_assert_eq!(&rows_of(&scan_rows(&streams(&rows, 7), &scan(), 16)), &all);
        let many = merged(&rows, 3, &[]).unwrap();
        prop_assert_eq!(many.info().rows, all.len() as u64);
        prop_assert_eq!(&rows_of(&answer(&many, &scan())), &all);
    }

    #[test]
    fn scans_find_what_a_plain_filter_finds(
        rows in prop::collection::vec(row(), 1..150),
        wishes in prop::collection::vec(wish(), 1..6),
    ) {
        let (one, many) = (part(&rows), merged(&rows, 3, &[]).unwrap());
        for wish in &wishes {
            let scan = wish.scan();
            let expected = expected(&rows, &scan);
            prop_assert_eq!(&rows_of(&answer(&one, &scan)), &expected, "part: {:?}", wish);
            prop_assert_eq!(&rows_of(&answer(&many, &scan)), &expected, "merged: {:?}", wish);
            prop_assert_eq!(&rows_of(&scan_rows(&streams(&rows, 7), &scan, 16)), &expected, "memory: {:?}", wish);
        }
    }

    #[test]
    fn dropped_rows_are_gone(rows in prop::collection::vec(row(), 1..100), wish in wish()) {
        let mut scan = wish.scan();
        let (start, end) = (scan.start, scan.end.saturating_sub(1));
        let filter = RowFilter {
            matchers: std::mem::take(&mut scan.matchers),
            lines: std::mem::take(&mut scan.lines),
            rest: (wish.matcher == 3).then(|| -> Arc<dyn Fn(&novaobs_model::logs::RowView<'_>) -> bool + Send + Sync> {
                Arc::new(|view| view.metadata.is_empty())
            }),
        };
        let gone = |row: &&Row| {
            row.1 >= start && row.1 <= end
                && filter.matchers.iter().all(|m| m.matches_labels(&row.0))
                && filter.lines.iter().all(|t| contains(t, &row.2))
                && (filter.rest.is_none() || row.3.is_empty())
        };
        let left: BTreeSet<Row> = rows.iter().filter(|row| !gone(row)).cloned().collect();
        let found = merged(&rows, 2, &[Dropped { filter: &filter, start, end }]);
        let found = found.map(|part| rows_of(&answer(&part, &self::scan()))).unwrap_or_default();
        prop_assert_eq!(found, left);
    }

    #[test]
    fn fields_are_those_of_the_line(rows in prop::collection::vec(row(), 1..100)) {
        let fields: Vec<Field> = [
            (FieldSource::Json, "level"), (FieldSource::Json, "status"), (FieldSource::Json, "ts"), (FieldSource::Json, "user_id"),
            (FieldSource::Json, "o_p_q"), (FieldSource::Json, "n"), (FieldSource::Json, "o_r"), (FieldSource::Json, "dur"),
            (FieldSource::Logfmt, "level"), (FieldSource::Logfmt, "msg"), (FieldSource::Logfmt, "trace_id"),
            (FieldSource::Metadata, "trace_id"), (FieldSource::Metadata, "user"), (FieldSource::Metadata, "absent"),
        ].map(|(source, name)| Field { source, name: name.into() }).into();
        let mut scan = scan();
        scan.columns.fields = fields.clone();
        for part in [part(&rows), merged(&rows, 3, &[]).unwrap()] {
            let mut scratch = String::new();
            for batch in answer(&part, &scan) {
                for row in 0..batch.timestamps.len() {
                    let line = batch.lines.get(row);
                    for (field, column) in fields.iter().zip(&batch.fields) {
                        let found = column.get(row, &mut scratch).map(str::to_owned);
                        let expected = match (field.source, batch.structures[row]) {
                            (FieldSource::Metadata, _) => {
                                let pairs = batch.metadata.get(row).filter(|(name, _)| **name == *field.name);
                                pairs.last().map(|(_, value)| value.to_owned())
                            }
                            (FieldSource::Json, Structure::Json) => match json_field(line, &field.name) {
                                // The other parser forgets how a number was written.
                                Some(Err(number)) => {
                                    let text = found.clone().unwrap_or_default();
                                    prop_assert!(line.contains(&text) && text.parse() == Ok(number), "{text} of {line}");
                                    continue;
                                }
                                Some(Ok(text)) => Some(text),
                                None => None,
                            },
                            (FieldSource::Logfmt, Structure::Logfmt) => logfmt_field(line, &field.name),
                            _ => continue,
                        };
                        prop_assert_eq!(found, expected, "{:?} of {}", field, line);
                    }
                }
            }
        }
    }

    #[test]
    fn field_tests_never_lose_a_row(rows in prop::collection::vec(row(), 1..150), which in 0..7usize) {
        let test = field_test(which);
        let mut scan = scan();
        scan.columns.fields = vec![test.field.clone()];
        let all = [part(&rows), merged(&rows, 3, &[]).unwrap()];
        for part in &all {
            let mut must = BTreeSet::new();
            let mut scratch = String::new();
            for batch in answer(part, &scan) {
                let mut labels = batch.streams.iter().flat_map(|run| std::iter::repeat_n(&run.labels, run.rows));
                for row in 0..batch.timestamps.len() {
                    let labels = labels.next().unwrap();
                    let speaks = match test.field.source {
                        FieldSource::Json => batch.structures[row] == Structure::Json,
                        FieldSource::Logfmt => batch.structures[row] == Structure::Logfmt,
                        FieldSource::Metadata => true,
                    };
                    if !speaks || (test.accepts)(batch.fields[0].get(row, &mut scratch)) {
                        let pairs = batch.metadata.get(row).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                        must.insert((labels.clone(), batch.timestamps[row], batch.lines.get(row).to_owned(), pairs));
                    }
                }
            }
            let tested = LogScan { fields: vec![test.clone()], ..scan.clone() };
            let found = rows_of(&answer(part, &tested));
            prop_assert!(must.is_subset(&found), "{:?}", test);
        }
    }
}

fn field_test(which: usize) -> FieldTest {
    let field = |source, name: &str| Field { source, name: name.into() };
    let equal = |source, name: &str, value: &'static str| FieldTest {
        field: field(source, name),
        accepts: Arc::new(move |found| found == Some(value)),
        one_of: Some(vec![value.into()]),
        range: None,
    };
    let range = |name: &str, range: NumberRange| FieldTest {
        field: field(FieldSource::Json, name),
        accepts: Arc::new(move |found| {
            found.and_then(|text| text.parse().ok()).is_some_and(|n| range.accepts(n))
        }),
        one_of: None,
        range: Some(range),
    };
    match which {
        0 => equal(FieldSource::Json, "level", "error"),
        1 => equal(FieldSource::Logfmt, "trace_id", "00ff00ff00ff00ff"),
        2 => equal(FieldSource::Metadata, "user", "caf\u{e9}"),
        3 => range("status", NumberRange { low: (7.0, true), high: (f64::INFINITY, true), outside: false }),
        4 => range("dur", NumberRange { low: (-3.0, false), high: (1.5, true), outside: false }),
        5 => range("status", NumberRange { low: (7.0, true), high: (7.0, true), outside: true }),
        _ => equal(FieldSource::Json, "msg", "say \"hi\""),
    }
}

/// What `| json` gives, by another parser.
fn json_field(line: &str, name: &str) -> Option<Result<String, f64>> {
    fn find(value: &serde_json::Value, path: &str, name: &str) -> Option<Result<String, f64>> {
        let serde_json::Value::Object(members) = value else { return None };
        members.iter().find_map(|(key, value)| {
            let key: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            let path = if path.is_empty() { key } else { format!("{path}_{key}") };
            match value {
                serde_json::Value::Object(_) => find(value, &path, name),
                _ if path != name => None,
                serde_json::Value::String(text) => Some(Ok(text.clone())),
                serde_json::Value::Number(number) => number.as_f64().map(Err),
                serde_json::Value::Array(_) | serde_json::Value::Null => None,
                other => Some(Ok(other.to_string())),
            }
        })
    }
    find(&serde_json::from_str(line).unwrap(), "", name)
}

/// What `| logfmt` gives, for clean lines.
fn logfmt_field(line: &str, name: &str) -> Option<String> {
    let mut rest = line.trim_start_matches(' ');
    while let Some((key, after)) = rest.split_once('=') {
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut end = 0;
                while quoted.as_bytes()[end] != b'"' {
                    end += if quoted.as_bytes()[end] == b'\\' { 2 } else { 1 };
                }
                (serde_json::from_str(&format!("\"{}\"", &quoted[..end])).unwrap(), &quoted[end + 1..])
            }
            None => {
                let end = after.find(' ').unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        let key: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if key == name {
            return Some(value).filter(|value: &String| !value.is_empty());
        }
        rest = tail.trim_start_matches(' ');
    }
    None
}

#[test]
fn damage_is_an_error_or_changes_nothing() {
    let rows: Vec<Row> = (0..40)
        .map(|n| {
            let labels = Labels::from_pairs([("app", format!("app{}", n % 3))]);
            let line = format!("{{\"n\":{n},\"id\":\"{:016x}\",\"msg\":\"text {n}\"}}", n * 77);
            (labels, n, line, vec![("user".to_owned(), format!("u{n}"))])
        })
        .collect();
    let mut bytes = Vec::new();
    write(&streams(&rows, 10), &mut bytes).unwrap();
    let mut wish = scan();
    wish.lines = vec![LineTest { any: vec![LineMatch::Text("text".into())], negated: false }];
    let good: BTreeSet<Row> = rows.iter().cloned().collect();
    let control = QueryControl::unlimited();
    let ask = |bytes: Vec<u8>| -> Result<BTreeSet<Row>, novaobs_parts::PartError> {
        let part = Part::open("damaged", Arc::new(MemoryFile::new(bytes)))?;
        let mut batches = Vec::new();
        for block in part.plan(&wish, &control)? {
            batches.extend(part.read(&wish, &block, &control, &mut ScanStats::default())?);
        }
        Ok(rows_of(&batches))
    };
    assert_eq!(ask(bytes.clone()).unwrap(), good);
    let mut refused = 0;
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        match ask(damaged) {
            Ok(found) => assert_eq!(found, good, "byte {at} changed the answer"),
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("damaged"), "{error}");
            }
        }
    }
    assert!(refused * 3 > bytes.len(), "{refused} of {} changes were noticed", bytes.len());
    for length in 0..bytes.len() {
        assert!(ask(bytes[..length].to_vec()).is_err(), "a file cut to {length} bytes was read");
    }
}

#[test]
fn a_block_end_within_a_stream_is_no_seam() {
    let rows: Vec<Row> = (0..70_000i64)
        .map(|n| {
            let labels = Labels::from_pairs([("app", format!("app{}", n % 2))]);
            (labels, n, format!("{{\"n\":{n},\"m\":\"v{}\",\"k\":\"{}\"}}", n % 9000, n % 5), vec![])
        })
        .collect();
    let mut parts = Vec::new();
    for chunk in rows.chunks(30_000) {
        let mut bytes = Vec::new();
        write(&streams(chunk, 30_000), &mut bytes).unwrap();
        parts.push(Part::open("piece", Arc::new(MemoryFile::new(bytes))).unwrap());
    }
    let mut bytes = Vec::new();
    merge(&parts, &[], &mut bytes, &QueryControl::unlimited()).unwrap().unwrap();
    let part = Part::open("merged", Arc::new(MemoryFile::new(bytes))).unwrap();
    assert_eq!(rows_of(&answer(&part, &scan())).len(), rows.len());
    let mut wish = scan();
    wish.lines = vec![LineTest { any: vec![LineMatch::Text("\"n\":69999,".into())], negated: false }];
    assert_eq!(rows_of(&answer(&part, &wish)).len(), 1);

    let mut seen = Vec::new();
    part.streams(&[vec![Matcher::equal("app", "app1")]], 0, 100_000, &mut |labels, stats| {
        seen.push((labels.to_string(), stats.entries, stats.first, stats.last));
    })
    .unwrap();
    assert_eq!(seen, [("{app=\"app1\"}".to_owned(), 35_000, 1, 69_999)]);
}

#[test]
fn row_groups_of_long_lines_are_shorter() {
    let rows: Vec<Row> = (0..10_000i64)
        .map(|n| {
            let labels = Labels::from_pairs([("app", "long")]);
            (labels, n, format!("{{\"n\":{n},\"stack\":\"{n} {}\"}}", "at frame ".repeat(1000)), vec![])
        })
        .collect();
    let mut bytes = Vec::new();
    write(&streams(&rows, rows.len()), &mut bytes).unwrap();
    let part = Part::open("long", Arc::new(MemoryFile::new(bytes))).unwrap();
    let mut wish = scan();
    wish.lines = vec![LineTest { any: vec![LineMatch::Text("\"n\":9999,".into())], negated: false }];
    assert_eq!(rows_of(&answer(&part, &wish)), BTreeSet::from([rows[9999].clone()]));
    assert_eq!(rows_of(&answer(&part, &scan())).len(), rows.len());
}

#[test]
fn newest_blocks_come_first() {
    let stream = |app: &str, times: Vec<i64>| LogStream {
        labels: Labels::from_pairs([("app", app)]),
        lines: times.iter().map(|_| "x").collect::<Strings>(),
        metadata: PairLists::empty_rows(times.len()),
        timestamps: times,
    };
    let mut bytes = Vec::new();
    write(&[stream("a", (0..9000).collect()), stream("b", (4000..5000).collect())], &mut bytes).unwrap();
    let part = Part::open("order", Arc::new(MemoryFile::new(bytes))).unwrap();
    let control = QueryControl::unlimited();
    for (order, sign) in [(Order::Newest, -1), (Order::Oldest, 1)] {
        let blocks = part.plan(&LogScan { order, ..scan() }, &control).unwrap();
        assert!(blocks.len() > 2);
        let keys: Vec<i64> = blocks.iter().map(|b| if sign < 0 { -b.last } else { b.first }).collect();
        assert!(keys.is_sorted());
        assert_eq!(blocks.iter().map(|block| block.rows).sum::<u64>(), 10_000);
    }
}
