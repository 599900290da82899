//! Relabelling: rules that rewrite, drop or keep a label set.
//!
//! Semantics are those of `<relabel_config>` in Prometheus 3: expressions match the whole value, dot matches
//! newline, names may be any UTF-8 text. Rules that do not apply cost no allocation: sources of one label are
//! read in place, several are joined in a buffer that the thread keeps.

use std::borrow::Cow;
use std::cell::Cell;

use md5::{Digest as _, Md5};
use novaobs_config::{Cursor, Fields, Node, ToNode, value};
use novaobs_model::{GoRegex, Labels, LabelsBuilder};

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sets the target label to the expanded replacement when the expression matches.
    Replace,
    /// Drops the set unless the expression matches.
    Keep,
    /// Drops the set if the expression matches.
    Drop,
    /// Drops the set unless source and target label are equal.
    KeepEqual,
    /// Drops the set if source and target label are equal.
    DropEqual,
    /// Sets the target label to a hash of the source, modulo the modulus.
    HashMod,
    /// Copies labels whose name matches to the expanded replacement.
    LabelMap,
    /// Removes labels whose name matches.
    LabelDrop,
    /// Removes labels whose name does not match.
    LabelKeep,
    /// Sets the target label to the source in lower case.
    Lowercase,
    /// Sets the target label to the source in upper case.
    Uppercase,
}

const ACTIONS: &[(&str, Action)] = &[
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REPLACEMENT: &str = "$1";

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RelabelConfig {
    source_labels: Vec<String>,
    separator: String,
    target_label: String,
    regex: GoRegex,
    modulus: u64,
    replacement: String,
    action: Action,
    /// What the replacement comes to, known before any match.
    shortcut: Shortcut,
}

/// How a replacement is made.
#[derive(Clone, Debug, PartialEq)]
enum Shortcut {
    /// It has no references: always the same text.
    Fixed,
    /// `$1` of `(.*)`: the source itself.
    Source,
    /// By expanding the groups of a match.
    Expand,
}

impl RelabelConfig {
    /// Reads a list of rules.
    pub fn read_list(at: &Cursor<'_>) -> Option<Vec<RelabelConfig>> {
        let read = |item: &Cursor<'_>| {
            if item.is_null() {
                item.error("empty or null relabeling rule")
            } else {
                RelabelConfig::read(item)
            }
        };
        Some(at.items()?.iter().filter_map(read).collect())
    }

    /// Reads one rule and checks that its keys go together.
    pub fn read(at: &Cursor<'_>) -> Option<RelabelConfig> {
        let mut map = at.mapping();
        let source_labels = map.or("source_labels", value::list(label_name), Vec::new());
        let separator = map.or("separator", value::string, DEFAULT_SEPARATOR.to_owned());
        let regex = map.optional("regex", value::regex);
        let modulus = map.or("modulus", value::u64, 0);
        let target_label = map.or("target_label", value::string, String::new());
        let replacement = map.or("replacement", value::string, DEFAULT_REPLACEMENT.to_owned());
        let action = map.take("action").map_or(Some(Action::Replace), |at| read_action(&at));
        let regex_is_default = regex.as_ref().is_none_or(|r| r.source() == DEFAULT_REGEX);
        let regex = regex.or_else(|| GoRegex::new(DEFAULT_REGEX).ok())?;
        if let Some(action) = action {
            let name = action.name();
            let others_are_default =
                modulus == 0 && separator == DEFAULT_SEPARATOR && replacement == DEFAULT_REPLACEMENT;
            let needs_target = !matches!(
                action,
                Action::Keep | Action::Drop | Action::LabelMap | Action::LabelDrop | Action::LabelKeep
            );
            if action == Action::HashMod && modulus == 0 {
                map.error("relabel configuration for hashmod requires non-zero modulus");
            }
            if needs_target && target_label.is_empty() {
                map.error(format!("relabel configuration for {name} action requires 'target_label' value"));
            }
            match action {
                Action::Lowercase | Action::Uppercase if replacement != DEFAULT_REPLACEMENT => {
                    map.error_at("replacement", format!("'replacement' can not be set for {name} action"));
                }
                Action::LabelMap if replacement.is_empty() => {
                    map.error_at("replacement", format!("\"\" is invalid 'replacement' for {name} action"));
                }
                Action::KeepEqual | Action::DropEqual if !others_are_default || !regex_is_default => {
                    map.error(format!(
                        "{name} action requires only 'source_labels' and `target_label`, and no other fields"
                    ));
                }
                Action::LabelDrop | Action::LabelKeep
                    if !others_are_default || !source_labels.is_empty() || !target_label.is_empty() =>
                {
                    map.error(format!("{name} action requires only 'regex', and no other fields"));
                }
                _ => {}
            }
        }
        map.finish();
        let shortcut = if !replacement.contains('$') {
            Shortcut::Fixed
        } else if regex_is_default && matches!(replacement.as_str(), "$1" | "${1}") {
            Shortcut::Source
        } else {
            Shortcut::Expand
        };
        Some(RelabelConfig {
            source_labels,
            separator,
            target_label,
            regex,
            modulus,
            replacement,
            action: action?,
            shortcut,
        })
    }

    /// What the rule does.
    pub fn action(&self) -> Action {
        self.action
    }

    /// Applies the rule; `false` drops the set.
    fn apply<S: LabelSet>(&self, set: &mut S, joined: &mut String) -> bool {
        match self.action {
            Action::Keep => self.regex.is_match(self.source(set, joined)),
            Action::Drop => !self.regex.is_match(self.source(set, joined)),
            Action::KeepEqual => self.source(set, joined) == set.get(&self.target_label),
            Action::DropEqual => self.source(set, joined) != set.get(&self.target_label),
            Action::Replace => {
                self.replace(set, joined);
                true
            }
            Action::HashMod => {
                let value = hash(self.source(set, joined)).checked_rem(self.modulus).unwrap_or(0);
                set.put(&self.target_label, &value.to_string());
                true
            }
            Action::Lowercase => {
                let value = self.source(set, joined).to_lowercase();
                set.put(&self.target_label, &value);
                true
            }
            Action::Uppercase => {
                let value = self.source(set, joined).to_uppercase();
                set.put(&self.target_label, &value);
                true
            }
            Action::LabelMap => {
                let matching = set.names_where(|name| self.regex.is_match(name));
                let copies: Vec<(String, String)> = matching
                    .iter()
                    .filter_map(|name| {
                        Some((self.regex.expand(name, &self.replacement)?, set.get(name).to_owned()))
                    })
                    .collect();
                for (name, value) in copies.iter().filter(|(name, _)| !name.is_empty()) {
                    set.put(name, value);
                }
                true
            }
            Action::LabelDrop => {
                for name in set.names_where(|name| self.regex.is_match(name)) {
                    set.put(&name, "");
                }
                true
            }
            Action::LabelKeep => {
                for name in set.names_where(|name| !self.regex.is_match(name)) {
                    set.put(&name, "");
                }
                true
            }
        }
    }

    fn replace<S: LabelSet>(&self, set: &mut S, joined: &mut String) {
        let source = self.source(set, joined);
        if !self.regex.is_match(source) {
            return;
        }
        let target: Cow<'_, str> = if self.target_label.contains('$') {
            self.regex.expand(source, &self.target_label).unwrap_or_default().into()
        } else {
            Cow::Borrowed(&self.target_label)
        };
        if target.is_empty() {
            return;
        }
        let value: Cow<'_, str> = match self.shortcut {
            Shortcut::Fixed => Cow::Borrowed(&self.replacement),
            Shortcut::Source => Cow::Borrowed(source),
            Shortcut::Expand => self.regex.expand(source, &self.replacement).unwrap_or_default().into(),
        };
        if set.get(&target) != value {
            let value = value.into_owned();
            set.put(&target, &value);
        }
    }

    /// The values of the source labels, joined.
    fn source<'v, S: LabelSet>(&self, set: &'v S, joined: &'v mut String) -> &'v str {
        if let [one] = self.source_labels.as_slice() {
            return set.get(one);
        }
        joined.clear();
        for (i, name) in self.source_labels.iter().enumerate() {
            if i > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(set.get(name));
        }
        joined
    }
}

impl Action {
    fn name(self) -> &'static str {
        ACTIONS.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }
}

/// Actions may be written in any case.
fn read_action(at: &Cursor<'_>) -> Option<Action> {
    let text = value::string(at)?;
    let lower = text.to_ascii_lowercase();
    match ACTIONS.iter().find(|(name, _)| *name == lower) {
        Some((_, action)) => Some(*action),
        None => {
            let names: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
            at.error(format!("unknown relabel action {text:?}: write one of {}", names.join(", ")))
        }
    }
}

fn label_name(at: &Cursor<'_>) -> Option<String> {
    let name = value::string(at)?;
    if name.is_empty() { at.error("\"\" is not a valid label name") } else { Some(name) }
}

/// The last eight bytes of the MD5 sum as a big-endian number: shards stay the same as the peer's.
fn hash(text: &str) -> u64 {
    Md5::digest(text.as_bytes()).iter().skip(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

thread_local! {
    /// Where sources of several labels are joined.
    static JOINED: Cell<String> = const { Cell::new(String::new()) };
}

fn apply_all<S: LabelSet>(set: &mut S, rules: &[RelabelConfig]) -> bool {
    let mut joined = JOINED.take();
    let keep = rules.iter().all(|rule| rule.apply(set, &mut joined));
    JOINED.set(joined);
    keep
}

/// Applies the rules in order to a set under construction. `false` means that it is dropped.
pub fn process_builder(labels: &mut LabelsBuilder, rules: &[RelabelConfig]) -> bool {
    apply_all(labels, rules)
}

/// Applies the rules in order. `None` means that the set is dropped; a set that no rule changes is shared,
/// not copied.
pub fn process(labels: &Labels, rules: &[RelabelConfig]) -> Option<Labels> {
    let mut set = Lazy { base: labels, changed: None };
    if !apply_all(&mut set, rules) {
        return None;
    }
    Some(set.changed.map_or_else(|| labels.clone(), |mut builder| builder.build()))
}

/// What rules work on.
trait LabelSet {
    fn get(&self, name: &str) -> &str;
    /// Sets a label; an empty value removes it.
    fn put(&mut self, name: &str, value: &str);
    /// The names that `wanted` says yes to, sorted.
    fn names_where(&self, wanted: impl Fn(&str) -> bool) -> Vec<String>;
}

impl LabelSet for LabelsBuilder {
    fn get(&self, name: &str) -> &str {
        LabelsBuilder::get(self, name)
    }

    fn put(&mut self, name: &str, value: &str) {
        self.set(name, value);
    }

    fn names_where(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut names: Vec<String> =
            self.iter().map(|(name, _)| name).filter(|n| wanted(n)).map(str::to_owned).collect();
        names.sort_unstable();
        names
    }
}

/// A finished set that is only unpacked when a rule changes it.
struct Lazy<'a> {
    base: &'a Labels,
    changed: Option<LabelsBuilder>,
}

impl LabelSet for Lazy<'_> {
    fn get(&self, name: &str) -> &str {
        match &self.changed {
            Some(builder) => builder.get(name),
            None => self.base.value(name),
        }
    }

    fn put(&mut self, name: &str, value: &str) {
        if self.get(name) != value {
            self.changed.get_or_insert_with(|| LabelsBuilder::from_labels(self.base)).set(name, value);
        }
    }

    fn names_where(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        match &self.changed {
            Some(builder) => builder.names_where(wanted),
            None => self.base.iter().map(|(name, _)| name).filter(|n| wanted(n)).map(str::to_owned).collect(),
        }
    }
}

/// As the peer prints a rule: with its defaults.
impl ToNode for RelabelConfig {
    fn to_node(&self) -> Node {
        let sources: Vec<Node> = self.source_labels.iter().map(|name| Node::text(name.as_str())).collect();
        Fields::new()
            // The peer writes names on one line; a list says the same.
            .nonempty("source_labels", &Node::sequence(sources))
            .nonempty("separator", &self.separator)
            .field("regex", &self.regex)
            .nonempty("modulus", &self.modulus)
            .nonempty("target_label", &self.target_label)
            .nonempty("replacement", &self.replacement)
            .field("action", self.action.name())
            .node()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use novaobs_config::{Document, UnknownKeys};
    use proptest::prelude::*;

    use super::*;

    fn rules(text: &str) -> Result<Vec<RelabelConfig>, String> {
        let document = Document::parse("r.yml", text).map_err(|e| e.to_string())?;
        document
            .read(UnknownKeys::Refuse, RelabelConfig::read_list)
            .map(|l| l.value)
            .map_err(|e| e.to_string())
    }

    #[track_caller]
    fn check(labels: &[(&str, &str)], text: &str, want: &str) {
        let labels = Labels::from_pairs(labels.iter().copied());
        let rules = rules(text).unwrap();
        let got = process(&labels, &rules).map_or("dropped".to_owned(), |l| l.to_string());
        assert_eq!(got, want);
        let mut builder = LabelsBuilder::from_labels(&labels);
        let kept = process_builder(&mut builder, &rules);
        assert_eq!(if kept { builder.build().to_string() } else { "dropped".to_owned() }, want);
    }

    const ABC: &[(&str, &str)] = &[("a", "foo"), ("b", "bar"), ("c", "baz")];

    #[test]
    fn replace() {
        check(
            ABC,
            "[{source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch${1}-ch${1}'}]",
            r#"{a="foo", b="bar", c="baz", d="choo-choo"}"#,
        );
        check(ABC, "[{source_labels: [a, b], target_label: a}]", r#"{a="foo;bar", b="bar", c="baz"}"#);
        check(
            ABC,
            "[{source_labels: [a, b], separator: '', target_label: a}]",
            r#"{a="foobar", b="bar", c="baz"}"#,
        );
        check(ABC, "[{source_labels: [a], regex: oo, target_label: d}]", r#"{a="foo", b="bar", c="baz"}"#);
        check(ABC, "[{source_labels: [a], target_label: b, replacement: ''}]", r#"{a="foo", c="baz"}"#);
        check(ABC, "[{source_labels: [missing], target_label: b}]", r#"{a="foo", c="baz"}"#);
        check(ABC, "[{target_label: d, replacement: fixed}]", r#"{a="foo", b="bar", c="baz", d="fixed"}"#);
        check(
            ABC,
            "[{source_labels: [a], regex: '(f)(.*)', target_label: '${1}_$2', replacement: $1}]",
            r#"{a="foo", b="bar", c="baz", f_oo="f"}"#,
        );
        check(
            ABC,
            "[{source_labels: [a], regex: '(x?)foo', target_label: '$1', replacement: v}]",
            r#"{a="foo", b="bar", c="baz"}"#,
        );
        check(
            &[("a", "l1\nl2")],
            "[{source_labels: [a], regex: 'l1.*', target_label: b, replacement: y}]",
            "{a=\"l1\\nl2\", b=\"y\"}",
        );
        check(
            ABC,
            "[{source_labels: [a], target_label: 'x.y'}]",
            r#"{a="foo", b="bar", c="baz", "x.y"="foo"}"#,
        );
    }

    #[test]
    fn keep_and_drop() {
        check(ABC, "[{source_labels: [a], regex: foo, action: keep}]", r#"{a="foo", b="bar", c="baz"}"#);
        check(ABC, "[{source_labels: [a], regex: fo, action: keep}]", "dropped");
        check(ABC, "[{source_labels: [a], regex: '.*o', action: drop}]", "dropped");
        check(ABC, "[{source_labels: [missing], regex: '', action: drop}]", "dropped");
        check(ABC, "[{source_labels: [a], regex: o, action: DROP}]", r#"{a="foo", b="bar", c="baz"}"#);
        check(
            &[("x", "1"), ("y", "1")],
            "[{source_labels: [x], target_label: y, action: keepequal}]",
            r#"{x="1", y="1"}"#,
        );
        check(
            &[("x", "1"), ("y", "2")],
            "[{source_labels: [x], target_label: y, action: keepequal}]",
            "dropped",
        );
        check(
            &[("x", "1"), ("y", "1")],
            "[{source_labels: [x], target_label: y, action: dropequal}]",
            "dropped",
        );
        check(
            &[("x", "1"), ("y", "2")],
            "[{source_labels: [x], target_label: y, action: dropequal}]",
            r#"{x="1", y="2"}"#,
        );
    }

    #[test]
    fn hashmod_is_the_tail_of_md5() {
        // md5("foo") = acbd18db4cc2f85cedef654fccc4a4d8: 0xedef654fccc4a4d8 mod 1000 = 17145033699835028696 mod 1000.
        check(
            &[("a", "foo")],
            "[{source_labels: [a], target_label: h, modulus: 1000, action: hashmod}]",
            r#"{a="foo", h="696"}"#,
        );
        assert_eq!(hash("foo"), 0xedef_654f_ccc4_a4d8);
    }

    #[test]
    fn by_name() {
        check(
            &[("__meta_x", "1"), ("__meta_y", "2"), ("x", "0")],
            "[{regex: '__meta_(.+)', action: labelmap}]",
            r#"{__meta_x="1", __meta_y="2", x="1", y="2"}"#,
        );
        check(
            ABC,
            "[{regex: '(b.*)', replacement: 'bar_${1}', action: labelmap}]",
            r#"{a="foo", b="bar", bar_b="bar", c="baz"}"#,
        );
        check(ABC, "[{regex: 'a|b', action: labeldrop}]", r#"{c="baz"}"#);
        check(ABC, "[{regex: 'a|b', action: labelkeep}]", r#"{a="foo", b="bar"}"#);
    }

    #[test]
    fn case() {
        check(
            &[("a", "fOÖ")],
            "[{source_labels: [a], target_label: u, action: uppercase}, {source_labels: [a], target_label: l, action: lowercase}]",
            r#"{a="fOÖ", l="foö", u="FOÖ"}"#,
        );
    }

    #[test]
    fn rules_run_in_order_and_stop_when_dropped() {
        check(
            ABC,
            "[{source_labels: [a], target_label: t}, {source_labels: [t], regex: foo, action: drop}, {target_label: z, replacement: q}]",
            "dropped",
        );
    }

    #[test]
    fn an_unchanged_set_is_shared() {
        let labels = Labels::from_pairs(ABC.iter().copied());
        let rules = rules("[{source_labels: [a], regex: x, target_label: b}, {regex: z, action: labeldrop}, {source_labels: [a], target_label: a}]").unwrap();
        let after = process(&labels, &rules).unwrap();
        assert_eq!(after.as_packed().as_ptr(), labels.as_packed().as_ptr());
    }

    #[test]
    fn refuses() {
        let f = |text: &str, want: Expect| want.assert_eq(&rules(text).unwrap_err());
        f(
            "[{action: replace}]",
            expect!["r.yml:1:2: [0]: relabel configuration for replace action requires 'target_label' value"],
        );
        f(
            "[{action: hashmod, target_label: x}]",
            expect!["r.yml:1:2: [0]: relabel configuration for hashmod requires non-zero modulus"],
        );
        f(
            "[{action: hashmod, modulus: 5}]",
            expect!["r.yml:1:2: [0]: relabel configuration for hashmod action requires 'target_label' value"],
        );
        f(
            "[{action: nope}]",
            expect![[
                r#"r.yml:1:11: [0].action: unknown relabel action "nope": write one of replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase, uppercase"#
            ]],
        );
        f(
            "[{action: labelmap, replacement: ''}]",
            expect![[r#"r.yml:1:34: [0].replacement: "" is invalid 'replacement' for labelmap action"#]],
        );
        f(
            "[{action: labeldrop, source_labels: [a]}]",
            expect!["r.yml:1:2: [0]: labeldrop action requires only 'regex', and no other fields"],
        );
        f(
            "[{action: labelkeep, regex: x, modulus: 5}]",
            expect!["r.yml:1:2: [0]: labelkeep action requires only 'regex', and no other fields"],
        );
        f(
            "[{action: keepequal, source_labels: [a]}]",
            expect![
                "r.yml:1:2: [0]: relabel configuration for keepequal action requires 'target_label' value"
            ],
        );
        f(
            "[{action: dropequal, source_labels: [a], target_label: b, regex: x}]",
            expect![
                "r.yml:1:2: [0]: dropequal action requires only 'source_labels' and `target_label`, and no other fields"
            ],
        );
        f(
            "[{action: lowercase, source_labels: [a], target_label: b, replacement: x}]",
            expect!["r.yml:1:72: [0].replacement: 'replacement' can not be set for lowercase action"],
        );
        f(
            "[{regex: '(', target_label: a}]",
            expect!["r.yml:1:10: [0].regex: error parsing regexp: missing closing ): `(`"],
        );
        f(
            "[{source_labels: [''], target_label: a}]",
            expect![[r#"r.yml:1:19: [0].source_labels[0]: "" is not a valid label name"#]],
        );
        f("[~]", expect!["r.yml:1:2: [0]: empty or null relabeling rule"]);
        f(
            "[{taget_label: a, target_label: b}]",
            expect![
                "r.yml:1:3: [0].taget_label: field taget_label not found in [0]: did you mean target_label?"
            ],
        );
    }

    proptest! {
        #[test]
        fn both_forms_agree(pairs in proptest::collection::vec(("[a-d]", "[a-c]{0,2}"), 0..4), source in "[a-d]", regex in "[a-c.*]{1,3}", target in "[a-d]", action in 0usize..11) {
            let (name, _) = ACTIONS[action];
            let text = match ACTIONS[action].1 {
                Action::LabelDrop | Action::LabelKeep | Action::LabelMap => format!("[{{regex: '{regex}', action: {name}}}]"),
                Action::KeepEqual | Action::DropEqual | Action::Lowercase | Action::Uppercase => format!("[{{source_labels: [{source}], target_label: {target}, action: {name}}}]"),
                _ => format!("[{{source_labels: [{source}, b], regex: '{regex}', modulus: 3, target_label: {target}, action: {name}}}]"),
            };
            let Ok(rules) = rules(&text) else { return Ok(()) };
            let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            let mut builder = LabelsBuilder::from_labels(&labels);
            let kept = process_builder(&mut builder, &rules);
            prop_assert_eq!(process(&labels, &rules), kept.then(|| builder.build()));
        }
    }
}
