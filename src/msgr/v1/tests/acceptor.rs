//! The bytes of an acceptor, and what it reads, byte by byte from the tables of the protocol.

use super::*;
use crate::crypto::{SignatureForm, SignedFields, Usage, calc_signature};

pub(super) const READY: u8 = 1;
pub(super) const RESETSESSION: u8 = 2;
pub(super) const WAIT: u8 = 3;
pub(super) const RETRY_SESSION: u8 = 4;
pub(super) const RETRY_GLOBAL: u8 = 5;
pub(super) const BADPROTOVER: u8 = 10;
pub(super) const BADAUTHORIZER: u8 = 11;
pub(super) const FEATURES: u8 = 12;
pub(super) const SEQ: u8 = 13;
pub(super) const CHALLENGE: u8 = 16;

/// Registers of CRC-32C after each byte, from the polynomial.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 8 * 256 {
        let crc = if i % 8 == 0 { i as u32 / 8 } else { table[i / 8] };
        table[i / 8] = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        i += 1;
    }
    table
};

/// CRC-32C without inversions.
pub(super) fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc, b| (crc >> 8) ^ CRC_TABLE[usize::from(crc as u8 ^ b)])
}

/// An address as the hello has it.
pub(super) fn addr(ip: [u8; 4], port: u16, nonce: u32) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend(nonce.to_le_bytes());
    out.extend([0, 2]);
    out.extend(port.to_be_bytes());
    out.extend(ip);
    out.resize(136, 0);
    out
}

/// What the acceptor of the tests says first; it sees us at 10.1.2.3.
pub(super) fn hello() -> Vec<u8> {
    hello_from(&addr(PEER_IP, PEER_PORT, PEER_NONCE))
}

pub(super) fn hello_from(peer_addr: &[u8]) -> Vec<u8> {
    [b"ceph v027", peer_addr, &addr([10, 1, 2, 3], 51234, 0)].concat()
}

/// What the client of the tests says first, before it has learned its address.
pub(super) fn client_hello() -> Vec<u8> {
    [&b"ceph v027"[..], &addr([0; 4], 0, NONCE)].concat()
}

/// A connect reply.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) tag: u8,
    pub(super) features: Features,
    pub(super) global_seq: u32,
    pub(super) connect_seq: u32,
    pub(super) protocol_version: u32,
    pub(super) flags: u8,
    pub(super) authorizer: Vec<u8>,
    /// Behind SEQ.
    pub(super) in_seq: u64,
}

impl Reply {
    /// A reply to the first connect message.
    pub(super) fn new(tag: u8) -> Self {
        Self {
            tag,
            features: DAEMON,
            global_seq: 77,
            connect_seq: 1,
            protocol_version: 24,
            flags: 0,
            authorizer: Vec::new(),
            in_seq: 0,
        }
    }

    /// The challenge of a service that knows the session key.
    pub(super) fn challenge(key: &CryptoKey, server_challenge: u64) -> Self {
        let payload = [&[1][..], &server_challenge.to_le_bytes()].concat();
        let sealed = key.encrypt(Usage::AUTHORIZE_CHALLENGE, &payload).unwrap();
        Self::new(CHALLENGE).authorizer(&sealed)
    }

    pub(super) fn features(self, features: Features) -> Self {
        Self { features, ..self }
    }

    pub(super) fn global_seq(self, global_seq: u32) -> Self {
        Self { global_seq, ..self }
    }

    pub(super) fn connect_seq(self, connect_seq: u32) -> Self {
        Self { connect_seq, ..self }
    }

    pub(super) fn authorizer(self, authorizer: &[u8]) -> Self {
        Self { authorizer: authorizer.to_vec(), ..self }
    }

    pub(super) fn in_seq(self, in_seq: u64) -> Self {
        Self { in_seq, ..self }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![self.tag];
        out.extend(self.features.0.to_le_bytes());
        for n in [self.global_seq, self.connect_seq, self.protocol_version] {
            out.extend(n.to_le_bytes());
        }
        out.extend((self.authorizer.len() as u32).to_le_bytes());
        out.push(self.flags);
        out.extend(&self.authorizer);
        if self.tag == SEQ {
            out.extend(self.in_seq.to_le_bytes());
        }
        out
    }
}

/// The proof of a service that it has opened the authorizer with this nonce.
pub(super) fn authorizer_reply(key: &CryptoKey, nonce: u64) -> Vec<u8> {
    let payload = [&[1][..], &(nonce + 1).to_le_bytes()].concat();
    let sealed = key.encrypt(Usage::AUTHORIZE_REPLY, &payload).unwrap();
    [&(sealed.len() as u32).to_le_bytes()[..], &sealed].concat()
}

/// A connect message, as an acceptor reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) features: u64,
    pub(super) host_type: u32,
    pub(super) global_seq: u32,
    pub(super) connect_seq: u32,
    pub(super) protocol_version: u32,
    pub(super) authorizer_protocol: u32,
    pub(super) flags: u8,
    pub(super) authorizer: Vec<u8>,
}

impl Request {
    pub(super) fn try_parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let at = |i: usize| u32::from_le_bytes(bytes[i..i + 4].try_into().unwrap());
        let head = bytes.get(..33)?;
        let authorizer = bytes[33..].get(..at(28) as usize)?;
        let request = Self {
            features: u64::from_le_bytes(head[..8].try_into().unwrap()),
            host_type: at(8),
            global_seq: at(12),
            connect_seq: at(16),
            protocol_version: at(20),
            authorizer_protocol: at(24),
            flags: head[32],
            authorizer: authorizer.to_vec(),
        };
        Some((request, &bytes[33 + authorizer.len()..]))
    }

    pub(super) fn parse(bytes: &[u8]) -> (Self, &[u8]) {
        Self::try_parse(bytes).unwrap_or_else(|| panic!("no whole connect message: {bytes:?}"))
    }

    /// Nonce and answered challenge (the server's plus one) in the envelope behind the ticket.
    pub(super) fn open_authorizer(&self, key: &CryptoKey) -> (u64, Option<u64>) {
        let ticket_len = u32::from_le_bytes(self.authorizer[22..26].try_into().unwrap());
        let sealed = &self.authorizer[26 + ticket_len as usize + 4..];
        let plain = key.decrypt(Usage::AUTHORIZE, sealed).unwrap();
        let word = |i: usize| u64::from_le_bytes(plain[i..i + 8].try_into().unwrap());
        (word(1), (plain[9] == 1).then(|| word(10)))
    }
}

/// A message on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Msg {
    pub(super) seq: u64,
    pub(super) tid: u64,
    pub(super) front: Vec<u8>,
    pub(super) middle: Vec<u8>,
    pub(super) data: Vec<u8>,
    pub(super) sig: u64,
    pub(super) flags: u8,
}

pub(super) const COMPLETE: u8 = 1;
pub(super) const NOCRC: u8 = 2;
pub(super) const SIGNED: u8 = 4;

impl Msg {
    /// What the peer sends as its `n`th message: its front begins with `n`.
    pub(super) fn new(seq: u64) -> Self {
        Self { seq, front: vec![seq as u8; 5], flags: COMPLETE, ..Self::default() }
    }

    pub(super) fn header(&self) -> Vec<u8> {
        let lens = [self.front.len(), self.middle.len(), self.data.len()];
        Self::header_of(self.seq, self.tid, lens.map(|n| n as u32))
    }

    pub(super) fn header_of(seq: u64, tid: u64, lens: [u32; 3]) -> Vec<u8> {
        let mut out = seq.to_le_bytes().to_vec();
        out.extend(tid.to_le_bytes());
        // Type 42, default priority, version 1.
        for n in [42u16, 127, 1] {
            out.extend(n.to_le_bytes());
        }
        lens.iter().for_each(|n| out.extend(n.to_le_bytes()));
        // data_off; osd.3; compat version 1; reserved.
        out.extend([0, 0]);
        out.push(4);
        out.extend(3u64.to_le_bytes());
        out.extend([1, 0, 0, 0]);
        let crc = crc(&out);
        out.extend(crc.to_le_bytes());
        assert_eq!(out.len(), 53);
        out
    }

    /// Signs it, as a service with the session key does.
    pub(super) fn signed(mut self, key: &CryptoKey, form: SignatureForm) -> Self {
        let fields = SignedFields {
            header_crc: u32::from_le_bytes(self.header()[49..].try_into().unwrap()),
            front_crc: crc(&self.front),
            front_len: self.front.len() as u32,
            middle_crc: crc(&self.middle),
            middle_len: self.middle.len() as u32,
            data_crc: crc(&self.data),
            data_len: self.data.len() as u32,
            seq: self.seq,
        };
        self.sig = calc_signature(key, form, &fields).unwrap();
        self.flags |= SIGNED;
        self
    }

    /// Tag, header, segments and footer; with `msg_auth` the footer has a place for `sig`.
    pub(super) fn bytes(&self, msg_auth: bool) -> Vec<u8> {
        let mut out = vec![7];
        out.extend(self.header());
        for segment in [&self.front, &self.middle, &self.data] {
            out.extend(segment);
        }
        for segment in [&self.front, &self.middle, &self.data] {
            out.extend(crc(segment).to_le_bytes());
        }
        if msg_auth {
            out.extend(self.sig.to_le_bytes());
        }
        out.push(self.flags);
        out
    }
}

/// What a client sends in an open session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Msg(Msg),
    Ack(u64),
    Keepalive,
    Keepalive2(u32, u32),
    Keepalive2Ack(u32, u32),
}

/// Takes one frame off the front, if it is whole.
pub(super) fn parse_frame(bytes: &[u8], msg_auth: bool) -> Option<(Frame, &[u8])> {
    let u32_at = |i: usize| u32::from_le_bytes(bytes[i..i + 4].try_into().unwrap());
    let u64_at = |i: usize| u64::from_le_bytes(bytes[i..i + 8].try_into().unwrap());
    let word = bytes.len() >= 9;
    match bytes.first()? {
        8 => word.then(|| (Frame::Ack(u64_at(1)), &bytes[9..])),
        9 => Some((Frame::Keepalive, &bytes[1..])),
        14 => word.then(|| (Frame::Keepalive2(u32_at(1), u32_at(5)), &bytes[9..])),
        15 => word.then(|| (Frame::Keepalive2Ack(u32_at(1), u32_at(5)), &bytes[9..])),
        7 => {
            let header = bytes.get(1..54)?;
            assert_eq!(crc(&header[..49]), u32_at(50), "header crc");
            let mut at = 54;
            let mut segment = |len: u32| {
                at += len as usize;
                bytes.get(at - len as usize..at).map(<[u8]>::to_vec)
            };
            let [front, middle, data] = [23, 27, 31].map(|i| segment(u32_at(i)));
            let (front, middle, data) = (front?, middle?, data?);
            let footer = bytes.get(at..at + if msg_auth { 21 } else { 13 })?;
            let flags = *footer.last()?;
            for (i, segment) in [&front, &middle, &data].into_iter().enumerate() {
                let want = if i == 2 && flags & NOCRC != 0 { 0 } else { crc(segment) };
                assert_eq!(footer[4 * i..4 * i + 4], want.to_le_bytes(), "crc of segment {i}");
            }
            let sig = if msg_auth { u64_at(at + 12) } else { 0 };
            let (seq, tid) = (u64_at(1), u64_at(9));
            let frame = Frame::Msg(Msg { seq, tid, front, middle, data, sig, flags });
            Some((frame, &bytes[at + footer.len()..]))
        }
        tag => panic!("tag {tag} from a client"),
    }
}

pub(super) fn parse_frames(mut bytes: &[u8], msg_auth: bool) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, rest) = parse_frame(bytes, msg_auth)
            .unwrap_or_else(|| panic!("{} bytes are no whole frame", bytes.len()));
        frames.push(frame);
        bytes = rest;
    }
    frames
}

/// Sequence numbers of the messages among the frames.
pub(super) fn seqs(frames: &[Frame]) -> Vec<u64> {
    let seqs = frames.iter().filter_map(|f| match f {
        Frame::Msg(m) => Some(m.seq),
        _ => None,
    });
    seqs.collect()
}

/// First byte of each message's front.
pub(super) fn fronts(frames: &[Frame]) -> Vec<u8> {
    let fronts = frames.iter().filter_map(|f| match f {
        Frame::Msg(m) => m.front.first().copied(),
        _ => None,
    });
    fronts.collect()
}

#[test]
fn the_crc_of_the_acceptor_has_the_check_value() {
    assert_eq!(crc(b"123456789"), 0x58e3_fa20);
    assert_eq!(crc(b"abc"), 0x562f_9ccd);
}
