//! What a seed decides: who there is, what they promise each other, and how bad it gets.

use super::net::{MS, Random, SEC, Time};
use crate::msgr::Policy;
use crate::types::{AddrType, EntityAddr, EntityType};

/// Which messenger all of them speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    V1,
    V2,
}

/// The policies of both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Between OSDs.
    Peer,
    /// Between monitors.
    PeerReuse,
    /// A client and an MDS.
    Stateful,
    /// A client and a monitor.
    Stateless,
    /// A client and an OSD.
    Registered,
}

impl Kind {
    pub(super) fn lossless(self) -> bool {
        matches!(self, Self::Peer | Self::PeerReuse | Self::Stateful)
    }

    /// Whether either end dials.
    pub(super) fn symmetric(self) -> bool {
        matches!(self, Self::Peer | Self::PeerReuse)
    }

    pub(super) fn dialler(self) -> Policy {
        match self {
            Self::Peer => Policy::LOSSLESS_PEER,
            Self::PeerReuse => Policy::LOSSLESS_PEER_REUSE,
            Self::Stateful => Policy::LOSSLESS_CLIENT,
            Self::Stateless | Self::Registered => Policy::LOSSY_CLIENT,
        }
    }

    pub(super) fn acceptor(self) -> Policy {
        match self {
            Self::Stateful => Policy::STATEFUL_SERVER,
            Self::Stateless => Policy::STATELESS_SERVER,
            Self::Registered => Policy::STATELESS_REGISTERED_SERVER,
            symmetric => symmetric.dialler(),
        }
    }

    /// That of node 0, and of all others.
    pub(super) fn types(self) -> (EntityType, EntityType) {
        match self {
            Self::Peer => (EntityType::OSD, EntityType::OSD),
            Self::PeerReuse => (EntityType::MON, EntityType::MON),
            Self::Stateful => (EntityType::MDS, EntityType::CLIENT),
            Self::Stateless => (EntityType::MON, EntityType::CLIENT),
            Self::Registered => (EntityType::OSD, EntityType::CLIENT),
        }
    }
}

/// Addresses of three daemons, from the one that wins a race to the one that loses it: by the nonce
/// as its bytes lie in memory, by the port, by the IP address.
const ADDRS: [[&str; 3]; 4] = [
    ["v1:10.0.0.1:6800/256", "v1:10.0.0.1:6800/1", "v1:10.0.0.1:6800/255"],
    ["v1:10.0.0.9:6800/65536", "v1:10.0.0.5:6800/512", "v1:10.0.0.1:6800/511"],
    ["v1:10.0.0.1:511/0", "v1:10.0.0.1:512/0", "v1:10.0.0.1:6789/0"],
    ["v1:10.0.0.255:6789/0", "v1:10.0.1.0:6789/0", "v1:10.1.0.0:6789/0"],
];

/// All that a seed decides at the beginning.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) protocol: Protocol,
    pub(super) kind: Kind,
    /// Where the daemons are, and how they come off in a race: the lowest wins.
    pub(super) addrs: Vec<(EntityAddr, usize)>,
    pub(super) cephx: bool,
    /// Frames of messenger v2 are sealed.
    pub(super) secure: bool,
    /// Who begins anew goes on with its global_seq. A client does in any case: v2 refuses, without a
    /// word, whoever comes back to an address with a lower one, for whom a client's new nonce is meant.
    pub(super) counts_on: bool,
    /// Both sides tell each other what they have.
    pub(super) reconnect_seq: bool,
    pub(super) messages: usize,
    pub(super) faults: usize,
    /// How long all this takes.
    pub(super) span: Time,
    pub(super) latency: Time,
    /// Bytes that a socket takes.
    pub(super) room: usize,
    /// Bytes that a call moves.
    pub(super) quantum: usize,
    /// Messages and bytes that a messenger holds.
    pub(super) throttle: (usize, usize),
    /// How long the applications keep a message.
    pub(super) hold: Time,
    /// How long a worker may be about something else.
    pub(super) lag: Time,
}

impl Plan {
    pub(super) fn new(r: &mut Random, protocol: Protocol) -> Self {
        let kind = r.pick(&[
            Kind::Peer,
            Kind::Peer,
            Kind::PeerReuse,
            Kind::PeerReuse,
            Kind::Stateful,
            Kind::Stateful,
            Kind::Stateless,
            Kind::Registered,
        ]);
        let nodes = if r.percent(70) { 2 } else { 3 };
        let set = r.pick(&ADDRS);
        let mut addrs: Vec<_> =
            set.iter().enumerate().map(|(rank, a)| (a.parse().unwrap(), rank)).collect();
        for i in (1..addrs.len()).rev() {
            addrs.swap(i, r.index(i + 1));
        }
        addrs.truncate(nodes);
        let v2 = protocol == Protocol::V2;
        if v2 {
            addrs.iter_mut().for_each(|(addr, _): &mut (EntityAddr, _)| {
                addr.addr_type = AddrType::MSGR2;
            });
        }
        let secure = v2 && r.percent(25);
        Self {
            protocol,
            kind,
            addrs,
            cephx: r.percent(12) || secure,
            secure,
            counts_on: v2 && (r.percent(50) || !kind.symmetric()),
            // Without it a daemon that goes on with a peer that began anew takes its messages for old.
            reconnect_seq: r.percent(95) || kind == Kind::Peer || v2,
            messages: r.between(130, 290) as usize,
            faults: r.between(5, 12) as usize,
            span: r.between(20, 90) * SEC,
            latency: r.pick(&[100, MS, 20 * MS, 300 * MS]),
            room: r.pick(&[150, 1000, 20_000, 200_000]),
            quantum: r.pick(&[40, 300, 2000, usize::MAX, usize::MAX, usize::MAX]),
            throttle: r.pick(&[(1, 100), (3, 2000), (20, 8000), (100, 1 << 20)]),
            hold: r.pick(&[0, 5 * MS, 100 * MS, SEC]),
            lag: r.pick(&[1, MS, 50 * MS]),
        }
    }
}
