//! Inhibition: alerts that make others not worth a notification.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use novaobs_config::{Cursor, Fields, Node, ToNode, value};
use novaobs_model::Labels;

use crate::alert::{Alert, Fingerprint};
use crate::matchers::Matchers;
use crate::route::MatchersConfig;
use crate::time::Time;

/// A rule as the file writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct InhibitRule {
    name: String,
    source: MatchersConfig,
    target: MatchersConfig,
    equal: Vec<String>,
}

impl InhibitRule {
    /// Reads an entry of `inhibit_rules`.
    pub fn read(at: &Cursor<'_>) -> Option<InhibitRule> {
        let mut map = at.mapping();
        let rule = InhibitRule {
            name: map.or("name", value::string, String::new()),
            source: MatchersConfig::read(&mut map, "source_match", "source_match_re", "source_matchers"),
            target: MatchersConfig::read(&mut map, "target_match", "target_match_re", "target_matchers"),
            equal: map.list("equal", |at| match value::string(at)? {
                name if name.is_empty() => at.error("invalid label name \"\" in equal list"),
                name => Some(name),
            }),
        };
        map.finish();
        Some(rule)
    }
}

impl ToNode for InhibitRule {
    fn to_node(&self) -> Node {
        let fields = Fields::new().nonempty("name", &self.name);
        let fields = self.source.write(fields, "source_match", "source_match_re", "source_matchers");
        let fields = self.target.write(fields, "target_match", "target_match_re", "target_matchers");
        fields.nonempty("equal", &self.equal).node()
    }
}

/// The rules with the alerts that match their source side.
#[derive(Debug, Default)]
pub(crate) struct Inhibitor {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    source: Matchers,
    target: Matchers,
    equal: Vec<String>,
    /// Sources by the values of their `equal` labels.
    sources: HashMap<Vec<String>, BTreeSet<Fingerprint>>,
}

impl Rule {
    /// A missing label counts as an empty one.
    fn key(&self, labels: &Labels) -> Vec<String> {
        self.equal.iter().map(|name| labels.value(name).to_owned()).collect()
    }
}

impl Inhibitor {
    pub(crate) fn new(rules: &[InhibitRule]) -> Inhibitor {
        let rule = |rule: &InhibitRule| Rule {
            source: rule.source.resolve(),
            target: rule.target.resolve(),
            equal: rule.equal.clone(),
            sources: HashMap::new(),
        };
        Inhibitor { rules: rules.iter().map(rule).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.rules.len()
    }

    /// Takes note of an alert that came in.
    pub(crate) fn add(&mut self, alert: &Alert) {
        for rule in self.rules.iter_mut().filter(|rule| rule.source.matches(&alert.labels)) {
            let key = rule.key(&alert.labels);
            rule.sources.entry(key).or_default().insert(alert.fingerprint);
        }
    }

    /// Forgets an alert that is no longer kept.
    pub(crate) fn remove(&mut self, alert: &Alert) {
        for rule in &mut self.rules {
            let key = rule.key(&alert.labels);
            if let Some(sources) = rule.sources.get_mut(&key) {
                sources.remove(&alert.fingerprint);
                if sources.is_empty() {
                    rule.sources.remove(&key);
                }
            }
        }
    }

    /// The firing alert that inhibits one with these labels, if any. An alert that matches both sides of a
    /// rule is not inhibited by another such.
    pub(crate) fn inhibited_by(
        &self,
        labels: &Labels,
        alerts: &HashMap<Fingerprint, Arc<Alert>>,
        now: Time,
    ) -> Option<Fingerprint> {
        for rule in self.rules.iter().filter(|rule| rule.target.matches(labels)) {
            let two_sided = rule.source.matches(labels);
            let inhibits = |source: &&Fingerprint| {
                alerts.get(source).is_some_and(|source| {
                    !source.is_resolved(now) && (!two_sided || !rule.target.matches(&source.labels))
                })
            };
            if let Some(source) =
                rule.sources.get(&rule.key(labels)).and_then(|all| all.iter().find(inhibits))
            {
                return Some(*source);
            }
        }
        None
    }
}
