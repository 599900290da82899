//! `novaobs check config|rules|web-config`: what is wrong in files, without starting anything.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its user")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use novaobs_config::{ConfigError, Problem};
use novaobs_promql::VectorSample;
use novaobs_promql_parser::{ParseOptions, parse};
use novaobs_rules::{EvalError, Expression, Language, file};

use crate::prometheus_config::{PrometheusConfig, matching_files};
use crate::web_config::WebGuard;

/// Runs `novaobs check` with what follows it on the command line. Exit status 0: all good, 1: errors, 2:
/// wrong usage.
pub fn run(arguments: &[String]) -> ExitCode {
    let (kind, files) = match arguments {
        [kind, files @ ..] if !files.is_empty() => (kind.as_str(), files),
        _ => return usage(),
    };
    let check = match kind {
        "config" => check_config,
        "rules" => check_rules,
        "web-config" => check_web_config,
        _ => return usage(),
    };
    let mut all_good = true;
    for file in files {
        all_good &= check(Path::new(file));
    }
    if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: novaobs check config FILE…\n       novaobs check rules FILE…\n       novaobs check web-config FILE…"
    );
    ExitCode::from(2)
}

fn check_config(file: &Path) -> bool {
    let loaded = match PrometheusConfig::load(file) {
        Ok(loaded) => loaded,
        Err(error) => return refused(file, &error),
    };
    warned(&loaded.warnings);
    let config = loaded.value;
    println!("{}: {} scrape configs, valid", file.display(), config.scrape_configs.len());
    let mut all_good = true;
    for file in config.rule_globs.iter().flat_map(|pattern| matching_files(pattern)) {
        all_good &= check_rules(&file);
    }
    all_good
}

fn check_rules(path: &Path) -> bool {
    let report = match file::check_file(path, &PromQlSyntax) {
        Ok(report) => report,
        Err(error) => return refused(path, &error),
    };
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    for duplicate in &report.duplicates {
        let (name, labels) = (&duplicate.name, &duplicate.labels);
        eprintln!("warning: {}: rule {name} with labels {labels} stands more than once", path.display());
    }
    println!("{}: {} rules, valid", path.display(), report.rules);
    true
}

/// Certificates and keys are read as well. Words and stream are `promtool`'s.
fn check_web_config(path: &Path) -> bool {
    match WebGuard::open(path) {
        Ok(loaded) => {
            warned(&loaded.warnings);
            eprintln!("{} SUCCESS", path.display());
            true
        }
        Err(error) => {
            eprintln!("{} FAILED: {error}", path.display());
            false
        }
    }
}

/// PromQL that is checked and never evaluated.
struct PromQlSyntax;

struct Checked(String);

impl Language for PromQlSyntax {
    fn compile(&self, text: &str) -> Result<Arc<dyn Expression>, String> {
        let expr = parse(text, ParseOptions::default()).map_err(|error| error.to_string())?;
        Ok(Arc::new(Checked(expr.to_string())))
    }
}

impl Expression for Checked {
    fn text(&self) -> &str {
        &self.0
    }

    fn eval(&self, _: i64) -> Result<Vec<VectorSample>, EvalError> {
        Err(EvalError::Failed("expressions are checked here, not evaluated".to_owned()))
    }
}

fn refused(file: &Path, error: &ConfigError) -> bool {
    eprintln!("{error}\n{}: {} errors", file.display(), error.problems.len());
    false
}

fn warned(warnings: &[Problem]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}
