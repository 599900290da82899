//! Query results into bytes: samples are written straight into the response's chunks, so that an answer
//! of millions of points takes no more memory than its samples and one chunk.

use std::fmt::Write;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use novaobs_model::{Labels, SeriesSamples};
use novaobs_promql::{Value, VectorSample};

/// About how large a chunk is.
const CHUNK: usize = 64 << 10;

/// A finished query on its way out.
pub(super) struct QueryAnswer {
    /// The value.
    pub(super) value: Value,
    /// The JSON of `stats`, if asked for.
    pub(super) stats: Option<String>,
    /// As JSON, if any: `["…"]`.
    pub(super) warnings: Option<String>,
    /// As JSON, if any.
    pub(super) infos: Option<String>,
}

impl IntoResponse for QueryAnswer {
    fn into_response(self) -> Response {
        let mut writer = ResultWriter::new(self);
        let first = writer.next().unwrap_or_default();
        let body = if writer.part == Part::Done {
            Body::from(first)
        } else {
            let chunks = std::iter::once(first).chain(writer).map(Ok::<_, std::convert::Infallible>);
            Body::from_stream(futures::stream::iter(chunks))
        };
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// What is written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    /// The series, and the sample within it.
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
    fn new(answer: QueryAnswer) -> Self {
        ResultWriter { answer, part: Part::Head }
    }

    /// Writes one piece of at most a few thousand samples.
    fn write(&mut self, out: &mut String) {
        self.part = match self.part {
            Part::Head => {
                let kind = self.answer.value.type_name();
                push(
                    out,
                    format_args!(
                        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",\"result\":["
                    ),
                );
                Part::Items(0, 0)
            }
            Part::Items(item, sample) => self.write_item(out, item, sample),
            Part::Tail => {
                out.push(']');
                if let Some(stats) = &self.answer.stats {
                    push(out, format_args!(",\"stats\":{stats}"));
                }
                out.push('}');
                for (name, list) in [("warnings", &self.answer.warnings), ("infos", &self.answer.infos)] {
                    if let Some(list) = list {
                        push(out, format_args!(",\"{name}\":{list}"));
                    }
                }
                out.push('}');
                Part::Done
            }
            Part::Done => Part::Done,
        };
    }

    fn write_item(&self, out: &mut String, item: usize, sample: usize) -> Part {
        match &self.answer.value {
            Value::Scalar(time, value) => {
                push_timestamp(out, *time);
                out.push(',');
                push_value(out, *value);
                Part::Tail
            }
            Value::String(time, text) => {
                push_timestamp(out, *time);
                out.push(',');
                push_string(out, text);
                Part::Tail
            }
            Value::Vector(samples) => match samples.get(item) {
                Some(one) => {
                    write_vector_sample(out, one, item > 0);
                    Part::Items(item + 1, 0)
                }
                None => Part::Tail,
            },
            Value::Matrix(series) => match series.get(item) {
                Some(one) if write_series(out, one, item > 0, sample) => Part::Items(item + 1, 0),
                Some(_) => Part::Items(item, sample + SAMPLES_AT_ONCE),
                None => Part::Tail,
            },
        }
    }
}

impl Iterator for ResultWriter {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.part == Part::Done {
            return None;
        }
        let mut out = String::with_capacity(CHUNK + CHUNK / 4);
        while self.part != Part::Done && out.len() < CHUNK {
            self.write(&mut out);
        }
        Some(out.into())
    }
}

fn write_vector_sample(out: &mut String, sample: &VectorSample, comma: bool) {
    if comma {
        out.push(',');
    }
    out.push_str("{\"metric\":");
    push_labels(out, &sample.labels);
    out.push_str(",\"value\":");
    push_point(out, sample.timestamp, sample.value);
    out.push('}');
}

/// A long series is written in pieces of this many samples.
const SAMPLES_AT_ONCE: usize = 1024;

/// Writes a series from its sample `from` on; says whether that was the rest of it.
fn write_series(out: &mut String, series: &SeriesSamples, comma: bool, from: usize) -> bool {
    if from == 0 {
        if comma {
            out.push(',');
        }
        out.push_str("{\"metric\":");
        push_labels(out, &series.labels);
        if series.samples.is_empty() {
            out.push('}');
            return true;
        }
        out.push_str(",\"values\":[");
    }
    let points = series.samples.timestamps.iter().zip(&series.samples.values);
    for (at, (time, value)) in points.enumerate().skip(from).take(SAMPLES_AT_ONCE) {
        if at > 0 {
            out.push(',');
        }
        push_point(out, *time, *value);
    }
    let done = from + SAMPLES_AT_ONCE >= series.samples.len();
    if done {
        out.push_str("]}");
    }
    done
}

fn push_point(out: &mut String, time: i64, value: f64) {
    out.push('[');
    push_timestamp(out, time);
    out.push(',');
    push_value(out, value);
    out.push(']');
}

fn push_labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_string(out, name);
        out.push(':');
        push_string(out, value);
    }
    out.push('}');
}

/// Seconds with three decimals, or none when they are zero.
fn push_timestamp(out: &mut String, milliseconds: i64) {
    if milliseconds < 0 {
        out.push('-');
    }
    let size = milliseconds.unsigned_abs();
    push(out, format_args!("{}", size / 1000));
    if !size.is_multiple_of(1000) {
        push(out, format_args!(".{:03}", size % 1000));
    }
}

/// A sample's value as a JSON string: Go's shortest form, with an exponent below 1e-6 and from 1e21.
pub(super) fn push_value(out: &mut String, value: f64) {
    out.push('"');
    let size = value.abs();
    if value == f64::INFINITY {
        out.push_str("+Inf");
    } else if value == f64::NEG_INFINITY {
        out.push_str("-Inf");
    } else if size.is_finite() && size != 0.0 && !(1e-6..1e21).contains(&size) {
        out.push_str(&go_exponent(value));
    } else {
        push(out, format_args!("{value}"));
    }
    out.push('"');
}

/// Go's `strconv.FormatFloat(value, 'e', -1, 64)`: at least two digits of exponent.
pub(crate) fn go_exponent(value: f64) -> String {
    if value == f64::INFINITY {
        return "+Inf".to_owned();
    }
    let text = format!("{value:e}");
    match text.replace("inf", "Inf").split_once('e') {
        Some((mantissa, exponent)) => match exponent.strip_prefix('-') {
            Some(digits) => format!("{mantissa}e-{digits:0>2}"),
            None => format!("{mantissa}e+{exponent:0>2}"),
        },
        None => text.replace("inf", "Inf"),
    }
}

fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || (c as u32) < 0x20) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        match from.chars().next() {
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(c @ ('"' | '\\')) => {
                out.push('\\');
                out.push(c);
            }
            Some(c) => push(out, format_args!("\\u{:04x}", c as u32)),
            None => {}
        }
        rest = from.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
    out.push('"');
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a text cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_times_are_written_as_go_writes_them() {
        let f = |value: f64, want: &str| {
            let mut out = String::new();
            push_value(&mut out, value);
            assert_eq!(out, format!("\"{want}\""));
        };
        f(0.0, "0");
        f(-0.0, "-0");
        f(1.0, "1");
        f(0.1, "0.1");
        f(1e20, "100000000000000000000");
        f(1e21, "1e+21");
        f(-1.5e300, "-1.5e+300");
        f(1e-6, "0.000001");
        f(2.5e-7, "2.5e-07");
        f(5e-324, "5e-324");
        f(f64::NAN, "NaN");
        f(f64::NEG_INFINITY, "-Inf");
        let t = |time: i64, want: &str| {
            let mut out = String::new();
            push_timestamp(&mut out, time);
            assert_eq!(out, want);
        };
        t(0, "0");
        t(1_435_781_451_781, "1435781451.781");
        t(1_500, "1.500");
        t(-7, "-0.007");
        assert_eq!(go_exponent(1.0), "1e+00");
        assert_eq!(go_exponent(f64::NAN), "NaN");
    }

    #[test]
    fn long_answers_come_in_chunks_that_add_up() {
        let mut series = SeriesSamples { labels: Labels::from_pairs([("a", "b\n\"")]), ..Default::default() };
        for at in 0..20_000 {
            series.samples.push(at * 1000, 0.5);
        }
        let value = Value::Matrix(vec![series.clone(), SeriesSamples::default(), series]);
        let answer = QueryAnswer { value, stats: None, warnings: Some("[\"w\"]".to_owned()), infos: None };
        let chunks: Vec<Bytes> = ResultWriter::new(answer).collect();
        assert!(chunks.len() > 5 && chunks.iter().all(|chunk| chunk.len() < 2 * CHUNK));
        let json: serde_json::Value = serde_json::from_slice(&chunks.concat()).unwrap();
        assert_eq!(json["data"]["result"][2]["values"].as_array().unwrap().len(), 20_000);
        assert_eq!(json["data"]["result"][2]["values"][19_999], serde_json::json!([19_999, "0.5"]));
        assert_eq!(json["data"]["result"][1], serde_json::json!({"metric": {}}));
        assert_eq!(json["warnings"], serde_json::json!(["w"]));
    }
}
