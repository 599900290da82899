//! `--web.config.file`: the faces are guarded and encrypted, and a bad file opens nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod harness;

use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{PATIENCE, Process, free_port, get, novaobs_binary, wait_for};

/// A line of `basic_auth_users`; the least cost there is, so that tests do not wait for bcrypt.
fn user(name: &str, password: &str) -> String {
    let hash = bcrypt::hash_with_salt(password, 4, *b"0123456789abcdef").unwrap();
    format!("  {name}: {}\n", hash.format_for_version(bcrypt::Version::TwoY))
}

/// Status and body of what curl gets; curl because it speaks HTTP/2 and takes any certificate.
fn curl(arguments: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args(["-sk", "--max-time", "60", "-w", "\n%{http_code}/%{http_version}"])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

/// `novaobs serve` with all faces behind `web` as its web config file.
struct Guarded {
    process: Process,
    file: PathBuf,
    prometheus: u16,
    grafana: u16,
    alertmanager: u16,
}

impl Guarded {
    fn start(folder: &Path, web: &str, flags: &[&str]) -> Self {
        let file = folder.join("web.yml");
        std::fs::write(&file, web).unwrap();
        std::fs::write(folder.join("prometheus.yml"), "scrape_configs: []\n").unwrap();
        let (prometheus, grafana, alertmanager) = (free_port(), free_port(), free_port());
        let mut command = Command::new(novaobs_binary());
        command
            .current_dir(folder)
            .args(["serve", "--data=data", "--prometheus.config=prometheus.yml"])
            .args(["--loki.listen=off", "--otlp-grpc.listen=off", "--otlp-http.listen=off"])
            .arg("--web.config.file=web.yml")
            .arg(format!("--prometheus.listen=127.0.0.1:{prometheus}"))
            .arg(format!("--grafana.listen=127.0.0.1:{grafana}"))
            .arg(format!("--alertmanager.listen=127.0.0.1:{alertmanager}"))
            .args(flags);
        let process = Process::start(&mut command, folder.join("log"));
        let mut guarded = Guarded { process, file, prometheus, grafana, alertmanager };
        wait_for("the ports", || {
            assert!(guarded.process.is_running(), "it ended: {}", guarded.process.output());
            TcpStream::connect(("127.0.0.1", guarded.alertmanager)).ok()
        });
        guarded
    }

    /// What must not be seen without a password: a path of each face, and the ways from one to another.
    fn doors(&self, scheme: &str, user: &str) -> Vec<String> {
        let doors = [
            (self.prometheus, "/api/v1/query?query=1"),
            (self.prometheus, "/metrics"),
            (self.prometheus, "/-/healthy"),
            (self.prometheus, "/alertmanager/api/v2/status"),
            (self.prometheus, "/query"),
            (self.grafana, "/explore"),
            (self.grafana, "/api/health"),
            (self.grafana, "/api/datasources/proxy/uid/prometheus/api/v1/query?query=1"),
            (self.grafana, "/api/datasources/proxy/uid/alertmanager/api/v2/status"),
            (self.alertmanager, "/api/v2/status"),
            (self.alertmanager, "/"),
        ];
        doors.iter().map(|(port, path)| format!("{scheme}://{user}127.0.0.1:{port}{path}")).collect()
    }
}

#[test]
fn every_face_asks_for_the_password() {
    let scratch = tempfile::tempdir().unwrap();
    let users = format!("basic_auth_users:\n{}", user("alice", "wonderland"));
    let guarded = Guarded::start(scratch.path(), &users, &[]);
    let statuses = |user: &str| -> Vec<(String, u16)> {
        let doors = guarded.doors("http", user).into_iter();
        doors.map(|url| (url.clone(), get(&url).unwrap_or_else(|e| panic!("{url}: {e}")).status)).collect()
    };
    for refused in ["", "alice:wonder@", "alice:@", "bob:wonderland@"] {
        for (url, status) in statuses(refused) {
            assert_eq!(status, 401, "{url}");
        }
    }
    for (url, status) in statuses("alice:wonderland@") {
        assert_eq!(status, 200, "{url}");
    }
    let nowhere = format!("http://127.0.0.1:{}/nowhere", guarded.prometheus);
    assert_eq!(get(&nowhere).unwrap().body, "Unauthorized\n");

    // The file counts as it is now; one that is broken lets nobody in.
    let health =
        |user: &str| get(&format!("http://{user}127.0.0.1:{}/-/healthy", guarded.prometheus)).unwrap().status;
    std::fs::write(&guarded.file, format!("basic_auth_users:\n{}", user("bob", "builder"))).unwrap();
    assert_eq!((health("alice:wonderland@"), health("bob:builder@")), (401, 200));
    std::fs::write(&guarded.file, "basic_auth_user: {}\n").unwrap();
    assert_eq!(health("bob:builder@"), 500);
}

#[test]
fn a_bad_file_opens_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("web.yml");
    let cases = [
        ("basic_auth_users:\n  alice: wonderland\n", ":2:10: basic_auth_users.alice: not a bcrypt hash"),
        ("tls_server_conf: {}\n", ":1:1: tls_server_conf: field tls_server_conf not found"),
        ("tls_server_config:\n  cert_file: c.pem\n", "missing one of key or key_file"),
        ("tls_server_config: {cert_file: none.pem, key_file: none.pem}\n", "failed to read cert_file"),
        ("basic_auth_users: [\n", "web.yml:2:1: "),
    ];
    for (text, want) in cases {
        std::fs::write(&file, text).unwrap();
        let port = free_port();
        let output = Command::new(novaobs_binary())
            .current_dir(scratch.path())
            .args(["prometheus", "--storage.tsdb.path=data", "--config.file=none.yml"])
            .arg(format!("--web.config.file={}", file.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(want), "{want:?} is missing: {text}");
        assert!(!scratch.path().join("data").exists());
    }
    let output = Command::new(novaobs_binary())
        .args(["prometheus", "--web.config.file=/does/not/exist.yml"])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("/does/not/exist.yml: cannot read the file"), "{text}");
}

/// A certificate for this host and its key, in `folder`; the certificate is its own authority.
fn certificate(folder: &Path) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(folder.join("cert.pem"), own.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), own.signing_key.serialize_pem()).unwrap();
}

const TLS: &str = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n";

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "needs Debian's packages: make blackbox")]
fn clients_come_in_by_tls() {
    let scratch = tempfile::tempdir().unwrap();
    certificate(scratch.path());
    let web = format!(
        "{TLS}http_server_config: {{headers: {{X-Frame-Options: deny}}}}\nbasic_auth_users:\n{}",
        user("alice", "wonderland")
    );
    let mut guarded = Guarded::start(scratch.path(), &web, &[]);

    // Both clients trust the certificate by Go's own means: one by the environment, one by its file.
    let promtool = |password: &str| {
        let output = Command::new("promtool")
            .env("SSL_CERT_FILE", scratch.path().join("cert.pem"))
            .args(["query", "instant"])
            .arg(format!("https://alice:{password}@127.0.0.1:{}", guarded.prometheus))
            .arg("vector(7)")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let (good, text) = promtool("wonderland");
    assert!(good && text.contains("{} => 7 @"), "{text}");
    let (good, text) = promtool("wonder");
    assert!(!good && text.contains("401"), "{text}");

    let client = scratch.path().join("client.yml");
    let text = format!(
        "tls_config: {{ca_file: {}}}\nbasic_auth: {{username: alice, password: wonderland}}\n",
        scratch.path().join("cert.pem").display()
    );
    std::fs::write(&client, text).unwrap();
    let output = Command::new("amtool")
        .arg(format!("--http.config.file={}", client.display()))
        .arg(format!("--alertmanager.url=https://127.0.0.1:{}", guarded.alertmanager))
        .args(["silence", "add", "--comment=test", "vm=a"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    for url in guarded.doors("https", "") {
        assert_eq!(curl(&[&url]).0, "401/2", "{url}");
        assert_eq!(curl(&["-u", "alice:wonder", &url]).0, "401/2", "{url}");
        assert_eq!(curl(&["-u", "alice:wonderland", &url]).0, "200/2", "{url}");
        assert_eq!(curl(&["--http1.1", "-u", "alice:wonderland", &url]).0, "200/1.1", "{url}");
    }
    let (_, head) = curl(&["-I", &format!("https://127.0.0.1:{}/query", guarded.prometheus)]);
    let head = head.to_lowercase();
    assert!(head.contains("www-authenticate: basic") && head.contains("x-frame-options: deny"), "{head}");
    for url in guarded.doors("http", "") {
        let (status, body) = curl(&["-u", "alice:wonderland", &url]);
        assert_eq!(status, "400/1", "{url}: {body}");
        assert_eq!(body, "Client sent an HTTP request to an HTTPS server.\n");
    }
    // The door closes when asked, with connections open that never said a word.
    let silent = TcpStream::connect(("127.0.0.1", guarded.prometheus)).unwrap();
    guarded.process.signal("TERM");
    assert_eq!(guarded.process.wait(), Some(0), "{}", guarded.process.output());
    drop(silent);
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "needs Debian's packages: make blackbox")]
fn silent_clients_hold_nobody_up() {
    let scratch = tempfile::tempdir().unwrap();
    certificate(scratch.path());
    let guarded = Guarded::start(scratch.path(), TLS, &["--web.read-timeout=1s", "--web.max-connections=4"]);
    let connect = || TcpStream::connect(("127.0.0.1", guarded.prometheus)).unwrap();
    let mut silent = [connect(), connect(), connect()];
    let url = format!("https://127.0.0.1:{}/-/healthy", guarded.prometheus);
    assert_eq!(curl(&[&url]).0, "200/2");
    for stream in &mut silent {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // Closed by the server: an end, not a time-out of ours.
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
    }
    // More silent clients than connections: those behind them wait for the time-out and no longer.
    let crowd = [connect(), connect(), connect(), connect(), connect()];
    assert_eq!(curl(&[&url]).0, "200/2");
    drop(crowd);
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "needs Debian's packages: make blackbox")]
fn both_check_commands_say_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    certificate(scratch.path());
    let file = scratch.path().join("web.yml");
    let alice = user("alice", "wonderland");
    let check = |program: &Path| {
        let output = Command::new(program).args(["check", "web-config"]).arg(&file).output().unwrap();
        assert!(output.stdout.is_empty());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    };
    let cases = [
        (String::new(), true),
        ("{}\n".to_owned(), true),
        (TLS.to_owned(), true),
        (format!("{TLS}basic_auth_users:\n{alice}"), true),
        (format!("{TLS}http_server_config: {{http2: false}}\n"), true),
        ("http_server_config: {headers: {X-Frame-Options: sameorigin}}\n".to_owned(), true),
        ("tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_auth_type: RequireAnyClientCert}\n".to_owned(), true),
        ("tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_auth_type: Any}\n".to_owned(), false),
        ("tls_server_config: {cert_file: cert.pem, key_file: cert.pem}\n".to_owned(), false),
        ("tls_server_config: {cert_file: none.pem, key_file: key.pem}\n".to_owned(), false),
        ("tls_server_config: {cert_file: cert.pem}\n".to_owned(), false),
        ("tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: cert.pem}\n".to_owned(), false),
        ("tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: TLS9}\n".to_owned(), false),
        ("http_server_config: {headers: {X-Frame-Options: allow}}\n".to_owned(), false),
        ("http_server_config: {headers: {Server: x}}\n".to_owned(), false),
        ("basic_auth_users: {alice: wonderland}\n".to_owned(), false),
        ("basic_auth_user: {}\n".to_owned(), false),
        ("basic_auth_users: [\n".to_owned(), false),
    ];
    for (text, good) in cases {
        std::fs::write(&file, &text).unwrap();
        let (theirs, their_text) = check(Path::new("promtool"));
        let (ours, our_text) = check(&novaobs_binary());
        assert_eq!(theirs, Some(i32::from(!good)), "promtool on {text}: {their_text}");
        assert_eq!(ours, theirs, "novaobs on {text}: {our_text}");
        let verdict = if good { "SUCCESS\n" } else { "FAILED: " };
        let start = format!("{} {verdict}", file.display());
        assert!(our_text.starts_with(&start) && their_text.starts_with(&start), "{their_text}{our_text}");
    }
}
