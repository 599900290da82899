//! Command-line flags from tables: each flag is defined once, with its default and its help, and the
//! parser, `--help` and `/api/v1/status/flags` all follow from that row.

pub mod agent;
pub mod loki;
pub mod prometheus;
pub mod serve;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};

/// One flag.
pub struct Flag {
    /// Without the leading dashes.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Used when it is not given; empty for none.
    pub default: &'static str,
    /// One sentence.
    pub help: &'static str,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    Value,
    /// A value, any number of times.
    Values,
    /// Nothing; `--no-<name>` switches it off.
    Switch,
    /// Like `Value`, accepted for command lines written for the peer, without effect here.
    Ignored,
    /// Like `Switch`, accepted without effect.
    IgnoredSwitch,
    /// Like `Switch`: what it asks for is not built yet, so giving it is an error.
    NotBuiltSwitch,
}

impl Kind {
    fn is_switch(self) -> bool {
        matches!(self, Kind::Switch | Kind::IgnoredSwitch | Kind::NotBuiltSwitch)
    }
}

/// The flags of one command line.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    values: BTreeMap<&'static str, Vec<String>>,
    given: Vec<&'static str>,
}

/// A command line that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// The parser's own message (also `--help`, whose exit status is 0).
    #[error("{0}")]
    Usage(#[from] clap::Error),
    /// A value that its flag does not take.
    #[error("--{flag}={value}: {reason}")]
    Value {
        /// Without dashes.
        flag: &'static str,
        /// As given.
        value: String,
        /// What is wrong and what to write.
        reason: String,
    },
    /// The peer has it, we do not yet.
    #[error("--{0} is not built yet: remove it to start without it")]
    NotBuilt(&'static str),
}

/// Parses `args` (without the program's name) by the rows of `tables`.
///
/// # Errors
/// [`FlagError`], for `--help` too.
pub fn parse(
    command: Command,
    tables: &[&'static [Flag]],
    args: impl IntoIterator<Item = String>,
) -> Result<Flags, FlagError> {
    let rows = || tables.iter().copied().flatten();
    let mut command = command.no_binary_name(true).disable_version_flag(true);
    for flag in rows() {
        command = command.arg(argument(flag));
        if flag.kind.is_switch() {
            let off = Arg::new(format!("no-{}", flag.name)).long(format!("no-{}", flag.name));
            command = command.arg(off.action(ArgAction::SetTrue).hide(true).overrides_with(flag.name));
        }
    }
    let matches = command.try_get_matches_from(args)?;
    let mut flags = Flags::default();
    for flag in rows() {
        let values: Vec<String> =
            matches.get_many::<String>(flag.name).into_iter().flatten().cloned().collect();
        let off = flag.kind.is_switch() && matches.get_flag(&format!("no-{}", flag.name));
        let given = off || matches.value_source(flag.name) == Some(clap::parser::ValueSource::CommandLine);
        if given {
            let asks_for_it = !off && values.iter().any(|value| value != "false");
            if flag.kind == Kind::NotBuiltSwitch && asks_for_it {
                return Err(FlagError::NotBuilt(flag.name));
            }
            flags.given.push(flag.name);
        }
        let values = if off { vec!["false".to_owned()] } else { values };
        flags.values.insert(flag.name, values);
    }
    Ok(flags)
}

fn argument(flag: &Flag) -> Arg {
    let arg = Arg::new(flag.name).long(flag.name).help(flag.help).value_name("VALUE");
    let arg = match flag.kind {
        Kind::Values => arg.action(ArgAction::Append),
        kind if kind.is_switch() => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(["true", "false"]),
        _ => arg.action(ArgAction::Set),
    };
    let arg = if flag.kind.is_switch() && flag.default.is_empty() { arg.default_value("false") } else { arg };
    let hidden = !matches!(flag.kind, Kind::Value | Kind::Values | Kind::Switch);
    let arg = arg.hide(hidden);
    if flag.default.is_empty() { arg } else { arg.default_value(flag.default) }
}

impl Flags {
    /// The value of a flag, empty if it has none.
    pub fn get(&self, name: &str) -> &str {
        self.values.get(name).and_then(|values| values.last()).map_or("", String::as_str)
    }

    /// All values of a repeatable flag.
    pub fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a switch is on.
    pub fn on(&self, name: &str) -> bool {
        self.get(name) == "true"
    }

    /// Whether the flag stood on the command line.
    pub fn given(&self, name: &str) -> bool {
        self.given.contains(&name)
    }

    /// The flag's value read by `read`.
    ///
    /// # Errors
    /// [`FlagError::Value`] with `read`'s reason.
    pub fn read<T, E: ToString>(
        &self,
        flag: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, FlagError> {
        let value = self.get(flag);
        read(value).map_err(|e| FlagError::Value { flag, value: value.to_owned(), reason: e.to_string() })
    }

    /// A duration such as `15d` or `2m`.
    ///
    /// # Errors
    /// [`FlagError::Value`].
    pub fn duration(&self, flag: &'static str) -> Result<Duration, FlagError> {
        self.read(flag, novaobs_model::duration::parse)
    }

    /// A number.
    ///
    /// # Errors
    /// [`FlagError::Value`].
    pub fn number<T: FromStr<Err: ToString>>(&self, flag: &'static str) -> Result<T, FlagError> {
        self.read(flag, str::parse)
    }

    /// Every flag with its value as text, for `/api/v1/status/flags`.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(name, values)| ((*name).to_owned(), values.join(","))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Flag] = &[
        Flag { name: "a.path", kind: Kind::Value, default: "data/", help: "." },
        Flag { name: "a.list", kind: Kind::Values, default: "", help: "." },
        Flag { name: "a.switch", kind: Kind::Switch, default: "", help: "." },
        Flag { name: "a.on", kind: Kind::Switch, default: "true", help: "." },
        Flag { name: "a.later", kind: Kind::NotBuiltSwitch, default: "", help: "." },
    ];

    fn flags(args: &[&str]) -> Result<Flags, FlagError> {
        parse(Command::new("test"), &[TABLE], args.iter().map(|a| (*a).to_owned()))
    }

    #[test]
    fn reads_the_forms_that_kingpin_reads() {
        let f = flags(&["--a.path=x", "--a.list", "1", "--a.list=2", "--a.switch", "--no-a.on"]).unwrap();
        assert_eq!(
            (f.get("a.path"), f.all("a.list").len(), f.on("a.switch"), f.on("a.on")),
            ("x", 2, true, false)
        );
        let f = flags(&["--no-a.switch", "--no-a.later", "--a.later=false"]).unwrap();
        assert_eq!((f.get("a.path"), f.on("a.switch"), f.on("a.on")), ("data/", false, true));
        assert!(!f.given("a.path") && f.given("a.switch"));
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        assert!(matches!(flags(&["--a.later"]), Err(FlagError::NotBuilt("a.later"))));
        assert!(matches!(flags(&["--b"]), Err(FlagError::Usage(_))));
        let error = flags(&["--a.path=5"]).unwrap().duration("a.path").unwrap_err().to_string();
        assert!(error.starts_with("--a.path=5: not a valid duration"), "{error}");
    }
}
