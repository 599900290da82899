//! `/api/v1/targets` and `/api/v1/scrape_pools`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use novaobs_model::Labels;
use novaobs_scrape::{ActiveTarget, DroppedTarget};
use serde::Serialize;

use super::envelope::{go_seconds, go_time, label_object, success};
use super::params::Params;
use super::{Api, ExternalUrl};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Discovery {
    active_targets: Vec<Active>,
    dropped_targets: Vec<Dropped>,
    /// `null` when dropped targets are not asked for, as in the peer.
    dropped_target_counts: Option<BTreeMap<String, usize>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Active {
    #[serde(serialize_with = "label_object")]
    discovered_labels: Labels,
    #[serde(serialize_with = "label_object")]
    labels: Labels,
    scrape_pool: String,
    scrape_url: String,
    global_url: String,
    last_error: String,
    #[serde(serialize_with = "go_time")]
    last_scrape: Option<i64>,
    #[serde(serialize_with = "go_seconds")]
    last_scrape_duration: Duration,
    health: &'static str,
    scrape_interval: String,
    scrape_timeout: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dropped {
    #[serde(serialize_with = "label_object")]
    discovered_labels: Labels,
    scrape_pool: String,
}

/// `/api/v1/targets?state=active|dropped|any&scrapePool=`.
pub(super) async fn targets(State(api): State<Api>, params: Params) -> Response {
    let state = params.url("state").to_lowercase();
    let pool = params.url("scrapePool");
    let wanted = |kind: &str| matches!(state.as_str(), "" | "any") || state == kind;
    let in_pool = |name: &str| pool.is_empty() || name == pool;
    let all = api.state.targets.targets();
    let mut discovery =
        Discovery { active_targets: Vec::new(), dropped_targets: Vec::new(), dropped_target_counts: None };
    if wanted("active") {
        let active = all.active.into_iter().filter(|target| in_pool(&target.scrape_pool));
        discovery.active_targets = active.map(|target| show(target, &api.state.external)).collect();
    }
    if wanted("dropped") {
        let dropped = all.dropped.into_iter().filter(|target| in_pool(&target.scrape_pool));
        discovery.dropped_targets = dropped
            .map(|DroppedTarget { discovered_labels, scrape_pool }| Dropped {
                discovered_labels,
                scrape_pool,
            })
            .collect();
        discovery.dropped_target_counts = Some(all.dropped_counts);
    }
    success(&discovery, &[])
}

fn show(target: ActiveTarget, external: &ExternalUrl) -> Active {
    Active {
        global_url: global_url(&target.scrape_url, external),
        discovered_labels: target.discovered_labels,
        labels: target.labels,
        scrape_pool: target.scrape_pool,
        scrape_url: target.scrape_url,
        last_error: target.last_error,
        last_scrape: target.last_scrape,
        last_scrape_duration: target.last_scrape_duration,
        health: target.health.as_str(),
        scrape_interval: target.scrape_interval,
        scrape_timeout: target.scrape_timeout,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pools {
    scrape_pools: Vec<String>,
}

/// `/api/v1/scrape_pools`.
pub(super) async fn scrape_pools(State(api): State<Api>, _: Params) -> Response {
    success(&Pools { scrape_pools: api.state.targets.scrape_pools() }, &[])
}

/// A target's URL as others can reach it. A target on this machine gets this server's outside host, and
/// this server itself its whole outside address.
fn global_url(url: &str, external: &ExternalUrl) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = split_host_port(authority);
    if !matches!(host, "127.0.0.1" | "localhost" | "::1") {
        return url.to_owned();
    }
    if port == external.listen_port.to_string() {
        return format!("{}://{}{path}", external.scheme, external.host);
    }
    let (outside, _) = split_host_port(&external.host);
    let outside = if outside.contains(':') { format!("[{outside}]") } else { outside.to_owned() };
    let port = if port.is_empty() { String::new() } else { format!(":{port}") };
    format!("{scheme}://{outside}{port}{path}")
}

/// Host, without brackets, and port, empty if there is none.
fn split_host_port(authority: &str) -> (&str, &str) {
    if let Some(rest) = authority.strip_prefix('[')
        && let Some((host, port)) = rest.split_once(']')
    {
        return (host, port.trim_start_matches(':'));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port),
        _ => (authority, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_targets_get_an_outside_address() {
        let external =
            ExternalUrl { scheme: "https".to_owned(), host: "mon.example.org".to_owned(), listen_port: 9090 };
        for (url, want) in [
            ("http://localhost:9090/metrics", "https://mon.example.org/metrics"),
            ("http://127.0.0.1:9100/metrics?a=b", "http://mon.example.org:9100/metrics?a=b"),
            ("http://[::1]:9100/metrics", "http://mon.example.org:9100/metrics"),
            ("http://localhost/metrics", "http://mon.example.org/metrics"),
            ("http://other:9090/metrics", "http://other:9090/metrics"),
        ] {
            assert_eq!(global_url(url, &external), want);
        }
    }
}
