//! A rule group as the ruler API takes and shows it: YAML in, checks, YAML out.

use std::collections::BTreeMap;
use std::time::Duration;

use novaobs_config::{Document, Node, Value};
use novaobs_logql_parser::parse;
use novaobs_model::duration;
use novaobs_model::labels::{is_legacy_label_name, is_legacy_metric_name};

/// Rules evaluated one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleGroup {
    /// Its name, not empty.
    pub name: String,
    /// Between evaluations; none: the server's.
    pub interval: Option<Duration>,
    /// Most series or alerts a rule may give; 0: any number.
    pub limit: i64,
    /// In order.
    pub rules: Vec<Rule>,
}

/// One rule: of `record` and `alert` one is set.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "names and meaning are those of the keys")]
pub struct Rule {
    pub record: String,
    pub alert: String,
    pub expr: String,
    pub hold: Option<Duration>,
    pub keep_firing_for: Option<Duration>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

impl RuleGroup {
    /// Reads a group; keys it does not know are left out, as the peer does. `None` when the text is no
    /// group.
    pub fn read(yaml: &str) -> Option<RuleGroup> {
        if yaml.trim().is_empty() {
            return Some(RuleGroup::default());
        }
        let document = Document::parse("rules", yaml).ok()?;
        let root = document.root();
        if !matches!(root.value, Value::Mapping(_)) {
            return None;
        }
        let rules = match root.get("rules").map(|node| &node.value) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Sequence(items)) => items.iter().map(read_rule).collect::<Option<_>>()?,
            Some(_) => return None,
        };
        let limit = text(root, "limit")?;
        Some(RuleGroup {
            name: text(root, "name")?,
            interval: span(root, "interval")?,
            limit: if limit.is_empty() { 0 } else { limit.parse().ok()? },
            rules,
        })
    }

    /// What is wrong with the group, at most one problem a rule; empty when nothing is.
    pub fn problems(&self) -> Vec<String> {
        if self.name.is_empty() {
            return vec!["group 0: Groupname must not be empty".to_owned()];
        }
        self.rules.iter().filter_map(|rule| self.problem(rule)).collect()
    }

    fn problem(&self, rule: &Rule) -> Option<String> {
        let (record, alert) = (rule.record.as_str(), rule.alert.as_str());
        if !record.is_empty() && !alert.is_empty() {
            return Some("only one of 'record' and 'alert' must be set".to_owned());
        }
        if record.is_empty() && alert.is_empty() {
            return Some("one of 'record' or 'alert' must be set".to_owned());
        }
        if rule.expr.is_empty() {
            return Some("field 'expr' must be set in rule".to_owned());
        }
        if let Err(error) = parse(&rule.expr) {
            let (kind, name) = if record.is_empty() { ("alert", alert) } else { ("record", record) };
            let group = &self.name;
            return Some(format!(
                "could not parse expression for {kind} '{name}' in group '{group}': {error}"
            ));
        }
        if !record.is_empty() {
            if !rule.annotations.is_empty() {
                return Some("invalid field 'annotations' in recording rule".to_owned());
            }
            if rule.hold.is_some_and(|hold| !hold.is_zero()) {
                return Some("invalid field 'for' in recording rule".to_owned());
            }
            if !is_legacy_metric_name(record) {
                return Some(format!("invalid recording rule name: {record}"));
            }
        }
        let bad_label = |name: &&String| !is_legacy_label_name(name) || *name == "__name__";
        if let Some(name) = rule.labels.keys().find(bad_label) {
            return Some(format!("invalid label name: {name}"));
        }
        let bad_annotation = |name: &&String| !is_legacy_label_name(name);
        rule.annotations.keys().find(bad_annotation).map(|name| format!("invalid annotation name: {name}"))
    }

    /// The group as YAML, each line after `indent` blanks; the first only after `first`.
    fn write(&self, out: &mut String, first: &str, indent: usize) {
        let pad = " ".repeat(indent);
        out.push_str(&format!("{first}name: {}\n", scalar(&self.name)));
        if let Some(interval) = self.interval {
            out.push_str(&format!("{pad}interval: {}\n", duration::format(interval)));
        }
        if self.limit != 0 {
            out.push_str(&format!("{pad}limit: {}\n", self.limit));
        }
        if self.rules.is_empty() {
            out.push_str(&format!("{pad}rules: []\n"));
            return;
        }
        out.push_str(&format!("{pad}rules:\n"));
        // Go's writer indents by four, but by two within an item of a list.
        let deeper = if indent == 0 { 4 } else { indent + 2 };
        for rule in &self.rules {
            rule.write(out, &" ".repeat(deeper));
        }
    }

    /// The group as a YAML document.
    pub fn yaml(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, "", 0);
        out
    }
}

/// Groups by namespace as a YAML document.
pub(super) fn namespaces_yaml(namespaces: &BTreeMap<String, Vec<RuleGroup>>) -> String {
    let mut out = String::new();
    for (namespace, groups) in namespaces {
        out.push_str(&format!("{}:\n", scalar(namespace)));
        groups.iter().for_each(|group| group.write(&mut out, "    - ", 6));
    }
    out
}

impl Rule {
    fn write(&self, out: &mut String, pad: &str) {
        let mut lead = format!("{pad}- ");
        let mut line = |key: &str, value: String| {
            out.push_str(&format!("{lead}{key}: {value}\n"));
            lead = format!("{pad}  ");
        };
        if !self.record.is_empty() {
            line("record", scalar(&self.record));
        }
        if !self.alert.is_empty() {
            line("alert", scalar(&self.alert));
        }
        line("expr", block(&self.expr, pad));
        for (key, value) in [("for", self.hold), ("keep_firing_for", self.keep_firing_for)] {
            if let Some(value) = value.filter(|value| !value.is_zero()) {
                line(key, duration::format(value));
            }
        }
        for (key, map) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !map.is_empty() {
                out.push_str(&format!("{pad}  {key}:\n"));
                for (name, value) in map {
                    out.push_str(&format!(
                        "{pad}    {}: {}\n",
                        scalar(name),
                        block(value, &format!("{pad}    "))
                    ));
                }
            }
        }
    }
}

/// A text of several lines as a block, others as [`scalar`].
fn block(text: &str, pad: &str) -> String {
    let plain = |line: &str| line.chars().all(|c| c == '\t' || !c.is_control());
    if !text.contains('\n') || text.starts_with([' ', '\n']) || !text.lines().all(plain) {
        return scalar(text);
    }
    let keep = match (text.strip_suffix('\n'), text.ends_with("\n\n")) {
        (None, _) => "-",
        (Some(_), false) => "",
        (Some(_), true) => "+",
    };
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let lines: Vec<_> =
        lines.map(|line| if line.is_empty() { String::new() } else { format!("{pad}    {line}") }).collect();
    format!("|{keep}\n{}", lines.join("\n"))
}

/// A text as YAML, quoted where it would be read as something else; quoted twice where old readers would.
fn scalar(text: &str) -> String {
    const OLD: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];
    if text.is_empty() || OLD.contains(&text.to_lowercase().as_str()) || text == "null" || text == "~" {
        return format!("\"{text}\"");
    }
    if text.parse::<f64>().is_ok() {
        return format!("\"{text}\"");
    }
    if text.chars().any(char::is_control) {
        return novaobs_model::labels::go_quote(text);
    }
    let special = text.starts_with(|c: char| "-?:,[]{}#&*!|>'\"%@`".contains(c) || c == ' ')
        || text.contains(": ")
        || text.contains(" #")
        || text.ends_with([':', ' ']);
    if special { format!("'{}'", text.replace('\'', "''")) } else { text.to_owned() }
}

fn read_rule(node: &Node) -> Option<Rule> {
    if !matches!(node.value, Value::Mapping(_)) {
        return None;
    }
    Some(Rule {
        record: text(node, "record")?,
        alert: text(node, "alert")?,
        expr: text(node, "expr")?,
        hold: span(node, "for")?,
        keep_firing_for: span(node, "keep_firing_for")?,
        labels: map(node, "labels")?,
        annotations: map(node, "annotations")?,
    })
}

/// The text under a key, empty when it is missing; `None` when it is no scalar.
fn text(node: &Node, key: &str) -> Option<String> {
    match node.get(key).map(|node| &node.value) {
        None | Some(Value::Null) => Some(String::new()),
        Some(Value::Scalar { text, .. }) => Some(text.clone()),
        Some(_) => None,
    }
}

/// The duration under a key; `None` when it is none.
fn span(node: &Node, key: &str) -> Option<Option<Duration>> {
    match text(node, key)?.as_str() {
        "" => Some(None),
        text => duration::parse(text).ok().map(Some),
    }
}

fn map(node: &Node, key: &str) -> Option<BTreeMap<String, String>> {
    match node.get(key).map(|node| &node.value) {
        None | Some(Value::Null) => Some(BTreeMap::new()),
        Some(Value::Mapping(entries)) => entries
            .iter()
            .map(|entry| match &entry.value.value {
                Value::Scalar { text, .. } => Some((entry.key.clone(), text.clone())),
                Value::Null => Some((entry.key.clone(), String::new())),
                _ => None,
            })
            .collect(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_written_as_the_peer_writes_them() {
        let text = "name: g1\nlimit: 3\nfoo: 1\nrules:\n- record: a:b\n  expr: sum(rate({app=\"x\"}[5m]))\n- alert: y\n  expr: '{a=\"b\"}'\n  for: 1m\n  labels: {severity: page}\n  annotations: {n: \"5\"}\n";
        let group = RuleGroup::read(text).unwrap();
        assert_eq!(
            group.yaml(),
            "name: g1\nlimit: 3\nrules:\n    - record: a:b\n      expr: sum(rate({app=\"x\"}[5m]))\n    - alert: \"y\"\n      expr: '{a=\"b\"}'\n      for: 1m\n      labels:\n        severity: page\n      annotations:\n        \"n\": \"5\"\n"
        );
        assert_eq!(RuleGroup::read(&group.yaml()), Some(group));
    }

    #[test]
    fn texts_of_many_shapes_read_back() {
        let exprs =
            ["a\nb", "a\nb\n", "a\n\n", " lead\nx", "a: b", "# no", "- x", "-x", "'q'", "tab\there", "x "];
        for expr in exprs {
            let rule = Rule { record: "r".to_owned(), expr: expr.to_owned(), ..Rule::default() };
            let group = RuleGroup { name: "g".to_owned(), rules: vec![rule], ..RuleGroup::default() };
            assert_eq!(RuleGroup::read(&group.yaml()), Some(group), "{expr:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(texts in proptest::collection::vec("[-a-c0-9 :#'\"{}|&*!%@,?~\\[\\]\\n\\t\\\\é\u{85}\u{2028}\u{7}>`=<.+_]{1,9}", 8)) {
            let [name, record, expr, label, value, note, text, alert] = texts.as_slice() else { return Ok(()) };
            let pair = |n: &String, v: &String| BTreeMap::from([(n.clone(), v.clone())]);
            let rule = Rule {
                record: record.clone(),
                alert: alert.clone(),
                expr: expr.clone(),
                hold: Some(Duration::from_secs(90)),
                keep_firing_for: None,
                labels: pair(label, value),
                annotations: pair(note, text),
            };
            let group = RuleGroup { name: name.clone(), interval: None, limit: 2, rules: vec![rule] };
            proptest::prop_assert_eq!(RuleGroup::read(&group.yaml()), Some(group.clone()), "{}", group.yaml());
            let all = BTreeMap::from([(name.clone(), vec![group])]);
            proptest::prop_assert!(Document::parse("rules", &namespaces_yaml(&all)).is_ok());
        }
    }

    #[test]
    fn each_rule_names_its_first_problem() {
        let f = |rule: &str, want: &str| {
            let group = RuleGroup::read(&format!("name: y\nrules: [{rule}]")).unwrap();
            assert_eq!(group.problems(), [want], "{rule}");
        };
        f("{expr: vector(1)}", "one of 'record' or 'alert' must be set");
        f("{alert: A, record: R, expr: vector(1)}", "only one of 'record' and 'alert' must be set");
        f("{alert: A}", "field 'expr' must be set in rule");
        f("{record: 'a b', expr: vector(1)}", "invalid recording rule name: a b");
        f("{record: R, expr: vector(1), for: 5m}", "invalid field 'for' in recording rule");
        f("{alert: A, expr: vector(1), labels: {'a b': c}}", "invalid label name: a b");
        f("{alert: A, expr: vector(1), annotations: {'a b': c}}", "invalid annotation name: a b");
        assert_eq!(RuleGroup::read("").unwrap().problems(), ["group 0: Groupname must not be empty"]);
        for text in ["{", "[]", "name: x\nrules: 1", "name: x\nrules: [{alert: A, for: x}]", "name: [a]"] {
            assert_eq!(RuleGroup::read(text), None, "{text}");
        }
    }
}
