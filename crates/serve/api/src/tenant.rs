//! Names of tenants in `X-Scope-OrgID`, shared by the faces.

/// What is wrong with the name of a tenant, as the peer words it.
pub(crate) fn problem(name: &str) -> Option<String> {
    let odd = |c: &char| !(c.is_ascii_alphanumeric() || "!_.*'()-".contains(*c));
    if let Some(c) = name.chars().find(odd) {
        return Some(format!("tenant ID '{name}' contains unsupported character '{c}'"));
    }
    if name.len() > 150 {
        return Some("tenant ID is too long: max 150 characters".to_owned());
    }
    matches!(name, "." | "..").then(|| "tenant ID is '.' or '..'".to_owned())
}
