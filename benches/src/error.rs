//! Errors of the benchmark program: a sentence for whoever runs it, nothing that code decides by.

/// What went wrong, in words.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
/// A value or a sentence.
pub(crate) type Fallible<T> = Result<T, Error>;

/// An error of one's own.
pub(crate) fn fail<T>(message: impl Into<String>) -> Fallible<T> {
    Err(message.into().into())
}
