//! The tls_config block, and the TLS client it stands for.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use novaobs_config::{Cursor, Fields, Node, Secret, ToNode, value};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};

use crate::error::BuildError;

/// `tls_config`. Of each inline value and its file at most one is set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsConfig {
    /// Certificate authorities, PEM; empty for those of the system.
    pub ca: String,
    /// A file of certificate authorities; empty for none.
    pub ca_file: PathBuf,
    /// The client's certificate chain, PEM.
    pub cert: String,
    /// A file that holds it; empty for none.
    pub cert_file: PathBuf,
    /// The client's private key, PEM.
    pub key: Secret,
    /// A file that holds it; empty for none.
    pub key_file: PathBuf,
    /// The name that the server's certificate must have; empty for the host of the URL.
    pub server_name: String,
    /// Whether any certificate is taken.
    pub insecure_skip_verify: bool,
    /// The oldest version spoken.
    pub min_version: Option<TlsVersion>,
    /// The newest version spoken.
    pub max_version: Option<TlsVersion>,
}

/// A version of TLS. 1.0 and 1.1 may be named, but are not spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.0
    Tls10,
    /// TLS 1.1
    Tls11,
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    Tls13,
}

const VERSIONS: &[(&str, TlsVersion)] = &[
    ("TLS10", TlsVersion::Tls10),
    ("TLS11", TlsVersion::Tls11),
    ("TLS12", TlsVersion::Tls12),
    ("TLS13", TlsVersion::Tls13),
];

impl TlsConfig {
    /// Reads the block.
    pub fn read(at: &Cursor<'_>) -> Option<TlsConfig> {
        let mut map = at.mapping();
        let config = TlsConfig {
            ca: map.or("ca", value::string, String::new()),
            ca_file: map.or("ca_file", value::path, PathBuf::new()),
            cert: map.or("cert", value::string, String::new()),
            cert_file: map.or("cert_file", value::path, PathBuf::new()),
            key: map.or("key", value::secret, Secret::default()),
            key_file: map.or("key_file", value::path, PathBuf::new()),
            server_name: map.or("server_name", value::string, String::new()),
            insecure_skip_verify: map.or("insecure_skip_verify", value::boolean, false),
            min_version: map.optional("min_version", value::one_of(VERSIONS)),
            max_version: map.optional("max_version", value::one_of(VERSIONS)),
        };
        let is_set = |path: &Path| !path.as_os_str().is_empty();
        let cert = (!config.cert.is_empty(), is_set(&config.cert_file));
        let key = (!config.key.is_empty(), is_set(&config.key_file));
        if !config.ca.is_empty() && is_set(&config.ca_file) {
            map.error_at("ca_file", "at most one of ca and ca_file must be configured");
        }
        if cert == (true, true) {
            map.error_at("cert_file", "at most one of cert and cert_file must be configured");
        }
        if key == (true, true) {
            map.error_at("key_file", "at most one of key and key_file must be configured");
        }
        let (has_cert, has_key) = (cert.0 || cert.1, key.0 || key.1);
        if has_cert && !has_key {
            map.error(
                "exactly one of key or key_file must be configured when a client certificate is configured",
            );
        }
        if has_key && !has_cert {
            map.error("exactly one of cert or cert_file must be configured when a client key is configured");
        }
        if let (Some(min), Some(max)) = (config.min_version, config.max_version)
            && min > max
        {
            map.error_at("max_version", "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified");
        }
        map.finish();
        Some(config)
    }

    /// Reads the files of the block. Their contents tell whether a client is still up to date.
    pub(crate) fn material(&self) -> Result<Material, BuildError> {
        let read = |inline: &str, path: &Path, what: &'static str| {
            if path.as_os_str().is_empty() {
                return Ok(inline.as_bytes().to_vec());
            }
            std::fs::read(path).map_err(|error| BuildError::File { what, path: path.to_owned(), error })
        };
        Ok(Material {
            ca: read(&self.ca, &self.ca_file, "specified CA cert")?,
            cert: read(&self.cert, &self.cert_file, "specified client cert")?,
            key: read(self.key.expose(), &self.key_file, "specified client key")?,
        })
    }

    /// Whether any part of the block lives in files that may change.
    pub(crate) fn has_files(&self) -> bool {
        [&self.ca_file, &self.cert_file, &self.key_file].iter().any(|path| !path.as_os_str().is_empty())
    }

    /// The TLS client. `http2` offers HTTP/2 to the server.
    pub(crate) fn client(&self, material: &Material, http2: bool) -> Result<ClientConfig, BuildError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = |error: rustls::Error| BuildError::Tls(error.to_string());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions()?)
            .map_err(tls)?;
        let builder = if self.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        } else {
            builder.with_root_certificates(roots(&material.ca)?)
        };
        let mut config = if material.cert.is_empty() {
            builder.with_no_client_auth()
        } else {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&material.cert).collect();
            let chain = chain.map_err(|error| BuildError::Tls(format!("client certificate: {error}")))?;
            let key = PrivateKeyDer::from_pem_slice(&material.key)
                .map_err(|error| BuildError::Tls(format!("client key: {error}")))?;
            builder.with_client_auth_cert(chain, key).map_err(tls)?
        };
        if http2 {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        config.alpn_protocols.push(b"http/1.1".to_vec());
        Ok(config)
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, BuildError> {
        let spoken =
            [(TlsVersion::Tls12, &rustls::version::TLS12), (TlsVersion::Tls13, &rustls::version::TLS13)];
        let versions: Vec<_> = spoken
            .into_iter()
            .filter(|(v, _)| {
                self.min_version.is_none_or(|min| min <= *v) && self.max_version.is_none_or(|max| *v <= max)
            })
            .map(|(_, version)| version)
            .collect();
        if versions.is_empty() {
            return Err(BuildError::NotBuilt("max_version below TLS12", "TLS 1.0 and 1.1 are not spoken"));
        }
        Ok(versions)
    }
}

/// The PEM texts that a TLS client is made of.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Material {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

fn roots(ca: &[u8]) -> Result<Arc<RootCertStore>, BuildError> {
    /// Read once: parsing the system's certificates takes milliseconds, and every job asks.
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let mut store = RootCertStore::empty();
    if ca.is_empty() {
        let system = SYSTEM.get_or_init(|| {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                tracing::warn!(
                    "no trusted certificate authorities on this machine: set tls_config.ca_file for https"
                );
            }
            Arc::new(store)
        });
        return Ok(system.clone());
    }
    for certificate in CertificateDer::pem_slice_iter(ca) {
        let certificate = certificate
            .map_err(|error| BuildError::Tls(format!("unable to use specified CA cert: {error}")))?;
        store
            .add(certificate)
            .map_err(|error| BuildError::Tls(format!("unable to use specified CA cert: {error}")))?;
    }
    if store.is_empty() {
        return Err(BuildError::Tls("unable to use specified CA cert: no certificate in it".to_owned()));
    }
    Ok(Arc::new(store))
}

/// Takes any certificate; signatures of the handshake are still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ToNode for TlsVersion {
    fn to_node(&self) -> Node {
        let name = VERSIONS.iter().find(|(_, version)| version == self).map_or("", |(name, _)| name);
        Node::text(name)
    }
}

impl ToNode for TlsConfig {
    fn to_node(&self) -> Node {
        let keys = Fields::new()
            .nonempty("ca", &self.ca)
            .nonempty("cert", &self.cert)
            .nonempty("key", &self.key)
            .nonempty("ca_file", &self.ca_file)
            .nonempty("cert_file", &self.cert_file)
            .nonempty("key_file", &self.key_file)
            .nonempty("server_name", &self.server_name)
            .nonempty("min_version", &self.min_version)
            .nonempty("max_version", &self.max_version);
        if *self == TlsConfig::default() {
            keys.node()
        } else {
            keys.field("insecure_skip_verify", &self.insecure_skip_verify).node()
        }
    }
}
