//! `label_replace` and `label_join`: labels computed from labels.

use novaobs_model::{GoRegex, Labels, LabelsBuilder};

use crate::result::QueryError;
use crate::row::Row;
use crate::stream::{Operator, Stream, UniqueCheck};

/// How the label is computed.
#[derive(Debug)]
pub(crate) enum LabelChange {
    /// `label_replace`: `template` expanded with the groups of `regex` on the value of `source`, where it
    /// matches.
    Replace { source: String, regex: GoRegex, template: String },
    /// `label_join`: the values of `sources` with `separator` in between.
    Join { sources: Vec<String>, separator: String },
}

impl LabelChange {
    fn value(&self, labels: &Labels) -> Option<String> {
        match self {
            LabelChange::Replace { source, regex, template } => regex.expand(labels.value(source), template),
            LabelChange::Join { sources, separator } => {
                let values: Vec<&str> = sources.iter().map(|source| labels.value(source)).collect();
                Some(values.join(separator))
            }
        }
    }
}

/// Sets one label of every row.
pub(crate) struct Relabel<'q> {
    input: Stream<'q>,
    target: String,
    change: LabelChange,
    unique: UniqueCheck,
}

impl<'q> Relabel<'q> {
    /// Sets `target` by `change`.
    pub(crate) fn new(input: Stream<'q>, target: String, change: LabelChange, unique: UniqueCheck) -> Self {
        Relabel { input, target, change, unique }
    }
}

impl Operator for Relabel<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        if !self.input.next(row)? {
            return Ok(false);
        }
        if let Some(value) = self.change.value(&row.labels) {
            row.labels = LabelsBuilder::from_labels(&row.labels).set(&self.target, &value).build();
        }
        self.unique.admit(row)?;
        Ok(true)
    }
}
