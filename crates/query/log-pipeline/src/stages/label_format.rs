//! `| label_format a=b, c="{{.d}}"`: renames labels and makes new ones.

use novaobs_logql_parser::{FormatValue, LabelFormat as Assignment};

use crate::labels::ERROR;
use crate::stages::{Context, Outcome, StageRun};
use crate::template::{RowTemplate, TEMPLATE_ERROR, TemplateRow};

/// The stage.
#[derive(Debug)]
pub(crate) struct LabelFormat(Vec<(String, Source)>);

#[derive(Debug)]
enum Source {
    Rename(String),
    Template(RowTemplate),
}

impl LabelFormat {
    /// # Errors
    /// The peer's text for a template that does not parse and for labels that cannot be written.
    pub(crate) fn new(assignments: &[Assignment]) -> Result<Self, String> {
        let mut formats: Vec<(String, Source)> = Vec::new();
        for Assignment { label, .. } in assignments {
            if label == ERROR {
                return Err(format!("{label} cannot be formatted"));
            }
        }
        for Assignment { label, value } in assignments {
            if formats.iter().any(|(other, _)| other == label) {
                return Err(format!(
                    "multiple label name '{label}' not allowed in a single format operation"
                ));
            }
            let source = match value {
                FormatValue::Rename(from) => Source::Rename(from.clone()),
                FormatValue::Template(text) => Source::Template(
                    RowTemplate::new("label", text)
                        .map_err(|error| format!("invalid template for label '{label}': {error}"))?,
                ),
            };
            formats.push((label.clone(), source));
        }
        Ok(LabelFormat(formats))
    }
}

impl StageRun for LabelFormat {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        // All templates of a stage see the labels as they are at the first of them.
        let templates = self.0.iter().filter(|(_, source)| matches!(source, Source::Template(_))).count();
        let mut seen = None;
        for (label, source) in &self.0 {
            match source {
                Source::Rename(from) => {
                    row.scratch.text.clear();
                    if let Some(value) = row.labels.label(from) {
                        row.scratch.text.push_str(value);
                        row.labels.set(label, &row.scratch.text);
                        row.labels.delete(from);
                    }
                }
                Source::Template(template) => {
                    if templates > 1 && seen.is_none() {
                        seen = Some(row.labels.clone());
                    }
                    let labels = seen.as_ref().unwrap_or(row.labels);
                    let of = TemplateRow { line: row.line, timestamp: row.timestamp };
                    row.scratch.text.clear();
                    match template.render(&mut row.scratch.text, &of, labels) {
                        Ok(()) => row.labels.set(label, &row.scratch.text),
                        Err(error) => row.labels.fail(TEMPLATE_ERROR, error),
                    }
                }
            }
        }
        Outcome::Keep
    }

    fn reads(&self, names: &mut Vec<String>) {
        for (_, source) in &self.0 {
            match source {
                Source::Rename(from) => names.push(from.clone()),
                Source::Template(template) => names.extend_from_slice(template.fields()),
            }
        }
    }
}
