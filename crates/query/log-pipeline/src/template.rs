//! Templates of `line_format` and `label_format`, compiled once and rendered over a row.
//!
//! Most templates are text with plain `{{.field}}`s: those are put together without the template engine.

pub(crate) mod functions;

use novaobs_template::{Limits, MissingKey, Template, Value};

use crate::labels::RowLabels;

/// The error of a row whose template failed.
pub(crate) const TEMPLATE_ERROR: &str = "TemplateFormatErr";

/// A template, compiled.
#[derive(Debug)]
pub(crate) struct RowTemplate {
    name: &'static str,
    /// Its parts, when it has nothing but fields and text.
    plain: Option<Vec<Part>>,
    engine: Template,
    /// Labels it names.
    fields: Vec<String>,
}

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Field(String),
}

/// How much one template may do for one row.
fn limits() -> Limits {
    Limits { steps: 1_000_000, output_bytes: 16 << 20, work_bytes: 64 << 20, deadline: None }
}

impl RowTemplate {
    /// Compiles `source`; `name` stands in errors.
    ///
    /// # Errors
    /// What the template engine says.
    pub(crate) fn new(name: &'static str, source: &str) -> Result<Self, String> {
        let mut engine = Template::new(functions::all(), MissingKey::Zero);
        engine.add(name, source).map_err(|error| error.to_string())?;
        let fields = engine.fields(name);
        Ok(RowTemplate { name, plain: plain_parts(source), engine, fields })
    }

    /// Labels it names.
    pub(crate) fn fields(&self) -> &[String] {
        &self.fields
    }

    /// The field, of a template that is one field and nothing else.
    pub(crate) fn only_field(&self) -> Option<&str> {
        match self.plain.as_deref() {
            Some([Part::Field(name)]) => Some(name),
            _ => None,
        }
    }

    /// Appends what the template gives for a row.
    ///
    /// # Errors
    /// What the template engine says; nothing is appended then.
    pub(crate) fn render(
        &self,
        out: &mut String,
        row: &TemplateRow<'_>,
        labels: &RowLabels,
    ) -> Result<(), String> {
        if let Some(parts) = &self.plain {
            for part in parts {
                match part {
                    Part::Text(text) => out.push_str(text),
                    Part::Field(name) => out.push_str(labels.get(name).unwrap_or("")),
                }
            }
            return Ok(());
        }
        let rendered = functions::with_row(row, || {
            self.engine.execute(self.name, &Value::string_map(labels.iter()), &limits())
        });
        out.push_str(&rendered.map_err(|error| error.to_string())?);
        Ok(())
    }
}

/// What functions of a template know of the row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TemplateRow<'a> {
    /// The line before the stage.
    pub line: &'a str,
    /// Unix nanoseconds.
    pub timestamp: i64,
}

/// The parts of a template without functions, pipes, blocks, comments and trimming.
fn plain_parts(source: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = source;
    while let Some((text, after)) = rest.split_once("{{") {
        let (action, after) = after.split_once("}}")?;
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        let field = action.trim_matches(' ').strip_prefix('.')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if field.is_empty() || field.starts_with(|c: char| c.is_ascii_digit()) || !field.chars().all(is_name)
        {
            return None;
        }
        parts.push(Part::Field(field.to_owned()));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Some(parts)
}
