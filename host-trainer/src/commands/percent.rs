//! Shares, for people.

/// `0.9774` as `97.74 %`; nothing can be said of 0 of 0.
pub(crate) fn percent(fraction: impl Into<Option<f64>>) -> String {
    fraction.into().map_or("-".into(), |fraction| format!("{:.2} %", 100.0 * fraction))
}
