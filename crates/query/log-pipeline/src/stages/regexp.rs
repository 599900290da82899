//! `| regexp "(?P<name>re)"`: labels from the named groups of an expression.

use novaobs_model::regex;

use crate::labels::DUPLICATE_SUFFIX;
use crate::sanitize;
use crate::stages::{Context, Outcome, StageRun};

/// The stage.
#[derive(Debug)]
pub(crate) struct Regexp {
    regex: ::regex::Regex,
    /// Number and name of each named group.
    names: Vec<(usize, String)>,
    /// Which of the groups in the scratch are its own.
    slot: usize,
}

impl Regexp {
    /// # Errors
    /// The peer's text.
    pub(crate) fn new(source: &str, slot: usize) -> Result<Self, String> {
        let regex = regex::search(source).map_err(|error| error.to_string())?;
        let mut names: Vec<(usize, String)> = Vec::new();
        for (number, name) in regex.capture_names().enumerate() {
            let Some(name) = name else { continue };
            if names.iter().any(|(_, other)| other == name) {
                return Err(format!("duplicate extracted label name '{name}'"));
            }
            names.push((number, name.to_owned()));
        }
        if names.is_empty() {
            return Err("at least one named capture must be supplied".to_owned());
        }
        Ok(Regexp { regex, names, slot })
    }

    /// Room for its groups.
    pub(crate) fn groups(&self) -> ::regex::CaptureLocations {
        self.regex.capture_locations()
    }
}

impl StageRun for Regexp {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        let Some(groups) = row.scratch.groups.get_mut(self.slot) else { return Outcome::Keep };
        if self.regex.captures_read(groups, row.line).is_none() {
            return Outcome::Keep;
        }
        let labels = &mut *row.labels;
        for (number, name) in &self.names {
            let mark = labels.mark();
            sanitize::write(labels.draft(), name);
            let mut span = labels.span_from(mark);
            if labels.is_taken(span) {
                labels.draft().push_str(DUPLICATE_SUFFIX);
                span = labels.span_from(mark);
            }
            if !labels.wants(span) {
                labels.forget(mark);
                continue;
            }
            let value_mark = labels.mark();
            let value = groups.get(*number).and_then(|(start, end)| row.line.get(start..end));
            labels.draft().push_str(value.unwrap_or(""));
            labels.add_drafted(span, value_mark);
            if !row.hints.passes(span, labels) {
                return Outcome::Drop;
            }
        }
        Outcome::Keep
    }
}
