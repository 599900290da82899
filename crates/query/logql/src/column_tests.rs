//! Filters over columns: what each row of a batch comes to.

use novaobs_model::logs::{LogBatch, TextColumn};

use crate::columns::{ColumnPlan, Tree};
use crate::leaf::{Leaf, Outcome, decimal};

/// How far a row has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Left out, or not for columns.
    Gone,
    /// Through, so far.
    Fine,
    /// Through, with `__error__="LabelFilterErr"`.
    FilterFailed,
    /// Through, with `__error__="SampleExtractionErr"`.
    UnwrapFailed,
}

impl State {
    fn error(self) -> &'static str {
        match self {
            State::Gone | State::Fine => "",
            State::FilterFailed => "LabelFilterErr",
            State::UnwrapFailed => "SampleExtractionErr",
        }
    }
}

/// A batch as a plan sees it.
pub(crate) struct View<'b> {
    plan: &'b ColumnPlan,
    batch: &'b LogBatch,
    /// For each name, whether any row has it in structured metadata.
    in_metadata: Vec<bool>,
    /// Likewise in the line.
    in_line: Vec<bool>,
}

impl<'b> View<'b> {
    pub(crate) fn new(plan: &'b ColumnPlan, batch: &'b LogBatch) -> Self {
        let any = |place: usize| batch.fields.get(place).is_some_and(has_values);
        View {
            plan,
            batch,
            in_metadata: plan.names.iter().map(|name| any(name.metadata)).collect(),
            in_line: plan.names.iter().map(|name| name.line.is_some_and(any)).collect(),
        }
    }

    /// The column of structured metadata with a name, when it has values.
    pub(crate) fn metadata(&self, name: usize) -> Option<&'b TextColumn> {
        let there = self.in_metadata.get(name).copied().unwrap_or(false);
        self.batch.fields.get(self.plan.names.get(name)?.metadata).filter(|_| there)
    }

    /// The column of the lines' field with a name, when it has values.
    pub(crate) fn line(&self, name: usize) -> Option<&'b TextColumn> {
        let there = self.in_line.get(name).copied().unwrap_or(false);
        self.batch.fields.get(self.plan.names.get(name)?.line?).filter(|_| there)
    }

    /// Runs filters over rows. `None` when one meets a row that only the row path can tell.
    pub(crate) fn run(&self, tests: &[Tree], states: &mut [State]) -> Option<()> {
        for test in tests {
            let outcomes = self.tree(test, states)?;
            for (state, outcome) in states.iter_mut().zip(outcomes) {
                match (*state, outcome) {
                    (State::Gone, _) | (_, Outcome::Keep) => {}
                    (_, Outcome::Drop) => *state = State::Gone,
                    // An earlier error says more.
                    (State::UnwrapFailed, Outcome::Fail) => {}
                    (_, Outcome::Fail) => *state = State::FilterFailed,
                }
            }
        }
        Some(())
    }

    fn tree(&self, tree: &Tree, states: &[State]) -> Option<Vec<Outcome>> {
        match tree {
            Tree::Leaf(name, leaf) => self.leaf(*name, leaf, states),
            Tree::Error(matcher) => {
                let outcome = |state: &State| match matcher.matches(state.error()) {
                    true => Outcome::Keep,
                    false => Outcome::Drop,
                };
                Some(states.iter().map(outcome).collect())
            }
            Tree::And(a, b) => {
                let mut left = self.tree(a, states)?;
                let right = self.tree(b, &after(states, &left, Outcome::Drop))?;
                for (left, right) in left.iter_mut().zip(right) {
                    match (*left, right) {
                        (Outcome::Drop, _) | (_, Outcome::Keep) => {}
                        (_, right) => *left = right,
                    }
                }
                Some(left)
            }
            Tree::Or(a, b) => {
                let mut left = self.tree(a, states)?;
                let mut open = states.to_vec();
                for (state, left) in open.iter_mut().zip(&left) {
                    if *left != Outcome::Drop {
                        *state = State::Gone;
                    }
                }
                let right = self.tree(b, &open)?;
                for (left, right) in left.iter_mut().zip(right) {
                    if *left == Outcome::Drop {
                        *left = right;
                    }
                }
                Some(left)
            }
        }
    }

    fn leaf(&self, name: usize, leaf: &Leaf, states: &[State]) -> Option<Vec<Outcome>> {
        let absent = leaf.outcome(None);
        let mut out = vec![absent; states.len()];
        if let Some(column) = self.line(name) {
            test_column(leaf, column, states, &mut out)?;
        }
        if let Some(column) = self.metadata(name) {
            test_column(leaf, column, states, &mut out)?;
        }
        let name = &self.plan.names.get(name)?.name;
        let mut row = 0;
        for run in &self.batch.streams {
            if let Some(value) = run.labels.get(name) {
                let outcome = leaf.outcome(Some(value));
                out.get_mut(row..row + run.rows)?.fill(outcome);
            }
            row += run.rows;
        }
        Some(out)
    }

    /// The unwrapped value of each row that is not gone; rows without the label go. `None` when a row is
    /// met that only the row path can tell.
    pub(crate) fn unwrap(
        &self,
        name: usize,
        convert: &dyn Fn(&str) -> Option<f64>,
        plain: bool,
        states: &mut [State],
    ) -> Option<Vec<f64>> {
        let mut out = Unwrapped { values: vec![0.0; states.len()], found: vec![false; states.len()] };
        // A label that stands in two places is for the row path.
        let label = &self.plan.names.get(name)?.name;
        if self.batch.streams.iter().any(|run| run.labels.get(label).is_some()) {
            return None;
        }
        match (self.metadata(name), self.line(name)) {
            (Some(_), Some(_)) => return None,
            (Some(column), None) | (None, Some(column)) => out.take(column, convert, plain, states)?,
            (None, None) => {}
        }
        for (state, found) in states.iter_mut().zip(out.found) {
            if !found {
                *state = State::Gone;
            }
        }
        Some(out.values)
    }
}

/// Values of rows, and which rows have one or failed to.
struct Unwrapped {
    values: Vec<f64>,
    found: Vec<bool>,
}

impl Unwrapped {
    /// Notes what a row's text was converted to.
    fn put(&mut self, row: usize, value: Option<f64>, states: &mut [State]) -> Option<()> {
        *self.found.get_mut(row)? = true;
        match value {
            Some(value) => *self.values.get_mut(row)? = value,
            None => *states.get_mut(row)? = State::UnwrapFailed,
        }
        Some(())
    }

    /// Converts a column; an empty text is as good as none. `None` when a code has no value in the
    /// dictionary.
    fn take(
        &mut self,
        column: &TextColumn,
        convert: &dyn Fn(&str) -> Option<f64>,
        plain: bool,
        states: &mut [State],
    ) -> Option<()> {
        match column {
            TextColumn::Dictionary { codes, values } => {
                let mut known: Vec<Option<Option<f64>>> = vec![None; values.len()];
                for (row, code) in codes.iter().enumerate() {
                    if *code == TextColumn::ABSENT || states.get(row) == Some(&State::Gone) {
                        continue;
                    }
                    let text = values.get(*code as usize);
                    if text.is_empty() {
                        continue;
                    }
                    let value = *known.get_mut(*code as usize)?.get_or_insert_with(|| convert(text));
                    self.put(row, value, states)?;
                }
            }
            TextColumn::Decimal { present, mantissas, scale } if plain => {
                let mut scratch = String::new();
                for (row, mantissa) in mantissas.iter().enumerate() {
                    if states.get(row) == Some(&State::Gone) {
                        continue;
                    }
                    if present.get(row) == Some(&false) {
                        continue;
                    }
                    let value = match decimal(*mantissa, *scale) {
                        Some(value) => Some(value),
                        None => column.get(row, &mut scratch).and_then(convert),
                    };
                    self.put(row, value, states)?;
                }
            }
            other => {
                let mut scratch = String::new();
                for row in 0..other.len() {
                    if states.get(row) == Some(&State::Gone) {
                        continue;
                    }
                    match other.get(row, &mut scratch) {
                        None | Some("") => {}
                        Some(text) => {
                            let value = convert(text);
                            self.put(row, value, states)?;
                        }
                    }
                }
            }
        }
        Some(())
    }
}

/// The states in which the right side of an `and` is asked.
fn after(states: &[State], left: &[Outcome], gone: Outcome) -> Vec<State> {
    let next = |(state, outcome): (&State, &Outcome)| match (*state, *outcome) {
        (State::Gone, _) => State::Gone,
        (_, outcome) if outcome == gone => State::Gone,
        (State::Fine, Outcome::Fail) => State::FilterFailed,
        (state, _) => state,
    };
    states.iter().zip(left).map(next).collect()
}

/// Writes the outcome of each row that has a value. `None` when a code has no value in the dictionary.
fn test_column(leaf: &Leaf, column: &TextColumn, states: &[State], out: &mut [Outcome]) -> Option<()> {
    match column {
        TextColumn::Dictionary { codes, values } => {
            let mut known: Vec<Option<Outcome>> = vec![None; values.len()];
            for ((code, out), state) in codes.iter().zip(out).zip(states) {
                if *code == TextColumn::ABSENT || *state == State::Gone {
                    continue;
                }
                let known = known.get_mut(*code as usize)?;
                *out = match *known {
                    Some(outcome) => outcome,
                    None => *known.insert(leaf.outcome(Some(values.get(*code as usize)))),
                };
            }
        }
        TextColumn::Decimal { present, mantissas, scale } => {
            let mut scratch = String::new();
            for (row, (mantissa, out)) in mantissas.iter().zip(out).enumerate() {
                if present.get(row) == Some(&false) || states.get(row) == Some(&State::Gone) {
                    continue;
                }
                let quick = decimal(*mantissa, *scale).and_then(|number| leaf.number_outcome(number));
                *out = match quick {
                    Some(outcome) => outcome,
                    None => {
                        scratch.clear();
                        novaobs_model::logs::batch::write_decimal(&mut scratch, *mantissa, *scale);
                        leaf.outcome(Some(&scratch))
                    }
                };
            }
        }
        TextColumn::Plain { present, values } => {
            for (row, out) in out.iter_mut().enumerate() {
                if present.get(row) == Some(&false) || states.get(row) == Some(&State::Gone) {
                    continue;
                }
                *out = leaf.outcome(Some(values.get(row)));
            }
        }
    }
    Some(())
}

/// Whether any row has a value.
pub(crate) fn has_values(column: &TextColumn) -> bool {
    match column {
        TextColumn::Dictionary { codes, .. } => codes.iter().any(|code| *code != TextColumn::ABSENT),
        TextColumn::Plain { present, values } => {
            !values.is_empty() && (present.is_empty() || present.contains(&true))
        }
        TextColumn::Decimal { present, mantissas, .. } => {
            !mantissas.is_empty() && (present.is_empty() || present.contains(&true))
        }
    }
}
