//! Fields of lines that no store read: parsed here, as LogQL's `| json` and `| logfmt` would.

use std::sync::Arc;

use novaobs_log_pipeline::{Pipeline, RowLabels, StreamPipeline};
use novaobs_logql_parser::{Grouping, Stage};
use novaobs_model::Labels;

/// Reads some fields of lines: of those that begin with `{` as JSON, of others as logfmt.
#[derive(Debug)]
pub(crate) struct LineParser {
    json: Option<Pipeline>,
    logfmt: Option<Pipeline>,
}

impl LineParser {
    /// A parser for these fields.
    pub(crate) fn new(names: impl IntoIterator<Item = Arc<str>>) -> Self {
        let labels: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
        let grouping = Grouping { without: false, labels };
        let compile = |stage: Stage| {
            let compiled = Pipeline::compile_for(&[stage], None, Some(&grouping));
            novaobs_model::always!(compiled.is_ok(), "a parser without parameters does not compile");
            compiled.ok()
        };
        let logfmt = Stage::Logfmt { strict: false, keep_empty: false, extractions: Vec::new() };
        LineParser { json: compile(Stage::Json(Vec::new())), logfmt: compile(logfmt) }
    }

    /// What reads lines one by one.
    pub(crate) fn reader(&self) -> LineReader<'_> {
        let labels = Labels::empty();
        LineReader {
            json: self.json.as_ref().map(|pipeline| pipeline.stream(&labels)),
            logfmt: self.logfmt.as_ref().map(|pipeline| pipeline.stream(&labels)),
        }
    }
}

/// Buffers for lines that are read one by one.
pub(crate) struct LineReader<'p> {
    json: Option<StreamPipeline<'p>>,
    logfmt: Option<StreamPipeline<'p>>,
}

impl LineReader<'_> {
    /// The fields of a line.
    pub(crate) fn read<'a>(&'a mut self, line: &'a str) -> LineFields<'a> {
        let json = line.trim_start().starts_with('{');
        let pipeline = if json { &mut self.json } else { &mut self.logfmt };
        let row =
            pipeline.as_mut().and_then(|pipeline| pipeline.run(0, line, std::iter::empty::<(&str, &str)>()));
        LineFields(row.map(|row| row.labels))
    }
}

/// The fields of one line.
pub(crate) struct LineFields<'a>(Option<&'a RowLabels>);

impl<'a> LineFields<'a> {
    /// The value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        // Parsers say in such names what went wrong.
        self.0.filter(|_| !name.starts_with("__")).and_then(|labels| labels.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_what_they_look_like() {
        let parser = LineParser::new(["status".into(), "a_b".into(), "__error__".into()]);
        let mut reader = parser.reader();
        assert_eq!(reader.read(r#"{"status":500,"a":{"b":"x"}}"#).get("status"), Some("500"));
        assert_eq!(reader.read(r#" {"a":{"b":"x\n"}}"#).get("a_b"), Some("x\n"));
        assert_eq!(reader.read("GET / status=404 a.b=\"y z\"").get("status"), Some("404"));
        assert_eq!(reader.read("GET / status=404 a.b=\"y z\"").get("a_b"), Some("y z"));
        assert_eq!(reader.read("plain words").get("status"), None);
        assert_eq!(reader.read("{broken").get("status"), None);
        assert_eq!(reader.read("{broken").get("__error__"), None);
    }
}
