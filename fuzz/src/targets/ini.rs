//! The syntax of ceph.conf, alone.

use ceph_msgr::ini::{Ini, normalize_key};

use crate::memory::bounded;

/// The target.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines = text.split(['\n', '\r']).count() as u32;
    let ini = match bounded(256 * text.len() + (64 << 10), || Ini::parse(text)) {
        Ok(ini) => ini,
        Err(e) => {
            assert!(1 <= e.line && e.line <= lines, "{e} of {lines}");
            return;
        }
    };
    let mut bytes = 0;
    for (name, section) in ini.sections() {
        assert!(!name.is_empty() && section.line <= lines);
        bytes += name.len();
        for (key, value) in &section.settings {
            assert_eq!(*key, normalize_key(key));
            assert_eq!(ini.get(name, key), Some(value));
            assert!(1 <= value.line && value.line <= lines);
            bytes += key.len() + value.text.len();
        }
    }
    // Only `global` comes from nowhere.
    assert!(bytes <= text.len() + "global".len(), "more came out than went in");
}
