//! The functions of alert texts; wanted texts follow Prometheus' own results.

use std::sync::Arc;

use novaobs_template::functions::prometheus::{Context, Sample, functions};
use novaobs_template::{Limits, MissingKey, Template, Value};

fn template() -> Template {
    let query = |expr: &str| match expr {
        "fail" => Err("query failed".to_owned()),
        "none" => Ok(Vec::new()),
        _ => Ok([("b", 2.0), ("a", 1.5)]
            .map(|(job, value)| Sample {
                labels: vec![("__name__".to_owned(), "up".to_owned()), ("job".to_owned(), job.to_owned())],
                value,
            })
            .to_vec()),
    };
    let context = Context {
        query: Arc::new(query),
        timestamp: 1_435_065_584_128,
        external_url: "http://p:9090/base".to_owned(),
        path_prefix: "/base".to_owned(),
    };
    Template::new(functions(&context), MissingKey::Zero)
}

#[test]
fn functions_of_alert_texts() {
    let template = template();
    let data = Value::map([
        ("Value".to_owned(), Value::Float(0.0)),
        ("Labels".to_owned(), Value::string_map([("a", "b")])),
    ]);
    let f = |text: &str, want: &str| {
        let got = match template.render("t", text, &data, &Limits::default()) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        };
        assert_eq!(got, want, "{text}");
    };
    f(
        "{{ humanize 0.0 }}:{{ humanize 1.0 }}:{{ humanize 1234567.0 }}:{{ humanize .12 }}:{{ humanize -1200 }}",
        "0:1:1.235M:120m:-1.2k",
    );
    f(
        "{{ humanize1024 0.0 }}:{{ humanize1024 1048576.0 }}:{{ humanize1024 .12 }}:{{ humanize1024 2048 }}",
        "0:1Mi:0.12:2ki",
    );
    f(
        r#"{{ humanize "1e30" }}:{{ humanize "+Inf" }}:{{ humanize "NaN" }}:{{ humanize "x" }}"#,
        r#"template: t:1:68: executing "t" at <humanize "x">: error calling humanize: strconv.ParseFloat: parsing "x": invalid syntax"#,
    );
    f(
        "{{ humanizeDuration 0 }}:{{ humanizeDuration 86400 }}:{{ humanizeDuration -62.5 }}:{{ humanizeDuration 899.99 }}:{{ humanizeDuration .001 }}:{{ humanizeDuration 12.345678 }}",
        "0s:1d 0h 0m 0s:-1m 2s:14m 59s:1ms:12.35s",
    );
    f(
        "{{ humanizePercentage -0.22222 }}:{{ humanizePercentage 1 }}:{{ humanizePercentage 1.234567 }}",
        "-22.22%:100%:123.5%",
    );
    f(
        "{{ humanizeTimestamp 1435065584.128 }}|{{ 1435065584.128 | toTime }}|{{ (1435065584.128 | toTime).Year }}|{{ toDuration 90.5 }}|{{ now }}",
        "2015-06-23 13:19:44.128 +0000 UTC|2015-06-23 13:19:44.128 +0000 UTC|2015|1m30.5s|1.435065584128e+09",
    );
    f(
        r#"{{ query "up" | first | value }} {{ query "up" | sortByLabel "job" | first | label "job" }} {{ with query "up" }}{{ . | first | label "none" }}{{ end }}"#,
        "2 a ",
    );
    f(r#"{{ range query "up" | sortByLabel "job" }}{{ .Labels.job }}={{ .Value }} {{ end }}"#, "a=1.5 b=2 ");
    f(
        r#"{{ query "none" | first }}"#,
        r#"template: t:1:18: executing "t" at <first>: error calling first: first() called on vector with no elements"#,
    );
    f(
        r#"{{ query "fail" }}"#,
        r#"template: t:1:3: executing "t" at <query "fail">: error calling query: query failed"#,
    );
    f(
        r#"{{ title "aa bB CC" }} {{ toUpper "Ab" }} {{ toLower "Ab" }} {{ stripPort "[::1]:80" }} {{ stripPort "h:9" }} {{ stripDomain "h.d.com:9" }} {{ stripDomain "192.0.2.1:80" }} {{ stripDomain "h.d" }}"#,
        "Aa BB CC AB ab ::1 h h:9 192.0.2.1:80 h",
    );
    f(
        r#"{{ graphLink "up" }} {{ tableLink "a{b=\"c\"}" }} {{ urlQueryEscape "a b" }}"#,
        "/graph?g0.expr=up&g0.tab=0 /graph?g0.expr=a%7Bb%3D%22c%22%7D&g0.tab=1 a+b",
    );
    f(
        r#"{{ parseDuration "1h2m10ms" }} {{ parseDuration "-5m" }} {{ externalURL }} {{ pathPrefix }}"#,
        "3720.01 -300 http://p:9090/base /base",
    );
    f(r#"{{ define "x" }}{{ .arg0 }}-{{ .arg1 }}{{ end }}{{ template "x" (args 1 "a") }}"#, "1-a");
    f("{{ .Labels.missing }}|{{ .Value }}|{{ .Missing }}", "|0|<no value>");
    f(r#"{{ tmpl "x" . }}"#, r#"template: t:1: function "tmpl" not defined"#);
}
