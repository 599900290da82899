//! `| json a="b.c[0]"`: labels from named places of a JSON line.

use novaobs_logql_parser::Extraction;

use crate::json::{self, Kind};
use crate::json_path::{self, Step};
use crate::labels::DUPLICATE_SUFFIX;
use crate::stages::json::fail;
use crate::stages::{Context, Outcome, StageRun};

/// The stage. A place that is not there gives an empty label.
#[derive(Debug)]
pub(crate) struct JsonPaths {
    labels: Vec<String>,
    paths: Vec<Vec<Step>>,
}

impl JsonPaths {
    /// # Errors
    /// The peer's text for a path that is none.
    pub(crate) fn new(extractions: &[Extraction]) -> Result<Self, String> {
        let path = |extraction: &Extraction| {
            json_path::parse(&extraction.path)
                .map_err(|error| format!("cannot parse expression [{}]: {error}", extraction.path))
        };
        Ok(JsonPaths {
            labels: extractions.iter().map(|extraction| extraction.label.clone()).collect(),
            paths: extractions.iter().map(path).collect::<Result<_, String>>()?,
        })
    }
}

impl StageRun for JsonPaths {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        if row.line.is_empty() || row.hints.is_done(row.labels) {
            return Outcome::Keep;
        }
        let (labels, hints) = (&mut *row.labels, row.hints);
        if !row.line.starts_with(['"', '{', '[']) {
            fail(labels, hints, None);
            return Outcome::Keep;
        }
        let mut found = 0;
        json_path::find(row.line, &self.paths, |number, value| {
            let value = match value {
                Ok(value) => value,
                Err(error) => return fail(labels, hints, Some(error)),
            };
            let Some(label) = number.and_then(|number| self.labels.get(number)) else { return };
            let taken = labels.is_taken_name(label);
            let mark = labels.mark();
            labels.draft().push_str(label);
            if taken {
                labels.draft().push_str(DUPLICATE_SUFFIX);
            }
            let name = labels.span_from(mark);
            let value_mark = labels.mark();
            match value.kind {
                Kind::Null => {}
                Kind::Object => labels.draft().push_str(value.text),
                _ => json::push_string(labels.draft(), value.text),
            }
            labels.set_drafted(name, value_mark);
            found += 1;
        });
        if found < self.labels.len() {
            for label in &self.labels {
                if labels.label(label).is_none() {
                    labels.set(label, "");
                }
            }
        }
        Outcome::Keep
    }
}
