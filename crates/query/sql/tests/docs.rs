//! The examples of `docs/sql.md` answer as it says. `UPDATE_EXPECT=1` writes the answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod support;

use support::{Store, csv, engine, shop};

const DOCUMENT: &str = include_str!("../../../../docs/sql.md");

#[tokio::test]
async fn examples_answer_as_written() {
    let engine = engine(&Store::in_a_part(&shop()));
    let mut text = String::new();
    let mut rest = DOCUMENT;
    let mut examples = 0;
    while let Some((before, after)) = rest.split_once("```sql\n") {
        let (sql, after) = after.split_once("```\n```csv\n").unwrap();
        let (_, after) = after.split_once("```\n").unwrap();
        let answer = csv(&engine, sql).await;
        assert!(!answer.starts_with("error"), "{sql}: {answer}");
        text.push_str(&format!("{before}```sql\n{sql}```\n```csv\n{answer}```\n"));
        (rest, examples) = (after, examples + 1);
    }
    text.push_str(rest);
    assert!(examples >= 8);
    expect_test::expect_file!["../../../../docs/sql.md"].assert_eq(&text);
}
