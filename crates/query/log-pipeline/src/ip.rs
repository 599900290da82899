//! `ip("…")`: looks for addresses of a single address, a range or a CIDR block in a text.

use std::net::IpAddr;

/// What an address is compared with.
#[derive(Clone, Debug)]
pub(crate) enum IpPattern {
    /// An address.
    One(IpAddr),
    /// A well-formed address that no text gives: one with a zone.
    Never,
    /// All of one family between two, inclusive.
    Range(IpAddr, IpAddr),
}

impl IpPattern {
    /// Reads `1.2.3.4`, `1.2.3.0/24`, `1.2.3.4-1.2.3.9`, also of IPv6.
    ///
    /// # Errors
    /// The peer's text.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        read(pattern)
            .ok_or_else(|| format!("ip: invalid pattern: {}", novaobs_model::labels::go_quote(pattern)))
    }

    fn contains(&self, address: IpAddr) -> bool {
        match self {
            IpPattern::One(one) => *one == address,
            IpPattern::Never => false,
            IpPattern::Range(low, high) => {
                low.is_ipv4() == address.is_ipv4() && *low <= address && address <= *high
            }
        }
    }

    /// Whether an address of the pattern stands in the text. Where something looks like the beginning of an
    /// address, all characters that can be part of one are taken as one: `1.2.3.4.` is none.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or(&[]);
            let is_part: fn(&u8) -> bool = if begins_v4(rest) {
                |b| b.is_ascii_digit() || *b == b'.'
            } else if begins_v6(rest) {
                |b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')
            } else {
                at += 1;
                continue;
            };
            let length = rest.iter().take_while(|b| is_part(b)).count();
            let address = text.get(at..at + length).and_then(|address| address.parse().ok());
            if address.is_some_and(|address| self.contains(address)) {
                return true;
            }
            at += length + 1;
        }
        false
    }
}

fn read(pattern: &str) -> Option<IpPattern> {
    if let Ok(address) = pattern.parse() {
        return Some(IpPattern::One(address));
    }
    if let Some((address, zone)) = pattern.split_once('%') {
        let is_v6 = matches!(address.parse(), Ok(IpAddr::V6(_)));
        return (is_v6 && !zone.is_empty()).then_some(IpPattern::Never);
    }
    if let Some((address, bits)) = pattern.split_once('/') {
        return block(address.parse().ok()?, bits);
    }
    let (low, high) = pattern.split_once('-')?;
    let (low, high): (IpAddr, IpAddr) = (low.parse().ok()?, high.parse().ok()?);
    (low.is_ipv4() == high.is_ipv4() && low <= high).then_some(IpPattern::Range(low, high))
}

/// The block of addresses that share the first `bits` bits.
fn block(address: IpAddr, bits: &str) -> Option<IpPattern> {
    if bits.is_empty()
        || !bits.bytes().all(|b| b.is_ascii_digit())
        || (bits.len() > 1 && bits.starts_with('0'))
    {
        return None;
    }
    let bits: u32 = bits.parse().ok()?;
    Some(match address {
        IpAddr::V4(address) => {
            let free = u32::MAX.checked_shr(bits).unwrap_or(0);
            let base = u32::from(address) & !free;
            (bits <= 32)
                .then_some(IpPattern::Range(IpAddr::V4(base.into()), IpAddr::V4((base | free).into())))?
        }
        IpAddr::V6(address) => {
            let free = u128::MAX.checked_shr(bits).unwrap_or(0);
            let base = u128::from(address) & !free;
            (bits <= 128)
                .then_some(IpPattern::Range(IpAddr::V6(base.into()), IpAddr::V6((base | free).into())))?
        }
    })
}

/// A digit and a point within the next three; a lone address has at least four bytes.
fn begins_v4(rest: &[u8]) -> bool {
    match rest {
        [a, b, c, d, ..] => a.is_ascii_digit() && [b, c, d].into_iter().any(|byte| *byte == b'.'),
        _ => false,
    }
}

/// One to four hexadecimal digits and a colon, or `::` and a digit; five bytes at least.
fn begins_v6(rest: &[u8]) -> bool {
    let Some(head) = rest.get(..5) else { return false };
    let digits = head.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    match digits {
        0 => head.starts_with(b"::") && head.get(2).is_some_and(u8::is_ascii_hexdigit),
        digits => head.get(digits) == Some(&b':'),
    }
}
