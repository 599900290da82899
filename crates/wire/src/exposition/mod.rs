//! What scrape targets serve, as one stream of entries for all formats.
//!
//! [`Parser::next`] walks a body and lends one [`Entry`] at a time: metadata lines and samples. Nothing is
//! allocated per line; [`Sample::series`] is the raw text that names a series, which a scrape cache keys its
//! entries by, and only a series not seen before needs [`Sample::labels`].
//!
//! The parsers take exactly what Prometheus 3 takes and refuse with its words, because an exporter that
//! works there must work here; where the formats' specifications are stricter, Prometheus decides.

pub mod encode;
mod lexer;
pub mod negotiate;
mod openmetrics;
mod proto;
mod text;

use std::borrow::Cow;
use std::ops::Range;

use novaobs_model::{Labels, METRIC_NAME, MetricType};

use crate::number;
use crate::quote::quote;

/// A format a target can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text, version 0.0.4 and 1.0.0.
    Text,
    /// OpenMetrics text, version 0.0.1 and 1.0.0.
    OpenMetrics,
    /// Delimited `io.prometheus.client.MetricFamily` messages.
    Protobuf,
}

/// Why a body could not be read. The text is the one Prometheus shows as a target's last error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// What was expected, what was found and the text around it.
    pub message: String,
    /// The line it happened on, from 1; for protobuf the number of the metric family.
    pub line: usize,
}

/// One step through a body.
#[derive(Debug)]
pub enum Entry<'p> {
    /// The type of a metric family.
    Type {
        /// The family.
        family: Cow<'p, str>,
        /// Its type.
        kind: MetricType,
    },
    /// The description of a metric family.
    Help {
        /// The family.
        family: Cow<'p, str>,
        /// The text, unescaped.
        text: Cow<'p, str>,
    },
    /// The unit of a metric family.
    Unit {
        /// The family.
        family: Cow<'p, str>,
        /// The unit.
        unit: Cow<'p, str>,
    },
    /// One sample.
    Sample(Sample<'p>),
}

/// One sample of one series.
#[derive(Debug)]
pub struct Sample<'p> {
    /// The bytes that name the series in this body: equal bytes are the same series, though one series can
    /// be written in several ways (labels in another order).
    pub series: &'p [u8],
    /// The value; every NaN is the ordinary one, so that none can pass for a staleness marker.
    pub value: f64,
    /// Unix milliseconds, when the target gave a time.
    pub timestamp: Option<i64>,
    source: Source<'p>,
}

/// Where a sample's labels are read from.
#[derive(Debug)]
enum Source<'p> {
    Text {
        input: &'p [u8],
        name: Range<usize>,
        labels: &'p [Pair],
        kind: MetricType,
        exemplar: Option<&'p TextExemplar>,
    },
    Protobuf {
        labels: &'p [RawLabel<'p>],
        exemplar: Option<proto::ProtoExemplar<'p>>,
    },
}

/// A label's name and value, not yet checked.
type RawLabel<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Places of a label's name and (escaped) value in a body.
#[derive(Clone, Debug)]
struct Pair {
    name: Range<usize>,
    value: Range<usize>,
}

/// An exemplar of a text line, still in pieces.
#[derive(Clone, Debug, Default)]
struct TextExemplar {
    labels: Vec<Pair>,
    value: f64,
    timestamp: Option<i64>,
}

/// An example of what a sample counts: most often the id of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Its labels.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// Unix milliseconds, when given.
    pub timestamp: Option<i64>,
}

/// Labels that no series can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A value (quoted here) is not UTF-8.
    #[error("invalid UTF-8 label value: {0}")]
    Value(String),
    /// A name (quoted here) is not UTF-8.
    #[error("invalid metric name or label names: {0}")]
    Name(String),
    /// A name is there twice.
    #[error("label name \"{0}\" is not unique: invalid sample")]
    Duplicate(String),
}

impl From<LabelsError> for ParseError {
    fn from(error: LabelsError) -> Self {
        ParseError { message: error.to_string(), line: 0 }
    }
}

impl Sample<'_> {
    /// Builds the series' labels: escapes undone, empty values dropped, the values of `le` on histograms and
    /// `quantile` on summaries written as OpenMetrics writes floats (`1` becomes `1.0`), so that a series
    /// keeps its name whatever format its target speaks.
    ///
    /// # Errors
    /// [`LabelsError`].
    pub fn labels(&self) -> Result<Labels, LabelsError> {
        match &self.source {
            Source::Text { input, name, labels, kind, .. } => {
                let name = text_of(slice(input, name), bad_name)?;
                let mut pairs = vec![(Cow::Borrowed(METRIC_NAME), name)];
                for pair in *labels {
                    let name = text_of(slice(input, &pair.name), bad_name)?;
                    let value = text_of(slice(input, &pair.value), bad_value)?;
                    let value = normalize_float(*kind, &name, value);
                    pairs.push((name, value));
                }
                build_labels(pairs)
            }
            Source::Protobuf { labels, .. } => {
                let mut pairs = Vec::with_capacity(labels.len());
                for (name, value) in *labels {
                    pairs.push((utf8(name, bad_name)?, utf8(value, bad_value)?));
                }
                build_labels(pairs)
            }
        }
    }

    /// Whether the target wrote the label `name` with an empty value: [`Sample::labels`] drops those, but
    /// `honor_labels` treats them as set.
    pub fn has_empty_label(&self, name: &str) -> bool {
        match &self.source {
            Source::Text { input, labels, .. } => {
                labels.iter().any(|pair| pair.value.is_empty() && slice(input, &pair.name) == name.as_bytes())
            }
            Source::Protobuf { labels, .. } => {
                labels.iter().any(|(n, value)| value.is_empty() && **n == *name.as_bytes())
            }
        }
    }

    /// Builds the sample's exemplar, if it has one.
    ///
    /// # Errors
    /// [`LabelsError`].
    pub fn exemplar(&self) -> Result<Option<Exemplar>, LabelsError> {
        match &self.source {
            Source::Text { input, exemplar: Some(exemplar), .. } => {
                let mut pairs = Vec::with_capacity(exemplar.labels.len());
                for pair in &exemplar.labels {
                    let name = utf8(slice(input, &pair.name), bad_name)?;
                    pairs.push((name, utf8(slice(input, &pair.value), bad_value)?));
                }
                let labels = build_labels(pairs)?;
                Ok(Some(Exemplar { labels, value: exemplar.value, timestamp: exemplar.timestamp }))
            }
            Source::Protobuf { exemplar: Some(exemplar), .. } => {
                let mut pairs = Vec::with_capacity(exemplar.labels.len());
                for (name, value) in &exemplar.labels {
                    pairs.push((utf8(name, bad_name)?, utf8(value, bad_value)?));
                }
                let labels = build_labels(pairs)?;
                Ok(Some(Exemplar { labels, value: exemplar.value, timestamp: exemplar.timestamp }))
            }
            _ => Ok(None),
        }
    }
}

/// Parsers of all formats behind one face.
#[derive(Debug)]
pub enum Parser<'a> {
    /// See [`Format::Text`].
    #[doc(hidden)]
    Text(text::TextParser<'a>),
    /// See [`Format::OpenMetrics`].
    #[doc(hidden)]
    OpenMetrics(openmetrics::OpenMetricsParser<'a>),
    /// See [`Format::Protobuf`].
    #[doc(hidden)]
    Protobuf(proto::ProtobufParser<'a>),
}

impl<'a> Parser<'a> {
    /// A parser at the start of `body`.
    pub fn new(format: Format, body: &'a [u8]) -> Self {
        match format {
            Format::Text => Parser::Text(text::TextParser::new(body)),
            Format::OpenMetrics => Parser::OpenMetrics(openmetrics::OpenMetricsParser::new(body)),
            Format::Protobuf => Parser::Protobuf(proto::ProtobufParser::new(body)),
        }
    }

    /// The next entry; `None` at the end. Comments and blank lines are passed over. After an error the
    /// parser must not be used further.
    ///
    /// # Errors
    /// [`ParseError`] when the rest of the body cannot be read.
    #[expect(clippy::should_implement_trait, reason = "entries borrow from the parser, an Iterator's cannot")]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, ParseError> {
        match self {
            Parser::Text(parser) => parser.next(),
            Parser::OpenMetrics(parser) => parser.next(),
            Parser::Protobuf(parser) => parser.next(),
        }
    }
}

fn slice<'a>(input: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    input.get(range.clone()).unwrap_or(&[])
}

fn bad_name(name: &[u8]) -> LabelsError {
    LabelsError::Name(quote(name))
}

fn bad_value(value: &[u8]) -> LabelsError {
    LabelsError::Value(quote(&[b"\"", value, b"\""].concat()))
}

fn utf8(bytes: &[u8], error: fn(&[u8]) -> LabelsError) -> Result<Cow<'_, str>, LabelsError> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| error(bytes))
}

fn text_of(bytes: &[u8], error: fn(&[u8]) -> LabelsError) -> Result<Cow<'_, str>, LabelsError> {
    let text = utf8(bytes, error)?;
    Ok(if text.contains('\\') { Cow::Owned(unescape(&text, true)) } else { text })
}

/// Undoes `\\`, `\n` and, with `quotes`, `\"`; other backslashes stay.
fn unescape(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        out.push_str(plain);
        let (c, used) = match escape.as_bytes().get(1) {
            Some(b'\\') => ('\\', 2),
            Some(b'n') => ('\n', 2),
            Some(b'"') if quotes => ('"', 2),
            _ => ('\\', 1),
        };
        out.push(c);
        rest = escape.get(used..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

/// See [`Sample::labels`].
fn normalize_float<'a>(kind: MetricType, name: &str, value: Cow<'a, str>) -> Cow<'a, str> {
    let wanted = match kind {
        MetricType::Summary => "quantile",
        MetricType::Histogram => "le",
        _ => return value,
    };
    if name != wanted {
        return value;
    }
    match number::parse_float(value.as_bytes()) {
        Ok(number) => {
            let mut out = String::new();
            number::push_openmetrics_float(&mut out, number);
            Cow::Owned(out)
        }
        Err(_) => value,
    }
}

fn build_labels(mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)>) -> Result<Labels, LabelsError> {
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some([(name, _), _]) = pairs.array_windows().find(|[a, b]| a.0 == b.0) {
        return Err(LabelsError::Duplicate(name.clone().into_owned()));
    }
    Ok(Labels::from_sorted(pairs.iter().filter(|(_, value)| !value.is_empty()).map(|(n, v)| (&**n, &**v))))
}
