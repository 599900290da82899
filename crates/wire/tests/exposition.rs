//! The parsers of exposition formats: what they read, what they refuse and with which words, and that
//! what the encoder writes reads back.

use novaobs_model::{Labels, METRIC_NAME, MetricType};
use novaobs_wire::exposition::encode::{Encoder, Escaping};
use novaobs_wire::exposition::{Entry, Format, Parser};
use proptest::prelude::*;

/// One line per entry, and the error if there is one.
fn dump(format: Format, body: &[u8]) -> String {
    let mut out = String::new();
    let mut parser = Parser::new(format, body);
    loop {
        match parser.next() {
            Ok(None) => return out,
            Ok(Some(Entry::Type { family, kind })) => out.push_str(&format!("type {family} {kind}\n")),
            Ok(Some(Entry::Help { family, text })) => out.push_str(&format!("help {family} {text:?}\n")),
            Ok(Some(Entry::Unit { family, unit })) => out.push_str(&format!("unit {family} {unit}\n")),
            Ok(Some(Entry::Sample(sample))) => {
                match sample.labels() {
                    Ok(labels) => out.push_str(&labels.to_string()),
                    Err(error) => out.push_str(&format!("<{error}>")),
                }
                out.push_str(&format!(" {}", sample.value));
                if let Some(timestamp) = sample.timestamp {
                    out.push_str(&format!(" @{timestamp}"));
                }
                if let Ok(Some(exemplar)) = sample.exemplar() {
                    out.push_str(&format!(
                        " # {} {} {:?}",
                        exemplar.labels, exemplar.value, exemplar.timestamp
                    ));
                }
                out.push('\n');
            }
            Err(error) => return format!("{out}error on {}: {error}\n", error.line),
        }
    }
}

fn text(body: &str, want: &str) {
    assert_eq!(dump(Format::Text, body.as_bytes()), want, "{body}");
}

fn openmetrics(body: &str, want: &str) {
    assert_eq!(dump(Format::OpenMetrics, body.as_bytes()), want, "{body}");
}

#[test]
fn text_samples() {
    text("", "");
    text("\n\n", "");
    text("a 1", "a 1\n");
    text("  a\t 1 \t5\n", "a 1 @5\n");
    text("a{} -1.5e3", "a -1500\n");
    text("a{b=\"1\",c=\"2\",} 1 1700000000000", "a{b=\"1\", c=\"2\"} 1 @1700000000000\n");
    text("a { c = \"2\" b = \"1\" } +Inf", "a{b=\"1\", c=\"2\"} inf\n");
    text("a{b=\"\"} nan", "a NaN\n");
    text(r#"a{b="x\"y\\z\n\t"} 0"#, "a{b=\"x\\\"y\\\\z\\n\\\\t\"} 0\n");
    text("a{b=\"two\nlines\"} 0", "a{b=\"two\\nlines\"} 0\n");
    text("{\"my.metric\",\"l.x\"=\"1\"} 2", "{\"my.metric\", \"l.x\"=\"1\"} 2\n");
    text("{l=\"1\",\"up\"} 2", "up{l=\"1\"} 2\n");
    text("a{b=\"1\",b=\"2\"} 1", "<label name \"b\" is not unique: invalid sample> 1\n");
    text("a 1\n\0b 2\n", "a 1\n");
}

#[test]
fn text_metadata() {
    text(
        "# TYPE a counter\n# HELP a one\\\\two\\n\\\"\na 1\n",
        "type a counter\nhelp a \"one\\\\two\\n\\\\\\\"\"\na 1\n",
    );
    text("# HELP a\n#\n# comment\n#TYPE a b\na 1", "help a \"\"\na 1\n");
    text("# HELP \"my.m\"  x\n# TYPE \"my.m\" untyped", "help my.m \" x\"\ntype my.m unknown\n");
    text(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 0\n# TYPE s summary\ns{quantile=\".5\",le=\"1\"} 0",
        "type h histogram\nh_bucket{le=\"1.0\"} 0\ntype s summary\ns{le=\"1\", quantile=\"0.5\"} 0\n",
    );
}

#[test]
fn text_errors_say_what_prometheus_says() {
    let f = |body: &str, line: usize, message: &str| text(body, &format!("error on {line}: {message}\n"));
    f("m", 1, r#"expected value after metric, got "\n" ("INVALID") while parsing: "m\n""#);
    f("m{x='1'} 2\n", 1, r#"expected label value, got "'" ("INVALID") while parsing: "m{x='""#);
    f("\n\nm{x=\n", 3, r#"expected label value, got "\n" ("INVALID") while parsing: "m{x=\n""#);
    f("m{x=\"1", 1, r#"expected label value, got "\"1\n" ("INVALID") while parsing: "m{x=\"1\n""#);
    f("m{=\"\"} 0", 1, r#"expected label name, got "=\"" ("EQUAL") while parsing: "m{=\"""#);
    f("{m} 0", 1, r#"expected equal, got "} " ("BCLOSE") while parsing: "{m} ""#);
    f("{m=\"1\"} 0", 1, r#"metric name not set while parsing: "{m=\"1\"} 0""#);
    f("m{\"n\"} 0", 1, r#"metric name already set while parsing: "m{\"n\"}""#);
    f("m yes\n", 1, r#"strconv.ParseFloat: parsing "yes": invalid syntax while parsing: "m yes""#);
    f("m 1e999\n", 1, r#"strconv.ParseFloat: parsing "1e999": value out of range while parsing: "m 1e999""#);
    f("m 0x1p2\n", 1, r#"unsupported character in float while parsing: "m 0x1p2""#);
    f("m 1 -5\n", 1, r#"expected timestamp or new record, got "-" ("INVALID") while parsing: "m 1 -""#);
    f(
        "m 1 5 6\n",
        1,
        r#"expected next entry after timestamp, got "6\n" ("TIMESTAMP") while parsing: "m 1 5 6\n""#,
    );
    f(
        "m 1 99999999999999999999\n",
        1,
        r#"strconv.ParseInt: parsing "99999999999999999999": value out of range while parsing: "m 1 99999999999999999999""#,
    );
    f("# TYPE m  gauge\n", 1, r#"invalid metric type " gauge""#);
    f("# HELP 1\n", 1, r##"expected metric name after HELP, got "1" ("INVALID") while parsing: "# HELP 1""##);
    f("<html>", 1, r#"expected a valid start token, got "<" ("INVALID") while parsing: "<""#);
    let invalid = dump(Format::Text, b"m{x=\"\xff\"} 1");
    assert_eq!(invalid, "<invalid UTF-8 label value: \"\\\"\\xff\\\"\"> 1\n");
}

#[test]
fn openmetrics_samples() {
    openmetrics("# EOF\n", "");
    openmetrics("# EOF", "");
    openmetrics(
        "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds x \\\"y\\\"\n\
         a_seconds_total{b=\"1\"} 5 1.5 # {trace_id=\"abc\"} 0.5 1.25\na_seconds_created{b=\"1\"} 1e9\n# EOF\n",
        "type a_seconds counter\nunit a_seconds seconds\nhelp a_seconds \"x \\\"y\\\"\"\n\
         a_seconds_total{b=\"1\"} 5 @1500 # {trace_id=\"abc\"} 0.5 Some(1250)\na_seconds_created{b=\"1\"} 1000000000\n",
    );
    openmetrics("a 1 # {} 2\n{\"b.c\",d=\"\"} NaN\n# EOF", "a 1 # {} 2 None\n{\"b.c\"} NaN\n");
    openmetrics(
        "# TYPE h histogram\nh_bucket{le=\"1e0\"} 1 -0.001\n# EOF",
        "type h histogram\nh_bucket{le=\"1.0\"} 1 @-1\n",
    );
    openmetrics(
        "# TYPE s stateset\n# TYPE i info\n# TYPE g gaugehistogram\n# EOF",
        "type s stateset\ntype i info\ntype g gaugehistogram\n",
    );
}

#[test]
fn openmetrics_errors_say_what_prometheus_says() {
    let f = |body: &str, line: usize, message: &str| {
        let got = dump(Format::OpenMetrics, body.as_bytes());
        assert!(got.ends_with(&format!("error on {line}: {message}\n")), "{body:?}: {got}");
    };
    f("", 1, "data does not end with # EOF");
    f("m 1\n", 2, "data does not end with # EOF");
    f("m 1", 1, "data does not end with # EOF");
    f("# EOF\nm 1\n# EOF\n", 1, "unexpected data after # EOF");
    f("\n# EOF", 1, r#"expected a valid start token, got "\n" ("INVALID") while parsing: "\n""#);
    f("m  1\n# EOF", 1, r#"expected value after metric, got "  " ("INVALID") while parsing: "m  ""#);
    f("m 1 \n# EOF", 1, r##"expected a valid start token, got "\n#" ("LINEBREAK") while parsing: "\n#""##);
    f("# hello\n# EOF", 1, r##"expected a valid start token, got "# h" ("INVALID") while parsing: "# h""##);
    f("m 1 NaN\n# EOF", 1, "invalid timestamp NaN");
    f(
        "m{a=\"1\"b=\"2\"} 1\n# EOF",
        1,
        r#"expected comma or brace close, got "b=" ("LNAME") while parsing: "m{a=\"1\"b=""#,
    );
    f("# UNIT m seconds\n# EOF", 1, r#"unit "seconds" not a suffix of metric "m""#);
    f("# TYPE m untyped\n# EOF", 1, r#"invalid metric type "untyped""#);
    f(
        "m 1 # {\"a\"} 1\n# EOF",
        1,
        r##"expected label name, got "} " ("BCLOSE") while parsing: "m 1 # {\"a\"} ""##,
    );
}

#[test]
fn protobuf_families() {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let double = |number: u8, value: f64| [&[number << 3 | 1][..], &value.to_le_bytes()].concat();
    let bucket = |count: u8, bound: f64| field(3, &[&[8, count][..], &double(2, bound)].concat());
    let histogram = [&[8, 5][..], &double(2, 7.5), &bucket(2, 1.0), &bucket(4, 2.5)].concat();
    let pair = field(1, &[field(1, b"z"), field(2, b"1")].concat());
    let metric = field(4, &[pair, field(7, &histogram), vec![6 << 3, 9]].concat());
    let family = [field(1, b"h"), field(2, b"help"), vec![3 << 3, 4], metric].concat();
    let body = [&[family.len() as u8][..], &family].concat();
    assert_eq!(
        dump(Format::Protobuf, &body),
        "help h \"help\"\ntype h histogram\nh_count{z=\"1\"} 5 @9\nh_sum{z=\"1\"} 7.5 @9\n\
         h_bucket{le=\"1.0\", z=\"1\"} 2 @9\nh_bucket{le=\"2.5\", z=\"1\"} 4 @9\nh_bucket{le=\"+Inf\", z=\"1\"} 5 @9\n"
    );
    let cut = dump(Format::Protobuf, &body[..body.len() - 1]);
    assert_eq!(cut, "error on 1: invalid protobuf in metric family 1 \"\": unexpected end of the message\n");
}

/// Names as exporters use them and names that only UTF-8 allows.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_][a-z0-9_]{0,8}", "[a-zé. \"\\\\\n]{1,6}"]
}

fn any_series() -> impl Strategy<Value = (Labels, f64, Option<i64>)> {
    let labels = proptest::collection::vec((any_name(), ".{0,6}"), 0..4);
    let value = prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(1.0)];
    (any_name(), labels, value, proptest::option::of(1..1i64 << 41)).prop_map(
        |(name, labels, value, time)| {
            let mut builder = novaobs_model::LabelsBuilder::new();
            for (name, value) in labels.iter().filter(|(_, value)| !value.contains('\0')) {
                builder.set(name, value);
            }
            (builder.set(METRIC_NAME, &name).build(), if value.is_nan() { f64::NAN } else { value }, time)
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_reads_back(series in proptest::collection::vec(any_series(), 0..6)) {
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            let mut encoder = Encoder::new(format, Escaping::AllowUtf8);
            for (labels, value, timestamp) in &series {
                encoder.family(labels.metric_name(), MetricType::Gauge, "help\\\n\"", "");
                encoder.sample(labels, *value, *timestamp);
            }
            let body = encoder.finish();
            let mut parser = Parser::new(format, &body);
            let mut read = Vec::new();
            while let Some(entry) = parser.next().map_err(|e| TestCaseError::fail(format!("{format:?}: {e}")))? {
                match entry {
                    Entry::Sample(sample) => read.push((sample.labels().unwrap(), sample.value, sample.timestamp)),
                    Entry::Help { text, .. } => prop_assert_eq!(text, "help\\\n\""),
                    Entry::Type { kind, .. } => prop_assert_eq!(kind, MetricType::Gauge),
                    Entry::Unit { .. } => prop_assert!(false, "no unit was written"),
                }
            }
            prop_assert_eq!(read.len(), series.len());
            for (read, written) in read.iter().zip(&series) {
                prop_assert_eq!(&read.0, &written.0);
                prop_assert!(read.1.to_bits() == written.1.to_bits(), "{} {}", read.1, written.1);
                // OpenMetrics has seconds, and Prometheus cuts what float arithmetic leaves of a millisecond.
                let lost = written.2.zip(read.2).map(|(written, read)| written - read);
                prop_assert_eq!(read.2.is_some(), written.2.is_some());
                prop_assert!(lost.is_none_or(|lost| lost == 0 || (lost == 1 && format == Format::OpenMetrics)));
            }
        }
    }

    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            dump(format, &body);
        }
    }

    #[test]
    fn no_text_panics(body in r#"([#{}",=\\\n ]|TYPE |HELP |EOF|[a-c0-9.]){0,60}"#) {
        for format in [Format::Text, Format::OpenMetrics] {
            dump(format, body.as_bytes());
        }
    }
}
