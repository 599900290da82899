//! `| decolorize`: removes ANSI sequences, which colour lines on terminals.

use std::sync::LazyLock;

use regex::Regex;

use crate::stages::{Context, Outcome, StageRun};

/// The stage.
#[derive(Debug)]
pub(crate) struct Decolorize;

/// A sequence: an introducer, brackets and the like, then either words that end in a bell (titles of
/// windows) or numbers that end in the letter of a command.
static SEQUENCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let word = "[0-9A-Za-z]*(?:;[0-9A-Za-z]*)*";
    let numbers = "[0-9]{1,4}(?:;[0-9]{0,4})*";
    let command = "[0-9A-PRZcf-nqrty=<>~]";
    let source = format!(r"[\x1B\u009B][\[\]()#;?]*(?:(?:{word})?\x07|(?:{numbers})?{command})");
    let compiled = Regex::new(&source);
    novaobs_model::always!(compiled.is_ok(), "the expression of ANSI sequences compiles");
    compiled.ok()
});

impl StageRun for Decolorize {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        // Both introducers, the second as UTF-8.
        if memchr::memchr2(0x1b, 0x9b, row.line.as_bytes()).is_none() {
            return Outcome::Keep;
        }
        let Some(sequence) = SEQUENCE.as_ref() else { return Outcome::Keep };
        let mut end = 0;
        for found in sequence.find_iter(row.line) {
            row.rewritten.push_str(row.line.get(end..found.start()).unwrap_or(""));
            end = found.end();
        }
        row.rewritten.push_str(row.line.get(end..).unwrap_or(""));
        Outcome::Rewrote
    }
}
