//! Labels of a row, by category, in buffers that are reused from row to row.
//!
//! All names and values stand in one text; a label is two ranges of it. The labels of the stream come first
//! and stay; what a row adds is cut off when the next one begins.

use std::sync::Arc;

use novaobs_model::Labels;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The label of a row that a stage could not work on.
pub const ERROR: &str = "__error__";
/// Why it could not.
pub const ERROR_DETAILS: &str = "__error_details__";
/// Set beside [`ERROR`] by parsers when the pipeline asks for it by name, so that `by` keeps such rows apart.
pub const PRESERVE_ERROR: &str = "__preserve_error__";
/// What a parsed name that is taken gets behind it.
pub(crate) const DUPLICATE_SUFFIX: &str = "_extracted";

/// A range of the text, with a cheap fingerprint so that most comparisons end early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
    tag: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    name: Span,
    value: Span,
}

/// Labels of a row: of the stream, of structured metadata, and of parsers and formatters. A name stands in
/// one category.
///
/// Parsers and formatters can leave a label with an empty value; it stays in the sets that this type gives
/// ([`merged`](Self::merged) and the like), because answers show it. Such sets are for answers, not for a
/// store: [`Labels`] elsewhere have no empty values.
#[derive(Clone, Debug, Default)]
pub struct RowLabels {
    text: String,
    /// How much of `text` is the stream's.
    stream_text: usize,
    stream: Vec<Entry>,
    /// The stream's labels as a set, given out when a row changes nothing.
    stream_set: Labels,
    metadata: Vec<Entry>,
    parsed: Vec<Entry>,
    /// Names taken away: they hide labels of the stream, and `by` does not bring them back.
    deleted: Vec<Span>,
    /// Names that were parsed and then taken away; a later parser does not bring them back.
    parsed_before: Vec<Span>,
    /// What parsers are to extract; empty: all.
    required: Arc<[String]>,
    required_found: usize,
    error: Option<&'static str>,
    /// An error that came with the row's metadata.
    foreign_error: String,
    error_details: String,
}

fn fingerprint(text: &[u8]) -> u32 {
    let at = |i: usize| u32::from(text.get(i).copied().unwrap_or(0));
    let n = text.len();
    (n as u32 & 0xff) << 24 | at(0) << 16 | at(n / 2) << 8 | at(n.wrapping_sub(1))
}

impl RowLabels {
    /// The labels of rows of one stream; `required` is what parsers need to extract (empty: all).
    pub(crate) fn new(stream: &Labels, required: Arc<[String]>) -> Self {
        let mut labels = RowLabels { stream_set: stream.clone(), required, ..RowLabels::default() };
        for (name, value) in stream.iter() {
            let entry = Entry { name: labels.push(name), value: labels.push(value) };
            labels.stream.push(entry);
        }
        labels.stream_text = labels.text.len();
        labels
    }

    /// Begins a row.
    pub(crate) fn begin<'m>(&mut self, metadata: impl Iterator<Item = (&'m str, &'m str)>) {
        self.text.truncate(self.stream_text);
        self.metadata.clear();
        self.parsed.clear();
        self.deleted.clear();
        self.parsed_before.clear();
        self.required_found = 0;
        self.error = None;
        self.foreign_error.clear();
        self.error_details.clear();
        for (name, value) in metadata {
            self.add_metadata(name, value);
        }
    }

    fn add_metadata(&mut self, name: &str, value: &str) {
        let mut span = self.push(name);
        if self.stream_has(span) {
            self.text.push_str(DUPLICATE_SUFFIX);
            span = self.span_from(span.start as usize);
        } else if name == ERROR {
            value.clone_into(&mut self.foreign_error);
            return;
        } else if name == ERROR_DETAILS {
            value.clone_into(&mut self.error_details);
            return;
        }
        let value = self.push(value);
        match self.position(&self.metadata, span) {
            Some(at) => set_value(&mut self.metadata, at, value),
            None => self.metadata.push(Entry { name: span, value }),
        }
    }

    // Spans and their text.

    fn push(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        self.span_from(start)
    }

    /// The text that parsers write a name or value to; [`span_from`](Self::span_from) ends it.
    pub(crate) fn draft(&mut self) -> &mut String {
        &mut self.text
    }

    /// Where the next draft begins.
    pub(crate) fn mark(&self) -> usize {
        self.text.len()
    }

    /// Takes back what was drafted since the mark.
    pub(crate) fn forget(&mut self, mark: usize) {
        self.text.truncate(mark);
    }

    /// What was drafted since the mark.
    pub(crate) fn span_from(&self, mark: usize) -> Span {
        let bytes = self.text.as_bytes().get(mark..).unwrap_or(&[]);
        Span { start: mark as u32, end: self.text.len() as u32, tag: fingerprint(bytes) }
    }

    /// The text of a span.
    pub(crate) fn text(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    fn bytes(&self, span: Span) -> &[u8] {
        self.text.as_bytes().get(span.start as usize..span.end as usize).unwrap_or(&[])
    }

    fn same(&self, a: Span, b: Span) -> bool {
        a.tag == b.tag && self.bytes(a) == self.bytes(b)
    }

    fn position(&self, entries: &[Entry], name: Span) -> Option<usize> {
        entries.iter().position(|entry| self.same(entry.name, name))
    }

    fn find(&self, entries: &[Entry], name: &str) -> Option<usize> {
        let tag = fingerprint(name.as_bytes());
        let is = |entry: &Entry| entry.name.tag == tag && self.bytes(entry.name) == name.as_bytes();
        entries.iter().position(is)
    }

    fn value_at(&self, entries: &[Entry], at: usize) -> &str {
        entries.get(at).map_or("", |entry| self.text(entry.value))
    }

    // What parsers ask.

    /// Whether the stream has the label, deleted or not.
    pub(crate) fn stream_has(&self, name: Span) -> bool {
        self.position(&self.stream, name).is_some()
    }

    /// Whether a parsed name is taken by the stream or by structured metadata.
    pub(crate) fn is_taken(&self, name: Span) -> bool {
        self.stream_has(name) || self.position(&self.metadata, name).is_some()
    }

    /// [`is_taken`](Self::is_taken), of a text.
    pub(crate) fn is_taken_name(&self, name: &str) -> bool {
        self.find(&self.stream, name).is_some() || self.find(&self.metadata, name).is_some()
    }

    /// Whether a parser is to extract the label: it is required and no parser did before.
    pub(crate) fn wants(&self, name: Span) -> bool {
        let required =
            self.required.is_empty() || self.required.iter().any(|one| one.as_bytes() == self.bytes(name));
        required && !self.was_parsed(name)
    }

    /// Whether a parser or formatter set the label before, be it gone since.
    pub(crate) fn was_parsed(&self, name: Span) -> bool {
        self.position(&self.parsed, name).is_some()
            || self.parsed_before.iter().any(|gone| self.same(*gone, name))
    }

    /// [`was_parsed`](Self::was_parsed), of a text.
    pub(crate) fn was_parsed_name(&self, name: &str) -> bool {
        self.find(&self.parsed, name).is_some()
            || self.parsed_before.iter().any(|gone| self.bytes(*gone) == name.as_bytes())
    }

    /// Whether a required name begins with this.
    pub(crate) fn wants_prefix(&self, prefix: Span) -> bool {
        self.required.is_empty()
            || self.required.iter().any(|one| one.as_bytes().starts_with(self.bytes(prefix)))
    }

    /// Whether nothing is left for parsers to extract.
    pub(crate) fn has_all_required(&self) -> bool {
        !self.required.is_empty() && self.required_found >= self.required.len()
    }

    // What stages change.

    /// Sets a parsed label that was drafted: its name, and its value from `value_mark` on.
    pub(crate) fn set_drafted(&mut self, name: Span, value_mark: usize) {
        let value = self.span_from(value_mark);
        self.set_spans(name, value);
    }

    /// [`set_drafted`](Self::set_drafted) for a name that [`wants`](Self::wants) said yes to.
    pub(crate) fn add_drafted(&mut self, name: Span, value_mark: usize) {
        let value = self.span_from(value_mark);
        if let Some(at) = self.position(&self.metadata, name) {
            self.metadata.remove(at);
        }
        self.required_found += usize::from(!self.required.is_empty());
        self.parsed.push(Entry { name, value });
    }

    /// Sets a parsed label.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let name = self.push(name);
        let value = self.push(value);
        self.set_spans(name, value);
    }

    fn set_spans(&mut self, name: Span, value: Span) {
        if let Some(at) = self.position(&self.metadata, name) {
            self.metadata.remove(at);
        }
        if let Some(at) = self.position(&self.parsed, name) {
            return set_value(&mut self.parsed, at, value);
        }
        let is_new = !self.parsed_before.iter().any(|gone| self.same(*gone, name));
        if is_new && self.required.iter().any(|one| one.as_bytes() == self.bytes(name)) {
            self.required_found += 1;
        }
        self.parsed.push(Entry { name, value });
    }

    /// Takes a label away, whatever its category.
    pub(crate) fn delete(&mut self, name: &str) {
        let span = self.push(name);
        if let Some(at) = self.position(&self.metadata, span) {
            self.metadata.remove(at);
        }
        if let Some(at) = self.position(&self.parsed, span) {
            self.parsed.remove(at);
            self.parsed_before.push(span);
        }
        self.deleted.push(span);
    }

    /// Takes away all labels that `keep` says no to.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        let (text, deleted, parsed_before) = (&self.text, &mut self.deleted, &mut self.parsed_before);
        let part = |span: Span| text.get(span.start as usize..span.end as usize).unwrap_or("");
        let mut stays = |entry: &Entry| {
            let name = part(entry.name);
            name == PRESERVE_ERROR || keep(name, part(entry.value))
        };
        for entry in &self.stream {
            let is = |name: Span| name.tag == entry.name.tag && part(name) == part(entry.name);
            let mut hiding = self.metadata.iter().chain(&self.parsed).map(|entry| entry.name);
            if !deleted.iter().any(|name| is(*name)) && !hiding.any(is) && !stays(entry) {
                deleted.push(entry.name);
            }
        }
        self.metadata.retain(|entry| {
            let stays = stays(entry);
            deleted.extend((!stays).then_some(entry.name));
            stays
        });
        self.parsed.retain(|entry| {
            let stays = stays(entry);
            deleted.extend((!stays).then_some(entry.name));
            parsed_before.extend((!stays).then_some(entry.name));
            stays
        });
    }

    // Errors.

    /// The error of the row, empty when there is none.
    pub(crate) fn error(&self) -> &str {
        self.error.unwrap_or(&self.foreign_error)
    }

    /// Marks the row as failed, in place of an earlier error.
    pub(crate) fn fail(&mut self, error: &'static str, details: impl std::fmt::Display) {
        use std::fmt::Write as _;
        self.error = Some(error);
        self.error_details.clear();
        let _ = write!(self.error_details, "{details}");
    }

    /// Marks the row as failed without saying why; an earlier reason stays.
    pub(crate) fn fail_silently(&mut self, error: &'static str) {
        self.error = Some(error);
    }

    /// Forgets the error.
    pub(crate) fn clear_error(&mut self) {
        self.error = None;
        self.foreign_error.clear();
    }

    /// The reason, empty when there is none.
    pub(crate) fn error_details(&self) -> &str {
        &self.error_details
    }

    /// Forgets the reason.
    pub(crate) fn clear_error_details(&mut self) {
        self.error_details.clear();
    }

    // What stages and answers read.

    /// The value of a label of any category; errors are no labels here.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        if let Some(at) = self.find(&self.metadata, name) {
            return Some(self.value_at(&self.metadata, at));
        }
        if let Some(at) = self.find(&self.parsed, name) {
            return Some(self.value_at(&self.parsed, at));
        }
        if self.is_deleted(name) {
            return None;
        }
        self.find(&self.stream, name).map(|at| self.value_at(&self.stream, at))
    }

    fn is_deleted(&self, name: &str) -> bool {
        self.deleted.iter().any(|gone| self.bytes(*gone) == name.as_bytes())
    }

    /// Whether the row has the labels of its stream and nothing else; a reason without an error is not
    /// shown then.
    fn is_unchanged(&self) -> bool {
        self.metadata.is_empty()
            && self.parsed.is_empty()
            && self.deleted.is_empty()
            && self.error().is_empty()
    }

    /// Labels of the stream that nothing hides.
    fn visible_stream(&self) -> impl Iterator<Item = &Entry> {
        self.stream.iter().filter(|entry| {
            !self.deleted.iter().any(|gone| self.same(*gone, entry.name))
                && self.position(&self.metadata, entry.name).is_none()
                && self.position(&self.parsed, entry.name).is_none()
        })
    }

    fn visible(&self) -> impl Iterator<Item = &Entry> {
        self.visible_stream().chain(&self.metadata).chain(&self.parsed)
    }

    fn pair(&self, entry: &Entry) -> (&str, &str) {
        (self.text(entry.name), self.text(entry.value))
    }

    /// The error and its reason, as labels.
    fn errors(&self) -> impl Iterator<Item = (&str, &str)> {
        let shown = !self.is_unchanged();
        [(ERROR, self.error()), (ERROR_DETAILS, &*self.error_details)]
            .into_iter()
            .filter(move |(_, value)| shown && !value.is_empty())
    }

    /// The value of a label of any category; `__error__` and `__error_details__` too.
    pub fn get(&self, name: &str) -> Option<&str> {
        match name {
            ERROR | ERROR_DETAILS => self.errors().find(|(n, _)| *n == name).map(|(_, value)| value),
            name => self.label(name),
        }
    }

    /// All labels, errors too, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.visible().map(|entry| self.pair(entry)).chain(self.errors())
    }

    /// Labels of structured metadata, in no order.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata.iter().map(|entry| self.pair(entry))
    }

    /// Labels of parsers and formatters and errors, in no order.
    pub fn parsed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parsed.iter().map(|entry| self.pair(entry)).chain(self.errors())
    }

    /// All labels as one set, for results without categories and for bare metric queries.
    pub fn merged(&self) -> Labels {
        if self.is_unchanged() {
            return self.stream_set.clone();
        }
        set_of(self.iter())
    }

    /// Labels of the stream, of structured metadata and of parsers and formatters.
    pub fn categories(&self) -> (Labels, Labels, Labels) {
        if self.is_unchanged() {
            return (self.stream_set.clone(), Labels::empty(), Labels::empty());
        }
        let stream = if self.visible_stream().count() == self.stream.len() {
            self.stream_set.clone()
        } else {
            set_of(self.visible_stream().map(|entry| self.pair(entry)))
        };
        (stream, set_of(self.metadata()), set_of(self.parsed()))
    }

    /// Only these labels (`by`), or all but these (`without`). A row with an error keeps all its labels, so
    /// that the error is seen, unless it was asked for by name ([`PRESERVE_ERROR`]). A name that a stage took away stays away under `by`, as with the peer, even
    /// when a later stage set it again.
    pub fn grouped(&self, without: bool, names: &[String]) -> Labels {
        if !self.error().is_empty() {
            if without || self.label(PRESERVE_ERROR).is_none() {
                return self.merged();
            }
            let named = names.iter().filter_map(|name| Some((name.as_str(), self.get(name)?)));
            return set_of(named);
        }
        if without {
            let pairs = self.visible().map(|entry| self.pair(entry));
            return set_of(pairs.filter(|(name, _)| !names.iter().any(|n| n == name)));
        }
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(names.len());
        for name in names {
            if let Some(value) = self.label(name).filter(|_| !self.is_deleted(name)) {
                pairs.push((name, value));
            }
        }
        set_of(pairs.into_iter())
    }

    /// A hash that is equal for rows with equal merged labels, for look-ups without building a set.
    pub fn hash(&self) -> u64 {
        // A sum does not depend on the order in which labels were found.
        let mut sum = 0u64;
        for (name, value) in self.iter() {
            let one = xxh3_64_with_seed(value.as_bytes(), xxh3_64(name.as_bytes()));
            sum = sum.wrapping_add(one);
        }
        sum
    }
}

fn set_value(entries: &mut [Entry], at: usize, value: Span) {
    if let Some(entry) = entries.get_mut(at) {
        entry.value = value;
    }
}

/// A set of pairs whose names differ; empty values stay.
fn set_of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Labels {
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_unstable();
    pairs.dedup_by(|later, earlier| later.0 == earlier.0);
    Labels::from_sorted(pairs)
}
