//! No text panics, overflows the stack or prints to something that reads differently.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use novaobs_promql_parser::ast::{Expr, ExprKind};
use novaobs_promql_parser::{ParseOptions, format_query, parse, parse_selector};
use proptest::prelude::*;

fn error(text: &str) -> String {
    parse(text, ParseOptions::all()).unwrap_err().to_string()
}

#[test]
fn hostile_nesting_is_refused() {
    for open in ["(", "abs(", "sum(", "-", "2^", "foo[(", "foo[-", "foo offset -", "foo[min_of("] {
        let message = error(&open.repeat(100_000));
        assert!(message.contains("levels deep") || message.contains("unexpected"), "{open}: {message}");
    }
    for step in ["+a", " or a", "[5m:1m]"] {
        let message = error(&format!("a{}", step.repeat(100_000)));
        assert!(message.contains("chains more than 512 operators"), "{step}: {message}");
    }
    let chain = format!("a[5m{}]", "+1m".repeat(100_000));
    assert!(error(&chain).contains("duration chains more than 512 operators"));
}

#[test]
fn the_deepest_allowed_trees_can_be_walked() {
    let expr = parse(&format!("a{}", " or a".repeat(500)), ParseOptions::all()).unwrap();
    assert_eq!(expr.to_string().len(), 1 + 500 * 5);
    let again = parse(&format_query(&expr.clone()), ParseOptions::all()).unwrap();
    assert_eq!(again.to_string(), expr.to_string());
    let nested = format!("{}a{}", "abs(".repeat(98), ")".repeat(98));
    assert_eq!(parse(&nested, ParseOptions::all()).unwrap().to_string(), nested);
}

/// Forgets where nodes stood: the printed text has other places. `+Inf` is left out by the generator:
/// the peer prints `Inf ^ 2` as `+Inf ^ 2`, which binds differently.
fn strip(expr: &mut Expr) {
    expr.span = 0..0;
    match &mut expr.kind {
        ExprKind::MatrixSelector(matrix) => matrix.selector_span = 0..0,
        ExprKind::Subquery(subquery) => strip(&mut subquery.expr),
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => strip(expr),
        ExprKind::Binary(binary) => {
            strip(&mut binary.left);
            strip(&mut binary.right);
        }
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.iter_mut().for_each(strip);
            strip(&mut aggregate.expr);
        }
        ExprKind::Call(call) => call.args.iter_mut().for_each(strip),
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::VectorSelector(_) => {}
    }
}

/// Conditions are printed in sorted order; sorting the text's own keeps the trees comparable.
fn selector() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("up".to_owned()),
        Just("sum".to_owned()),
        Just("a:b{x=\"1\",y!=\"\\n\"}".to_owned()),
        Just("{\"a.b\"=~\"x.*\",\"é\"!~\"y\\\"\"}".to_owned()),
        Just("offset".to_owned()),
    ]
}

fn modifiers() -> impl Strategy<Value = String> {
    let at = prop_oneof![Just(""), Just(" @ 12.5"), Just(" @ start()"), Just(" @ -1")];
    let offset =
        prop_oneof![Just(""), Just(" offset 5m"), Just(" offset -1h30m"), Just(" offset -(step() * 2)")];
    (at, offset).prop_map(|(at, offset)| format!("{at}{offset}"))
}

fn duration() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("5m"),
        Just("1d1h"),
        Just("90"),
        Just("0.25"),
        Just("5m + 1m"),
        Just("-2 ^ 3 * (1h - step())"),
        Just("max_of(range() / 4, 1m)"),
    ]
}

fn vector() -> impl Strategy<Value = String> {
    let leaf = (selector(), modifiers()).prop_map(|(selector, modifiers)| selector + &modifiers);
    leaf.prop_recursive(5, 40, 4, |inner| {
        let op = prop_oneof![
            Just("+"),
            Just("- ignoring (a, \"b.c\")"),
            Just("^"),
            Just("* on (a) group_left (b)"),
            Just("== bool"),
            Just("</"),
            Just("> on ()"),
            Just("and"),
            Just("unless on (sum)"),
            Just("atan2"),
            Just("/ fill (0.5)"),
            Just("% fill_left (-1) fill_right (1e30)"),
        ];
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("(2 * +({a}) > -1.5e-3)")),
            (inner.clone(), duration(), modifiers())
                .prop_map(|(a, d, m)| format!("max_over_time(({a})[{d}:]{m})")),
            (selector(), duration(), modifiers()).prop_map(|(s, d, m)| format!("rate({s}[{d}]{m})")),
            (selector(), duration()).prop_map(|(s, d)| format!("increase({s}[{d}] smoothed)")),
            inner.clone().prop_map(|a| format!("sum by (job, \"x.y\") ({a})")),
            inner.clone().prop_map(|a| format!("topk without () (3, {a})")),
            inner.clone().prop_map(|a| format!("label_join({a}, \"\\ufffd\", `\\`, 'b')")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("clamp_max({a}, scalar({b}) - 1h30m)")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn printing_and_reading_again_gives_the_same_tree(text in vector()) {
        let mut first = parse(&text, ParseOptions::all()).unwrap();
        strip(&mut first);
        for printed in [first.to_string(), format_query(&first)] {
            let mut second = parse(&printed, ParseOptions::all()).unwrap();
            strip(&mut second);
            prop_assert_eq!(&second, &first, "{}", printed);
        }
    }

    #[test]
    fn words_in_any_order_never_panic(words in proptest::collection::vec(prop_oneof![
        Just("sum"), Just("by"), Just("("), Just(")"), Just("["), Just("]"), Just("{"), Just("}"), Just(","),
        Just(":"), Just("foo"), Just("5m"), Just("1"), Just("0x"), Just("\"\\"), Just("'é'"), Just("`"),
        Just("@"), Just("offset"), Just("start()"), Just("-"), Just("^"), Just("=~"), Just("#"), Just("\n"),
        Just("on"), Just("group_left"), Just("fill("), Just("rate("), Just("info("), Just("max_of("),
    ], 0..20)) {
        let text: String = words.concat();
        let _ = parse(&text, ParseOptions::all());
        let _ = parse_selector(&text);
    }

    #[test]
    fn any_text_never_panics(text in ".*") {
        let _ = parse(&text, ParseOptions::all());
        let _ = parse_selector(&text);
    }
}
