//! Rule files: reading them strictly, and what is worth a remark.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use novaobs_config::{ConfigError, Cursor, Document, Loaded, UnknownKeys, value};
use novaobs_model::{Labels, LabelsBuilder, METRIC_NAME};
use novaobs_template::functions::prometheus;
use novaobs_template::{MissingKey, Template};

use crate::language::Language;
use crate::text;

/// One rule file.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleFile {
    /// Its name as given.
    pub path: String,
    /// Its groups in order.
    pub groups: Vec<GroupDef>,
}

/// A group of rules as written.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupDef {
    /// Unique within the file.
    pub name: String,
    /// Between evaluations; the global one when absent.
    pub interval: Option<Duration>,
    /// How far behind the clock expressions are evaluated; the global one when absent.
    pub query_offset: Option<Duration>,
    /// Most series or alerts a rule may give; 0: any number.
    pub limit: usize,
    /// The rules in order.
    pub rules: Vec<RuleDef>,
}

/// A rule as written, the labels of its group merged in.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleDef {
    /// What it makes.
    pub kind: RuleKind,
    /// The expression.
    pub expr: String,
    /// Labels it sets; templates in alerting rules.
    pub labels: Labels,
}

/// What a rule makes of its expression.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleKind {
    /// A series of this name.
    Record(String),
    /// Alerts.
    Alert(AlertDef),
}

/// The part of a rule that only alerts have.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertDef {
    /// The value of `alertname`.
    pub name: String,
    /// How long the expression must hold before the alert fires.
    pub hold: Duration,
    /// How long the alert goes on firing after the expression ceased to hold.
    pub keep_firing_for: Duration,
    /// Templates of what the alert says.
    pub annotations: Labels,
}

impl RuleDef {
    /// The name of the series or of the alert.
    pub fn name(&self) -> &str {
        match &self.kind {
            RuleKind::Record(name) => name,
            RuleKind::Alert(alert) => &alert.name,
        }
    }
}

/// Reads and checks a rule file.
///
/// # Errors
/// Every fault of the file, with its place.
pub fn load(path: &Path, language: &dyn Language) -> Result<Loaded<RuleFile>, ConfigError> {
    read(Document::load(path)?, &path.to_string_lossy(), language)
}

/// [`load`] for a text that is already here.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &str, text: &str, language: &dyn Language) -> Result<Loaded<RuleFile>, ConfigError> {
    read(Document::parse(path, text)?, path, language)
}

fn read(document: Document, path: &str, language: &dyn Language) -> Result<Loaded<RuleFile>, ConfigError> {
    document.read(UnknownKeys::Refuse, |at| {
        let mut map = at.mapping();
        let mut names = BTreeSet::new();
        let groups = map.list("groups", |at| group(at, language, &mut names));
        map.finish();
        Some(RuleFile { path: path.to_owned(), groups })
    })
}

fn group(at: &Cursor<'_>, language: &dyn Language, names: &mut BTreeSet<String>) -> Option<GroupDef> {
    let mut map = at.mapping();
    let name = map.or("name", value::string, String::new());
    if name.is_empty() {
        at.error::<()>("Groupname must not be empty");
    }
    if !names.insert(name.clone()) {
        at.error::<()>(format!("groupname: \"{name}\" is repeated in the same file"));
    }
    let interval = map.optional("interval", value::duration).filter(|interval| !interval.is_zero());
    let query_offset = map.optional("query_offset", value::duration);
    let limit = map.or("limit", value::usize, 0);
    let labels = map.or("labels", |at| pairs(at, "label", ""), Vec::new());
    let mut number = 0;
    let rules = map.list("rules", |at| {
        number += 1;
        rule(at, language, &name, number, &labels)
    });
    map.finish();
    Some(GroupDef { name, interval, query_offset, limit, rules })
}

/// Where a rule's errors say they are.
struct Place<'a> {
    group: &'a str,
    number: usize,
    name: String,
}

impl Place<'_> {
    fn error(&self, at: &Cursor<'_>, message: impl std::fmt::Display) {
        let quote = novaobs_model::labels::go_quote;
        at.error::<()>(format!(
            "group {}, rule {}, {}: {message}",
            quote(self.group),
            self.number,
            quote(&self.name)
        ));
    }
}

fn rule(
    at: &Cursor<'_>,
    language: &dyn Language,
    group: &str,
    number: usize,
    group_labels: &[(String, String)],
) -> Option<RuleDef> {
    let mut map = at.mapping();
    let written = |key: &str| at.node().get(key).is_some();
    let record_at = map.take("record");
    let alert_at = map.take("alert");
    let expr_at = map.take("expr");
    let text_at = |cursor: &Option<Cursor<'_>>| cursor.as_ref().and_then(value::string).unwrap_or_default();
    let (record, alert, expr) = (text_at(&record_at), text_at(&alert_at), text_at(&expr_at));
    let hold = map.or("for", value::duration, Duration::ZERO);
    let keep_firing_for = map.or("keep_firing_for", value::duration, Duration::ZERO);
    let name = if alert.is_empty() { record.clone() } else { alert.clone() };
    let place = Place { group, number, name };
    let prefix = format!(
        "group {}, rule {number}, {}: ",
        novaobs_model::labels::go_quote(group),
        novaobs_model::labels::go_quote(&place.name)
    );
    let own_labels = map.or("labels", |at| pairs(at, "label", &prefix), Vec::new());
    let annotations = map.or("annotations", |at| pairs(at, "annotation", &prefix), Vec::new());
    map.finish();

    let name_at = record_at.as_ref().or(alert_at.as_ref()).unwrap_or(at);
    match (record.is_empty(), alert.is_empty()) {
        (false, false) => place.error(name_at, "only one of 'record' and 'alert' must be set"),
        (true, true) => place.error(name_at, "one of 'record' or 'alert' must be set"),
        _ => {}
    }
    let expr_place = expr_at.as_ref().unwrap_or(at);
    if expr.is_empty() {
        place.error(expr_place, "field 'expr' must be set in rule");
    } else if let Err(error) = language.compile(&expr) {
        place.error(expr_place, format_args!("could not parse expression: {error}"));
    }
    if !record.is_empty() {
        let forbid = |key: &str, given: bool| {
            if given {
                place.error(name_at, format_args!("invalid field '{key}' in recording rule"));
            }
        };
        forbid("annotations", !annotations.is_empty());
        forbid("for", !hold.is_zero() && written("for"));
        forbid("keep_firing_for", !keep_firing_for.is_zero() && written("keep_firing_for"));
        if record.contains(['{', '}']) {
            let message = "braces present in the recording rule name; should it be in expr?";
            place.error(name_at, format_args!("{message}: {record}"));
        }
    }
    if !alert.is_empty() {
        check_templates(at, &place, "label", &own_labels);
        check_templates(at, &place, "annotation", &annotations);
    }

    let mut labels = LabelsBuilder::new();
    for (name, value) in group_labels.iter().chain(&own_labels) {
        labels.set(name, value);
    }
    let kind = if alert.is_empty() {
        RuleKind::Record(record)
    } else {
        let annotations = Labels::from_pairs(annotations);
        RuleKind::Alert(AlertDef { name: alert, hold, keep_firing_for, annotations })
    };
    Some(RuleDef { kind, expr, labels: labels.build() })
}

/// A mapping of names to texts; `what` is `label` or `annotation`.
fn pairs(at: &Cursor<'_>, what: &str, prefix: &str) -> Option<Vec<(String, String)>> {
    let mut all = Vec::new();
    for (name, cursor) in at.entries()? {
        if name.is_empty() || (what == "label" && name == METRIC_NAME) {
            cursor.error::<()>(format!("{prefix}invalid {what} name: {name}"));
        }
        all.push((name.to_owned(), value::string(&cursor)?));
    }
    Some(all)
}

fn check_templates(at: &Cursor<'_>, place: &Place<'_>, what: &str, templates: &[(String, String)]) {
    let parser = Template::new(prometheus::functions(&text::no_context()), MissingKey::Zero);
    for (name, template) in templates {
        if let Err(error) = text::check(&parser, &place.name, template) {
            let field = at.node().get(if what == "label" { "labels" } else { "annotations" });
            let cursor = at
                .entries()
                .into_iter()
                .flatten()
                .find(|(_, c)| field.is_some_and(|f| std::ptr::eq(f, c.node())));
            let inner = cursor
                .and_then(|(_, c)| c.entries()?.into_iter().find(|(key, _)| key == name).map(|(_, c)| c));
            let name = novaobs_model::labels::go_quote(name);
            place.error(inner.as_ref().unwrap_or(at), format_args!("{what} {name}: {error}"));
        }
    }
}

/// Rules of the same name and labels: their results would be the same series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duplicate {
    /// The name of the series or the alert.
    pub name: String,
    /// The labels.
    pub labels: Labels,
}

/// Finds [`Duplicate`]s among all rules of some files; each once, sorted.
pub fn duplicates<'a>(groups: impl IntoIterator<Item = &'a GroupDef>) -> Vec<Duplicate> {
    let mut all: Vec<Duplicate> = groups
        .into_iter()
        .flat_map(|group| &group.rules)
        .map(|rule| Duplicate { name: rule.name().to_owned(), labels: rule.labels.clone() })
        .collect();
    all.sort();
    let mut found: Vec<Duplicate> = all
        .windows(2)
        .filter_map(|pair| {
            if let [a, b] = pair
                && a == b
            {
                Some(a.clone())
            } else {
                None
            }
        })
        .collect();
    found.dedup();
    found
}

/// What `check rules` says about one file.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckReport {
    /// How many rules there are.
    pub rules: usize,
    /// Remarks that do not refuse the file.
    pub warnings: Vec<String>,
    /// See [`duplicates`].
    pub duplicates: Vec<Duplicate>,
}

/// Checks a rule file as `novaobs check rules` does.
///
/// # Errors
/// Every fault of the file, with its place.
pub fn check_file(path: &Path, language: &dyn Language) -> Result<CheckReport, ConfigError> {
    let loaded = load(path, language)?;
    Ok(CheckReport {
        rules: loaded.value.groups.iter().map(|group| group.rules.len()).sum(),
        warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
        duplicates: duplicates(&loaded.value.groups),
    })
}
