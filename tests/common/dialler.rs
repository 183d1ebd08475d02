//! A client that does what a test says, step by step: the dialling side of messenger v1, written from
//! the byte tables of the protocol like [`super::acceptor`].

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) use super::acceptor::Connect;
use super::acceptor::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// `CEPH_ENTITY_TYPE_*`.
pub(crate) const TYPE_OSD: u32 = 4;
pub(crate) const TYPE_CLIENT: u32 = 8;
/// `CEPH_AUTH_*`.
pub(crate) const AUTH_UNKNOWN: u32 = 0;
pub(crate) const AUTH_NONE: u32 = 1;
/// Between clients and OSDs, and between clients and monitors.
pub(crate) const OSDC_PROTOCOL: u32 = 24;
pub(crate) const MONC_PROTOCOL: u32 = 15;

/// A socket, on which nothing is said yet.
#[track_caller]
pub(crate) fn dial(addr: SocketAddr) -> Wire {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
    stream.set_write_timeout(Some(PATIENCE)).expect("SO_SNDTIMEO");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    Wire::dialled(stream, FEATURES)
}

/// Banner and own address.
pub(crate) fn hello(addr: SocketAddr, nonce: u32) -> Vec<u8> {
    [&BANNER[..], &legacy_addr(addr, nonce)].concat()
}

/// The authorizer of protocol `none`.
pub(crate) fn none_authorizer(entity_type: u32, id: &str, global_id: u64) -> Vec<u8> {
    let mut out = vec![1];
    out.extend(entity_type.to_le_bytes());
    out.extend((id.len() as u32).to_le_bytes());
    out.extend(id.as_bytes());
    out.extend(global_id.to_le_bytes());
    out
}

/// A client's first connect message: `client.admin`, protocol `none`, to an OSD.
pub(crate) fn ask() -> Connect {
    Connect {
        features: FEATURES,
        host_type: TYPE_CLIENT,
        global_seq: 1,
        connect_seq: 0,
        protocol_version: OSDC_PROTOCOL,
        authorizer_protocol: AUTH_NONE,
        flags: 1,
        authorizer: none_authorizer(TYPE_CLIENT, "admin", 4100),
    }
}

/// The same to a monitor, which is shown no authorizer.
pub(crate) fn ask_mon() -> Connect {
    Connect {
        protocol_version: MONC_PROTOCOL,
        authorizer_protocol: AUTH_UNKNOWN,
        authorizer: Vec::new(),
        ..ask()
    }
}

impl Connect {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = self.features.to_le_bytes().to_vec();
        let rest = [
            self.host_type,
            self.global_seq,
            self.connect_seq,
            self.protocol_version,
            self.authorizer_protocol,
            self.authorizer.len() as u32,
        ];
        rest.iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.push(self.flags);
        assert_eq!(out.len(), 33);
        out.extend(&self.authorizer);
        out
    }
}

impl Wire {
    /// Both hellos, as a client that claims that address; what the acceptor said, 281 bytes.
    #[track_caller]
    pub(crate) fn introduce(&mut self, claimed: SocketAddr, nonce: u32) -> Vec<u8> {
        self.send(&hello(claimed, nonce));
        let theirs = self.recv(281);
        assert_eq!(theirs[..9], BANNER[..]);
        theirs
    }

    /// One connect message, and the tag and the authorizer bytes of its answer.
    #[track_caller]
    pub(crate) fn connect(&mut self, connect: &Connect) -> (u8, Vec<u8>) {
        self.send(&connect.bytes());
        let reply = self.recv(26);
        let len = u32::from_le_bytes(reply[21..25].try_into().expect("4 bytes"));
        (reply[0], self.recv(len as usize))
    }

    /// Opens a session whose acceptor has nothing of it yet.
    #[track_caller]
    pub(crate) fn open_as(&mut self, claimed: SocketAddr, nonce: u32, connect: &Connect) {
        self.introduce(claimed, nonce);
        let (tag, _) = self.connect(connect);
        assert_eq!(tag, SEQ);
        assert_eq!(self.recv(8), [0; 8]);
        self.send(&[0; 8]);
    }

    /// The same, at the address that the socket has.
    #[track_caller]
    pub(crate) fn open_session(&mut self, nonce: u32, connect: &Connect) {
        let addr = self.stream().local_addr().expect("it is connected");
        self.open_as(addr, nonce, connect);
    }
}
