//! The one error type that callers see.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// What a command gave back: `outs` is text for a person, `outbl` the output itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CommandOutput {
    /// What the real `ceph` prints to stderr.
    pub outs: String,
    /// What the real `ceph` prints to stdout.
    pub outbl: Bytes,
}

impl fmt::Debug for CommandOutput {
    /// The lengths: `auth get-key` has a key for output.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outs, outbl) = (self.outs.len(), self.outbl.len());
        write!(f, "CommandOutput({outs} bytes of outs, {outbl} of outbl)")
    }
}

/// The kinds of [`Error`], by what a caller can do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A deadline passed; the text names the step.
    Timeout,
    /// The connection or the handle is closed.
    Closed,
    /// Nothing listens at the address, or the socket failed.
    Io,
    /// The peer broke the protocol, or speaks another one.
    Protocol,
    /// Authentication failed.
    Auth,
    /// A configuration file, keyring or option is wrong or missing.
    Config,
    /// A host name has no address.
    Resolve,
    /// The cluster carried the command out and it failed; `errno` and `output` have the rest.
    Command,
    /// The cluster has no such daemon, or it is down.
    NotFound,
    /// What was asked is not possible: too long, empty, unknown.
    InvalidInput,
    /// The out queue of the connection is full.
    WouldBlock,
    /// A blocking call from a callback of the same connection would wait for itself.
    WouldDeadlock,
    /// The handle was made by the parent of this process.
    Forked,
    /// The wait was ended by [`crate::cluster::CancelHandle`].
    Cancelled,
}

/// Why a call failed: one line of text, a kind to act on, and Ceph's errno where it gave one.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    text: String,
    errno: Option<i32>,
    output: Option<CommandOutput>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, text: text.into(), errno: None, output: None, source: None }))
    }

    /// The error of a command, called by its prefix: `errno` as Ceph gave it, positive.
    pub fn command(prefix: &str, errno: i32, output: CommandOutput) -> Self {
        let text = match output.outs.trim_end() {
            "" => format!("{prefix}: {}", std::io::Error::from_raw_os_error(errno)),
            outs => format!("{prefix}: {outs} ({})", std::io::Error::from_raw_os_error(errno)),
        };
        let mut e = Self::new(ErrorKind::Command, text).with_errno(errno);
        e.0.output = Some(output);
        e
    }

    /// The same error with an errno.
    #[must_use]
    pub fn with_errno(mut self, errno: i32) -> Self {
        self.0.errno = Some(errno);
        self
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The same error, of another kind and with another text.
    #[must_use]
    pub(crate) fn told_as(mut self, kind: ErrorKind, text: impl Into<String>) -> Self {
        (self.0.kind, self.0.text) = (kind, text.into());
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Ceph's errno, positive, where the cluster gave one or librados would.
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// What a command that failed gave back.
    pub fn output(&self) -> Option<&CommandOutput> {
        self.0.output.as_ref()
    }

    /// The error that caused it, if it is of that type: the fault of a connection, say.
    pub fn fault<F: StdError + 'static>(&self) -> Option<&F> {
        self.0.source.as_ref()?.downcast_ref()
    }

    /// Whether a deadline passed.
    pub fn is_timeout(&self) -> bool {
        self.0.kind == ErrorKind::Timeout
    }

    /// Whether the same call may succeed later: nobody answered, or the connection broke.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Timeout | ErrorKind::Closed | ErrorKind::Io)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.text)
    }
}

impl StdError for Error {
    /// What is behind the cause, whose own words are in the text already: who prints the whole
    /// chain reads nothing twice.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref()?.source()
    }
}
