//! `| keep a, b="x"`: takes all other labels away.

use novaobs_logql_parser::LabelChoice;

use crate::stages::{Context, Outcome, StageRun};

/// The stage. Errors stay in any case.
#[derive(Debug)]
pub(crate) struct Keep(pub Vec<LabelChoice>);

impl StageRun for Keep {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        row.labels.retain(|name, value| {
            self.0.iter().any(|choice| match choice {
                LabelChoice::Name(one) => one == name,
                LabelChoice::Match(matcher) => matcher.name == name && matcher.matches(value),
            })
        });
        Outcome::Keep
    }
}
