use std::fmt;

/// Why bytes are not an encoding of the type that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The innermost type or field that was being read.
    pub what: &'static str,
    /// What is wrong with the bytes.
    pub kind: DecodeErrorKind,
    /// Where the reader stood: an offset into the buffer it was made from.
    pub at: usize,
}

/// The ways in which an encoding can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end before the value does.
    Short,
    /// A list claims more items than the bytes that are left can hold.
    BadCount(u32),
    /// `struct_compat` says that this reader is too old for the encoding.
    Incompatible {
        /// The oldest reader the writer allows.
        compat: u8,
        /// What this reader knows.
        known: u8,
    },
    /// The encoding is of a form too old to be read.
    TooOld(u8),
    /// Bytes follow where none may.
    Trailing(usize),
    /// A value that the format does not allow here.
    BadValue(u64),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: ", self.what, self.at)?;
        match self.kind {
            DecodeErrorKind::Short => f.write_str("the bytes end too early"),
            DecodeErrorKind::BadCount(n) => write!(f, "a count of {n} is more than fits"),
            DecodeErrorKind::Incompatible { compat, known } => {
                write!(f, "needs a reader of version {compat}, this one knows {known}")
            }
            DecodeErrorKind::TooOld(v) => write!(f, "version {v} is too old to be read"),
            DecodeErrorKind::Trailing(n) => write!(f, "{n} bytes too many"),
            DecodeErrorKind::BadValue(v) => write!(f, "the value {v} is not allowed"),
        }
    }
}

impl std::error::Error for DecodeError {}
