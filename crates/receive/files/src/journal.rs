//! The systemd journal, read by `journalctl` in its JSON export.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use novaobs_model::LabelsBuilder;
use serde_json::{Map, Value};

use crate::config::JournalConfig;
use crate::stages::Line;
use crate::timestamp;

/// Entries waiting between the reader and the tailer.
const WAITING: usize = 1024;
/// Names of syslog's priorities, by number.
const PRIORITIES: [&str; 8] = ["emerg", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/// A running `journalctl --follow`.
pub(crate) struct Journal {
    child: Child,
    entries: Receiver<Entry>,
}

/// An entry and where it stands.
pub(crate) struct Entry {
    pub cursor: String,
    pub line: Line,
}

impl Journal {
    /// Follows the journal behind `cursor`, or from the configured age on; `None`, with a warning, when that
    /// cannot start.
    pub(crate) fn start(config: &JournalConfig, cursor: Option<&str>) -> Option<Journal> {
        let mut command = Command::new("journalctl");
        command.args(["--output=json", "--all", "--follow", "--no-pager", "--quiet"]);
        match cursor {
            Some(cursor) => command.arg(format!("--after-cursor={cursor}")),
            None => command.arg(format!("--since=-{}s", config.max_age.as_secs())).arg("--lines=all"),
        };
        if let Some(path) = &config.path {
            command.arg("--directory").arg(path);
        }
        command.args(config.matches.split_whitespace());
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                tracing::warn!(%error, "journalctl cannot be started: the journal is not read");
                return None;
            }
        };
        let output = child.stdout.take()?;
        let (sender, entries) = sync_channel(WAITING);
        let config = config.clone();
        let reader = move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(entry) = entry(&line, &config)
                    && sender.send(entry).is_err()
                {
                    return;
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("journal".to_owned()).spawn(reader) {
            tracing::warn!(%error, "the journal is not read");
        }
        Some(Journal { child, entries })
    }

    /// The next entry that is here already.
    pub(crate) fn next(&self) -> Option<Entry> {
        self.entries.try_recv().ok()
    }

    /// Whether journalctl is gone. What it said and nobody took is read again behind the saved cursor.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of the export as an entry; `None` for what is none.
fn entry(text: &str, config: &JournalConfig) -> Option<Entry> {
    let object: Map<String, Value> = serde_json::from_str(text).ok()?;
    let cursor = object.get("__CURSOR")?.as_str()?.to_owned();
    let field = |name: &str| object.get(name).and_then(field_text);
    let micros = field("__REALTIME_TIMESTAMP").and_then(|n| n.parse::<i64>().ok());
    let message = if config.json { text.to_owned() } else { field("MESSAGE").unwrap_or_default() };
    let mut labels = LabelsBuilder::from_labels(&config.labels);
    for (label, name) in
        [("unit", "_SYSTEMD_UNIT"), ("hostname", "_HOSTNAME"), ("syslog_identifier", "SYSLOG_IDENTIFIER")]
    {
        if let Some(value) = field(name)
            && labels.get(label).is_empty()
        {
            labels.set(label, &value);
        }
    }
    let time = micros.map_or_else(timestamp::now, |micros| micros.saturating_mul(1000));
    let mut line = Line::new(&message, time, labels);
    let priority = field("PRIORITY").and_then(|n| n.parse::<usize>().ok());
    if let Some(name) = priority.and_then(|n| PRIORITIES.get(n)) {
        line.metadata.push(("level".to_owned(), (*name).to_owned()));
    }
    Some(Entry { cursor, line })
}

/// A field's text; the export writes bytes that are no text as a list of numbers.
fn field_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(bytes) => {
            let bytes: Option<Vec<u8>> =
                bytes.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect();
            Some(String::from_utf8_lossy(&bytes?).into_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use novaobs_model::Labels;
    use std::time::Duration;

    #[test]
    fn entries_of_the_export_become_lines() {
        let config = JournalConfig {
            labels: Labels::from_pairs([("job", "journal")]),
            max_age: Duration::from_secs(60),
            path: None,
            json: false,
            matches: String::new(),
        };
        let text = r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1795348800000001","_SYSTEMD_UNIT":"ssh.service","PRIORITY":"3","MESSAGE":[104,105,255]}"#;
        let mut entry = entry(text, &config).unwrap();
        assert_eq!(entry.cursor, "s=1");
        assert_eq!(entry.line.text, "hi\u{fffd}");
        assert_eq!(entry.line.timestamp, 1_795_348_800_000_001_000);
        assert_eq!(entry.line.labels.build().to_string(), r#"{job="journal", unit="ssh.service"}"#);
        assert_eq!(entry.line.metadata, [("level".to_owned(), "error".to_owned())]);
        assert!(super::entry("no JSON", &config).is_none());
    }
}
