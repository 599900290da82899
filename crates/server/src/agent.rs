//! `novaobs agent`: tails log files of this machine and pushes their lines to a Loki.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its user")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use novaobs_config::emit;
use novaobs_config::{ConfigError, Fields, Loaded, Node, ToNode};
use novaobs_files::{AgentConfig, RemoteLoki, Tailer};
use tokio::signal::unix::{SignalKind, signal};

use crate::flags::Flags;
use crate::prometheus_config::log_warnings;

/// Runs until it is told to end.
pub async fn run(flags: &Flags) -> ExitCode {
    let loaded = match load(flags) {
        Ok(loaded) => loaded,
        Err(error) => return failed(&error),
    };
    log_warnings(&loaded.warnings);
    let mut config = loaded.value;
    if flags.on("check-syntax") {
        println!("{} jobs, {} clients, valid", config.jobs.len(), config.clients.len());
        return ExitCode::SUCCESS;
    }
    if config.clients.is_empty() {
        return failed(&"there is nowhere to push to: write clients with a url");
    }
    if !flags.get("positions").is_empty() {
        config.positions = flags.get("positions").into();
    }
    // Signals are caught before anything runs: one that comes early must not be lost.
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return failed(&"cannot catch signals");
    };
    let tailers = match start(&config) {
        Ok(tailers) => tailers,
        Err(error) => return failed(&error),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let stopped = tokio::task::spawn_blocking(move || drop(tailers));
    if stopped.await.is_err() {
        tracing::error!("stopping ended early");
    }
    ExitCode::SUCCESS
}

fn load(flags: &Flags) -> Result<Loaded<AgentConfig>, ConfigError> {
    match flags.get("config.file") {
        "" => AgentConfig::parse("command line", &from_flags(flags)),
        file => AgentConfig::load(Path::new(file)),
    }
}

/// The flags as a file: one job with one group for each path.
fn from_flags(flags: &Flags) -> String {
    let group = |path: &String| {
        let labels = Fields::new().field("__path__", path).node();
        Fields::new().field("labels", &labels).node()
    };
    let job = Fields::new()
        .field("job_name", flags.get("job"))
        .field("static_configs", &Node::sequence(flags.all("path").iter().map(group)))
        .field("pipeline_stages", &Node::sequence([Fields::new().field("auto", &Node::null()).node()]))
        .node();
    let client =
        Fields::new().field("url", flags.get("url")).nonempty("tenant_id", flags.get("tenant")).node();
    emit(
        &Fields::new()
            .field("clients", &Node::sequence([client]))
            .field("scrape_configs", &Node::sequence([job]))
            .node()
            .to_node(),
    )
}

/// One tailer for each client, with positions of its own: one that is away does not hold up the others.
fn start(config: &AgentConfig) -> Result<Vec<Tailer>, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Handle::current();
    let mut tailers = Vec::new();
    for (at, client) in config.clients.iter().enumerate() {
        let remote = RemoteLoki::new(client, runtime.clone())?;
        tailers.push(Tailer::start(config.jobs.clone(), &positions_of(config, at), Arc::new(remote))?);
    }
    Ok(tailers)
}

fn positions_of(config: &AgentConfig, client: usize) -> PathBuf {
    match client {
        0 => config.positions.clone(),
        later => config.positions.with_extension(format!("{later}.json")),
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("novaobs agent: {error}");
    ExitCode::FAILURE
}
