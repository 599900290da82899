//! `| drop a, b="x"`: takes labels away.

use novaobs_logql_parser::LabelChoice;
use novaobs_model::Matcher;

use crate::labels::{ERROR, ERROR_DETAILS};
use crate::stages::{Context, Outcome, StageRun};

/// The stage.
#[derive(Debug)]
pub(crate) struct Drop(pub Vec<LabelChoice>);

impl StageRun for Drop {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        let labels = &mut *row.labels;
        for choice in &self.0 {
            let (name, matcher): (&str, Option<&Matcher>) = match choice {
                LabelChoice::Name(name) => (name, None),
                LabelChoice::Match(matcher) => (&matcher.name, Some(matcher)),
            };
            let chosen = |value: &str| matcher.is_none_or(|matcher| matcher.matches(value));
            match name {
                ERROR if chosen(labels.error()) => labels.clear_error(),
                ERROR_DETAILS if chosen(labels.error_details()) => labels.clear_error_details(),
                ERROR | ERROR_DETAILS => {}
                name => {
                    let value = labels.label(name);
                    let there = value.is_some() || matcher.is_some();
                    if there && chosen(value.unwrap_or("")) {
                        labels.delete(name);
                    }
                }
            }
        }
        Outcome::Keep
    }
}
