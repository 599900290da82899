//! One entry of `scrape_configs`.

use std::collections::BTreeMap;
use std::time::Duration;

use novaobs_config::{Cursor, Fields, Node, Section, ToNode, size, value};
use novaobs_discovery::{RelabelConfig, SdConfig, sd};
use novaobs_http_client::HttpConfig;
use novaobs_wire::exposition::encode::Escaping;
use novaobs_wire::exposition::negotiate::ScrapeProtocol;

use crate::global::{Global, protocols_node, read_escaping, read_name_validation, warn_not_built};

/// The warning on switches of native histograms.
pub(crate) const NOT_BUILT_HISTOGRAMS: &str =
    "native histograms are not stored by this release: histograms are scraped with their classic buckets";

/// Limits of a job; 0 is none. A breach fails the whole scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Bytes of an uncompressed body.
    pub body_size: size::Bytes,
    /// Samples of a scrape after metric relabelling.
    pub samples: u64,
    /// Targets of the job; more mark them all as failed.
    pub targets: u64,
    /// Labels of a series.
    pub labels: u64,
    /// Bytes of a label's name.
    pub label_name_length: u64,
    /// Bytes of a label's value.
    pub label_value_length: u64,
    /// Dropped targets that are kept to be shown.
    pub keep_dropped_targets: u64,
}

impl Limits {
    /// Takes the limits out of a mapping; those not set, or 0, are as in `global`.
    pub(crate) fn read(map: &mut Section<'_>, global: &Limits) -> Limits {
        let mut count = |key, global| match map.or(key, value::u64, 0) {
            0 => global,
            limit => limit,
        };
        Limits {
            samples: count("sample_limit", global.samples),
            targets: count("target_limit", global.targets),
            labels: count("label_limit", global.labels),
            label_name_length: count("label_name_length_limit", global.label_name_length),
            label_value_length: count("label_value_length_limit", global.label_value_length),
            keep_dropped_targets: count("keep_dropped_targets", global.keep_dropped_targets),
            body_size: map
                .optional("body_size_limit", value::size)
                .filter(|limit| limit.0 != 0)
                .unwrap_or(global.body_size),
        }
    }
}

impl ToNode for Limits {
    fn to_node(&self) -> Node {
        Fields::new()
            .nonempty("body_size_limit", &self.body_size)
            .nonempty("sample_limit", &self.samples)
            .nonempty("target_limit", &self.targets)
            .nonempty("label_limit", &self.labels)
            .nonempty("label_name_length_limit", &self.label_name_length)
            .nonempty("label_value_length_limit", &self.label_value_length)
            .nonempty("keep_dropped_targets", &self.keep_dropped_targets)
            .node()
    }
}

/// One job, its defaults filled in from [`Global`].
#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeConfig {
    /// The job label of its targets, unique.
    pub job_name: String,
    /// Whether labels of the target win over its own.
    pub honor_labels: bool,
    /// Whether timestamps of the target are taken.
    pub honor_timestamps: bool,
    /// Whether series with timestamps get staleness markers too.
    pub track_timestamps_staleness: bool,
    /// Query parameters of the URL.
    pub params: BTreeMap<String, Vec<String>>,
    /// How often.
    pub scrape_interval: Duration,
    /// How long at most; not above the interval.
    pub scrape_timeout: Duration,
    /// What is asked for, most wanted first; not empty.
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// What a body without a usable `Content-Type` is read as; without it such a scrape fails.
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    /// The URL's path.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Whether gzip is asked for.
    pub enable_compression: bool,
    /// Limits of its targets and scrapes.
    pub limits: Limits,
    /// Whether names must match the old pattern.
    pub legacy_names: bool,
    /// How targets are asked to write other names.
    pub escaping: Escaping,
    /// Whether scrapes report more about themselves.
    pub extra_scrape_metrics: bool,
    /// Whether native histograms are asked for (not stored yet).
    pub scrape_native_histograms: bool,
    /// How its targets are reached.
    pub http: HttpConfig,
    /// Where its targets come from.
    pub discovery: Vec<SdConfig>,
    /// Applied to targets.
    pub relabel_configs: Vec<RelabelConfig>,
    /// Applied to series.
    pub metric_relabel_configs: Vec<RelabelConfig>,
}

impl ScrapeConfig {
    /// Reads a list of jobs. `names` holds the jobs read so far (from other files too) and gets these.
    pub fn read_list(at: &Cursor<'_>, global: &Global, names: &mut Vec<String>) -> Option<Vec<ScrapeConfig>> {
        let mut jobs = Vec::new();
        for item in at.items()? {
            if item.is_null() {
                item.error::<()>("empty or null scrape config section");
                continue;
            }
            let Some(job) = ScrapeConfig::read(&item, global) else { continue };
            if names.contains(&job.job_name) {
                item.error::<()>(format!("found multiple scrape configs with job name {:?}", job.job_name));
                continue;
            }
            names.push(job.job_name.clone());
            jobs.push(job);
        }
        Some(jobs)
    }

    /// Reads one job.
    pub fn read(at: &Cursor<'_>, global: &Global) -> Option<ScrapeConfig> {
        let mut map = at.mapping();
        let job_name = map.or("job_name", value::string, String::new());
        if job_name.is_empty() {
            map.error_at("job_name", "job_name is empty: give the job a name");
        }
        let (scrape_interval, scrape_timeout) = read_times(&mut map, global, &job_name);
        let scrape_native_histograms =
            map.or("scrape_native_histograms", value::boolean, global.scrape_native_histograms);
        let scrape_protocols = map.optional("scrape_protocols", read_protocols);
        let scrape_protocols = scrape_protocols.or_else(|| global.scrape_protocols.clone());
        let scrape_protocols = scrape_protocols.unwrap_or_else(|| match scrape_native_histograms {
            true => ScrapeProtocol::PROTOBUF_FIRST.to_vec(),
            false => ScrapeProtocol::DEFAULT.to_vec(),
        });
        let (legacy_names, escaping) = read_names(&mut map, global);
        let http = HttpConfig::read_inline(&mut map);
        let discovery = sd::read_inline(&mut map);
        let relabel_configs = map.optional("relabel_configs", RelabelConfig::read_list).unwrap_or_default();
        let metric_relabel_configs =
            map.optional("metric_relabel_configs", RelabelConfig::read_list).unwrap_or_default();
        if relabel_configs.is_empty() {
            refuse_urls(&map, &discovery);
        }
        warn_not_built(&mut map);
        for key in ["native_histogram_bucket_limit", "native_histogram_min_bucket_factor"] {
            if let Some(at) = map.take(key)
                && value::f64(&at).is_some_and(|limit| limit != 0.0)
            {
                at.warn(NOT_BUILT_HISTOGRAMS);
            }
        }
        let config = ScrapeConfig {
            job_name,
            honor_labels: map.or("honor_labels", value::boolean, false),
            honor_timestamps: map.or("honor_timestamps", value::boolean, true),
            track_timestamps_staleness: map.or("track_timestamps_staleness", value::boolean, false),
            params: map
                .or("params", value::map(value::list(value::string)), Vec::new())
                .into_iter()
                .collect(),
            scrape_interval,
            scrape_timeout,
            scrape_protocols,
            fallback_scrape_protocol: map.optional("fallback_scrape_protocol", read_protocol),
            metrics_path: or_text(&mut map, "metrics_path", "/metrics"),
            scheme: or_text(&mut map, "scheme", "http"),
            enable_compression: map.or("enable_compression", value::boolean, true),
            limits: Limits::read(&mut map, &global.limits),
            legacy_names,
            escaping,
            extra_scrape_metrics: map.or("extra_scrape_metrics", value::boolean, global.extra_scrape_metrics),
            scrape_native_histograms,
            http,
            discovery,
            relabel_configs,
            metric_relabel_configs,
        };
        map.finish();
        Some(config)
    }

    /// Whether series text scraped under `other` came to the same labels as it would under this config.
    pub(crate) fn same_series_as(&self, other: &ScrapeConfig) -> bool {
        let comparable = |config: &ScrapeConfig| ScrapeConfig {
            scrape_interval: Duration::ZERO,
            scrape_timeout: Duration::ZERO,
            limits: Limits { samples: 0, ..config.limits.clone() },
            http: HttpConfig::default(),
            discovery: Vec::new(),
            relabel_configs: Vec::new(),
            ..config.clone()
        };
        comparable(self) == comparable(other)
    }
}

fn or_text(map: &mut Section<'_>, key: &'static str, default: &str) -> String {
    map.optional(key, value::string).filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
}

/// Interval and timeout of a job; zero means "not set", as in the peer.
fn read_times(map: &mut Section<'_>, global: &Global, job: &str) -> (Duration, Duration) {
    let interval = map.or("scrape_interval", value::duration, Duration::ZERO);
    let interval = if interval.is_zero() { global.scrape_interval } else { interval };
    let timeout = map.or("scrape_timeout", value::duration, Duration::ZERO);
    if timeout > interval {
        let message =
            format!("scrape timeout greater than scrape interval for scrape config with job name {job:?}");
        map.error_at("scrape_timeout", message);
    }
    (interval, if timeout.is_zero() { global.scrape_timeout.min(interval) } else { timeout })
}

/// Whether names are the old ones, and how others are asked for.
fn read_names(map: &mut Section<'_>, global: &Global) -> (bool, Escaping) {
    let own = read_name_validation(map);
    let legacy = own.unwrap_or(global.legacy_names);
    let default = |legacy| if legacy { Escaping::Underscores } else { Escaping::AllowUtf8 };
    let inherited = match own {
        None => global.escaping.unwrap_or(default(global.legacy_names)),
        Some(legacy) => default(legacy),
    };
    let escaping = read_escaping(map).unwrap_or(inherited);
    if legacy && escaping == Escaping::AllowUtf8 {
        map.error("utf8 metric names requested but validation scheme is not set to UTF8");
    }
    (legacy, escaping)
}

pub(crate) fn read_protocol(at: &Cursor<'_>) -> Option<ScrapeProtocol> {
    let name = value::string(at)?;
    ScrapeProtocol::from_name(&name).or_else(|| {
        let names: Vec<&str> = ScrapeProtocol::ALL.iter().map(|protocol| protocol.name()).collect();
        at.error(format!("unknown scrape protocol {name}, supported: [{}]", names.join(" ")))
    })
}

pub(crate) fn read_protocols(at: &Cursor<'_>) -> Option<Vec<ScrapeProtocol>> {
    let mut protocols: Vec<ScrapeProtocol> = Vec::new();
    for item in at.items()? {
        let protocol = read_protocol(&item)?;
        if protocols.contains(&protocol) {
            return item.error(format!("duplicated protocol in scrape_protocols, got {protocol} twice"));
        }
        protocols.push(protocol);
    }
    if protocols.is_empty() { at.error("scrape_protocols cannot be empty") } else { Some(protocols) }
}

/// Addresses of static targets are no URLs, unless relabelling makes something else of them.
fn refuse_urls(map: &Section<'_>, discovery: &[SdConfig]) {
    let groups = discovery.iter().filter_map(|config| match config {
        SdConfig::Static(groups) => Some(groups),
        _ => None,
    });
    for address in groups.flatten().flat_map(|group| &group.targets).filter(|address| address.contains('/')) {
        let message = format!(
            "{address:?} is not a valid hostname: write host:port, and use scheme and metrics_path for the rest"
        );
        map.error_at("static_configs", message);
    }
}

impl ToNode for ScrapeConfig {
    fn to_node(&self) -> Node {
        let names = if self.legacy_names { "legacy" } else { "utf8" };
        Fields::new()
            .field("job_name", &self.job_name)
            .nonempty("honor_labels", &self.honor_labels)
            .field("honor_timestamps", &self.honor_timestamps)
            .field("track_timestamps_staleness", &self.track_timestamps_staleness)
            .nonempty("params", &self.params)
            .field("scrape_interval", &self.scrape_interval)
            .field("scrape_timeout", &self.scrape_timeout)
            .field("scrape_protocols", &protocols_node(&self.scrape_protocols))
            .nonempty(
                "fallback_scrape_protocol",
                self.fallback_scrape_protocol.map_or("", ScrapeProtocol::name),
            )
            .field("scrape_native_histograms", &self.scrape_native_histograms)
            .field("metrics_path", &self.metrics_path)
            .field("scheme", &self.scheme)
            .field("enable_compression", &self.enable_compression)
            .inline(&self.limits)
            .field("metric_name_validation_scheme", names)
            .field("metric_name_escaping_scheme", self.escaping.name())
            .field("extra_scrape_metrics", &self.extra_scrape_metrics)
            .inline(&self.http)
            .nonempty("relabel_configs", &self.relabel_configs)
            .nonempty("metric_relabel_configs", &self.metric_relabel_configs)
            .inline(&sd::to_node(&self.discovery))
            .node()
    }
}
