use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::ini::line_ends;
use super::{ConfigError, Ini, IniError, IniErrorKind};
use crate::limits::MAX_CONFIG_LEN;

/// Opens a file of a search list. `Err` is for "look at the next one": Ceph passes over what it
/// cannot open and over directories, whatever the reason.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(file)
}

/// The whole text; a file over the limit is refused, not read.
pub(super) fn read_text(file: File, path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let read_error = |source| ConfigError::Read { path: path.to_owned(), source };
    let too_long = || ConfigError::TooLong { path: path.to_owned() };
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
        let bytes = Zeroizing::new(e.as_bytes().to_vec());
        let good = bytes.get(..e.utf8_error().valid_up_to()).unwrap_or_default();
        let error = IniError { line: 1 + line_ends(good), kind: IniErrorKind::NotUtf8 };
        ConfigError::Syntax { path: path.to_owned(), error }
    })
}

/// Reads and parses a file of sections.
pub(super) fn read_ini(file: File, path: &Path) -> Result<Ini, ConfigError> {
    let text = read_text(file, path)?;
    Ini::parse(&text).map_err(|error| ConfigError::Syntax { path: path.to_owned(), error })
}
