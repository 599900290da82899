//! `| logfmt a="b"`: labels from named keys of a logfmt line.

use novaobs_logql_parser::Extraction;

use crate::labels::DUPLICATE_SUFFIX;
use crate::logfmt::{Scanner, unquote};
use crate::sanitize;
use crate::stages::logfmt::fail;
use crate::stages::{Context, Outcome, StageRun};

/// The stage.
#[derive(Debug)]
pub(crate) struct LogfmtNames {
    strict: bool,
    /// Label and key of each.
    names: Vec<(String, String)>,
}

impl LogfmtNames {
    /// # Errors
    /// The peer's text for a path that names no key.
    pub(crate) fn new(strict: bool, extractions: &[Extraction]) -> Result<Self, String> {
        let name = |extraction: &Extraction| {
            let key = key_of(&extraction.path)
                .map_err(|error| format!("cannot parse expression [{}]: {error}", extraction.path))?;
            Ok((extraction.label.clone(), key))
        };
        Ok(LogfmtNames { strict, names: extractions.iter().map(name).collect::<Result<_, String>>()? })
    }

    /// The label that takes the value of this key.
    fn label_of<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        let by_key = self.names.iter().find(|(_, wanted)| wanted == key);
        let by_label = || self.names.iter().find(|(label, _)| label == key);
        by_key.or_else(by_label).map(|(label, _)| label.as_str())
    }
}

/// The key a path names: a plain name, or anything in quotes.
fn key_of(path: &str) -> Result<String, String> {
    const SPACE: [char; 3] = [' ', '\t', '\n'];
    let text = path.trim_start_matches(SPACE);
    let (key, rest) = match text.strip_prefix('"') {
        Some(quoted) => {
            let (key, rest) = quoted.split_at(quoted.find(['"', ']']).unwrap_or(quoted.len()));
            (key, rest.get(1..).unwrap_or(""))
        }
        None => {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let (key, rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
            if key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) {
                return Err("syntax error: unexpected $end, expecting STRING or KEY".to_owned());
            }
            (key, rest)
        }
    };
    match rest.trim_start_matches(SPACE).chars().next() {
        None => Ok(key.to_owned()),
        Some(c) if c.is_ascii_alphabetic() || c == '_' => Err("syntax error: unexpected KEY".to_owned()),
        // More texts may follow; no key is like that.
        Some('"') => Ok(path.to_owned()),
        Some(c) => Err(format!("unexpected char {c}")),
    }
}

impl StageRun for LogfmtNames {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        if row.hints.is_done(row.labels) {
            return Outcome::Keep;
        }
        let labels = &mut *row.labels;
        for (label, _) in &self.names {
            if !labels.is_taken_name(label) {
                labels.set(label, "");
            }
        }
        let mut scanner = Scanner::new(row.line);
        while let Some(pair) = scanner.next() {
            let pair = match pair {
                Ok(pair) => pair,
                Err(error) if self.strict => {
                    fail(labels, row.hints, &error);
                    break;
                }
                Err(_) => continue,
            };
            row.scratch.text.clear();
            sanitize::write(&mut row.scratch.text, pair.key);
            let key = row.scratch.text.as_str();
            let Some(label) = self.label_of(key) else { continue };
            // What an earlier stage extracted under the key's own name is not extracted again.
            if !self.names.iter().any(|(own, _)| own == key) && labels.was_parsed_name(key) {
                continue;
            }
            let taken = labels.is_taken_name(label);
            let mark = labels.mark();
            labels.draft().push_str(label);
            if taken {
                labels.draft().push_str(DUPLICATE_SUFFIX);
            }
            let name = labels.span_from(mark);
            if taken && !labels.wants(name) {
                labels.forget(mark);
                break;
            }
            let value_mark = labels.mark();
            if pair.value.contains('\u{fffd}') {
                // Nothing, where `logfmt` without names gives spaces.
            } else if pair.escaped {
                unquote(labels.draft(), pair.value);
            } else {
                labels.draft().push_str(pair.value);
            }
            labels.set_drafted(name, value_mark);
            if labels.has_all_required() {
                break;
            }
        }
        Outcome::Keep
    }
}
