//! Which range aggregations can be computed from columns alone, and from which.
//!
//! A pipeline qualifies when it is line filters the store can test, at most one plain `| json` or `| logfmt`,
//! and behind it filters on labels, grouped `by` names: each name then is one column of the line and one of structured
//! metadata. Whatever is not certain to give what the row path gives has no plan.

use std::sync::Arc;

use novaobs_logql_parser::{LabelFilter, Stage};
use novaobs_model::Matcher;
use novaobs_model::logs::{Field, FieldSource, LineWanted, LogColumns};

use crate::job::{Job, Keys, Taken};
use crate::leaf::Leaf;
use crate::pushdown::{label_of, leaves};

/// A pipeline over columns.
pub(crate) struct ColumnPlan {
    /// The parser, if there is one.
    pub(crate) parser: Option<FieldSource>,
    /// Labels that are looked at.
    pub(crate) names: Vec<Name>,
    /// Filters, in order.
    pub(crate) tests: Vec<Tree>,
    /// The label that is unwrapped, by its place in `names`, and filters behind it.
    pub(crate) unwrap: Option<(usize, Vec<Tree>)>,
    /// Labels of the result, by their places in `names`; by name.
    pub(crate) keys: Vec<usize>,
    /// What is asked of the store.
    pub(crate) columns: LogColumns,
}

/// A label, and where its values stand.
pub(crate) struct Name {
    /// What it is called.
    pub(crate) name: Arc<str>,
    /// The place of the column of structured metadata among the fields asked.
    pub(crate) metadata: usize,
    /// That of the line's field.
    pub(crate) line: Option<usize>,
}

/// A filter.
pub(crate) enum Tree {
    /// Both.
    And(Box<Tree>, Box<Tree>),
    /// Either.
    Or(Box<Tree>, Box<Tree>),
    /// One label, by its place in the names.
    Leaf(usize, Box<Leaf>),
    /// `__error__`
    Error(Matcher),
}

impl ColumnPlan {
    /// The plan of a job, if columns are certain to do.
    pub(crate) fn of(job: &Job<'_>) -> Option<ColumnPlan> {
        let Keys::By(by) = &job.keys else { return None };
        if !job.pushed.all_lines {
            return None;
        }
        let parser = parser_of(&job.range.log.stages)?;
        let mut plan = ColumnPlan {
            parser,
            names: Vec::new(),
            tests: Vec::new(),
            unwrap: None,
            keys: Vec::new(),
            columns: LogColumns { line_bytes: job.taken == Taken::Bytes, ..LogColumns::default() },
        };
        let mut behind = false;
        for stage in &job.range.log.stages {
            match stage {
                Stage::Json(_) | Stage::Logfmt { .. } => behind = true,
                // The peer's parsers ask earlier filters again about what they extract.
                Stage::Label(_) if parser.is_some() && !behind => return None,
                Stage::Label(filter) => {
                    let tree = plan.tree(filter)?;
                    plan.tests.push(tree);
                }
                _ => {}
            }
        }
        if let Some(unwrap) = &job.range.unwrap {
            let name = plan.name(&unwrap.label)?;
            let mut after = Vec::new();
            for filter in &unwrap.filters {
                after.push(plan.tree(filter)?);
            }
            plan.unwrap = Some((name, after));
        }
        for name in by {
            let name = plan.name(name)?;
            plan.keys.push(name);
        }
        // Nobody reads what the parser finds, so it is not asked to.
        if plan.names.is_empty() && plan.tests.is_empty() {
            plan.parser = None;
        }
        if let Some(source) = plan.parser {
            plan.columns.line = LineWanted::Unless(source);
        } else {
            plan.names.iter_mut().for_each(|name| name.line = None);
        }
        plan.ask();
        Some(plan)
    }

    /// The place of a label among the names; `None` for labels whose origin is not plain from the name.
    fn name(&mut self, name: &str) -> Option<usize> {
        if name.starts_with("__") || name.ends_with("_extracted") {
            return None;
        }
        if let Some(at) = self.names.iter().position(|known| &*known.name == name) {
            return Some(at);
        }
        // Filled in by `ask`.
        self.names.push(Name { name: name.into(), metadata: 0, line: self.parser.map(|_| 0) });
        Some(self.names.len() - 1)
    }

    fn tree(&mut self, filter: &LabelFilter) -> Option<Tree> {
        match filter {
            LabelFilter::And(a, b) => Some(Tree::And(Box::new(self.tree(a)?), Box::new(self.tree(b)?))),
            LabelFilter::Or(a, b) => Some(Tree::Or(Box::new(self.tree(a)?), Box::new(self.tree(b)?))),
            LabelFilter::Text(matcher) if matcher.name == "__error__" => Some(Tree::Error(matcher.clone())),
            leaf => {
                let name = self.name(label_of(leaf))?;
                Some(Tree::Leaf(name, Box::new(Leaf::new(leaf)?)))
            }
        }
    }

    /// Asks for the columns of all names.
    fn ask(&mut self) {
        let mut fields = Vec::new();
        for name in &mut self.names {
            name.metadata = fields.len();
            fields.push(Field { source: FieldSource::Metadata, name: name.name.clone() });
            if let (Some(place), Some(source)) = (&mut name.line, self.parser) {
                *place = fields.len();
                fields.push(Field { source, name: name.name.clone() });
            }
        }
        if let (true, Some(source)) = (fields.is_empty(), self.parser) {
            // Stores say how they read lines only where a field of lines is asked for.
            fields.push(Field { source, name: "__error__".into() });
        }
        self.columns.fields = fields;
    }
}

/// The only parser of the stages (none: there is none); `None` when there is a stage columns cannot do.
fn parser_of(stages: &[Stage]) -> Option<Option<FieldSource>> {
    let mut parser = None;
    for stage in stages {
        let found = match stage {
            Stage::Line(_) => continue,
            Stage::Label(filter) => {
                let mut fine = true;
                leaves(filter, &mut |leaf| fine &= !label_of(leaf).is_empty());
                fine.then_some(())?;
                continue;
            }
            Stage::Json(extractions) if extractions.is_empty() => FieldSource::Json,
            Stage::Logfmt { strict: false, keep_empty: false, extractions } if extractions.is_empty() => {
                FieldSource::Logfmt
            }
            _ => return None,
        };
        if parser.replace(found).is_some() {
            return None;
        }
    }
    Some(parser)
}
