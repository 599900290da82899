//! What is done to a line before it is delivered: the stages of a job, one after the other.
//!
//! Names and meaning are Promtail's, for the stages that a file needs; `auto` is ours: it takes the time
//! that the line says of itself.

use std::collections::BTreeMap;

use novaobs_model::LabelsBuilder;
use regex::Regex;

use crate::timestamp::{self, TimeFormat};

/// A stage.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Takes the time that the line says of itself.
    Auto,
    /// Takes values of a JSON object: name and path (`a.b`), empty for the name itself.
    Json {
        /// What is taken.
        expressions: Vec<(String, String)>,
        /// From an extracted value instead of the line.
        source: Option<String>,
    },
    /// Takes values of logfmt pairs.
    Logfmt {
        /// Name and key, empty for the name itself.
        mapping: Vec<(String, String)>,
        /// From an extracted value instead of the line.
        source: Option<String>,
    },
    /// Takes the named groups of an expression.
    Regex {
        /// Not anchored.
        expression: Regex,
        /// From an extracted value instead of the line.
        source: Option<String>,
    },
    /// Makes labels of extracted values.
    Labels(Vec<(String, String)>),
    /// Makes labels of fixed values.
    StaticLabels(Vec<(String, String)>),
    /// Makes structured metadata of extracted values.
    StructuredMetadata(Vec<(String, String)>),
    /// Takes the time from an extracted value.
    Timestamp {
        /// Its name.
        source: String,
        /// How it says it; the first that fits.
        formats: Vec<TimeFormat>,
    },
    /// Makes an extracted value the line.
    Output(String),
    /// Removes labels.
    LabelDrop(Vec<String>),
    /// Removes all labels but these.
    LabelAllow(Vec<String>),
    /// Leaves lines out.
    Drop {
        /// That match.
        expression: Option<Regex>,
        /// In this extracted value instead of the line.
        source: Option<String>,
        /// That are longer.
        longer_than: Option<usize>,
    },
}

/// A line on its way.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Its text.
    pub text: String,
    /// Unix nanoseconds.
    pub timestamp: i64,
    /// Labels of its stream.
    pub labels: LabelsBuilder,
    /// Structured metadata.
    pub metadata: Vec<(String, String)>,
    /// What stages took from it.
    extracted: BTreeMap<String, String>,
}

impl Line {
    /// A line of a stream at a time.
    pub fn new(text: &str, timestamp: i64, labels: LabelsBuilder) -> Self {
        Line { text: text.to_owned(), timestamp, labels, ..Line::default() }
    }
}

/// Runs all stages; `false` when the line is left out.
pub fn run(stages: &[Stage], line: &mut Line) -> bool {
    stages.iter().all(|stage| apply(stage, line))
}

fn apply(stage: &Stage, line: &mut Line) -> bool {
    match stage {
        Stage::Auto => {
            if let Some(time) = timestamp::of_line(&line.text) {
                line.timestamp = time;
            }
        }
        Stage::Json { expressions, source } => {
            let object = input(line, source.as_deref()).and_then(|text| serde_json::from_str(text).ok());
            let Some(object) = object else { return true };
            for (name, path) in expressions {
                if let Some(value) = json_value(&object, if path.is_empty() { name } else { path }) {
                    line.extracted.insert(name.clone(), value);
                }
            }
        }
        Stage::Logfmt { mapping, source } => {
            let Some(pairs) = input(line, source.as_deref()).map(logfmt) else { return true };
            for (name, key) in mapping {
                if let Some(value) = pairs.get(if key.is_empty() { name } else { key }) {
                    line.extracted.insert(name.clone(), value.clone());
                }
            }
        }
        Stage::Regex { expression, source } => {
            let Some(text) = input(line, source.as_deref()) else { return true };
            let Some(found) = expression.captures(text) else { return true };
            let named = expression.capture_names().flatten();
            let taken: Vec<_> = named
                .filter_map(|name| Some((name.to_owned(), found.name(name)?.as_str().to_owned())))
                .collect();
            line.extracted.extend(taken);
        }
        Stage::Labels(wanted) => {
            for (name, source) in wanted {
                if let Some(value) = line.extracted.get(if source.is_empty() { name } else { source }) {
                    line.labels.set(name, value);
                }
            }
        }
        Stage::StaticLabels(fixed) => {
            for (name, value) in fixed {
                line.labels.set(name, value);
            }
        }
        Stage::StructuredMetadata(wanted) => {
            for (name, source) in wanted {
                if let Some(value) = line.extracted.get(if source.is_empty() { name } else { source }) {
                    line.metadata.push((name.clone(), value.clone()));
                }
            }
        }
        Stage::Timestamp { source, formats } => {
            let text = line.extracted.get(source);
            if let Some(time) = text.and_then(|text| formats.iter().find_map(|format| format.read(text))) {
                line.timestamp = time;
            }
        }
        Stage::Output(source) => {
            if let Some(text) = line.extracted.get(source) {
                line.text.clone_from(text);
            }
        }
        Stage::LabelDrop(names) => {
            for name in names {
                line.labels.remove(name);
            }
        }
        Stage::LabelAllow(names) => {
            let labels = line.labels.build().without(|name| !names.iter().any(|n| n == name));
            line.labels = LabelsBuilder::from_labels(&labels);
        }
        Stage::Drop { expression, source, longer_than } => {
            let Some(text) = input(line, source.as_deref()) else { return true };
            let matches = expression.as_ref().is_none_or(|expression| expression.is_match(text));
            let long = longer_than.is_none_or(|longest| text.len() > longest);
            return !(matches && long);
        }
    }
    true
}

fn input<'l>(line: &'l Line, source: Option<&str>) -> Option<&'l str> {
    match source {
        None => Some(&line.text),
        Some(name) => line.extracted.get(name).map(String::as_str),
    }
}

/// The value at a path of names joined by points; texts without quotes, all else as JSON.
fn json_value(object: &serde_json::Value, path: &str) -> Option<String> {
    let mut at = object;
    for name in path.split('.') {
        at = at.get(name.trim_matches('"'))?;
    }
    Some(match at {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => return None,
        other => other.to_string(),
    })
}

/// The pairs of a logfmt line; what is no pair is passed over.
fn logfmt(line: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, behind) = rest.split_at(end);
        let Some(value) = behind.strip_prefix('=') else {
            rest = behind.trim_start();
            continue;
        };
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = value.find(char::is_whitespace).unwrap_or(value.len());
                let (value, behind) = value.split_at(end);
                (value.to_owned(), behind)
            }
        };
        pairs.insert(key.to_owned(), value);
        rest = behind.trim_start();
    }
    pairs
}

/// The text up to the closing quote, escapes undone, and what follows.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, text.get(at + 1..).unwrap_or("")),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other)) => value.push(other),
                None => {}
            },
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use novaobs_model::Labels;

    /// Labels, time, text and metadata of a line behind its stages.
    type Ran = (Labels, i64, String, Vec<(String, String)>);

    fn ran(stages: &[Stage], text: &str) -> Option<Ran> {
        let labels = LabelsBuilder::from_labels(&Labels::from_pairs([("job", "j")]));
        let mut line = Line::new(text, 7, labels);
        run(stages, &mut line).then(|| (line.labels.build(), line.timestamp, line.text, line.metadata))
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn json_gives_labels_time_metadata_and_line() {
        let stages = [
            Stage::Json {
                expressions: vec![
                    pair("level", ""),
                    pair("at", "ts"),
                    pair("id", "trace.id"),
                    pair("msg", ""),
                ],
                source: None,
            },
            Stage::Labels(vec![pair("severity", "level")]),
            Stage::StructuredMetadata(vec![pair("id", "")]),
            Stage::Timestamp { source: "at".to_owned(), formats: vec![TimeFormat::parse("UnixMs")] },
            Stage::Output("msg".to_owned()),
        ];
        let line = r#"{"level":"warn","ts":12,"trace":{"id":"abc"},"msg":"hello \"x\""}"#;
        let (labels, time, text, metadata) = ran(&stages, line).unwrap();
        assert_eq!(labels.to_string(), r#"{job="j", severity="warn"}"#);
        assert_eq!((time, text.as_str()), (12_000_000, "hello \"x\""));
        assert_eq!(metadata, [pair("id", "abc")]);
        // A line that is none stays as it is.
        let (labels, time, text, _) = ran(&stages, "plain").unwrap();
        assert_eq!((labels.len(), time, text.as_str()), (1, 7, "plain"));
    }

    #[test]
    fn logfmt_expressions_and_drops() {
        let stages = [
            Stage::Logfmt { mapping: vec![pair("level", ""), pair("m", "msg")], source: None },
            Stage::Regex {
                expression: Regex::new("took (?P<ms>[0-9]+)ms").unwrap(),
                source: Some("m".into()),
            },
            Stage::Labels(vec![pair("level", ""), pair("ms", "")]),
            Stage::Drop {
                expression: Some(Regex::new("^debug$").unwrap()),
                source: Some("level".into()),
                longer_than: None,
            },
            Stage::LabelDrop(vec!["job".to_owned()]),
        ];
        let (labels, ..) = ran(&stages, r#"stray level=info msg="it \"took 15ms" x="#).unwrap();
        assert_eq!(labels.to_string(), r#"{level="info", ms="15"}"#);
        assert!(ran(&stages, "level=debug msg=x").is_none());
        let allow = [Stage::StaticLabels(vec![pair("a", "1")]), Stage::LabelAllow(vec!["a".to_owned()])];
        assert_eq!(ran(&allow, "x").unwrap().0.to_string(), r#"{a="1"}"#);
    }
}
