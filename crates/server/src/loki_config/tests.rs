//! Files of one rule each, good and bad, and what becomes of them.

use novaobs_model::Tenant;
use novaobs_tenants::Tenants;

use super::*;

fn load(text: &str) -> Result<Loaded<LokiConfig>, LokiConfigError> {
    LokiConfig::parse("loki.yml", text, &Sources::default(), &|_| None)
}

/// A file that is taken without a word.
fn good(text: &str) -> LokiConfig {
    let loaded = load(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    assert_eq!(loaded.warnings, [], "{text}");
    loaded.value
}

/// The warnings of a file, a line each.
fn warned(text: &str) -> String {
    let loaded = load(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    loaded.warnings.iter().map(|warning| format!("{warning}\n")).collect()
}

fn refused(text: &str) -> String {
    match load(text) {
        Ok(loaded) => panic!("{text}\n{:?}", loaded.value),
        Err(error) => error.to_string(),
    }
}

fn bucket(text: &str) -> String {
    load(text)
        .unwrap_or_else(|error| panic!("{text}\n{error}"))
        .value
        .storage
        .bucket
        .unwrap()
        .url
        .expose()
        .to_owned()
}

#[test]
fn sections_that_act_are_read() {
    let config = good("auth_enabled: false\nno_auth_tenant: ops\nshutdown_delay: 5s\ntarget: all");
    assert_eq!((config.auth_enabled, config.no_auth_tenant.as_str()), (false, "ops"));
    assert_eq!(config.shutdown_delay, Duration::from_secs(5));

    let server = good(
        "server:\n  http_listen_address: 127.0.0.1\n  http_listen_port: 3101\n  grpc_listen_port: 0\n  log_level: warn\n  log_format: json\n  http_path_prefix: loki/\n  http_server_read_timeout: 5m\n  http_server_idle_timeout: 1.5h\n  grpc_server_max_recv_msg_size: 104857600\n",
    )
    .server;
    assert_eq!((server.http_listen_port, server.grpc_listen_port), (3101, 0));
    assert_eq!(
        (server.log_level, server.log_format),
        (tracing::Level::WARN, crate::logging::LogFormat::Json)
    );
    assert_eq!(server.http_path_prefix, "/loki");
    assert_eq!(server.http_server_idle_timeout, Duration::from_secs(5400));
    assert_eq!(server.grpc_server_max_recv_msg_size, 100 << 20);

    let config = good(
        "compactor: {retention_enabled: true, retention_delete_delay: 1h, delete_request_cancel_period: 5m}",
    );
    assert!(config.compactor.retention_enabled);
    assert_eq!(config.compactor.delete_request_cancel_period, Duration::from_secs(300));

    let config = good(
        "querier: {multi_tenant_queries_enabled: true, tail_max_duration: 10m, max_concurrent: 16, engine: {max_look_back_period: 1m}}",
    );
    assert!(config.querier.multi_tenant_queries_enabled);
    assert_eq!(config.querier.max_concurrent, 16);

    assert!(good("pattern_ingester: {enabled: true}").patterns_enabled);
    assert_eq!(
        good("frontend: {log_queries_longer_than: 5s}").log_queries_longer_than,
        Some(Duration::from_secs(5))
    );
    assert_eq!(
        good("frontend: {log_queries_longer_than: -1s}").log_queries_longer_than,
        Some(Duration::ZERO)
    );
    assert_eq!(good("frontend: {log_queries_longer_than: 0s}").log_queries_longer_than, None);
    assert_eq!(
        good("tenant_limits_allow_publish: [query_timeout]").tenant_limits_allow_publish,
        ["query_timeout"]
    );
    let pushes = good("distributor: {max_recv_msg_size: 1MB, max_decompressed_size: 2097152}").max_push_bytes;
    assert_eq!(pushes, PushBytes { received: 1 << 20, decompressed: 2 << 20 });
    assert_eq!(good("limits_config: {max_query_series: 7}").limits.max_query_series, 7);
    let runtime = good("runtime_config: {file: 'a.yaml,b.yaml', period: 30s}").runtime;
    assert_eq!((runtime.files.len(), runtime.period), (2, Duration::from_secs(30)));
    assert_eq!(good("").server.http_listen_port, 3100);
}

#[test]
fn the_ruler_is_read() {
    let ruler = good(
        "ruler:\n  storage: {type: local, local: {directory: /rules}}\n  rule_path: /tmp/rules\n  alertmanager_url: http://a:9093, http://b:9093/am\n  external_url: http://grafana\n  external_labels: {cluster: x}\n  evaluation_interval: 30s\n  enable_api: false\n  alertmanager_client: {basic_auth_username: u, basic_auth_password: p, tls_insecure_skip_verify: true}\n  alert_relabel_configs: [{source_labels: [a], target_label: b}]\n  remote_write:\n    enabled: true\n    clients:\n      one: {url: 'http://p:9090/api/v1/write', headers: {X-A: b}, basic_auth: {username: u, password: q}}\n",
    )
    .ruler;
    assert_eq!(ruler.rules, Some(PathBuf::from("/rules")));
    assert_eq!(
        ruler.alertmanagers.iter().map(|url| url.as_str()).collect::<Vec<_>>(),
        ["http://a:9093/", "http://b:9093/am"]
    );
    assert!(!ruler.enable_api && ruler.alertmanager_client.tls.insecure_skip_verify);
    assert_eq!(ruler.alertmanager_client.basic_auth.unwrap().username, "u");
    assert_eq!(ruler.alert_relabel_configs.len(), 1);
    let (name, client) = ruler.remote_write.clients.first().unwrap();
    assert_eq!((name.as_str(), client.url.as_str()), ("one", "http://p:9090/api/v1/write"));
    // Rules lie where the common storage says when nothing else does.
    let config = good("common: {storage: {filesystem: {chunks_directory: /c, rules_directory: /r}}}");
    assert_eq!(config.ruler.rules, Some(PathBuf::from("/r")));
    let config = good("ruler_storage: {backend: local, local: {directory: /x}}");
    assert_eq!(config.ruler.rules, Some(PathBuf::from("/x")));
    assert!(
        warned("ruler: {storage: {type: s3, s3: {bucketnames: x}}}").contains("rules are not read from s3")
    );
    assert!(
        warned("ruler: {remote_write: {enabled: true, client: {url: 'http://x'}}}").contains("write clients")
    );
    assert!(warned("ruler: {evaluation: {mode: remote}}").contains("in this process"));
    assert!(warned("ruler: {enable_alertmanager_v2: false}").contains("API v2"));
}

#[test]
fn the_folder_follows_the_common_prefix_or_the_chunks() {
    let folder =
        |text: &str| load(text).unwrap().value.storage.folder.map(|folder| folder.display().to_string());
    assert_eq!(folder(""), None);
    assert_eq!(folder("common: {path_prefix: /loki}").as_deref(), Some("/loki"));
    let both = "common: {path_prefix: /loki, storage: {filesystem: {chunks_directory: /loki/chunks}}}";
    assert_eq!(folder(both).as_deref(), Some("/loki"));
    let elsewhere = "common: {path_prefix: /loki}\nstorage_config: {filesystem: {directory: /big/chunks}}";
    assert_eq!(folder(elsewhere).as_deref(), Some("/big/chunks"));
    let old =
        "storage_config: {boltdb: {directory: /tmp/loki/index}, filesystem: {directory: /tmp/loki/chunks}}";
    assert_eq!(folder(old).as_deref(), Some("/tmp/loki/chunks"));
}

const SCHEMA_S3: &str =
    "schema_config: {configs: [{from: 2020-10-24, store: tsdb, object_store: s3, schema: v13}]}\n";

#[test]
fn buckets_are_found_in_every_spelling() {
    let s3 = |block: &str| bucket(&format!("{SCHEMA_S3}storage_config: {{aws: {block}}}\n"));
    assert_eq!(
        s3("{bucketnames: logs, region: eu-west-1, access_key_id: k, secret_access_key: s/+}"),
        "s3://logs?region=eu-west-1&access_key_id=k&secret_access_key=s%2F%2B"
    );
    assert_eq!(
        s3("{s3: 's3://k:s%2F+@eu-west-1/logs'}"),
        "s3://logs?region=eu-west-1&access_key_id=k&secret_access_key=s%2F%2B"
    );
    assert_eq!(
        s3("{s3: 's3://k:s@minio.local:9000/logs', insecure: true, s3forcepathstyle: true}"),
        "s3://logs?allow_http=true&endpoint=http%3A%2F%2Fminio.local%3A9000&access_key_id=k&secret_access_key=s"
    );
    assert_eq!(
        s3("{endpoint: 'minio:9000', bucketnames: logs, insecure: false}"),
        "s3://logs?endpoint=https%3A%2F%2Fminio%3A9000"
    );
    assert_eq!(
        s3("{endpoint: 'http://minio:9000', bucketnames: logs}"),
        "s3://logs?allow_http=true&endpoint=http%3A%2F%2Fminio%3A9000"
    );
    assert_eq!(
        bucket(&format!("{SCHEMA_S3}common: {{storage: {{s3: {{bucketnames: logs}}}}}}")),
        "s3://logs"
    );
    assert_eq!(bucket("common: {storage: {gcs: {bucket_name: logs}}}"), "gs://logs");
    assert_eq!(
        bucket("common: {storage: {azure: {account_name: me, account_key: k, container_name: logs}}}"),
        "az://logs?account_name=me&account_key=k"
    );
    let thanos = format!(
        "{SCHEMA_S3}storage_config: {{use_thanos_objstore: true, object_store: {{storage_prefix: a/b, s3: {{bucket_name: logs, endpoint: 's3.local', region: r}}}}}}"
    );
    assert_eq!(bucket(&thanos), "s3://logs/a/b?endpoint=https%3A%2F%2Fs3.local&region=r");
    // A file that lists every default describes blocks without names.
    let listed = "common: {storage: {s3: {bucketnames: '', s3forcepathstyle: false}, gcs: {bucket_name: ''}, azure: {account_name: a}}}";
    assert_eq!(bucket(listed), "az://loki?account_name=a");
    // The newest period counts, wherever it stands.
    let periods = "schema_config: {configs: [{from: 2024-01-01, store: tsdb, object_store: filesystem}, {from: 2020-01-01, store: boltdb-shipper, object_store: s3}]}\ncommon: {storage: {s3: {bucketnames: x}}}";
    assert_eq!(load(periods).unwrap().value.storage.bucket, None);
    // Credentials do not come back.
    let shown = load(&format!("{SCHEMA_S3}storage_config: {{aws: {{s3: 's3://k:hunter2@r/b'}}}}"))
        .unwrap()
        .value
        .page("");
    assert!(!shown.contains("hunter2") && shown.contains("s3://b?region=r"), "{shown}");
}

#[test]
fn what_has_no_effect_is_said_in_few_lines() {
    let rings = "memberlist: {join_members: [a]}\ningester:\n  lifecycler: {ring: {kvstore: {store: inmemory}, replication_factor: 1}, final_sleep: 0s}\n  chunk_idle_period: 5m\n  chunk_retain_period: 30s\n  max_transfer_retries: 0\nquery_range: {results_cache: {cache: {embedded_cache: {enabled: true, max_size_mb: 100}}}}\nanalytics: {reporting_enabled: false}\n";
    let said = warned(rings);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("without effect: analytics, ingester.chunk_idle_period, ingester.chunk_retain_period"),
        "{said}"
    );

    let said = warned(
        "server: {register_instrumentation: true, http_listen_port: 1, grpc_server_max_concurrent_streams: 5}",
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.starts_with("loki.yml:1:36: server.register_instrumentation: without effect: ")
            || said.contains("grpc_server_max_concurrent_streams, register_instrumentation"),
        "{said}"
    );

    // A list of periods gets one line.
    let periods = "schema_config: {configs: [{from: 2018-04-15, store: boltdb, object_store: filesystem, schema: v9, index: {prefix: index_, period: 168h}}, {from: 2020-10-24, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}, row_shards: 16}]}";
    let said = warned(periods);
    assert!(
        said.contains("logs are kept in the own format of this store") && said.lines().count() == 1,
        "{said}"
    );
    assert!(warned("tracing: {enabled: true}").contains("traces of the server itself"));
    assert!(
        warned("storage_config: {cassandra: {addresses: a, keyspace: k}}")
            .contains("logs are not stored there")
    );
    assert!(
        warned("schema_config: {configs: [{from: 2020-01-01, store: cassandra}]}")
            .contains("object_store cassandra")
    );
    for block in ["", "storage_config: {aws: {region: x, bucketnames: }}"] {
        let said = warned(&format!("{SCHEMA_S3}{block}"));
        assert!(said.contains("names a bucket there: logs are stored in the local folder"), "{said}");
    }
    let said = warned(&format!("{SCHEMA_S3}storage_config: {{aws: {{bucketnames: 'a,b'}}}}"));
    assert!(said.contains("not spread over several buckets: all go to a"), "{said}");
    assert!(warned("server: {log_format: xml}").contains("logfmt is written"));
    assert!(warned("target: read").contains("runs everything"));
    assert!(
        warned("storage_config: {aws: {bucketnames: a, sse: {type: SSE-KMS}}}").contains("sse is not built")
    );
}

#[test]
fn old_names_are_followed() {
    let f = |text: &str, hint: &str| {
        let loaded = load(text).unwrap();
        let said: String = loaded.warnings.iter().map(ToString::to_string).collect();
        assert!(said.contains(hint), "{text}: {said}");
        loaded.value
    };
    let day = Duration::from_secs(86_400);
    let config = f("chunk_store_config: {max_look_back_period: 24h}", "limits_config.max_query_lookback");
    assert_eq!(config.limits.max_query_lookback, day);
    let config = f(
        "table_manager: {retention_deletes_enabled: true, retention_period: 24h}",
        "compactor.retention_enabled",
    );
    assert_eq!((config.compactor.retention_enabled, config.limits.retention_period), (true, day));
    assert_eq!(
        good("table_manager: {retention_deletes_enabled: false, retention_period: 0s}")
            .limits
            .retention_period,
        Duration::ZERO
    );
    for text in ["querier: {query_timeout: 2m}", "querier: {engine: {timeout: 2m}}"] {
        assert_eq!(f(text, "limits_config.query_timeout").limits.query_timeout, Duration::from_secs(120));
    }
    let config = f("compactor: {deletion_mode: filter-only}", "limits_config.deletion_mode");
    assert_eq!(config.limits.deletion_mode, DeletionMode::FilterOnly);
    let config = f("limits_config: {per_tenant_override_config: /etc/o.yaml}", "runtime_config.file");
    assert_eq!(config.runtime.files, [PathBuf::from("/etc/o.yaml")]);
    assert_eq!(f("http_prefix: /x", "http_path_prefix").server.http_path_prefix, "/x");
}

#[test]
fn wrong_files_are_refused_with_place_key_and_remedy() {
    let f = |text: &str, want: &str| {
        let error = refused(text);
        assert!(error.starts_with("loki.yml:") && error.contains(want), "{text}\n{error}");
    };
    f("auth_enabled: maybe", "1:15: auth_enabled: expected true or false");
    f("server: {http_listen_port: abc}", "server.http_listen_port: expected a whole number");
    f("server: {http_listen_port: 3000000}", "out of range");
    f("server: {log_level: loud}", "write one of debug, info, warn, error");
    f("server: {http_server_read_timeout: 5}", "such as 5s");
    f("server: {http_tls_config: {cert_file: a}}", "certificate and its key go together");
    f("server: {http_tls_config: {client_auth_type: x}}", "RequireAndVerifyClientCert");
    f("server: 5", "expected a mapping");
    f("limits_config: {deletion_mode: foo}", "disabled, filter-only, filter-and-delete");
    f("limits_config: {max_line_size: abc}", "is not a size");
    f("ruler: {external_url: '::bad'}", "not a valid URL");
    f("ruler: {alertmanager_url: '::bad'}", "is not a URL");
    f("ruler: {remote_write: {enabled: true}}", "remote-write enabled but no clients URL are configured");
    f("ruler: {remote_write: {clients: {a: {}}}}", "the key url is missing");
    f("ruler: {alert_relabel_configs: [{action: foo}]}", "action");
    f("ruler: {alertmanager_client: {basic_auth_username: u, credentials: c}}", "at most one of");
    f("target: foo", "unrecognised module name: foo: write one of all");
    f("common: {storage: {s3: {bucketnames: a}, gcs: {bucket_name: b}}}", "too many storage configs");
    f(
        &format!("{SCHEMA_S3}storage_config: {{aws: {{s3: 'not a url'}}}}"),
        "write s3://key:secret@region/bucket",
    );
    f("lbac: {enabled: true}", "access by labels is not built");
    f("ingester: {chunk_idle_period: soon}", "ingester.chunk_idle_period: ");
    f("ingester: {wal: {enabled: 7}}", "expected true or false");
    f("tracing: {enabled: 1}", "expected true or false");
    f("memberlist: [a]", "expected a mapping");
    f("compactor: {retention_enabled: true}\ncompactor: {}", "already set");
    f("a: [", "invalid YAML");
}

#[test]
fn unknown_keys_are_warned_about_or_refused() {
    let text = "nonsense: 1\nserver: {http_listen_prt: 3}\ningester: {chunk_idle_perid: 5m}\nlimits_config: {max_line_szie: 1KB}\n";
    let said = warned(text);
    for want in [
        "loki.yml:1:1: nonsense: unknown key \"nonsense\" is ignored",
        "did you mean http_listen_port?",
        "did you mean chunk_idle_period?",
        "did you mean max_line_size?",
    ] {
        assert!(said.contains(want), "{want}\n{said}");
    }
    let strict = Sources { strict: true, ..Sources::default() };
    let error = LokiConfig::parse("loki.yml", text, &strict, &|_| None).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 4, "{error}");
    assert!(error.contains("field nonsense not found in the file"), "{error}");
}

#[test]
fn variables_are_expanded_when_asked_for() {
    let environment = |name: &str| (name == "PORT").then(|| "3300".to_owned());
    let run = |expand_env, text| {
        LokiConfig::parse("loki.yml", text, &Sources { expand_env, ..Sources::default() }, &environment)
    };
    let text = "server: {http_listen_port: '${PORT}'}";
    assert!(run(false, text).is_err());
    let plain = "server:\n  http_listen_port: ${PORT:-1}\n";
    assert_eq!(run(true, plain).unwrap().value.server.http_listen_port, 3300);
    let error = run(true, "a: 1\nb: ${NONE:?set NONE}").unwrap_err().to_string();
    assert_eq!(error, "loki.yml: line 2: NONE is not set: set NONE");
}

#[test]
fn flags_beat_the_file() {
    let run = |text: &str, settings: &[(&str, &'static str, &str)]| {
        let settings = settings
            .iter()
            .map(|(flag, path, value)| Setting { flag: (*flag).to_owned(), path, value: (*value).to_owned() })
            .collect();
        LokiConfig::parse("loki.yml", text, &Sources { settings, ..Sources::default() }, &|_| None)
    };
    let port = ("server.http-listen-port", "server.http_listen_port", "3300");
    let config = run("server: {http_listen_port: 3200, log_level: warn}", &[port]).unwrap().value;
    assert_eq!((config.server.http_listen_port, config.server.log_level), (3300, tracing::Level::WARN));
    let error =
        run("", &[("server.http-listen-port", "server.http_listen_port", "abc")]).unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid value \"abc\" for flag -server.http-listen-port: server.http_listen_port: expected a whole number, found \"abc\"\nRun with -help to get list of available parameters"
    );
    let file = ("runtime-config.file", "runtime_config.file", "/etc/a b: #.yaml");
    assert_eq!(run("", &[file]).unwrap().value.runtime.files, [PathBuf::from("/etc/a b: #.yaml")]);
    let prefix = ("common.path-prefix", "common.path_prefix", "/data");
    assert_eq!(run("", &[prefix]).unwrap().value.storage.folder, Some(PathBuf::from("/data")));
}

#[test]
fn the_first_file_that_exists_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("second.yml");
    std::fs::write(&path, "auth_enabled: false\n").unwrap();
    let files = format!("{}/first.yml,{}", folder.path().display(), path.display());
    let loaded = LokiConfig::load(&Sources { files, ..Sources::default() }).unwrap();
    assert!(!loaded.value.auth_enabled);
    let error =
        LokiConfig::load(&Sources { files: "a.yml,b.yml".to_owned(), ..Sources::default() }).unwrap_err();
    assert_eq!(error.to_string(), "a.yml,b.yml does not exist, set config.file for custom config path");
}

#[test]
fn the_page_shows_what_is_in_force_without_secrets() {
    let config = load("server: {http_listen_port: 3200, http_tls_config: {cert: c, key: hunter2}}\nlimits_config: {max_query_series: 7}").unwrap().value;
    let all = config.page("");
    assert!(all.contains("  http_listen_port: 3200\n") && all.contains("\nlimits_config:\n"), "{all}");
    assert!(!all.contains("hunter2"), "{all}");
    let expected = "server:\n  http_listen_port: 3200\n  http_tls_config:\n    cert: c\n    key: <secret>\nlimits_config:\n  max_query_series: 7\n";
    assert_eq!(config.page("diffs"), expected);
    assert!(config.page("defaults").contains("  http_listen_port: 3100\n"));
    assert_eq!(LokiConfig::default().page("diffs"), "{}\n");
    // What is printed is a file again, but for the bucket.
    assert_eq!(load(&LokiConfig::default().page("")).unwrap().value.limits, LokiConfig::default().limits);
}

#[test]
fn otlp_labels_of_the_distributor_reach_every_tenant() {
    let text = "distributor: {otlp_config: {default_resource_attributes_as_index_labels: [a.b]}}";
    let tenants = Tenants::fixed(good(text).limits);
    let limits = tenants.limits_for(&Tenant::new("x"));
    let attributes = &limits.otlp_config.resource_attributes;
    assert!(attributes.ignore_defaults);
    assert_eq!(attributes.attributes_config.first().unwrap().attributes, ["a.b"]);
}

#[test]
fn tls_is_handed_on_as_a_web_config() {
    let config = good(
        "server: {tls_min_version: VersionTLS12, http_tls_config: {cert_file: a.pem, key_file: b.pem, client_auth_type: RequireAndVerifyClientCert, client_ca_file: c.pem}}",
    );
    assert!(config.server.http_tls.enabled() && !config.server.grpc_tls.enabled());
    assert_eq!(
        config.server.http_tls.web_config(),
        "tls_server_config:\n  cert_file: a.pem\n  key_file: b.pem\n  client_ca_file: c.pem\n  client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS12\n"
    );
}

/// Reads every YAML file below the folder `LOKI_CONFIGS`: examples of the peer, which are not kept here.
#[test]
#[ignore = "needs a folder of files"]
#[allow(clippy::print_stdout, reason = "shows what was said of each file")]
fn files_of_a_folder_load() {
    let folder = std::env::var("LOKI_CONFIGS").unwrap();
    let mut failed = Vec::new();
    for file in glob::glob(&format!("{folder}/**/*.y*ml")).unwrap().flatten() {
        match LokiConfig::load(&Sources { files: file.display().to_string(), ..Sources::default() }) {
            Ok(loaded) => loaded.warnings.iter().for_each(|warning| println!("{warning}")),
            Err(error) => failed.push(error.to_string()),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
