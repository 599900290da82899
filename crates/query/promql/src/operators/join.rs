//! Arithmetic and comparison of two vectors: one to one, or many to one by group_left and group_right.
//!
//! The side that must be unique per match (the "one" side; the right one of two) is held, the other
//! streams past it. Uniqueness is a matter of single steps, so everything is tracked as sets of steps.

use std::collections::{HashMap, VecDeque};

use novaobs_model::{Labels, LabelsBuilder, Lease, METRIC_NAME};
use novaobs_promql_parser::ast::{Binary, BinaryOp, Cardinality, Matching, Span};

use super::binary;
use crate::result::QueryError;
use crate::row::{Row, Timeline};
use crate::run::{Run, Tally};
use crate::steps::Steps;
use crate::stream::{Grouping, Names, Operator, SAME_LABELSET, Stream, drop_name, plain_text};

/// The rows of the one side that share a signature, no two of them present at the same step.
struct Group {
    signature: Labels,
    rows: Vec<Row>,
    /// Where any of `rows` is.
    present: Steps,
    /// Where a row of the many side was matched.
    matched: Steps,
}

/// A result row's claims, to find results with the same labels.
struct Claim {
    group: usize,
    matched: Steps,
    kept: Steps,
}

/// Two rows of the one side with the same signature at the same step.
struct Duplicate {
    group: Labels,
    labels: (Labels, Labels),
}

/// A join.
pub(crate) struct Join<'q> {
    run: &'q Run<'q>,
    one: Stream<'q>,
    many: Stream<'q>,
    op: BinaryOp,
    return_bool: bool,
    matching: &'q Matching,
    span: Span,
    signature: Grouping,
    timeline: Timeline,
    /// Whether the left operand is the one side.
    swapped: bool,
    /// Whether results of different matches can get the same labels.
    check_results: bool,
    prepared: bool,
    groups: Vec<Group>,
    places: HashMap<Labels, usize>,
    duplicates: HashMap<usize, Duplicate>,
    duplicate_steps: Steps,
    claims: HashMap<Labels, Vec<Claim>>,
    many_row: Row,
    many_done: bool,
    ready: VecDeque<Row>,
    memory: Lease,
    tally: Tally<'q>,
}

impl<'q> Join<'q> {
    /// The results of a join; `binary` has matching that is not many-to-many; `left` and `right` are its operands.
    pub(crate) fn stream(
        run: &'q Run<'q>,
        binary: &'q Binary,
        matching: &'q Matching,
        span: Span,
        (left, right): (Stream<'q>, Stream<'q>),
        timeline: Timeline,
    ) -> Result<Stream<'q>, QueryError> {
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (one, many) = if swapped { (left, right) } else { (right, left) };
        let signature =
            if matching.on { Grouping::only(&matching.labels) } else { Grouping::all_but(&matching.labels) };
        let drops_name = binary::drops_name(binary.op, binary.return_bool);
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        let (many_names, many_fragments) = (many.names, many.fragments);
        let matched_labels_only = one_to_one && matching.on && !signature.keeps_metric_name();
        let names = if drops_name || matched_labels_only {
            Names::Dropped
        } else if matching.include.iter().any(|label| label == METRIC_NAME) {
            Names::Mixed
        } else {
            many_names
        };
        // Results keep the labels of the many side, so they are as distinct as those, unless labels are
        // removed or overwritten.
        let distinct = match matching.cardinality {
            Cardinality::OneToOne => !matching.on && matching.labels.is_empty(),
            _ => matching.include.is_empty(),
        };
        let keeps_distinct = distinct && (many_names != Names::Mixed || !drops_name);
        let no_fill = matching.fill_left.is_none() && matching.fill_right.is_none();
        let check_results = !(keeps_distinct && no_fill && !many_fragments);
        // Several rows of the one side may take turns as partners of one row, giving a result in parts.
        let all_labels_match = !matching.on && matching.labels.is_empty();
        let one_partner = all_labels_match && one.names != Names::Mixed && !one.fragments;
        let join = Join {
            run,
            one,
            many,
            op: binary.op,
            return_bool: binary.return_bool,
            matching,
            span,
            signature,
            timeline,
            swapped,
            check_results,
            prepared: false,
            groups: Vec::new(),
            places: HashMap::new(),
            duplicates: HashMap::new(),
            duplicate_steps: Steps::none(timeline.count),
            claims: HashMap::new(),
            many_row: Row::default(),
            many_done: false,
            ready: VecDeque::new(),
            memory: run.memory()?,
            tally: run.tally(),
        };
        Ok(Stream::new(join, names).fragmented(check_results || !one_partner))
    }

    /// The value of a missing sample on the one side and on the many side. With group_right the peer takes
    /// the left value for the right side and the other way round.
    fn fills(&self) -> (Option<f64>, Option<f64>) {
        (self.matching.fill_right, self.matching.fill_left)
    }

    fn hold_one_side(&mut self) -> Result<(), QueryError> {
        let mut row = Row::default();
        while self.one.next(&mut row)? {
            self.run.control.check()?;
            let place = self.place(&row.labels)?;
            let Some(group) = self.groups.get_mut(place) else { continue };
            for earlier in &group.rows {
                let mut both = earlier.present.clone();
                both.intersect(&row.present);
                for step in both.iter() {
                    self.duplicate_steps.insert(step);
                    self.duplicates.entry(step).or_insert_with(|| Duplicate {
                        group: group.signature.clone(),
                        labels: (earlier.labels.clone(), row.labels.clone()),
                    });
                }
            }
            self.memory.grow(row.bytes())?;
            group.present.union(&row.present);
            group.rows.push(std::mem::take(&mut row));
        }
        let fills = self.fills();
        let all = Steps::all(self.timeline.count);
        if fills.0.is_some() || fills.1.is_some() { self.refuse_duplicates(&all) } else { Ok(()) }
    }

    /// The group of a series; a new one if it has none yet.
    fn place(&mut self, labels: &Labels) -> Result<usize, QueryError> {
        let signature = self.signature.apply(labels);
        if let Some(place) = self.places.get(&signature) {
            return Ok(*place);
        }
        let steps = self.timeline.count;
        self.memory.grow((signature.heap_bytes() * 2 + steps / 4 + 200) as u64)?;
        self.places.insert(signature.clone(), self.groups.len());
        let (present, matched) = (Steps::none(steps), Steps::none(steps));
        self.groups.push(Group { signature, rows: Vec::new(), present, matched });
        Ok(self.groups.len() - 1)
    }

    /// Fails if the one side is ambiguous at a step of `steps`: the other side has samples there.
    fn refuse_duplicates(&self, steps: &Steps) -> Result<(), QueryError> {
        let Some(duplicate) =
            self.duplicate_steps.first_common(steps).and_then(|step| self.duplicates.get(&step))
        else {
            return Ok(());
        };
        let side = if self.swapped { "left" } else { "right" };
        let mut texts = [plain_text(&duplicate.labels.0), plain_text(&duplicate.labels.1)];
        texts.sort_unstable();
        Err(QueryError::Execution(format!(
            "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}];\
             many-to-many matching not allowed: matching labels must be unique on one side",
            plain_text(&duplicate.group),
            texts.join(", "),
        )))
    }

    /// Matches the many side's current row, filling `self.ready`.
    fn match_row(&mut self) -> Result<(), QueryError> {
        let row = std::mem::take(&mut self.many_row);
        self.refuse_duplicates(&row.present)?;
        let (fill_one, _) = self.fills();
        let signature = self.signature.apply(&row.labels);
        let place = match self.places.get(&signature) {
            Some(place) => *place,
            None if fill_one.is_some() => self.place(&row.labels)?,
            None => {
                self.many_row = row;
                return Ok(());
            }
        };
        let mut group_rows = match self.groups.get_mut(place) {
            Some(group) => std::mem::take(&mut group.rows),
            None => Vec::new(),
        };
        for partner in &group_rows {
            let mut steps = row.present.clone();
            steps.intersect(&partner.present);
            self.emit(place, &row, partner, steps)?;
        }
        if let Some(fill) = fill_one
            && let Some(group) = self.groups.get(place)
        {
            let mut steps = row.present.clone();
            steps.subtract(&group.present);
            let partner = self.filled(group.signature.clone(), fill);
            self.emit(place, &row, &partner, steps)?;
        }
        if let Some(group) = self.groups.get_mut(place) {
            std::mem::swap(&mut group.rows, &mut group_rows);
        }
        self.many_row = row;
        Ok(())
    }

    /// A stand-in for a missing sample: the labels of the match, one value.
    fn filled(&self, labels: Labels, value: f64) -> Row {
        let mut row = Row::new(labels, self.timeline.count);
        row.values.fill(value);
        row.present.fill();
        row
    }

    /// Applies the operator to two partners at `steps`.
    fn emit(&mut self, place: usize, many: &Row, one: &Row, steps: Steps) -> Result<(), QueryError> {
        if steps.is_empty() {
            return Ok(());
        }
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        if let Some(group) = self.groups.get_mut(place) {
            if one_to_one && group.matched.first_common(&steps).is_some() {
                return Err(QueryError::Execution(
                    "multiple matches for labels: many-to-one matching must be explicit \
                     (group_left/group_right)"
                        .to_owned(),
                ));
            }
            group.matched.union(&steps);
        }
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        if matches!(self.op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
            let op = self.op.as_str();
            self.run.annotate(|notes| notes.incompatible_types("float", op, "float", &self.span));
        }
        let mut out = Row::new(self.result_labels(&many.labels, &one.labels), self.timeline.count);
        out.present.copy_from(&steps);
        combine(self.op, self.return_bool, left, right, &mut out);
        if self.check_results {
            self.claim(place, steps, &out)?;
        }
        if !out.present.is_empty() {
            self.ready.push_back(out);
        }
        Ok(())
    }

    /// Fails if an earlier result has the same labels at a step of this one.
    fn claim(&mut self, group: usize, matched: Steps, out: &Row) -> Result<(), QueryError> {
        let claims = self.claims.entry(out.labels.clone()).or_default();
        for claim in claims.iter() {
            if claim.group == group && claim.matched.first_common(&matched).is_some() {
                return Err(QueryError::Execution(
                    "multiple matches for labels: grouping labels must ensure unique matches".to_owned(),
                ));
            }
            if claim.kept.first_common(&out.present).is_some() {
                return Err(QueryError::Execution(SAME_LABELSET.to_owned()));
            }
        }
        self.memory.grow((out.labels.heap_bytes() + self.timeline.count / 4 + 160) as u64)?;
        claims.push(Claim { group, matched, kept: out.present.clone() });
        Ok(())
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let Matching { cardinality, on, labels, include, .. } = self.matching;
        let drops_name = binary::drops_name(self.op, self.return_bool);
        let named = if drops_name { drop_name(many) } else { many.clone() };
        let base = match cardinality {
            Cardinality::OneToOne => named.without(|name| labels.iter().any(|l| l == name) != *on),
            _ => named,
        };
        if include.is_empty() {
            return base;
        }
        let mut builder = LabelsBuilder::from_labels(&base);
        for name in include {
            builder.set(name, one.value(name));
        }
        builder.build()
    }

    /// After the many side: what of the one side found no partner meets the fill value.
    fn fill_unmatched(&mut self, fill: f64) -> Result<(), QueryError> {
        for place in 0..self.groups.len() {
            let Some(group) = self.groups.get_mut(place) else { continue };
            let (signature, matched) = (group.signature.clone(), group.matched.clone());
            let rows = std::mem::take(&mut group.rows);
            let partner = self.filled(signature, fill);
            for row in &rows {
                let mut steps = row.present.clone();
                steps.subtract(&matched);
                self.emit(place, &partner, row, steps)?;
            }
        }
        Ok(())
    }
}

/// Writes `left op right` at the steps of `out.present`, from which failed comparisons are removed.
fn combine(op: BinaryOp, return_bool: bool, left: &Row, right: &Row, out: &mut Row) {
    let pairs = left.values.iter().zip(&right.values);
    let values = out.values.iter_mut().zip(pairs);
    // The common operators as plain loops over all steps: values of absent steps are ignored anyway.
    match op {
        BinaryOp::Add => values.for_each(|(out, (left, right))| *out = left + right),
        BinaryOp::Sub => values.for_each(|(out, (left, right))| *out = left - right),
        BinaryOp::Mul => values.for_each(|(out, (left, right))| *out = left * right),
        BinaryOp::Div => values.for_each(|(out, (left, right))| *out = left / right),
        _ => {
            let Row { values, present, .. } = out;
            present.retain(|step| {
                let (Some(left), Some(right), Some(out)) =
                    (left.values.get(step), right.values.get(step), values.get_mut(step))
                else {
                    return false;
                };
                let (value, keep) = binary::apply(op, *left, *right).unwrap_or((f64::NAN, false));
                *out = if return_bool { f64::from(u8::from(keep)) } else { value };
                keep || return_bool
            });
        }
    }
}

impl Operator for Join<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        if !self.prepared {
            self.prepared = true;
            self.hold_one_side()?;
        }
        loop {
            if let Some(next) = self.ready.pop_front() {
                *row = next;
                self.tally.add_row(row)?;
                return Ok(true);
            }
            self.run.control.check()?;
            if self.many_done {
                return Ok(false);
            }
            if self.many.next(&mut self.many_row)? {
                self.match_row()?;
                continue;
            }
            self.many_done = true;
            if let (_, Some(fill)) = self.fills() {
                self.fill_unmatched(fill)?;
            }
        }
    }
}
