//! How a case fails: one sentence that says what was seen.

/// Why a case failed.
pub struct Fail(pub String);

/// What a case, or a part of one, comes to.
pub type Check<T = ()> = Result<T, Fail>;

impl<E: std::fmt::Display> From<E> for Fail {
    fn from(error: E) -> Self {
        Fail(error.to_string())
    }
}

/// Says where a failure happened.
pub trait During<T> {
    /// Puts "what: " before the reason.
    fn during(self, what: impl std::fmt::Display) -> Check<T>;
}

impl<T, E: Into<Fail>> During<T> for Result<T, E> {
    fn during(self, what: impl std::fmt::Display) -> Check<T> {
        self.map_err(|e| Fail(format!("{what}: {}", e.into().0)))
    }
}

/// Ends the case unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err($crate::check::Fail(format!($($words)+)));
        }
    };
}
