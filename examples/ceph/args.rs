//! The command line: options, which may stand anywhere, and the words of the command.

use std::path::PathBuf;
use std::time::Duration;

use ceph_msgr::config::{Config, ConfigError, Env};
use ceph_msgr::types::{Msgr, MsgrParseError};
use clap::{CommandFactory as _, Parser, ValueEnum};

/// Sends a command to a Ceph cluster and prints the answer, as the `ceph` tool does.
///
/// WORDS are the command and its arguments, `osd pool create foo 8`. An argument can be named:
/// `--size=3`, `--size 3` or `size=3`. A single word that begins with `{` is the JSON that is sent.
/// `tell osd.N`, `tell osd.*`, `tell mgr` and `tell mgr.NAME` in front send it to that daemon.
///
/// Options of ceph.conf can be given in front of the words, as --OPTION=VALUE or --no-OPTION.
#[derive(Debug, Parser)]
#[command(name = "ceph", version, args_override_self = true)]
#[command(override_usage = "ceph [OPTIONS] WORDS...")]
pub(crate) struct Options {
    /// The configuration file, or several between commas: the first that can be opened
    #[arg(short, long)]
    conf: Option<String>,
    /// The name of the cluster
    #[arg(long)]
    cluster: Option<String>,
    /// Who to be, such as client.admin
    #[arg(short, long)]
    name: Option<String>,
    /// Who to be, without the "client."
    #[arg(long, visible_alias = "user")]
    id: Option<String>,
    /// The monitors
    #[arg(short, long)]
    mon_host: Option<String>,
    /// The file with the key
    #[arg(short, long)]
    keyring: Option<String>,
    /// The key itself, in base64
    #[arg(long)]
    key: Option<String>,
    /// A file that holds the key and nothing else
    #[arg(short = 'K', long)]
    keyfile: Option<String>,
    /// Which messenger to speak: v1, v2, or auto for v2 with whoever has it
    #[arg(long, value_name = "VERSION", value_parser = msgr)]
    pub(crate) msgr: Option<Msgr>,
    /// How messenger v2 is to be kept from harm, as the kernel's mount option: crc, secure,
    /// prefer-crc or prefer-secure; otherwise what `ms client mode` and `ms mon client mode` allow
    #[arg(long, value_name = "MODE")]
    ms_mode: Option<String>,
    /// How long to look for a monitor; otherwise `client mount timeout`, or 30 seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) connect_timeout: Option<Duration>,
    /// The form of the output
    #[arg(short, long)]
    pub(crate) format: Option<Format>,
    /// A file for the command to read; - is stdin
    #[arg(short, long, value_name = "FILE")]
    pub(crate) in_file: Option<PathBuf>,
    /// Where to write the output; - is stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out_file: Option<PathBuf>,
    /// The command `status`
    #[arg(short, long)]
    status: bool,
    /// The command, its arguments
    #[arg(last = true, value_name = "WORDS")]
    pub(crate) words: Vec<String>,
    /// Options of ceph.conf.
    #[arg(skip)]
    settings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Json,
    JsonPretty,
    Xml,
    XmlPretty,
    Plain,
    Yaml,
}

impl Format {
    /// As Ceph calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonPretty => "json-pretty",
            Self::Xml => "xml",
            Self::XmlPretty => "xml-pretty",
            Self::Plain => "plain",
            Self::Yaml => "yaml",
        }
    }

    pub(crate) fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::JsonPretty)
    }
}

impl Options {
    /// Reads the command line. Options in `CEPH_ARGS` count as well, below it; its words do not.
    /// One that is wrong, or `--help`, ends the process.
    pub(crate) fn from_process() -> Self {
        let env_args = std::env::var("CEPH_ARGS").unwrap_or_default();
        let env_args = split(env_args.split(' ').filter(|arg| !arg.is_empty()).map(String::from));
        let args = split(std::env::args().skip(1));
        let argv = std::iter::once("ceph".to_owned()).chain(env_args.known).chain(args.known);
        let mut options = Self::parse_from(argv.chain(["--".to_owned()]).chain(args.words));
        options.settings = args.settings;
        if options.status {
            options.words.insert(0, "status".to_owned());
        }
        options
    }

    /// The configuration, which also reads `CEPH_CONF`, `CEPH_ARGS` and `CEPH_KEYRING`.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let args = [
            ("conf", &self.conf),
            ("cluster", &self.cluster),
            // A name counts more than an id, so it is the later one.
            ("id", &self.id),
            ("name", &self.name),
            ("mon-host", &self.mon_host),
            ("keyring", &self.keyring),
            ("key", &self.key),
            ("keyfile", &self.keyfile),
            ("ms-mode", &self.ms_mode),
        ];
        let args = args
            .iter()
            .filter_map(|(option, value)| Some(format!("--{option}={}", value.as_ref()?)));
        Config::builder(Env::from_process()).args(args).args(self.settings.clone()).load()
    }
}

/// A command line, taken apart.
#[derive(Default)]
struct Split {
    /// The options of this program, with their values.
    known: Vec<String>,
    /// Other options in front of the words.
    settings: Vec<String>,
    /// What is left.
    words: Vec<String>,
}

/// Commands have long options too, of which only the cluster knows, so clap gets no more than its
/// own ones (Python calls this `parse_known_args`).
fn split(args: impl IntoIterator<Item = String>) -> Split {
    let mut command = Options::command();
    command.build();
    let takes_value = |option: &str| {
        let arg = command.get_arguments().find(|arg| match option.strip_prefix("--") {
            Some(long) => arg.get_long_and_visible_aliases().is_some_and(|l| l.contains(&long)),
            None => arg
                .get_short()
                .is_some_and(|s| option.strip_prefix('-') == Some(s.encode_utf8(&mut [0; 4]))),
        })?;
        Some(arg.get_action().takes_values())
    };
    let mut split = Split::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--" || (arg == "injectargs" && !split.words.is_empty()) {
            // All behind these is the command's; injectargs itself is as well.
            split.words.extend(Some(arg).filter(|arg| arg != "--"));
            split.words.extend(args.filter(|arg| arg != "--"));
            break;
        }
        // -n client.x, --name client.x, --name=client.x and -nclient.x.
        let (option, value) = match arg.split_once('=') {
            Some((option, _)) if option.starts_with("--") => (option, true),
            _ if arg.starts_with('-') && !arg.starts_with("--") => {
                let end = arg.char_indices().nth(2).map_or(arg.len(), |(at, _)| at);
                (&arg[..end], end < arg.len())
            }
            _ => (arg.as_str(), false),
        };
        match takes_value(option) {
            Some(takes_value) => {
                split.known.push(arg);
                if takes_value && !value {
                    split.known.extend(args.next());
                }
            }
            None if split.words.is_empty()
                && ((value && arg.starts_with("--")) || arg.starts_with("--no-")) =>
            {
                split.settings.push(arg);
            }
            None => split.words.push(arg),
        }
    }
    split
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|e| format!("{e}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

fn msgr(text: &str) -> Result<Msgr, MsgrParseError> {
    text.parse()
}
