//! Keys of lines as label names: letters, digits and underscores.

/// Writes `key` without the space around it; other characters become underscores, and one goes before a
/// digit at the beginning.
pub(crate) fn write(out: &mut String, key: &str) {
    if key.bytes().all(is_plain) && !key.starts_with(|c: char| c.is_ascii_digit()) {
        return out.push_str(key);
    }
    let key = key.trim();
    if key.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    write_rest(out, key);
}

/// [`write()`] for a part that is not the first.
pub(crate) fn write_rest(out: &mut String, key: &str) {
    let key = key.trim();
    if key.bytes().all(is_plain) {
        return out.push_str(key);
    }
    out.extend(key.chars().map(|c| if c.is_ascii() && is_plain(c as u8) { c } else { '_' }));
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Replaces what stands for undecodable bytes by spaces, from `mark` on.
pub(crate) fn clean(text: &mut String, mark: usize) {
    if memchr::memchr(0xef, text.as_bytes().get(mark..).unwrap_or(&[])).is_none() {
        return;
    }
    let has = |text: &String| text.get(mark..).is_some_and(|tail| tail.contains('\u{fffd}'));
    if has(text) {
        let tail = text.get(mark..).unwrap_or("").replace('\u{fffd}', " ");
        text.truncate(mark);
        text.push_str(&tail);
    }
}
