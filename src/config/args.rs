use zeroize::Zeroizing;

use super::ConfigError;
use crate::auth::EntityName;
use crate::types::EntityType;

/// What a command line says, read as Ceph's programs do (`ceph_argparse_early_args`,
/// `md_config_t::parse_argv`).
pub(super) struct Args {
    pub(super) conf: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) name: EntityName,
    pub(super) no_config_file: bool,
    pub(super) keyfile: Option<String>,
    /// Options and their values, in the order in which they were given.
    pub(super) set: Vec<(String, Zeroizing<String>)>,
    /// Options given as `--default-OPTION`, which stand below the file.
    pub(super) defaults: Vec<(String, Zeroizing<String>)>,
}

/// Options that take the next argument whatever it is.
const TAKES_VALUE: [&str; 11] = [
    "conf",
    "cluster",
    "name",
    "id",
    "user",
    "mon_host",
    "keyring",
    "key",
    "keyfile",
    "monmap",
    "client_mountpoint",
];

/// Switches of Ceph's programs that are not options and take nothing.
const SWITCHES: [&str; 8] = [
    "foreground",
    "mon_config",
    "no_mon_config",
    "log_early",
    "version",
    "show_args",
    "show_conf",
    "show_config",
];

impl Args {
    /// No arguments: `client.admin`, as every client is that says nothing else.
    pub(super) fn new() -> Self {
        Self {
            conf: None,
            cluster: None,
            name: EntityName::new(EntityType::CLIENT, "admin"),
            no_config_file: false,
            keyfile: None,
            set: Vec::new(),
            defaults: Vec::new(),
        }
    }

    /// Adds arguments behind those already read: later ones hold.
    ///
    /// Ceph knows of each option whether it is a flag. This library does not know all of them,
    /// so outside [`TAKES_VALUE`] an option is one if no value follows: `--x -y` sets `x` to true.
    pub(super) fn parse<'a>(
        &mut self,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ConfigError> {
        let mut args = args.into_iter().peekable();
        while let Some(arg) = args.next() {
            if arg == "--" {
                break;
            }
            let (option, value) = match arg.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (arg, None),
            };
            let Some(key) = option_key(option) else { continue };
            if value.is_none() && self.switch(&key) {
                continue;
            }
            let value = match value {
                Some(value) => value,
                None if TAKES_VALUE.contains(&&*key) || key.starts_with("default_") => {
                    args.next().ok_or_else(|| ConfigError::MissingArgument(option.to_owned()))?
                }
                None => args.next_if(|next| is_value(next)).unwrap_or("true"),
            };
            self.set(key, value)?;
        }
        Ok(())
    }

    fn switch(&mut self, key: &str) -> bool {
        if key == "no_config_file" {
            self.no_config_file = true;
        } else if !SWITCHES.contains(&key) {
            let Some(flag) = key.strip_prefix("no_") else { return false };
            self.set.push((flag.to_owned(), Zeroizing::new("false".to_owned())));
        }
        true
    }

    fn set(&mut self, key: String, value: &str) -> Result<(), ConfigError> {
        match &*key {
            "conf" => self.conf = Some(value.to_owned()),
            "cluster" => self.cluster = Some(value.to_owned()),
            "name" => {
                self.name = value.parse().map_err(|_| ConfigError::BadName(value.to_owned()))?;
            }
            "id" | "user" => self.name.id = value.to_owned(),
            "keyfile" => self.keyfile = Some(value.to_owned()),
            _ => {
                let value = Zeroizing::new(value.to_owned());
                match key.strip_prefix("default_") {
                    Some(key) => self.defaults.push((key.to_owned(), value)),
                    None => self.set.push((key, value)),
                }
            }
        }
        Ok(())
    }
}

/// The option that an argument names, dashes made underscores; `None` for what is not one.
fn option_key(arg: &str) -> Option<String> {
    let short = match arg {
        "-c" => "conf",
        "-n" => "name",
        "-m" => "mon_host",
        "-k" => "keyring",
        "-K" => "keyfile",
        "-M" => "monmap",
        "-r" => "client_mountpoint",
        _ => return arg.strip_prefix("--").map(|long| long.replace('-', "_")),
    };
    Some(short.to_owned())
}

/// Whether the argument behind an option may be its value: not another option, unless it is a
/// negative number.
fn is_value(arg: &str) -> bool {
    match arg.strip_prefix('-') {
        Some(rest) => rest.starts_with(|c: char| c.is_ascii_digit()),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Args {
        let mut parsed = Args::new();
        parsed.parse(args.split(' ').filter(|arg| !arg.is_empty())).unwrap();
        parsed
    }

    fn set(args: &str) -> String {
        let set = parse(args).set;
        set.iter().map(|(k, v)| format!("{k}={}", v.as_str())).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn names() {
        // CEPH_ARGS=... ceph-conf -c FILE --lookup foo, with foo = $name.
        for (args, name) in [
            ("-n client.q", "client.q"),
            ("--name=client.q", "client.q"),
            ("--name client.q", "client.q"),
            ("--id q", "client.q"),
            ("--user q", "client.q"),
            ("--id  q", "client.q"),
            ("-n osd.3 --id 4", "osd.4"),
            ("--id 4 -n osd.3", "osd.3"),
            ("-n client.", "client."),
            ("-n client.a.b", "client.a.b"),
            ("-nclient.q", "client.admin"),
            ("-- --id q", "client.admin"),
            ("x --id q", "client.q"),
            ("", "client.admin"),
        ] {
            assert_eq!(parse(args).name.to_string(), name, "{args}");
        }
        // "error parsing 'q': expected string of the form TYPE.ID".
        for bad in ["q", "foo.x", ""] {
            let e = Args::new().parse(["-n", bad]).unwrap_err();
            assert!(matches!(e, ConfigError::BadName(name) if name == bad));
        }
        let e = Args::new().parse(["--id"]).unwrap_err();
        assert_eq!(e.to_string(), "option --id requires an argument");
    }

    #[test]
    fn options() {
        // ... --show-config-value ms_bind_ipv6, log_file, mon_host.
        for (args, options) in [
            ("--ms-bind-ipv6", "ms_bind_ipv6=true"),
            ("--no-ms-bind-ipv6", "ms_bind_ipv6=false"),
            ("--ms-bind-ipv6=0", "ms_bind_ipv6=0"),
            ("--ms_bind-ipv6 false", "ms_bind_ipv6=false"),
            ("--log-file /a", "log_file=/a"),
            ("--log_file=/a=b-c", "log_file=/a=b-c"),
            ("-m 1.1.1.1 -m 3.3.3.3", "mon_host=1.1.1.1 mon_host=3.3.3.3"),
            ("-m=1.1.1.1", "mon_host=1.1.1.1"),
            ("-m1.1.1.1", ""),
            ("-k /k --keyring /l", "keyring=/k keyring=/l"),
            ("--no-mon-config -f -d x --foreground", ""),
            ("--rank -1 --flag --other 5", "rank=-1 flag=true other=5"),
        ] {
            assert_eq!(set(args), options, "{args}");
        }
        let parsed = parse("--no-config-file -c /c --cluster z --default-log-file /d -K /kf");
        assert!(parsed.no_config_file);
        assert_eq!(parsed.conf.as_deref(), Some("/c"));
        assert_eq!(parsed.cluster.as_deref(), Some("z"));
        assert_eq!(parsed.keyfile.as_deref(), Some("/kf"));
        assert_eq!(parsed.defaults, [("log_file".to_owned(), Zeroizing::new("/d".to_owned()))]);
    }
}
