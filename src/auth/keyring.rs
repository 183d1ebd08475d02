//! Keyrings: files of keys and caps, in the syntax of ceph.conf (`src/auth/KeyRing.cc`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::EntityName;
use crate::crypto::{CryptoError, CryptoKey, KeyType};
use crate::ini::{FileError, Ini, IniError};

/// Why a keyring cannot be read, or has no key for who asks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The file cannot be read or is not of Ceph's syntax.
    #[error(transparent)]
    File(#[from] FileError),
    /// The text is not of Ceph's syntax.
    #[error(transparent)]
    Syntax(#[from] IniError),
    /// A section is not named as an entity is. Its text is not told: it may be a key gone astray.
    #[error("{at}: the section is not named as an entity is")]
    BadName {
        /// Where it stands.
        at: Place,
    },
    /// A setting other than `key`, `caps SERVICE` and the obsolete `auid`; not told either.
    #[error("{at}: [{name}] not a setting of a keyring")]
    BadSetting {
        /// Whose section it is.
        name: EntityName,
        /// Where it stands.
        at: Place,
    },
    /// The text of a key is not a key.
    #[error("{at}: [{name}] key: {error}")]
    BadKey {
        /// Whose key it is.
        name: EntityName,
        /// What is wrong with it.
        error: CryptoError,
        /// Where it stands.
        at: Place,
    },
    /// `key` or `keyfile` of the configuration does not hold a key.
    #[error("the key in the configuration: {0}")]
    BadConfigKey(CryptoError),
    /// None of the keyrings is there, nor a `key` or `keyfile`.
    #[error("no keyring at {0}")]
    NotFound(String),
    /// The keyring has no key for the entity.
    #[error("no key for {0} in the keyring")]
    NoKey(EntityName),
    /// The key is of a type that this library cannot use.
    #[error("the key of {name} is of type {key_type}, which is not supported")]
    UnsupportedKey {
        /// Whose key it is.
        name: EntityName,
        /// The type's number.
        key_type: u16,
    },
}

/// A line of a keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, if it was read from one.
    pub path: Option<PathBuf>,
    /// The line, counted from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}:{}", path.display(), self.line),
            None => write!(f, "line {}", self.line),
        }
    }
}

/// The keys of entities, in the order in which Ceph writes them.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    entries: BTreeMap<EntityName, Entry>,
}

/// What a keyring says of one entity.
#[derive(Clone, Default)]
pub struct Entry {
    key: EntryKey,
    caps: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
enum EntryKey {
    #[default]
    None,
    Key(CryptoKey),
    /// Of a type from a later release: kept as it was written.
    Unsupported {
        key_type: u16,
        text: Zeroizing<String>,
    },
}

impl Keyring {
    /// An empty keyring.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the text of a keyring. A section `[global]` is skipped, as in Ceph.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        Self::from_ini(&Ini::parse(text)?, None)
    }

    /// Reads a file; who else may read it is not looked at.
    pub fn read(path: &Path) -> Result<Self, KeyringError> {
        Self::from_ini(&Ini::read(path)?, Some(path))
    }

    /// The key of an entity, if it is one to work with.
    pub fn key(&self, name: &EntityName) -> Result<&CryptoKey, KeyringError> {
        match self.get(name).map(|entry| &entry.key) {
            Some(EntryKey::Key(key)) if !key.is_empty() => Ok(key),
            Some(EntryKey::Unsupported { key_type, .. }) => {
                Err(KeyringError::UnsupportedKey { name: name.clone(), key_type: *key_type })
            }
            _ => Err(KeyringError::NoKey(name.clone())),
        }
    }

    /// All that is said of an entity.
    pub fn get(&self, name: &EntityName) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The entities.
    pub fn names(&self) -> impl Iterator<Item = &EntityName> {
        self.entries.keys()
    }

    /// Sets the key of an entity, whose caps stay.
    pub fn set_key(&mut self, name: &EntityName, key: CryptoKey) {
        self.entry(name).key = EntryKey::Key(key);
    }

    /// As [`set_key`](Self::set_key) with the text of a key, which may be of an unknown type.
    pub(crate) fn set_key_text(
        &mut self,
        name: &EntityName,
        text: &str,
    ) -> Result<(), CryptoError> {
        self.entry(name).key = EntryKey::parse(text)?;
        Ok(())
    }

    /// Sets what an entity may do at a service, such as `mon`.
    pub fn set_caps(&mut self, name: &EntityName, service: &str, caps: &str) {
        self.entry(name).caps.insert(service.to_owned(), caps.to_owned());
    }

    /// The text of the keyring, as `ceph-authtool` writes it; but `#`, `;` and backslashes in
    /// caps are escaped, and blanks in a service are underscores, for with them as they are Ceph
    /// cannot read its own file.
    pub fn to_text(&self) -> Zeroizing<String> {
        // Written twice, first for its length: growing would leave copies of the keys behind.
        let mut len = ByteCount(0);
        let mut text = Zeroizing::new(String::new());
        if self.write(&mut len).is_ok() {
            text.reserve(len.0);
            // Writing to a string cannot fail.
            let _ = self.write(&mut *text);
        }
        text
    }

    fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        for (name, entry) in &self.entries {
            writeln!(out, "[{}]", Escaped(&name.to_string(), "\\#;]"))?;
            match &entry.key {
                EntryKey::None => {}
                EntryKey::Key(key) => writeln!(out, "\tkey = {}", key.to_base64().as_str())?,
                EntryKey::Unsupported { text, .. } => writeln!(out, "\tkey = {}", text.as_str())?,
            }
            for (service, caps) in &entry.caps {
                let service = service.replace(' ', "_");
                writeln!(out, "\tcaps {service} = \"{}\"", Escaped(caps, "\\#;\""))?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &EntityName) -> &mut Entry {
        self.entries.entry(name.clone()).or_default()
    }

    pub(crate) fn from_ini(ini: &Ini, path: Option<&Path>) -> Result<Self, KeyringError> {
        let at = |line| Place { path: path.map(Path::to_owned), line };
        let mut keyring = Self::default();
        for (section, settings) in ini.sections().filter(|(name, _)| *name != "global") {
            let name: EntityName =
                section.parse().map_err(|_| KeyringError::BadName { at: at(settings.line) })?;
            for (setting, value) in &settings.settings {
                let setting = setting.replace('_', " ");
                match setting.strip_prefix("caps ").filter(|service| !service.is_empty()) {
                    Some(service) => keyring.set_caps(&name, service, &value.text),
                    None if setting == "key" => {
                        keyring.set_key_text(&name, &value.text).map_err(|error| {
                            KeyringError::BadKey { at: at(value.line), name: name.clone(), error }
                        })?;
                    }
                    None if setting == "auid" => {}
                    None => {
                        return Err(KeyringError::BadSetting { at: at(value.line), name });
                    }
                }
            }
        }
        Ok(keyring)
    }
}

impl Entry {
    /// What the entity may do at a service, such as `mon`.
    pub fn caps(&self, service: &str) -> Option<&str> {
        self.caps.get(service).map(String::as_str)
    }
}

impl fmt::Debug for Entry {
    /// With the key's type and no more of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = match &self.key {
            EntryKey::None => KeyType::None.to_string(),
            EntryKey::Key(key) => key.key_type().to_string(),
            EntryKey::Unsupported { key_type, .. } => format!("type {key_type}"),
        };
        f.debug_struct("Entry").field("key", &key).field("caps", &self.caps).finish()
    }
}

impl EntryKey {
    fn parse(text: &str) -> Result<Self, CryptoError> {
        let key = text.parse::<CryptoKey>();
        let unknown = key_type(text).filter(|&number| KeyType::from_number(number).is_none());
        match (key, unknown) {
            (Err(CryptoError::Decode(_)), Some(key_type)) => {
                Ok(Self::Unsupported { key_type, text: Zeroizing::new(text.to_owned()) })
            }
            (key, _) => key.map(Self::Key),
        }
    }
}

/// The first field of an encoded key.
fn key_type(text: &str) -> Option<u16> {
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
    bytes.first_chunk().map(|&number| u16::from_le_bytes(number))
}

struct ByteCount(usize);

impl fmt::Write for ByteCount {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0 += s.len();
        Ok(())
    }
}

/// A text with backslashes in front of these characters.
struct Escaped<'a>(&'a str, &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(|c| self.1.contains(c)) {
            let plain = part.trim_end_matches(|c| self.1.contains(c));
            f.write_str(plain)?;
            if plain.len() < part.len() {
                write!(f, "\\{}", &part[plain.len()..])?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
