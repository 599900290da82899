//! What Go's `regexp/syntax` refuses in an expression, in its words.
//!
//! Rust's `regex` knows another dialect: it takes `a**` and words its errors differently. Expressions are
//! therefore checked here first, with the Perl flags that Go's `regexp.Compile` sets.

/// A group, and the largest product of counted repetitions (`{n}`) nested in it.
#[derive(Default)]
struct Group {
    weight: u32,
}

/// Largest count of a repetition, and largest product of nested ones.
const MAX_REPEAT: u32 = 1000;

/// Checks `source`.
///
/// # Errors
/// Go's message without its `error parsing regexp: ` in front.
pub(crate) fn check(source: &str) -> Result<(), String> {
    Checker { source, rest: source, groups: vec![Group::default()], operand: None }.run()
}

struct Checker<'a> {
    source: &'a str,
    rest: &'a str,
    groups: Vec<Group>,
    /// The weight of what a repetition would apply to; none at the start of a group or alternative.
    operand: Option<u32>,
}

impl<'a> Checker<'a> {
    fn run(mut self) -> Result<(), String> {
        let mut last_repeat: Option<&'a str> = None;
        while let Some(c) = self.rest.chars().next() {
            let before = self.rest;
            let after = before.get(c.len_utf8()..).unwrap_or_default();
            let mut repeat = None;
            match c {
                '(' if after.starts_with('?') => self.flags_or_group()?,
                '(' => {
                    self.rest = after;
                    self.open();
                }
                ')' => {
                    self.rest = after;
                    self.close()?;
                }
                '|' => {
                    self.rest = after;
                    self.operand = None;
                }
                '[' => {
                    self.class()?;
                    self.push(1);
                }
                '*' | '+' | '?' => {
                    self.rest = after;
                    self.repeat(before, last_repeat, 1)?;
                    repeat = Some(before);
                }
                '{' => match counted(after) {
                    Some((low, high, after)) => {
                        self.rest = after;
                        let largest = high.unwrap_or(low);
                        if low > MAX_REPEAT || largest > MAX_REPEAT || high.is_some_and(|high| low > high) {
                            return Err(self.fail("invalid repeat count", before));
                        }
                        self.repeat(before, last_repeat, largest.max(1))?;
                        repeat = Some(before);
                    }
                    None => {
                        self.rest = after;
                        self.push(1);
                    }
                },
                '\\' => self.backslash(after)?,
                _ => {
                    self.rest = after;
                    self.push(1);
                }
            }
            last_repeat = repeat;
        }
        if self.groups.len() > 1 {
            return Err(format!("missing closing ): `{}`", self.source));
        }
        Ok(())
    }

    /// The message about what was read since `from`.
    fn fail(&self, reason: &str, from: &str) -> String {
        let read = from.len().saturating_sub(self.rest.len());
        format!("{reason}: `{}`", from.get(..read).unwrap_or(from))
    }

    fn push(&mut self, weight: u32) {
        self.operand = Some(weight);
        if let Some(group) = self.groups.last_mut() {
            group.weight = group.weight.max(weight);
        }
    }

    fn open(&mut self) {
        self.groups.push(Group::default());
        self.operand = None;
    }

    fn close(&mut self) -> Result<(), String> {
        if self.groups.len() < 2 {
            return Err(format!("unexpected ): `{}`", self.source));
        }
        let weight = self.groups.pop().map_or(1, |group| group.weight.max(1));
        self.push(weight);
        Ok(())
    }

    fn repeat(&mut self, before: &'a str, last: Option<&'a str>, times: u32) -> Result<(), String> {
        if let Some(after) = self.rest.strip_prefix('?') {
            self.rest = after;
        }
        if let Some(last) = last {
            return Err(self.fail("invalid nested repetition operator", last));
        }
        let Some(operand) = self.operand else {
            return Err(self.fail("missing argument to repetition operator", before));
        };
        let weight = operand.saturating_mul(times);
        if times > 1 && weight > MAX_REPEAT {
            return Err(self.fail("invalid repeat count", before));
        }
        self.push(weight);
        Ok(())
    }

    /// `(?i)`, `(?i:`, `(?P<name>` or `(?<name>`.
    fn flags_or_group(&mut self) -> Result<(), String> {
        let start = self.rest;
        let named = match start.strip_prefix("(?P<") {
            Some(name) if !name.is_empty() => Some(name),
            _ => start.strip_prefix("(?<").filter(|name| !name.is_empty()),
        };
        if let Some(name) = named {
            let Some((name, after)) = name.split_once('>') else {
                return Err(format!("invalid named capture: `{start}`"));
            };
            self.rest = after;
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return Err(self.fail("invalid named capture", start));
            }
            self.open();
            return Ok(());
        }
        self.rest = start.get(2..).unwrap_or_default();
        let (mut negative, mut saw_flag) = (false, false);
        while let Some(c) = self.bump() {
            match c {
                'i' | 'm' | 's' | 'U' => saw_flag = true,
                '-' if !negative => (negative, saw_flag) = (true, false),
                ':' | ')' if !negative || saw_flag => {
                    if c == ':' {
                        self.open();
                    }
                    return Ok(());
                }
                _ => break,
            }
        }
        Err(self.fail("invalid or unsupported Perl syntax", start))
    }

    fn backslash(&mut self, after: &'a str) -> Result<(), String> {
        let start = self.rest;
        let c = after.chars().next();
        let behind = after.get(c.map_or(0, char::len_utf8)..).unwrap_or_default();
        match c {
            Some('A' | 'b' | 'B' | 'z' | 'd' | 'D' | 's' | 'S' | 'w' | 'W') => {
                self.rest = behind;
                self.push(1);
            }
            Some('C') => {
                self.rest = behind;
                return Err(self.fail("invalid escape sequence", start));
            }
            Some('Q') => {
                let (literal, rest) = behind.split_once("\\E").unwrap_or((behind, ""));
                self.rest = rest;
                if !literal.is_empty() {
                    self.push(1);
                }
            }
            Some('p' | 'P') => {
                self.unicode_class()?;
                self.push(1);
            }
            _ => {
                self.escape()?;
                self.push(1);
            }
        }
        Ok(())
    }

    /// `\pL` or `\p{Greek}`; whether the name exists is left to the compiler.
    fn unicode_class(&mut self) -> Result<(), String> {
        let start = self.rest;
        self.rest = start.get(2..).unwrap_or_default();
        match self.bump() {
            Some('{') => match self.rest.split_once('}') {
                Some((_, after)) => self.rest = after,
                None => return Err(format!("invalid character class range: `{start}`")),
            },
            Some(_) => {}
            None => return Err(format!("invalid character class range: `{start}`")),
        }
        Ok(())
    }

    /// One escaped character.
    fn escape(&mut self) -> Result<char, String> {
        let start = self.rest;
        self.bump();
        let Some(c) = self.bump() else {
            return Err("trailing backslash at end of expression: ``".to_owned());
        };
        let next_octal = |rest: &str| rest.chars().next().and_then(|c| c.to_digit(8));
        match c {
            'a' => return Ok('\u{7}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            '0'..='7' if c == '0' || next_octal(self.rest).is_some() => {
                let mut value = c.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    if let Some(digit) = next_octal(self.rest) {
                        value = value * 8 + digit;
                        self.bump();
                    }
                }
                return Ok(char::from_u32(value).unwrap_or_default());
            }
            'x' => {
                if let Some(c) = self.hexadecimal() {
                    return Ok(c);
                }
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => return Ok(c),
            _ => {}
        }
        Err(self.fail("invalid escape sequence", start))
    }

    /// The digits after `\x`.
    fn hexadecimal(&mut self) -> Option<char> {
        let first = self.bump()?;
        if first != '{' {
            let second = self.bump();
            return char::from_u32(first.to_digit(16)? * 16 + second?.to_digit(16)?);
        }
        let mut value = None;
        loop {
            match self.bump()? {
                '}' => return value.and_then(char::from_u32),
                c => {
                    let sum = value.unwrap_or(0u32) * 16 + c.to_digit(16)?;
                    value = Some(sum).filter(|sum| *sum <= u32::from(char::MAX));
                    value?;
                }
            }
        }
    }

    /// `[a-z[:alpha:]\d]`.
    fn class(&mut self) -> Result<(), String> {
        let whole = self.rest;
        self.bump();
        if self.rest.starts_with('^') {
            self.bump();
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.rest.starts_with("[:")
                && let Some(end) = self.rest.get(2..).and_then(|rest| rest.find(":]"))
            {
                let (name, after) = self.rest.split_at(end + 4);
                if !is_posix_class(name.trim_start_matches("[:").trim_end_matches(":]")) {
                    return Err(format!("invalid character class range: `{name}`"));
                }
                self.rest = after;
                continue;
            }
            if let Some(escaped) = self.rest.strip_prefix('\\') {
                match escaped.chars().next() {
                    Some('p' | 'P') => {
                        self.unicode_class()?;
                        continue;
                    }
                    Some('d' | 'D' | 's' | 'S' | 'w' | 'W') => {
                        self.rest = escaped.get(1..).unwrap_or_default();
                        continue;
                    }
                    _ => {}
                }
            }
            let range = self.rest;
            let low = self.class_char(whole)?;
            if self.rest.starts_with('-') && self.rest.len() >= 2 && !self.rest.starts_with("-]") {
                self.bump();
                let high = self.class_char(whole)?;
                if high < low {
                    return Err(self.fail("invalid character class range", range));
                }
            }
        }
        self.bump();
        Ok(())
    }

    fn class_char(&mut self, whole: &str) -> Result<char, String> {
        if self.rest.starts_with('\\') {
            return self.escape();
        }
        self.bump().ok_or_else(|| format!("missing closing ]: `{whole}`"))
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        Some(c)
    }
}

/// Reads `n}`, `n,}` or `n,m}`: the counts (none: unbounded) and what follows.
fn counted(text: &str) -> Option<(u32, Option<u32>, &str)> {
    let (low, rest) = count(text)?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((low, Some(low), rest));
    }
    let rest = rest.strip_prefix(',')?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((low, None, rest));
    }
    let (high, rest) = count(rest)?;
    Some((low, Some(high), rest.strip_prefix('}')?))
}

/// A number without leading zeros; one too large to matter is `u32::MAX`.
fn count(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}

fn is_posix_class(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
        "upper", "word", "xdigit",
    ];
    NAMES.contains(&name.strip_prefix('^').unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn refuses_in_the_words_of_go() {
        for (source, want) in [
            ("[", "missing closing ]: `[`"),
            ("a[b", "missing closing ]: `[b`"),
            ("(", "missing closing ): `(`"),
            ("a)(", "unexpected ): `a)(`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("a|+?", "missing argument to repetition operator: `+?`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a*?+", "invalid nested repetition operator: `*?+`"),
            ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            ("((a{100}){10}){2}", "invalid repeat count: `{2}`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[[:word1:]]", "invalid character class range: `[:word1:]`"),
            (r"\p{Greek", r"invalid character class range: `\p{Greek`"),
            (r"\y", r"invalid escape sequence: `\y`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            (r"\Cx", r"invalid escape sequence: `\C`"),
            (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
            (r"a\", "trailing backslash at end of expression: ``"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
            ("(?P<n", "invalid named capture: `(?P<n`"),
            ("(?P<a b>x)", "invalid named capture: `(?P<a b>`"),
        ] {
            assert_eq!(check(source), Err(want.to_owned()), "{source}");
        }
    }

    #[test]
    fn takes_what_go_takes() {
        for source in [
            "",
            "a{,2}",
            "a{01}",
            "x{2}?",
            "()*",
            "(?i)a(?-i:b)",
            "[]a]",
            "[^]]",
            "[a-]",
            "[-a]",
            r"\_\-\<",
            r"\Q*(\E+",
            r"\012\x41\x{1F600}",
            "(?P<n>a)(?<m>b)",
            r"[\d\pL[:alpha:]&&~~]",
            "{",
            "a|",
            "^*",
            "(?)",
            "((a{100}){10})",
        ] {
            assert_eq!(check(source), Ok(()), "{source}");
        }
    }
}
