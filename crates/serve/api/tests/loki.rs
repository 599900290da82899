//! The Loki face, text in, text out: the files under `tests/loki` hold pushes, requests and their answers.
//! `UPDATE_EXPECT=1 cargo test` writes the answers; read the difference.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod loki_support;

use std::time::Duration;

use expect_test::expect_file;
use loki_support::{Fixture, answers};
use novaobs_tenants::Limits;
use novaobs_tenants::limits::BlockedQuery;

macro_rules! file_tests {
    ($($name:ident: $file:literal with $fixture:expr,)*) => {$(
        #[tokio::test]
        async fn $name() {
            let router = $fixture.router();
            let text = answers(include_str!(concat!("loki/", $file)), &router).await;
            expect_file![concat!("loki/", $file)].assert_eq(&text);
        }
    )*};
}

/// Limits under which lines are kept as they are pushed.
fn plain() -> Limits {
    Limits { discover_log_levels: false, discover_service_name: Vec::new(), ..Fixture::default().limits }
}

/// Limits that are easily exceeded.
fn tight() -> Limits {
    let blocked = |pattern: &str, regex: bool, tags: &[(&str, &str)]| BlockedQuery {
        pattern: pattern.to_owned(),
        regex,
        types: Vec::new(),
        hash: 0,
        tags: tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    Limits {
        max_entries_limit_per_query: 2,
        max_query_length: Duration::from_secs(86_400),
        max_query_range: Duration::from_secs(3600),
        max_streams_matchers_per_query: 3,
        required_labels: vec!["app".to_owned()],
        minimum_labels_number: 2,
        volume_enabled: false,
        blocked_queries: vec![
            blocked("{app=\"x\",env=\"p\"}|=\"blocked\"", false, &[]),
            blocked("secret [0-9]", true, &[]),
            blocked(".*tagged.*", true, &[("Source", "bad")]),
        ],
        ..plain()
    }
}

file_tests! {
    parameters: "parameters.test" with Fixture::default(),
    queries: "queries.test" with Fixture::default(),
    labels_and_figures: "labels.test" with Fixture::default(),
    fields_patterns_and_old_routes: "detected.test" with Fixture::default(),
    deletes_rules_and_pages: "admin.test" with Fixture::default(),
    tenants: "tenants.test" with Fixture { auth: true, limits: plain(), ..Fixture::default() },
    limits: "limits.test" with Fixture { limits: tight(), patterns: false, ..Fixture::default() },
    pages_and_export: "pages.test" with Fixture::default(),
}
