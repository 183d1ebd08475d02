use zeroize::Zeroizing;

/// References that one look-up follows; what is left over stays as it is written.
const MAX_REFERENCES: u32 = 256;
/// Bytes that one look-up may expand to; what is more is cut off.
const MAX_EXPANDED: usize = 1 << 20;

/// Replaces `$name` and `${name}` in values (`md_config_t::_expand_meta`, `src/common/config.cc`).
///
/// Names are of small letters and underscores. One that means nothing stays as it is written; so
/// does `$` in front of anything else, and `${` with a wrong letter behind it loses its name, as
/// in Ceph.
pub(super) struct Expander<'a> {
    /// The metavariables, such as `cluster`.
    pub(super) meta: &'a dyn Fn(&str) -> Option<String>,
    /// The raw value of another option.
    pub(super) option: &'a dyn Fn(&str) -> Option<&'a str>,
    stack: Vec<String>,
    references: u32,
    room: usize,
}

impl<'a> Expander<'a> {
    pub(super) fn new(
        meta: &'a dyn Fn(&str) -> Option<String>,
        option: &'a dyn Fn(&str) -> Option<&'a str>,
    ) -> Self {
        Self { meta, option, stack: Vec::new(), references: MAX_REFERENCES, room: MAX_EXPANDED }
    }

    /// The value of the option `key`, which is known not to be followed again.
    pub(super) fn value(&mut self, key: &str, raw: &str) -> Zeroizing<String> {
        self.stack.push(key.to_owned());
        let value = self.text(raw);
        self.stack.pop();
        value
    }

    /// A text that is no option's.
    pub(super) fn text(&mut self, raw: &str) -> Zeroizing<String> {
        let mut rest = raw;
        let mut out = Zeroizing::new(String::new());
        while let Some((before, behind)) = rest.split_once('$') {
            self.push(&mut out, before);
            let (name, behind_name) = variable(behind);
            let written = &rest[before.len()..rest.len() - behind_name.len()];
            rest = behind_name;
            if name.is_empty() {
                self.push(&mut out, "$");
            } else if let Some(value) = (self.meta)(name) {
                self.push(&mut out, &value);
            } else if let Some(value) = (self.option)(name).filter(|_| self.references > 0) {
                if self.stack.iter().any(|key| key == name) {
                    // A loop: the whole value becomes the reference that closed it, as in Ceph.
                    return Zeroizing::new(format!("${name}"));
                }
                self.references -= 1;
                let value = self.value(name, value);
                self.push(&mut out, &value);
            } else {
                self.push(&mut out, written);
            }
        }
        if out.is_empty() {
            return Zeroizing::new(rest.to_owned());
        }
        self.push(&mut out, rest);
        out
    }

    fn push(&mut self, out: &mut String, text: &str) {
        if text.len() <= self.room {
            self.room -= text.len();
            out.push_str(text);
        } else {
            self.room = 0;
        }
    }
}

/// Splits what stands behind a `$` into the name of a variable and the rest.
fn variable(behind: &str) -> (&str, &str) {
    let split = |text: &'_ str| {
        text.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(text.len())
    };
    let Some(braced) = behind.strip_prefix('{') else {
        return behind.split_at(split(behind));
    };
    let (name, rest) = braced.split_at(split(braced));
    match rest.strip_prefix('}') {
        Some(rest) => (name, rest),
        None => ("", rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> String {
        let meta = |name: &str| match name {
            "id" => Some("x".to_owned()),
            "name" => Some("client.x".to_owned()),
            _ => None,
        };
        let option = |name: &str| match name {
            "run_dir" => Some("/r/$name"),
            "mon_host" => Some("1.2.3.4"),
            "bomb" => Some("$bomb_a$bomb_a"),
            "bomb_a" => Some("$bomb_b$bomb_b$bomb_b$bomb_b$bomb_b$bomb_b$bomb_b$bomb_b"),
            "bomb_b" => Some("$bomb_c$bomb_c$bomb_c$bomb_c$bomb_c$bomb_c$bomb_c$bomb_c"),
            "bomb_c" => Some("$mon_host$mon_host$mon_host$mon_host$mon_host$mon_host$mon_host"),
            _ => None,
        };
        Expander::new(&meta, &option).value("foo", text).to_string()
    }

    #[test]
    fn as_ceph_conf_prints_it() {
        // `foo = TEXT` in [global], `ceph-conf -n client.x --lookup foo` of 16.2.15.
        for (text, shown) in [
            ("${id}x", "xx"),
            ("$id.x", "x.x"),
            ("$id_x", "$id_x"),
            ("${id}${name}", "xclient.x"),
            ("$", "$"),
            ("a$", "a$"),
            ("$$id", "$x"),
            ("$5", "$5"),
            ("$ID", "$ID"),
            ("$nope/x", "$nope/x"),
            ("${nope}", "${nope}"),
            ("${}x", "$x"),
            ("${id", "$"),
            ("${id-y}", "$-y}"),
            ("$data_dir/x", "$data_dir/x"),
            ("$run_dir/x", "/r/client.x/x"),
            ("$mon_host", "1.2.3.4"),
        ] {
            assert_eq!(expand(text), shown, "{text}");
        }
    }

    #[test]
    fn a_loop_is_broken() {
        let option = |name: &str| match name {
            "keyring" => Some("/a/$log_file"),
            "log_file" => Some("$keyring"),
            _ => None,
        };
        let mut expander = Expander::new(&|_| None, &option);
        // ceph-conf --show-config-value keyring, then log_file; --lookup keyring.
        assert_eq!(*expander.value("keyring", "/a/$log_file"), "/a/$keyring");
        assert_eq!(*expander.value("log_file", "$keyring"), "$log_file");
        assert_eq!(*expander.text("/a/$log_file"), "/a/$log_file");
    }

    #[test]
    fn references_that_multiply_come_to_an_end() {
        assert!(expand("$bomb").len() < 1 << 20);
    }
}
