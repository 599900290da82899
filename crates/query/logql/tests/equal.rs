//! The row path and the column path give the same answers, on generated lines and queries.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use novaobs_logql::{run, run_by_rows};
use novaobs_model::Labels;
use novaobs_model::logs::{LogStream, PairLists, Strings};
use proptest::prelude::*;
use proptest::sample::select;
use support::script::{Case, answer};
use support::source::{Kind, Memory};

/// Names that occur in stream labels, structured metadata and lines alike, so that they clash.
const NAMES: [&str; 5] = ["app", "status", "ms", "path", "user"];
const VALUES: [&str; 14] =
    ["a", "b", "200", "500", "503", "1.5", "-2", "0.25", "10ms", "2s", "5KB", "007", "1e3", "/v1"];

fn pair() -> impl Strategy<Value = (&'static str, &'static str)> {
    (select(&NAMES[..]), select(&VALUES[..]))
}

/// Pairs whose names differ.
fn fields(most: usize) -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    proptest::collection::vec(pair(), 0..most).prop_map(|mut pairs| {
        pairs.sort_by_key(|(name, _)| *name);
        pairs.dedup_by_key(|(name, _)| *name);
        pairs
    })
}

fn line() -> impl Strategy<Value = String> {
    let json = fields(5).prop_map(|pairs| {
        let member = |(name, value): &(&str, &str)| match value.parse::<f64>() {
            Ok(_) if !value.starts_with("00") => format!("\"{name}\":{value}"),
            _ => format!("\"{name}\":\"{value}\""),
        };
        format!("{{{}}}", pairs.iter().map(member).collect::<Vec<_>>().join(","))
    });
    let logfmt = fields(5).prop_map(|pairs| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    });
    let odd = select(vec!["", "words only", "{broken", "{\"user\":\"\"}", "user= ms=1", "[1]", "{}"]);
    prop_oneof![4 => json, 4 => logfmt, 1 => odd.prop_map(str::to_owned)]
}

fn stream() -> impl Strategy<Value = LogStream> {
    let rows = proptest::collection::vec((0i64..60, line(), fields(3)), 1..25);
    (fields(3), rows).prop_map(|(labels, rows)| {
        let labels = Labels::from_pairs(labels.into_iter().chain([("job", "x")]));
        let mut metadata = PairLists::default();
        rows.iter().for_each(|(_, _, pairs)| metadata.push(pairs.iter().copied()));
        LogStream {
            labels,
            timestamps: rows.iter().map(|(time, _, _)| time * 1_000_000_000).collect(),
            lines: rows.iter().map(|(_, line, _)| line.as_str()).collect::<Strings>(),
            metadata,
        }
    })
}

fn filter() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (select(&NAMES[..]), select(vec!["=", "!=", "=~", "!~"]), select(&VALUES[..]))
            .prop_map(|(name, op, value)| format!("{name}{op}\"{value}\"")),
        (select(&NAMES[..]), select(vec!["=~", "!~"]), select(vec!["5.*", ".+", ".*", "a|b", ""]))
            .prop_map(|(name, op, value)| format!("{name}{op}\"{value}\"")),
        (
            select(&NAMES[..]),
            select(vec![">", ">=", "<", "<=", "==", "!="]),
            select(vec!["1", "200", "1.5", "5ms", "3KB"]),
        )
            .prop_map(|(name, op, value)| format!("{name} {op} {value}")),
        Just("__error__=\"\"".to_owned()),
    ];
    let both = (leaf.clone(), select(vec!["and", "or"]), leaf.clone())
        .prop_map(|(a, op, b)| format!("{a} {op} {b}"));
    prop_oneof![3 => leaf, 1 => both]
}

fn pipeline() -> impl Strategy<Value = String> {
    let stage = prop_oneof![
        4 => filter().prop_map(|filter| format!("| {filter}")),
        1 => select(vec!["|= \"5\"", "!= \"b\"", "|~ \"[12]\""]).prop_map(str::to_owned),
    ];
    let parser = select(vec!["", "| json", "| logfmt"]);
    let stages = |most| proptest::collection::vec(stage.clone(), 0..most).prop_map(|all| all.join(" "));
    // Most generated lines fail some parser: without this, most queries would end in its error.
    let fine = prop_oneof![3 => Just("| __error__=\"\""), 1 => Just("")];
    (stages(2), parser, stages(3), fine).prop_map(|(a, parser, b, fine)| format!("{a} {parser} {b} {fine}"))
}

fn grouping() -> impl Strategy<Value = String> {
    let names = proptest::collection::vec(select(&NAMES[..]), 0..3);
    (select(vec!["by", "by", "by", "without"]), names)
        .prop_map(|(word, names)| format!("{word} ({})", names.join(", ")))
}

fn query() -> impl Strategy<Value = String> {
    let counted = (
        grouping(),
        select(vec!["sum", "max", "count"]),
        select(vec!["count_over_time", "rate", "bytes_over_time", "bytes_rate"]),
        pipeline(),
    )
        .prop_map(|(by, outer, op, pipeline)| format!("{outer} {by} ({op}({{job=\"x\"}} {pipeline} [20s]))"));
    let unwrapped = (
        select(vec!["max_over_time(", "avg_over_time(", "quantile_over_time(0.7,", "last_over_time("]),
        pipeline(),
        select(&NAMES[..]),
        select(vec!["", "| __error__=\"\"", "| ms > 1 | __error__=\"\""]),
        grouping(),
    )
        .prop_map(|(op, pipeline, label, after, by)| {
            format!("{op}{{job=\"x\"}} {pipeline} | unwrap {label} {after} [20s]) {by}")
        });
    let summed = (grouping(), pipeline(), select(&NAMES[..])).prop_map(|(by, pipeline, label)| {
        format!("sum {by} (sum_over_time({{job=\"x\"}} {pipeline} | unwrap {label} | __error__=\"\" [20s]))")
    });
    let lines = pipeline().prop_map(|pipeline| format!("{{job=\"x\"}} {pipeline}"));
    prop_oneof![4 => counted, 3 => unwrapped, 1 => summed, 1 => lines]
}

/// Error texts may name any of the rows that fail, so only that there is an error is compared.
fn comparable(lines: Vec<String>) -> Vec<String> {
    match lines.first().filter(|first| first.starts_with("  error pipeline error")) {
        Some(_) => vec!["  error".to_owned()],
        None => lines,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(600), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn both_paths_answer_the_same(
        mut streams in proptest::collection::vec(stream(), 1..4),
        queries in proptest::collection::vec(query(), 1..4),
        batch_rows in 1usize..40,
        step in select(vec![0i64, 7, 20, 30]),
    ) {
        // A stream is there once.
        for (number, stream) in streams.iter_mut().enumerate() {
            let own = stream.labels.iter().chain([("n", ["0", "1", "2", "3"][number])]);
            stream.labels = Labels::from_pairs(own);
        }
        let text = Memory::new(streams.clone(), Kind::Text, batch_rows);
        let shredded = Memory::new(streams, Kind::Shredded, batch_rows);
        for query in queries {
            let log = query.starts_with('{');
            let case = Case {
                query,
                start: if log { 0 } else { 20_000_000_000 },
                end: if step == 0 && !log { 20_000_000_000 } else { 60_000_000_000 },
                step: if log { 0 } else { step * 1_000_000_000 },
                log,
                newest_first: batch_rows % 2 == 0,
                limit: 10,
                interval: 0,
                max_series: 0,
            };
            let want = comparable(answer(&case, &text, run_by_rows));
            prop_assert_eq!(comparable(answer(&case, &text, run)), want.clone(), "columns, text: {}", &case.query);
            prop_assert_eq!(comparable(answer(&case, &shredded, run)), want.clone(), "columns: {}", &case.query);
            prop_assert_eq!(comparable(answer(&case, &shredded, run_by_rows)), want, "rows: {}", &case.query);
        }
    }
}
