//! What can be wrong with the bytes of a client.

/// A frame that cannot be read. The connection ends with it: where the next frame begins is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The first line is no command of a client. The text is what came instead, cut and without control characters.
    #[error("Could not interpret command \"{0}\"")]
    UnknownCommand(String),
    /// A header line without a colon.
    #[error("a header line without a colon")]
    HeaderWithoutColon,
    /// A NUL before the empty line that ends the headers.
    #[error("a NUL inside of the headers")]
    NulInHead,
    /// A carriage return that is not part of an end of line.
    #[error("a carriage return inside of a header line")]
    CarriageReturn,
    /// A backslash that begins no escape that there is.
    #[error("an escape that is not defined")]
    Escape,
    /// More header lines than allowed.
    #[error("more than {0} headers")]
    TooManyHeaders(usize),
    /// More bytes of command and header lines than allowed.
    #[error("headers of more than {0} bytes")]
    HeadTooLarge(usize),
    /// A larger body than allowed, claimed or come.
    #[error("a body of more than {0} bytes")]
    BodyTooLarge(usize),
    /// The value of content-length is not a number of bytes.
    #[error("content-length is not a number of bytes")]
    ContentLength,
    /// What follows the body is not NUL: content-length is wrong.
    #[error("the body is longer than its content-length")]
    BodyNotEnded,
}
