//! The http_config block: its keys, its rules, and how it is printed.

use std::path::{Path, PathBuf};

use novaobs_config::{Cursor, Fields, Node, Secret, Section, ToNode, value};
use url::Url;

use crate::proxy::ProxyConfig;
use crate::tls::TlsConfig;

/// How to reach a server: credentials, TLS, proxy, headers.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// The Authorization header; the legacy `bearer_token(_file)` end up here too.
    pub authorization: Option<Authorization>,
    /// Tokens from an OAuth 2.0 server.
    pub oauth2: Option<OAuth2>,
    /// TLS of the connection to the server.
    pub tls: TlsConfig,
    /// Whether redirects are followed. Default true.
    pub follow_redirects: bool,
    /// Whether HTTP/2 is offered on TLS connections. Default true.
    pub enable_http2: bool,
    /// The proxy on the way.
    pub proxy: ProxyConfig,
    /// Headers sent with each request.
    pub headers: Vec<Header>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            tls: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            proxy: ProxyConfig::default(),
            headers: Vec::new(),
        }
    }
}

/// `basic_auth`. At most one of each pair is set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// A file that holds the user; empty for none.
    pub username_file: PathBuf,
    /// The password.
    pub password: Secret,
    /// A file that holds the password; empty for none.
    pub password_file: PathBuf,
}

/// `authorization`. At most one of credentials and its file is set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authorization {
    /// The scheme, `Bearer` by default.
    pub kind: String,
    /// What follows the scheme.
    pub credentials: Secret,
    /// A file that holds it; empty for none.
    pub credentials_file: PathBuf,
}

/// `oauth2`: the client credentials grant.
#[derive(Clone, Debug, PartialEq)]
pub struct OAuth2 {
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// A file that holds the secret; empty for none.
    pub client_secret_file: PathBuf,
    /// The scopes asked for.
    pub scopes: Vec<String>,
    /// Where tokens come from.
    pub token_url: Url,
    /// Further form fields of the token request.
    pub endpoint_params: Vec<(String, String)>,
    /// The grant; only `client_credentials` is built.
    pub grant_type: String,
    /// TLS of the connection to the token server.
    pub tls: TlsConfig,
    /// The proxy on the way to the token server.
    pub proxy: ProxyConfig,
}

/// One header of `http_headers`: values in the order plain, secret, file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// The name as written.
    pub name: String,
    /// Values that may be shown.
    pub values: Vec<String>,
    /// Values that may not.
    pub secrets: Vec<Secret>,
    /// Files that hold values.
    pub files: Vec<PathBuf>,
}

/// Headers that the client or its callers set themselves.
const RESERVED_HEADERS: [&str; 18] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "user-agent",
    "www-authenticate",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
];

impl HttpConfig {
    /// Reads a mapping that holds nothing but this block, as receivers have it under `http_config`.
    pub fn read(at: &Cursor<'_>) -> Option<HttpConfig> {
        let mut map = at.mapping();
        let config = HttpConfig::read_inline(&mut map);
        map.finish();
        Some(config)
    }

    /// Takes the block's keys out of a mapping that has others too, as scrape jobs do. The caller finishes
    /// the mapping.
    pub fn read_inline(map: &mut Section<'_>) -> HttpConfig {
        let basic_auth = map.optional("basic_auth", BasicAuth::read);
        let mut authorization = map.optional("authorization", Authorization::read);
        let oauth2 = map.optional("oauth2", OAuth2::read);
        let bearer_token = map.or("bearer_token", value::secret, Secret::default());
        let bearer_token_file = map.or("bearer_token_file", value::path, PathBuf::new());
        let tls = map.or("tls_config", TlsConfig::read, TlsConfig::default());
        let follow_redirects = map.or("follow_redirects", value::boolean, true);
        let enable_http2 = map.or("enable_http2", value::boolean, true);
        let proxy = ProxyConfig::read_inline(map);
        let headers = map.or("http_headers", read_headers, Vec::new());

        let has_token = !bearer_token.is_empty();
        let has_token_file = !bearer_token_file.as_os_str().is_empty();
        let bearer = has_token || has_token_file;
        let bearer_key = if has_token { "bearer_token" } else { "bearer_token_file" };
        if has_token && has_token_file {
            map.error_at(bearer_key, "at most one of bearer_token & bearer_token_file must be configured");
        } else if bearer && (map.has("basic_auth") || map.has("oauth2")) {
            map.error_at(
                bearer_key,
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
            );
        } else if bearer && map.has("authorization") {
            map.error_at(bearer_key, "authorization is not compatible with bearer_token & bearer_token_file");
        } else if [basic_auth.is_some(), oauth2.is_some(), authorization.is_some()]
            .into_iter()
            .filter(|set| *set)
            .count()
            > 1
        {
            let second = if authorization.is_some() { "authorization" } else { "oauth2" };
            map.error_at(second, "at most one of basic_auth, oauth2 & authorization must be configured");
        }
        if bearer {
            authorization = Some(Authorization {
                kind: "Bearer".to_owned(),
                credentials: bearer_token,
                credentials_file: bearer_token_file,
            });
        }
        HttpConfig { basic_auth, authorization, oauth2, tls, follow_redirects, enable_http2, proxy, headers }
    }
}

impl BasicAuth {
    fn read(at: &Cursor<'_>) -> Option<BasicAuth> {
        let mut map = at.mapping();
        let auth = BasicAuth {
            username: map.or("username", value::string, String::new()),
            username_file: map.or("username_file", value::path, PathBuf::new()),
            password: map.or("password", value::secret, Secret::default()),
            password_file: map.or("password_file", value::path, PathBuf::new()),
        };
        if !auth.username.is_empty() && is_set(&auth.username_file) {
            map.error_at(
                "username_file",
                "at most one of basic_auth username & username_file must be configured",
            );
        }
        if !auth.password.is_empty() && is_set(&auth.password_file) {
            map.error_at(
                "password_file",
                "at most one of basic_auth password & password_file must be configured",
            );
        }
        map.finish();
        Some(auth)
    }
}

impl Authorization {
    fn read(at: &Cursor<'_>) -> Option<Authorization> {
        let mut map = at.mapping();
        let kind = map.or("type", value::string, String::new()).trim().to_owned();
        let auth = Authorization {
            kind: if kind.is_empty() { "Bearer".to_owned() } else { kind },
            credentials: map.or("credentials", value::secret, Secret::default()),
            credentials_file: map.or("credentials_file", value::path, PathBuf::new()),
        };
        if auth.kind.eq_ignore_ascii_case("basic") {
            map.error_at("type", "authorization type cannot be set to \"basic\", use \"basic_auth\" instead");
        }
        if !auth.credentials.is_empty() && is_set(&auth.credentials_file) {
            map.error_at(
                "credentials_file",
                "at most one of authorization credentials & credentials_file must be configured",
            );
        }
        map.finish();
        Some(auth)
    }
}

/// The grants that oauth2 may name.
const GRANTS: &[(&str, &str)] = &[
    ("", "client_credentials"),
    ("client_credentials", "client_credentials"),
    ("urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
];
/// Keys of the grant that is not built: known, so that they are not called mistakes.
const JWT_KEYS: [&str; 8] = [
    "client_certificate_key",
    "client_certificate_key_file",
    "client_certificate_key_id",
    "client_certificate_key_ref",
    "signature_algorithm",
    "iss",
    "audience",
    "claims",
];

impl OAuth2 {
    fn read(at: &Cursor<'_>) -> Option<OAuth2> {
        let mut map = at.mapping();
        let client_id = map.or("client_id", value::string, String::new());
        let client_secret = map.or("client_secret", value::secret, Secret::default());
        let client_secret_file = map.or("client_secret_file", value::path, PathBuf::new());
        let scopes = map.or("scopes", value::list(value::string), Vec::new());
        // What is inside is not there when it is wrong; then that was said.
        let token_url = map.optional("token_url", |at| Some(value::url(at)));
        let endpoint_params = map.or("endpoint_params", value::map(value::string), Vec::new());
        let grant_type = map.or("grant_type", value::one_of(GRANTS), "client_credentials").to_owned();
        let tls = map.or("tls_config", TlsConfig::read, TlsConfig::default());
        let proxy = ProxyConfig::read_inline(&mut map);
        map.take_matching(|key| JWT_KEYS.contains(&key));
        if client_id.is_empty() {
            map.error("oauth2 client_id must be configured");
        }
        if !client_secret.is_empty() && is_set(&client_secret_file) {
            map.error_at(
                "client_secret_file",
                "at most one of oauth2 client_secret & client_secret_file must be configured",
            );
        }
        if token_url.is_none() {
            map.error("oauth2 token_url must be configured");
        }
        map.finish();
        Some(OAuth2 {
            client_id,
            client_secret,
            client_secret_file,
            scopes,
            token_url: token_url.flatten()?,
            endpoint_params,
            grant_type,
            tls,
            proxy,
        })
    }
}

fn read_headers(at: &Cursor<'_>) -> Option<Vec<Header>> {
    let mut headers = Vec::new();
    for (name, at) in at.entries()? {
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            at.error::<()>(format!("{name:?} is not a valid header name"));
        }
        if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            at.error::<()>(format!("setting header {name:?} is not allowed"));
        }
        let mut map = at.mapping();
        headers.push(Header {
            name: name.to_owned(),
            values: map.list("values", value::string),
            secrets: map.list("secrets", value::secret),
            files: map.list("files", value::path),
        });
        map.finish();
    }
    Some(headers)
}

fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

/// The keys in the peers' order; inline them where the block is inline.
impl ToNode for HttpConfig {
    fn to_node(&self) -> Node {
        let headers = self.headers.iter().fold(Fields::new(), |fields, header| {
            let one = Fields::new()
                .nonempty("values", &header.values)
                .nonempty("secrets", &header.secrets)
                .nonempty("files", &header.files);
            fields.field(&header.name, &one.node())
        });
        Fields::new()
            .nonempty("basic_auth", &self.basic_auth)
            .nonempty("authorization", &self.authorization)
            .nonempty("oauth2", &self.oauth2)
            .nonempty("tls_config", &self.tls)
            .field("follow_redirects", &self.follow_redirects)
            .field("enable_http2", &self.enable_http2)
            .inline(&self.proxy)
            .nonempty("http_headers", &headers.node())
            .node()
    }
}

impl ToNode for BasicAuth {
    fn to_node(&self) -> Node {
        Fields::new()
            .nonempty("username", &self.username)
            .nonempty("username_file", &self.username_file)
            .nonempty("password", &self.password)
            .nonempty("password_file", &self.password_file)
            .node()
    }
}

impl ToNode for Authorization {
    fn to_node(&self) -> Node {
        Fields::new()
            .nonempty("type", &self.kind)
            .nonempty("credentials", &self.credentials)
            .nonempty("credentials_file", &self.credentials_file)
            .node()
    }
}

impl ToNode for OAuth2 {
    fn to_node(&self) -> Node {
        let params = self.endpoint_params.iter().fold(Fields::new(), |fields, (k, v)| fields.field(k, v));
        Fields::new()
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret)
            .nonempty("client_secret_file", &self.client_secret_file)
            .nonempty("scopes", &self.scopes)
            .field("token_url", &self.token_url)
            .nonempty("endpoint_params", &params.node())
            .nonempty("tls_config", &self.tls)
            .inline(&self.proxy)
            .node()
    }
}
