//! Reads generated files with this library and with Ceph's own tools, and compares. Where the
//! tools are not installed a line says so and nothing is compared.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::config::{Config, Env};
use ceph_msgr::ini::Ini;

/// Runs a tool without the environment that would change what it does; `None` if there is none.
fn tool(name: &str, args: &[&str], ceph_args: &str) -> Option<Output> {
    let mut command = Command::new(name);
    command.args(args).env_remove("CEPH_CONF").env_remove("CEPH_KEYRING");
    command.env("CEPH_ARGS", ceph_args).env("HOME", "/home/of/test");
    match command.output() {
        Ok(output) => Some(output),
        Err(e) => {
            println!("SKIPPED {name}: {e}");
            None
        }
    }
}

fn stdout(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// What the library says for `ceph-conf -c FILE ARGS --lookup KEY`; `None` too if it refuses the
/// file, as ceph-conf then finds nothing either.
fn lookup(path: &str, args: &str, key: &str) -> Option<String> {
    let env = Env {
        args: Some(args.to_owned()),
        home: Some("/home/of/test".to_owned()),
        ..Env::from_process()
    };
    let env = Env { conf: None, keyring: None, ..env };
    Config::builder(env).conf(path).load().ok()?.get(key)
}

/// Files made of all that the grammar knows, by a generator that gives the same ones every time.
struct Files(u64);

impl Files {
    const PIECES: [&'static str; 38] = [
        "foo",
        "bar",
        " ",
        "  ",
        "\t",
        "=",
        " = ",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "#",
        ";",
        " # c",
        "\\",
        "\\\n",
        "\\#",
        "\\;",
        "\\\"",
        "\"",
        "'",
        "[",
        "]",
        "[global]\n",
        "[client]\n",
        "\n[client.admin]\n",
        "[x]",
        "foo = 1\n",
        "foo=2\n",
        "bar = \"a b\"\n",
        "foo = 'x' # y\n",
        "foo bar = 3\n",
        "$foo",
        "${bar}",
        "  foo = a \\\n b\n",
        "a",
        "foo_bar",
        "a=b",
    ];

    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % below
    }

    fn file(&mut self) -> String {
        // Most begin as a file should, and most lines hold one setting and end: else nearly all
        // files would be refused at once.
        let mut text = String::new();
        if self.next(8) > 0 {
            text.push_str("[global]\n");
        }
        for _ in 0..self.next(6) {
            if self.next(8) > 0 {
                text.push_str(["foo = ", "bar=", " foo bar = ", "foo_bar = "][self.next(4)]);
            }
            for _ in 0..self.next(3) {
                text.push_str(Self::PIECES[self.next(Self::PIECES.len())]);
            }
            if self.next(8) > 0 {
                text.push('\n');
            }
        }
        text
    }
}

#[test]
fn generated_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ceph.conf");
    let path = path.to_str().unwrap();
    let count = std::env::var("CEPH_CONF_FILES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let mut files = Files(1);
    let (mut found, mut refused) = (0, 0);
    for seed in 0..count {
        let text = files.file();
        fs::write(path, &text).unwrap();
        for key in ["foo", "bar", "foo bar"] {
            let args = ["-c", path, "--lookup", key];
            let Some(output) = tool("ceph-conf", &args, "") else { return };
            let expected = stdout(&output);
            found += usize::from(expected.is_some());
            let got = raw(&text, key);
            assert_eq!(got, expected, "file {seed}, {key}: {text:?}");
            let says_refused = String::from_utf8_lossy(&output.stderr).contains("parse error");
            refused += usize::from(says_refused);
            assert_eq!(Ini::parse(&text).is_err(), says_refused, "file {seed}: {text:?}");
        }
    }
    println!("{count} files: {found} values found, {refused} look-ups in refused files");
    assert!(found > 0 && refused > 0);
}

/// The value as it stands in the file: Ceph leaves the references in the pieces alone, for it
/// knows no such options.
fn raw(text: &str, key: &str) -> Option<String> {
    let ini = Ini::parse(text).ok()?;
    let value = ["client.admin", "client", "global"].iter().find_map(|s| ini.get(s, key))?;
    Some(value.text.to_string())
}

#[test]
fn levels_names_and_metavariables() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bob.conf");
    let path = path.to_str().unwrap();
    fs::write(
        path,
        "[global]\nlog file = /l/$cluster/$type/$id/$name/$host\nrun dir = $home$log_file\n\
         keyring = $run_dir\nmon host = $keyring\n[client]\nlog file = /c/${name}x$nope\n\
         [client.x]\nadmin socket = $mon_host\nmon host = 1.2.3.4\n[osd]\nrun dir = $run_dir\n",
    )
    .unwrap();
    for args in [
        "",
        "-n client.x",
        "--id x --cluster c",
        "-n osd.3",
        "-n osd.3 --run-dir /r",
        "--log-file=/a/$id -m 4.4.4.4",
        "-k /k --mon-host 5.5.5.5",
        "--default-log-file /d -n mon.",
    ] {
        for key in ["log_file", "keyring", "mon host", "run_dir"] {
            let tool_args = ["-c", path, "--show-config-value", &key.replace(' ', "_")];
            let Some(output) = tool("ceph-conf", &tool_args, args) else { return };
            assert_eq!(lookup(path, args, key), stdout(&output), "{args:?}, {key}");
        }
    }
}

#[test]
fn keyrings_go_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyring");
    let path = path.to_str().unwrap();
    let name = "client.a".parse().unwrap();
    let caps = r#"profile rbd, allow command "x y""#;
    let make = ["-C", path, "-n", "client.a", "-g", "--cap", "mon", caps];
    let Some(output) = tool("ceph-authtool", &make, "") else { return };
    assert!(output.status.success());
    let mut keyring = Keyring::read(Path::new(path)).unwrap();
    assert_eq!(keyring.get(&name).unwrap().caps("mon"), Some(caps));

    // Ours, with what Ceph cannot read when it has written it.
    let odd = r#"allow "x" #y ; z \q"#;
    keyring.set_caps(&name, "osd", odd);
    let key = keyring.key(&name).unwrap().clone();
    keyring.set_key(&"mon.".parse().unwrap(), key);
    fs::write(path, keyring.to_text().as_bytes()).unwrap();
    let output = tool("ceph-authtool", &[path, "-n", "client.a", "-p"], "").unwrap();
    let key = keyring.key(&name).unwrap().to_base64();
    assert_eq!(stdout(&output).as_deref(), Some(key.as_str()));
    let listed = stdout(&tool("ceph-authtool", &[path, "-l"], "").unwrap()).unwrap();
    assert!(listed.starts_with("[mon.]\n"), "{listed}");
    assert!(listed.contains(r#"caps osd = "allow \"x\" #y ; z \q""#), "{listed}");
}
