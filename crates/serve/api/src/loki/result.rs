//! Query results into bytes: rows are written straight into the response's chunks, so that an answer of
//! many rows takes no more memory than its rows and one chunk.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use novaobs_logql::{Series, Stream, Value};
use novaobs_model::{Labels, LabelsBuilder};

use super::json::{JSON, label_text, push, push_labels, push_list, push_metric, push_point, push_string};
use super::params::Direction;

/// About how large a chunk is.
const CHUNK: usize = 64 << 10;
/// The flag that keeps structured metadata and parsed labels apart from those of the stream.
const CATEGORIZE: &str = "categorize-labels";

/// A finished query on its way out.
pub(super) struct QueryAnswer {
    pub(super) rows: Rows,
    /// As asked for in `X-Loki-Response-Encoding-Flags`.
    pub(super) flags: Vec<String>,
    /// The JSON of `stats`.
    pub(super) stats: String,
    pub(super) warnings: Vec<String>,
    /// Where a following request can go on, when there is more.
    pub(super) cursor: Option<String>,
}

/// What is written in `result`.
pub(super) enum Rows {
    Streams(Streams),
    Matrix(Vec<Series>),
    Vector(Vec<Series>),
    /// Nanoseconds and value.
    Scalar(i64, f64),
}

/// Entries by stream, as they are shown.
pub(super) struct Streams {
    /// As the engine gave them.
    given: Vec<Stream>,
    /// Shown streams by their label texts; each entry is a stream in `given` and an entry in that.
    shown: Vec<Shown>,
    categorized: bool,
}

struct Shown {
    labels: Labels,
    entries: Vec<(u32, u32)>,
}

impl Rows {
    /// Of an engine's value; `time` is that of an instant query.
    pub(super) fn new(value: Value, flags: &[String], direction: Direction, time: i64) -> Self {
        match value {
            Value::Streams(streams) => Rows::Streams(Streams::new(streams, categorizes(flags), direction)),
            Value::Matrix(series) => Rows::Matrix(series),
            Value::Vector(series) => Rows::Vector(series),
            Value::Scalar(value) => Rows::Scalar(time, value),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Rows::Streams(_) => "streams",
            Rows::Matrix(_) => "matrix",
            Rows::Vector(_) => "vector",
            Rows::Scalar(..) => "scalar",
        }
    }
}

/// Whether the flags ask for labels by category.
pub(super) fn categorizes(flags: &[String]) -> bool {
    flags.iter().any(|flag| flag == CATEGORIZE)
}

/// The flags of a request.
pub(super) fn encoding_flags(headers: &axum::http::HeaderMap) -> Vec<String> {
    let text = headers.get("X-Loki-Response-Encoding-Flags").and_then(|value| value.to_str().ok());
    let flags = text.unwrap_or_default().split(',').map(str::trim);
    flags.filter(|flag| !flag.is_empty()).map(str::to_owned).collect()
}

/// All labels of a stream in one set.
pub(super) fn merged(labels: &Labels, metadata: &Labels, parsed: &Labels) -> Labels {
    if metadata.is_empty() && parsed.is_empty() {
        return labels.clone();
    }
    let mut builder = LabelsBuilder::from_labels(labels);
    for (name, value) in metadata.iter().chain(parsed.iter()) {
        builder.set(name, value);
    }
    builder.build()
}

impl Streams {
    pub(super) fn new(given: Vec<Stream>, categorized: bool, direction: Direction) -> Self {
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut shown: Vec<Shown> = Vec::new();
        let mut mixed = Vec::new();
        for (at, stream) in given.iter().enumerate() {
            let labels = match categorized {
                true => stream.labels.clone(),
                false => merged(&stream.labels, &stream.metadata, &stream.parsed),
            };
            let place = *places.entry(labels.clone()).or_insert_with(|| {
                shown.push(Shown { labels, entries: Vec::new() });
                shown.len() - 1
            });
            let Some(target) = shown.get_mut(place) else { continue };
            if !target.entries.is_empty() {
                mixed.push(place);
            }
            target.entries.extend((0..stream.entries.len()).map(|entry| (at as u32, entry as u32)));
        }
        mixed.dedup();
        for place in mixed {
            if let Some(target) = shown.get_mut(place) {
                let time = |at: &(u32, u32)| entry(&given, *at).map_or(0, |(_, entry)| entry.timestamp);
                match direction {
                    Direction::Forward => target.entries.sort_by_key(time),
                    Direction::Backward => target.entries.sort_by_key(|at| std::cmp::Reverse(time(at))),
                }
            }
        }
        shown.sort_by_cached_key(|stream| label_text(&stream.labels));
        Streams { given, shown, categorized }
    }

    /// All shown streams: label text, and for each entry its time and line.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Labels, impl Iterator<Item = (i64, &str)>)> {
        self.shown.iter().map(|stream| {
            let entries = stream.entries.iter().filter_map(|at| entry(&self.given, *at));
            (&stream.labels, entries.map(|(_, entry)| (entry.timestamp, entry.line.as_str())))
        })
    }

    /// Writes from entry `from` of stream `item` on; gives where to go on.
    fn write(&self, out: &mut String, item: usize, from: usize) -> Option<(usize, usize)> {
        let stream = self.shown.get(item)?;
        if from == 0 {
            if item > 0 {
                out.push(',');
            }
            out.push_str("{\"stream\":");
            push_labels(out, &stream.labels);
            out.push_str(",\"values\":[");
        }
        for (at, place) in stream.entries.iter().enumerate().skip(from) {
            if at > 0 {
                out.push(',');
            }
            if let Some((given, entry)) = entry(&self.given, *place) {
                let labels = self.categorized.then_some((&given.metadata, &given.parsed));
                push_entry(out, entry.timestamp, &entry.line, labels);
            }
            if out.len() >= CHUNK && at + 1 < stream.entries.len() {
                return Some((item, at + 1));
            }
        }
        out.push_str("]}");
        Some((item + 1, 0))
    }
}

fn entry(given: &[Stream], at: (u32, u32)) -> Option<(&Stream, &novaobs_logql::Entry)> {
    let stream = given.get(at.0 as usize)?;
    Some((stream, stream.entries.get(at.1 as usize)?))
}

/// Appends `["time","line"]`, with structured metadata and parsed labels when they are shown apart.
pub(super) fn push_entry(
    out: &mut String,
    timestamp: i64,
    line: &str,
    categories: Option<(&Labels, &Labels)>,
) {
    push(out, format_args!("[\"{timestamp}\","));
    push_string(out, line);
    if let Some((metadata, parsed)) = categories {
        out.push_str(",{");
        let mut comma = "";
        for (name, labels) in [("structuredMetadata", metadata), ("parsed", parsed)] {
            if !labels.is_empty() {
                push(out, format_args!("{comma}\"{name}\":"));
                push_labels(out, labels);
                comma = ",";
            }
        }
        out.push('}');
    }
    out.push(']');
}

impl IntoResponse for QueryAnswer {
    fn into_response(self) -> Response {
        let mut writer = ResultWriter { answer: self, part: Part::Head };
        let first = writer.next().unwrap_or_default();
        let body = if writer.part == Part::Done {
            Body::from(first)
        } else {
            let chunks = std::iter::once(first).chain(writer).map(Ok::<_, std::convert::Infallible>);
            Body::from_stream(futures::stream::iter(chunks))
        };
        ([(header::CONTENT_TYPE, JSON)], body).into_response()
    }
}

/// What is written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    /// The stream or series, and the row within it.
    Items(usize, usize),
    Tail,
    Done,
}

/// Writes an answer chunk by chunk.
struct ResultWriter {
    answer: QueryAnswer,
    part: Part,
}

impl ResultWriter {
    /// Writes one piece of about a chunk at most.
    fn write(&mut self, out: &mut String) {
        let answer = &self.answer;
        self.part = match self.part {
            Part::Head => {
                out.push_str("{\"status\":\"success\",");
                if !answer.warnings.is_empty() {
                    out.push_str("\"warnings\":");
                    push_list(out, answer.warnings.iter().map(String::as_str));
                    out.push(',');
                }
                push(out, format_args!("\"data\":{{\"resultType\":\"{}\",", answer.rows.kind()));
                if !answer.flags.is_empty() && matches!(answer.rows, Rows::Streams(_)) {
                    out.push_str("\"encodingFlags\":");
                    push_list(out, answer.flags.iter().map(String::as_str));
                    out.push(',');
                }
                out.push_str("\"result\":[");
                Part::Items(0, 0)
            }
            Part::Items(item, row) => match write_item(&answer.rows, out, item, row) {
                Some((item, row)) => Part::Items(item, row),
                None => Part::Tail,
            },
            Part::Tail => {
                push(out, format_args!("],\"stats\":{}", answer.stats));
                if let Some(cursor) = &answer.cursor {
                    out.push_str(",\"cursor\":");
                    push_string(out, cursor);
                }
                out.push_str("}}");
                if matches!(answer.rows, Rows::Streams(_)) {
                    out.push('\n');
                }
                Part::Done
            }
            Part::Done => Part::Done,
        };
    }
}

impl Iterator for ResultWriter {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.part == Part::Done {
            return None;
        }
        let mut out = String::with_capacity(4096);
        while self.part != Part::Done && out.len() < CHUNK {
            self.write(&mut out);
        }
        Some(out.into())
    }
}

fn write_item(rows: &Rows, out: &mut String, item: usize, row: usize) -> Option<(usize, usize)> {
    match rows {
        Rows::Streams(streams) => streams.write(out, item, row),
        Rows::Matrix(series) => write_series(out, series.get(item)?, item, row),
        Rows::Vector(series) => {
            write_sample(out, series.get(item)?, item > 0);
            Some((item + 1, 0))
        }
        Rows::Scalar(time, value) => {
            let mut point = String::new();
            push_point(&mut point, *time, *value);
            out.push_str(point.trim_start_matches('[').trim_end_matches(']'));
            None
        }
    }
}

fn write_sample(out: &mut String, sample: &Series, comma: bool) {
    out.push_str(if comma { ",{\"metric\":" } else { "{\"metric\":" });
    push_metric(out, &sample.labels);
    if let Some((time, value)) = sample.points.first() {
        out.push_str(",\"value\":");
        push_point(out, *time, *value);
    }
    out.push('}');
}

/// A long series is written in pieces of this many points.
const POINTS_AT_ONCE: usize = 1024;

fn write_series(out: &mut String, series: &Series, item: usize, from: usize) -> Option<(usize, usize)> {
    if from == 0 {
        out.push_str(if item > 0 { ",{\"metric\":" } else { "{\"metric\":" });
        push_metric(out, &series.labels);
        out.push_str(",\"values\":[");
    }
    for (at, (time, value)) in series.points.iter().enumerate().skip(from).take(POINTS_AT_ONCE) {
        if at > 0 {
            out.push(',');
        }
        push_point(out, *time, *value);
    }
    if from + POINTS_AT_ONCE < series.points.len() {
        return Some((item, from + POINTS_AT_ONCE));
    }
    out.push_str("]}");
    Some((item + 1, 0))
}

#[cfg(test)]
mod tests {
    use novaobs_logql::Entry;

    use super::*;

    fn stream(labels: &[(&str, &str)], metadata: &[(&str, &str)], times: &[i64]) -> Stream {
        Stream {
            labels: Labels::from_pairs(labels.iter().copied()),
            metadata: Labels::from_pairs(metadata.iter().copied()),
            parsed: Labels::empty(),
            entries: times.iter().map(|t| Entry { timestamp: *t, line: format!("l{t}") }).collect(),
        }
    }

    fn body(rows: Rows, flags: &[&str]) -> String {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let answer = QueryAnswer { rows, flags, stats: "{}".to_owned(), warnings: Vec::new(), cursor: None };
        let chunks: Vec<Bytes> = ResultWriter { answer, part: Part::Head }.collect();
        String::from_utf8(chunks.concat()).unwrap()
    }

    #[test]
    fn categorized_streams_are_merged_in_order_of_time() {
        let given = vec![stream(&[("a", "1")], &[("m", "x")], &[3, 1]), stream(&[("a", "1")], &[], &[2])];
        let flags = ["categorize-labels"];
        let rows = Rows::Streams(Streams::new(given.clone(), true, Direction::Backward));
        assert_eq!(
            body(rows, &flags),
            "{\"status\":\"success\",\"data\":{\"resultType\":\"streams\",\"encodingFlags\":[\"categorize-labels\"],\"result\":[{\"stream\":{\"a\":\"1\"},\"values\":[[\"3\",\"l3\",{\"structuredMetadata\":{\"m\":\"x\"}}],[\"2\",\"l2\",{}],[\"1\",\"l1\",{\"structuredMetadata\":{\"m\":\"x\"}}]]}],\"stats\":{}}}\n"
        );
        let rows = Rows::Streams(Streams::new(given, false, Direction::Backward));
        assert!(body(rows, &[]).contains("[{\"stream\":{\"a\":\"1\",\"m\":\"x\"},\"values\":[[\"3\",\"l3\"],[\"1\",\"l1\"]]},{\"stream\":{\"a\":\"1\"}"));
    }

    #[test]
    fn long_answers_come_in_chunks_that_add_up() {
        let times: Vec<i64> = (0..20_000).collect();
        let streams = Streams::new(vec![stream(&[("a", "1")], &[], &times)], false, Direction::Forward);
        let answer = QueryAnswer {
            rows: Rows::Streams(streams),
            flags: Vec::new(),
            stats: "{}".to_owned(),
            warnings: vec!["w".to_owned()],
            cursor: Some("c".to_owned()),
        };
        let chunks: Vec<Bytes> = ResultWriter { answer, part: Part::Head }.collect();
        assert!(chunks.len() > 3 && chunks.iter().all(|chunk| chunk.len() < 2 * CHUNK));
        let json: serde_json::Value = serde_json::from_slice(&chunks.concat()).unwrap();
        assert_eq!(json["data"]["result"][0]["values"].as_array().unwrap().len(), 20_000);
        assert_eq!((&json["warnings"][0], &json["data"]["cursor"]), (&"w".into(), &"c".into()));

        let points: Vec<(i64, f64)> = (0..20_000).map(|at| (at * 1_000_000_000, 0.5)).collect();
        let json: serde_json::Value =
            serde_json::from_str(&body(Rows::Matrix(vec![Series { labels: Labels::empty(), points }]), &[]))
                .unwrap();
        assert_eq!(json["data"]["result"][0]["values"][19_999], serde_json::json!([19_999, "0.5"]));
    }
}
