//! The house rules that a compiler does not hold: arrows between crates, module docs, file sizes, and the
//! paths that the documents name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who may depend on whom, beyond `novaobs-model` (everyone may). A new arrow is the biggest kind of
/// change: add it here and say why in ARCHITECTURE.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &[]),
    ("wire", &[]),
    ("telemetry", &[]),
    ("http-client", &["config"]),
    ("discovery", &["config", "http-client"]),
    ("scrape", &["config", "discovery", "http-client", "telemetry", "wire"]),
    ("host", &[]),
    ("tsdb", &[]),
    ("parts", &[]),
    ("events", &["parts"]),
    ("tenants", &["config"]),
    ("push", &["tenants", "wire"]),
    ("files", &["config", "http-client", "wire"]),
    ("logql-parser", &[]),
    ("log-pipeline", &["logql-parser", "template"]),
    ("logql", &["log-pipeline", "logql-parser"]),
    ("promql-parser", &[]),
    ("promql", &["promql-parser"]),
    ("template", &[]),
    ("alerts", &["config", "template"]),
    ("receivers", &["alerts", "config", "http-client", "template"]),
    ("rules", &["config", "logql", "logql-parser", "promql", "promql-parser", "telemetry", "template"]),
    ("notifier", &["config", "discovery", "http-client", "telemetry"]),
    (
        "api",
        &[
            "alerts",
            "config",
            "log-pipeline",
            "logql",
            "logql-parser",
            "notifier",
            "promql",
            "promql-parser",
            "rules",
            "scrape",
            "tenants",
            "wire",
        ],
    ),
    ("server", &["*"]),
];
/// Longest source file; a longer one hides a second subject.
const MAX_LINES: usize = 1200;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Files git tracks or would track, below `folder`, with one of these endings.
fn sources(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--", folder])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    let listing = String::from_utf8(output.stdout).unwrap();
    let files = listing.lines().map(|line| root().join(line));
    files.filter(|f| endings.iter().any(|e| f.extension().is_some_and(|x| x == *e)) && f.exists()).collect()
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let ours = |name: &serde_json::Value| name.as_str().unwrap().strip_prefix("novaobs-").map(str::to_owned);
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = ours(&package["name"]).expect("every crate of the workspace is named novaobs-*");
        let allowed = arrows.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no row in ARROWS"));
        seen += 1;
        for dependency in package["dependencies"].as_array().unwrap() {
            let Some(other) = ours(&dependency["name"]) else { continue };
            let for_tests_only = dependency["kind"] == "dev";
            let fine =
                for_tests_only || other == "model" || allowed.contains(&other.as_str()) || *allowed == ["*"];
            assert!(fine, "{name} -> {other} is a new arrow");
        }
    }
    assert_eq!(seen, ARROWS.len(), "ARROWS names a crate that is gone");
}

#[test]
fn every_file_says_what_lives_in_it() {
    let files = sources("crates", &["rs"])
        .into_iter()
        .chain(sources("tests", &["rs"]))
        .chain(sources("fuzz", &["rs"]));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or("");
        assert!(first.starts_with("//! "), "{} does not begin with a //! line", file.display());
        assert!(text.lines().count() <= MAX_LINES, "{} has over {MAX_LINES} lines", file.display());
    }
}

#[test]
fn documents_name_only_paths_that_exist() {
    let documents = ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md", "docs", "ui/README.md"];
    let folders =
        ["crates/", "docs/", "tests/", "bench/", "xtask/", "ui/src", "ui/e2e", "fuzz/", "deployment/"];
    let mut checked = 0;
    for document in documents.iter().flat_map(|d| sources(d, &["md"])) {
        let text = fs::read_to_string(&document).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_path =
                folders.iter().any(|f| quoted.starts_with(f)) && !quoted.contains(['*', '<', ' ', '{']);
            if is_path {
                assert!(
                    root().join(quoted).exists(),
                    "{} names {quoted}, which does not exist",
                    document.display()
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 0, "no document names a path: the test looks in the wrong place");
}
