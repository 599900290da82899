//! Records of OpenTelemetry into streams: which attributes are labels, which are structured metadata.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use novaobs_model::Lease;
use novaobs_tenants::Limits;
use novaobs_tenants::limits::{AttributeAction, AttributeRule, DEFAULT_INDEX_LABELS};
use novaobs_wire::loki_push::PushStream;
use novaobs_wire::otlp_logs::{AnyValue, Attributes, DecodeError, Flatten, Record, Scope, Visitor};

use crate::body::busy;
use crate::error::PushError;
use crate::metadata::{NameError, plain_name};
use crate::text::label_text;
use crate::validate::{SERVICE_NAME, UNKNOWN_SERVICE};

impl From<DecodeError> for PushError {
    fn from(error: DecodeError) -> Self {
        PushError::bad_request(error.to_string())
    }
}

impl From<NameError> for PushError {
    fn from(error: NameError) -> Self {
        PushError::bad_request(format!("symbolizer lookup: {error}"))
    }
}

type Pairs = Vec<(String, String)>;

/// Collects the streams of a request; a [`Visitor`] of its records.
pub(crate) struct OtlpMapper<'l> {
    limits: &'l Limits,
    /// Unix nanoseconds, for records without a time.
    now: i64,
    streams: Vec<PushStream>,
    /// Where the stream of these labels is.
    places: HashMap<String, usize>,
    /// Of the resource at hand.
    resource_labels: BTreeMap<String, String>,
    resource_metadata: Pairs,
    /// The stream of records without labels of their own.
    place: Option<usize>,
    scope_metadata: Pairs,
    scratch: String,
    memory: Memory<'l>,
}

/// What the streams take. A resource's attributes are written out for each of its records, and a map's name
/// for each of its values, so a short message can mean much: memory is taken as streams grow.
struct Memory<'l> {
    lease: &'l mut Lease,
    /// Bytes of columns, and those of them that are paid for.
    used: u64,
    paid: u64,
}

/// Memory is taken in steps of this size.
const STEP: u64 = 4 << 20;
/// The most that streams of one request may take: a column of text holds 4 GiB.
const MOST: u64 = u32::MAX as u64;

impl Memory<'_> {
    fn add(&mut self, bytes: usize) -> Result<(), PushError> {
        self.used += bytes as u64;
        if self.used > MOST {
            return Err(PushError::new(
                413,
                "request body too large: its records take over 4 GiB; send fewer",
            ));
        }
        if self.used > self.paid {
            let step = STEP.max(self.used - self.paid);
            self.lease.grow(step).map_err(busy)?;
            self.paid += step;
        }
        Ok(())
    }
}

/// Decodes an `ExportLogsServiceRequest` into streams, whose memory is added to `lease`.
///
/// # Errors
/// 400 when it is none, or when nothing is left of an attribute's name; 429 when there is no memory.
pub(crate) fn map_request(
    message: &[u8],
    limits: &Limits,
    now: i64,
    lease: &mut Lease,
) -> Result<Vec<PushStream>, PushError> {
    let mut mapper = OtlpMapper {
        limits,
        now,
        streams: Vec::new(),
        places: HashMap::new(),
        resource_labels: BTreeMap::new(),
        resource_metadata: Vec::new(),
        place: None,
        scope_metadata: Vec::new(),
        scratch: String::new(),
        memory: Memory { lease, used: 0, paid: 0 },
    };
    novaobs_wire::otlp_logs::decode(message, &mut mapper)?;
    let mut streams = mapper.streams;
    streams.retain(|stream| !stream.timestamps.is_empty());
    Ok(streams)
}

/// What becomes of an attribute: the first rule that knows it decides.
fn action_for(name: &str, rules: &[AttributeRule]) -> AttributeAction {
    let knows = |rule: &&AttributeRule| {
        rule.attributes.iter().any(|known| known == name)
            || rule.regex.as_ref().is_some_and(|regex| regex.is_match(name))
    };
    rules.iter().find(knows).map_or(AttributeAction::StructuredMetadata, |rule| rule.action)
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Flattens attributes within the memory there is.
struct Flat<'f, 'l> {
    scratch: &'f mut String,
    memory: &'f mut Memory<'l>,
}

impl Flat<'_, '_> {
    /// Calls `visit` with the plain name and the text of each value in an attribute.
    fn each(
        &mut self,
        name: &str,
        value: &AnyValue<'_>,
        visit: impl FnMut(&str, &str),
    ) -> Result<(), PushError> {
        value.flatten(name, &mut Counted { flat: self, visit })
    }
}

/// Pairs on their way to `visit`: paid for before they are made.
struct Counted<'c, 'f, 'l, F> {
    flat: &'c mut Flat<'f, 'l>,
    visit: F,
}

impl<F: FnMut(&str, &str)> Flatten for Counted<'_, '_, '_, F> {
    type Error = PushError;

    fn name<'n>(&mut self, joined: &'n str) -> Result<Cow<'n, str>, PushError> {
        // Names of maps count too: joining them is work.
        self.flat.memory.add(joined.len())?;
        Ok(plain_name(joined)?)
    }

    fn pair(&mut self, name: &str, value: &AnyValue<'_>) -> Result<(), PushError> {
        let Flat { scratch, memory } = self.flat;
        scratch.clear();
        value.write_text(scratch)?;
        memory.add(scratch.len())?;
        (self.visit)(name, scratch);
        Ok(())
    }
}

impl Visitor for OtlpMapper<'_> {
    type Error = PushError;

    fn resource(&mut self, attributes: Attributes<'_>) -> Result<(), PushError> {
        let config = &self.limits.otlp_config.resource_attributes;
        self.resource_labels.clear();
        self.resource_metadata.clear();
        self.place = None;
        let (labels, metadata) = (&mut self.resource_labels, &mut self.resource_metadata);
        let mut named = false;
        let mut flat = Flat { scratch: &mut self.scratch, memory: &mut self.memory };
        attributes.each(|name, value| {
            let action = if !config.ignore_defaults && DEFAULT_INDEX_LABELS.contains(&&*name) {
                AttributeAction::IndexLabel
            } else {
                action_for(&name, &config.attributes_config)
            };
            if name == "service.name" {
                flat.scratch.clear();
                value.write_text(flat.scratch)?;
                named |= !flat.scratch.is_empty();
            }
            match action {
                AttributeAction::Drop => Ok(()),
                AttributeAction::IndexLabel => flat.each(&name, &value, |name, value| {
                    labels.insert(name.to_owned(), value.to_owned());
                }),
                AttributeAction::StructuredMetadata => flat.each(&name, &value, |name, value| {
                    metadata.push((name.to_owned(), value.to_owned()));
                }),
            }
        })?;
        let discover = &self.limits.discover_service_name;
        if !named && !discover.is_empty() {
            let found = discover.iter().find_map(|name| labels.get(name).filter(|value| !value.is_empty()));
            let service = found.map_or(UNKNOWN_SERVICE, String::as_str).to_owned();
            labels.insert(SERVICE_NAME.to_owned(), service);
        }
        Ok(())
    }

    fn scope(&mut self, scope: &Scope<'_>) -> Result<(), PushError> {
        self.scope_metadata.clear();
        let (rules, metadata) = (&self.limits.otlp_config.scope_attributes, &mut self.scope_metadata);
        let mut flat = Flat { scratch: &mut self.scratch, memory: &mut self.memory };
        scope.attributes.each(|name, value| {
            if action_for(&name, rules) != AttributeAction::StructuredMetadata {
                return Ok(());
            }
            flat.each(&name, &value, |name, value| {
                metadata.push((name.to_owned(), value.to_owned()));
            })
        })?;
        let mut add = |name: &str, value: Cow<'_, str>| {
            if !value.is_empty() {
                metadata.push((name.to_owned(), value.into_owned()));
            }
        };
        add("scope_name", text(scope.name));
        add("scope_version", text(scope.version));
        if scope.dropped_attributes_count > 0 {
            add("scope_dropped_attributes_count", scope.dropped_attributes_count.to_string().into());
        }
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        let config = &self.limits.otlp_config;
        // Labels that only some records have decide about the stream, so they are looked for first; without
        // a rule for them there are none.
        let may_label = config.log_attributes.iter().any(|rule| rule.action == AttributeAction::IndexLabel);
        let mut labels = BTreeMap::new();
        if may_label {
            let mut flat = Flat { scratch: &mut self.scratch, memory: &mut self.memory };
            record.attributes.each(|name, value| {
                if action_for(&name, &config.log_attributes) != AttributeAction::IndexLabel {
                    return Ok(());
                }
                flat.each(&name, &value, |name, value| {
                    labels.insert(name.to_owned(), value.to_owned());
                })
            })?;
        }
        if config.severity_text_as_label && !record.severity_text.is_empty() {
            labels.insert("severity_text".to_owned(), text(record.severity_text).into_owned());
        }
        let place = self.place_of(labels)?;
        let Some(stream) = self.streams.get_mut(place) else { return Ok(()) };

        let before = stream.metadata.text_bytes() + stream.lines.text().len();
        let used = self.memory.used;
        let mut flat = Flat { scratch: &mut self.scratch, memory: &mut self.memory };
        let metadata = &mut stream.metadata;
        let named_event = !record.event_name.is_empty();
        record.attributes.each(|name, value| {
            let action = action_for(&name, &config.log_attributes);
            if action != AttributeAction::StructuredMetadata || (named_event && name == "event_name") {
                return Ok(());
            }
            flat.each(&name, &value, |name, value| metadata.pair(name, value))
        })?;
        let paid = self.memory.used - used;
        let scratch = &mut self.scratch;
        let mut number = |name: &str, value: i64| {
            if value != 0 {
                scratch.clear();
                let _ = write!(scratch, "{value}");
                metadata.pair(name, scratch);
            }
        };
        // The observed time is the entry's own when it has no other.
        if record.time_unix_nano != 0 {
            number("observed_timestamp", record.observed_time_unix_nano as i64);
        }
        number("severity_number", i64::from(record.severity_number));
        if !record.severity_text.is_empty() {
            metadata.pair("severity_text", &text(record.severity_text));
        }
        let mut number = |name: &str, value: u32| {
            if value != 0 {
                scratch.clear();
                let _ = write!(scratch, "{value}");
                metadata.pair(name, scratch);
            }
        };
        number("dropped_attributes_count", record.dropped_attributes_count);
        number("flags", record.flags);
        for (name, id) in [("trace_id", record.trace_id), ("span_id", record.span_id)] {
            if !id.is_empty() {
                scratch.clear();
                id.iter().for_each(|byte| {
                    let _ = write!(scratch, "{byte:02x}");
                });
                metadata.pair(name, scratch);
            }
        }
        if named_event {
            metadata.pair("event_name", &text(record.event_name));
        }
        for (name, value) in self.resource_metadata.iter().chain(&self.scope_metadata) {
            metadata.pair(name, value);
        }
        metadata.end_row();

        let at = [record.time_unix_nano, record.observed_time_unix_nano].into_iter().find(|at| *at != 0);
        stream.timestamps.push(at.map_or(self.now, |at| i64::try_from(at).unwrap_or(i64::MAX)));
        let mut body = Ok(());
        stream.lines.push_with(|out| body = record.body.write_text(out));
        body?;
        // Offsets of the text count too.
        let text = stream.metadata.text_bytes() + stream.lines.text().len() - before;
        let taken = text + 8 * stream.metadata.get(stream.timestamps.len() - 1).len() + 16;
        self.memory.add(taken.saturating_sub(usize::try_from(paid).unwrap_or(usize::MAX)))
    }
}

impl OtlpMapper<'_> {
    /// Where the stream of the resource's labels and these is, made when there is none yet.
    fn place_of(&mut self, extra: BTreeMap<String, String>) -> Result<usize, PushError> {
        if let Some(place) = self.place.filter(|_| extra.is_empty()) {
            return Ok(place);
        }
        let only_resource = extra.is_empty();
        let mut labels: BTreeMap<&str, &str> =
            self.resource_labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        labels.extend(extra.iter().map(|(name, value)| (&**name, &**value)));
        let key = label_text(labels.into_iter());
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => {
                // It is kept twice.
                self.memory.add(2 * key.len())?;
                self.streams.push(PushStream { labels: key.clone(), ..PushStream::default() });
                self.places.insert(key, self.streams.len() - 1);
                self.streams.len() - 1
            }
        };
        if only_resource {
            self.place = Some(place);
        }
        Ok(place)
    }
}
