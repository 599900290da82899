//! Real exporters from Debian's packages, with the real databases behind them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Process, free_port, get, wait_for};

/// A running exporter: `address` is `127.0.0.1:port`.
pub struct Exporter {
    pub address: String,
    pub process: Process,
    database: Option<Database>,
}

enum Database {
    Redis(#[expect(dead_code, reason = "held so that it is killed on drop")] Process),
    Postgres { folder: PathBuf },
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Database::Postgres { folder } = self {
            let _ = as_postgres(&postgres_program("pg_ctl"))
                .args(["stop", "-m", "immediate", "-D"])
                .arg(folder)
                .output();
        }
    }
}

impl Exporter {
    fn start(
        program: &str,
        address: String,
        command: &mut Command,
        folder: &Path,
        database: Option<Database>,
    ) -> Self {
        let process = Process::start(command, folder.join(format!("{program}.log")));
        let url = format!("http://{address}/metrics");
        wait_for(program, || get(&url).ok().filter(|answer| answer.status == 200));
        Exporter { address, process, database }
    }

    /// prometheus-node-exporter: this machine.
    pub fn node(folder: &Path) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        Self::node_at(folder, address)
    }

    /// prometheus-node-exporter at a given address, to bring one back.
    pub fn node_at(folder: &Path, address: String) -> Self {
        let program = "prometheus-node-exporter";
        let mut command = Command::new(program);
        command.arg(format!("--web.listen-address={address}"));
        Self::start(program, address, &mut command, folder, None)
    }

    /// A Redis with a few keys, and prometheus-redis-exporter.
    pub fn redis(folder: &Path) -> Self {
        let port = free_port();
        let mut server = Command::new("redis-server");
        server.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(folder);
        let server = Process::start(&mut server, folder.join("redis.log"));
        wait_for("redis", || {
            let pong = Command::new("redis-cli")
                .args(["-p", &port.to_string(), "set", "vm:1", "running"])
                .output()
                .ok()?;
            pong.status.success().then_some(())
        });
        let program = "prometheus-redis-exporter";
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(program);
        command
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--redis.addr=redis://127.0.0.1:{port}"));
        Self::start(program, address, &mut command, folder, Some(Database::Redis(server)))
    }

    /// A PostgreSQL cluster of its own, and prometheus-postgres-exporter.
    pub fn postgres(folder: &Path) -> Self {
        let port = free_port();
        let data = folder.join("postgres");
        std::fs::create_dir_all(&data).unwrap();
        if is_root() {
            let status = Command::new("chown").arg("postgres").arg(folder).arg(&data).status().unwrap();
            assert!(status.success());
            // The scratch folder is private to its owner; the server must be able to walk through it.
            let status = Command::new("chmod").arg("755").arg(folder).status().unwrap();
            assert!(status.success());
        }
        let run = |command: &mut Command| {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run(as_postgres(&postgres_program("initdb"))
            .args(["-A", "trust", "-U", "postgres", "-D"])
            .arg(&data));
        let options =
            format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off");
        run(as_postgres(&postgres_program("pg_ctl"))
            .args(["start", "-w", "-o", &options, "-l"])
            .arg(data.join("log"))
            .arg("-D")
            .arg(&data));
        let program = "prometheus-postgres-exporter";
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(program);
        command
            .env(
                "DATA_SOURCE_NAME",
                format!("postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable"),
            )
            .arg(format!("--web.listen-address={address}"));
        Self::start(program, address, &mut command, folder, Some(Database::Postgres { folder: data }))
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// PostgreSQL refuses to run as root; Debian's package brings the user it runs as.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
    command
}

/// The newest version's program: Debian keeps them outside the path.
fn postgres_program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed; run xtask/install-test-peers");
    let newest = versions.filter_map(|entry| Some(entry.ok()?.path())).max().expect("a PostgreSQL version");
    newest.join("bin").join(name)
}
