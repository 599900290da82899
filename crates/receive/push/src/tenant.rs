//! Whose data a request brings: `X-Scope-OrgID`.

use http::{HeaderMap, StatusCode};
use novaobs_model::Tenant;

use crate::error::PushError;

/// The longest name of a tenant, in bytes.
const MAX_LENGTH: usize = 150;

/// Why a request names no usable tenant; the texts are Loki's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// The header is missing or empty.
    #[error("no org id")]
    Missing,
    /// Names joined by `|`, which only queries may have.
    #[error("multiple org IDs present")]
    Several,
    /// Over 150 bytes.
    #[error("tenant ID is too long: max 150 characters")]
    TooLong,
    /// `.` or `..`.
    #[error("tenant ID is '.' or '..'")]
    Dots,
    /// A character that no folder should have.
    #[error("tenant ID '{tenant}' contains unsupported character '{character}'")]
    Character {
        /// The name.
        tenant: String,
        /// The first such byte, as a character.
        character: char,
    },
}

impl From<TenantError> for PushError {
    fn from(error: TenantError) -> Self {
        let missing = error == TenantError::Missing;
        let status = if missing { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        PushError::new(status.as_u16(), error.to_string())
    }
}

/// The one tenant that a request's headers name.
///
/// # Errors
/// [`TenantError`].
pub fn tenant_of(headers: &HeaderMap) -> Result<Tenant, TenantError> {
    let value = headers.get("x-scope-orgid").map_or(&[][..], |value| value.as_bytes());
    if value.is_empty() {
        return Err(TenantError::Missing);
    }
    let name = String::from_utf8_lossy(value);
    if name.contains('|') {
        return Err(TenantError::Several);
    }
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"!-_.*'()".contains(byte);
    if let Some(byte) = value.iter().find(|byte| !allowed(byte)) {
        let character = char::from(*byte);
        return Err(TenantError::Character { tenant: name.into_owned(), character });
    }
    if name.len() > MAX_LENGTH {
        return Err(TenantError::TooLong);
    }
    if matches!(&*name, "." | "..") {
        return Err(TenantError::Dots);
    }
    Ok(Tenant::new(&name))
}
