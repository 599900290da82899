//! Checked invariants: loud in tests, logged and survived in production.

/// Asserts that `condition` holds and returns it. A failure is a bug of ours: it panics where debug
/// assertions are on (tests), and elsewhere logs an error and returns `false` so that the caller can
/// degrade.
///
/// ```
/// let n = 2;
/// if !novaobs_model::always!(n < 3, "n stays small, got {n}") { /* recover */ }
/// ```
#[macro_export]
macro_rules! always {
    ($condition:expr, $($message:tt)+) => {{
        let holds: bool = $condition;
        if !holds {
            $crate::__invariant_broken(format_args!($($message)+), file!(), line!());
        }
        holds
    }};
}

/// Marks a place that must not be reached; the counterpart of [`always!`].
#[macro_export]
macro_rules! never {
    ($($message:tt)+) => {
        $crate::__invariant_broken(format_args!($($message)+), file!(), line!())
    };
}

#[doc(hidden)]
#[expect(clippy::panic, reason = "a broken invariant is loud where debug assertions are on")]
pub fn __invariant_broken(message: std::fmt::Arguments<'_>, file: &str, line: u32) {
    if cfg!(debug_assertions) {
        panic!("invariant broken at {file}:{line}: {message}");
    }
    tracing::error!(file, line, "BUG: invariant broken, please report: {message}");
}
