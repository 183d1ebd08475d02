use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Ini, IniError, IniErrorKind, line_ends};
use crate::limits::MAX_CONFIG_LEN;

/// Why a file cannot be read as a ceph.conf or keyring.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system does not let it be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is longer than [`MAX_CONFIG_LEN`].
    #[error("{}: too long to be a ceph.conf or keyring", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It is not of Ceph's syntax.
    #[error("{}: {error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: IniError,
    },
}

/// Opens a file of a search list. `Err` is for "look at the next one": Ceph passes over what it
/// cannot open and over directories, whatever the reason.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(file)
}

/// The whole text; a file over the limit is refused, not read.
pub(crate) fn read_text(file: File, path: &Path) -> Result<Zeroizing<String>, FileError> {
    let read_error = |source| FileError::Read { path: path.to_owned(), source };
    let too_long = || FileError::TooLong { path: path.to_owned() };
    let len = file.metadata().map_err(read_error)?.len();
    if len > MAX_CONFIG_LEN {
        return Err(too_long());
    }
    // With room from the start: growing would leave copies of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(len as usize + 1));
    // A pipe or a growing file has no length that could be trusted.
    file.take(MAX_CONFIG_LEN + 1).read_to_end(&mut bytes).map_err(read_error)?;
    if bytes.len() as u64 > MAX_CONFIG_LEN {
        return Err(too_long());
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|e| {
        let good_len = e.utf8_error().valid_up_to();
        let bytes = Zeroizing::new(e.into_bytes());
        let good = bytes.get(..good_len).unwrap_or_default();
        let error = IniError { line: 1 + line_ends(good), kind: IniErrorKind::NotUtf8 };
        FileError::Syntax { path: path.to_owned(), error }
    })
}

/// Reads and parses a file of sections.
pub(crate) fn read_ini(file: File, path: &Path) -> Result<Ini, FileError> {
    let text = read_text(file, path)?;
    Ini::parse(&text).map_err(|error| FileError::Syntax { path: path.to_owned(), error })
}
