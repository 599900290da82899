//! Checks of one stream and its entries against a tenant's limits, and what is added to the good ones.

use std::borrow::Cow;

use novaobs_model::logs::{PairLists, Strings};
use novaobs_model::{Labels, LogStream, Tenant};
use novaobs_tenants::Limits;
use novaobs_wire::loki_push::PushStream;

use crate::error::PushError;
use crate::level::{self, LEVEL, LevelDetector};
use crate::metadata::MetadataRow;
use crate::metrics::Metrics;
use crate::push::Format;
use crate::text::{label_text, rfc3339};

/// Names and values of labels, sorted by name; a name may come twice until it was checked.
pub(crate) type LabelPairs = Vec<(String, String)>;

/// The label made from others when it is missing.
pub(crate) const SERVICE_NAME: &str = "service_name";
/// Its value when there is nothing to make it from.
pub(crate) const UNKNOWN_SERVICE: &str = "unknown_service";

/// Adds `service_name` from the first of the tenant's labels that is there.
pub(crate) fn add_service_name(pairs: &mut LabelPairs, limits: &Limits) {
    let names = &limits.discover_service_name;
    if names.is_empty() || pairs.iter().any(|(name, _)| name == SERVICE_NAME) {
        return;
    }
    let value = |wanted: &String| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let value = names.iter().find_map(value).map_or(UNKNOWN_SERVICE, String::as_str).to_owned();
    let at = pairs.partition_point(|(name, _)| name.as_str() < SERVICE_NAME);
    pairs.insert(at, (SERVICE_NAME.to_owned(), value));
}

/// What is wrong in a request, each message once with how often it came, in order of appearance.
#[derive(Default)]
pub(crate) struct Problems {
    messages: Vec<(String, usize)>,
    more: usize,
}

/// Messages kept apart; what differs beyond them is only counted.
const MAX_MESSAGES: usize = 100;

impl Problems {
    fn add(&mut self, message: String) {
        if let Some((_, count)) = self.messages.iter_mut().find(|(known, _)| *known == message) {
            *count += 1;
        } else if self.messages.len() < MAX_MESSAGES {
            self.messages.push((message, 1));
        } else {
            self.more += 1;
        }
    }

    /// All of it in one line; `None` when nothing is wrong.
    pub(crate) fn text(&self) -> Option<String> {
        let mut parts = match &*self.messages {
            [] => return None,
            [(message, 1)] => return Some(message.clone()),
            all => all
                .iter()
                .map(|(message, count)| format!("{count} errors like: {message}"))
                .collect::<Vec<_>>(),
        };
        if self.more > 0 {
            parts.push(format!("{} more errors", self.more));
        }
        Some(parts.join("; "))
    }
}

/// A stream whose entries passed.
pub(crate) struct GoodStream {
    pub(crate) stream: LogStream,
    /// Bytes of lines and of structured metadata without what was added.
    pub(crate) bytes: u64,
    /// The same, of each entry; only kept where entries may have to be listed one by one.
    pub(crate) entry_bytes: Vec<u32>,
}

/// Checks the streams of one request.
pub(crate) struct Validator<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) limits: &'a Limits,
    pub(crate) metrics: &'a Metrics,
    pub(crate) format: Format,
    /// Unix nanoseconds.
    pub(crate) now: i64,
    pub(crate) problems: Problems,
    /// The refusal of a tenant whose pushes are blocked, when there was anything to block.
    pub(crate) blocked: Option<PushError>,
    /// Entries left out.
    pub(crate) rejected: usize,
    levels: Option<LevelDetector<'a>>,
}

impl<'a> Validator<'a> {
    pub(crate) fn new(
        tenant: &'a Tenant,
        limits: &'a Limits,
        metrics: &'a Metrics,
        format: Format,
        now: i64,
    ) -> Self {
        let levels = LevelDetector::new(limits);
        let (problems, blocked) = (Problems::default(), None);
        Validator { tenant, limits, metrics, format, now, problems, blocked, rejected: 0, levels }
    }

    /// Checks a stream; `None` when nothing of it is left.
    ///
    /// # Errors
    /// Of what makes Loki refuse the whole request: a name of structured metadata that nothing is left of.
    pub(crate) fn stream(
        &mut self,
        pairs: &LabelPairs,
        sent: PushStream,
    ) -> Result<Option<GoodStream>, PushError> {
        let sent = self.truncated(sent);
        let shown = label_text(pairs.iter().map(|(name, value)| (&**name, &**value)));
        if let Err((reason, message)) = self.check_labels(pairs, &shown) {
            // The peer counts these under both reasons.
            self.discard_stream(reason, &sent);
            self.discard_stream("invalid_labels", &sent);
            self.rejected += sent.timestamps.len();
            self.problems.add(message);
            return Ok(None);
        }
        let has = |wanted: &str| pairs.iter().any(|(name, _)| name == wanted);
        let missing: Vec<&str> =
            self.limits.enforced_labels.iter().map(String::as_str).filter(|name| !has(name)).collect();
        if !missing.is_empty() {
            self.discard_stream("missing_enforced_labels", &sent);
            self.rejected += sent.timestamps.len();
            self.problems.add(format!(
                "missing required labels '{}' for user '{}' for stream '{shown}' (policy: '')",
                missing.join(","),
                self.tenant,
            ));
            return Ok(None);
        }
        if let Some(until) = self.limits.block_ingestion_until.filter(|until| self.now < *until) {
            self.block(until, &sent);
            return Ok(None);
        }
        let labels = Labels::from_sorted(pairs.iter().map(|(name, value)| (&**name, &**value)));
        self.entries(labels, &shown, sent)
    }

    fn check_labels(&self, pairs: &LabelPairs, shown: &str) -> Result<(), (&'static str, String)> {
        if pairs.is_empty() {
            return Err((
                "missing_labels",
                "error at least one label pair is required per stream".to_owned(),
            ));
        }
        let limits = self.limits;
        let counted = pairs.iter().filter(|(name, _)| name != SERVICE_NAME).count();
        if counted > limits.max_label_names_per_series {
            let most = limits.max_label_names_per_series;
            let message = format!("entry for stream '{shown}' has {counted} label names; limit {most}");
            return Err(("max_label_names_per_series", message));
        }
        let mut before = "";
        for (name, value) in pairs {
            if name.len() > limits.max_label_name_length {
                let message = format!("stream '{shown}' has label name too long: '{name}'");
                return Err(("label_name_too_long", message));
            }
            if value.len() > limits.max_label_value_length {
                let message = format!("stream '{shown}' has label value too long: '{value}'");
                return Err(("label_value_too_long", message));
            }
            if name == before {
                let message = format!("stream '{shown}' has duplicate label name: '{name}'");
                return Err(("duplicate_label_names", message));
            }
            before = name;
        }
        Ok(())
    }

    fn block(&mut self, until: i64, sent: &PushStream) {
        self.discard_stream("blocked_ingestion", sent);
        self.rejected += sent.timestamps.len();
        let status = self.limits.block_ingestion_status_code;
        if status != 200 {
            let message = format!(
                "ingestion blocked for user '{}' until '{}' with status code '{status}'",
                self.tenant,
                rfc3339(until)
            );
            self.blocked = Some(PushError::new(status, message));
        }
    }

    fn discard_stream(&self, reason: &str, sent: &PushStream) {
        let metadata: usize = sent.metadata.iter().map(metadata_bytes).sum();
        let (rows, bytes) = (sent.timestamps.len() as u64, (sent.lines.text().len() + metadata) as u64);
        self.metrics.discarded(reason, self.tenant, self.format, rows, bytes);
    }

    /// Cuts lines that are too long where the tenant wants that.
    fn truncated(&self, mut sent: PushStream) -> PushStream {
        let limits = self.limits;
        let most = usize::try_from(limits.max_line_size).unwrap_or(usize::MAX);
        let mark = &*limits.max_line_size_truncate_identifier;
        let room = most.saturating_sub(mark.len());
        if !limits.max_line_size_truncate || room == 0 || sent.lines.iter().all(|line| line.len() <= most) {
            return sent;
        }
        let (mut lines, mut cut, mut cut_bytes) = (Strings::default(), 0, 0);
        for line in sent.lines.iter() {
            if line.len() <= most {
                lines.push(line);
                continue;
            }
            let kept = line.get(..line.floor_char_boundary(room)).unwrap_or("");
            lines.push_with(|out| {
                out.push_str(kept);
                out.push_str(mark);
            });
            cut += 1;
            cut_bytes += line.len() - kept.len();
        }
        self.metrics.truncated(self.tenant, cut, cut_bytes as u64);
        sent.lines = lines;
        sent
    }

    /// Checks the entries of a stream with good labels.
    fn entries(
        &mut self,
        labels: Labels,
        shown: &str,
        sent: PushStream,
    ) -> Result<Option<GoodStream>, PushError> {
        let from_labels = self.levels.as_ref().and_then(|levels| levels.of_pairs(|name| labels.get(name)));
        let from_labels = from_labels.map(str::to_owned);
        let rows = sent.timestamps.len();
        let mut kept = Kept { rows: Vec::new(), seen: 0 };
        let mut good = GoodStream { stream: LogStream::default(), bytes: 0, entry_bytes: Vec::new() };
        let list_entries = self.limits.per_stream_rate_limit > 0;
        let mut metadata = PairLists::default();
        let mut row_metadata = MetadataRow::default();
        for (row, timestamp) in sent.timestamps.iter().enumerate() {
            let line = sent.lines.get(row);
            let pairs = sent.metadata.get(row);
            let pairs_bytes = metadata_bytes(pairs.clone());
            if let Err((reason, message)) =
                self.check_entry(shown, *timestamp, line, pairs.len(), pairs_bytes)
            {
                let bytes = (line.len() + pairs_bytes) as u64;
                self.metrics.discarded(reason, self.tenant, self.format, 1, bytes);
                self.problems.add(message);
                self.rejected += 1;
                continue;
            }
            row_metadata.read(pairs).map_err(|error| PushError::bad_request(error.to_string()))?;
            self.add_level(&mut row_metadata, from_labels.as_deref(), line, &mut metadata);
            kept.keep(row);
            good.bytes += (line.len() + pairs_bytes) as u64;
            if list_entries {
                good.entry_bytes.push(u32::try_from(line.len() + pairs_bytes).unwrap_or(u32::MAX));
            }
        }
        if kept.count() == 0 {
            return Ok(None);
        }
        let (timestamps, lines) = kept.take(rows, sent);
        good.stream = LogStream { labels, timestamps, lines, metadata };
        if self.limits.increment_duplicate_timestamp {
            increment_duplicates(&mut good.stream);
        }
        Ok(Some(good))
    }

    fn check_entry(
        &self,
        shown: &str,
        timestamp: i64,
        line: &str,
        pairs: usize,
        pairs_bytes: usize,
    ) -> Result<(), (&'static str, String)> {
        let limits = self.limits;
        let back = |age: std::time::Duration| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        let oldest = self.now.saturating_sub(back(limits.reject_old_samples_max_age));
        if limits.reject_old_samples && timestamp < oldest {
            let (at, oldest) = (rfc3339(timestamp), rfc3339(oldest));
            return Err((
                "greater_than_max_sample_age",
                format!(
                    "entry for stream '{shown}' has timestamp too old: {at}, oldest acceptable timestamp is: {oldest}"
                ),
            ));
        }
        if timestamp > self.now.saturating_add(back(limits.creation_grace_period)) {
            let at = rfc3339(timestamp);
            let message = format!("entry for stream '{shown}' has timestamp too new: {at}");
            return Err(("too_far_in_future", message));
        }
        let most = limits.max_line_size;
        if most > 0 && line.len() as u64 > most {
            let length = line.len();
            return Err((
                "line_too_long",
                format!(
                    "max entry size '{most}' bytes exceeded for stream '{shown}' while adding an entry with length '{length}' bytes"
                ),
            ));
        }
        if pairs == 0 {
            return Ok(());
        }
        if !limits.allow_structured_metadata {
            return Err((
                "disallowed_structured_metadata",
                format!(
                    "stream '{shown}' includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it"
                ),
            ));
        }
        let most = limits.max_structured_metadata_size;
        if most > 0 && pairs_bytes as u64 > most {
            return Err((
                "structured_metadata_too_large",
                format!(
                    "stream '{shown}' has structured metadata too large: '{pairs_bytes}' bytes, limit: '{most}' bytes. Please see `limits_config.max_structured_metadata_size` or contact your Loki administrator to increase it"
                ),
            ));
        }
        let most = limits.max_structured_metadata_entries_count;
        if most > 0 && pairs > most {
            return Err((
                "structured_metadata_too_many",
                format!(
                    "stream '{shown}' has too many structured metadata labels: '{pairs}', limit: '{most}'. Please see `limits_config.max_structured_metadata_entries_count` or contact your Loki administrator to increase it"
                ),
            ));
        }
        Ok(())
    }

    /// Writes the row's metadata with its level.
    fn add_level(
        &self,
        row: &mut MetadataRow<'_>,
        from_labels: Option<&str>,
        line: &str,
        out: &mut PairLists,
    ) {
        let Some(levels) = &self.levels else {
            row.write(out);
            out.end_row();
            return;
        };
        if let Some(level) = row.get(LEVEL) {
            let level = level::normalise(level).to_owned();
            row.set(LEVEL, level);
            row.write(out);
        } else {
            row.write(out);
            let found: Cow<'_, str> = match from_labels {
                Some(level) => Cow::Borrowed(level),
                None => match levels.of_pairs(|name| row.get(name)) {
                    Some(level) => Cow::Borrowed(level),
                    None => match row.get("severity_number") {
                        Some(number) => Cow::Borrowed(level::from_severity_number(number)),
                        None => Cow::Borrowed(levels.of_line(line)),
                    },
                },
            };
            if !found.is_empty() {
                out.pair(LEVEL, &found);
            }
        }
        out.end_row();
    }
}

/// Bytes of names and values that count; a level that came along does not.
pub(crate) fn metadata_bytes<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> usize {
    pairs.filter(|(name, _)| *name != LEVEL).map(|(name, value)| name.len() + value.len()).sum()
}

/// Which rows stay; a list is only kept once one is left out.
struct Kept {
    rows: Vec<usize>,
    seen: usize,
}

impl Kept {
    fn keep(&mut self, row: usize) {
        if self.seen < row {
            self.rows.push(row);
        } else {
            self.seen = row + 1;
        }
    }

    fn count(&self) -> usize {
        self.seen + self.rows.len()
    }

    /// Times and lines of the rows that stay; nothing is copied when all do.
    fn take(self, rows: usize, sent: PushStream) -> (Vec<i64>, Strings) {
        if self.count() == rows {
            return (sent.timestamps, sent.lines);
        }
        let stay = || (0..self.seen).chain(self.rows.iter().copied());
        let timestamps = stay().filter_map(|row| sent.timestamps.get(row).copied()).collect();
        (timestamps, stay().map(|row| sent.lines.get(row)).collect())
    }
}

/// Moves an entry 1 ns behind the one in front when both have one time and differ.
fn increment_duplicates(stream: &mut LogStream) {
    let Some(mut previous) = stream.timestamps.first().copied() else { return };
    let mut before = previous;
    for (row, timestamp) in stream.timestamps.iter_mut().enumerate().skip(1) {
        let differs = stream.lines.get(row - 1) != stream.lines.get(row);
        if differs && (*timestamp == previous || *timestamp == before) {
            *timestamp = before.saturating_add(1);
        } else {
            previous = *timestamp;
        }
        before = *timestamp;
    }
}
