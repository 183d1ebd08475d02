use crate::types::EntityType;

/// What a connection promises, and which end mends it (`src/msg/Policy.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A fault ends the session and drops its queue; the owner starts a new one.
    pub lossy: bool,
    /// This end never dials: a session that broke waits for the peer to come back.
    pub server: bool,
    /// A session with nothing to send does without a socket.
    pub standby: bool,
    /// A peer that has lost its session is found out, and the session is lost here too.
    pub resetcheck: bool,
    /// Of lossy sessions that are accepted: a peer has one at most, and an attempt that is older
    /// than it is refused.
    pub register_lossy_clients: bool,
}

impl Policy {
    const NONE: Self = Self {
        lossy: false,
        server: false,
        standby: false,
        resetcheck: false,
        register_lossy_clients: false,
    };
    /// A client's towards monitors, OSDs and managers; a daemon's towards monitors.
    pub const LOSSY_CLIENT: Self = Self { lossy: true, ..Self::NONE };
    /// A client's towards an MDS: each message arrives once and in order. An idle session stands
    /// by, as the kernel has it; Ceph's own clients dial again.
    pub const LOSSLESS_CLIENT: Self = Self { standby: true, resetcheck: true, ..Self::NONE };
    /// A monitor's towards its clients.
    pub const STATELESS_SERVER: Self = Self { lossy: true, server: true, ..Self::NONE };
    /// An OSD's towards its clients.
    pub const STATELESS_REGISTERED_SERVER: Self =
        Self { register_lossy_clients: true, ..Self::STATELESS_SERVER };
    /// An MDS's towards its clients: the session outlives its sockets.
    pub const STATEFUL_SERVER: Self =
        Self { server: true, standby: true, resetcheck: true, ..Self::NONE };
    /// Between OSDs: either end dials.
    ///
    /// Without `resetcheck` a peer that began anew is not found out, as is Ceph's rule: nothing of
    /// what waits here is dropped, the numbers begin anew, and no reset is told;
    /// [`LOSSLESS_PEER_REUSE`](Self::LOSSLESS_PEER_REUSE) tells. A session never gives up a peer
    /// that does not answer, so its owner has to close those of peers that will not come back.
    pub const LOSSLESS_PEER: Self = Self { standby: true, ..Self::NONE };
    /// Between monitors: either end dials, and a peer that began anew is found out: what waited for
    /// it is dropped, and the owner is told of the reset. The sessions of peers that will not come
    /// back are the owner's to close here too.
    pub const LOSSLESS_PEER_REUSE: Self = Self { resetcheck: true, ..Self::LOSSLESS_PEER };
}

impl Policy {
    /// Whether nothing is remembered of a peer but its socket.
    pub fn is_stateless(&self) -> bool {
        self.server && self.lossy && !self.register_lossy_clients
    }
}

/// Which policy holds towards which kind of peer (`Messenger::set_policy`).
#[derive(Clone, Debug)]
pub struct Policies {
    default: Policy,
    by_type: Vec<(EntityType, Policy)>,
}

impl Policies {
    /// The same towards all.
    pub fn new(default: Policy) -> Self {
        Self { default, by_type: Vec::new() }
    }

    /// Another one towards peers of this type.
    #[must_use]
    pub fn with(mut self, peer: EntityType, policy: Policy) -> Self {
        self.by_type.retain(|(t, _)| *t != peer);
        self.by_type.push((peer, policy));
        self
    }

    /// That towards peers of this type.
    pub fn get(&self, peer: EntityType) -> Policy {
        self.by_type.iter().find(|(t, _)| *t == peer).map_or(self.default, |(_, p)| *p)
    }
}
