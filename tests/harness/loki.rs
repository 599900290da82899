//! A server that speaks Loki's API, started from a Loki file, and what tests push to it and ask of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{Answer, Process, ask, free_port, get, novaobs_binary, post, wait_for};

/// `novaobs loki`.
pub struct Loki {
    pub process: Process,
    pub url: String,
    pub folder: PathBuf,
}

/// Entries of one stream: Unix nanoseconds and line.
pub type Entries<'a> = &'a [(i64, String)];

impl Loki {
    /// Starts it with its files under `folder` and `more` top-level keys of its file.
    pub fn start(folder: &Path, more: &str) -> Self {
        let data = folder.join("data");
        Loki::start_with(folder, &format!("common: {{path_prefix: {}}}\n{more}", data.display()))
    }

    /// Starts it with a file of its own, to which the port is added.
    pub fn start_with(folder: &Path, config: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let port = free_port();
        let config = format!(
            "auth_enabled: false\nserver: {{http_listen_address: 127.0.0.1, http_listen_port: {port}, grpc_listen_port: 0}}\n{config}"
        );
        std::fs::write(folder.join("loki.yml"), config).unwrap();
        let process = Loki::spawn(folder);
        let mut loki = Loki { process, url: format!("http://127.0.0.1:{port}"), folder: folder.to_owned() };
        loki.wait_ready();
        loki
    }

    fn spawn(folder: &Path) -> Process {
        let file = format!("-config.file={}", folder.join("loki.yml").display());
        Process::start(Command::new(novaobs_binary()).args(["loki", &file]), folder.join("log"))
    }

    fn wait_ready(&mut self) {
        let ready = format!("{}/ready", self.url);
        wait_for("the server to be ready", || {
            assert!(self.process.is_running(), "it ended: {}", self.process.output());
            get(&ready).ok().filter(|answer| answer.status == 200)
        });
    }

    /// Starts it again, after it was killed or ended.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = Loki::spawn(&self.folder);
        self.wait_ready();
    }

    /// Pushes entries of one stream; `None` when the connection broke.
    pub fn push(&self, labels: &Value, entries: Entries<'_>) -> Option<Answer> {
        push_to(&self.url, labels, entries)
    }

    /// An answer, whatever its status.
    pub fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        ask(&format!("{}/loki/api/v1/{path}", self.url), parameters)
    }

    /// The `data.result` of a query that must be a success.
    pub fn result(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let answer = self.api(path, parameters);
        assert_eq!(answer.status, 200, "{path} {parameters:?}: {}", answer.body);
        answer.json()["data"]["result"].take()
    }

    /// Every line of a query in a range, oldest first.
    pub fn lines(&self, query: &str, start: i64, end: i64) -> Vec<String> {
        let (start, end) = (start.to_string(), end.to_string());
        let answer = self.api("export", &[("query", query), ("start", &start), ("end", &end)]);
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let rows = answer.body.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
        rows.map(|row| row["line"].as_str().unwrap_or_else(|| panic!("{row}")).to_owned()).collect()
    }
}

/// Pushes entries of one stream to a server; `None` when the connection broke.
pub fn push_to(url: &str, labels: &Value, entries: Entries<'_>) -> Option<Answer> {
    let values: Vec<Value> = entries.iter().map(|(time, line)| json!([time.to_string(), line])).collect();
    let body = json!({ "streams": [{ "stream": labels, "values": values }] }).to_string();
    post(&format!("{url}/loki/api/v1/push"), &[("content-type", "application/json")], body.as_bytes()).ok()
}
