//! Queries and their answers, `tests/queries.sql.txt`: a query on lines up to `----`, the answer up to an empty
//! line. `UPDATE_EXPECT=1` writes the answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod support;

use support::{Store, csv, engine, shop};

const FILE: &str = include_str!("queries.sql.txt");

fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILE.split("\n\n").filter(|block| !block.trim().is_empty()).map(|block| {
        let block = block.trim_start_matches('\n');
        block.split_once("\n----\n").unwrap_or((block.trim_end(), ""))
    })
}

#[tokio::test]
async fn answers_are_as_written() {
    let engine = engine(&Store::in_memory(shop(), 4));
    let mut text = String::new();
    for (query, _) in cases() {
        let sql: Vec<&str> = query.lines().filter(|line| !line.starts_with('#')).collect();
        let answer = csv(&engine, &sql.join("\n")).await;
        assert!(!answer.contains("\n\n"), "an empty line would end the case: {query}");
        text.push_str(&format!("{query}\n----\n{answer}\n"));
    }
    assert!(cases().count() >= 40);
    expect_test::expect_file!["./queries.sql.txt"].assert_eq(&text);
}

#[tokio::test]
async fn a_part_answers_as_memory_does() {
    let (memory, part) = (Store::in_memory(shop(), 4), Store::in_a_part(&shop()));
    let (memory, part) = (engine(&memory), engine(&part));
    for (query, _) in cases() {
        let sql: Vec<&str> = query.lines().filter(|line| !line.starts_with('#')).collect();
        let sql = sql.join("\n");
        // Without an order rows come as the store has them.
        let sorted = |text: String| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(csv(&part, &sql).await), sorted(csv(&memory, &sql).await), "{sql}");
    }
}
