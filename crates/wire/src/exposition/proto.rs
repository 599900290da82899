//! Delimited `io.prometheus.client.MetricFamily` messages, as samples with their suffixes and labels.
//!
//! <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>. Histograms
//! and summaries become `_count`, `_sum` and one sample per bucket or quantile, in this order; a missing
//! `+Inf` bucket is added. The native parts of histograms are left out.

use std::borrow::Cow;

use novaobs_model::{METRIC_NAME, MetricType};

use super::{Entry, ParseError, RawLabel, Sample, Source};
use crate::number;
use crate::protobuf::{Fields, ProtobufError, delimited};

/// Streams the entries of a protobuf body: one metric is decoded at a time.
#[derive(Debug)]
pub struct ProtobufParser<'a> {
    rest: &'a [u8],
    /// How many families have begun.
    families: usize,
    family: Family<'a>,
    step: Step,
    metric: Metric<'a>,
    labels: Vec<RawLabel<'a>>,
    series: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Family,
    Unit,
    Type,
    Metric,
    /// A part of the current metric, see [`Metric::part`].
    Part(usize),
}

#[derive(Debug, Default)]
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    unit: &'a str,
    kind: u64,
    /// The message again, to walk its metrics.
    metrics: Option<&'a [u8]>,
}

#[derive(Debug, Default)]
struct Metric<'a> {
    labels: Vec<(&'a [u8], &'a [u8])>,
    timestamp: i64,
    value: f64,
    count: f64,
    /// Bound or quantile, value, exemplar.
    buckets: Vec<(f64, f64, Option<&'a [u8]>)>,
    exemplar: Option<&'a [u8]>,
}

/// An exemplar, its labels not yet checked.
#[derive(Debug)]
pub(super) struct ProtoExemplar<'a> {
    pub(super) labels: Vec<(&'a [u8], &'a [u8])>,
    pub(super) value: f64,
    pub(super) timestamp: Option<i64>,
}

const COUNTER: u64 = 0;
const GAUGE: u64 = 1;
const SUMMARY: u64 = 2;
const UNTYPED: u64 = 3;
const HISTOGRAM: u64 = 4;
const GAUGE_HISTOGRAM: u64 = 5;

impl<'a> ProtobufParser<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        ProtobufParser {
            rest: body,
            families: 0,
            family: Family::default(),
            step: Step::Family,
            metric: Metric::default(),
            labels: Vec::new(),
            series: Vec::new(),
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry<'_>>, ParseError> {
        loop {
            match self.step {
                Step::Family => {
                    if !self.next_family()? {
                        return Ok(None);
                    }
                    if self.family.metrics.is_none() {
                        continue;
                    }
                    self.step = if self.family.unit.is_empty() { Step::Type } else { Step::Unit };
                    let Family { name, help, .. } = self.family;
                    return Ok(Some(Entry::Help { family: name.into(), text: help.into() }));
                }
                Step::Unit => {
                    self.step = Step::Type;
                    let Family { name, unit, .. } = self.family;
                    return Ok(Some(Entry::Unit { family: name.into(), unit: unit.into() }));
                }
                Step::Type => {
                    self.step = Step::Metric;
                    return Ok(Some(Entry::Type { family: self.family.name.into(), kind: self.kind() }));
                }
                Step::Metric => {
                    let advanced = self.next_metric().map_err(|error| self.wrap(error))?;
                    self.step = if advanced { Step::Part(0) } else { Step::Family };
                }
                Step::Part(index) => match self.part(index) {
                    Some(part) => {
                        self.step = Step::Part(index + 1);
                        return self.sample(part).map(Some);
                    }
                    None => self.step = Step::Metric,
                },
            }
        }
    }

    fn error(&self, message: String) -> ParseError {
        ParseError { message, line: self.families }
    }

    fn wrap(&self, error: ProtobufError) -> ParseError {
        self.error(format!(
            "invalid protobuf in metric family {} {:?}: {error}",
            self.families, self.family.name
        ))
    }

    fn kind(&self) -> MetricType {
        match self.family.kind {
            COUNTER => MetricType::Counter,
            GAUGE => MetricType::Gauge,
            SUMMARY => MetricType::Summary,
            HISTOGRAM => MetricType::Histogram,
            GAUGE_HISTOGRAM => MetricType::GaugeHistogram,
            _ => MetricType::Unknown,
        }
    }

    /// Reads the next family's own fields; `false` at the end of the body.
    fn next_family(&mut self) -> Result<bool, ParseError> {
        if self.rest.is_empty() {
            return Ok(false);
        }
        self.families += 1;
        self.family = Family::default();
        let [name, help, unit] = self.read_family().map_err(|error| self.wrap(error))?;
        if self.family.metrics.is_none() {
            return Ok(true);
        }
        self.family.name = match std::str::from_utf8(name) {
            Ok(name) if !name.is_empty() => name,
            _ => return Err(self.error(format!("invalid metric name: {}", String::from_utf8_lossy(name)))),
        };
        self.family.help = std::str::from_utf8(help).map_err(|_| {
            let (name, help) = (self.family.name, String::from_utf8_lossy(help));
            self.error(format!("invalid help for metric {name:?}: {help}"))
        })?;
        self.family.unit = std::str::from_utf8(unit).unwrap_or("");
        if self.family.kind > GAUGE_HISTOGRAM {
            let Family { name, kind, .. } = self.family;
            return Err(self.error(format!("unknown metric type for metric {name:?}: {kind}")));
        }
        Ok(true)
    }

    /// Reads type and place of the metrics; gives name, help and unit, not yet checked.
    fn read_family(&mut self) -> Result<[&'a [u8]; 3], ProtobufError> {
        let message = delimited(&mut self.rest)?;
        let (mut name, mut help, mut unit) = (&[][..], &[][..], &[][..]);
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => name = value.bytes()?,
                2 => help = value.bytes()?,
                3 => self.family.kind = value.integer()?,
                4 => self.family.metrics = Some(message),
                5 => unit = value.bytes()?,
                _ => {}
            }
        }
        Ok([name, help, unit])
    }

    /// Reads the family's next metric; `false` when there is none.
    fn next_metric(&mut self) -> Result<bool, ProtobufError> {
        let Some(rest) = self.family.metrics else { return Ok(false) };
        let mut fields = Fields::new(rest);
        while let Some((number, value)) = fields.next()? {
            if number == 4 {
                self.family.metrics = Some(fields.rest());
                self.metric.read(value.bytes()?, self.family.kind)?;
                return Ok(true);
            }
        }
        self.family.metrics = None;
        Ok(false)
    }

    /// Suffix, bound, value and exemplar of one sample of the current metric, in order; `None` past the last.
    fn part(&self, index: usize) -> Option<Part<'a>> {
        let metric = &self.metric;
        let simple = |suffix, value| Part { suffix, bound: None, value, exemplar: None };
        match (self.family.kind, index) {
            (SUMMARY | HISTOGRAM | GAUGE_HISTOGRAM, 0) => Some(simple("_count", metric.count)),
            (SUMMARY | HISTOGRAM | GAUGE_HISTOGRAM, 1) => Some(simple("_sum", metric.value)),
            (SUMMARY, _) => {
                let (quantile, value, _) = *metric.buckets.get(index - 2)?;
                Some(Part { bound: Some(("quantile", quantile)), ..simple("", value) })
            }
            (HISTOGRAM | GAUGE_HISTOGRAM, _) => {
                let last = metric.buckets.iter().position(|(bound, ..)| *bound == f64::INFINITY);
                let (bound, value, exemplar) = match metric.buckets.get(index - 2) {
                    Some(bucket) if last.is_none_or(|last| index - 2 <= last) => *bucket,
                    None if last.is_none() && index - 2 == metric.buckets.len() => {
                        (f64::INFINITY, metric.count, None)
                    }
                    _ => return None,
                };
                Some(Part { suffix: "_bucket", bound: Some(("le", bound)), value, exemplar })
            }
            (_, 0) => Some(Part { exemplar: metric.exemplar, ..simple("", metric.value) }),
            _ => None,
        }
    }

    fn sample(&mut self, part: Part<'a>) -> Result<Entry<'_>, ParseError> {
        let exemplar =
            part.exemplar.map(ProtoExemplar::read).transpose().map_err(|error| self.wrap(error))?;
        let name = match part.suffix {
            "" => Cow::Borrowed(self.family.name.as_bytes()),
            suffix => Cow::Owned([self.family.name.as_bytes(), suffix.as_bytes()].concat()),
        };
        self.labels.clear();
        self.labels.push((Cow::Borrowed(METRIC_NAME.as_bytes()), name));
        self.labels.extend(self.metric.labels.iter().map(|(n, v)| (Cow::Borrowed(*n), Cow::Borrowed(*v))));
        if let Some((name, bound)) = part.bound {
            let mut text = String::new();
            number::push_openmetrics_float(&mut text, bound);
            self.labels.push((Cow::Borrowed(name.as_bytes()), Cow::Owned(text.into_bytes())));
        }
        // 0xff is in no UTF-8 text, so different labels never give the same key.
        self.series.clear();
        for text in self.labels.iter().flat_map(|(name, value)| [name, value]).skip(1) {
            self.series.extend_from_slice(text);
            self.series.push(0xff);
        }
        let value = if part.value.is_nan() { f64::NAN } else { part.value };
        Ok(Entry::Sample(Sample {
            series: &self.series,
            value,
            timestamp: Some(self.metric.timestamp).filter(|time| *time != 0),
            source: Source::Protobuf { labels: &self.labels, exemplar },
        }))
    }
}

/// One sample's own share of a metric.
struct Part<'a> {
    suffix: &'static str,
    bound: Option<(&'static str, f64)>,
    value: f64,
    exemplar: Option<&'a [u8]>,
}

impl<'a> Metric<'a> {
    /// Reads a `Metric` message of a family of type `kind` over what was there.
    fn read(&mut self, message: &'a [u8], kind: u64) -> Result<(), ProtobufError> {
        self.labels.clear();
        self.buckets.clear();
        (self.timestamp, self.value, self.count, self.exemplar) = (0, 0.0, 0.0, None);
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match (number, kind) {
                (1, _) => self.labels.push(label_pair(value.bytes()?)?),
                (6, _) => self.timestamp = value.signed()?,
                (2, GAUGE) | (3, COUNTER) | (5, UNTYPED) => self.read_value(value.bytes()?)?,
                (4, SUMMARY) => self.read_summary(value.bytes()?)?,
                (7, HISTOGRAM | GAUGE_HISTOGRAM) => self.read_histogram(value.bytes()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_value(&mut self, message: &'a [u8]) -> Result<(), ProtobufError> {
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.value = value.double()?,
                2 => self.exemplar = Some(value.bytes()?),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_summary(&mut self, message: &'a [u8]) -> Result<(), ProtobufError> {
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.count = value.integer()? as f64,
                2 => self.value = value.double()?,
                3 => {
                    let (mut quantile, mut at) = (0.0, 0.0);
                    let mut fields = Fields::new(value.bytes()?);
                    while let Some((number, value)) = fields.next()? {
                        match number {
                            1 => quantile = value.double()?,
                            2 => at = value.double()?,
                            _ => {}
                        }
                    }
                    self.buckets.push((quantile, at, None));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_histogram(&mut self, message: &'a [u8]) -> Result<(), ProtobufError> {
        let (mut count, mut float_count) = (0.0, 0.0);
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => count = value.integer()? as f64,
                4 => float_count = value.double()?,
                2 => self.value = value.double()?,
                3 => self.buckets.push(bucket(value.bytes()?)?),
                _ => {}
            }
        }
        self.count = if float_count == 0.0 { count } else { float_count };
        Ok(())
    }
}

fn bucket(message: &[u8]) -> Result<(f64, f64, Option<&[u8]>), ProtobufError> {
    let (mut bound, mut count, mut float_count, mut exemplar) = (0.0, 0.0, 0.0, None);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => count = value.integer()? as f64,
            4 => float_count = value.double()?,
            2 => bound = value.double()?,
            3 => exemplar = Some(value.bytes()?),
            _ => {}
        }
    }
    Ok((bound, if float_count == 0.0 { count } else { float_count }, exemplar))
}

fn label_pair(message: &[u8]) -> Result<(&[u8], &[u8]), ProtobufError> {
    let mut pair = (&[][..], &[][..]);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => pair.0 = value.bytes()?,
            2 => pair.1 = value.bytes()?,
            _ => {}
        }
    }
    Ok(pair)
}

impl<'a> ProtoExemplar<'a> {
    fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut exemplar = ProtoExemplar { labels: Vec::new(), value: 0.0, timestamp: None };
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => exemplar.labels.push(label_pair(value.bytes()?)?),
                2 => exemplar.value = value.double()?,
                3 => {
                    let (mut seconds, mut nanos) = (0i64, 0i64);
                    let mut fields = Fields::new(value.bytes()?);
                    while let Some((number, value)) = fields.next()? {
                        match number {
                            1 => seconds = value.signed()?,
                            2 => nanos = value.signed()?,
                            _ => {}
                        }
                    }
                    exemplar.timestamp = Some(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000));
                }
                _ => {}
            }
        }
        Ok(exemplar)
    }
}
