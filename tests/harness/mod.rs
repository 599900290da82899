//! Starts the real binary, real exporters and real peers on free loopback ports, and asks them over HTTP.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "a module of tests, of which each uses its own part"
)]

pub mod exporters;
pub mod fakes;
pub mod loki;

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest anything here is waited for; a healthy machine needs a fraction of it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A port nobody listens on right now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks `probe` again and again until it answers; panics with `what` when it never does.
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, &mut probe)
}

/// [`wait_for`] with another limit.
pub fn wait_within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(started.elapsed() < limit, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A process of ours: killed by its PID when the test is done with it.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with both outputs in `log`.
    pub fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Process { child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it the hard way and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by its number.
    pub fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits for it to end by itself and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        wait_for("the process to end", || self.child.try_wait().unwrap()).code()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into()
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, ureq::Error> {
    let mut response = result?;
    let status = response.status().as_u16();
    Ok(Answer { status, body: response.body_mut().with_config().limit(1 << 30).read_to_string()? })
}

/// GET.
pub fn get(url: &str) -> Result<Answer, ureq::Error> {
    answer(agent().get(url).call())
}

/// GET with query parameters.
pub fn ask(url: &str, parameters: &[(&str, &str)]) -> Answer {
    let result = agent().get(url).query_pairs(parameters.iter().copied()).call();
    answer(result).unwrap_or_else(|e| panic!("{url} {parameters:?}: {e}"))
}

/// [`ask`] of a server that may not listen yet.
pub fn ask_if_up(url: &str, parameters: &[(&str, &str)]) -> Option<Answer> {
    answer(agent().get(url).query_pairs(parameters.iter().copied()).call()).ok()
}

/// POST of a body with headers.
pub fn post(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, ureq::Error> {
    let mut request = agent().post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(request.send(body))
}

/// DELETE.
pub fn delete(url: &str) -> Answer {
    answer(agent().delete(url).call()).unwrap()
}

/// A server that speaks Prometheus' API: ours or the peer's.
pub struct Server {
    pub process: Process,
    pub url: String,
    pub folder: PathBuf,
    arguments: Vec<String>,
    program: PathBuf,
}

/// The binary under test.
pub fn novaobs_binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_novaobs"))
}

impl Server {
    /// `novaobs prometheus` with `config`, its files under `folder`, and more flags.
    pub fn novaobs(folder: &Path, config: &str, flags: &[&str]) -> Self {
        let program = novaobs_binary();
        Server::start(program, &["prometheus"], folder, config, flags)
    }

    /// Debian's prometheus with the same flags.
    pub fn prometheus(folder: &Path, config: &str, flags: &[&str]) -> Self {
        Server::start(PathBuf::from("/usr/bin/prometheus"), &[], folder, config, flags)
    }

    fn start(program: PathBuf, command: &[&str], folder: &Path, config: &str, flags: &[&str]) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let port = free_port();
        let mut arguments: Vec<String> = command.iter().map(|s| (*s).to_owned()).collect();
        arguments.push(format!("--config.file={}", file.display()));
        arguments.push(format!("--storage.tsdb.path={}", folder.join("data").display()));
        arguments.push(format!("--web.listen-address=127.0.0.1:{port}"));
        arguments.extend(flags.iter().map(|s| (*s).to_owned()));
        let process = Process::start(Command::new(&program).args(&arguments), folder.join("log"));
        let url = format!("http://127.0.0.1:{port}");
        let mut server = Server { process, url, folder: folder.to_owned(), arguments, program };
        server.wait_ready();
        server
    }

    fn wait_ready(&mut self) {
        let ready = format!("{}/-/ready", self.url);
        wait_for("the server to be ready", || {
            assert!(self.process.is_running(), "it ended: {}", self.process.output());
            get(&ready).ok().filter(|answer| answer.status == 200)
        });
    }

    /// Starts the same command line again, after it was killed or ended.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process =
            Process::start(Command::new(&self.program).args(&self.arguments), self.folder.join("log"));
        self.wait_ready();
    }

    /// An API answer, whatever its status.
    pub fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        ask(&format!("{}/api/v1/{path}", self.url), parameters)
    }

    /// The `data` of an API answer that must be a success.
    pub fn data(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let answer = self.api(path, parameters);
        assert_eq!(answer.status, 200, "{path} {parameters:?}: {}", answer.body);
        let Value::Object(mut body) = answer.json() else { panic!("no object: {}", answer.body) };
        body.remove("data").unwrap_or_default()
    }

    /// The value of an instant query that has one sample, or `None` when it has none.
    pub fn number(&self, query: &str) -> Option<f64> {
        let data = self.data("query", &[("query", query)]);
        data["result"].get(0)?["value"][1].as_str()?.parse().ok()
    }
}
