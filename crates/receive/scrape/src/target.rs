//! From a discovered target to what is scraped: labels, URL, identity and last state.

use std::time::Duration;

use novaobs_discovery::{TargetGroup, relabel};
use novaobs_model::{Labels, LabelsBuilder, duration, labels::go_quote};
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::ScrapeConfig;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const SCRAPE_INTERVAL: &str = "__scrape_interval__";
const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
const PARAM_PREFIX: &str = "__param_";

/// Labels that switch features of native histograms per target: checked, without effect yet.
const HISTOGRAM_SWITCHES: [(&str, &str); 3] = [
    ("__convert_classic_histograms_to_nhcb__", "convert classic histograms to nhcb"),
    ("__always_scrape_classic_histograms__", "always scrape classic histograms"),
    ("__scrape_native_histograms__", "scrape native histograms"),
];

/// Why a discovered target cannot be scraped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Relabelling left none.
    #[error("no address")]
    NoAddress,
    /// The address looks like a URL.
    #[error("{0} is not a valid hostname")]
    Address(String),
    /// Interval or timeout are no durations, or do not fit together.
    #[error("{0}")]
    Times(String),
    /// A switch is neither true nor false.
    #[error("error parsing {0}: strconv.ParseBool: parsing {1}: invalid syntax")]
    Switch(&'static str, String),
}

/// The labels of a target before relabelling: its own, its group's, then the job's defaults.
pub fn discovered_labels(config: &ScrapeConfig, group: &TargetGroup, own: &Labels) -> LabelsBuilder {
    let mut labels = LabelsBuilder::from_labels(own);
    let mut default = |name: &str, value: &str| {
        if labels.get(name).is_empty() {
            labels.set(name, value);
        }
    };
    for (name, value) in &group.labels {
        if own.get(name).is_none() {
            default(name, value);
        }
    }
    default("job", &config.job_name);
    default(SCRAPE_INTERVAL, &duration::format(config.scrape_interval));
    default(SCRAPE_TIMEOUT, &duration::format(config.scrape_timeout));
    default(METRICS_PATH, &config.metrics_path);
    default(SCHEME, &config.scheme);
    for (name, _) in HISTOGRAM_SWITCHES {
        let on = name == "__scrape_native_histograms__" && config.scrape_native_histograms;
        default(name, if on { "true" } else { "false" });
    }
    for (name, values) in &config.params {
        if let Some(first) = values.first() {
            default(&format!("{PARAM_PREFIX}{name}"), first);
        }
    }
    labels
}

/// Relabels and checks a target; `None` when relabelling drops it.
///
/// # Errors
/// [`TargetError`].
pub fn target_labels(
    config: &ScrapeConfig,
    discovered: &LabelsBuilder,
) -> Result<Option<Labels>, TargetError> {
    let mut labels = discovered.clone();
    if !relabel::process_builder(&mut labels, &config.relabel_configs) {
        return Ok(None);
    }
    let address = labels.get(ADDRESS).to_owned();
    if address.is_empty() {
        return Err(TargetError::NoAddress);
    }
    if address.contains('/') {
        return Err(TargetError::Address(go_quote(&address)));
    }
    check_times(labels.get(SCRAPE_INTERVAL), labels.get(SCRAPE_TIMEOUT)).map_err(TargetError::Times)?;
    for (name, what) in HISTOGRAM_SWITCHES {
        let value = labels.get(name);
        let known = ["", "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"];
        if !known.contains(&value) {
            return Err(TargetError::Switch(what, go_quote(value)));
        }
    }
    let meta: Vec<String> = labels
        .iter()
        .filter(|(name, _)| name.starts_with("__meta_"))
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in meta {
        labels.remove(&name);
    }
    if labels.get("instance").is_empty() {
        labels.set("instance", &address);
    }
    Ok(Some(labels.build()))
}

fn check_times(interval: &str, timeout: &str) -> Result<(), String> {
    let parse = |what: &str, text: &str| match duration::parse(text) {
        Ok(length) if length.is_zero() => Err(format!("{what} cannot be 0")),
        Ok(length) => Ok(length),
        Err(error) => Err(format!("error parsing {what}: {error}")),
    };
    let (interval_length, timeout_length) =
        (parse("scrape interval", interval)?, parse("scrape timeout", timeout)?);
    if timeout_length > interval_length {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval ({} > {})",
            go_quote(timeout),
            go_quote(interval)
        ));
    }
    Ok(())
}

/// How the last scrape went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// It worked.
    Up,
    /// It did not.
    Down,
}

impl Health {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// What is known of a target's last scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastScrape {
    pub(crate) health: Health,
    /// Empty when it worked.
    pub(crate) error: String,
    /// Unix milliseconds.
    pub(crate) at: Option<i64>,
    pub(crate) took: Duration,
}

/// A target that is scraped.
#[derive(Debug)]
pub(crate) struct Target {
    /// All labels after relabelling, those that begin with `__` too.
    labels: Labels,
    /// The labels of its series.
    public: Labels,
    url: String,
    hash: u64,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    discovered: Mutex<Labels>,
    last: Mutex<LastScrape>,
}

impl Target {
    pub(crate) fn new(config: &ScrapeConfig, labels: Labels, discovered: Labels) -> Self {
        let url = url_of(config, &labels);
        let hash = labels.stable_hash() ^ xxh3_64(url.as_bytes()).rotate_left(1);
        let time = |name, default| duration::parse(labels.value(name)).unwrap_or(default);
        Target {
            public: labels.without(|name| name.starts_with("__")),
            interval: time(SCRAPE_INTERVAL, config.scrape_interval),
            timeout: time(SCRAPE_TIMEOUT, config.scrape_timeout),
            labels,
            url,
            hash,
            discovered: Mutex::new(discovered),
            last: Mutex::default(),
        }
    }

    pub(crate) fn public(&self) -> &Labels {
        &self.public
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Equal for equal labels and URL.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The interval as relabelling left it.
    pub(crate) fn interval_label(&self) -> &str {
        self.labels.value(SCRAPE_INTERVAL)
    }

    /// The timeout as relabelling left it.
    pub(crate) fn timeout_label(&self) -> &str {
        self.labels.value(SCRAPE_TIMEOUT)
    }

    pub(crate) fn discovered(&self) -> Labels {
        self.discovered.lock().clone()
    }

    pub(crate) fn set_discovered(&self, labels: Labels) {
        *self.discovered.lock() = labels;
    }

    pub(crate) fn last(&self) -> LastScrape {
        self.last.lock().clone()
    }

    /// Takes over what was known of the target under an earlier configuration.
    pub(crate) fn adopt(&self, last: LastScrape) {
        *self.last.lock() = last;
    }

    pub(crate) fn report(&self, at: i64, took: Duration, error: Option<String>) {
        let health = if error.is_none() { Health::Up } else { Health::Down };
        *self.last.lock() = LastScrape { health, error: error.unwrap_or_default(), at: Some(at), took };
    }

    /// Time from `now` (Unix) until the target's next turn. Turns are pinned to absolute time by the
    /// target's hash and the server's `seed`, so that scrapes spread over the interval, stay in place over
    /// restarts, and differ between two servers with the same config.
    pub(crate) fn offset(&self, now: Duration, seed: u64) -> Duration {
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let into = u64::try_from(now.as_nanos() % u128::from(interval)).unwrap_or(0);
        let turn = (self.hash ^ seed) % interval;
        Duration::from_nanos(if turn >= into { turn - into } else { interval - (into - turn) })
    }
}

/// The URL of a target: the job's parameters, of each the first overridden by its label.
fn url_of(config: &ScrapeConfig, labels: &Labels) -> String {
    let mut params = config.params.clone();
    for (name, value) in labels {
        let Some(name) = name.strip_prefix(PARAM_PREFIX) else { continue };
        let values = params.entry(name.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => value.clone_into(first),
            None => values.push(value.to_owned()),
        }
    }
    let mut url = format!("{}://{}", labels.value(SCHEME), labels.value(ADDRESS));
    let path = labels.value(METRICS_PATH);
    if !path.is_empty() && !path.starts_with('/') {
        url.push('/');
    }
    push_escaped(&mut url, path, b"-_.~$&+,/:;=@");
    let mut separator = '?';
    for (name, value) in
        params.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
    {
        url.push(separator);
        push_escaped(&mut url, name, b"-_.~ ");
        url.push('=');
        push_escaped(&mut url, value, b"-_.~ ");
        separator = '&';
    }
    url
}

/// Percent-escapes all but letters, digits and `kept`; a blank that is kept is written `+`.
fn push_escaped(out: &mut String, text: &str, kept: &[u8]) {
    for byte in text.bytes() {
        match byte {
            b' ' if kept.contains(&b' ') => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || kept.contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}
