//! Two questions asked of every error: what should the user do (kind), and may we try again (retry).

/// What the reader of an error should do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request or the configuration is wrong; the text names the place, the value and the remedy.
    Invalid,
    /// The thing that was named does not exist.
    NotFound,
    /// The thing exists already, or changed under the caller.
    Conflict,
    /// A service we depend on (broker, object store, catalog) does not answer.
    Unavailable,
    /// A limit was reached: memory, disk, time, size of a request.
    Exhausted,
    /// Stored bytes do not carry what they should.
    Corrupt,
    /// A fault of ours.
    Internal,
}

/// Whether the same attempt may succeed later without anybody's help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Trying again with back-off may help.
    Later,
    /// Only a changed request, configuration or world helps.
    Never,
}

/// Implemented by every public error of the house.
pub trait Classify: std::error::Error {
    /// What the user should do.
    fn kind(&self) -> ErrorKind;
    /// Whether to try again.
    fn retry(&self) -> Retry;
}
