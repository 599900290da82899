//! `| line_format "{{.a}}"`: a new line from labels.

use crate::stages::{Context, Outcome, StageRun};
use crate::template::{RowTemplate, TEMPLATE_ERROR, TemplateRow};

/// The stage.
#[derive(Debug)]
pub(crate) struct LineFormat(RowTemplate);

impl LineFormat {
    /// # Errors
    /// The peer's text for a template that does not parse.
    pub(crate) fn new(source: &str) -> Result<Self, String> {
        RowTemplate::new("line", source)
            .map(LineFormat)
            .map_err(|error| format!("invalid line template: {error}"))
    }
}

impl StageRun for LineFormat {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        // A lone field is looked up like a label: it does not see the error of the row.
        if let Some(name) = self.0.only_field() {
            row.rewritten.push_str(row.labels.label(name).unwrap_or(""));
            return Outcome::Rewrote;
        }
        let of = TemplateRow { line: row.line, timestamp: row.timestamp };
        match self.0.render(row.rewritten, &of, row.labels) {
            Ok(()) => Outcome::Rewrote,
            Err(error) => {
                row.labels.fail(TEMPLATE_ERROR, error);
                Outcome::Keep
            }
        }
    }

    fn reads(&self, names: &mut Vec<String>) {
        names.extend_from_slice(self.0.fields());
    }
}
