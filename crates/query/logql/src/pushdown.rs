//! What of a pipeline a store can do: tests of the raw line, exactly, and hints on fields.

use std::sync::Arc;

use novaobs_logql_parser::{CompareOp, LabelFilter, LineFilter, LineOp, LineOperand, Stage};
use novaobs_model::logs::{
    Field, FieldSource, FieldTest, LineMatch, LineTest, LogColumns, LogScan, LogSource, NumberRange,
};
use novaobs_model::select::QueryControl;
use novaobs_model::{GoRegex, MatchOp};

use crate::QueryError;
use crate::column_tests::has_values;
use crate::leaf::{Leaf, Outcome};

/// What the store is asked to test.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    /// Of the raw line.
    pub(crate) lines: Vec<LineTest>,
    /// Of fields.
    pub(crate) fields: Vec<FieldTest>,
    /// Whether `lines` are all the line filters there are, so that lines need not be seen for them.
    pub(crate) all_lines: bool,
}

/// What can be pushed down of a pipeline.
pub(crate) fn pushed(stages: &[Stage]) -> Pushed {
    let mut pushed = Pushed { all_lines: true, ..Pushed::default() };
    let mut hints = Some(Hints { source: FieldSource::Metadata });
    let mut raw = true;
    for stage in stages {
        match stage {
            Stage::Line(filter) => match line_test(filter).filter(|_| raw) {
                Some(test) => pushed.lines.push(test),
                None => pushed.all_lines = false,
            },
            Stage::Json(extractions) if extractions.is_empty() => parser(&mut hints, FieldSource::Json),
            Stage::Logfmt { strict: false, keep_empty: false, extractions } if extractions.is_empty() => {
                parser(&mut hints, FieldSource::Logfmt)
            }
            Stage::Label(filter) => {
                if let Some(hints) = &mut hints {
                    hints.collect(filter, &mut pushed.fields);
                }
            }
            Stage::LineFormat(_) | Stage::Unpack => {
                raw = false;
                hints = None;
            }
            Stage::Decolorize => raw = false,
            _ => hints = None,
        }
    }
    pushed
}

/// Behind a parser, names are fields of the line; behind two, it is not known of which reading.
fn parser(hints: &mut Option<Hints>, source: FieldSource) {
    match hints {
        Some(hints) if hints.source == FieldSource::Metadata => hints.source = source,
        _ => *hints = None,
    }
}

/// Collects hints behind a parser, or before there is one.
struct Hints {
    source: FieldSource,
}

impl Hints {
    fn collect(&mut self, filter: &LabelFilter, out: &mut Vec<FieldTest>) {
        if let LabelFilter::And(left, right) = filter {
            self.collect(left, out);
            self.collect(right, out);
            return;
        }
        let mut names = Vec::new();
        leaves(filter, &mut |leaf| names.push(label_of(leaf)));
        let Some(name) = names.first().filter(|name| names.iter().all(|other| other == *name)) else {
            return;
        };
        if name.starts_with("__") || name.ends_with("_extracted") {
            return;
        }
        let Some(tree) = SingleName::build(filter) else { return };
        out.push(FieldTest {
            field: Field { source: self.source, name: Arc::from(*name) },
            one_of: one_of(filter),
            range: range(filter),
            accepts: Arc::new(move |value| tree.outcome(value) != Outcome::Drop),
        });
    }
}

/// A filter of one label, whatever it is called.
enum SingleName {
    And(Box<SingleName>, Box<SingleName>),
    Or(Box<SingleName>, Box<SingleName>),
    Leaf(Leaf),
}

impl SingleName {
    fn build(filter: &LabelFilter) -> Option<Self> {
        Some(match filter {
            LabelFilter::And(a, b) => {
                SingleName::And(Box::new(SingleName::build(a)?), Box::new(SingleName::build(b)?))
            }
            LabelFilter::Or(a, b) => {
                SingleName::Or(Box::new(SingleName::build(a)?), Box::new(SingleName::build(b)?))
            }
            leaf => SingleName::Leaf(Leaf::new(leaf)?),
        })
    }

    fn outcome(&self, value: Option<&str>) -> Outcome {
        match self {
            SingleName::And(a, b) => match a.outcome(value) {
                Outcome::Keep => b.outcome(value),
                Outcome::Drop => Outcome::Drop,
                // What is kept for its failure may still be left out by a test of text.
                Outcome::Fail => match b.outcome(value) {
                    Outcome::Drop => Outcome::Drop,
                    _ => Outcome::Fail,
                },
            },
            SingleName::Or(a, b) => match a.outcome(value) {
                Outcome::Drop => b.outcome(value),
                kept => kept,
            },
            SingleName::Leaf(leaf) => leaf.outcome(value),
        }
    }
}

/// Calls `each` with the filters of one label that a filter is made of.
pub(crate) fn leaves<'a>(filter: &'a LabelFilter, each: &mut impl FnMut(&'a LabelFilter)) {
    match filter {
        LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
            leaves(a, each);
            leaves(b, each);
        }
        leaf => each(leaf),
    }
}

/// The label a leaf tests; empty for others.
pub(crate) fn label_of(leaf: &LabelFilter) -> &str {
    match leaf {
        LabelFilter::Text(matcher) => &matcher.name,
        LabelFilter::Number { label, .. }
        | LabelFilter::Duration { label, .. }
        | LabelFilter::Bytes { label, .. }
        | LabelFilter::Ip { label, .. } => label,
        LabelFilter::And(..) | LabelFilter::Or(..) => "",
    }
}

/// The only values that pass, when they can be listed.
fn one_of(filter: &LabelFilter) -> Option<Vec<Arc<str>>> {
    match filter {
        // Expressions of label filters may find what they look for anywhere in the value.
        LabelFilter::Text(matcher) if matcher.op == MatchOp::Equal && !matcher.value.is_empty() => {
            Some(vec![matcher.value.as_str().into()])
        }
        LabelFilter::Or(a, b) => {
            let mut all = one_of(a)?;
            all.extend(one_of(b)?);
            Some(all)
        }
        _ => None,
    }
}

/// The numbers that pass.
fn range(filter: &LabelFilter) -> Option<NumberRange> {
    let LabelFilter::Number { op, value, .. } = filter else { return None };
    if value.is_nan() {
        return None;
    }
    let (least, most) = ((f64::NEG_INFINITY, true), (f64::INFINITY, true));
    let (low, high, outside) = match op {
        CompareOp::Equal => ((*value, true), (*value, true), false),
        CompareOp::NotEqual => ((*value, true), (*value, true), true),
        CompareOp::Greater => ((*value, false), most, false),
        CompareOp::GreaterOrEqual => ((*value, true), most, false),
        CompareOp::Less => (least, (*value, false), false),
        CompareOp::LessOrEqual => (least, (*value, true), false),
    };
    Some(NumberRange { low, high, outside })
}

/// A line filter as the store tests it; `None` when it cannot, exactly.
fn line_test(filter: &LineFilter) -> Option<LineTest> {
    let (negated, expressions) = match filter.op {
        LineOp::Contains => (false, false),
        LineOp::NotContains => (true, false),
        LineOp::Matches => (false, true),
        LineOp::NotMatches => (true, true),
        LineOp::Pattern | LineOp::NotPattern => return None,
    };
    let mut any = Vec::with_capacity(filter.any.len());
    for operand in &filter.any {
        let LineOperand::Text(text) = operand else { return None };
        // What an empty text means is the pipeline's to say.
        if text.is_empty() {
            return None;
        }
        any.push(if expressions {
            LineMatch::Regex(GoRegex::new(&format!("(?-s:{text})")).ok()?)
        } else {
            LineMatch::Text(text.as_str().into())
        });
    }
    (!any.is_empty()).then_some(LineTest { any, negated })
}

/// Takes away hints on names that a stream of the scan or structured metadata have too: those come first in
/// LogQL, and then it is not the line's field that a filter tests. Of hints on fields of lines only those
/// stay that name values or a range; for others it does not pay to find out.
pub(crate) fn keep_sure_hints(
    source: &dyn LogSource,
    scan: &mut LogScan,
    control: &QueryControl,
) -> Result<(), QueryError> {
    let of_metadata = |test: &FieldTest| test.field.source == FieldSource::Metadata;
    scan.fields.retain(|test| of_metadata(test) || test.one_of.is_some() || test.range.is_some());
    if scan.fields.is_empty() {
        return Ok(());
    }
    let matchers = [scan.matchers.clone()];
    let fields = &mut scan.fields;
    source.streams(&scan.tenant, &matchers, scan.start, scan.end, control, &mut |labels, _| {
        fields.retain(|test| labels.get(&test.field.name).is_none());
    })?;
    let mut sure = Vec::with_capacity(scan.fields.len());
    for test in std::mem::take(&mut scan.fields) {
        if of_metadata(&test) || !is_in_metadata(source, scan, &test.field.name, control)? {
            sure.push(test);
        }
    }
    scan.fields = sure;
    Ok(())
}

/// Whether a row of the scan has structured metadata of this name.
fn is_in_metadata(
    source: &dyn LogSource,
    scan: &LogScan,
    name: &Arc<str>,
    control: &QueryControl,
) -> Result<bool, QueryError> {
    let field = Field { source: FieldSource::Metadata, name: name.clone() };
    let test = FieldTest {
        field: field.clone(),
        accepts: Arc::new(|value| value.is_some()),
        one_of: None,
        range: None,
    };
    let columns = LogColumns { fields: vec![field], ..LogColumns::default() };
    let probe = LogScan { lines: Vec::new(), fields: vec![test], columns, ..scan.clone() };
    let mut cursor = source.scan(&probe, control)?;
    while let Some(batch) = cursor.next()? {
        control.check().map_err(|stop| QueryError::Select(stop.into()))?;
        if batch.fields.iter().any(has_values) {
            return Ok(true);
        }
    }
    Ok(false)
}
