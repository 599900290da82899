//! Query strings and form bodies as Go's `net/http` reads them, shared by the faces.

use axum::http::{HeaderMap, header};
use novaobs_model::labels::go_quote;

/// Largest form body read, as Go reads them.
pub(crate) const MAX_FORM: usize = 10 << 20;

/// The parameters of a request. Those of a form body come before those of the URL, so that they win.
#[derive(Debug, Default)]
pub(crate) struct Form {
    body: Vec<(String, String)>,
    url: Vec<(String, String)>,
    /// Why a part could not be read; such parts are left out.
    pub(crate) problem: Option<String>,
}

impl Form {
    /// Reads an encoded body (empty: none) and query string.
    pub(crate) fn read(body: &str, query: &str) -> Self {
        let mut form = Form::default();
        form.body = form.pairs(body);
        form.url = form.pairs(query);
        form
    }

    fn pairs(&mut self, encoded: &str) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for part in encoded.split('&').filter(|part| !part.is_empty()) {
            if part.contains(';') {
                self.problem.get_or_insert_with(|| "invalid semicolon separator in query".to_owned());
                continue;
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match (unescape(name), unescape(value)) {
                (Ok(name), Ok(value)) => pairs.push((name, value)),
                (Err(bad), _) | (_, Err(bad)) => {
                    self.problem.get_or_insert_with(|| format!("invalid URL escape {}", go_quote(&bad)));
                }
            }
        }
        pairs
    }

    /// The first value of a parameter, empty when it is missing.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// The first value in the URL alone: some parameters are not read from forms.
    pub(crate) fn url(&self, name: &str) -> &str {
        self.url.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.body.iter().chain(&self.url).filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Whether the body is a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = kind.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Resolves `+` and `%xx`.
///
/// # Errors
/// The escape that is none.
fn unescape(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let pair: Vec<u8> = bytes.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&pair).ok().filter(|_| pair.len() == 2);
                let value = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                match value.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(byte) => out.push(byte),
                    None => return Err(format!("%{}", String::from_utf8_lossy(&pair))),
                }
            }
            byte => out.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// A whole number, or Go's words why it is none.
pub(crate) fn go_atoi(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let quoted = go_quote(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("strconv.Atoi: parsing {quoted}: invalid syntax"));
    }
    text.parse().map_err(|_| format!("strconv.Atoi: parsing {quoted}: value out of range"))
}
