//! The routing tree: its section of the file, and which node an alert ends at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use novaobs_config::{Cursor, Fields, Node, Section, ToNode, value};
use novaobs_model::labels::is_legacy_label_name;
use novaobs_model::{GoRegex, Labels, MatchOp, Matcher};

use crate::matchers::{self, Matchers};

/// A node of the routing tree as the file writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteConfig {
    /// The receiver; inherited when not given.
    pub receiver: Option<String>,
    group_by: Option<GroupBy>,
    matching: MatchersConfig,
    mute_time_intervals: Vec<String>,
    active_time_intervals: Vec<String>,
    continues: bool,
    labels: BTreeMap<String, String>,
    routes: Vec<RouteConfig>,
    group_wait: Option<Duration>,
    group_interval: Option<Duration>,
    repeat_interval: Option<Duration>,
}

/// Which labels make a group.
#[derive(Clone, Debug, PartialEq)]
enum GroupBy {
    /// `...`: every label, so each alert is its own group.
    All,
    Labels(Vec<String>),
}

/// The three spellings of a matcher list: `matchers`, and the deprecated `match` and `match_re`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MatchersConfig {
    equal: Vec<(String, String)>,
    regex: Vec<(String, GoRegex)>,
    matchers: Matchers,
}

impl MatchersConfig {
    /// Reads the three keys, whose names are given.
    pub(crate) fn read(
        map: &mut Section<'_>,
        equal: &'static str,
        regex: &'static str,
        matchers: &'static str,
    ) -> MatchersConfig {
        for key in [equal, regex] {
            if map.has(key) {
                map.cursor().warn(format!("{key} is deprecated: write {matchers} instead"));
            }
        }
        MatchersConfig {
            equal: map.or(equal, |at| pairs(at, value::string), Vec::new()),
            regex: map.or(regex, |at| pairs(at, value::regex), Vec::new()),
            matchers: map.or(matchers, read_matchers, Matchers::default()),
        }
    }

    /// All conditions in one sorted list.
    pub(crate) fn resolve(&self) -> Matchers {
        let equal = self.equal.iter().map(|(name, value)| Matcher::equal(name, value));
        // The peer keys such routes by the anchored expression. It compiled before, so none is lost here.
        let anchored = |re: &GoRegex| format!("^(?:{})$", re.source());
        let regex =
            self.regex.iter().filter_map(|(n, re)| Matcher::new(n, MatchOp::Match, &anchored(re)).ok());
        Matchers::sorted(equal.chain(regex).chain(self.matchers.iter().cloned()).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.equal.is_empty() && self.regex.is_empty() && self.matchers.is_empty()
    }

    pub(crate) fn write(&self, fields: Fields, equal: &str, regex: &str, matchers: &str) -> Fields {
        let mapping = |pairs: Vec<(String, String)>| {
            pairs.iter().fold(Fields::new(), |fields, (name, value)| fields.field(name, value)).node()
        };
        let sources = self.regex.iter().map(|(name, re)| (name.clone(), re.source().to_owned())).collect();
        let list = Node::sequence(self.matchers.iter().map(|m| Node::text(matchers::text(m))));
        fields
            .nonempty(equal, &mapping(self.equal.clone()))
            .nonempty(regex, &mapping(sources))
            .nonempty(matchers, &list)
    }
}

fn pairs<T>(at: &Cursor<'_>, read: impl Fn(&Cursor<'_>) -> Option<T>) -> Option<Vec<(String, T)>> {
    let mut all = Vec::new();
    for (name, value) in at.entries()? {
        if !is_legacy_label_name(name) {
            value.error::<()>(format!("invalid label name {name:?}"));
        }
        all.push((name.to_owned(), read(&value)?));
    }
    Some(all)
}

/// Reads a list of matcher texts; each may hold several.
fn read_matchers(at: &Cursor<'_>) -> Option<Matchers> {
    let mut all = Vec::new();
    for item in at.items()? {
        match matchers::parse_list(&value::string(&item)?) {
            Ok(parsed) => {
                if let Some(warning) = parsed.warning {
                    item.warn(warning);
                }
                all.extend(parsed.value);
            }
            Err(error) => item.error(error.to_string())?,
        }
    }
    Some(Matchers::sorted(all))
}

fn read_group_by(at: &Cursor<'_>) -> Option<GroupBy> {
    let names = value::list(value::string)(at)?;
    let wildcard = names.iter().any(|name| name == "...");
    if wildcard && names.iter().any(|name| name != "...") {
        return at.error("cannot have wildcard group_by (`...`) and other labels at the same time");
    }
    if wildcard {
        return Some(GroupBy::All);
    }
    let mut seen = BTreeSet::new();
    for name in &names {
        if name.is_empty() {
            return at.error(format!("invalid label name {name:?} in group_by list"));
        }
        if !seen.insert(name) {
            return at.error(format!("duplicated label {name:?} in group_by"));
        }
    }
    Some(GroupBy::Labels(names))
}

fn nonzero(key: &'static str) -> impl Fn(&Cursor<'_>) -> Option<Duration> {
    move |at| match value::duration(at)? {
        Duration::ZERO => at.error(format!("{key} cannot be zero")),
        duration => Some(duration),
    }
}

impl RouteConfig {
    /// Reads the root of the tree. `receivers` and `intervals` are the names that the file defines.
    pub fn read(
        at: &Cursor<'_>,
        receivers: &BTreeSet<String>,
        intervals: &BTreeSet<String>,
    ) -> Option<RouteConfig> {
        let names = Names { receivers, intervals };
        let root = RouteConfig::read_node(at, &names)?;
        let refuse = |wrong: bool, message: &str| if wrong { at.error::<()>(message) } else { Some(()) };
        refuse(root.receiver.is_none(), "root route must specify a default receiver")?;
        refuse(!root.matching.is_empty(), "root route must not have any matchers")?;
        refuse(!root.mute_time_intervals.is_empty(), "root route must not have any mute time intervals")?;
        refuse(!root.active_time_intervals.is_empty(), "root route must not have any active time intervals")?;
        refuse(root.continues, "cannot have continue in root route")?;
        Some(root)
    }

    fn read_node(at: &Cursor<'_>, names: &Names<'_>) -> Option<RouteConfig> {
        let mut map = at.mapping();
        let receiver = map
            .optional("receiver", |at| names.known(at, names.receivers, "receiver"))
            .filter(|r| !r.is_empty());
        let intervals = |at: &Cursor<'_>| names.known(at, names.intervals, "time interval");
        let route = RouteConfig {
            receiver,
            group_by: map.optional("group_by", read_group_by),
            matching: MatchersConfig::read(&mut map, "match", "match_re", "matchers"),
            mute_time_intervals: map.list("mute_time_intervals", intervals),
            active_time_intervals: map.list("active_time_intervals", intervals),
            continues: map.or("continue", value::boolean, false),
            labels: map.or("labels", read_labels, BTreeMap::new()),
            routes: map.list("routes", |at| RouteConfig::read_node(at, names)),
            group_wait: map.optional("group_wait", value::duration),
            group_interval: map.optional("group_interval", nonzero("group_interval")),
            repeat_interval: map.optional("repeat_interval", nonzero("repeat_interval")),
        };
        map.finish();
        Some(route)
    }

    /// A tree of one node, for programs that have no file.
    pub fn single(receiver: &str) -> RouteConfig {
        RouteConfig {
            receiver: Some(receiver.to_owned()),
            group_by: None,
            matching: MatchersConfig::default(),
            mute_time_intervals: Vec::new(),
            active_time_intervals: Vec::new(),
            continues: false,
            labels: BTreeMap::new(),
            routes: Vec::new(),
            group_wait: None,
            group_interval: None,
            repeat_interval: None,
        }
    }
}

fn read_labels(at: &Cursor<'_>) -> Option<BTreeMap<String, String>> {
    let pairs = value::map(value::string)(at)?;
    if pairs.iter().any(|(name, _)| name.is_empty()) {
        return at.error("invalid label name \"\" in route labels");
    }
    Some(pairs.into_iter().collect())
}

/// The names a route may refer to.
struct Names<'a> {
    receivers: &'a BTreeSet<String>,
    intervals: &'a BTreeSet<String>,
}

impl Names<'_> {
    fn known(&self, at: &Cursor<'_>, names: &BTreeSet<String>, what: &str) -> Option<String> {
        let name = value::string(at)?;
        if name.is_empty() || names.contains(&name) {
            return Some(name);
        }
        at.error(format!("undefined {what} {name:?} used in route"))
    }
}

impl ToNode for RouteConfig {
    fn to_node(&self) -> Node {
        let mut fields = Fields::new().nonempty("receiver", &self.receiver);
        // An empty list is written too: it stops the inheritance.
        fields = match &self.group_by {
            None => fields,
            Some(GroupBy::All) => fields.field("group_by", &vec!["...".to_owned()]),
            Some(GroupBy::Labels(names)) => fields.field("group_by", names),
        };
        self.matching
            .write(fields, "match", "match_re", "matchers")
            .nonempty("mute_time_intervals", &self.mute_time_intervals)
            .nonempty("active_time_intervals", &self.active_time_intervals)
            .field("continue", &self.continues)
            .nonempty("routes", &self.routes)
            .nonempty("group_wait", &self.group_wait)
            .nonempty("group_interval", &self.group_interval)
            .nonempty("repeat_interval", &self.repeat_interval)
            .nonempty("labels", &self.labels)
            .node()
    }
}

/// A node with everything inherited from its parents.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The receiver of its notifications.
    pub receiver: String,
    /// The matchers of the node and its parents, `{}/{a="b"}`: the first half of a group key.
    pub key: String,
    /// How long a new group collects alerts.
    pub group_wait: Duration,
    /// How long between two notifications of a changed group; also the time a send may take.
    pub group_interval: Duration,
    /// How long between two notifications of an unchanged group.
    pub repeat_interval: Duration,
    /// Names of the intervals in which it is muted.
    pub mute_time_intervals: Vec<String>,
    /// Names of the intervals outside which it is muted, if any.
    pub active_time_intervals: Vec<String>,
    /// Labels of the route, which may be templates.
    pub labels: BTreeMap<String, String>,
    group_by: GroupBy,
    matchers: Matchers,
    continues: bool,
    children: Vec<usize>,
}

/// The routing tree with its nodes numbered, parents before children.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteTree {
    nodes: Vec<Route>,
}

impl RouteTree {
    /// Resolves what nodes inherit.
    pub fn new(root: &RouteConfig) -> RouteTree {
        let mut tree = RouteTree { nodes: Vec::new() };
        tree.add(root, None);
        tree
    }

    fn add(&mut self, config: &RouteConfig, parent: Option<&Route>) -> usize {
        let matchers = config.matching.resolve();
        let key = match parent {
            Some(parent) => format!("{}/{matchers}", parent.key),
            None => matchers.to_string(),
        };
        let inherit = |own: Option<Duration>, of: fn(&Route) -> Duration, default: u64| {
            own.or(parent.map(of)).unwrap_or(Duration::from_secs(default))
        };
        let mut labels = parent.map_or_else(BTreeMap::new, |p| p.labels.clone());
        labels.extend(config.labels.clone());
        let own = config.receiver.clone().or_else(|| parent.map(|p| p.receiver.clone()));
        let group_by = config.group_by.clone().or_else(|| parent.map(|p| p.group_by.clone()));
        let route = Route {
            receiver: own.unwrap_or_default(),
            key,
            group_wait: inherit(config.group_wait, |p| p.group_wait, 30),
            group_interval: inherit(config.group_interval, |p| p.group_interval, 5 * 60),
            repeat_interval: inherit(config.repeat_interval, |p| p.repeat_interval, 4 * 60 * 60),
            mute_time_intervals: config.mute_time_intervals.clone(),
            active_time_intervals: config.active_time_intervals.clone(),
            labels,
            group_by: group_by.unwrap_or(GroupBy::Labels(Vec::new())),
            matchers,
            continues: config.continues,
            children: Vec::new(),
        };
        let index = self.nodes.len();
        self.nodes.push(route.clone());
        let children = config.routes.iter().map(|child| self.add(child, Some(&route))).collect();
        if let Some(node) = self.nodes.get_mut(index) {
            node.children = children;
        }
        index
    }

    /// The node of a number that [`RouteTree::matching`] gave.
    pub fn get(&self, index: usize) -> Option<&Route> {
        self.nodes.get(index)
    }

    /// All nodes with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Route)> {
        self.nodes.iter().enumerate()
    }

    /// The numbers of the nodes an alert with these labels ends at: depth first, the first match of each
    /// level wins unless it continues. At least the root.
    pub fn matching(&self, labels: &Labels) -> Vec<usize> {
        let mut found = Vec::new();
        self.descend(0, labels, &mut found);
        found
    }

    fn descend(&self, index: usize, labels: &Labels, found: &mut Vec<usize>) -> bool {
        let Some(node) = self.nodes.get(index).filter(|node| node.matchers.matches(labels)) else {
            return false;
        };
        let before = found.len();
        for child in &node.children {
            let matched = self.descend(*child, labels, found);
            if matched && self.nodes.get(*child).is_some_and(|child| !child.continues) {
                break;
            }
        }
        if found.len() == before {
            found.push(index);
        }
        true
    }
}

impl Route {
    /// The labels that identify the group of an alert.
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => labels.without(|name| !names.iter().any(|n| n == name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use novaobs_config::{Document, UnknownKeys};

    use super::*;

    fn read(yaml: &str) -> Result<RouteConfig, String> {
        let document = Document::parse("am.yml", yaml).map_err(|e| e.to_string())?;
        let receivers = ["a", "b", "c"].map(str::to_owned).into();
        let intervals = ["night".to_owned()].into();
        let read = |at: &Cursor<'_>| RouteConfig::read(at, &receivers, &intervals);
        document.read(UnknownKeys::Warn, read).map(|l| l.value).map_err(|e| e.to_string())
    }

    const TREE: &str = r#"
receiver: a
group_by: [alertname]
group_wait: 10s
routes:
- matchers: [severity="critical"]
  receiver: b
  continue: true
  group_by: [...]
  routes:
  - matchers: ['{team=~"x|y"}']
    receiver: c
    repeat_interval: 1h
    group_by: []
- match: {team: x}
  match_re: {svc: m.*}
  group_wait: 1s
- matchers: [team=x]
  receiver: c
"#;

    #[test]
    fn finds_nodes() {
        let tree = RouteTree::new(&read(TREE).unwrap());
        let f = |pairs: &[(&str, &str)], want: &[&str]| {
            let labels = Labels::from_pairs(pairs.iter().copied());
            let found = tree.matching(&labels);
            let shown: Vec<String> = found
                .iter()
                .map(|i| tree.get(*i).unwrap())
                .map(|r| {
                    let group = crate::alert::label_set_text(&r.group_labels(&labels));
                    format!("{} {}:{group} {:?} {:?}", r.receiver, r.key, r.group_wait, r.repeat_interval)
                })
                .collect();
            assert_eq!(shown, want);
        };
        f(&[("alertname", "X"), ("i", "1")], &[r#"a {}:{alertname="X"} 10s 14400s"#]);
        f(
            &[("alertname", "X"), ("severity", "critical"), ("team", "x")],
            &[
                r#"c {}/{severity="critical"}/{team=~"x|y"}:{} 10s 3600s"#,
                r#"c {}/{team="x"}:{alertname="X"} 10s 14400s"#,
            ],
        );
        f(
            &[("severity", "critical"), ("z", "\"")],
            &[r#"b {}/{severity="critical"}:{severity="critical", z="\""} 10s 14400s"#],
        );
        f(&[("team", "x"), ("svc", "mail")], &[r#"a {}/{svc=~"^(?:m.*)$",team="x"}:{} 1s 14400s"#]);
    }

    #[test]
    fn refuses_with_the_peers_words() {
        let f = |yaml: &str, want: &str| {
            let error = read(yaml).unwrap_err();
            assert!(error.contains(want), "{yaml}: {error}");
        };
        f("{}", "root route must specify a default receiver");
        f("{receiver: a, matchers: [a=b]}", "root route must not have any matchers");
        f("{receiver: a, match: {a: b}}", "root route must not have any matchers");
        f("{receiver: a, mute_time_intervals: [night]}", "root route must not have any mute time intervals");
        f(
            "{receiver: a, active_time_intervals: [night]}",
            "root route must not have any active time intervals",
        );
        f("{receiver: a, continue: true}", "cannot have continue in root route");
        f("{receiver: zz}", r#"am.yml:1:12: receiver: undefined receiver "zz" used in route"#);
        f("{receiver: a, routes: [{receiver: zz}]}", r#"undefined receiver "zz" used in route"#);
        f(
            "{receiver: a, routes: [{mute_time_intervals: [x]}]}",
            r#"undefined time interval "x" used in route"#,
        );
        f("{receiver: a, repeat_interval: 0s}", "repeat_interval cannot be zero");
        f("{receiver: a, group_interval: 0s}", "group_interval cannot be zero");
        f("{receiver: a, group_by: [x, x]}", r#"duplicated label "x" in group_by"#);
        f("{receiver: a, group_by: [x, ...]}", "cannot have wildcard group_by (`...`) and other labels");
        f("{receiver: a, routes: [{match: {a-b: c}}]}", r#"invalid label name "a-b""#);
        f("{receiver: a, routes: [{matchers: ['a']}]}", "routes[0].matchers[0]: bad matcher format: a");
        f("{receiver: a, routes: [null]}", "empty or null item");
    }

    #[test]
    fn prints_what_it_read() {
        let config = read(TREE).unwrap();
        let printed = novaobs_config::emit(&config.to_node());
        assert_eq!(RouteTree::new(&read(&printed).unwrap()), RouteTree::new(&config));
    }
}
