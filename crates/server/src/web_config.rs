//! `--web.config.file`: TLS, basic authentication and headers of a face.
//!
//! `WebConfig` is the file as read, [`WebGuard`] the file at work. The guard looks at the file again for
//! each request, and at the certificates for each connection, so that changes need no restart; they are
//! parsed again only when their bytes differ. The file is read strictly, as by the peer: a mistyped key must
//! not leave a server open.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use novaobs_config::{ConfigError, Cursor, Document, Loaded, Secret, UnknownKeys, value};
use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use sha2::{Digest as _, Sha256};

/// The file.
#[derive(Clone, Debug, PartialEq)]
struct WebConfig {
    /// How TLS is spoken; `None` for plain HTTP.
    tls: Option<TlsServerConfig>,
    /// Whether HTTP/2 is offered on TLS connections.
    http2: bool,
    /// Added to every response.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Users and the bcrypt hashes of their passwords; empty lets everyone in.
    users: Vec<(String, Secret)>,
}

/// `tls_server_config`. Of each inline value and its file the file wins.
#[derive(Clone, Debug, PartialEq)]
struct TlsServerConfig {
    cert: Pem,
    key: Pem,
    client_ca: Option<Pem>,
    client_auth: ClientAuth,
    /// Oldest first, never empty.
    versions: Vec<TlsVersion>,
}

/// PEM text in the file itself or beside it.
#[derive(Clone, Debug, PartialEq)]
enum Pem {
    Inline(Secret),
    File(PathBuf),
}

/// What is asked of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientAuth {
    /// No certificate.
    None,
    /// A certificate, which may be missing and is not verified.
    Request,
    /// A certificate, which is not verified.
    RequireAny,
    /// A certificate that is verified if there is one.
    VerifyIfGiven,
    /// A certificate that is verified.
    RequireAndVerify,
}

const CLIENT_AUTH: &[(&str, ClientAuth)] = &[
    ("", ClientAuth::None),
    ("NoClientCert", ClientAuth::None),
    ("RequestClientCert", ClientAuth::Request),
    ("RequireAnyClientCert", ClientAuth::RequireAny),
    // An older name of the same, which the peer still takes.
    ("RequireClientCert", ClientAuth::RequireAny),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TlsVersion {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

const TLS_VERSIONS: &[(&str, TlsVersion)] = &[
    ("TLS10", TlsVersion::Tls10),
    ("TLS11", TlsVersion::Tls11),
    ("TLS12", TlsVersion::Tls12),
    ("TLS13", TlsVersion::Tls13),
];

/// The headers that may be configured, with the values they may have; none for any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// Why TLS cannot be spoken as the file says.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("failed to read {key}_file ({}): {error}", path.display())]
    File {
        /// The key without `_file`.
        key: &'static str,
        /// The file it names.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// A text holds no certificate or key.
    #[error("{key}: {error}")]
    Pem {
        /// The key of the text or its file.
        key: &'static str,
        /// What is wrong with it.
        error: String,
    },
    /// Certificate and key are fine each and do not go together, or the like.
    #[error("tls_server_config: {0}")]
    Tls(#[from] rustls::Error),
    /// TLS was taken out of the file while the server spoke it.
    #[error("tls_server_config is gone: connections are refused until it is back or the server restarts")]
    Gone,
    /// The file itself is broken now.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl WebConfig {
    fn read(at: &Cursor<'_>) -> Option<WebConfig> {
        let mut map = at.mapping();
        let tls = map.optional("tls_server_config", read_tls).flatten();
        let (http2, headers) = map.optional("http_server_config", read_http).unwrap_or((true, Vec::new()));
        let users = map.or("basic_auth_users", value::map(bcrypt_hash), Vec::new());
        if let Some(at) = map.take("rate_limit") {
            at.warn("rate_limit is not built yet: requests are not limited");
        }
        map.finish();
        Some(WebConfig { tls, http2, headers, users })
    }
}

/// The section, `None` within if it does not ask for TLS.
fn read_tls(at: &Cursor<'_>) -> Option<Option<TlsServerConfig>> {
    let mut map = at.mapping();
    let mut pem = |inline: &'static str, file: &'static str| {
        let text = map.or(inline, value::secret, Secret::default());
        let path = map.or(file, value::path, PathBuf::new());
        let inline = (!text.is_empty()).then_some(Pem::Inline(text));
        if path.as_os_str().is_empty() { inline } else { Some(Pem::File(path)) }
    };
    let (cert, key) = (pem("cert", "cert_file"), pem("key", "key_file"));
    let client_ca = pem("client_ca", "client_ca_file");
    let client_auth = map.optional("client_auth_type", value::one_of(CLIENT_AUTH));
    let min = map.or("min_version", value::one_of(TLS_VERSIONS), TlsVersion::Tls12);
    let max = map.or("max_version", value::one_of(TLS_VERSIONS), TlsVersion::Tls13);
    map.or("prefer_server_cipher_suites", value::boolean, true);
    for key in ["cipher_suites", "curve_preferences"] {
        if let Some(at) = map.take(key)
            && value::list(value::string)(&at).is_some_and(|names| !names.is_empty())
        {
            at.warn(format!("{key} has no effect: only suites and curves that are secure today are offered"));
        }
    }
    if let Some(at) = map.take("client_allowed_sans")
        && !at.node().is_empty()
    {
        at.error::<()>(
            "client_allowed_sans is not supported by this release: remove it, and let client_ca sign only clients that may come in",
        );
    }
    let enabled = cert.is_some() || key.is_some() || client_ca.is_some() || map.has("client_auth_type");
    if enabled && cert.is_none() {
        map.error("missing one of cert or cert_file");
    }
    if enabled && key.is_none() {
        map.error("missing one of key or key_file");
    }
    let client_auth = client_auth.unwrap_or(ClientAuth::None);
    if client_ca.is_some() && client_auth == ClientAuth::None {
        map.error("client CA's have been configured without a Client Auth Policy: set client_auth_type to RequireAndVerifyClientCert");
    }
    if min < TlsVersion::Tls12
        && let Some(at) = map.take("min_version")
    {
        at.warn("TLS 1.0 and 1.1 are not spoken: TLS12 is the oldest version");
    }
    let versions: Vec<_> =
        [TlsVersion::Tls12, TlsVersion::Tls13].into_iter().filter(|v| (min..=max).contains(v)).collect();
    if versions.is_empty() {
        map.error_at("max_version", "no version is left: write TLS12 or TLS13, not below min_version");
    }
    map.finish();
    let (Some(cert), Some(key)) = (cert, key) else { return Some(None) };
    Some(Some(TlsServerConfig { cert, key, client_ca, client_auth, versions }))
}

fn read_http(at: &Cursor<'_>) -> Option<(bool, Vec<(HeaderName, HeaderValue)>)> {
    let mut map = at.mapping();
    let http2 = map.or("http2", value::boolean, true);
    let mut headers = Vec::new();
    let entries = map.take("headers").and_then(|at| at.entries()).unwrap_or_default();
    for (name, at) in entries {
        let Some((_, allowed)) = HEADERS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = HEADERS.iter().map(|(name, _)| *name).collect();
            at.error::<()>(format!(
                "HTTP header {name:?} can not be configured: write one of {}",
                known.join(", ")
            ));
            continue;
        };
        let Some(text) = value::string(&at) else { continue };
        if !allowed.is_empty() && !allowed.contains(&text.as_str()) {
            at.error::<()>(format!(
                "invalid value for {name}. Expected one of: {allowed:?}, but got: {text:?}"
            ));
        }
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&text)) {
            (Ok(name), Ok(value)) => headers.push((name, value)),
            _ => drop(at.error::<()>(format!("{text:?} cannot be the value of a header"))),
        }
    }
    map.finish();
    Some((http2, headers))
}

/// A hash such as `$2y$10$…`.
fn bcrypt_hash(at: &Cursor<'_>) -> Option<Secret> {
    let text = value::string(at)?;
    match text.parse::<bcrypt::HashParts>() {
        Ok(_) => Some(Secret::new(text)),
        // The hash itself is not shown: it would help who reads the log.
        Err(error) => at.error(format!("not a bcrypt hash: {error}: make one with htpasswd -nBC 10 <user>")),
    }
}

/// The PEM texts of a section, by their content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Material {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Pem {
    fn read(&self, key: &'static str) -> Result<Vec<u8>, TlsError> {
        match self {
            Pem::Inline(text) => Ok(text.expose().as_bytes().to_vec()),
            Pem::File(path) => {
                std::fs::read(path).map_err(|error| TlsError::File { key, path: path.clone(), error })
            }
        }
    }
}

impl TlsServerConfig {
    fn material(&self) -> Result<Material, TlsError> {
        Ok(Material {
            cert: self.cert.read("cert")?,
            key: self.key.read("key")?,
            client_ca: self.client_ca.as_ref().map(|pem| pem.read("client_ca")).transpose()?,
        })
    }

    fn server(&self, material: &Material, http2: bool) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: Vec<&'static SupportedProtocolVersion> = self
            .versions
            .iter()
            .map(|version| match version {
                TlsVersion::Tls13 => &rustls::version::TLS13,
                _ => &rustls::version::TLS12,
            })
            .collect();
        let chain = certificates("cert", &material.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&material.key)
            .map_err(|error| TlsError::Pem { key: "key", error: error.to_string() })?;
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions)?;
        let mut server = match self.client_verifier(material, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        }
        .with_single_cert(chain, key)?;
        if http2 {
            server.alpn_protocols.push(b"h2".to_vec());
        }
        server.alpn_protocols.push(b"http/1.1".to_vec());
        Ok(server)
    }

    fn client_verifier(
        &self,
        material: &Material,
        provider: Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let verified = |provider| {
            let roots = Arc::new(client_roots(material.client_ca.as_deref())?);
            Ok::<_, TlsError>(WebPkiClientVerifier::builder_with_provider(roots, provider))
        };
        let failed = |error: rustls::server::VerifierBuilderError| TlsError::Pem {
            key: "client_ca",
            error: error.to_string(),
        };
        Ok(match self.client_auth {
            ClientAuth::None => None,
            ClientAuth::Request => Some(Arc::new(AnyClient { provider, mandatory: false })),
            ClientAuth::RequireAny => Some(Arc::new(AnyClient { provider, mandatory: true })),
            ClientAuth::VerifyIfGiven => {
                Some(verified(provider)?.allow_unauthenticated().build().map_err(failed)?)
            }
            ClientAuth::RequireAndVerify => Some(verified(provider)?.build().map_err(failed)?),
        })
    }
}

fn certificates(key: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(TlsError::Pem { key, error: "no certificate in it".to_owned() }),
        Ok(chain) => Ok(chain),
        Err(error) => Err(TlsError::Pem { key, error: error.to_string() }),
    }
}

/// Who signs clients: the authorities of the section, or else those that the system trusts.
fn client_roots(pem: Option<&[u8]>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match pem {
        Some(pem) => {
            for certificate in certificates("client_ca", pem)? {
                roots.add(certificate)?;
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    Ok(roots)
}

/// Takes any client certificate; signatures of the handshake are still checked.
#[derive(Debug)]
struct AnyClient {
    provider: Arc<CryptoProvider>,
    mandatory: bool,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A web config file at work. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct WebGuard {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    file: Mutex<ReadFile>,
    tls: Mutex<Option<ReadTls>>,
    verdicts: Mutex<Verdicts>,
    /// bcrypt is slow on purpose: one password is checked at a time, whoever asks.
    bcrypt: tokio::sync::Mutex<()>,
}

struct ReadFile {
    bytes: Vec<u8>,
    config: Arc<WebConfig>,
}

struct ReadTls {
    config: Arc<WebConfig>,
    material: Material,
    server: Arc<ServerConfig>,
}

impl WebGuard {
    /// Reads the file and its certificates for the first time; the warnings are for the log.
    ///
    /// # Errors
    /// [`TlsError`], of which broken files are a part.
    pub fn open(path: &Path) -> Result<Loaded<WebGuard>, TlsError> {
        let bytes = read_file(path)?;
        let Loaded { value, warnings } = parse(path, &bytes)?;
        let inner = Inner {
            path: path.to_owned(),
            file: Mutex::new(ReadFile { bytes, config: Arc::new(value) }),
            tls: Mutex::default(),
            verdicts: Mutex::default(),
            bcrypt: tokio::sync::Mutex::default(),
        };
        let guard = WebGuard { inner: Arc::new(inner) };
        guard.tls()?;
        Ok(Loaded { value: guard, warnings })
    }

    /// The file as it is now.
    fn config(&self) -> Result<Arc<WebConfig>, ConfigError> {
        let bytes = read_file(&self.inner.path)?;
        let mut file = self.inner.file.lock();
        if file.bytes != bytes {
            let config = Arc::new(parse(&self.inner.path, &bytes)?.value);
            *file = ReadFile { bytes, config };
        }
        Ok(file.config.clone())
    }

    /// What the next connection is to be accepted with; `None` for plain HTTP, which never follows TLS: a file
    /// that is empty while it is being written must not show passwords to the network. Also `None` where a
    /// server of plain HTTP finds its file broken: then each request is answered with an error. Reads files.
    ///
    /// # Errors
    /// [`TlsError`]: then the connection is to be closed.
    pub fn tls(&self) -> Result<Option<Arc<ServerConfig>>, TlsError> {
        let spoken = || self.inner.tls.lock().is_some();
        let config = match self.config() {
            Ok(config) => config,
            Err(error) if spoken() => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        let Some(tls) = &config.tls else {
            return if spoken() { Err(TlsError::Gone) } else { Ok(None) };
        };
        let material = tls.material()?;
        let mut read = self.inner.tls.lock();
        if let Some(read) = &*read
            && read.config == config
            && read.material == material
        {
            return Ok(Some(read.server.clone()));
        }
        let server = Arc::new(tls.server(&material, config.http2)?);
        *read = Some(ReadTls { config: config.clone(), material, server: server.clone() });
        Ok(Some(server))
    }

    /// Puts the guard before all routes of `router`.
    pub fn protect(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), guard))
    }

    /// Whether `credentials` are those of a user.
    async fn admits(&self, users: &[(String, Secret)], credentials: &Credentials) -> bool {
        let user = users.iter().find(|(name, _)| name.as_bytes() == credentials.user);
        // For a name that is not known the work is the same, so that time does not tell which names are.
        let Some((_, hash)) = user.or(users.first()) else { return true };
        let key = credentials.verdict_key(hash);
        let known = self.inner.verdicts.lock().get(&key);
        let matches = match known {
            Some(matches) => matches,
            None => self.check(key, hash.clone(), credentials.password.clone()).await,
        };
        matches && user.is_some()
    }

    /// Runs bcrypt where it blocks nobody else, and remembers what it says.
    async fn check(&self, key: VerdictKey, hash: Secret, password: Vec<u8>) -> bool {
        let _one_at_a_time = self.inner.bcrypt.lock().await;
        if let Some(known) = self.inner.verdicts.lock().get(&key) {
            return known;
        }
        let verify = move || bcrypt::verify(password, hash.expose()).unwrap_or(false);
        let matches = tokio::task::spawn_blocking(verify).await.unwrap_or(false);
        self.inner.verdicts.lock().insert(key, matches);
        matches
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed =
        |error| ConfigError::of_file(&path.display().to_string(), format!("cannot read the file: {error}"));
    std::fs::read(path).map_err(failed)
}

/// Reads the text of a file; relative paths in it start at its folder. Certificates are not looked at yet.
fn parse(path: &Path, bytes: &[u8]) -> Result<Loaded<WebConfig>, ConfigError> {
    let name = path.display().to_string();
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ConfigError::of_file(&name, format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    Document::parse(&name, text)?.read(UnknownKeys::Refuse, WebConfig::read)
}

async fn guard(State(guard): State<WebGuard>, request: Request, next: Next) -> Response {
    let config = match guard.config() {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(%error, "unable to parse the web configuration");
            return plain(StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    let admitted = config.users.is_empty()
        || match Credentials::of(&request) {
            Some(credentials) => guard.admits(&config.users, &credentials).await,
            None => false,
        };
    let mut response = if admitted {
        next.run(request).await
    } else {
        let mut response = plain(StatusCode::UNAUTHORIZED);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        response
    };
    for (name, value) in &config.headers {
        // What a handler says itself goes before.
        response.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    response
}

/// An error as Go's server words it: the status' name and a line feed.
fn plain(status: StatusCode) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, format!("{}\n", status.canonical_reason().unwrap_or_default())).into_response()
}

/// What a client says it is.
struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// From `Authorization: Basic …`; `None` for anything else.
    fn of(request: &Request) -> Option<Credentials> {
        let value = request.headers().get(header::AUTHORIZATION)?.as_bytes();
        let (scheme, encoded) = value.split_at_checked(b"Basic ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return None;
        }
        let decoded = BASE64_STANDARD.decode(encoded).ok()?;
        let mut parts = decoded.splitn(2, |byte| *byte == b':');
        Some(Credentials { user: parts.next()?.to_vec(), password: parts.next()?.to_vec() })
    }

    /// Stands for user, hash and password: a changed hash is another key.
    fn verdict_key(&self, hash: &Secret) -> VerdictKey {
        let mut digest = Sha256::new();
        for part in [self.user.as_slice(), hash.expose().as_bytes(), &self.password] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

type VerdictKey = [u8; 32];

/// How many verdicts are remembered.
const VERDICTS: usize = 100;

/// What bcrypt said of credentials: scrapers come every few seconds with the same ones. Keys are digests, so
/// that no password stays in memory.
#[derive(Default)]
struct Verdicts {
    known: HashMap<VerdictKey, bool>,
}

impl Verdicts {
    fn get(&self, key: &VerdictKey) -> Option<bool> {
        self.known.get(key).copied()
    }

    /// Remembers a verdict; wrong credentials, of which anyone can make many, make room first.
    fn insert(&mut self, key: VerdictKey, matches: bool) {
        if self.known.len() >= VERDICTS {
            let wrong = self.known.iter().find(|(_, matches)| !**matches).map(|(key, _)| *key);
            if let Some(key) = wrong.or_else(|| self.known.keys().next().copied()) {
                self.known.remove(&key);
            }
        }
        self.known.insert(key, matches);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use rcgen::{CertificateParams, Issuer, KeyPair};
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tower::ServiceExt as _;

    use super::*;

    fn read(text: &str) -> Result<(WebConfig, String), String> {
        let loaded = parse(Path::new("w.yml"), text.as_bytes()).map_err(|error| error.to_string())?;
        let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        Ok((loaded.value, warnings.join("\n")))
    }

    #[track_caller]
    fn refused(text: &str, want: &str) {
        let error = read(text).unwrap_err();
        assert!(error.contains(want), "{error}");
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        refused("tls_server_conf: {}", "w.yml:1:1: tls_server_conf: field tls_server_conf not found");
        refused("tls_server_config: {cert_file: c}", "missing one of key or key_file");
        refused("tls_server_config: {key: k}", "missing one of cert or cert_file");
        refused("tls_server_config: {client_auth_type: RequestClientCert}", "missing one of cert");
        refused("tls_server_config: {cert: c, key: k, client_auth_type: Any}", "RequireAnyClientCert");
        refused("tls_server_config: {cert: c, key: k, client_ca_file: a}", "without a Client Auth Policy");
        refused("tls_server_config: {cert: c, key: k, client_allowed_sans: [a]}", "not supported");
        refused("tls_server_config: {cert: c, key: k, max_version: TLS11}", "no version is left");
        refused("tls_server_config: {cert: c, key: k, min_version: TLS13, max_version: TLS12}", "no version");
        refused("http_server_config: {headers: {Server: x}}", "\"Server\" can not be configured");
        refused(
            "http_server_config: {headers: {X-Frame-Options: allow}}",
            r#"invalid value for X-Frame-Options. Expected one of: ["deny", "sameorigin"], but got: "allow""#,
        );
        refused("basic_auth_users: {alice: secret}", "w.yml:1:27: basic_auth_users.alice: not a bcrypt hash");
        assert!(!read("basic_auth_users: {alice: secret}").unwrap_err().contains("secret:"));
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let (config, warnings) = read(
            "tls_server_config: {cert: c, key: k, min_version: TLS10, cipher_suites: [A], curve_preferences: [B]}\n\
             rate_limit: {burst: 1, interval: 1s}\n",
        )
        .unwrap();
        assert_eq!(config.tls.unwrap().versions, [TlsVersion::Tls12, TlsVersion::Tls13]);
        for key in ["min_version", "cipher_suites", "curve_preferences", "rate_limit"] {
            assert!(warnings.contains(&format!("{key}: ")), "{key}: {warnings}");
        }
        assert_eq!(read("tls_server_config: {min_version: TLS13}").unwrap().0.tls, None);
    }

    fn hash(password: &str) -> String {
        // The least cost there is: tests should not wait for bcrypt.
        bcrypt::hash_with_salt(password, 4, *b"0123456789abcdef")
            .unwrap()
            .format_for_version(bcrypt::Version::TwoY)
    }

    /// A guard over a file with `text`, and the folder that holds it.
    fn open(text: &str) -> (tempfile::TempDir, PathBuf, WebGuard) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        std::fs::write(&path, text).unwrap();
        let guard = WebGuard::open(&path).unwrap().value;
        (folder, path, guard)
    }

    /// Status and body of a request with an `Authorization` header.
    async fn ask(guard: &WebGuard, authorization: Option<&str>) -> (u16, String, axum::http::HeaderMap) {
        let router = guard.protect(Router::new().route("/", get(|| async { "in" })));
        let mut request = Request::new(Body::empty());
        if let Some(value) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        let response = router.oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = String::from_utf8(to_bytes(body, 1000).await.unwrap().to_vec()).unwrap();
        (head.status.as_u16(), body, head.headers)
    }

    fn basic(user: &str, password: &str) -> String {
        format!("basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
    }

    #[tokio::test]
    async fn users_are_let_in_and_others_not() {
        let text = format!(
            "basic_auth_users: {{alice: '{}', bob: '{}'}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}\n",
            hash("wonder:land"),
            hash("builder")
        );
        let (_folder, path, guard) = open(&text);
        let refusals = [
            None,
            Some("Bearer x".to_owned()),
            Some("Basic !".to_owned()),
            Some("Basic YQ==".to_owned()),
            Some(basic("alice", "builder")),
            Some(basic("carol", "wonder:land")),
            Some(basic("", "")),
        ];
        for refused in refusals {
            let (status, body, headers) = ask(&guard, refused.as_deref()).await;
            assert_eq!((status, body.as_str()), (401, "Unauthorized\n"), "{refused:?}");
            assert_eq!(headers["www-authenticate"], "Basic");
            assert_eq!(headers["x-frame-options"], "deny");
            assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
        }
        for _ in 0..2 {
            let (status, body, headers) = ask(&guard, Some(&basic("alice", "wonder:land"))).await;
            assert_eq!((status, body.as_str()), (200, "in"));
            assert_eq!(headers["x-frame-options"], "deny");
        }
        assert_eq!(guard.inner.verdicts.lock().known.len(), 4);
        // Another password counts at once; a broken file lets nobody in.
        std::fs::write(&path, format!("basic_auth_users: {{alice: '{}'}}", hash("new"))).unwrap();
        assert_eq!(ask(&guard, Some(&basic("alice", "wonder:land"))).await.0, 401);
        assert_eq!(ask(&guard, Some(&basic("alice", "new"))).await.0, 200);
        std::fs::write(&path, "basic_auth_user: {}").unwrap();
        let (status, body, _) = ask(&guard, Some(&basic("alice", "new"))).await;
        assert_eq!((status, body.as_str()), (500, "Internal Server Error\n"));
    }

    #[test]
    fn right_credentials_stay_remembered() {
        let mut verdicts = Verdicts::default();
        let key = |i: u32| -> VerdictKey { Sha256::digest(i.to_le_bytes()).into() };
        verdicts.insert(key(0), true);
        (1..1000).for_each(|i| verdicts.insert(key(i), false));
        assert_eq!(verdicts.get(&key(0)), Some(true));
        assert_eq!(verdicts.get(&key(999)), Some(false));
        assert_eq!(verdicts.known.len(), VERDICTS);
    }

    /// An authority with a certificate for `localhost` that it signed: PEM of authority, certificate and key.
    fn certificate() -> (String, String, String) {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        (authority, certificate, key.serialize_pem())
    }

    /// One connection to the guard's TLS: the protocol that was agreed on.
    async fn connect(
        guard: &WebGuard,
        authority: &str,
        client: Option<(&str, &str)>,
    ) -> Result<Option<Vec<u8>>, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(guard.tls().map_err(|e| e.to_string())?.unwrap());
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.map_err(|error| error.to_string())?;
            stream.write_all(b"hello").await.map_err(|error| error.to_string())?;
            stream.shutdown().await.map_err(|error| error.to_string())
        });
        let mut roots = RootCertStore::empty();
        roots.add(certificates("ca", authority.as_bytes()).unwrap().remove(0)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    certificates("cert", certificate.as_bytes()).unwrap(),
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        let asked = async {
            let mut stream = connector.connect(name, stream).await?;
            let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            assert_eq!(text, "hello");
            Ok::<_, std::io::Error>(protocol)
        };
        let asked = asked.await.map_err(|error| error.to_string());
        server.await.unwrap()?;
        asked
    }

    #[tokio::test]
    async fn certificates_are_read_again() {
        let (authority, certificate_pem, key) = certificate();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("c.pem", &certificate_pem);
        write("k.pem", &key);
        write("web.yml", "tls_server_config: {cert_file: c.pem, key_file: k.pem}");
        let guard = WebGuard::open(&folder.path().join("web.yml")).unwrap().value;
        assert_eq!(connect(&guard, &authority, None).await, Ok(Some(b"h2".to_vec())));
        let server = guard.tls().unwrap().unwrap();
        assert!(Arc::ptr_eq(&server, &guard.tls().unwrap().unwrap()));
        write(
            "web.yml",
            "tls_server_config: {cert_file: c.pem, key_file: k.pem}\nhttp_server_config: {http2: false}",
        );
        assert_eq!(connect(&guard, &authority, None).await, Ok(Some(b"http/1.1".to_vec())));

        let (other_authority, other_certificate, other_key) = certificate();
        write("c.pem", &other_certificate);
        let error = guard.tls().unwrap_err().to_string();
        assert!(error.starts_with("tls_server_config: "), "{error}");
        write("k.pem", &other_key);
        assert!(connect(&guard, &other_authority, None).await.is_ok());
        assert!(connect(&guard, &authority, None).await.is_err());
        write("web.yml", "");
        assert!(matches!(guard.tls(), Err(TlsError::Gone)));
        write("web.yml", "tls_server_conf: {}");
        assert!(matches!(guard.tls(), Err(TlsError::Config(_))));
        write("web.yml", "tls_server_config: {cert_file: c.pem, key_file: k.pem}");
        assert!(connect(&guard, &other_authority, None).await.is_ok());
        std::fs::remove_file(folder.path().join("k.pem")).unwrap();
        let error = guard.tls().unwrap_err().to_string();
        assert!(error.starts_with("failed to read key_file (") && error.contains("k.pem)"), "{error}");
    }

    #[tokio::test]
    async fn clients_are_asked_for_certificates() {
        let (authority, certificate_pem, key) = certificate();
        let (stranger_authority, stranger, stranger_key) = certificate();
        let known = Some((certificate_pem.as_str(), key.as_str()));
        let strange = Some((stranger.as_str(), stranger_key.as_str()));
        drop(stranger_authority);
        let cases = [
            ("NoClientCert", [true, true, true]),
            ("RequestClientCert", [true, true, true]),
            ("RequireAnyClientCert", [false, true, true]),
            ("VerifyClientCertIfGiven", [true, false, true]),
            ("RequireAndVerifyClientCert", [false, false, true]),
        ];
        for (kind, want) in cases {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in [("a.pem", &authority), ("c.pem", &certificate_pem), ("k.pem", &key)] {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            let ca = if kind == "NoClientCert" { "" } else { ", client_ca_file: a.pem" };
            let text = format!(
                "tls_server_config: {{cert_file: c.pem, key_file: k.pem, client_auth_type: {kind}{ca}}}"
            );
            let path = folder.path().join("web.yml");
            std::fs::write(&path, text).unwrap();
            let guard = WebGuard::open(&path).unwrap().value;
            let mut got = Vec::new();
            for client in [None, strange, known] {
                got.push(connect(&guard, &authority, client).await.is_ok());
            }
            assert_eq!(got, want, "{kind}");
        }
    }
}
