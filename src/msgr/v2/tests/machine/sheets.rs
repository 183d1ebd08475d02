//! Payloads of frames, field by field from the tables of the protocol.

use super::far::*;
use super::*;
use crate::crypto::Usage;

/// An address in the form of MSG_ADDR2: its type, IP address and port, and the nonce.
pub(super) fn addr_of(kind: u32, ip: [u8; 4], port: u16, nonce: u32) -> Vec<u8> {
    let mut out = vec![1, 1, 1, 28, 0, 0, 0];
    out.extend(kind.to_le_bytes());
    out.extend(nonce.to_le_bytes());
    out.extend(16u32.to_le_bytes());
    out.extend([2, 0]);
    out.extend(port.to_be_bytes());
    out.extend(ip);
    out.resize(35, 0);
    out
}

/// No address at all.
pub(super) fn no_addr() -> Vec<u8> {
    let mut out = vec![1, 1, 1, 12, 0, 0, 0];
    out.resize(19, 0);
    out
}

/// A vector of addresses.
pub(super) fn addrs_of(addrs: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![2];
    out.extend((addrs.len() as u32).to_le_bytes());
    addrs.iter().for_each(|addr| out.extend(addr));
    out
}

/// Where the tests dial.
pub(super) fn peer_addr() -> Vec<u8> {
    addr_of(2, PEER_IP, PEER_PORT, PEER_NONCE)
}

/// Who dials in the tests, once it has learned its address.
pub(super) fn client_addr() -> Vec<u8> {
    addr_of(3, [10, 1, 2, 3], 0, NONCE)
}

pub(super) fn hello(entity_type: u8, addr: &[u8]) -> Vec<u8> {
    [&[entity_type], addr].concat()
}

fn blob(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
}

fn list(items: &[u32]) -> Vec<u8> {
    let mut out = (items.len() as u32).to_le_bytes().to_vec();
    items.iter().for_each(|n| out.extend(n.to_le_bytes()));
    out
}

pub(super) fn auth_request(method: u32, modes: &[u32], payload: &[u8]) -> Vec<u8> {
    [&method.to_le_bytes()[..], &list(modes), &blob(payload)].concat()
}

pub(super) fn bad_method(method: u32, result: i32, methods: &[u32], modes: &[u32]) -> Vec<u8> {
    let head = [method.to_le_bytes(), result.to_le_bytes()].concat();
    [head, list(methods), list(modes)].concat()
}

/// AUTH_REPLY_MORE or AUTH_REQUEST_MORE.
pub(super) fn more(payload: &[u8]) -> Vec<u8> {
    blob(payload)
}

pub(super) fn auth_done(global_id: u64, mode: u32, payload: &[u8]) -> Vec<u8> {
    [&global_id.to_le_bytes()[..], &mode.to_le_bytes(), &blob(payload)].concat()
}

/// The challenge of a service that knows the session key.
pub(super) fn challenge(key: &CryptoKey, server_challenge: u64) -> Vec<u8> {
    let plain = [&[1][..], &server_challenge.to_le_bytes()].concat();
    key.encrypt(Usage::AUTHORIZE_CHALLENGE, &plain).unwrap()
}

/// The proof of a service that has opened the authorizer with this nonce, and the secret.
pub(super) fn authorizer_reply(key: &CryptoKey, nonce: u64, secret: &[u8]) -> Vec<u8> {
    let version = if secret.is_empty() { 1 } else { 2 };
    let mut plain = [&[version][..], &(nonce + 1).to_le_bytes()].concat();
    if !secret.is_empty() {
        plain.extend(blob(secret));
    }
    blob(&key.encrypt(Usage::AUTHORIZE_REPLY, &plain).unwrap())
}

/// Nonce and answered challenge of an authorizer, in the envelope behind its ticket.
pub(super) fn open_authorizer(key: &CryptoKey, authorizer: &[u8]) -> (u64, Option<u64>) {
    let len = u32::from_le_bytes(authorizer[22..26].try_into().unwrap()) as usize;
    let plain = key.decrypt(Usage::AUTHORIZE, &authorizer[26 + len + 4..]).unwrap();
    let word = |i: usize| u64::from_le_bytes(plain[i..i + 8].try_into().unwrap());
    (word(1), (plain[9] == 1).then(|| word(10)))
}

/// Takes fields off the front.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn take(&mut self, n: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        taken.to_vec()
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    pub(super) fn list(&mut self) -> Vec<u32> {
        (0..self.u32()).map(|_| self.u32()).collect()
    }

    pub(super) fn blob(&mut self) -> Vec<u8> {
        let n = self.u32();
        self.take(n as usize)
    }

    fn addr(&mut self) -> Vec<u8> {
        let len = u32::from_le_bytes(self.0[3..7].try_into().unwrap());
        self.take(7 + len as usize)
    }

    fn addrs(&mut self) -> Vec<u8> {
        assert_eq!(self.take(1), [2]);
        let addrs: Vec<_> = (0..self.u32()).map(|_| self.addr()).collect();
        addrs_of(&addrs)
    }

    #[track_caller]
    pub(super) fn end(&self) {
        assert!(self.0.is_empty(), "{} bytes behind the last field", self.0.len());
    }
}

/// AUTH_REQUEST: method, modes, payload.
pub(super) fn read_auth_request(payload: &[u8]) -> (u32, Vec<u32>, Vec<u8>) {
    let mut f = Fields(payload);
    let read = (f.u32(), f.list(), f.blob());
    f.end();
    read
}

pub(super) fn read_more(payload: &[u8]) -> Vec<u8> {
    let mut f = Fields(payload);
    let read = f.blob();
    f.end();
    read
}

/// AUTH_DONE: global_id, mode, payload.
pub(super) fn read_auth_done(payload: &[u8]) -> (u64, u32, Vec<u8>) {
    let mut f = Fields(payload);
    let read = (f.u64(), f.u32(), f.blob());
    f.end();
    read
}

/// AUTH_BAD_METHOD: method, result, methods, modes.
pub(super) fn read_bad_method(payload: &[u8]) -> (u32, i32, Vec<u32>, Vec<u32>) {
    let mut f = Fields(payload);
    let read = (f.u32(), f.u32() as i32, f.list(), f.list());
    f.end();
    read
}

pub(super) fn read_u64(payload: &[u8]) -> u64 {
    let mut f = Fields(payload);
    let read = f.u64();
    f.end();
    read
}

macro_rules! sheet {
    ($(#[$doc:meta])* $name:ident { $addrs:ident, $($target:ident,)? ; $($field:ident),* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(super) struct $name {
            pub(super) $addrs: Vec<u8>,
            $(pub(super) $target: Vec<u8>,)?
            $(pub(super) $field: u64,)*
        }

        impl $name {
            pub(super) fn bytes(&self) -> Vec<u8> {
                let mut out = self.$addrs.clone();
                $(out.extend(&self.$target);)?
                $(out.extend(self.$field.to_le_bytes());)*
                out
            }

            pub(super) fn read(payload: &[u8]) -> Self {
                let mut f = Fields(payload);
                let read = Self {
                    $addrs: f.addrs(),
                    $($target: f.addr(),)?
                    $($field: f.u64(),)*
                };
                f.end();
                read
            }
        }
    };
}

sheet! {
    /// CLIENT_IDENT.
    ClientIdent { addrs, target, ; gid, global_seq, supported, required, flags, cookie }
}

sheet! {
    /// SERVER_IDENT.
    ServerIdent { addrs, ; gid, global_seq, supported, required, flags, cookie }
}

sheet! {
    /// SESSION_RECONNECT.
    Reconnect { addrs, ; client_cookie, server_cookie, global_seq, connect_seq, msg_seq }
}

/// MSG_ADDR2.
pub(super) const ADDR2: u64 = 1 << 59;

impl ServerIdent {
    /// What the acceptor of the tests says.
    pub(super) fn lossless() -> Self {
        Self {
            addrs: addrs_of(&[peer_addr(), addr_of(1, PEER_IP, PEER_PORT + 1, PEER_NONCE)]),
            gid: 3,
            global_seq: 77,
            supported: DAEMON.0,
            required: ADDR2,
            flags: 0,
            cookie: COOKIE,
        }
    }

    pub(super) fn lossy() -> Self {
        Self { flags: 1, cookie: 0, ..Self::lossless() }
    }
}

impl ClientIdent {
    /// What the dialler of the tests says.
    pub(super) fn lossless() -> Self {
        Self {
            addrs: addrs_of(&[client_addr()]),
            target: peer_addr(),
            gid: 4242,
            global_seq: 10,
            supported: LINUX.0,
            required: ADDR2,
            flags: 0,
            cookie: CLIENT_COOKIE,
        }
    }

    pub(super) fn lossy() -> Self {
        Self { flags: 1, cookie: 0, ..Self::lossless() }
    }
}

impl Reconnect {
    /// The dialler of [`ClientIdent::lossless`] comes back.
    pub(super) fn again(server_cookie: u64, global_seq: u64, connect_seq: u64) -> Self {
        Self {
            addrs: addrs_of(&[client_addr()]),
            client_cookie: CLIENT_COOKIE,
            server_cookie,
            global_seq,
            connect_seq,
            msg_seq: 0,
        }
    }
}

/// A message: its front begins with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Msg {
    pub(super) seq: u64,
    pub(super) tid: u64,
    pub(super) ack: u64,
    pub(super) front: Vec<u8>,
    pub(super) middle: Vec<u8>,
    pub(super) data: Vec<u8>,
}

impl Msg {
    pub(super) fn new(seq: u64) -> Self {
        let (middle, data) = Default::default();
        Self { seq, tid: 0, ack: 0, front: vec![seq as u8; 5], middle, data }
    }

    pub(super) fn acks(self, ack: u64) -> Self {
        Self { ack, ..self }
    }

    pub(super) fn header(&self) -> Vec<u8> {
        let mut out = [self.seq.to_le_bytes(), self.tid.to_le_bytes()].concat();
        // Type, priority, version.
        [42u16, 127, 1].iter().for_each(|n| out.extend(n.to_le_bytes()));
        // data_pre_padding_len, data_off.
        out.extend([0; 6]);
        out.extend(self.ack.to_le_bytes());
        // Flags (complete), compat_version, reserved.
        out.extend([1, 1, 0, 0, 0]);
        assert_eq!(out.len(), 41);
        out
    }

    pub(super) fn read(frame: &Frame) -> Self {
        let [header, front, middle, data] = frame.segments.clone();
        let mut f = Fields(&header);
        let (seq, tid) = (f.u64(), f.u64());
        assert_eq!(f.take(12), [42, 0, 127, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        let ack = f.u64();
        assert_eq!(f.take(5), [1, 1, 0, 0, 0]);
        f.end();
        Self { seq, tid, ack, front, middle, data }
    }
}

/// What is said in an open session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Msg(Msg),
    Ack(u64),
    Keepalive2(u32, u32),
    Keepalive2Ack(u32, u32),
}

impl Far {
    pub(super) fn msg(&mut self, msg: &Msg) -> Vec<u8> {
        let complete = self.complete();
        self.msg_with(msg, complete)
    }

    /// A message with that late status.
    pub(super) fn msg_with(&mut self, msg: &Msg, late: u8) -> Vec<u8> {
        self.frame_of(MESSAGE, [&msg.header(), &msg.front, &msg.middle, &msg.data], late)
    }

    /// Messages with these numbers.
    pub(super) fn msgs(&mut self, numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
        numbers.into_iter().flat_map(|n| self.msg(&Msg::new(n))).collect()
    }

    pub(super) fn ack(&mut self, seq: u64) -> Vec<u8> {
        self.frame(ACK, &seq.to_le_bytes())
    }

    pub(super) fn stamp(&mut self, tag: u8, sec: u32, nsec: u32) -> Vec<u8> {
        self.frame(tag, &[sec.to_le_bytes(), nsec.to_le_bytes()].concat())
    }

    pub(super) fn heard(&mut self, bytes: &[u8]) -> Vec<Said> {
        let said = self.read(bytes).into_iter().map(|frame| {
            if frame.tag == MESSAGE {
                return Said::Msg(Msg::read(&frame));
            }
            let mut f = Fields(frame.payload());
            let said = match frame.tag {
                ACK => Said::Ack(f.u64()),
                KEEPALIVE2 => Said::Keepalive2(f.u32(), f.u32()),
                KEEPALIVE2_ACK => Said::Keepalive2Ack(f.u32(), f.u32()),
                tag => panic!("tag {tag} in an open session"),
            };
            f.end();
            said
        });
        said.collect()
    }
}

/// Numbers of the messages.
pub(super) fn seqs(said: &[Said]) -> Vec<u64> {
    messages(said).map(|m| m.seq).collect()
}

/// First byte of each message's front.
pub(super) fn fronts(said: &[Said]) -> Vec<u8> {
    messages(said).map(|m| m.front[0]).collect()
}

pub(super) fn messages(said: &[Said]) -> impl Iterator<Item = &Msg> {
    said.iter().filter_map(|s| if let Said::Msg(m) = s { Some(m) } else { None })
}
