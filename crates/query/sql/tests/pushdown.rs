//! What stores are asked for: conditions go to them, and only what a query reads comes from them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod support;

use std::sync::Arc;

use novaobs_model::logs::{FieldSource, LineMatch, LineWanted, LogStream, Order};
use support::{Asked, MIDNIGHT, SECOND, Store, csv, engine, order, shop, stream};

/// Runs a query over memory and gives what its last scan asked for.
async fn asked(sql: &str) -> Asked {
    let store = Store::in_memory(shop(), 4);
    let answer = csv(&engine(&store), sql).await;
    assert!(!answer.starts_with("error"), "{sql}: {answer}");
    store.last()
}

fn matchers(asked: &Asked) -> Vec<String> {
    asked.scan.matchers.iter().map(ToString::to_string).collect()
}

fn nothing_but_time(asked: &Asked) {
    let columns = &asked.scan.columns;
    assert_eq!(
        (columns.line, columns.metadata, columns.fields.len()),
        (LineWanted::Never, false, 0),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_count_reads_no_lines() {
    nothing_but_time(&asked("SELECT count(*) FROM logs").await);
    nothing_but_time(&asked("SELECT labels['service'], count(*) FROM logs GROUP BY 1").await);
    let by_word = asked("SELECT count(*) FROM logs WHERE line LIKE '%deadlock%'").await;
    nothing_but_time(&by_word);
    assert_eq!(by_word.rows, 1);
    nothing_but_time(&asked("SELECT date_trunc('hour', timestamp), count(*) FROM logs GROUP BY 1").await);
}

#[tokio::test]
async fn times_are_the_range_of_the_scan() {
    let all = asked("SELECT count(*) FROM logs").await;
    assert_eq!((all.scan.start, all.scan.end), (i64::MIN, i64::MAX));
    let some = asked(
        "SELECT count(*) FROM logs WHERE timestamp > '2024-05-01T00:00:01Z' AND timestamp <= TIMESTAMP '2024-05-01 00:00:03'",
    )
    .await;
    assert_eq!((some.scan.start, some.scan.end), (MIDNIGHT + SECOND + 1, MIDNIGHT + 3 * SECOND + 1));
    nothing_but_time(&some);
    let recent = asked("SELECT count(*) FROM logs WHERE timestamp > now() - INTERVAL '1 hour'").await;
    assert!(recent.scan.start > MIDNIGHT);
    nothing_but_time(&recent);
    let none =
        asked("SELECT count(*) FROM logs WHERE timestamp BETWEEN '2024-05-01' AND '2024-05-01T00:00:01Z'")
            .await;
    assert_eq!((none.scan.start, none.scan.end, none.rows), (MIDNIGHT, MIDNIGHT + SECOND + 1, 2));
}

#[tokio::test]
async fn conditions_on_labels_are_matchers() {
    for (condition, expected) in [
        ("labels['service'] = 'api'", vec![r#"service="api""#]),
        ("'api' = labels['service']", vec![r#"service="api""#]),
        ("labels['zone'] <> 'b'", vec![r#"zone!="b""#, r#"zone!="""#]),
        ("labels['service'] IN ('api', 'd.b')", vec![r#"service=~"api|d\\.b""#, r#"service!="""#]),
        ("labels['zone'] IS NULL", vec![r#"zone="""#]),
        ("labels['service'] ~ 'a|b'", vec![r#"service=~"(?s:.*)(?-s:a|b)(?s:.*)""#, r#"service!="""#]),
    ] {
        let asked = asked(&format!("SELECT count(*) FROM logs WHERE {condition}")).await;
        assert_eq!(matchers(&asked), expected, "{condition}");
        nothing_but_time(&asked);
    }
    // What no matcher can say is tested by the scan, still without lines.
    let greater = asked("SELECT count(*) FROM logs WHERE labels['service'] > 'b'").await;
    assert!(matchers(&greater).is_empty());
    nothing_but_time(&greater);
}

#[tokio::test]
async fn conditions_on_lines_are_line_tests() {
    let two = asked("SELECT count(*) FROM logs WHERE line LIKE '%a%' AND line NOT LIKE '%b%'").await;
    let texts: Vec<(bool, LineMatch)> =
        two.scan.lines.iter().map(|test| (test.negated, test.any[0].clone())).collect();
    assert_eq!(texts, [(false, LineMatch::Text("a".into())), (true, LineMatch::Text("b".into()))]);
    nothing_but_time(&two);
    let either = asked("SELECT count(*) FROM logs WHERE contains(line, 'x') OR line LIKE '%y%'").await;
    assert_eq!(either.scan.lines[0].any.len(), 2);
    nothing_but_time(&either);
    for condition in
        ["line LIKE 'a%b'", "line ILIKE '%ERROR%'", "regexp_like(line, 'call [0-3]')", "line ~ 'a+'"]
    {
        let asked = asked(&format!("SELECT count(*) FROM logs WHERE {condition}")).await;
        assert_eq!(asked.scan.lines.len(), 1, "{condition}");
        nothing_but_time(&asked);
    }
    // Digits of SQL's expressions are Unicode's: tested here.
    let digits = asked(r"SELECT count(*) FROM logs WHERE line ~ '\d'").await;
    assert_eq!((digits.scan.lines.len(), digits.scan.columns.line), (0, LineWanted::Always));
}

#[tokio::test]
async fn conditions_on_fields_are_hints() {
    let slow =
        asked("SELECT labels['service'], count(*) FROM logs WHERE field('status') >= 500 GROUP BY 1").await;
    let hints: Vec<(FieldSource, &str)> =
        slow.scan.fields.iter().map(|test| (test.field.source, &*test.field.name)).collect();
    assert_eq!(hints, [(FieldSource::Json, "status"), (FieldSource::Logfmt, "status")]);
    let hint = &slow.scan.fields[0];
    assert!((hint.accepts)(Some("500")) && !(hint.accepts)(Some("499.5")) && !(hint.accepts)(None));
    assert!(!(hint.accepts)(Some("x")));
    assert!(hint.range.unwrap().accepts(500.0) && !hint.range.unwrap().accepts(499.0));
    assert_eq!(slow.scan.columns.line, LineWanted::Unless(FieldSource::Json));
    assert_eq!(slow.scan.columns.fields.len(), 2);

    let trace = asked("SELECT count(*) FROM logs WHERE metadata['trace_id'] = 't1'").await;
    assert_eq!(trace.scan.fields[0].one_of, Some(vec!["t1".into()]));
    assert_eq!(
        (trace.scan.columns.line, trace.scan.columns.metadata, trace.rows),
        (LineWanted::Never, false, 5)
    );

    let either =
        asked("SELECT count(*) FROM logs WHERE field('status') = '404' OR field('status') IS NULL").await;
    let accepts = &either.scan.fields[0].accepts;
    assert!(accepts(None) && accepts(Some("404")) && !accepts(Some("500")));
}

#[tokio::test]
async fn only_columns_that_are_read_are_asked_for() {
    let deep =
        asked("SELECT s, count(*) FROM (SELECT labels['service'] AS s, line FROM logs) GROUP BY s").await;
    nothing_but_time(&deep);
    let field = asked("SELECT avg(field('ms')) FROM logs WHERE labels['service'] = 'api'").await;
    assert_eq!(field.scan.columns.fields.len(), 2);
    assert_ne!(field.scan.columns.line, LineWanted::Always);
    let line = asked("SELECT line FROM logs WHERE field('status') = 500").await;
    assert_eq!(line.scan.columns.line, LineWanted::Always);
}

fn long() -> Vec<LogStream> {
    let lines: Vec<String> = (0..1000).map(|n| format!("n={n}")).collect();
    vec![stream(&[("app", "long")], 0, &lines)]
}

#[tokio::test]
async fn a_limit_ends_the_scan() {
    let store = Store::in_memory(long(), 10);
    let engine = engine(&store);
    assert_eq!(csv(&engine, "SELECT line FROM logs LIMIT 3").await.lines().count(), 4);
    assert_eq!(store.last().rows, 10);
    let last = csv(&engine, "SELECT line FROM logs WHERE field('n') >= 500 LIMIT 1").await;
    assert_eq!(last, "line\nn=500\n");
    assert_eq!(store.last().rows, 510);
}

#[tokio::test]
async fn the_newest_rows_are_found_without_the_others() {
    let store: Arc<Store> = Store::in_memory(long(), 10);
    let engine = engine(&store);
    let newest = csv(&engine, "SELECT line FROM logs ORDER BY timestamp DESC LIMIT 2").await;
    assert_eq!(newest, "line\nn=999\nn=998\n");
    let asked = store.last();
    assert_eq!(order(&asked), Order::Newest);
    assert!(
        asked.bounds.last().is_some_and(|(start, _)| *start > MIDNIGHT + 900 * SECOND),
        "{:?}",
        asked.bounds
    );
    assert!(asked.rows < 200, "{} rows read", asked.rows);
    let oldest = csv(&engine, "SELECT line FROM logs ORDER BY timestamp LIMIT 1").await;
    assert_eq!((oldest.as_str(), order(&store.last())), ("line\nn=0\n", Order::Oldest));
}

#[tokio::test]
async fn a_plan_shows_what_the_store_does() {
    let sql = "EXPLAIN SELECT count(*) FROM logs WHERE labels['service'] = 'api' AND line LIKE '%x%' AND field('status') >= 500";
    let plan = csv(&engine(&Store::in_memory(shop(), 4)), sql).await;
    let scan = plan.lines().find(|line| line.contains("LogScan")).unwrap();
    assert_eq!(
        scan.trim(),
        r#"LogScan: columns=[], service=""api"", line tests=1, hint=Json status, hint=Logfmt status, filter=number(field('status'))@0 >= 500"#
    );
}
