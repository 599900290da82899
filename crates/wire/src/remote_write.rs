//! Remote write requests, version 1: a snappy block around a `prometheus.WriteRequest` message.
//!
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/>. Decoding gives columns that a
//! [`SampleSink`](novaobs_model::SampleSink) takes as they are. As in Prometheus, a series whose labels no
//! series can have is left out and counted, and the rest of the request counts as good.

use novaobs_model::{Labels, METRIC_NAME, Metadata, MetricType};

use crate::protobuf::{Fields, ProtobufError, push_bytes, push_double, push_integer};
use crate::quote::quote;

/// Why a request cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not a snappy block, or a damaged one.
    #[error("snappy: corrupt input: {0}")]
    Snappy(#[from] snap::Error),
    /// It would take more room than allowed once unpacked.
    #[error("the request unpacks to {size} bytes, more than the {limit} allowed; send smaller batches")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Not a `WriteRequest`.
    #[error("cannot decode the write request: {0}")]
    Protobuf(String),
}

impl From<ProtobufError> for DecodeError {
    fn from(error: ProtobufError) -> Self {
        DecodeError::Protobuf(error.to_string())
    }
}

/// One sample of a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchSample {
    /// Index into [`Batch::series`].
    pub series: u32,
    /// Unix milliseconds.
    pub timestamp: i64,
    /// The value, staleness markers included.
    pub value: f64,
}

/// A decoded request. It takes at most about twelve bytes of memory per unpacked byte (an empty sample is
/// two bytes there).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The label sets with at least one sample, as sent: one may appear several times.
    pub series: Vec<Labels>,
    /// The samples, in the request's order.
    pub samples: Vec<BatchSample>,
    /// Metadata by metric family.
    pub metadata: Vec<(String, Metadata)>,
    /// Native histograms left out: they are not stored yet.
    pub histograms: usize,
    /// Exemplars left out: they are not stored yet.
    pub exemplars: usize,
    /// Series left out for their labels.
    pub invalid_series: usize,
    /// What is wrong with the first of them.
    pub first_invalid: Option<String>,
}

/// Unpacks a request's body; nothing is allocated for one that says it is larger than `limit` bytes.
///
/// # Errors
/// [`DecodeError::Snappy`] and [`DecodeError::TooLarge`].
pub fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let size = snap::raw::decompress_len(body)?;
    if size > limit {
        return Err(DecodeError::TooLarge { size, limit });
    }
    // A copy of snappy is at most 64 bytes long and takes at least two.
    if size / 64 > body.len() {
        return Err(DecodeError::Snappy(snap::Error::Header));
    }
    Ok(snap::raw::Decoder::new().decompress_vec(body)?)
}

/// Decodes an unpacked request.
///
/// # Errors
/// [`DecodeError::Protobuf`].
pub fn decode(message: &[u8]) -> Result<Batch, DecodeError> {
    let mut batch = Batch::default();
    let mut fields = Fields::new(message);
    let mut pairs = Vec::new();
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => read_series(value.bytes()?, &mut pairs, &mut batch)?,
            3 => batch.metadata.extend(read_metadata(value.bytes()?)?),
            _ => {}
        }
    }
    Ok(batch)
}

fn read_series<'a>(
    message: &'a [u8],
    pairs: &mut Vec<(&'a [u8], &'a [u8])>,
    batch: &mut Batch,
) -> Result<(), DecodeError> {
    pairs.clear();
    let first = batch.samples.len();
    let series = u32::try_from(batch.series.len()).map_err(|_| ProtobufError::Overflow)?;
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => pairs.push(read_pair(value.bytes()?)?),
            2 => {
                let (timestamp, value) = read_sample(value.bytes()?)?;
                batch.samples.push(BatchSample { series, timestamp, value });
            }
            3 => batch.exemplars += 1,
            4 => batch.histograms += 1,
            _ => {}
        }
    }
    match valid_labels(pairs) {
        Ok(labels) if batch.samples.len() > first => batch.series.push(labels),
        Ok(_) => {}
        Err(problem) => {
            batch.samples.truncate(first);
            batch.invalid_series += 1;
            batch.first_invalid.get_or_insert(problem);
        }
    }
    Ok(())
}

fn read_pair(message: &[u8]) -> Result<(&[u8], &[u8]), ProtobufError> {
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

fn read_sample(message: &[u8]) -> Result<(i64, f64), ProtobufError> {
    let (mut timestamp, mut at) = (0, 0.0);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => at = value.double()?,
            2 => timestamp = value.signed()?,
            _ => {}
        }
    }
    Ok((timestamp, at))
}

fn read_metadata(message: &[u8]) -> Result<Option<(String, Metadata)>, ProtobufError> {
    let mut name = String::new();
    let mut metadata = Metadata::default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => metadata.kind = kind_of(value.integer()?),
            2 => name = text(value.bytes()?),
            4 => metadata.help = text(value.bytes()?),
            5 => metadata.unit = text(value.bytes()?),
            _ => {}
        }
    }
    Ok((!name.is_empty()).then_some((name, metadata)))
}

/// The types in the order of their numbers in `MetricMetadata.MetricType`.
const KINDS: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

fn kind_of(number: u64) -> MetricType {
    usize::try_from(number).ok().and_then(|n| KINDS.get(n)).copied().unwrap_or_default()
}

/// Sorts and checks a series' labels; those with an empty value are dropped.
fn valid_labels(pairs: &mut [(&[u8], &[u8])]) -> Result<Labels, String> {
    pairs.sort_by_key(|(name, _)| *name);
    let mut checked = Vec::with_capacity(pairs.len());
    for (name, value) in pairs.iter() {
        let utf8 = |bytes, what: &str| {
            std::str::from_utf8(bytes).map_err(|_| format!("{what} {} is not valid UTF-8", quote(bytes)))
        };
        let (name, value) = (utf8(name, "label name")?, utf8(value, "label value")?);
        match checked.last() {
            _ if name.is_empty() => {
                return Err(format!("empty label name with value {}", quote(value.as_bytes())));
            }
            Some((last, _)) if *last == name => {
                return Err(format!("duplicate label name {}", quote(name.as_bytes())));
            }
            _ => checked.push((name, value)),
        }
    }
    let named = checked.iter().any(|(name, value)| *name == METRIC_NAME && !value.is_empty());
    let labels = Labels::from_sorted(checked.into_iter().filter(|(_, value)| !value.is_empty()));
    if named { Ok(labels) } else { Err(format!("no metric name in {labels}")) }
}

/// Encodes and packs a request: one series per label set with its (time, value) pairs.
///
/// # Errors
/// [`DecodeError::Snappy`] when it would be larger than a snappy block can be (4 GiB).
pub fn encode<'a>(
    series: impl IntoIterator<Item = (&'a Labels, &'a [(i64, f64)])>,
    metadata: &[(String, Metadata)],
) -> Result<Vec<u8>, DecodeError> {
    let mut message = Vec::new();
    let mut one = Vec::new();
    let mut field = Vec::new();
    for (labels, samples) in series {
        one.clear();
        for (name, value) in labels {
            field.clear();
            push_bytes(&mut field, 1, name.as_bytes());
            push_bytes(&mut field, 2, value.as_bytes());
            push_bytes(&mut one, 1, &field);
        }
        for (timestamp, value) in samples {
            field.clear();
            push_double(&mut field, 1, *value);
            push_integer(&mut field, 2, *timestamp as u64);
            push_bytes(&mut one, 2, &field);
        }
        push_bytes(&mut message, 1, &one);
    }
    for (name, Metadata { kind, help, unit }) in metadata {
        one.clear();
        let number = KINDS.iter().position(|k| k == kind).unwrap_or(0);
        push_integer(&mut one, 1, number as u64);
        push_bytes(&mut one, 2, name.as_bytes());
        push_bytes(&mut one, 4, help.as_bytes());
        push_bytes(&mut one, 5, unit.as_bytes());
        push_bytes(&mut message, 3, &one);
    }
    Ok(snap::raw::Encoder::new().compress_vec(&message)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `WriteRequest` of one series with these raw labels and one sample.
    fn request(labels: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut series = Vec::new();
        for (name, value) in labels {
            let mut pair = Vec::new();
            push_bytes(&mut pair, 1, name);
            push_bytes(&mut pair, 2, value);
            push_bytes(&mut series, 1, &pair);
        }
        push_bytes(&mut series, 2, &[]);
        push_bytes(&mut series, 4, &[]);
        let mut message = Vec::new();
        push_bytes(&mut message, 1, &series);
        message
    }

    #[test]
    fn sorts_labels_and_leaves_bad_series_out() {
        let good =
            decode(&request(&[(b"b", b"1"), (b"__name__", b"up"), (b"a", b"2"), (b"e", b"")])).unwrap();
        assert_eq!(good.series, [Labels::from_pairs([("__name__", "up"), ("a", "2"), ("b", "1")])]);
        assert_eq!((good.samples.len(), good.histograms, good.invalid_series), (1, 1, 0));

        let f = |labels: &[(&[u8], &[u8])], problem: &str| {
            let batch = decode(&request(labels)).unwrap();
            assert_eq!(
                (batch.series.len(), batch.samples.len(), batch.invalid_series),
                (0, 0, 1),
                "{problem}"
            );
            assert_eq!(batch.first_invalid.as_deref(), Some(problem));
        };
        f(&[(b"a", b"1")], "no metric name in {a=\"1\"}");
        f(&[(b"__name__", b"")], "no metric name in {}");
        f(&[(b"__name__", b"up"), (b"", b"x")], "empty label name with value \"x\"");
        f(&[(b"__name__", b"up"), (b"a", b"1"), (b"a", b"1")], "duplicate label name \"a\"");
        f(&[(b"__name__", b"up"), (b"a", b"\xff")], "label value \"\\xff\" is not valid UTF-8");
    }

    #[test]
    fn refuses_bombs_before_unpacking() {
        let packed = snap::raw::Encoder::new().compress_vec(&vec![0; 1 << 20]).unwrap();
        let error = decompress(&packed, 1 << 16).unwrap_err();
        assert!(matches!(error, DecodeError::TooLarge { size: 1_048_576, limit: 65536 }), "{error}");
        assert!(matches!(decompress(b"\xff\xff\xff\x7f", 1 << 40), Err(DecodeError::Snappy(_))));
        assert!(matches!(decompress(b"not snappy", 1 << 20), Err(DecodeError::Snappy(_))));
        assert!(matches!(decode(b"\x0a\x05abc"), Err(DecodeError::Protobuf(_))));
        let number_for_a_series = decode(b"\x08\x01").unwrap_err().to_string();
        assert_eq!(number_for_a_series, "cannot decode the write request: wrong wire type for a field");
    }
}
