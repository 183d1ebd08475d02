//! What `get_command_descriptions` answers: signatures as text become JSON
//! (`src/common/cmdparse.cc`).

use serde_json::{Map, Value, json};

/// The literal words in front: what a command is called.
pub(super) fn prefix(sig: &str) -> String {
    let words: Vec<_> = sig.split_whitespace().take_while(|word| is_literal(word)).collect();
    words.join(" ")
}

/// One description. The values of a parameter are texts, numbers and truth values among them: so
/// 16.2.15 writes them, and every `ceph` reads them.
pub(super) fn describe(sig: &str, help: &str, flags: u32) -> Value {
    let module = sig.split_whitespace().next().unwrap_or_default();
    let sig: Vec<_> = sig.split_whitespace().map(word).collect();
    // Who may do what is the handler's affair; a client does not look at these two.
    json!({ "sig": sig, "help": help, "module": module, "perm": "rw", "flags": flags })
}

fn is_literal(word: &str) -> bool {
    !word.contains([',', '='])
}

fn word(word: &str) -> Value {
    if is_literal(word) {
        return Value::from(word);
    }
    let params = word.split(',').map(|param| {
        let (key, value) = param.split_once('=').unwrap_or((param, ""));
        (key.to_owned(), Value::from(value))
    });
    Value::Object(params.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_become_what_a_16_2_15_monitor_sends() {
        for (sig, json) in [
            ("status", json!(["status"])),
            (
                "pg dump name=dumpcontents,type=CephChoices,\
                 strings=all|summary|sum|delta|pools|osds|pgs|pgs_brief,n=N,req=false",
                json!(["pg", "dump", {"n": "N", "name": "dumpcontents", "req": "false",
                       "strings": "all|summary|sum|delta|pools|osds|pgs|pgs_brief",
                       "type": "CephChoices"}]),
            ),
            (
                "osd pool application set name=pool,type=CephPoolname name=app,type=CephString \
                 name=key,type=CephString,goodchars=[A-Za-z0-9-_.] \
                 name=value,type=CephString,goodchars=[A-Za-z0-9-_.=]",
                json!(["osd", "pool", "application", "set",
                       {"name": "pool", "type": "CephPoolname"},
                       {"name": "app", "type": "CephString"},
                       {"goodchars": "[A-Za-z0-9-_.]", "name": "key", "type": "CephString"},
                       {"goodchars": "[A-Za-z0-9-_.=]", "name": "value", "type": "CephString"}]),
            ),
        ] {
            assert_eq!(describe(sig, "", 0)["sig"], json, "{sig}");
        }
        let pg_stat = describe("pg stat", "show placement group status.", 8);
        let real = json!({"sig": ["pg", "stat"], "help": "show placement group status.",
                          "module": "pg", "perm": "rw", "flags": 8});
        assert_eq!(pg_stat, real);
    }

    #[test]
    fn the_prefix_ends_where_parameters_begin() {
        assert_eq!(prefix("osd pool rm name=pool,type=CephPoolname"), "osd pool rm");
        assert_eq!(prefix("name=a,type=CephInt status"), "");
        assert_eq!(prefix(" osd   tree "), "osd tree");
    }
}
