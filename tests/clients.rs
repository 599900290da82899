//! The peers' own command-line clients against the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod harness;

use std::path::Path;
use std::process::Command;

use harness::fakes::Fake;
use harness::{Process, Server, free_port, get, novaobs_binary, wait_for};

/// Runs a client; returns its exit code and both outputs.
fn run(program: &str, args: &[&str]) -> (i32, String) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

/// Runs a client that must succeed and print all of `wanted`.
fn prints(program: &str, args: &[&str], wanted: &[&str]) -> String {
    let (code, text) = run(program, args);
    assert_eq!(code, 0, "{program} {args:?}: {text}");
    for wanted in wanted {
        assert!(text.contains(wanted), "{program} {args:?} does not print {wanted:?}: {text}");
    }
    text
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "needs Debian's packages: make blackbox")]
fn promtool_asks_and_checks() {
    let scratch = tempfile::tempdir().unwrap();
    let target =
        Fake::start(|_| (200, "text/plain", "vm_count{host=\"a\"} 3\nvm_count{host=\"b\"} 4\n".into()));
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n- job_name: vm\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let server = Server::novaobs(scratch.path(), &config, &["--web.enable-lifecycle"]);
    wait_for("a scrape", || server.number("sum(vm_count)"));
    let url = server.url.as_str();
    prints("promtool", &["query", "instant", url, "sum by (job) (vm_count)"], &[r#"{job="vm"} => 7 @"#]);
    prints("promtool", &["query", "range", "--step=1s", url, "sum(vm_count)"], &["7 @["]);
    prints("promtool", &["query", "series", "--match=vm_count", url], &[r#"host="a""#, r#"host="b""#]);
    prints("promtool", &["query", "labels", url, "host"], &["a\nb"]);
    let (code, text) = run("promtool", &["query", "instant", url, "sum("]);
    assert!(code != 0 && text.contains("parse error"), "{text}");
    let metrics = get(&format!("{url}/metrics")).unwrap();
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("prometheus_tsdb_head_series"), "{}", metrics.body);
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "needs Debian's packages: make blackbox")]
fn both_check_commands_agree_on_good_and_bad_files() {
    let scratch = tempfile::tempdir().unwrap();
    let novaobs = novaobs_binary();
    let novaobs = novaobs.to_str().unwrap();
    let check = |kind: &str, text: &str, good: bool| {
        let file = scratch.path().join(format!("{kind}.yml"));
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let (theirs, their_text) = run("promtool", &["check", kind, file]);
        let (ours, our_text) = run(novaobs, &["check", kind, file]);
        assert_eq!(theirs == 0, good, "promtool on {text}: {their_text}");
        assert_eq!(ours == 0, good, "novaobs on {text}: {our_text}");
        if !good {
            assert!(our_text.contains(&format!("{file}:")), "the place is missing: {our_text}");
        }
    };
    check(
        "config",
        "global: {scrape_interval: 15s}\nscrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}]}]\n",
        true,
    );
    check("config", "global: {scrape_interval: 15}\n", false);
    check("config", "scrape_configs: [{job_name: a}, {job_name: a}]\n", false);
    check("config", "scrape_configs: [{job_name: a, relabel_configs: [{action: nope}]}]\n", false);
    check("config", "rule_files: [missing.yml]\nscrape_configs: [\n", false);
    check("rules", "groups: [{name: g, rules: [{record: 'a:b', expr: 'sum(x)'}]}]\n", true);
    check(
        "rules",
        "groups: [{name: g, rules: [{alert: A, expr: 'up == 0', for: 5m, annotations: {s: '{{ $value }}'}}]}]\n",
        true,
    );
    check("rules", "groups: [{name: g, rules: [{alert: A, expr: 'sum(' }]}]\n", false);
    check("rules", "groups: [{name: g, rules: [{alert: A, expr: up, fro: 5m}]}]\n", false);
    check("rules", "groups: [{name: g, rules: [{record: 'a:b', alert: A, expr: up}]}]\n", false);
    check("rules", "groups: [{name: g}, {name: g}]\n", false);
    check(
        "rules",
        "groups: [{name: g, rules: [{alert: A, expr: up, annotations: {s: '{{ $value'}}]}]\n",
        false,
    );
}

fn alertmanager(folder: &Path) -> (Process, String) {
    std::fs::write(
        folder.join("alertmanager.yml"),
        "route: {receiver: default, routes: [{matchers: ['severity=\"critical\"'], receiver: pager}]}\n\
         receivers: [{name: default}, {name: pager}]\n",
    )
    .unwrap();
    let port = free_port();
    let mut command = Command::new(novaobs_binary());
    command
        .args(["serve", "--grafana.listen=off", "--prometheus.listen=off"])
        .args(["--loki.listen=off", "--otlp-grpc.listen=off", "--otlp-http.listen=off"])
        .arg(format!("--alertmanager.listen=127.0.0.1:{port}"))
        .arg(format!("--data={}", folder.join("data").display()))
        .arg(format!("--alertmanager.config={}", folder.join("alertmanager.yml").display()));
    let process = Process::start(&mut command, folder.join("log"));
    let url = format!("http://127.0.0.1:{port}");
    wait_for("the Alertmanager face", || get(&format!("{url}/-/ready")).ok().filter(|a| a.status == 200));
    (process, url)
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "needs Debian's packages: make blackbox")]
fn amtool_works() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut process, url) = alertmanager(scratch.path());
    let flag = format!("--alertmanager.url={url}");
    let amtool = |args: &[&str], wanted: &[&str]| {
        let args: Vec<&str> = [&flag as &str].into_iter().chain(args.iter().copied()).collect();
        prints("amtool", &args, wanted)
    };
    amtool(&["alert", "add", "DiskFull", "severity=critical", "host=a", "--annotation=summary=full"], &[]);
    amtool(&["alert", "query"], &["DiskFull", "active"]);
    amtool(
        &["alert", "query", "-o", "extended", "host=~a|b"],
        &["severity=\"critical\"", "summary=\"full\""],
    );
    assert!(!amtool(&["alert", "query", "host=b"], &[]).contains("DiskFull"));
    let id = amtool(
        &["silence", "add", "alertname=DiskFull", "--comment=known", "--author=me", "--duration=1h"],
        &[],
    );
    // A remark on versions follows on standard error.
    let id = id.lines().next().unwrap();
    amtool(&["silence", "query"], &[id, "known", "alertname=\"DiskFull\""]);
    wait_for("the alert to be silenced", || {
        let hidden = !amtool(&["alert", "query"], &[]).contains("DiskFull");
        hidden.then(|| amtool(&["alert", "query", "--silenced"], &["suppressed"]))
    });
    amtool(&["silence", "update", id, "--comment=longer", "--duration=2h"], &[]);
    amtool(&["silence", "query", "-o", "extended"], &["longer"]);
    let id = amtool(&["silence", "query", "-q"], &[]);
    let id = id.lines().next().unwrap();
    amtool(&["silence", "expire", id], &[]);
    amtool(&["silence", "query", "--expired"], &[id]);
    amtool(&["config", "show"], &["receiver: default"]);
    amtool(&["config", "routes", "show"], &["default-route", "pager"]);
    amtool(&["config", "routes", "test", "severity=critical"], &["pager"]);
    amtool(&["config", "routes", "test", "severity=info"], &["default"]);
    amtool(&["cluster", "show"], &["Cluster Status"]);
    process.signal("TERM");
    assert_eq!(process.wait(), Some(0));
}
