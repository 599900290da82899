//! The flags of `loki`: Go's notation (`-name=value`, `-name value`, one dash or two), the few that say what
//! to do, and a dotted flag for every key of the file.
//!
//! The dotted ones are rows of `loki.txt` beside this file: those that set a key become [`Setting`]s, which
//! [`LokiConfig`](crate::loki_config::LokiConfig) reads on top of the file; the others are accepted and named.

use std::collections::BTreeMap;

use clap::Command;

use super::{Flag, FlagError, Flags, Kind};
use crate::loki_config::{LokiConfig, LokiConfigError, Setting, Sources};

const fn value(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind: Kind::Value, default, help }
}
const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag { name, kind: Kind::Switch, default: "", help }
}

/// The flags that say what to do.
pub const FLAGS: &[Flag] = &[
    value(
        "config.file",
        "config.yaml,config/config.yaml",
        "Configuration file; of several with commas between, the first that exists.",
    ),
    switch("config.expand-env", "Replace ${NAME} in the file by variables of the environment."),
    switch("config.strict", "Refuse unknown keys of the file, as Loki does."),
    switch("print-config-stderr", "Print the configuration in force to standard error."),
    switch("log-config-reverse-order", "Log the configuration in force, last line first."),
    switch("verify-config", "Check the configuration and exit."),
    switch("list-targets", "Print what -target may name and exit."),
    switch("version", "Print the version and exit."),
    value(
        "memory",
        "",
        "Memory the process may use, such as 4GB; default: 60 % of the machine's or the cgroup's.",
    ),
];

/// Another name of `config.strict`.
const STRICT: &str = "strict";

/// What `-target` may name. Each of them runs everything here.
pub const TARGETS: [&str; 32] = [
    "all",
    "read",
    "write",
    "backend",
    "bloom-builder",
    "bloom-gateway",
    "bloom-gateway-client",
    "bloom-planner",
    "bloom-compactor",
    "compactor",
    "dataobj-consumer",
    "dataobj-consumer-partition-ring",
    "dataobj-consumer-ring",
    "dataobj-explorer",
    "dataobj-index-builder",
    "distributor",
    "index-gateway",
    "ingest-limits",
    "ingest-limits-frontend",
    "ingester",
    "overrides-exporter",
    "pattern-ingester",
    "querier",
    "query-engine",
    "query-engine-scheduler",
    "query-engine-worker",
    "query-frontend",
    "query-scheduler",
    "ruler",
    "scratch-store",
    "table-manager",
    "ui",
];

/// A command line.
#[derive(Clone, Debug)]
pub struct LokiFlags {
    /// The flags that say what to do.
    pub flags: Flags,
    /// The flags that set keys of the file, in the order given.
    pub settings: Vec<Setting>,
    /// Flags that were accepted without effect.
    pub without_effect: Vec<String>,
}

/// A command line that Loki would not take either. The exit status is 2.
#[derive(Debug, thiserror::Error)]
pub enum LokiFlagError {
    /// There is no such flag.
    #[error("flag provided but not defined: -{0}\nRun with -help to get list of available parameters")]
    Unknown(String),
    /// Nothing follows a flag that takes a value.
    #[error("flag needs an argument: -{0}\nRun with -help to get list of available parameters")]
    NeedsValue(String),
    /// A switch is neither on nor off.
    #[error(
        "invalid boolean value {value:?} for -{flag}: write true or false\nRun with -help to get list of available parameters"
    )]
    Boolean {
        /// Without dashes.
        flag: String,
        /// As given.
        value: String,
    },
    /// `---x`, `-=x`.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// The others' parser; `--help`, whose exit status is 0, too.
    #[error(transparent)]
    Flags(#[from] FlagError),
}

/// Parses `arguments` (without the program's name). As in Go, what follows the first word that is no flag is
/// left alone.
///
/// # Errors
/// [`LokiFlagError`].
pub fn parse(
    command: Command,
    arguments: impl IntoIterator<Item = String>,
) -> Result<LokiFlags, LokiFlagError> {
    let table = Table::new();
    let mut arguments = arguments.into_iter().peekable();
    let (mut ours, mut settings, mut without_effect) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(argument) = arguments.next() {
        let name = match argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) {
            Some("") | None => break,
            Some(name) => name,
        };
        if name.starts_with(['-', '=']) {
            return Err(LokiFlagError::Syntax(argument));
        }
        let (name, given) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        if matches!(name, "h" | "help") {
            ours.push("--help".to_owned());
            continue;
        }
        let Some(row) = table.row(name) else {
            return Err(LokiFlagError::Unknown(name.to_owned()));
        };
        let value = match (row.is_switch, given) {
            (true, given) => boolean(name, given)?,
            (false, Some(value)) => value,
            (false, None) => arguments.next().ok_or_else(|| LokiFlagError::NeedsValue(name.to_owned()))?,
        };
        match row.meaning {
            Meaning::Ours(name) => ours.push(format!("--{name}={value}")),
            Meaning::Sets(path) => settings.push(Setting { flag: name.to_owned(), path, value }),
            Meaning::Nothing => without_effect.push(name.to_owned()),
        }
    }
    let after = "Every key of the configuration file can be set by a flag of Loki's name for it as well.";
    let flags = super::parse(command.after_help(after), &[FLAGS], ours)?;
    Ok(LokiFlags { flags, settings, without_effect })
}

/// The texts that Go takes for booleans.
fn boolean(flag: &str, given: Option<String>) -> Result<String, LokiFlagError> {
    match given.as_deref() {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok("true".to_owned()),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok("false".to_owned()),
        Some(value) => Err(LokiFlagError::Boolean { flag: flag.to_owned(), value: value.to_owned() }),
    }
}

impl LokiFlags {
    /// What the configuration is made from.
    pub fn sources(&self) -> Sources {
        Sources {
            files: self.flags.get("config.file").to_owned(),
            expand_env: self.flags.on("config.expand-env"),
            strict: self.flags.on("config.strict"),
            settings: self.settings.clone(),
        }
    }

    /// One warning for all flags without effect.
    pub fn warning(&self) -> Option<String> {
        let names: Vec<String> = self.without_effect.iter().map(|name| format!("-{name}")).collect();
        (!names.is_empty()).then(|| format!("without effect: {}", names.join(", ")))
    }
}

/// What a command line flag does.
#[derive(Clone, Copy)]
enum Meaning {
    Ours(&'static str),
    Sets(&'static str),
    Nothing,
}

#[derive(Clone, Copy)]
struct Row {
    is_switch: bool,
    meaning: Meaning,
}

/// All flags by name.
struct Table {
    rows: BTreeMap<String, Row>,
}

impl Table {
    fn new() -> Self {
        let mut rows = BTreeMap::new();
        let mut add = |name: String, meaning| {
            let (name, is_switch) = match name.strip_suffix('!') {
                Some(name) => (name.to_owned(), true),
                None => (name, false),
            };
            rows.insert(name, Row { is_switch, meaning });
        };
        for line in include_str!("loki.txt").lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, path)) = line.split_once(" = ") {
                add(name.to_owned(), Meaning::Sets(path));
            } else if let Some((group, names)) = line.split_once("*: ") {
                names.split_whitespace().for_each(|name| add(format!("{group}{name}"), Meaning::Nothing));
            }
        }
        for flag in FLAGS {
            let mark = if flag.kind.is_switch() { "!" } else { "" };
            add(format!("{}{mark}", flag.name), Meaning::Ours(flag.name));
        }
        add(format!("{STRICT}!"), Meaning::Ours("config.strict"));
        Table { rows }
    }

    fn row(&self, name: &str) -> Option<Row> {
        self.rows.get(name).copied()
    }
}

/// What `-version` prints.
pub fn version() -> String {
    format!(
        "loki, version 3.7.0 (novaobs {})\n  platform:         {}/{}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    )
}

/// What `-list-targets` prints: a target on each line.
pub fn list_targets() -> String {
    TARGETS.iter().map(|target| format!("{target}\n")).collect()
}

/// What `-verify-config` prints to standard error, and its exit status.
pub fn verify(loaded: &Result<novaobs_config::Loaded<LokiConfig>, LokiConfigError>) -> (String, u8) {
    match loaded {
        Ok(loaded) => {
            let warnings: String =
                loaded.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            (format!("{warnings}level=info msg=\"config is valid\"\n"), 0)
        }
        // A flag is part of the command line, whose faults have a status of their own.
        Err(error @ LokiConfigError::Flag { .. }) => (format!("{error}\n"), 2),
        Err(error) => (format!("failed parsing config: {error}\n"), 1),
    }
}

/// What `-print-config-stderr` prints, or a log line for each when `reversed`.
pub fn printed(config: &LokiConfig, reversed: bool) -> String {
    let head = format!("---\n# Loki Config\n# (version=3.7.0, novaobs={})\n", env!("CARGO_PKG_VERSION"));
    let text = format!("{head}{}", config.page(""));
    if !reversed {
        return text;
    }
    text.lines().rev().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<LokiFlags, LokiFlagError> {
        parse(Command::new("test"), arguments.iter().map(|argument| (*argument).to_owned()))
    }

    fn settings(arguments: &[&str]) -> String {
        let flags = run(arguments).unwrap();
        let one = |setting: &Setting| format!("{}={}", setting.path, setting.value);
        flags.settings.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn reads_the_forms_that_go_reads() {
        let port = "server.http_listen_port=3200";
        assert_eq!(settings(&["-server.http-listen-port=3200"]), port);
        assert_eq!(settings(&["--server.http-listen-port", "3200"]), port);
        assert_eq!(
            settings(&["-auth.enabled", "-server.http-listen-port", "3200"]),
            format!("auth_enabled=true {port}")
        );
        assert_eq!(settings(&["-auth.enabled=F"]), "auth_enabled=false");
        assert_eq!(
            settings(&["-querier.max-query-lookback=-1s", "-distributor.max-line-size=1MB"]),
            "limits_config.max_query_lookback=-1s limits_config.max_line_size=1MB"
        );
        // What follows a word, or two dashes, is not looked at.
        assert_eq!(settings(&["extra", "-auth.enabled=maybe"]), "");
        assert_eq!(settings(&["--", "-nonsense"]), "");
    }

    #[test]
    fn tells_what_to_do_from_what_to_set() {
        let flags = run(&[
            "-config.file=a.yml,b.yml",
            "-config.expand-env",
            "-verify-config",
            "--strict",
            "-ingester.chunk-target-size",
            "5",
            "-memberlist.abort-if-join-fails",
        ])
        .unwrap();
        let sources = flags.sources();
        assert_eq!((sources.files.as_str(), sources.expand_env, sources.strict), ("a.yml,b.yml", true, true));
        assert!(flags.flags.on("verify-config") && !flags.flags.on("version"));
        assert_eq!(
            flags.warning().as_deref(),
            Some("without effect: -ingester.chunk-target-size, -memberlist.abort-if-join-fails")
        );
        assert_eq!(run(&[]).unwrap().sources().files, "config.yaml,config/config.yaml");
        assert_eq!(run(&[]).unwrap().warning(), None);
    }

    #[test]
    fn refuses_in_the_peers_words() {
        let f = |arguments: &[&str], want: &str| {
            let error = run(arguments).unwrap_err().to_string();
            assert!(error.starts_with(want), "{arguments:?}: {error}");
        };
        f(&["-foo"], "flag provided but not defined: -foo\n");
        f(&["-server.http-listen-port"], "flag needs an argument: -server.http-listen-port\n");
        f(&["-auth.enabled=maybe"], "invalid boolean value \"maybe\" for -auth.enabled");
        f(&["---x"], "bad flag syntax: ---x");
        f(&["-=x"], "bad flag syntax: -=x");
    }

    #[test]
    fn every_flag_that_sets_a_key_sets_one_that_is_read() {
        let table = Table::new();
        let mut seen = 0;
        for (flag, row) in &table.rows {
            let Meaning::Sets(path) = row.meaning else { continue };
            seen += 1;
            // Each kind of value is among these.
            let candidates = [
                "true",
                "false",
                "3",
                "5s",
                "2026-01-31",
                "disabled",
                "http://a:1/b",
                "info",
                "VersionTLS12",
                "RequireAnyClientCert",
                "",
            ];
            let accepted = candidates.iter().any(|value| {
                let setting = Setting { flag: flag.clone(), path, value: (*value).to_owned() };
                let sources = Sources { settings: vec![setting], ..Sources::default() };
                match LokiConfig::parse("loki.yml", "", &sources, &|_| None) {
                    Ok(_) => true,
                    // A key that is not read is unknown, whatever its value.
                    Err(error) => {
                        let error = error.to_string();
                        assert!(!error.contains("not found in"), "-{flag}: {error}");
                        false
                    }
                }
            });
            let needs_more = ["common.storage", "tls_config", "remote_write.enabled"]
                .iter()
                .any(|part| path.contains(part));
            assert!(accepted || needs_more, "-{flag} takes none of {candidates:?}");
        }
        assert!(seen > 140, "{seen}");
    }

    #[test]
    fn names_of_flags_are_those_of_the_table() {
        let table = Table::new();
        assert!(table.rows.len() > 2500);
        assert!(table.row("ingester.wal-enabled").is_some_and(|row| row.is_switch));
        assert!(table.row("config.file").is_some_and(|row| !row.is_switch));
    }

    #[test]
    fn verdicts_have_the_peers_shape() {
        let load = |text: &str| LokiConfig::parse("loki.yml", text, &Sources::default(), &|_| None);
        let (text, code) = verify(&load("auth_enabled: false"));
        assert!(code == 0 && text.contains("msg=\"config is valid\""), "{text}");
        let (text, code) = verify(&load("auth_enabled: maybe"));
        assert_eq!(
            (text.as_str(), code),
            (
                "failed parsing config: loki.yml:1:15: auth_enabled: expected true or false, found \"maybe\"\n",
                1
            )
        );
        let (text, code) =
            verify(&LokiConfig::load(&Sources { files: "none.yml".to_owned(), ..Sources::default() }));
        assert_eq!(
            (text.as_str(), code),
            ("failed parsing config: none.yml does not exist, set config.file for custom config path\n", 1)
        );
        assert!(version().starts_with("loki, version 3.7.0 ("));
        assert!(list_targets().starts_with("all\nread\nwrite\nbackend\n"));
    }

    #[test]
    fn the_printed_configuration_can_be_turned_around() {
        let config = LokiConfig::default();
        let text = printed(&config, false);
        assert!(
            text.starts_with("---\n# Loki Config\n") && text.contains("\nauth_enabled: true\n"),
            "{text}"
        );
        let reversed: Vec<String> = printed(&config, true).lines().rev().map(str::to_owned).collect();
        assert_eq!(reversed, text.lines().collect::<Vec<_>>());
    }
}
