//! The program `novaobs`: chooses what to run by its first argument, or by the name it was started with.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use novaobs_server::check;
use novaobs_server::demo;
use novaobs_server::flags::loki as loki_flags;
use novaobs_server::flags::{self, FlagError};
use novaobs_server::loki_config::LokiConfig;
use novaobs_server::options::{self, Options};
use novaobs_server::{Runtime, agent, logging};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
novaobs: metrics, logs, alerts and their pages in one process

Usage:
  novaobs demo  [--data=DIR]              watch this machine and show where to look
  novaobs serve [--prometheus.config=FILE] [--loki.config=FILE] [--alertmanager.config=FILE] …
  novaobs prometheus --config.file=FILE …  with the flags of Prometheus
  novaobs loki -config.file=FILE …         with the flags of Loki
  novaobs agent --config.file=FILE …       tail log files and push them to a Loki
  novaobs check config FILE…              check prometheus.yml and the rules it names
  novaobs check rules FILE…               check rule files
  novaobs check web-config FILE…          check files for --web.config.file
  novaobs version

`novaobs COMMAND --help` lists a command's flags. Started through a link named `prometheus` or `loki`, it is
that.
";

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let name = Path::new(&program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut arguments: Vec<String> = arguments.collect();
    let command = if matches!(name, "prometheus" | "loki") {
        name.to_owned()
    } else if arguments.is_empty() {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    } else {
        arguments.remove(0)
    };
    match command.as_str() {
        "demo" => run(&command, SERVE, arguments),
        "serve" => run(&command, SERVE, arguments),
        "prometheus" => run(&command, PROMETHEUS, arguments),
        "loki" => run_loki(arguments),
        "agent" => run(&command, AGENT, arguments),
        "check" => check::run(&arguments),
        "version" | "--version" | "-V" => {
            println!("novaobs {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("novaobs: there is no command {other:?}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

const SERVE: &[&[flags::Flag]] = &[flags::serve::FLAGS, flags::prometheus::FLAGS];
const AGENT: &[&[flags::Flag]] = &[flags::agent::FLAGS];
const PROMETHEUS: &[&[flags::Flag]] = &[flags::prometheus::PLACES, flags::prometheus::FLAGS];

fn run(command: &str, tables: &'static [&'static [flags::Flag]], arguments: Vec<String>) -> ExitCode {
    let usage = Command::new(format!("novaobs {command}"));
    let flags = match flags::parse(usage, tables, arguments) {
        Ok(flags) => flags,
        Err(FlagError::Usage(usage)) => usage.exit(),
        Err(error) => return failed(&error),
    };
    if command != "agent" && flags.on("version") {
        println!("prometheus, version 3.5.0 (novaobs {})", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    match options::logging(&flags) {
        Ok((level, format)) => logging::init(level, format),
        Err(error) => return failed(&error),
    }
    if command == "agent" {
        return block_on(agent::run(&flags));
    }
    let options = if command == "prometheus" { Options::prometheus(&flags) } else { Options::serve(&flags) };
    let mut options = match options {
        Ok(options) => options,
        Err(error) => return failed(&error),
    };
    if command == "demo"
        && let Err(error) = demo::prepare(&mut options, &flags)
    {
        return failed(&error);
    }
    block_on(serve(command == "demo", options))
}

/// `novaobs loki`: what its flags ask for, or the face.
fn run_loki(arguments: Vec<String>) -> ExitCode {
    let own = match loki_flags::parse(Command::new("novaobs loki"), arguments) {
        Ok(own) => own,
        Err(loki_flags::LokiFlagError::Flags(FlagError::Usage(usage))) => usage.exit(),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if own.flags.on("version") {
        print!("{}", loki_flags::version());
        return ExitCode::SUCCESS;
    }
    if own.flags.on("list-targets") {
        print!("{}", loki_flags::list_targets());
        return ExitCode::SUCCESS;
    }
    let sources = own.sources();
    let loaded = LokiConfig::load(&sources);
    if own.flags.on("verify-config") {
        let (text, status) = loki_flags::verify(&loaded);
        eprint!("{text}");
        return ExitCode::from(status);
    }
    let config = match loaded {
        Ok(loaded) => loaded.value,
        Err(error) => {
            eprintln!("failed parsing config: {error}");
            return ExitCode::FAILURE;
        }
    };
    if own.flags.on("print-config-stderr") || own.flags.on("log-config-reverse-order") {
        eprint!("{}", loki_flags::printed(&config, own.flags.on("log-config-reverse-order")));
    }
    logging::init(config.server.log_level, config.server.log_format);
    if let Some(warning) = own.warning() {
        tracing::warn!("{warning}");
    }
    let options = flags::parse(Command::new("novaobs loki"), PROMETHEUS, [])
        .and_then(|flags| Options::loki(&flags, &own.flags, sources, &config));
    match options {
        Ok(options) => block_on(serve(false, options)),
        Err(error) => failed(&error),
    }
}

fn block_on(task: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(task),
        Err(error) => failed(&error),
    }
}

async fn serve(is_demo: bool, options: Options) -> ExitCode {
    // Signals are caught before anything is open: one that comes early must not be lost.
    let signals =
        (signal(SignalKind::hangup()), signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return failed(&"cannot catch signals");
    };
    let runtime = match Runtime::start(options.clone()).await {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    if is_demo {
        println!("{}", demo::where_to_look(&options));
    }
    loop {
        tokio::select! {
            // The outcome is in the log.
            _ = hangup.recv() => drop(runtime.reload().await),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = runtime.quit_requested() => break,
        }
    }
    runtime.stop().await;
    ExitCode::SUCCESS
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("novaobs: {error}");
    ExitCode::FAILURE
}
