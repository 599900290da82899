//! Queries that must not run, and queries that must end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use novaobs_model::logs::{LogBatch, LogCursor, LogScan, LogSource, LogStats, ScanStats, StreamRun, Tenant};
use novaobs_model::select::{Interrupt, QueryControl, SelectError};
use novaobs_model::{Labels, Matcher, Pool};
use novaobs_sql::format::Format;
use novaobs_sql::{SqlEngine, SqlError, SqlOptions};
use support::{Store, answer, csv, engine, shop, stream};

async fn error(engine: &SqlEngine, sql: &str, control: QueryControl) -> SqlError {
    match answer(engine, sql, control, Format::Csv).await {
        Err(error) => error,
        Ok(rows) => panic!("{sql} gave {}", String::from_utf8_lossy(&rows)),
    }
}

#[tokio::test]
async fn only_queries_run() {
    let engine = engine(&Store::in_memory(shop(), 4));
    for sql in [
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT * FROM logs",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "CREATE SCHEMA s",
        "DROP TABLE logs",
        "COPY logs TO '/tmp/novaobs-sql-test.csv'",
        "COPY (SELECT 1) TO '/tmp/novaobs-sql-test.csv'",
        "INSERT INTO logs SELECT * FROM logs",
        "UPDATE logs SET line = ''",
        "DELETE FROM logs",
        "TRUNCATE TABLE logs",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "SELECT * INTO t FROM logs",
        "EXPLAIN INSERT INTO logs SELECT * FROM logs",
        "EXPLAIN ANALYZE COPY logs TO '/tmp/novaobs-sql-test.csv'",
        "BEGIN",
        "GRANT SELECT ON logs TO x",
    ] {
        let error = error(&engine, sql, QueryControl::unlimited()).await;
        assert!(matches!(error, SqlError::Forbidden(_) | SqlError::Invalid(_)), "{sql}: {error:?}");
        if !sql.starts_with("EXPLAIN") {
            assert!(!error.to_string().is_empty());
        }
    }
    assert_eq!(
        error(&engine, "DROP TABLE logs", QueryControl::unlimited()).await.to_string(),
        "DROP TABLE is not allowed: only queries are (SELECT, EXPLAIN, DESCRIBE, SHOW TABLES, SHOW COLUMNS)"
    );
    assert!(!std::path::Path::new("/tmp/novaobs-sql-test.csv").exists());
}

#[tokio::test]
async fn files_and_addresses_are_no_tables() {
    let engine = engine(&Store::in_memory(shop(), 4));
    for sql in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'http://127.0.0.1/x.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT repeat('x', 2000000000)",
        "SELECT lpad('x', 2000000000)",
        "SELECT array_repeat(1, 2000000000)",
    ] {
        let error = error(&engine, sql, QueryControl::unlimited()).await;
        assert!(matches!(error, SqlError::Invalid(_)), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn nesting_ends_in_an_error_and_length_in_an_answer() {
    let engine = engine(&Store::in_memory(shop(), 4));
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(matches!(error(&engine, &deep, QueryControl::unlimited()).await, SqlError::Invalid(_)));
    let wide = format!("SELECT 1 WHERE 1 IN ({}1)", "2,".repeat(5000));
    assert_eq!(csv(&engine, &wide).await.lines().count(), 2);
    let fields = format!("SELECT count(*) FROM logs WHERE field('status') IN ({}404)", "2,".repeat(100));
    assert_eq!(csv(&engine, &fields).await.lines().last(), Some("2"));
    let words = format!("SELECT count(*) FROM logs WHERE line = 'a'{}", " OR line LIKE '%a%b'".repeat(1000));
    assert_eq!(csv(&engine, &words).await.lines().last(), Some("0"));
    for (sql, error_is) in [
        (format!("SELECT 1{}", "+1".repeat(30_000)), "a query of 30000 operators, at most 2000 are planned"),
        (
            format!("SELECT 1{}", "+1".repeat(200)),
            "a query of 200 operators within each other, at most 100 are planned",
        ),
        (
            format!("SELECT 1{}", " UNION SELECT 1".repeat(200)),
            "a query of 201 SELECTs, at most 100 are planned",
        ),
    ] {
        assert_eq!(error(&engine, &sql, QueryControl::unlimited()).await.to_string(), error_is);
    }
    let long = format!("SELECT '{}'", "x".repeat(70_000));
    assert!(matches!(error(&engine, &long, QueryControl::unlimited()).await, SqlError::Invalid(_)));
}

fn many() -> Arc<Store> {
    let lines: Vec<String> = (0..5000).map(|n| format!("n={n} {}", "x".repeat(100))).collect();
    Store::in_memory(vec![stream(&[("app", "many")], 0, &lines)], 1000)
}

#[tokio::test]
async fn memory_ends_with_an_error_that_says_so() {
    let engine = engine(&many());
    let pool = Pool::root("queries", 1 << 30);
    for sql in [
        "SELECT a.line, b.line FROM logs a, logs b ORDER BY 1, 2",
        "SELECT line, count(*) FROM logs GROUP BY line ORDER BY 2",
        "SELECT array_agg(line) FROM logs",
        "SELECT * FROM logs ORDER BY line",
    ] {
        let control = QueryControl::new(pool.child("a query", 64 << 10), None);
        match error(&engine, sql, control).await {
            SqlError::OverBudget(over) => assert_eq!(over.limit, 64 << 10, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
    // All is given back, when the operators are gone.
    for _ in 0..200 {
        if pool.used() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(pool.used(), 0);
}

#[tokio::test]
async fn a_deadline_ends_a_query() {
    let engine = engine(&many());
    let deadline = Instant::now() + Duration::from_millis(300);
    let control = QueryControl::new(Pool::unlimited(), Some(deadline));
    let sql = "SELECT count(*) FROM logs a, logs b, logs c WHERE length(a.line || b.line || c.line) > 5";
    assert_eq!(error(&engine, sql, control).await, SqlError::Interrupted(Interrupt::TimedOut));
    assert!(deadline.elapsed() < Duration::from_secs(5), "{:?} late", deadline.elapsed());
}

/// A store without an end.
struct Endless;

struct EndlessCursor<'a>(&'a QueryControl);

impl LogSource for Endless {
    fn scan<'a>(
        &'a self,
        _: &LogScan,
        control: &'a QueryControl,
    ) -> Result<Box<dyn LogCursor + 'a>, SelectError> {
        Ok(Box::new(EndlessCursor(control)))
    }

    fn streams(
        &self,
        _: &Tenant,
        _: &[Vec<Matcher>],
        _: i64,
        _: i64,
        _: &QueryControl,
        _: &mut dyn FnMut(&Labels, LogStats),
    ) -> Result<(), SelectError> {
        Ok(())
    }
}

impl LogCursor for EndlessCursor<'_> {
    fn next(&mut self) -> Result<Option<LogBatch>, SelectError> {
        self.0.check()?;
        let labels = Labels::from_pairs([("app", "endless")]);
        Ok(Some(LogBatch {
            streams: vec![StreamRun { labels, rows: 100 }],
            timestamps: (0..100).collect(),
            ..LogBatch::default()
        }))
    }

    fn bound(&mut self, _: i64, _: i64) {}

    fn stats(&self) -> ScanStats {
        ScanStats::default()
    }
}

#[tokio::test]
async fn a_query_ends_when_nobody_reads_it() {
    let source = Arc::new(Endless);
    let engine = SqlEngine::new(source.clone(), SqlOptions::default()).unwrap();
    let control = QueryControl::unlimited();
    let canceled = control.cancel_flag();
    let mut rows = engine.query(&Tenant::new("fake"), "SELECT timestamp FROM logs", control).await.unwrap();
    assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
    drop(rows);
    assert!(canceled.load(Ordering::Relaxed));
    // The scan lets go of the store.
    for _ in 0..500 {
        if Arc::strong_count(&source) == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(Arc::strong_count(&source), 2);

    let control = QueryControl::unlimited();
    let flag = control.cancel_flag();
    let tenant = Tenant::new("fake");
    let mut counting = engine.query(&tenant, "SELECT count(*) FROM logs", control).await.unwrap();
    flag.store(true, Ordering::Relaxed);
    assert_eq!(counting.next().await.unwrap().unwrap_err(), SqlError::Interrupted(Interrupt::Canceled));
    assert!(counting.next().await.is_none());
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let engine = engine(&Store::in_memory(shop(), 4));
    let mut rows = engine
        .query(&Tenant::new("other"), "SELECT line FROM logs", QueryControl::unlimited())
        .await
        .unwrap();
    assert!(rows.next().await.is_none());
}
