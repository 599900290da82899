//! What can be said about a configuration file, and where.

use std::fmt;
use std::sync::Arc;

use crate::Span;

/// A place in a configuration: the file, the line and column, and the path of keys that leads there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file as it was named on opening.
    pub file: Arc<str>,
    /// Line and column; zero when only the file is known.
    pub span: Span,
    /// The path, such as `scrape_configs[2].scrape_interval`; empty at the top level.
    pub path: String,
}

/// Prints `file:line:column: path`, leaving out what is not known.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.span.line > 0 {
            write!(f, ":{}:{}", self.span.line, self.span.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        Ok(())
    }
}

/// One remark on a configuration file: an error or a warning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {message}")]
pub struct Problem {
    /// Where.
    pub position: Position,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// All the errors of a configuration file, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The errors.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// An error about a file as a whole.
    pub fn of_file(file: &str, message: impl Into<String>) -> ConfigError {
        let position = Position { file: Arc::from(file), span: Span::default(), path: String::new() };
        ConfigError { problems: vec![Problem { position, message: message.into() }] }
    }
}

/// Prints one error per line.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// A value read from a file, and what the file's author should know.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The value.
    pub value: T,
    /// Unknown and obsolete keys, each once.
    pub warnings: Vec<Problem>,
}
