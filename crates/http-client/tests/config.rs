//! http_config blocks: what is refused, each fixture with one fault, and how a block is printed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking, in its helpers too

use expect_test::{Expect, expect};
use novaobs_config::{Document, ToNode as _, UnknownKeys, emit};
use novaobs_http_client::HttpConfig;

fn read(text: &str) -> Result<HttpConfig, String> {
    let document = Document::parse("/etc/x/c.yml", text).map_err(|e| e.to_string())?;
    document.read(UnknownKeys::Refuse, HttpConfig::read).map(|l| l.value).map_err(|e| e.to_string())
}

#[track_caller]
fn refused(text: &str, want: Expect) {
    want.assert_eq(&read(text).unwrap_err());
}

#[test]
fn contradictions_are_named() {
    refused(
        "bearer_token: a\nbearer_token_file: b",
        expect![
            "/etc/x/c.yml:1:15: bearer_token: at most one of bearer_token & bearer_token_file must be configured"
        ],
    );
    refused(
        "bearer_token: a\nbasic_auth: {username: u}",
        expect![
            "/etc/x/c.yml:1:15: bearer_token: at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"
        ],
    );
    refused(
        "bearer_token_file: a\nauthorization: {credentials: x}",
        expect![
            "/etc/x/c.yml:1:20: bearer_token_file: authorization is not compatible with bearer_token & bearer_token_file"
        ],
    );
    refused(
        "basic_auth: {username: u}\nauthorization: {credentials: x}",
        expect![
            "/etc/x/c.yml:2:16: authorization: at most one of basic_auth, oauth2 & authorization must be configured"
        ],
    );
    refused(
        "basic_auth: {username: u}\noauth2: {client_id: x, token_url: 'http://h/t'}",
        expect![
            "/etc/x/c.yml:2:9: oauth2: at most one of basic_auth, oauth2 & authorization must be configured"
        ],
    );
    refused(
        "basic_auth: {username: u, username_file: f}",
        expect![
            "/etc/x/c.yml:1:42: basic_auth.username_file: at most one of basic_auth username & username_file must be configured"
        ],
    );
    refused(
        "basic_auth: {password: u, password_file: f}",
        expect![
            "/etc/x/c.yml:1:42: basic_auth.password_file: at most one of basic_auth password & password_file must be configured"
        ],
    );
    refused(
        "authorization: {type: Basic, credentials: x}",
        expect![[
            r#"/etc/x/c.yml:1:23: authorization.type: authorization type cannot be set to "basic", use "basic_auth" instead"#
        ]],
    );
    refused(
        "authorization: {credentials: x, credentials_file: f}",
        expect![
            "/etc/x/c.yml:1:51: authorization.credentials_file: at most one of authorization credentials & credentials_file must be configured"
        ],
    );
    refused(
        "oauth2: {token_url: 'http://h/t'}",
        expect!["/etc/x/c.yml:1:9: oauth2: oauth2 client_id must be configured"],
    );
    refused(
        "oauth2: {client_id: x}",
        expect!["/etc/x/c.yml:1:9: oauth2: oauth2 token_url must be configured"],
    );
    refused(
        "oauth2: {client_id: x, token_url: }",
        expect!["/etc/x/c.yml:1:9: oauth2: oauth2 token_url must be configured"],
    );
    refused(
        "oauth2: {client_id: x, client_secret: a, client_secret_file: b, token_url: 'http://h/t'}",
        expect![
            "/etc/x/c.yml:1:62: oauth2.client_secret_file: at most one of oauth2 client_secret & client_secret_file must be configured"
        ],
    );
    refused(
        "tls_config: {ca: x, ca_file: y}",
        expect!["/etc/x/c.yml:1:30: tls_config.ca_file: at most one of ca and ca_file must be configured"],
    );
    refused(
        "tls_config: {cert: x, cert_file: y, key: z}",
        expect![
            "/etc/x/c.yml:1:34: tls_config.cert_file: at most one of cert and cert_file must be configured"
        ],
    );
    refused(
        "tls_config: {cert: x}",
        expect![
            "/etc/x/c.yml:1:13: tls_config: exactly one of key or key_file must be configured when a client certificate is configured"
        ],
    );
    refused(
        "tls_config: {key_file: x}",
        expect![
            "/etc/x/c.yml:1:13: tls_config: exactly one of cert or cert_file must be configured when a client key is configured"
        ],
    );
    refused(
        "tls_config: {min_version: TLS14}",
        expect![[
            r#"/etc/x/c.yml:1:27: tls_config.min_version: unknown value "TLS14": write one of TLS10, TLS11, TLS12, TLS13 (did you mean TLS10?)"#
        ]],
    );
    refused(
        "tls_config: {min_version: TLS13, max_version: TLS12}",
        expect![
            "/etc/x/c.yml:1:47: tls_config.max_version: tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified"
        ],
    );
    refused(
        "no_proxy: x",
        expect!["/etc/x/c.yml:1:11: no_proxy: if no_proxy is configured, proxy_url must also be configured"],
    );
    refused(
        "proxy_url: 'http://p:1'\nproxy_from_environment: true",
        expect![
            "/etc/x/c.yml:1:12: proxy_url: if proxy_from_environment is configured, proxy_url must not be configured"
        ],
    );
    refused(
        "proxy_connect_header: {a: [b]}",
        expect![
            "/etc/x/c.yml:1:23: proxy_connect_header: if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured"
        ],
    );
    refused(
        "proxy_url: 'p'",
        expect![[
            r#"/etc/x/c.yml:1:12: proxy_url: not a valid URL: "p": relative URL without a base: write it as http://host:port/path"#
        ]],
    );
    refused(
        "http_headers: {Host: {values: [a]}}",
        expect![[r#"/etc/x/c.yml:1:22: http_headers.Host: setting header "Host" is not allowed"#]],
    );
    refused(
        "http_headers: {'a b': {values: [a]}}",
        expect![[r#"/etc/x/c.yml:1:23: http_headers.a b: "a b" is not a valid header name"#]],
    );
    refused(
        "follow_redirect: true",
        expect![
            "/etc/x/c.yml:1:1: follow_redirect: field follow_redirect not found in the file: did you mean follow_redirects?"
        ],
    );
}

#[test]
fn printed_with_defaults_and_without_secrets() {
    let config = read(
        "authorization: {credentials: hunter2}\ntls_config: {ca_file: ca.pem, min_version: TLS12}\nproxy_url: http://u:hunter2@p:1/\nproxy_connect_header: {X: [hunter2]}\nhttp_headers: {A: {values: [1], secrets: [hunter2], files: [f]}}",
    );
    let text = emit(&config.unwrap().to_node());
    assert!(!text.contains("hunter2"));
    expect![[r#"
        authorization:
          type: Bearer
          credentials: <secret>
        tls_config:
          ca_file: /etc/x/ca.pem
          min_version: TLS12
          insecure_skip_verify: false
        follow_redirects: true
        enable_http2: true
        proxy_url: http://u:xxxxx@p:1/
        proxy_connect_header:
          X:
          - <secret>
        http_headers:
          A:
            values:
            - "1"
            secrets:
            - <secret>
            files:
            - /etc/x/f
    "#]]
    .assert_eq(&text);
    expect![[r#"
        follow_redirects: true
        enable_http2: true
    "#]]
    .assert_eq(&emit(&HttpConfig::default().to_node()));
}
