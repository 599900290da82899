//! What a request shows the server to be let in: basic, authorization, OAuth 2.0, static headers.
//!
//! Files are read for every request, as the peers do: a rotated secret is used at once.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use novaobs_config::Secret;

use crate::client::{HttpClient, Request};
use crate::config::{Authorization, BasicAuth, HttpConfig, OAuth2};
use crate::error::{BuildError, Failure, io_text};

/// Tokens are renewed this long before they expire.
const RENEW_EARLY: Duration = Duration::from_secs(10);
/// A token answer longer than this is none.
const MAX_TOKEN_ANSWER: usize = 1 << 20;

/// The credentials of one client.
pub(crate) struct Credentials {
    config: HttpConfig,
    oauth2: Option<TokenSource>,
}

impl Credentials {
    pub(crate) fn new(config: &HttpConfig) -> Result<Credentials, BuildError> {
        let oauth2 = config.oauth2.as_ref().map(TokenSource::new).transpose()?;
        Ok(Credentials { config: config.clone(), oauth2 })
    }

    /// Adds the credentials and static headers to a request. An Authorization header that is already there
    /// stays.
    pub(crate) async fn add(&self, headers: &mut HeaderMap) -> Result<(), Failure> {
        for header in &self.config.headers {
            let bad = |_| Failure::Credentials(format!("http_headers.{}: not a valid header", header.name));
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| bad(()))?;
            for value in &header.values {
                headers.append(&name, HeaderValue::from_str(value).map_err(|_| bad(()))?);
            }
            for secret in &header.secrets {
                headers.append(&name, sensitive(secret.expose()).ok_or_else(|| bad(()))?);
            }
            for file in &header.files {
                let value = from_file(file)
                    .await
                    .map_err(|e| Failure::Credentials(format!("unable to read headers file: {e}")))?;
                headers.append(&name, sensitive(&value).ok_or_else(|| bad(()))?);
            }
        }
        if headers.contains_key(header::AUTHORIZATION) {
            return Ok(());
        }
        if let Some(value) = self.authorization().await? {
            let value = sensitive(&value).ok_or_else(|| {
                Failure::Credentials("credentials hold bytes that no header may have".to_owned())
            })?;
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(())
    }

    /// Static headers and whatever carries credentials: what another host must not see.
    pub(crate) fn is_private(&self, name: &HeaderName) -> bool {
        matches!(
            *name,
            header::AUTHORIZATION | header::COOKIE | header::WWW_AUTHENTICATE | header::PROXY_AUTHORIZATION
        ) || self.config.headers.iter().any(|h| h.name.eq_ignore_ascii_case(name.as_str()))
    }

    async fn authorization(&self) -> Result<Option<String>, Failure> {
        if let Some(auth) = &self.config.basic_auth {
            return basic_from(auth).await.map(Some);
        }
        if let Some(auth) = &self.config.authorization {
            return authorization_from(auth).await.map(Some);
        }
        match &self.oauth2 {
            Some(source) => source.token().await.map(Some),
            None => Ok(None),
        }
    }
}

async fn basic_from(auth: &BasicAuth) -> Result<String, Failure> {
    let fail = |what: &'static str| {
        move |e: String| Failure::Credentials(format!("unable to read basic auth {what}: {e}"))
    };
    let username = or_file(&auth.username, &auth.username_file).await.map_err(fail("username"))?;
    let password = or_file(auth.password.expose(), &auth.password_file).await.map_err(fail("password"))?;
    Ok(basic(&username, &password))
}

async fn authorization_from(auth: &Authorization) -> Result<String, Failure> {
    let credentials = or_file(auth.credentials.expose(), &auth.credentials_file)
        .await
        .map_err(|e| Failure::Credentials(format!("unable to read authorization credentials: {e}")))?;
    Ok(if credentials.is_empty() { auth.kind.clone() } else { format!("{} {credentials}", auth.kind) })
}

/// The value of a basic Authorization header.
pub(crate) fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn or_file(inline: &str, file: &Path) -> Result<String, String> {
    if file.as_os_str().is_empty() { Ok(inline.to_owned()) } else { from_file(file).await }
}

/// The file's text without the blanks around it.
async fn from_file(path: &Path) -> Result<String, String> {
    let text = tokio::fs::read_to_string(path).await;
    text.map(|text| text.trim().to_owned())
        .map_err(|error| format!("unable to read file {}: {}", path.display(), io_text(&error)))
}

/// Gets tokens by the client credentials grant (RFC 6749, 4.4) and keeps the last until it expires.
struct TokenSource {
    config: OAuth2,
    client: Box<HttpClient>,
    kept: tokio::sync::Mutex<Option<Token>>,
}

struct Token {
    header: String,
    /// The secret it was got with: another one asks anew.
    secret: Secret,
    expires: Option<Instant>,
}

#[derive(serde::Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

impl TokenSource {
    fn new(config: &OAuth2) -> Result<TokenSource, BuildError> {
        if config.grant_type != "client_credentials" {
            return Err(BuildError::NotBuilt("the jwt-bearer grant of oauth2", "use client_credentials"));
        }
        let plain =
            HttpConfig { tls: config.tls.clone(), proxy: config.proxy.clone(), ..HttpConfig::default() };
        let client = Box::new(HttpClient::new(&plain)?);
        Ok(TokenSource { config: config.clone(), client, kept: tokio::sync::Mutex::new(None) })
    }

    /// The Authorization header. Only one request for a token is under way at a time.
    async fn token(&self) -> Result<String, Failure> {
        let secret = or_file(self.config.client_secret.expose(), &self.config.client_secret_file)
            .await
            .map_err(|e| Failure::Credentials(format!("unable to read oauth2 client secret: {e}")))?;
        let secret = Secret::new(secret);
        let mut kept = self.kept.lock().await;
        if let Some(token) = kept.as_ref()
            && token.secret == secret
            && token.expires.is_none_or(|at| Instant::now() < at)
        {
            return Ok(token.header.clone());
        }
        let token = self.fetch(secret).await?;
        let header = token.header.clone();
        *kept = Some(token);
        Ok(header)
    }

    /// Servers differ in where they want the client's name and secret: first the header, then the form.
    async fn fetch(&self, secret: Secret) -> Result<Token, Failure> {
        let (status, body) = self.ask(&secret, true).await?;
        let (status, body) =
            if status.is_success() { (status, body) } else { self.ask(&secret, false).await? };
        let text = String::from_utf8_lossy(&body);
        if !status.is_success() {
            return Err(Failure::Credentials(format!(
                "oauth2: cannot fetch token: {status}\nResponse: {text}"
            )));
        }
        let answer: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|error| Failure::Credentials(format!("oauth2: cannot parse json: {error}")))?;
        if answer.access_token.is_empty() {
            return Err(Failure::Credentials("oauth2: server response missing access_token".to_owned()));
        }
        let seconds = answer.expires_in.and_then(|v| match v {
            serde_json::Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        });
        // A server that names a century means "never"; an instant that far off may not exist.
        let expires = seconds.filter(|s| *s > 0).map(|s: u64| {
            Instant::now() + Duration::from_secs(s.min(366 * 86_400)).saturating_sub(RENEW_EARLY)
        });
        let kind = match answer.token_type.to_ascii_lowercase().as_str() {
            "" | "bearer" => "Bearer".to_owned(),
            "mac" => "MAC".to_owned(),
            "basic" => "Basic".to_owned(),
            _ => answer.token_type,
        };
        Ok(Token { header: format!("{kind} {}", answer.access_token), secret, expires })
    }

    /// The fields of the token request; the client names itself in them when the header did not do.
    fn form(&self, secret: &Secret, in_header: bool) -> String {
        let config = &self.config;
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !config.scopes.is_empty() {
            form.append_pair("scope", &config.scopes.join(" "));
        }
        form.extend_pairs(&config.endpoint_params);
        if !in_header {
            form.append_pair("client_id", &config.client_id);
            if !secret.is_empty() {
                form.append_pair("client_secret", secret.expose());
            }
        }
        form.finish()
    }

    async fn ask(&self, secret: &Secret, in_header: bool) -> Result<(http::StatusCode, Bytes), Failure> {
        let config = &self.config;
        let mut request = Request::new(Method::POST, config.token_url.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(self.form(secret, in_header));
        if in_header {
            let encode =
                |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let value = sensitive(&basic(&encode(&config.client_id), &encode(secret.expose())));
            request =
                request.header(header::AUTHORIZATION, value.unwrap_or_else(|| HeaderValue::from_static("")));
        }
        let failed = |error: crate::RequestError| Failure::Credentials(error.to_string());
        // Boxed: the token's request is sent by a client of the same kind as the one that waits for it.
        let response = Box::pin(self.client.send(request)).await.map_err(failed)?;
        let status = response.status();
        let body = response.bytes(MAX_TOKEN_ANSWER).await.map_err(failed)?;
        Ok((status, body))
    }
}
