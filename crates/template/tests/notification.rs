//! Default notification texts and the notification functions; the wanted texts were taken from
//! Alertmanager's `amtool template render`.

use chrono::{TimeZone as _, Utc};
use expect_test::{Expect, expect};
use novaobs_template::notification::{Alert, Data, Kv, render, template};
use novaobs_template::{Limits, Time};

fn kv(pairs: &[(&str, &str)]) -> Kv {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

fn alert(status: &str, instance: &str) -> Alert {
    Alert {
        status: status.to_owned(),
        labels: kv(&[("alertname", "Down"), ("instance", instance), ("job", "api"), ("severity", "page")]),
        annotations: kv(&[("summary", "it is <down>"), ("runbook", "http://r/x?a=b&c=d")]),
        starts_at: Time::utc(Utc.with_ymd_and_hms(2024, 2, 9, 13, 4, 5).unwrap()),
        ends_at: Time::zero(),
        generator_url: "http://p/graph?g0.expr=up".to_owned(),
        fingerprint: "0123456789abcdef".to_owned(),
    }
}

fn data() -> Data {
    Data {
        receiver: "team x".to_owned(),
        status: "firing".to_owned(),
        alerts: vec![alert("firing", "a:1"), alert("firing", "b:1"), alert("resolved", "c:1")],
        group_labels: kv(&[("alertname", "Down")]),
        common_labels: kv(&[("alertname", "Down"), ("job", "api"), ("severity", "page")]),
        common_annotations: kv(&[("summary", "it is <down>")]),
        external_url: "http://am:9093".to_owned(),
        ..Data::default()
    }
}

fn check(text: &str, want: Expect) {
    let template = template().map_err(|error| error.to_string());
    let got = template.and_then(|template| {
        render(&template, text, &data(), &Limits::default()).map_err(|error| format!("error: {error}"))
    });
    want.assert_eq(&got.unwrap_or_else(|error| error));
}

#[test]
fn default_texts() {
    check(r#"{{ template "slack.default.title" . }}"#, expect!["[FIRING:2] Down (api page)"]);
    check(
        r#"{{ template "slack.default.fallback" . }}"#,
        expect!["[FIRING:2] Down (api page) | http://am:9093/#/alerts?receiver=team+x"],
    );
    check(
        r#"{{ template "slack.default.username" . }}|{{ template "slack.default.color" . }}"#,
        expect!["Alertmanager|danger"],
    );
    check(
        r#"{{ template "pagerduty.default.instances" .Alerts.Resolved }}"#,
        expect![[r#"
            Labels:
             - alertname = Down
             - instance = c:1
             - job = api
             - severity = page
            Annotations:
             - runbook = http://r/x?a=b&c=d
             - summary = it is <down>
            Source: http://p/graph?g0.expr=up
        "#]],
    );
}

#[test]
fn subject_without_more_common_labels_ends_in_a_space() {
    let mut data = data();
    data.status = "resolved".to_owned();
    data.common_labels = data.group_labels.clone();
    let text = render(&template().unwrap(), r#"{{ template "__subject" . }}|"#, &data, &Limits::default());
    assert_eq!(text.unwrap(), "[RESOLVED] Down |");
}

#[test]
fn methods_and_functions() {
    check(
        "{{ .CommonLabels }} {{ .CommonLabels.Names }} {{ .GroupLabels.Values.Join \"/\" }}",
        expect!["alertname=Down, job=api, severity=page [alertname job severity] Down"],
    );
    check(
        "{{ len .Alerts }} {{ len .Alerts.Firing }} {{ (index .Alerts 0).Labels.instance }}",
        expect!["3 2 a:1"],
    );
    check(
        "{{ range .Alerts }}{{ .StartsAt.Format \"15:04\" }} {{ end }}{{ (index .Alerts 0).EndsAt.IsZero }}",
        expect!["13:04 13:04 13:04 true"],
    );
    check(
        r#"{{ (index .Alerts 0).StartsAt | tz "Europe/Paris" | date "2006-01-02 15:04:05 MST -0700" }}"#,
        expect!["2024-02-09 14:04:05 CET +0100"],
    );
    check(
        r#"{{ toJson .GroupLabels }} {{ dict "a" 1 "b" (list 1 "x<") | toJson }}"#,
        expect![[r#"{"alertname":"Down"} {"a":1,"b":[1,"x\u003c"]}"#]],
    );
    check(
        r#"{{ title "hello WORLD it's" }} {{ join "," (stringSlice "a" "b") }} {{ "a/b?c" | base64encode | base64decode }}"#,
        expect!["Hello World It's a,b a/b?c"],
    );
    check(
        r#"{{ match "^a.c$" "abc" }} {{ reReplaceAll "(b+)" "<$1>" "abbc" }} {{ urlUnescape "a%20b+c" }}"#,
        expect!["true a<bb>c a b c"],
    );
    check(
        r#"{{ reReplaceAll "(" "" "x" }}"#,
        expect![[
            r#"error: template: :1:3: executing "" at <reReplaceAll "(" "" "x">: error calling reReplaceAll: regexp: Compile(`(`): error parsing regexp: missing closing ): `(`"#
        ]],
    );
    check(
        r#"{{ toDate "2006-01-02" "2024-02-29" }} {{ humanizeDuration 3661.5 }}"#,
        expect!["2024-02-29 00:00:00 +0000 UTC 1h 1m 1s"],
    );
    check(
        "{{ .CommonLabels.nope }}|{{ .Nope }}",
        expect![[
            r#"error: template: :1:28: executing "" at <.Nope>: can't evaluate field Nope in type *template.Data"#
        ]],
    );
    check(r#"{{ nope }}"#, expect![[r#"error: template: :1: function "nope" not defined"#]]);
}

#[test]
fn route_labels_are_templates_and_cycles_end() {
    let mut data = data();
    data.route_labels =
        kv(&[("team", "{{ .GroupLabels.alertname }}-x"), ("both", r#"{{ routeLabels "team" }}!"#)]);
    let template = template().unwrap();
    let go = |text: &str, data: &Data| {
        render(&template, text, data, &Limits::default()).map_err(|e| e.to_string())
    };
    assert_eq!(go(r#"{{ routeLabels "both" }}{{ routeLabels "none" }}"#, &data).unwrap(), "Down-x!");
    data.route_labels.insert("team".to_owned(), r#"{{ routeLabels "both" }}"#.to_owned());
    let error = go(r#"{{ routeLabels "both" }}"#, &data).unwrap_err();
    assert!(error.contains("route label cycle detected: both -> team -> both"), "{error}");
}

#[test]
fn user_files_replace_defaults() {
    let mut template = template().unwrap();
    template
        .add("my.tmpl", r#"{{ define "__subject" }}mine{{ end }}{{ define "__alertmanager" }} {{ end }}"#)
        .unwrap();
    let text = render(
        &template,
        r#"{{ template "slack.default.title" . }} {{ template "slack.default.username" . }}"#,
        &data(),
        &Limits::default(),
    );
    assert_eq!(text.unwrap(), "mine Alertmanager");
}

#[test]
fn hostile_templates_end() {
    let template = template().unwrap();
    let run = |text: &str| render(&template, text, &data(), &Limits::default()).unwrap_err().to_string();
    assert!(
        run(r#"{{ define "r" }}{{ template "r" . }}{{ end }}{{ template "r" . }}"#)
            .contains("maximum template depth")
    );
    assert!(run("{{ range 1000000000 }}{{ end }}").contains("too many steps"));
    assert!(run("{{ range 1000000 }}{{ range 1000000 }}{{ end }}{{ end }}").contains("too many steps"));
    assert!(
        run(r#"{{ $x := "xxxxxxxx" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}"#)
            .contains("too much text")
    );
    assert!(run(r#"{{ range 100000 }}{{ printf "%1000000d" 1 }}{{ end }}"#).contains("too"));
    assert!(
        run(&format!("{}1{}", "{{ (".to_owned() + &"(".repeat(5000), ")".repeat(5001) + " }}"))
            .contains("depth")
    );
    assert!(run(&"{{ if true }}".repeat(5000)).contains("depth"));
}

proptest::proptest! {
    #[test]
    fn any_text_parses_or_is_refused(text in "[{}a-z .$|()\"`:=,%0-9-]{0,60}") {
        let template = novaobs_template::notification::template().map_err(|e| proptest::test_runner::TestCaseError::fail(e.to_string()))?;
        if let Ok(out) = render(&template, &format!("{{{{ {text} }}}}"), &data(), &Limits::default()) {
            proptest::prop_assert!(out.len() <= Limits::default().output_bytes);
        }
    }
}
