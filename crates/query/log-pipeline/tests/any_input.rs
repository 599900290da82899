//! Any line through any of these pipelines ends without a panic, and twice the same.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking, in its helpers too

use std::sync::LazyLock;

use novaobs_log_pipeline::Pipeline;
use novaobs_logql_parser::parse_log;
use novaobs_model::Labels;
use proptest::prelude::*;

const PIPELINES: &[&str] = &[
    "| json",
    "| json | json a=\"b\", c=\"d[0].e\", f=\"[1]\"",
    "| logfmt --strict --keep-empty",
    "| logfmt | logfmt a=\"b\"",
    "| regexp \"(?P<a>[^ ]+) (?P<b>.*)\" | pattern \"<c>=<d> <_>\"",
    "| unpack | decolorize |> \"<_>a<_>\"",
    "|= ip(\"10.0.0.0/8\") or ip(\"::/0\") or \"a\"",
    "| json | a > 5 or a > 5s or a > 5KB or a = ip(\"1.1.1.1\") or a=~\".*\"",
    "| json | logfmt | line_format \"{{.a}}{{.b | trunc 3 | title}}{{ substr 1 2 .c }}{{ __line__ | urldecode }}\"",
    "| json | label_format a=b, c=\"{{.a | b64dec}}{{.b | int | add 1}}{{fromJson .c}}\" | drop a | keep b, c",
];

static COMPILED: LazyLock<Vec<Pipeline>> = LazyLock::new(|| {
    let compile = |stages: &&str| {
        let parsed = parse_log(&format!("{{x=\"y\"}} {stages}")).unwrap();
        Pipeline::compile(&parsed.stages, None).unwrap()
    };
    PIPELINES.iter().map(compile).collect()
});

/// Lines of the pieces that parsers look at, in any order.
fn lines() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[{}\\[\\]:,\"= .0-9-]",
        Just("\\".to_owned()),
        Just("\"a\":".to_owned()),
        Just("\"b\":{\"c\":".to_owned()),
        Just("\\u12\\ud83d\\ude00\\n".to_owned()),
        Just("a=b ".to_owned()),
        Just("c=\"d\" ".to_owned()),
        Just("\"_entry\":\"x\"".to_owned()),
        Just("\u{1b}[31m".to_owned()),
        Just("10.1.2.3 fe80::1".to_owned()),
        Just("\u{fffd}é\u{9b}".to_owned()),
        "\\PC{0,8}",
    ];
    prop_oneof![prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat()), "\\PC*"]
}

proptest! {
    #[test]
    fn any_line_goes_through(line in lines(), prefix in "[{]?") {
        let line = format!("{prefix}{line}");
        let labels = Labels::from_pairs([("x", "y"), ("a", "stream")]);
        for pipeline in COMPILED.iter() {
            let mut stream = pipeline.stream(&labels);
            let metadata = || [("m", "1"), ("b", "2")].into_iter();
            let mut run = || {
                stream.run(5, &line, metadata()).map(|row| {
                    let (hash, merged) = (row.labels.hash(), row.labels.merged());
                    let (own, meta, parsed) = row.labels.categories();
                    assert_eq!(own.len() + meta.len() + parsed.len(), merged.len());
                    (row.line.to_owned(), hash, merged)
                })
            };
            let first = run();
            assert_eq!(first, run(), "the second run differs");
        }
    }

    #[test]
    fn any_expression_compiles_or_is_refused(text in "\\PC{0,20}", path in "[a-c.\"0-9\\[\\] ]{0,12}") {
        use novaobs_logql_parser::{Extraction, LineFilter, LineOp, LineOperand, Stage};
        let extraction = || vec![Extraction { label: "a".to_owned(), path: path.clone() }];
        let filter = |op| Stage::Line(LineFilter { op, any: vec![LineOperand::Text(text.clone())] });
        for stage in [
            Stage::Regexp(text.clone()),
            Stage::Pattern(text.clone()),
            Stage::LineFormat(text.clone()),
            Stage::Json(extraction()),
            Stage::Logfmt { strict: true, keep_empty: false, extractions: extraction() },
            filter(LineOp::Matches),
            filter(LineOp::Pattern),
            Stage::Line(LineFilter { op: LineOp::Contains, any: vec![LineOperand::Ip(text.clone())] }),
        ] {
            if let Ok(pipeline) = Pipeline::compile(&[stage], None) {
                let none = std::iter::empty::<(&str, &str)>();
                let _ = pipeline.stream(&Labels::empty()).run(0, &text, none);
            }
        }
    }
}

#[test]
fn distinct_lets_the_first_of_each_combination_pass_in_all_streams() {
    let parsed = parse_log("{x=\"y\"} | logfmt | a!=\"\"").unwrap();
    let mut stages = parsed.stages;
    stages.push(novaobs_logql_parser::Stage::Distinct(vec!["a".to_owned(), "x".to_owned()]));
    let pipeline = Pipeline::compile(&stages, None).unwrap();
    let mut kept = Vec::new();
    for (stream, line) in
        [("1", "a=1"), ("1", "a=1 b=2"), ("1", "a=2"), ("2", "a=1"), ("2", "a=1"), ("2", "b=1")]
    {
        let labels = Labels::from_pairs([("x", stream)]);
        let none = std::iter::empty::<(&str, &str)>();
        kept.push(pipeline.stream(&labels).run(0, line, none).is_some());
    }
    assert_eq!(kept, [true, false, true, true, false, false]);
}

#[test]
fn leading_plain_filters_are_tests_for_the_store() {
    let compile = |stages: &str| {
        Pipeline::compile(&parse_log(&format!("{{x=\"y\"}} {stages}")).unwrap().stages, None).unwrap()
    };
    let pipeline = compile("|= \"a\" or \"b\" !~ \"c.d\" |> \"<_>x<_>\" |= \"e\" | json | line_format \"x\"");
    assert_eq!(pipeline.line_tests().len(), 2);
    assert_eq!(pipeline.line_test_stages(), 2);
    assert!(pipeline.line_tests()[1].negated);
    assert_eq!(pipeline.rewrites_at(), Some(5));
    assert_eq!(compile("| json").rewrites_at(), None);
    assert!(compile("| json |= \"a\"").line_tests().is_empty());
}

/// How many labels the stages make of a line.
fn label_count(stages: &str, line: &str) -> usize {
    let stages = parse_log(&format!("{{x=\"y\"}} {stages}")).unwrap().stages;
    let pipeline = Pipeline::compile(&stages, None).unwrap();
    let none = std::iter::empty::<(&str, &str)>();
    pipeline.stream(&Labels::empty()).run(0, line, none).unwrap().labels.iter().count()
}

#[test]
fn hostile_json_takes_little_time_and_memory() {
    let deep = format!("{}1{}", "{\"a\":".repeat(60_000), "}".repeat(60_000));
    let open = "{\"a\":".repeat(60_000);
    let packed = format!("{{\"_entry\":\"e\",\"a\":{deep}}}");
    let arrays = "[{\"a\":".repeat(60_000);
    // Each bracket of such an array is looked for until the line ends.
    let never = format!("{{{}", "\"a\":[{]]".repeat(60_000));
    for line in [&deep, &open, &packed, &arrays, &never] {
        for stages in ["| json", "| json a=\"a.a.a.a\"", "| json a=\"a[0]\", b=\"[0].a\"", "| unpack"] {
            assert!(label_count(stages, line) <= 4, "{stages}");
        }
    }
}

#[test]
fn names_that_repeat_a_long_key_are_left_out() {
    let fields: Vec<String> = (0..10_000).map(|i| format!("\"{i:05}\":1")).collect();
    // Joined, the names would take half a gigabyte.
    let line = |key: usize| format!("{{\"{}\":{{{}}},\"b\":{{\"c\":1}}}}", "k".repeat(key), fields.join(","));
    assert_eq!(label_count("| json", &line(50_000)), 1);
    // An underscore and five digits more are the longest there is.
    assert_eq!(label_count("| json", &line(1024 - 6)), 10_001);
    assert_eq!(label_count("| json", &line(1024 - 5)), 1);
}
