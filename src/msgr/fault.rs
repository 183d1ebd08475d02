//! Every way in which the wire or the peer can be wrong, and what follows from it.

use std::io;

use super::v2::Tag;
use super::{ConState, Policy};
use crate::auth::{AuthError, AuthRefusal};
use crate::denc::DecodeError;
use crate::types::{EntityAddr, EntityType, Features, Seq};

/// Why a connection broke. One variant for each way; tests match on them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The socket gave an error.
    #[error("{}", io_text(*.0))]
    Io(io::ErrorKind),
    /// The system gave an error, by its errno, for which the standard library has no kind: EMFILE,
    /// EAFNOSUPPORT.
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    Os(i32),
    /// The peer closed its end of the socket.
    #[error("the peer closed the connection")]
    PeerClosed,
    /// The peer said CLOSE.
    #[error("the peer ended the session (CLOSE)")]
    CloseTag,
    /// A step took longer than its deadline allows.
    #[error("no {0} in time")]
    TimedOut(&'static str),
    /// The first bytes are not those of a Ceph messenger.
    #[error("bad banner: not a Ceph messenger")]
    BadBanner,
    /// The peer speaks messenger v2 on this port.
    #[error("the peer speaks messenger v2 here: this is not a port of messenger v1")]
    PeerSpeaksV2,
    /// The peer speaks messenger v1 on this port.
    #[error("the peer speaks messenger v1 here: this is not a port of messenger v2")]
    PeerSpeaksV1,
    /// The peer demands features of the messenger, by their bits in its banner, that this side lacks.
    #[error("the peer demands features of the messenger that are not supported here: {0:#x}")]
    Msgr2FeaturesMissing(u64),
    /// The peer's banner lacks features of the messenger that this side demands.
    #[error("the peer lacks features of the messenger: {0:#x}")]
    PeerLacksMsgr2Features(u64),
    /// The peer says that it is someone else.
    #[error("wrong peer: {got} answers where {want} was dialled")]
    WrongPeer {
        /// The address that was dialled.
        want: EntityAddr,
        /// The address that the peer claims.
        got: EntityAddr,
    },
    /// The peer is of another type than the one that was dialled.
    #[error("wrong peer: a {got} answers where a {want} was dialled")]
    WrongPeerType {
        /// What was dialled.
        want: EntityType,
        /// What the peer says it is.
        got: EntityType,
    },
    /// Bytes of a reply were there before its request had been written.
    #[error("a reply came before its request was written")]
    ReplyBeforeRequest,
    /// A fixed-size part of the protocol does not decode.
    #[error("malformed {}", .0)]
    Decode(DecodeError),
    /// The connect reply has a tag that is none.
    #[error("garbage tag {0} in the connect reply")]
    GarbageTag(u8),
    /// The peer's authorizer is longer than any.
    #[error("an authorizer of {0} bytes is too long")]
    AuthorizerTooLong(u32),
    /// The peer sent an authorizer reply although no authorizer had gone out.
    #[error("an authorizer reply of {0} bytes came where no authorizer had been sent")]
    UnexpectedAuthorizerReply(u32),
    /// The peer opened the session without proving that it read our authorizer.
    #[error("the peer did not prove its identity")]
    NoAuthorizerReply,
    /// Our own side of the authentication failed: no ticket, or a reply that does not verify.
    #[error("{0}")]
    Auth(AuthError),
    /// The peer refused our authorizer, twice.
    #[error("the peer refuses our authorizer (BADAUTHORIZER)")]
    BadAuthorizer,
    /// The peer speaks another version of the protocol between these two kinds of entity.
    #[error("protocol version {ours} was offered, the peer speaks {theirs} (BADPROTOVER)")]
    BadProtocolVersion {
        /// What the connect message said.
        ours: u32,
        /// What the reply said.
        theirs: u32,
    },
    /// The peer demands features that this side lacks.
    #[error("the peer demands features that are not supported here: {}", names(*.0))]
    FeaturesMissing(Features),
    /// The peer lacks features that this side demands.
    #[error("the peer lacks features: {}", names(*.0))]
    PeerLacksFeatures(Features),
    /// The peer says WAIT, although it cannot dial a client.
    #[error("the peer says WAIT to a client")]
    WaitAsClient,
    /// The peer is dialling us, and its own attempt is to be the connection (WAIT).
    #[error("the peer dials this side itself (WAIT)")]
    Wait,
    /// The peer claims to have seen a global_seq that leaves no room for another.
    #[error("the peer asks for a global_seq above {0}")]
    BadGlobalSeq(u64),
    /// The peer asks for, or has, a connect_seq that leaves no room for another.
    #[error("the peer has come to connect_seq {0}")]
    ConnectSeqTooHigh(u64),
    /// The peer claims to have a message whose number leaves no room for more.
    #[error("the peer claims to have message {0}")]
    BadSeq(u64),
    /// The session was opened with another connect_seq than it must have.
    #[error("the peer opened connect_seq {got}, {want} was expected")]
    BadConnectSeq {
        /// One more than was sent.
        want: u32,
        /// What the reply said.
        got: u32,
    },
    /// The peer sends connect replies without end.
    #[error("no end of the handshake after {0} replies")]
    TooManyRounds(u32),
    /// A tag that has no place in an open session.
    #[error("bad tag {0}")]
    BadTag(u8),
    /// A frame of messenger v2 that has no place where the handshake, or the session, is.
    #[error("{0} is out of place")]
    UnexpectedTag(Tag),
    /// The peer sends no address by which its session could be found.
    #[error("the peer has no address")]
    NoPeerAddress,
    /// The accepting side does not answer what the peer said to authenticate.
    #[error("the peer is refused: {0}")]
    AuthRefused(AuthRefusal),
    /// The checksum of a message header is wrong.
    #[error("bad crc of a message header")]
    BadHeaderCrc,
    /// The checksum of a message's segment is wrong.
    #[error("bad crc of the {0} of a message")]
    BadCrc(&'static str),
    /// A message's segment is longer than its limit.
    #[error("a {segment} of {len} bytes is too long")]
    TooLong {
        /// front, middle or data.
        segment: &'static str,
        /// What the header says.
        len: u32,
    },
    /// The first bytes of a frame of messenger v2 make no sense.
    #[error("bad preamble of a frame: {0}")]
    BadPreamble(&'static str),
    /// The checksum of a frame's segment is wrong, counted from 0.
    #[error("bad crc of segment {0} of a frame")]
    BadSegmentCrc(usize),
    /// The end of a frame says neither that it is complete nor that it was aborted.
    #[error("bad late status {0:#x} of a frame")]
    BadLateStatus(u8),
    /// The tag of AES-GCM is not the one that bytes, key and nonce give.
    #[error("a frame does not open: wrong key, or the bytes were changed")]
    BadSeal,
    /// So many frames were sealed, or opened, that the next nonce would be the first again.
    #[error("out of nonces: the connection has sealed as many frames as it may")]
    OutOfNonces,
    /// The secret of a SECURE connection has too few bytes, here so many, for its keys.
    #[error("a connection secret of {0} bytes is too short")]
    BadConnectionSecret(usize),
    /// A message's number leaves a gap.
    #[error("message {got} came where {want} was next")]
    OutOfOrder {
        /// The next number.
        want: Seq,
        /// The number that came.
        got: Seq,
    },
    /// A newer connection of the same peer has taken the place of a lossy one.
    #[error("the peer has opened a newer connection")]
    Replaced,
    /// There are too many connections, and the peer of this one had not logged in.
    #[error("closed in favour of another peer, for it had not logged in")]
    Crowded,
    /// The sender took the message back half-way.
    #[error("the sender aborted a message")]
    Aborted,
    /// The peer's signature of the handshake is not one of what was sent, or not by the session key
    /// (AUTH_SIGNATURE).
    #[error("bad signature of the handshake")]
    BadAuthSignature,
    /// The message is not signed as the session demands.
    #[error("bad signature of a message")]
    BadSignature,
}

fn io_text(kind: io::ErrorKind) -> String {
    kind.to_string()
}

fn names(features: Features) -> String {
    features.names().collect::<Vec<_>>().join(", ")
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        // The kind of what it has no kind for cannot be named.
        let none = io::Error::from_raw_os_error(i32::MAX).kind();
        match e.raw_os_error() {
            Some(errno) if e.kind() == none => Self::Os(errno),
            _ => Self::Io(e.kind()),
        }
    }
}

impl From<DecodeError> for Fault {
    fn from(e: DecodeError) -> Self {
        Self::Decode(e)
    }
}

impl From<AuthRefusal> for Fault {
    fn from(e: AuthRefusal) -> Self {
        Self::AuthRefused(e)
    }
}

impl From<AuthError> for Fault {
    fn from(e: AuthError) -> Self {
        Self::Auth(e)
    }
}

/// What a connection does after a fault (`con_fault`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// It ends and its owner is told.
    Close,
    /// It keeps its session without a socket until there is something to send.
    Standby,
    /// It dials again, at once if that is the first time ([`super::Backoff::broken`]).
    Redial,
    /// It dials again after the backoff.
    Backoff,
    /// It waits for the peer to dial, as long as the longest backoff.
    Wait,
}

impl Fault {
    /// Whether dialling the same address again cannot mend it.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::CloseTag
                | Self::PeerSpeaksV2
                | Self::PeerSpeaksV1
                | Self::Msgr2FeaturesMissing(_)
                | Self::PeerLacksMsgr2Features(_)
                | Self::WrongPeer { .. }
                | Self::WrongPeerType { .. }
                | Self::BadProtocolVersion { .. }
                | Self::FeaturesMissing(_)
                | Self::PeerLacksFeatures(_)
                | Self::Replaced
                | Self::Crowded
        )
    }

    /// Whether the peer speaks the other protocol on this port.
    pub fn is_other_protocol(&self) -> bool {
        matches!(self, Self::PeerSpeaksV1 | Self::PeerSpeaksV2)
    }

    /// Whether the two sides did not come to know each other.
    pub fn is_auth(&self) -> bool {
        matches!(self, Self::BadAuthorizer | Self::Auth(_) | Self::NoAuthorizerReply)
    }

    /// Whether our tickets may be the cause, so that the next authorizer must come from new ones.
    pub fn blames_tickets(&self) -> bool {
        use AuthError::{BadMode, BadProtocol, NoCommonMode, NoCommonProtocol, NoMode};
        // What both sides allow has nothing to do with what is shown.
        let allowed = matches!(
            self,
            Self::Auth(
                NoMode | NoCommonMode { .. } | NoCommonProtocol | BadMode(_) | BadProtocol(_)
            )
        );
        self.is_auth() && !allowed
    }

    /// The one place that decides what a fault does, by the policy of the connection, the state
    /// it was in and whether anything waits to be sent.
    pub fn consequence(
        &self,
        policy: Policy,
        state: ConState,
        lossy: bool,
        idle: bool,
    ) -> Consequence {
        // What the owner closed while the worker was at it does not come back to life.
        if lossy || policy.lossy || state == ConState::Closed || self.is_final() {
            Consequence::Close
        } else if policy.server {
            // Even with something to send: only the peer can come back.
            Consequence::Standby
        } else if *self == Self::Wait {
            Consequence::Wait
        } else if idle
            && policy.standby
            && matches!(state, ConState::Open | ConState::AcceptingWaitSeq)
        {
            // Here the kernel does not ask for the state. But the owner of a session that is not
            // open yet waits for it, and nobody would dial again.
            Consequence::Standby
        } else if state == ConState::Open {
            Consequence::Redial
        } else {
            Consequence::Backoff
        }
    }
}

/// The protocol version between a dialler and who serves it, in `ceph_msg_connect` and its reply
/// (`CEPH_MONC_PROTOCOL`, `CEPH_MON_PROTOCOL` and their kin): that of the
/// serving side's clients, or another one among daemons of the same kind; 0 where there is none.
pub fn protocol_version(serving: EntityType, dialler: EntityType) -> u32 {
    match (serving, serving == dialler) {
        (EntityType::MON, false) => 15,
        (EntityType::OSD, false) => 24,
        (EntityType::MDS, false) => 32,
        (EntityType::MON, true) => 13,
        (EntityType::OSD, true) => 10,
        (EntityType::MDS, true) => 36,
        _ => 0,
    }
}
