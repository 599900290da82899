//! Jobs and the global section: what is read, with its defaults, and what is refused or warned about.

use std::time::Duration;

use novaobs_config::{Document, ToNode, UnknownKeys, emit};
use novaobs_model::Labels;
use novaobs_scrape::{Global, ScrapeConfig};

/// Reads a `global` section and jobs; gives problems and warnings as text when there are errors.
fn read(global: &str, jobs: &str) -> Result<(Global, Vec<ScrapeConfig>, String), String> {
    let environment = |name: &str| (name == "REGION").then(|| "eu".to_owned());
    let parse = |text: &str| Document::parse("p.yml", text).map_err(|error| error.to_string());
    let global = parse(global)?
        .read(UnknownKeys::Warn, |at| Global::read(at, &environment))
        .map_err(|error| error.to_string())?;
    let jobs = parse(jobs)?
        .read(UnknownKeys::Warn, |at| ScrapeConfig::read_list(at, &global.value, &mut Vec::new()))
        .map_err(|error| error.to_string())?;
    let warnings: Vec<String> =
        global.warnings.iter().chain(&jobs.warnings).map(|warning| warning.to_string()).collect();
    Ok((global.value, jobs.value, warnings.join("\n")))
}

#[test]
fn defaults_come_from_the_global_section() {
    let (global, jobs, warnings) = read(
        "scrape_interval: 5s\nsample_limit: 10\nexternal_labels: {region: 'x-${REGION}', none: $NONE}",
        "[{job_name: a}, {job_name: b, scrape_interval: 1m, sample_limit: 20, body_size_limit: 1MB}]",
    )
    .unwrap();
    assert_eq!(global.external_labels, Labels::from_pairs([("region", "x-eu")]));
    assert_eq!(global.scrape_timeout, Duration::from_secs(5));
    let times = |job: &ScrapeConfig| (job.scrape_interval.as_secs(), job.scrape_timeout.as_secs());
    assert_eq!(jobs.iter().map(times).collect::<Vec<_>>(), [(5, 5), (60, 5)]);
    assert_eq!(jobs.iter().map(|job| job.limits.samples).collect::<Vec<_>>(), [10, 20]);
    assert_eq!(jobs[1].limits.body_size.0, 1 << 20);
    assert!(warnings.contains("empty environment variable NONE"), "{warnings}");
}

#[test]
fn what_the_peer_refuses_is_refused_with_its_place() {
    let f = |global: &str, jobs: &str, part: &str| {
        let error = read(global, jobs).expect_err(part);
        assert!(error.contains(part), "{error}");
        assert!(error.starts_with("p.yml:"), "{error}");
    };
    f("scrape_timeout: 2m", "[]", "global scrape timeout greater than scrape interval");
    f(
        "",
        "[{job_name: a, scrape_interval: 5s, scrape_timeout: 6s}]",
        "scrape timeout greater than scrape interval for scrape config with job name \"a\"",
    );
    f("", "[{scheme: http}]", "job_name is empty");
    f("", "[{job_name: a}, {job_name: a}]", "found multiple scrape configs with job name \"a\"");
    f("", "[null]", "empty or null scrape config section");
    f(
        "",
        "[{job_name: a, scrape_protocols: [Foo]}]",
        "unknown scrape protocol Foo, supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0]",
    );
    f("", "[{job_name: a, scrape_protocols: []}]", "scrape_protocols cannot be empty");
    f(
        "",
        "[{job_name: a, scrape_protocols: [PrometheusProto, PrometheusProto]}]",
        "duplicated protocol in scrape_protocols",
    );
    f(
        "",
        "[{job_name: a, metric_name_escaping_scheme: allow-utf-8, metric_name_validation_scheme: legacy}]",
        "utf8 metric names requested but validation scheme is not set to UTF8",
    );
    f(
        "",
        "[{job_name: a, static_configs: [{targets: ['http://x/y']}]}]",
        "\"http://x/y\" is not a valid hostname",
    );
}

#[test]
fn unknown_keys_and_what_is_not_built_are_warnings() {
    let (_, jobs, warnings) = read(
        "",
        "- job_name: a\n  scrape_native_histograms: true\n  scrape_intervall: 1s\n  kubernetes_sd_configs: [{role: pod}]\n",
    )
    .unwrap();
    assert_eq!(jobs.len(), 1);
    assert!(
        warnings.contains(
            "p.yml:2:29: [0].scrape_native_histograms: native histograms are not stored by this release"
        ),
        "{warnings}"
    );
    assert!(warnings.contains("did you mean scrape_interval?"), "{warnings}");
}

#[test]
fn what_is_shown_reads_back_the_same() {
    let job = "[{job_name: a, params: {x: ['1', '2']}, metrics_path: /m, honor_labels: true, scheme: https, \
               static_configs: [{targets: ['h:1'], labels: {l: v}}], relabel_configs: [{regex: x, action: labeldrop}], \
               basic_auth: {username: u}, enable_compression: false, label_limit: 3}]";
    let (global, jobs, _) = read("external_labels: {a: b}", job).unwrap();
    let (global_again, jobs_again, warnings) =
        read(&emit(&global.to_node()), &emit(&jobs.to_node())).unwrap();
    assert_eq!((global_again, jobs_again), (global, jobs));
    assert_eq!(warnings, "");
}
