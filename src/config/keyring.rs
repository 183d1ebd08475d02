use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Config, load, value};
use crate::auth::keyring::{Keyring, KeyringError};
use crate::ini::{self, FileError};

impl Config {
    /// What the program authenticates by (`KeyRing::from_ceph_context`): the first keyring of
    /// [`keyring_search`](Self::keyring_search) that can be opened, and in it for
    /// [`name`](Self::name) the key of `key` or `keyfile`, if one is set.
    ///
    /// With such a key a keyring need not be there, nor be in order.
    pub fn keyring(&self) -> Result<Keyring, KeyringError> {
        let keyring = self.first_keyring();
        let Some(text) = self.secret_key()? else { return keyring };
        let mut keyring = keyring.unwrap_or_default();
        keyring.set_key_text(self.name(), &text).map_err(KeyringError::BadConfigKey)?;
        Ok(keyring)
    }

    /// Where to look for a keyring, in this order.
    pub fn keyring_search(&self) -> Vec<PathBuf> {
        let search = self.get("keyring").unwrap_or_default();
        value::paths(&search).map(PathBuf::from).collect()
    }

    /// The text of `key`, else of the file that `keyfile` names.
    pub fn secret_key(&self) -> Result<Option<Zeroizing<String>>, FileError> {
        if let Some(key) = self.get_secret("key").filter(|key| !key.is_empty()) {
            return Ok(Some(key));
        }
        match self.get("keyfile").filter(|path| !path.is_empty()) {
            Some(path) => load::read_keyfile(Path::new(&path)).map(Some),
            None => Ok(None),
        }
    }

    fn first_keyring(&self) -> Result<Keyring, KeyringError> {
        for path in self.keyring_search() {
            if let Ok(file) = ini::open(&path) {
                return Keyring::from_ini(&ini::read_ini(file, &path)?, Some(&path));
            }
        }
        Err(KeyringError::NotFound(self.get("keyring").unwrap_or_default()))
    }
}
