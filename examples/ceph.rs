//! `ceph`: a command of the cluster, as the tool of that name sends it.
//!
//! ```text
//! ceph [-c CONF] [-n NAME | --id ID] [-m MON_HOST] [-k KEYRING] [--msgr v1|v2|auto]
//!      [--ms-mode crc|secure] [--connect-timeout S] [-f FORMAT] [-i FILE] [-o FILE] WORDS...
//! ```
//!
//! Like the real one it asks whoever is to carry the command out what commands there are, and makes
//! the words into one of those: only so it is known which word is a number, and whether a command of
//! the monitors is the manager's in truth. Some questions are asked so often that it knows them
//! already ([`KNOWN`]); they take one round trip. JSON is sent as it is; the monitors hand the
//! manager's commands on to it.
//!
//! Exit codes are those of the real one: the errno of a command that failed, 13 if the login is
//! refused, 2 for wrong options, 1 for all else that keeps us from asking.

#[path = "ceph/args.rs"]
mod args;
#[path = "ceph/descriptions.rs"]
mod descriptions;
#[path = "ceph/params.rs"]
mod params;

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use ceph_msgr::auth::keyring::KeyringError;
use ceph_msgr::{Cluster, Command, CommandOutput, Error, ErrorKind};
use nix::errno::Errno;

use args::{Format, Options};
use descriptions::Descriptions;

/// Commands of the monitors that only read, and have no argument that is required.
const KNOWN: [&str; 14] = [
    "df",
    "fsid",
    "health",
    "mgr dump",
    "mgr stat",
    "mon dump",
    "mon stat",
    "osd dump",
    "osd ls",
    "osd stat",
    "osd tree",
    "quorum_status",
    "status",
    "versions",
];

/// Who carries a command out.
#[derive(Clone, Debug, PartialEq)]
enum Target {
    Mons,
    /// The active manager, for what is the cluster's.
    Mgr,
    /// The active manager, about itself; it may have been named.
    TellMgr(Option<String>),
    Osd(i32),
    AllOsds,
}

/// Why there is nothing to print, and the code that says so.
struct Failure {
    code: i32,
    error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: 1, error: error.into() }
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error")).init();
    let code = run(&Options::from_process()).unwrap_or_else(|failure| {
        eprintln!("{:#}", failure.error);
        failure.code
    });
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Sends the command and prints the answers; gives back the exit code.
fn run(options: &Options) -> Result<i32, Failure> {
    let (target, words) = find_target(&options.words)?;
    let input = options.in_file.as_deref().map(read_input).transpose()?.unwrap_or_default();
    let cluster = connect(options)?;
    let mut file = options.out_file.as_deref().map(create_output).transpose()?;

    let targets = match target {
        Target::AllOsds => all_osds(&cluster)?,
        one => vec![one],
    };
    let several = targets.len() > 1 && file.is_none();
    let mut code = 0;
    for target in targets {
        let answer = carry_out(&cluster, &target, words, options.format, &input);
        let (errno, CommandOutput { outs, outbl }) = match answer {
            Ok(output) => (0, output),
            Err(refusal) => (refusal.errno, refusal.output),
        };
        let prefix = if several { format!("{target}: ") } else { String::new() };
        match &mut file {
            Some(file) => file.write_all(&outbl)?,
            None => print(&prefix, &outbl, options.format)?,
        }
        if errno != 0 {
            code = errno;
            eprintln!("Error {}: {outs}", errno_name(errno));
        } else if !outs.is_empty() {
            eprintln!("{prefix}{outs}");
        }
    }
    Ok(code)
}

/// A command was not carried out, or failed.
struct Refusal {
    errno: i32,
    output: CommandOutput,
}

impl Refusal {
    fn new(errno: Errno, outs: String) -> Self {
        Self { errno: errno as i32, output: CommandOutput { outs, ..CommandOutput::default() } }
    }
}

impl From<Error> for Refusal {
    fn from(e: Error) -> Self {
        if let (Some(errno), Some(output)) = (e.errno(), e.output()) {
            return Self { errno, output: output.clone() };
        }
        let errno = match (e.errno(), e.kind()) {
            (Some(errno), _) => Errno::from_raw(errno),
            (None, ErrorKind::Timeout) => Errno::ETIMEDOUT,
            (None, ErrorKind::Auth) => Errno::EACCES,
            (None, ErrorKind::InvalidInput) => Errno::EINVAL,
            (None, _) => Errno::EIO,
        };
        Self::new(errno, e.to_string())
    }
}

fn carry_out(
    cluster: &Cluster,
    target: &Target,
    words: &[String],
    format: Option<Format>,
    input: &[u8],
) -> Result<CommandOutput, Refusal> {
    let mut target = target.clone();
    let mut command = match words {
        [json] if json.starts_with('{') => Command::from_json(json)?,
        _ if target == Target::Mons && KNOWN.contains(&words.join(" ").as_str()) => {
            Command::new(&words.join(" "))
        }
        _ => {
            let matched = describe(cluster, &target)?.match_words(words).map_err(|usage| {
                eprintln!("{usage}");
                Refusal::new(Errno::EINVAL, "invalid command".to_owned())
            })?;
            if matched.for_mgr && target == Target::Mons {
                target = Target::Mgr;
            }
            matched.args.into_iter().fold(Command::new(""), |c, (name, value)| c.arg(&name, value))
        }
    };
    if let Some(format) = format {
        command = command.arg("format", format.name());
    }
    Ok(target.send(cluster, &command.input(input.to_vec()))?)
}

/// What the target can do.
fn describe(cluster: &Cluster, target: &Target) -> Result<Descriptions, Refusal> {
    let output = target.send(cluster, &Command::new("get_command_descriptions"))?;
    Descriptions::parse(&output.outbl).map_err(|e| {
        Refusal::new(Errno::EINVAL, format!("the command descriptions of {target}: {e}"))
    })
}

impl Target {
    fn send(&self, cluster: &Cluster, command: &Command) -> ceph_msgr::Result<CommandOutput> {
        match self {
            Self::Mons => cluster.mon_command(command),
            Self::Mgr => cluster.mgr_command(command),
            Self::TellMgr(None) => cluster.mgr_tell(command),
            Self::TellMgr(Some(name)) => {
                let active = &cluster.mgrmap()?.active_name;
                if active == name {
                    return cluster.mgr_tell(command);
                }
                let text = format!("{self} is not the active manager, which is mgr.{active}");
                Err(Error::new(ErrorKind::NotFound, text).with_errno(Errno::ENXIO as i32))
            }
            Self::Osd(id) => cluster.osd_command(*id, command),
            Self::AllOsds => unreachable!("these are sent to one by one"),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mons => f.write_str("mon"),
            Self::Mgr | Self::TellMgr(None) => f.write_str("mgr"),
            Self::TellMgr(Some(name)) => write!(f, "mgr.{name}"),
            Self::Osd(id) => write!(f, "osd.{id}"),
            Self::AllOsds => f.write_str("osd.*"),
        }
    }
}

/// Takes `tell TARGET` off the words.
fn find_target(words: &[String]) -> Result<(Target, &[String]), Failure> {
    let (name, rest) = match words {
        [] => {
            let error = anyhow!("no command given, such as: ceph status");
            return Err(Failure { code: Errno::EINVAL as i32, error });
        }
        [tell, name, rest @ ..] if tell == "tell" => (name, rest),
        [pg, id, ..] if pg == "pg" && params::pgid(id).is_ok() => {
            return Err(anyhow!("commands of a placement group ({id}) are not supported").into());
        }
        _ => return Ok((Target::Mons, words)),
    };
    if rest.is_empty() {
        let error = anyhow!("\"tell {name}\" needs a command behind it");
        return Err(Failure { code: Errno::EINVAL as i32, error });
    }
    params::daemon_name(name).map_err(|why| anyhow!("error handling command target: {why}"))?;
    let target = match name.split_once('.') {
        None if name == "mgr" => Target::TellMgr(None),
        Some(("mgr", name)) => Target::TellMgr(Some(name.to_owned())),
        Some(("osd", "*")) => Target::AllOsds,
        Some(("osd", id)) => Target::Osd(id.parse().context("error handling command target")?),
        _ => return Err(anyhow!("tell reaches osd.N, osd.*, mgr and mgr.NAME, not {name}").into()),
    };
    Ok((target, rest))
}

fn connect(options: &Options) -> Result<Cluster, Failure> {
    let config = options.config().context("error initializing cluster client")?;
    let mut builder = Cluster::builder().config(config);
    if let Some(timeout) = options.connect_timeout {
        builder = builder.connect_timeout(timeout);
    }
    if let Some(msgr) = options.msgr {
        builder = builder.msgr(msgr);
    }
    builder.connect().map_err(|e| {
        let no_key = matches!(e.fault(), Some(KeyringError::NoKey(_)));
        let code = if e.kind() == ErrorKind::Auth || no_key { Errno::EACCES as i32 } else { 1 };
        Failure { code, error: anyhow!(e).context("error connecting to the cluster") }
    })
}

fn all_osds(cluster: &Cluster) -> anyhow::Result<Vec<Target>> {
    let output = cluster.mon_command(&Command::new("osd ls"))?;
    let ids = std::str::from_utf8(&output.outbl)?.lines();
    ids.map(|id| Ok(Target::Osd(id.parse()?))).collect()
}

fn read_input(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut input = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().read_to_end(&mut input).map(|_| input)
    } else {
        fs::read(path)
    };
    read.with_context(|| format!("Can't open input file {}", path.display()))
}

fn create_output(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    let file = File::create(path);
    Ok(Box::new(file.with_context(|| format!("Can't open output file {}", path.display()))?))
}

/// Prints an output as the real one does, whose JSON has an empty line in front: tools skip the
/// first line, which once said something else.
fn print(prefix: &str, outbl: &[u8], format: Option<Format>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut write = || {
        if format.is_some_and(Format::is_json) {
            writeln!(out)?;
        }
        if prefix.is_empty() {
            out.write_all(outbl)?;
        } else if !outbl.is_empty() {
            write!(out, "{prefix}")?;
            out.write_all(outbl.trim_ascii_end())?;
            writeln!(out)?;
        }
        out.flush()
    };
    match write() {
        // Whoever reads has enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn errno_name(errno: i32) -> String {
    match Errno::from_raw(errno) {
        Errno::UnknownErrno => "Unknown".to_owned(),
        errno => format!("{errno:?}"),
    }
}
