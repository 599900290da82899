//! Tree to text: the one-line form, as the peer prints it.
//!
//! What is printed parses to the same tree, except where the peer's form loses something: byte counts
//! (`5.1kB`) and the argument of `vector` (six decimals) lose digits; groupings and matchings by nothing go
//! away; infinite and undefined numbers, and names that are not ASCII, have no form that can be read; a line
//! filter with `!=` or `!~` behind `drop a` or `keep a` reads as that label's condition.

use std::fmt::{self, Display, Formatter};

use crate::ast::{
    BinaryExpr, Expr, Extraction, FormatValue, Grouping, LabelChoice, LabelFilter, LabelFormat, LineFilter,
    LineOperand, LogExpr, LogRange, Matching, RangeAggregation, SampleExpr, Stage, Unwrap, VectorAggregation,
};
use crate::literal::{format_bytes, format_compact, format_duration, format_plain, format_window};
use crate::raw_regex::is_comparisons;
use novaobs_model::labels::go_quote;
use novaobs_model::{MatchOp, Matcher};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Log(log) => log.fmt(f),
            Expr::Sample(sample) => sample.fmt(f),
        }
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        list(f, &self.matchers, ", ")?;
        f.write_str("}")?;
        for stage in &self.stages {
            write!(f, " {stage}")?;
        }
        Ok(())
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Line(filter) => filter.fmt(f),
            Stage::Json(extractions) => {
                f.write_str("| json")?;
                after_space(f, extractions)
            }
            Stage::Logfmt { strict, keep_empty, extractions } => {
                f.write_str("| logfmt")?;
                if *strict {
                    f.write_str(" --strict")?;
                }
                if *keep_empty {
                    f.write_str(" --keep-empty")?;
                }
                after_space(f, extractions)
            }
            Stage::Regexp(source) => write!(f, "| regexp {}", go_quote(source)),
            Stage::Pattern(source) => write!(f, "| pattern {}", go_quote(source)),
            Stage::Unpack => f.write_str("| unpack"),
            Stage::Label(filter) => write!(f, "| {filter}"),
            Stage::LineFormat(template) => write!(f, "| line_format {}", go_quote(template)),
            Stage::LabelFormat(formats) => {
                f.write_str("| label_format")?;
                after_space(f, formats)
            }
            Stage::Decolorize => f.write_str("| decolorize"),
            Stage::Drop(choices) => {
                f.write_str("| drop")?;
                after_space(f, choices)
            }
            Stage::Keep(choices) => {
                f.write_str("| keep")?;
                after_space(f, choices)
            }
            Stage::Distinct(labels) => {
                f.write_str("| distinct")?;
                after_space(f, labels)
            }
        }
    }
}

impl Display for LineFilter {
    /// Operands of a negated operator are a filter each.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let op = self.op.name();
        for (nth, operand) in self.any.iter().enumerate() {
            match (nth, self.op.is_negated()) {
                (0, _) => write!(f, "{op} {operand}")?,
                (_, false) => write!(f, " or {operand}")?,
                (_, true) => write!(f, " {op} {operand}")?,
            }
        }
        Ok(())
    }
}

impl Display for LineOperand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LineOperand::Text(text) => f.write_str(&go_quote(text)),
            LineOperand::Ip(pattern) => write!(f, "ip({})", go_quote(pattern)),
        }
    }
}

impl Display for Extraction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.label, go_quote(&self.path))
    }
}

impl Display for LabelFormat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.value {
            FormatValue::Rename(from) => write!(f, "{}={from}", self.label),
            FormatValue::Template(template) => write!(f, "{}={}", self.label, go_quote(template)),
        }
    }
}

impl Display for LabelChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LabelChoice::Name(name) => f.write_str(name),
            LabelChoice::Match(matcher) => matcher.fmt(f),
        }
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LabelFilter::And(left, right) => write!(f, "( {left} , {right} )"),
            LabelFilter::Or(left, right) => write!(f, "( {left} or {right} )"),
            LabelFilter::Text(Matcher { name, op: MatchOp::Match, value, .. })
                if !value.contains(['`', '\r']) && !is_comparisons(value) =>
            {
                write!(f, "{name}=~`{value}`")
            }
            LabelFilter::Text(matcher) => matcher.fmt(f),
            LabelFilter::Number { label, op, value } => {
                write!(f, "{label}{}{}", op.name(), format_plain(*value))
            }
            LabelFilter::Duration { label, op, nanos } => {
                write!(f, "{label}{}{}", op.name(), format_duration(*nanos))
            }
            LabelFilter::Bytes { label, op, bytes } => {
                write!(f, "{label}{}{}", op.name(), format_bytes(*bytes))
            }
            LabelFilter::Ip { label, negated, pattern } => {
                write!(f, "{label}{}ip({})", if *negated { "!=" } else { "=" }, go_quote(pattern))
            }
        }
    }
}

impl Display for SampleExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            SampleExpr::Range(range) => range.fmt(f),
            SampleExpr::Vector(vector) => vector.fmt(f),
            SampleExpr::Binary(binary) => binary.fmt(f),
            SampleExpr::Literal(value) => f.write_str(&format_compact(*value)),
            SampleExpr::VectorFn(value) => write!(f, "vector({value:.6})"),
            SampleExpr::LabelReplace { inner, dst, replacement, src, regex } => {
                let [dst, replacement, src, regex] =
                    [dst, replacement, src, regex].map(|text| go_quote(text));
                write!(f, "label_replace({inner},{dst},{replacement},{src},{regex})")
            }
        }
    }
}

impl Display for RangeAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op.name())?;
        if let Some(parameter) = self.parameter {
            write!(f, "{},", format_plain(parameter))?;
        }
        write!(f, "{})", self.range)?;
        match &self.grouping {
            Some(grouping) => write!(f, " {grouping}"),
            None => Ok(()),
        }
    }
}

impl Display for LogRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.log.fmt(f)?;
        if let Some(unwrap) = &self.unwrap {
            write!(f, " {unwrap}")?;
        }
        write!(f, "[{}]", format_window(self.window))?;
        if self.offset != 0 {
            write!(f, " offset {}", format_duration(self.offset))?;
        }
        Ok(())
    }
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.conversion.name() {
            Some(conversion) => write!(f, "| unwrap {conversion}({})", self.label)?,
            None => write!(f, "| unwrap {}", self.label)?,
        }
        for filter in &self.filters {
            write!(f, " | {filter}")?;
        }
        Ok(())
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.without { "without (" } else { "by (" })?;
        list(f, &self.labels, ",")?;
        f.write_str(")")
    }
}

impl Grouping {
    /// `by ()`: what is not written when a vector aggregation prints.
    pub(crate) fn is_by_nothing(&self) -> bool {
        !self.without && self.labels.is_empty()
    }
}

impl Display for VectorAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.name())?;
        if let Some(grouping) = self.grouping.as_ref().filter(|grouping| !grouping.is_by_nothing()) {
            write!(f, " {grouping}")?;
        }
        match self.parameter {
            Some(parameter) => write!(f, "({parameter},{})", self.inner),
            None => write!(f, "({})", self.inner),
        }
    }
}

impl Display for BinaryExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let right = self.right.to_string();
        write!(f, "({} {} {right})", self.left, operator(self, ",", &right))
    }
}

/// The operator with its modifiers; `separator` stands between labels, `right` is what follows.
pub(crate) fn operator(binary: &BinaryExpr, separator: &str, right: &str) -> String {
    let mut text = binary.op.name().to_owned();
    if binary.return_bool {
        text.push_str(" bool");
    }
    // `ignoring ()` is the default, and the peer forgets its `group_left` in print.
    let shown = |matching: &&Matching| matching.on || !matching.labels.is_empty();
    if let Some(matching) = binary.matching.as_ref().filter(shown) {
        let keyword = if matching.on { "on" } else { "ignoring" };
        text.push_str(&format!(" {keyword} ({}) ", matching.labels.join(separator)));
        if let Some(group) = &matching.group {
            text.push_str(if group.left { "group_left" } else { "group_right" });
            // A parenthesis of the right side would be taken for labels, which the peer overlooks.
            if !group.include.is_empty() || right.starts_with('(') {
                text.push_str(&format!(" ({})", group.include.join(separator)));
            }
        }
    }
    text
}

/// The items with a space in front, or nothing.
fn after_space<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    f.write_str(" ")?;
    list(f, items, ",")
}

fn list<T: Display>(f: &mut Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (nth, item) in items.iter().enumerate() {
        if nth > 0 {
            f.write_str(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}
