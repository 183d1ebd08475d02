//! The bytes of messenger v1, written and read from the tables of the protocol and not by the
//! code that is tried: what the peers of both machines send, and what both machines write.

use ceph_msgr::crc32c::ceph_crc32c;
use ceph_msgr::crypto::{CryptoKey, SignatureForm, SignedFields, calc_signature};
use ceph_msgr::types::Features;

/// Banner and own address: all that a client writes before it has heard anything.
pub const CLIENT_HELLO_LEN: usize = 9 + 136;
/// `ceph_msg_connect`, without the authorizer behind it.
pub const CONNECT_LEN: usize = 33;
/// `ceph_msg_header`.
pub const HEADER_LEN: usize = 53;

/// What an acceptor says before it has heard anything: banner, own address, the peer's.
pub const ACCEPTOR_HELLO_LEN: usize = 9 + 2 * 136;

/// `CEPH_MSGR_TAG_*`.
pub mod tag {
    #![allow(missing_docs)]
    pub const READY: u8 = 1;
    pub const RESETSESSION: u8 = 2;
    pub const WAIT: u8 = 3;
    pub const RETRY_SESSION: u8 = 4;
    pub const RETRY_GLOBAL: u8 = 5;
    pub const CLOSE: u8 = 6;
    pub const MSG: u8 = 7;
    pub const ACK: u8 = 8;
    pub const KEEPALIVE: u8 = 9;
    pub const BADPROTOVER: u8 = 10;
    pub const BADAUTHORIZER: u8 = 11;
    pub const FEATURES: u8 = 12;
    pub const SEQ: u8 = 13;
    pub const KEEPALIVE2: u8 = 14;
    pub const KEEPALIVE2_ACK: u8 = 15;
    pub const CHALLENGE_AUTHORIZER: u8 = 16;
}

/// An address as a hello has it.
pub fn addr(ip: [u8; 4], port: u16, nonce: u32) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend(nonce.to_le_bytes());
    out.extend([0, 2]);
    out.extend(port.to_be_bytes());
    out.extend(ip);
    out.resize(136, 0);
    out
}

/// What an acceptor at this address says first.
pub fn hello(ip: [u8; 4], port: u16, nonce: u32) -> Vec<u8> {
    [b"ceph v027", &addr(ip, port, nonce)[..], &addr([10, 1, 2, 3], 51234, 0)].concat()
}

/// What a dialler with this nonce says first, at an address that it does not know.
pub fn client_hello(nonce: u32) -> Vec<u8> {
    [b"ceph v027", &addr([0; 4], 0, nonce)[..]].concat()
}

/// `ceph_msg_connect`, and the authorizer bytes behind it.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    /// The dialler's.
    pub features: u64,
    /// Which kind of entity it is.
    pub host_type: u32,
    /// Of the attempt.
    pub global_seq: u32,
    /// Of the session.
    pub connect_seq: u32,
    /// Between the two kinds of entity.
    pub protocol_version: u32,
    /// `CEPH_AUTH_*`.
    pub authorizer_protocol: u32,
    /// Its bytes.
    pub authorizer: Vec<u8>,
}

impl Connect {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.features.to_le_bytes().to_vec();
        let len = self.authorizer.len() as u32;
        for n in [self.host_type, self.global_seq, self.connect_seq, self.protocol_version] {
            out.extend(n.to_le_bytes());
        }
        out.extend([self.authorizer_protocol.to_le_bytes(), len.to_le_bytes()].concat());
        out.push(0);
        out.extend(&self.authorizer);
        out
    }
}

/// `ceph_msg_connect_reply`, and the authorizer bytes behind it.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// `CEPH_MSGR_TAG_*`.
    pub tag: u8,
    /// The acceptor's.
    pub features: u64,
    /// The acceptor's, or what it has seen.
    pub global_seq: u32,
    /// What it opens, or asks for.
    pub connect_seq: u32,
    /// 1 for lossy.
    pub flags: u8,
    /// A challenge or a proof.
    pub authorizer: Vec<u8>,
}

impl Reply {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![self.tag];
        out.extend(self.features.to_le_bytes());
        for n in [self.global_seq, self.connect_seq, 24, self.authorizer.len() as u32] {
            out.extend(n.to_le_bytes());
        }
        out.push(self.flags);
        out.extend(&self.authorizer);
        out
    }
}

impl Reply {
    /// Takes one whole reply off the front; `None` if it is not all there.
    pub fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let word =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let head = bytes.get(..26)?;
        let authorizer = bytes.get(26..26 + word(21) as usize)?.to_vec();
        let rest = &bytes[26 + authorizer.len()..];
        let features = u64::from_le_bytes(head[1..9].try_into().expect("eight bytes"));
        let (global_seq, connect_seq) = (word(9), word(13));
        let flags = head[25];
        Some((Self { tag: head[0], features, global_seq, connect_seq, flags, authorizer }, rest))
    }
}

/// A message, as a peer sends it.
#[derive(Clone, Debug, Default)]
pub struct Msg {
    /// Its number.
    pub seq: u64,
    /// Front, middle and data.
    pub segments: [Vec<u8>; 3],
    /// `CEPH_MSG_FOOTER_*`.
    pub flags: u8,
}

impl Msg {
    /// The header with these lengths, whatever follows it.
    pub fn header(seq: u64, lens: [u32; 3]) -> Vec<u8> {
        let mut out = seq.to_le_bytes().to_vec();
        out.extend(9u64.to_le_bytes());
        // Type 42, default priority, version 1.
        for n in [42u16, 127, 1] {
            out.extend(n.to_le_bytes());
        }
        lens.iter().for_each(|n| out.extend(n.to_le_bytes()));
        // data_off; osd.3; compat version 1; reserved.
        out.extend([0, 0, 4]);
        out.extend(3u64.to_le_bytes());
        out.extend([1, 0, 0, 0]);
        out.extend(ceph_crc32c(0, &out).to_le_bytes());
        out
    }

    /// Tag, header, segments and footer for a session with these features and this key.
    pub fn bytes(&self, features: Features, key: Option<&CryptoKey>) -> Vec<u8> {
        let lens = [0, 1, 2].map(|i| self.segments[i].len() as u32);
        let crcs = [0, 1, 2].map(|i| ceph_crc32c(0, &self.segments[i]));
        let header = Self::header(self.seq, lens);
        let header_crc = ceph_crc32c(0, &header[..HEADER_LEN - 4]);
        let mut out = vec![tag::MSG];
        out.extend(header);
        self.segments.iter().for_each(|segment| out.extend(segment));
        crcs.iter().for_each(|crc| out.extend(crc.to_le_bytes()));
        if features.has(Features::MSG_AUTH) {
            let fields = SignedFields {
                header_crc,
                front_crc: crcs[0],
                front_len: lens[0],
                middle_crc: crcs[1],
                middle_len: lens[1],
                data_crc: crcs[2],
                data_len: lens[2],
                seq: self.seq,
            };
            let form = SignatureForm::for_features(features);
            let sig = key.map_or(0, |key| calc_signature(key, form, &fields).expect("a whole key"));
            out.extend(sig.to_le_bytes());
        }
        out.push(self.flags);
        out
    }
}

/// One thing that a machine has written in an open session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message: its number, its segments in one, its footer's flags.
    Msg(u64, Vec<u8>, u8),
    /// Everything up to this number has arrived.
    Ack(u64),
    /// A keepalive of any kind.
    Keepalive,
}

/// Takes one whole frame off the front; `None` if it is not all there. What can be no frame is a
/// panic: a machine has written it.
pub fn parse_frame(bytes: &[u8], features: Features) -> Option<(Frame, &[u8])> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let nine = bytes.len() >= 9;
    match *bytes.first()? {
        tag::ACK => nine.then(|| (Frame::Ack(long(1)), &bytes[9..])),
        tag::KEEPALIVE => Some((Frame::Keepalive, &bytes[1..])),
        tag::KEEPALIVE2 | tag::KEEPALIVE2_ACK => nine.then(|| (Frame::Keepalive, &bytes[9..])),
        tag::MSG => {
            let header = bytes.get(1..1 + HEADER_LEN)?;
            assert_eq!(ceph_crc32c(0, &header[..HEADER_LEN - 4]), word(50), "crc of a header");
            let lens = [23, 27, 31].map(|at| word(at) as usize);
            let body_at = 1 + HEADER_LEN;
            let footer_at = body_at + lens.iter().sum::<usize>();
            let footer_len = if features.has(Features::MSG_AUTH) { 21 } else { 13 };
            let footer = bytes.get(footer_at..footer_at + footer_len)?;
            let flags = footer[footer_len - 1];
            if flags & 1 != 0 {
                let mut at = body_at;
                for (i, len) in lens.into_iter().enumerate() {
                    let nocrc = i == 2 && flags & 2 != 0;
                    let crc = if nocrc { 0 } else { ceph_crc32c(0, &bytes[at..at + len]) };
                    assert_eq!(footer[4 * i..4 * i + 4], crc.to_le_bytes(), "crc of segment {i}");
                    at += len;
                }
            }
            let frame = Frame::Msg(long(1), bytes[body_at..footer_at].to_vec(), flags);
            Some((frame, &bytes[footer_at + footer_len..]))
        }
        tag => panic!("tag {tag} in an open session"),
    }
}
