//! What parsers need not extract, because no later stage and no grouping reads it, and rows they may leave
//! out at once, because a later filter will.

use std::sync::Arc;

use novaobs_logql_parser::Grouping;

use crate::labels::{DUPLICATE_SUFFIX, ERROR, RowLabels, Span};
use crate::stages::label_filter::Test;

/// What is known of a pipeline's reader.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    /// Nobody reads parsed labels: parsers do nothing.
    nothing: bool,
    /// The labels to extract; empty: all.
    pub required: Arc<[String]>,
    /// Someone tests [`ERROR`], so rows with errors stay apart under `by`.
    pub preserve_error: bool,
    /// Filters of one label each: a parser that has extracted the label asks at once.
    pub filters: Vec<(String, Arc<Test>)>,
}

impl Hints {
    /// For a log query: everything is read.
    pub(crate) fn all(filters: Vec<(String, Arc<Test>)>) -> Self {
        Hints { filters, ..Hints::default() }
    }

    /// For a metric query: `reads` are the labels that stages read, `unwrap` the one that is unwrapped.
    pub(crate) fn grouped(
        reads: Vec<String>,
        unwrap: Option<&str>,
        grouping: Option<&Grouping>,
        filters: Vec<(String, Arc<Test>)>,
    ) -> Self {
        let Some(grouping) = grouping.filter(|grouping| !grouping.without) else {
            return Hints::all(filters);
        };
        let mut required: Vec<String> = Vec::new();
        for name in reads.iter().chain(&grouping.labels).map(String::as_str).chain(unwrap) {
            // A parsed `x_extracted` is called `x` in the line.
            for name in [Some(name), name.strip_suffix(DUPLICATE_SUFFIX)].into_iter().flatten() {
                if !name.is_empty() && !required.iter().any(|one| one == name) {
                    required.push(name.to_owned());
                }
            }
        }
        if required.is_empty() {
            return Hints { nothing: true, ..Hints::default() };
        }
        let preserve_error = required.iter().any(|name| name == ERROR);
        Hints { nothing: false, required: required.into(), preserve_error, filters }
    }

    /// Whether parsers have nothing (more) to extract.
    pub(crate) fn is_done(&self, labels: &RowLabels) -> bool {
        self.nothing || labels.has_all_required()
    }

    /// Whether no filter says no to the label just extracted.
    pub(crate) fn passes(&self, name: Span, labels: &mut RowLabels) -> bool {
        let found = self.filters.iter().find(|(filter, _)| filter == labels.text(name));
        found.is_none_or(|(_, test)| test.passes(labels))
    }
}
