//! No text panics, overflows the stack or prints to something that reads differently.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use novaobs_logql_parser::*;
use novaobs_model::{MatchOp, Matcher};
use proptest::prelude::*;

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn hostile_nesting_is_refused() {
    let ladder = "sum(1) or sum(1) and sum(1) == sum(1) + sum(1) * sum(1) ^ (";
    for open in [ladder, "(", "sum(", "rate((", "label_replace(", "1^sum(1)^", "{a=\"b\"} | (", "sum(1) or ("]
    {
        let text = open.repeat(20_000).chars().take(MAX_INPUT - 1).collect::<String>();
        let message = error(&text);
        let refused =
            ["too deeply", "too many operators", "unexpected"].iter().any(|text| message.contains(text));
        assert!(refused, "{open}: {message}");
    }
    for (start, step) in
        [("sum(1)", "+sum(1)"), ("{a=\"b\"}|x=1", " or x=1"), ("{a=\"b\"}|x=1", ",x=1"), ("1", "+1")]
    {
        let message = error(&format!("{start}{}", step.repeat(10_000)));
        assert!(message.contains("operators") || message.contains("too deeply"), "{step}: {message}");
    }
}

#[test]
fn the_deepest_allowed_trees_can_be_walked() {
    for text in [
        format!("{}1{}", "sum(".repeat(99), ")".repeat(99)),
        format!("sum(1){}", "+sum(1)".repeat(500)),
        format!("{{a=\"b\"}} | x=1{}", " or x=1".repeat(500)),
        format!("{{a=\"b\"}} | x=1{}", ",x=1".repeat(99)),
        format!(
            "{}sum(1){}",
            "sum(1) or sum(1) and sum(1) == sum(1) + sum(1) * (".repeat(99),
            ")".repeat(99)
        ),
    ] {
        let expr = parse(&text).unwrap();
        assert!(pretty(&expr).len() >= text.len());
        assert_eq!(expr.clone(), expr);
    }
}

#[test]
fn size_is_bounded() {
    let text = |length: usize| format!("{{a=\"{}\"}}", "b".repeat(length - 6));
    assert!(parse(&text(MAX_INPUT - 1)).is_ok());
    assert_eq!(error(&text(MAX_INPUT)), "parse error : input size too long (131072 > 131072)");
    assert_eq!(parse_matchers(&text(MAX_INPUT)).unwrap_err().to_string(), error(&text(MAX_INPUT)));
}

/// Quadratic work on any of these would take minutes.
#[test]
fn hostile_sizes_take_linear_time() {
    for unit in ["<", "<a", "(?P<", "(?P<a>", "[", "\\\\", "{{", "\u{e9}"] {
        let text = unit.repeat(100_000 / unit.len());
        for stage in ["pattern", "regexp", "line_format"] {
            let _ = parse(&format!("{{a=\"b\"}} | {stage} `{text}`"));
        }
        let _ = parse(&text);
    }
    for unit in ["-", ".1", "1.", "-1", "--strict-", "1y.", "-5m"] {
        let text = unit.repeat((MAX_INPUT - 1) / unit.len());
        assert!(parse(&format!("{}1", text.get(1..).unwrap())).is_err(), "{unit}");
    }
    assert!(parse(&format!("{{a=\"b\"}}{}", "|=`x`".repeat(26_000))).is_ok());
}

#[test]
fn errors_carry_a_position() {
    let position = |text: &str| parse(text).unwrap_err().position;
    assert_eq!(position("{a=\"b\"}\n | json x="), Some(Position { line: 2, column: 11 }));
    // The message says line 0, as the peer's does.
    assert_eq!(position("{a=\"b\"}\n[5m]"), Some(Position { line: 2, column: 1 }));
    assert_eq!(position("{a=~\"(\"}"), Some(Position { line: 1, column: 5 }));
    assert_eq!(position("{}"), None);
}

#[test]
fn selectors_and_lookback_of_an_expression_are_found() {
    let expr = parse(
        r#"sum(rate({a="1"}[5m] offset 1h)) / on (x) label_replace(rate({b="2"}[30m]),"","","","") + 5"#,
    );
    let expr = expr.unwrap();
    let found: Vec<String> =
        selectors(&expr).iter().flat_map(|all| all.iter().map(Matcher::to_string)).collect();
    assert_eq!(found, [r#"a="1""#, r#"b="2""#]);
    assert_eq!(log_exprs(&expr).len(), 2);
    assert_eq!(max_lookback(&expr), 65 * 60 * 1_000_000_000);
    assert_eq!(max_window(&expr), 30 * 60 * 1_000_000_000);
    assert_eq!(max_lookback(&parse(r#"{a="b"}"#).unwrap()), 0);
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("sum".to_owned()),
        Just("rate".to_owned()),
        Just("variants".to_owned()),
        Just("of".to_owned()),
        Just("bytes".to_owned()),
        Just("__error__".to_owned()),
        "[a-z]x[a-z0-9_]{0,4}",
    ]
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z <>=|\"'`\\\\{}]{0,8}", any::<String>()]
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Match),
        Just(MatchOp::NotMatch)
    ];
    (name(), op, "[a-z.|+]{0,3}[a-z]")
        .prop_filter_map("a valid expression", |(name, op, value)| Matcher::new(&name, op, &value).ok())
}

fn selector() -> impl Strategy<Value = Vec<Matcher>> {
    prop::collection::vec(matcher(), 0..3).prop_map(|mut matchers| {
        matchers.push(Matcher::equal("app", "x"));
        matchers
    })
}

/// Operands of a negated operator are parsed to a filter each.
fn line_filter() -> impl Strategy<Value = Stage> {
    let op = prop_oneof![
        Just(LineOp::Contains),
        Just(LineOp::NotContains),
        Just(LineOp::Matches),
        Just(LineOp::NotMatches),
        Just(LineOp::Pattern),
        Just(LineOp::NotPattern)
    ];
    let operand =
        prop_oneof![3 => string().prop_map(LineOperand::Text), 1 => string().prop_map(LineOperand::Ip)];
    (op, prop::collection::vec(operand, 1..4)).prop_map(|(op, mut any)| {
        if op.is_negated() {
            any.truncate(1);
        }
        Stage::Line(LineFilter { op, any })
    })
}

fn compare_op() -> impl Strategy<Value = CompareOp> {
    prop_oneof![
        Just(CompareOp::Equal),
        Just(CompareOp::NotEqual),
        Just(CompareOp::Greater),
        Just(CompareOp::GreaterOrEqual),
        Just(CompareOp::Less),
        Just(CompareOp::LessOrEqual)
    ]
}

/// Numbers that print without an exponent.
fn number() -> impl Strategy<Value = f64> {
    (-1_000_000i32..1_000_000).prop_map(|thousandths| f64::from(thousandths) / 1000.0)
}

/// Byte counts that print exactly.
fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![
        1u64..1000,
        (1u64..1000).prop_map(|kilo| kilo * 1000),
        (10u64..100).prop_map(|tenths| tenths * 100)
    ]
}

fn label_filter() -> impl Strategy<Value = LabelFilter> {
    // Zero and negative durations print like numbers and differences.
    let leaf = prop_oneof![
        matcher().prop_map(LabelFilter::Text),
        (name(), compare_op(), number()).prop_map(|(label, op, value)| LabelFilter::Number {
            label,
            op,
            value
        }),
        (name(), compare_op(), any::<i64>()).prop_map(|(label, op, nanos)| LabelFilter::Duration {
            label,
            op,
            nanos: nanos.max(-i64::MAX)
        }),
        (name(), compare_op(), bytes()).prop_map(|(label, op, bytes)| LabelFilter::Bytes {
            label,
            op,
            bytes
        }),
        (name(), any::<bool>(), string()).prop_map(|(label, negated, pattern)| LabelFilter::Ip {
            label,
            negated,
            pattern
        }),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        (any::<bool>(), inner.clone(), inner).prop_map(|(and, left, right)| {
            let (left, right) = (Box::new(left), Box::new(right));
            if and { LabelFilter::And(left, right) } else { LabelFilter::Or(left, right) }
        })
    })
}

fn stage() -> impl Strategy<Value = Stage> {
    let extractions = || {
        let extraction = (name(), string()).prop_map(|(label, path)| Extraction { label, path });
        prop::collection::vec(extraction, 0..3)
    };
    let value = prop_oneof![name().prop_map(FormatValue::Rename), string().prop_map(FormatValue::Template)];
    let format = (name(), value).prop_map(|(label, value)| LabelFormat { label, value });
    let choices = || {
        let choice = prop_oneof![name().prop_map(LabelChoice::Name), matcher().prop_map(LabelChoice::Match)];
        prop::collection::vec(choice, 1..3)
    };
    prop_oneof![
        4 => line_filter(),
        1 => extractions().prop_map(Stage::Json),
        1 => (any::<bool>(), any::<bool>(), extractions()).prop_map(|(strict, keep_empty, extractions)| {
            Stage::Logfmt { strict, keep_empty, extractions }
        }),
        1 => string().prop_map(|tail| Stage::Regexp(format!("(?P<x>{})", tail.replace(|c: char| !c.is_alphabetic(), "")))),
        1 => Just(Stage::Pattern("<_> <ip> \"<method>\"".to_owned())),
        1 => Just(Stage::Unpack),
        4 => label_filter().prop_map(Stage::Label),
        1 => string().prop_map(Stage::LineFormat),
        1 => prop::collection::vec(format, 1..3).prop_map(Stage::LabelFormat),
        1 => Just(Stage::Decolorize),
        1 => choices().prop_map(Stage::Drop),
        1 => choices().prop_map(Stage::Keep),
        1 => prop::collection::vec(name(), 1..3).prop_map(Stage::Distinct),
    ]
}

/// Without line filters behind `drop` and `keep`, which would take `!=` and `!~` for their own.
fn log_expr() -> impl Strategy<Value = LogExpr> {
    (selector(), prop::collection::vec(stage(), 0..4)).prop_map(|(matchers, mut stages)| {
        let mut ambiguous = false;
        stages.retain(|stage| {
            let keep = !(ambiguous && matches!(stage, Stage::Line(_)));
            ambiguous = matches!(stage, Stage::Drop(_) | Stage::Keep(_)) || ambiguous && !keep;
            keep
        });
        LogExpr { matchers, stages }
    })
}

/// Not empty where printing drops empty ones.
fn grouping() -> impl Strategy<Value = Option<Grouping>> {
    let grouping = (any::<bool>(), prop::collection::vec(name(), 1..3));
    prop::option::of(grouping.prop_map(|(without, labels)| Grouping { without, labels }))
}

fn range() -> impl Strategy<Value = RangeAggregation> {
    let conversion = prop_oneof![
        Just(Conversion::Number),
        Just(Conversion::Bytes),
        Just(Conversion::Duration),
        Just(Conversion::DurationSeconds)
    ];
    let unwrap = (name(), conversion, prop::collection::vec(label_filter(), 0..2))
        .prop_map(|(label, conversion, filters)| Unwrap { label, conversion, filters });
    let op = prop::sample::select(RangeOp::ALL.to_vec());
    // Offsets of whole milliseconds, and ahead of less than a day: others print for eyes only when broken up.
    (
        op,
        log_expr(),
        1..1_000_000_000i64,
        -86_399_999..1_000_000_000i64,
        unwrap,
        grouping(),
        any::<bool>(),
        number(),
    )
        .prop_map(|(op, log, window, offset, unwrap, grouping, coin, parameter)| {
            let counts = matches!(op, RangeOp::CountOverTime | RangeOp::BytesRate | RangeOp::BytesOverTime);
            let both = matches!(op, RangeOp::Rate | RangeOp::AbsentOverTime);
            let groups = !counts && !both && !matches!(op, RangeOp::SumOverTime | RangeOp::RateCounter);
            let range = LogRange {
                log,
                window: window * 1_000_000,
                offset: offset * 1_000_000,
                unwrap: Some(unwrap).filter(|_| !counts && (!both || coin)),
            };
            RangeAggregation {
                op,
                parameter: (op == RangeOp::QuantileOverTime).then(|| parameter.abs()),
                range,
                grouping: grouping.filter(|_| groups),
            }
        })
}

fn sample_expr() -> impl Strategy<Value = SampleExpr> {
    let leaf = prop_oneof![
        range().prop_map(SampleExpr::Range),
        (0u32..100_000).prop_map(|value| SampleExpr::VectorFn(f64::from(value) / 8.0)),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        let matching =
            (any::<bool>(), prop::collection::vec(name(), 1..3), prop::option::of(any::<bool>()), {
                prop::collection::vec(name(), 0..2)
            })
                .prop_map(|(on, labels, left, include)| Matching {
                    on,
                    labels,
                    group: left.map(|left| Group { left, include }),
                });
        let op = prop_oneof![
            Just(BinaryOp::Or),
            Just(BinaryOp::Unless),
            Just(BinaryOp::NotEqual),
            Just(BinaryOp::Less),
            Just(BinaryOp::Subtract),
            Just(BinaryOp::Divide),
            Just(BinaryOp::Power)
        ];
        let vector = (prop::sample::select(VectorOp::ALL.to_vec()), grouping(), 1u64..100, inner.clone())
            .prop_map(|(op, grouping, parameter, inner)| {
                let ranks = matches!(op, VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk);
                let groups = !matches!(op, VectorOp::Sort | VectorOp::SortDesc | VectorOp::ApproxTopk);
                SampleExpr::Vector(VectorAggregation {
                    op,
                    parameter: ranks.then_some(parameter),
                    grouping: grouping.filter(|_| groups),
                    inner: Box::new(inner),
                })
            });
        let binary = (op, any::<bool>(), prop::option::of(matching), inner.clone(), inner.clone(), number())
            .prop_map(|(op, return_bool, matching, left, right, constant)| {
                let right = if op.is_set() || !return_bool { right } else { SampleExpr::Literal(constant) };
                SampleExpr::Binary(Box::new(BinaryExpr { op, return_bool, matching, left, right }))
            });
        let replace = (inner, string(), string(), string(), "[a-z.*]{0,2}[a-z]").prop_filter_map(
            "a valid expression",
            |(inner, dst, replacement, src, regex)| {
                Matcher::new("x", MatchOp::Match, &regex).ok()?;
                Some(SampleExpr::LabelReplace { inner: Box::new(inner), dst, replacement, src, regex })
            },
        );
        prop_oneof![vector, binary, replace]
    })
}

fn same_when_read_again(expr: &Expr) -> Result<(), TestCaseError> {
    for printed in [expr.to_string(), pretty(expr)] {
        let again = parse(&printed).map_err(|error| TestCaseError::fail(format!("{printed}: {error}")))?;
        // Regular expressions compare by their text.
        prop_assert_eq!(format!("{:?}", again), format!("{:?}", expr), "{}", printed);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_print_and_read_back(log in log_expr()) {
        same_when_read_again(&Expr::Log(log))?;
    }

    #[test]
    fn samples_print_and_read_back(sample in sample_expr()) {
        same_when_read_again(&Expr::Sample(sample))?;
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = parse(&text);
        let _ = parse_matchers(&text);
    }

    #[test]
    fn no_words_panic(words in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "(", ")", "[5m]", "[", "]", ",", "=", "!=", "=~", "!~", "|", "|=", "|>", "a", "by", "sum", "rate", "topk",
        "\"x\"", "`y", "5", "5s", "5KB", "-", "+", "or", "and", "json", "logfmt", "--strict", "unwrap", "bytes", "ip", "on",
        "group_left", "offset", "label_replace", "vector", "drop", "distinct", "#", "//", "/*", "0x", "1e", "'", "\\", "\n", "é",
    ]), 0..30)) {
        for text in [words.concat(), words.join(" ")] {
            if let Ok(expr) = parse(&text) {
                prop_assert!(!pretty(&expr).is_empty());
            }
        }
    }
}
