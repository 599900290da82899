//! Which fields lines have: names, types, how many values, and how they are read.

use std::collections::HashSet;

use novaobs_log_pipeline::{CompileError, Pipeline};
use novaobs_logql_parser::Stage;
use novaobs_model::Labels;
use novaobs_wire::number::parse_float;
use serde_json::Value;

/// What a field's values look like, taken from the last one seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldType {
    Int,
    Float,
    Boolean,
    Duration,
    Bytes,
    String,
}

impl FieldType {
    /// As the API names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            FieldType::Int => "int",
            FieldType::Float => "float",
            FieldType::Boolean => "boolean",
            FieldType::Duration => "duration",
            FieldType::Bytes => "bytes",
            FieldType::String => "string",
        }
    }

    /// Of a value.
    fn of(value: &str) -> FieldType {
        if value.parse::<i64>().is_ok() {
            FieldType::Int
        } else if parse_float(value.as_bytes()).is_ok() {
            FieldType::Float
        } else if is_boolean(value) {
            FieldType::Boolean
        } else if is_duration(value) {
            FieldType::Duration
        } else if is_bytes(value) {
            FieldType::Bytes
        } else {
            FieldType::String
        }
    }
}

/// Whether Go's `strconv.ParseBool` takes the text.
pub(super) fn is_boolean(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True" | "0" | "f" | "F" | "FALSE" | "false" | "False")
}

/// Whether Go's `time.ParseDuration` takes the text: `1.5h`, `-2m3s`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit);
        let is_number = digits.bytes().any(|b| b.is_ascii_digit()) && digits.matches('.').count() <= 1;
        if !is_number || !matches!(unit, "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h") {
            return false;
        }
        rest = next;
    }
    true
}

/// Whether the text is a size: `10KB`, `1.5 MiB`, `2k`.
fn is_bytes(text: &str) -> bool {
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(text.len());
    let (number, unit) = text.split_at(number);
    let unit = unit.trim().to_lowercase();
    let prefix = unit.strip_suffix('b').unwrap_or(&unit);
    let prefix = prefix.strip_suffix('i').filter(|p| !p.is_empty()).unwrap_or(prefix);
    matches!(prefix, "" | "k" | "m" | "g" | "t" | "p" | "e") && number.replace(',', "").parse::<f64>().is_ok()
}

/// What reads a field from a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Parser {
    Json,
    Logfmt,
}

impl Parser {
    /// As the API names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Parser::Json => "json",
            Parser::Logfmt => "logfmt",
        }
    }
}

/// One field and what is known of it.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: FieldType,
    /// Different values, in the order they were seen.
    pub(super) values: Vec<String>,
    seen: HashSet<String>,
    /// Empty: the field stands in structured metadata.
    pub(super) parsers: Vec<Parser>,
    /// Keys down to the value in a JSON line.
    pub(super) json_path: Vec<String>,
}

/// Collects the fields of lines.
pub(super) struct Fields {
    all: Vec<Field>,
    /// Most fields; 0: any number.
    most: usize,
    logfmt: Pipeline,
}

impl Fields {
    /// A collection of at most `most` fields.
    pub(super) fn new(most: usize) -> Result<Self, CompileError> {
        let stage = Stage::Logfmt { strict: false, keep_empty: false, extractions: Vec::new() };
        Ok(Fields { all: Vec::new(), most, logfmt: Pipeline::compile(&[stage], None)? })
    }

    /// Adds a line of a stream and its structured metadata.
    pub(super) fn add(&mut self, labels: &Labels, metadata: &Labels, line: &str) {
        for (name, value) in metadata {
            self.value(name, value, None, &[]);
        }
        match serde_json::from_str::<Value>(line) {
            Ok(Value::Object(object)) => {
                let mut path = Vec::new();
                for (key, value) in object {
                    self.json(labels, &mut path, key, value);
                }
            }
            _ => self.logfmt(labels, line),
        }
    }

    fn logfmt(&mut self, labels: &Labels, line: &str) {
        let parsed = {
            let mut stream = self.logfmt.stream(labels);
            let row = stream.run(0, line, std::iter::empty());
            row.map(|row| row.labels.categories().2).unwrap_or_default()
        };
        for (name, value) in parsed.iter().filter(|(name, _)| !name.starts_with("__error")) {
            self.value(name, value, Some(Parser::Logfmt), &[]);
        }
    }

    fn json(&mut self, labels: &Labels, path: &mut Vec<String>, key: String, value: Value) {
        path.push(key);
        let text = match value {
            Value::Object(object) => {
                for (key, value) in object {
                    self.json(labels, path, key, value);
                }
                None
            }
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Null | Value::Array(_) => None,
        };
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let mut name = sanitized(&path.join("_"));
            if labels.get(&name).is_some() {
                name.push_str("_extracted");
            }
            let path = path.clone();
            self.value(&name, &text, Some(Parser::Json), &path);
        }
        path.pop();
    }

    fn value(&mut self, name: &str, value: &str, parser: Option<Parser>, path: &[String]) {
        let at = match self.all.iter().position(|field| field.name == name) {
            Some(at) => at,
            None if self.most > 0 && self.all.len() >= self.most => return,
            None => {
                self.all.push(Field {
                    name: name.to_owned(),
                    kind: FieldType::of(value),
                    values: Vec::new(),
                    seen: HashSet::new(),
                    parsers: Vec::new(),
                    json_path: Vec::new(),
                });
                self.all.len() - 1
            }
        };
        let Some(field) = self.all.get_mut(at) else { return };
        if let Some(parser) = parser
            && !field.parsers.contains(&parser)
        {
            field.parsers.push(parser);
            field.parsers.sort_unstable();
        }
        if field.json_path.is_empty() {
            field.json_path.extend_from_slice(path);
        }
        field.kind = FieldType::of(value);
        if field.seen.insert(value.to_owned()) {
            field.values.push(value.to_owned());
        }
    }

    /// The fields by name.
    pub(super) fn finish(mut self) -> Vec<Field> {
        self.all.sort_by(|a, b| a.name.cmp(&b.name));
        self.all
    }
}

/// A name as `| json` makes it of a path.
fn sanitized(name: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out: String = name.trim().chars().map(|c| if fine(c) { c } else { '_' }).collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_types_the_peer_sees() {
        for (value, want) in [
            ("1", "int"),
            ("-7", "int"),
            ("2.5", "float"),
            ("1e3", "float"),
            ("true", "boolean"),
            ("F", "boolean"),
            ("5s", "duration"),
            ("1h2m3.5s", "duration"),
            ("10KB", "bytes"),
            ("1.5 MiB", "bytes"),
            ("2k", "bytes"),
            ("5d", "string"),
            ("", "string"),
            ("s", "string"),
            ("hello", "string"),
            ("kb", "string"),
        ] {
            assert_eq!(FieldType::of(value).name(), want, "{value}");
        }
    }

    #[test]
    fn json_fields_have_their_paths_and_names_that_clash_are_told_apart() {
        let mut fields = Fields::new(0).unwrap();
        let labels = Labels::from_pairs([("app", "x")]);
        let metadata = Labels::from_pairs([("user", "1")]);
        fields.add(&labels, &metadata, r#"{"a":{"b-c":1,"n":null},"app":"y","l":[1],"e":""}"#);
        fields.add(&labels, &Labels::empty(), r#"{"a":{"b-c":2}}"#);
        let found = fields.finish();
        let names: Vec<_> = found.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["a_b_c", "app_extracted", "user"]);
        assert_eq!(found[0].json_path, ["a", "b-c"]);
        assert_eq!(found[0].values, ["1", "2"]);
        assert_eq!(found[2].parsers, []);
    }
}
