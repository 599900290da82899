//! Runs `.test` files given as arguments and prints how many evaluations were as expected.

use std::process::ExitCode;

use novaobs_promql::testlang::{default_options, run_script};

#[expect(clippy::print_stdout, reason = "a command line tool")]
fn main() -> ExitCode {
    let mut failed = false;
    for path in std::env::args().skip(1) {
        let outcome = std::fs::read_to_string(&path)
            .map_err(|error| error.to_string())
            .and_then(|text| run_script(&text, &default_options()).map_err(|error| error.to_string()));
        match outcome {
            Ok(report) => {
                let (failures, unsupported) = (report.failures.len(), report.unsupported.len());
                println!("{path}: {} passed, {failures} failed, {unsupported} unsupported", report.passed);
                for failure in &report.failures {
                    println!("{path}:{}: {}", failure.line, failure.text);
                }
                for finding in
                    report.unsupported.iter().filter(|_| std::env::var_os("SHOW_UNSUPPORTED").is_some())
                {
                    println!("{path}:{}: unsupported: {}", finding.line, finding.text);
                }
                failed |= failures > 0;
            }
            Err(error) => {
                println!("{path}: {error}");
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
