//! What our traffic looks like to somebody else: captured on loopback beside that of the real
//! `ceph`, and read by tshark's dissector of messenger v1.
//!
//! That dissector is older than the daemons: it knows neither every type of message nor maps as new
//! as theirs. So the real client's traffic is the measure: no kind of complaint about ours may be
//! new. Nor does it know CHALLENGE_AUTHORIZER, after which it takes one thing for another; so with
//! cephx only the monitor's connection is read, which has no authorizer. Without cephx it can follow
//! everything, and there must be no error in anything that we send.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use ceph_msgr::{Cluster, Command};

use common::capture::{Capture, filter, is_daemon_port, own_ports, tshark};
use common::skip;
use common::vstart::Vstart;

/// Banner, the server's address, and ours as it sees it.
const SERVER_HELLO: usize = 9 + 136 + 136;
/// Banner and our address.
const CLIENT_HELLO: usize = 9 + 136;
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_phases_are_apart_and_nothing_is_malformed() {
    // The dissector follows a connection from its first bytes, and not where the two hellos cross:
    // then all of it is "Unknown". Which comes first is up to the scheduler, so that is no verdict.
    let followed = |r: &Reading| r.messages.contains(&(true, "AUTH".to_owned()));
    let mut captures = 0;
    let (with_cephx, without, monitor, ours, plain) = loop {
        let Some(with_cephx) = Traffic::capture(Vstart::builder()) else { return };
        let Some(without) = Traffic::capture(Vstart::builder().auth_none()) else { return };
        let monitor = format!("ceph && tcp.port == {}", with_cephx.mon_port);
        let (ours, plain) = (with_cephx.ours(&monitor), without.ours("ceph"));
        captures += 1;
        if captures == 5 || (followed(&ours) && followed(&plain)) {
            break (with_cephx, without, monitor, ours, plain);
        }
    };
    let (theirs, theirs_plain) = (with_cephx.theirs(&monitor), without.theirs("ceph"));
    let theirs = [theirs.complaints, theirs_plain.complaints].concat();
    let news = |r: &Reading| r.complaints.iter().filter(|c| !theirs.contains(c)).cloned().collect();
    let news: [Vec<Complaint>; 2] = [news(&ours), news(&plain)];
    assert_eq!(news, [vec![], vec![]], "not about the real client");

    let malformed: Vec<_> = ours.sent_with("Malformed").collect();
    assert!(malformed.is_empty(), "{malformed:#?}");
    let errors: Vec<_> = plain.sent_with("(Error/").collect();
    assert!(errors.is_empty(), "{errors:#?}");

    ours.has_sent(&["AUTH", "MON_SUBSCRIBE", "MON_COMMAND"]);
    plain.has_sent(&["AUTH", "MON_SUBSCRIBE", "MON_COMMAND", "COMMAND"]);
    // At a map it gives the rest of the packet up, so what may share one with a map may be missing.
    ours.has_received(&["AUTH_REPLY", "MON_MAP"]);
    plain.has_received(&["AUTH_REPLY", "MON_MAP", "COMMAND_REPLY"]);
    with_cephx.check_phases();
    without.check_phases();
}

/// The same commands, from the real client and from us.
struct Traffic {
    dir: tempfile::TempDir,
    /// The ends of our connections.
    our_ports: BTreeSet<u16>,
    mon_port: u16,
}

impl Traffic {
    fn capture(builder: common::vstart::Builder) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        // A look at the tools first: a cluster takes longer to start.
        if let Err(why) = Capture::start("udp", &dir.path().join("try")).map(Capture::stop) {
            skip(&why);
            return None;
        }
        let cluster = builder.mgr().osds(1).v1_only().start()?;
        let filter = filter(&cluster);

        let capture = Capture::start(&filter, &dir.path().join("theirs")).expect("it did before");
        // The map of the OSDs is asked for in different ways: a command here, so there too.
        let getmap = &["osd", "getmap", "-o", "/dev/null"][..];
        for cmd in [&["status"][..], &["pg", "stat"], &["tell", "osd.0", "version"], getmap] {
            let output = cluster.ceph(cmd);
            assert!(output.status.success(), "{cmd:?}: {output:?}");
        }
        capture.stop();

        let capture = Capture::start(&filter, &dir.path().join("ours")).expect("it did before");
        let conf = cluster.conf();
        let ours = Cluster::builder().conf(&conf).timeout(PATIENCE).connect().expect("a cluster");
        ours.mon_command(&Command::new("status")).expect("status");
        ours.mgr_command(&Command::new("pg stat")).expect("pg stat");
        ours.osd_command(0, &Command::new("version")).expect("tell osd.0 version");
        let our_ports = own_ports();
        ours.close().expect("it ends");
        capture.stop();
        assert_eq!(our_ports.len(), 3, "a mon, a mgr and an OSD: {our_ports:?}");
        Some(Self { dir, our_ports, mon_port: mon_port(&cluster) })
    }

    fn ours(&self, filter: &str) -> Reading {
        Reading::of(&self.dir.path().join("ours"), filter, |port| self.our_ports.contains(&port))
    }

    /// Whatever is dissected in the other capture: connections that were there before are not.
    fn theirs(&self, filter: &str) -> Reading {
        Reading::of(&self.dir.path().join("theirs"), filter, |port| !is_daemon_port(port))
    }

    /// Banner and address by themselves; the connect message only after all of the server's hello.
    fn check_phases(&self) {
        let fields = ["tcp.srcport", "tcp.dstport", "tcp.len", "tcp.ack", "tcp.payload"];
        let mut args = vec!["-Y", "tcp.len > 0", "-T", "fields"];
        fields.iter().for_each(|field| args.extend(["-e", field]));
        let segments = tshark(&self.dir.path().join("ours"), &args);
        // Of each connection, what the server has sent so far and our segments.
        let mut streams: BTreeMap<u16, (usize, Vec<(usize, usize)>)> = BTreeMap::new();
        for line in segments.lines() {
            let fields: Vec<_> = line.split('\t').collect();
            let [src, dst, len, ack, payload] = fields[..] else { panic!("{line}") };
            let [src, dst] = [src, dst].map(|port| port.parse().expect("a port"));
            let [len, ack] = [len, ack].map(|n| n.parse::<usize>().expect("a number"));
            if self.our_ports.contains(&dst) {
                streams.entry(dst).or_default().0 += len;
            } else if self.our_ports.contains(&src) {
                let (server_sent, segments) = streams.entry(src).or_default();
                match segments.len() {
                    0 => assert!(payload.starts_with(&hex(b"ceph v027")), "{payload}"),
                    1 => {
                        // Relative numbers: the SYN counts as one.
                        assert!(*server_sent >= SERVER_HELLO, "after {server_sent} bytes");
                        assert!(ack > SERVER_HELLO, "it had only {ack}");
                        assert!(!payload.contains(&hex(b"ceph v0")), "{payload}");
                    }
                    _ => {}
                }
                segments.push((len, ack));
            }
        }
        assert_eq!(streams.len(), 3);
        for (port, (_, segments)) in streams {
            assert_eq!(segments[0].0, CLIENT_HELLO, "port {port}: {segments:?}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn mon_port(cluster: &Vstart) -> u16 {
    let dump = cluster.ceph_json(&["mon", "dump"]);
    let addr = dump["mons"][0]["public_addrs"]["addrvec"][0]["addr"].as_str();
    let port = addr.and_then(|addr| addr.rsplit(':').next()?.parse().ok());
    port.expect("an address of messenger v1")
}

/// What the dissector says about one side's connections.
#[derive(Debug, Default)]
struct Reading {
    /// `(sent, type)` of every message.
    messages: BTreeSet<(bool, String)>,
    complaints: Vec<Complaint>,
}

/// A kind of complaint: numbers in it are left out.
#[derive(Clone, Debug, PartialEq)]
struct Complaint {
    /// By the client.
    sent: bool,
    /// What it is about, such as "Ceph Mon Subscribe".
    about: String,
    text: String,
}

impl Reading {
    /// Reads PDML, which has an element on a line: a `proto` for each message of a packet, and
    /// within it an expert's fields.
    fn of(file: &Path, filter: &str, is_client: impl Fn(u16) -> bool) -> Self {
        let pdml = tshark(file, &["-Y", filter, "-T", "pdml"]);
        let mut reading = Self::default();
        let (mut ports, mut about) = ([0; 2], String::new());
        for line in pdml.lines().map(str::trim) {
            let Some(name) = attribute(line, "name") else { continue };
            let show = attribute(line, "show").unwrap_or_default();
            let shown = attribute(line, "showname").unwrap_or_default();
            match name {
                "tcp.srcport" => ports[0] = show.parse().expect("a port"),
                "tcp.dstport" => ports[1] = show.parse().expect("a port"),
                _ => {}
            }
            let Some(client) = ports.iter().position(|&port| is_client(port)) else { continue };
            let sent = client == 0;
            if line.starts_with("<proto") && name == "ceph" {
                about = kind(shown.split(',').next().unwrap_or_default());
            } else if name == "_ws.expert" && !about.is_empty() {
                let text = kind(shown);
                reading.complaints.push(Complaint { sent, about: about.clone(), text });
            } else if name == "ceph.type" {
                // "Type: C_CEPH_MSG_AUTH (0x0011)"
                let message = shown.split_whitespace().nth(1).unwrap_or_default();
                let message = message.split_once("MSG_").map_or(message, |(_, name)| name);
                reading.messages.insert((sent, message.to_owned()));
            } else if line.starts_with("<proto") && name == "tcp" {
                about.clear();
            }
        }
        reading
    }

    /// What is said with these words about what the client sent.
    fn sent_with(&self, words: &str) -> impl Iterator<Item = &Complaint> {
        self.complaints.iter().filter(move |c| c.sent && c.text.contains(words))
    }

    fn has_sent(&self, names: &[&str]) {
        self.has(true, names);
    }

    fn has_received(&self, names: &[&str]) {
        self.has(false, names);
    }

    fn has(&self, sent: bool, names: &[&str]) {
        for name in names {
            let found = self.messages.contains(&(sent, name.to_string()));
            assert!(found, "no {name}, sent: {sent}: {:#?}", self.messages);
        }
    }
}

/// The value of an attribute of an XML element.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

/// Text without its numbers: "9 unused bytes" and "34 unused bytes" are the same.
fn kind(text: &str) -> String {
    text.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect()
}
