//! What our traffic with messenger v2 in crc mode looks like to somebody else: captured on loopback,
//! with real daemons and with our own accepting side.
//!
//! tshark 4.0, which Debian 12 has, dissects messenger v1 alone, so that its complaints can only be
//! asked for where a newer one has learned v2. Everywhere the TCP segments that it captured are put
//! together, and read from the byte tables of the protocol.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ceph_msgr::auth::ConMode;
use ceph_msgr::msgr::Policy;
use ceph_msgr::types::Msgr;
use ceph_msgr::{Cluster, Command};

use common::capture::{Capture, filter, own_ports, tshark};
use common::client::{patient, soon};
use common::frames::*;
use common::server::{LOCALHOST, addr, call, msg, serve_at, v2};
use common::skip;
use common::vstart::Vstart;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn commands_to_real_daemons() {
    let dir = tempfile::tempdir().expect("a directory");
    if let Err(why) = Capture::start("udp", &dir.path().join("try")).map(Capture::stop) {
        skip(&why);
        return;
    }
    let Some(cluster) = Vstart::builder().mgr().osds(1).start() else { return };
    let file = dir.path().join("ours");
    let capture = Capture::start(&filter(&cluster), &file).expect("it did before");
    let builder = Cluster::builder().conf(cluster.conf()).timeout(PATIENCE);
    let ours = builder.msgr(Msgr::V2).con_modes(&[ConMode::Crc]).connect().expect("a cluster");
    ours.mon_command(&Command::new("status")).expect("status");
    ours.mgr_command(&Command::new("pg stat")).expect("pg stat");
    ours.osd_command(0, &Command::new("version")).expect("tell osd.0 version");
    let ports = own_ports();
    ours.close().expect("it ends");
    capture.stop();
    assert_eq!(ports.len(), 3, "a mon, a mgr and an OSD: {ports:?}");

    let streams = Stream::all(&file, |port| ports.contains(&port));
    assert_eq!(streams.len(), 3);
    for stream in streams.values() {
        stream.check_phases();
        let (sent, received) = (stream.tags_sent(), stream.tags_received());
        assert_eq!(sent[..2], [HELLO, AUTH_REQUEST]);
        assert_eq!(received[..2], [HELLO, AUTH_REPLY_MORE]);
        assert_eq!(sent[2..5], [AUTH_REQUEST_MORE, AUTH_SIGNATURE, CLIENT_IDENT]);
        assert_eq!(received[2..5], [AUTH_DONE, AUTH_SIGNATURE, SERVER_IDENT]);
        for tags in [&sent[5..], &received[5..]] {
            let later = [MESSAGE, KEEPALIVE2_V2, KEEPALIVE2_ACK_V2];
            assert!(tags.contains(&MESSAGE) && tags.iter().all(|t| later.contains(t)), "{tags:?}");
        }
    }
    dissect(&file);
}

#[test]
fn messages_and_keepalives_to_our_own_accepting_side() {
    let dir = tempfile::tempdir().expect("a directory");
    let (server, listener, heards) =
        serve_at(&[v2(LOCALHOST)], Policy::STATEFUL_SERVER, patient(), |_| {});
    let port = addr(&listener).port();
    let file = dir.path().join("ours");
    let capture = match Capture::start(&format!("tcp port {port} or udp"), &file) {
        Ok(capture) => capture,
        Err(why) => return skip(&why),
    };
    let (client, con, heard) = call(&listener, Policy::LOSSLESS_CLIENT);
    heard.connected();
    heards.accepted();
    let accepted = listener.connections().remove(0);
    for front in [&b"there"[..], &[7; 100_000]] {
        // It goes out in front of the message, and so does its answer.
        con.keepalive();
        con.send(msg(front).with_data(vec![8; 5000])).expect("it is open");
        assert_eq!(heards.message().front, front);
        accepted.send(msg(front)).expect("it is open");
        assert_eq!(heard.message().front, front);
    }
    con.acked(soon()).expect("it is");
    accepted.acked(soon()).expect("it is");
    client.shutdown(soon()).expect("it ends");
    server.shutdown(soon()).expect("it ends");
    capture.stop();

    let streams = Stream::all(&file, |from| from != port);
    assert_eq!(streams.len(), 1);
    for stream in streams.values() {
        stream.check_phases();
        let (sent, received) = (stream.tags_sent(), stream.tags_received());
        assert_eq!(sent[..4], [HELLO, AUTH_REQUEST, AUTH_SIGNATURE, CLIENT_IDENT]);
        assert_eq!(received[..4], [HELLO, AUTH_DONE, AUTH_SIGNATURE, SERVER_IDENT]);
        let count = |tags: &[u8], tag| tags.iter().filter(|t| **t == tag).count();
        assert_eq!((count(&sent, MESSAGE), count(&received, MESSAGE)), (2, 2));
        assert_eq!((count(&sent, KEEPALIVE2_V2), count(&received, KEEPALIVE2_ACK_V2)), (2, 2));
        assert!(count(&sent, ACK_V2) > 0, "the last message is acknowledged: {sent:?}");
    }
    dissect(&file);
}

/// What went over a connection.
#[derive(Default)]
struct Stream {
    sent: Vec<u8>,
    received: Vec<u8>,
    /// How much had been received before each of the first segments that were sent, and their lengths.
    segments: Vec<(usize, usize)>,
}

impl Stream {
    /// The connections in a capture, by the ports of their clients.
    fn all(file: &Path, is_client: impl Fn(u16) -> bool) -> BTreeMap<u16, Self> {
        let fields = ["tcp.srcport", "tcp.dstport", "tcp.payload"];
        // What came twice, or out of order, is another matter.
        let filter = "tcp.len > 0 && !tcp.analysis.retransmission";
        let mut args = vec!["-Y", filter, "-T", "fields"];
        fields.iter().for_each(|field| args.extend(["-e", field]));
        let mut streams: BTreeMap<u16, Self> = BTreeMap::new();
        for line in tshark(file, &args).lines() {
            let fields: Vec<_> = line.split('\t').collect();
            let [src, dst, payload] = fields[..] else { panic!("{line}") };
            let [src, dst] = [src, dst].map(|port| port.parse().expect("a port"));
            let payload = bytes(payload);
            if is_client(src) {
                let stream = streams.entry(src).or_default();
                stream.segments.push((stream.received.len(), payload.len()));
                stream.sent.extend(payload);
            } else if is_client(dst) {
                streams.entry(dst).or_default().received.extend(payload);
            }
        }
        streams
    }

    /// The banner by itself, and nothing more before that of the peer.
    fn check_phases(&self) {
        assert!(self.sent.starts_with(BANNER_V2) && self.received.starts_with(BANNER_V2));
        let [(_, banner), (before, _), ..] = self.segments[..] else { panic!("it says no more") };
        assert_eq!(banner, BANNER_V2.len());
        assert!(before >= BANNER_V2.len(), "after {before} bytes of the peer");
    }

    fn tags_sent(&self) -> Vec<u8> {
        let (tags, rest) = tags(&self.sent);
        assert_eq!(rest, 0, "half a frame was sent");
        tags
    }

    /// Of the peer's frames the last may have come to nobody.
    fn tags_received(&self) -> Vec<u8> {
        tags(&self.received).0
    }
}

/// The tags of all frames, whose checksums are right, and how many bytes follow them.
fn tags(bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut rest, mut tags) = (&bytes[BANNER_V2.len()..], Vec::new());
    while let Some(frame) = whole_frame(&mut rest) {
        tags.push(frame);
    }
    (tags, rest.len())
}

fn whole_frame(rest: &mut &[u8]) -> Option<u8> {
    let mut ahead = *rest;
    match read_frame(&mut ahead) {
        Ok(frame) => {
            *rest = ahead;
            Some(frame.tag)
        }
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => None,
        Err(e) => panic!("no frame: {e}"),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    let byte = |d: &[u8]| u8::from_str_radix(std::str::from_utf8(d).expect("ASCII"), 16);
    digits.map(|d| byte(d).expect("hex")).collect()
}

/// Has the dissector read it, if it can.
fn dissect(file: &Path) {
    let protocols = std::process::Command::new("tshark").args(["-G", "protocols"]).output();
    let protocols = String::from_utf8(protocols.expect("tshark").stdout).expect("utf-8");
    let knows_v2 = |line: &str| ["msgr2", "ceph2", "ceph_v2"].iter().any(|p| line.contains(p));
    if !protocols.to_lowercase().lines().any(knows_v2) {
        skip("this tshark has no dissector of messenger v2; the frames were read without one");
        return;
    }
    let complaints = tshark(file, &["-Y", "_ws.malformed || _ws.expert.severity == error"]);
    assert_eq!(complaints, "");
}
