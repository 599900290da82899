//! What a query may use, how it stops, and full exports.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use std::sync::atomic::Ordering;
use std::time::Instant;

use novaobs_logql::{Query, QueryError, QueryLimits, Value, export, run};
use novaobs_logql_parser::parse;
use novaobs_model::logs::{LogStream, PairLists, Strings, Tenant};
use novaobs_model::select::{Interrupt, QueryControl};
use novaobs_model::{Labels, Pool, SelectError};
use support::source::{Kind, Memory};

const SECOND: i64 = 1_000_000_000;

fn stream(app: &str, rows: i64) -> LogStream {
    let mut metadata = PairLists::default();
    (0..rows).for_each(|i| metadata.push([("id", format!("{app}{i}").as_str())]));
    LogStream {
        labels: Labels::from_pairs([("app", app)]),
        timestamps: (0..rows).map(|i| i * SECOND).collect(),
        lines: (0..rows)
            .map(|i| format!("{{\"n\":{i},\"pad\":\"{}\"}}", "x".repeat(100)))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect::<Strings>(),
        metadata,
    }
}

fn query(text: &str, step: i64) -> Query {
    Query {
        tenant: Tenant::new("fake"),
        expr: parse(text).unwrap(),
        start: if text.starts_with('{') || step > 0 { 0 } else { 5000 * SECOND },
        end: 5000 * SECOND,
        step,
        interval: 0,
        limit: 10,
        newest_first: true,
        limits: QueryLimits { max_series: 0, max_bytes_read: 0 },
    }
}

fn source() -> Memory {
    Memory::new(vec![stream("a", 3000), stream("b", 2000)], Kind::Shredded, 500)
}

#[test]
fn a_query_takes_its_memory_from_the_pool() {
    let source = source();
    let many = query("count_over_time({app=~\".+\"}[2h])", 0);
    let pool = Pool::root("queries", 100_000);
    let refused = run(&source, &many, &QueryControl::new(pool.clone(), None));
    assert!(matches!(refused, Err(QueryError::Select(SelectError::OverBudget(_)))), "{refused:?}");
    assert_eq!(pool.used(), 0, "what was taken is given back");

    let few = query("sum(count_over_time({app=~\".+\"}[2h]))", 0);
    let answer = run(&source, &few, &QueryControl::new(pool.clone(), None)).unwrap();
    let Value::Vector(series) = answer.value else { panic!() };
    assert_eq!(series[0].points, [(5000 * SECOND, 5000.0)]);
    assert_eq!(pool.used(), 0);

    let mut lines = query("{app=~\".+\"}", 0);
    lines.limit = 4000;
    let refused = run(&source, &lines, &QueryControl::new(pool.clone(), None));
    assert!(matches!(refused, Err(QueryError::Select(SelectError::OverBudget(_)))), "{refused:?}");
}

#[test]
fn a_query_stops_when_it_is_told_to() {
    let source = source();
    for text in [
        "{app=\"a\"}",
        "sum(count_over_time({app=\"a\"}[1h]))",
        "max_over_time({app=\"a\"} | json | unwrap n [1h]) by (app)",
    ] {
        let late = QueryControl::new(Pool::unlimited(), Some(Instant::now()));
        let stopped = run(&source, &query(text, 0), &late);
        assert!(
            matches!(stopped, Err(QueryError::Select(SelectError::Interrupted(Interrupt::TimedOut)))),
            "{text}: {stopped:?}"
        );
        let gone = QueryControl::unlimited();
        gone.cancel_flag().store(true, Ordering::Relaxed);
        let stopped = run(&source, &query(text, 0), &gone);
        assert!(
            matches!(stopped, Err(QueryError::Select(SelectError::Interrupted(Interrupt::Canceled)))),
            "{text}: {stopped:?}"
        );
    }
}

#[test]
fn an_export_gives_every_row_in_order() {
    let source = source();
    for newest_first in [true, false] {
        let mut all = query("{app=~\".+\"} | json | n < 2500", 0);
        all.newest_first = newest_first;
        let mut rows = Vec::new();
        let stats = export(&source, &all, &QueryControl::unlimited(), &mut |row| {
            assert_eq!(row.parsed.get("n"), Some((row.timestamp / SECOND).to_string().as_str()));
            rows.push((row.timestamp, row.labels.value("app").to_owned()));
            true
        })
        .unwrap();
        assert_eq!(rows.len(), 4500);
        assert_eq!(stats.returned_entries, 4500);
        let mut sorted = rows.clone();
        sorted.sort();
        if newest_first {
            sorted.reverse();
        }
        assert_eq!(rows, sorted);
    }
}

#[test]
fn an_export_stops_when_the_reader_does() {
    let mut rows = 0;
    let all = query("{app=\"a\"}", 0);
    export(&source(), &all, &QueryControl::unlimited(), &mut |_| {
        rows += 1;
        rows < 7
    })
    .unwrap();
    assert_eq!(rows, 7);
    let series = query("count_over_time({app=\"a\"}[1m])", 0);
    let refused = export(&source(), &series, &QueryControl::unlimited(), &mut |_| true);
    assert!(matches!(refused, Err(QueryError::Bad(_))), "{refused:?}");
}

#[test]
fn statistics_tell_what_was_read_and_returned() {
    let mut lines = query("{app=\"a\"} |= \"\\\"n\\\":7\" | json", 0);
    lines.limit = 1000;
    let stats = run(&source(), &lines, &QueryControl::unlimited()).unwrap().stats;
    // 7, 7x, 7xx of the numbers below 3000.
    assert_eq!((stats.processed_lines, stats.filtered_lines, stats.returned_entries), (111, 111, 111));
    assert!(stats.processed_bytes > 111 * 100 && stats.metadata_bytes > 0);
}

#[test]
fn a_query_that_would_read_too_much_is_refused() {
    for text in ["{app=\"a\"}", "vector(1) + sum(rate({app=\"a\"}[2h]))"] {
        let mut all = query(text, 0);
        all.limits.max_bytes_read = 1 << 20;
        run(&source(), &all, &QueryControl::unlimited()).unwrap();
        all.limits.max_bytes_read = 2048;
        let refused = run(&source(), &all, &QueryControl::unlimited());
        let Err(QueryError::Bad(refused)) = refused else { panic!("{text} was answered") };
        assert!(refused.starts_with("the query would read too many bytes (query: 3"), "{refused}");
        assert!(refused.contains("limit: 2.0 KiB"), "{refused}");
    }
}
