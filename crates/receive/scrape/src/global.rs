//! The `global` section of prometheus.yml: what jobs and rules take when they do not say otherwise.

use std::path::PathBuf;
use std::time::Duration;

use novaobs_config::{Cursor, Fields, Node, Section, ToNode, value};
use novaobs_model::{Labels, labels::is_legacy_label_name};
use novaobs_wire::exposition::encode::Escaping;
use novaobs_wire::exposition::negotiate::ScrapeProtocol;

use crate::config::{Limits, NOT_BUILT_HISTOGRAMS, read_protocols};

/// The `global` section with its defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// How often targets are scraped.
    pub scrape_interval: Duration,
    /// How long a scrape may take.
    pub scrape_timeout: Duration,
    /// What is asked for, most wanted first; `None` leaves it to each job.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// How often rules are evaluated.
    pub evaluation_interval: Duration,
    /// How far in the past rules are evaluated.
    pub rule_query_offset: Duration,
    /// The file that queries are logged to; empty for none.
    pub query_log_file: PathBuf,
    /// Labels of this server, for what leaves it; `$VAR` and `${VAR}` are replaced from the environment.
    pub external_labels: Labels,
    /// Limits of jobs that set none.
    pub limits: Limits,
    /// Whether names must match the pattern that was usual before UTF-8 names.
    pub legacy_names: bool,
    /// How targets are asked to write other names; `None` follows from the above.
    pub escaping: Option<Escaping>,
    /// Whether scrapes report more about themselves.
    pub extra_scrape_metrics: bool,
    /// Whether native histograms are asked for (not stored yet).
    pub scrape_native_histograms: bool,
}

impl Default for Global {
    fn default() -> Self {
        Global {
            scrape_interval: Duration::from_secs(60),
            scrape_timeout: Duration::from_secs(10),
            scrape_protocols: None,
            evaluation_interval: Duration::from_secs(60),
            rule_query_offset: Duration::ZERO,
            query_log_file: PathBuf::new(),
            external_labels: Labels::empty(),
            limits: Limits::default(),
            legacy_names: false,
            escaping: Some(Escaping::AllowUtf8),
            extra_scrape_metrics: false,
            scrape_native_histograms: false,
        }
    }
}

impl Global {
    /// Reads the section; `environment` looks variables up for `external_labels`.
    pub fn read(at: &Cursor<'_>, environment: &dyn Fn(&str) -> Option<String>) -> Option<Global> {
        let defaults = Global::default();
        let mut map = at.mapping();
        let scrape_interval = duration_or(&mut map, "scrape_interval", defaults.scrape_interval);
        let timeout = map.or("scrape_timeout", value::duration, Duration::ZERO);
        if timeout > scrape_interval {
            map.error_at("scrape_timeout", "global scrape timeout greater than scrape interval");
        }
        let scrape_timeout =
            if timeout.is_zero() { defaults.scrape_timeout.min(scrape_interval) } else { timeout };
        let scrape_protocols = map.optional("scrape_protocols", read_protocols);
        let evaluation_interval = duration_or(&mut map, "evaluation_interval", defaults.evaluation_interval);
        let rule_query_offset = map.or("rule_query_offset", value::duration, Duration::ZERO);
        let query_log_file = map.or("query_log_file", value::path, PathBuf::new());
        let legacy_names = read_name_validation(&mut map).unwrap_or(false);
        let escaping = read_escaping(&mut map);
        let external_labels =
            map.optional("external_labels", |at| read_external(at, legacy_names, environment));
        let limits = Limits::read(&mut map, &Limits::default());
        let extra_scrape_metrics = map.or("extra_scrape_metrics", value::boolean, false);
        let scrape_native_histograms = map.or("scrape_native_histograms", value::boolean, false);
        warn_not_built(&mut map);
        map.finish();
        Some(Global {
            scrape_interval,
            scrape_timeout,
            scrape_protocols,
            evaluation_interval,
            rule_query_offset,
            query_log_file,
            external_labels: external_labels.unwrap_or_default(),
            limits,
            legacy_names,
            escaping,
            extra_scrape_metrics,
            scrape_native_histograms,
        })
    }
}

/// A duration of which zero means "not set", as in the peer.
fn duration_or(map: &mut Section<'_>, key: &'static str, default: Duration) -> Duration {
    Some(map.or(key, value::duration, default)).filter(|d| !d.is_zero()).unwrap_or(default)
}

/// `metric_name_validation_scheme`: whether it is `legacy`.
pub(crate) fn read_name_validation(map: &mut Section<'_>) -> Option<bool> {
    map.optional("metric_name_validation_scheme", value::one_of(&[("utf8", false), ("legacy", true)]))
}

/// `metric_name_escaping_scheme`.
pub(crate) fn read_escaping(map: &mut Section<'_>) -> Option<Escaping> {
    const SCHEMES: [(&str, Escaping); 4] = [
        ("allow-utf-8", Escaping::AllowUtf8),
        ("underscores", Escaping::Underscores),
        ("dots", Escaping::Dots),
        ("values", Escaping::Values),
    ];
    map.optional("metric_name_escaping_scheme", value::one_of(&SCHEMES))
}

/// Warns about features that are understood but not built. `scrape_native_histograms` must have been read.
pub(crate) fn warn_not_built(map: &mut Section<'_>) {
    if let Some(at) = map.take("scrape_native_histograms")
        && matches!(&at.node().value, novaobs_config::Value::Scalar { text, .. } if text == "true")
    {
        at.warn(NOT_BUILT_HISTOGRAMS);
    }
    for key in ["convert_classic_histograms_to_nhcb", "always_scrape_classic_histograms"] {
        if let Some(at) = map.take(key)
            && value::boolean(&at) == Some(true)
        {
            at.warn(NOT_BUILT_HISTOGRAMS);
        }
    }
    if let Some(at) = map.take("scrape_failure_log_file")
        && !at.is_null()
    {
        at.warn("scrape failures are not logged to a file by this release: see the targets page for the last error");
    }
}

fn read_external(
    at: &Cursor<'_>,
    legacy_names: bool,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<Labels> {
    let mut pairs = Vec::new();
    for (name, at) in at.entries()? {
        if name.is_empty() || (legacy_names && !is_legacy_label_name(name)) {
            at.error::<()>(format!("{name:?} is not a valid label name"));
        }
        let written = value::string(&at)?;
        let mut missing = Vec::new();
        pairs.push((
            name,
            expand_variables(&written, &mut |variable| {
                environment(variable).filter(|value| !value.is_empty()).unwrap_or_else(|| {
                    missing.push(variable.to_owned());
                    String::new()
                })
            }),
        ));
        for variable in missing {
            at.warn(format!("empty environment variable {variable}"));
        }
    }
    Some(Labels::from_pairs(pairs))
}

/// Replaces `$name` and `${name}` as Go's `os.Expand` does; `$$` is a dollar.
fn expand_variables(text: &str, look_up: &mut dyn FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('$') {
        out.push_str(plain);
        let (name, used) = variable_name(after);
        match name {
            "$" => out.push('$'),
            "" if used > 0 => {}
            "" => out.push('$'),
            name => out.push_str(&look_up(name)),
        }
        rest = after.get(used..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

/// The variable's name after a dollar, and how much text it took.
fn variable_name(after: &str) -> (&str, usize) {
    let special = |c: char| "*#$@!?-".contains(c) || c.is_ascii_digit();
    if let Some(braced) = after.strip_prefix('{') {
        return match braced.find('}') {
            Some(0) => ("", 2),
            Some(end) => (braced.get(..end).unwrap_or(""), end + 2),
            None => ("", 1),
        };
    }
    if after.starts_with(special) {
        return (after.get(..1).unwrap_or(""), 1);
    }
    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
    (after.get(..end).unwrap_or(""), end)
}

impl ToNode for Global {
    fn to_node(&self) -> Node {
        let names = if self.legacy_names { "legacy" } else { "utf8" };
        Fields::new()
            .field("scrape_interval", &self.scrape_interval)
            .field("scrape_timeout", &self.scrape_timeout)
            .nonempty("scrape_protocols", &protocols_node(self.scrape_protocols.as_deref().unwrap_or(&[])))
            .field("evaluation_interval", &self.evaluation_interval)
            .field("rule_query_offset", &self.rule_query_offset)
            .nonempty("query_log_file", &self.query_log_file)
            .nonempty("external_labels", &self.external_labels)
            .inline(&self.limits)
            .field("metric_name_validation_scheme", names)
            .nonempty("metric_name_escaping_scheme", self.escaping.map_or("", Escaping::name))
            .field("scrape_native_histograms", &self.scrape_native_histograms)
            .field("extra_scrape_metrics", &self.extra_scrape_metrics)
            .node()
    }
}

/// Protocols as they are written.
pub(crate) fn protocols_node(protocols: &[ScrapeProtocol]) -> Node {
    Node::sequence(protocols.iter().map(|protocol| Node::text(protocol.name())))
}

#[cfg(test)]
mod tests {
    use super::expand_variables;

    #[test]
    fn expands_as_go_does() {
        let f = |text: &str, want: &str| {
            assert_eq!(expand_variables(text, &mut |name| format!("<{name}>")), want, "{text}");
        };
        f("plain", "plain");
        f("a$b-${c}d", "a<b>-<c>d");
        f("$$x $", "$x $");
        f("${}x ${open", "x open");
        f("$1a", "<1>a");
    }
}
