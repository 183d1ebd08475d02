use std::fmt;

/// `CEPH_CON_S_*`: where a connection is in its life (`include/linux/ceph/messenger.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConState {
    /// No socket; what is sent is dropped.
    Closed,
    /// A socket is to be made.
    Preopen,
    /// TCP is connecting, or the hellos are under way.
    V1Banner,
    /// The connect message goes out, its reply is awaited.
    #[doc(alias = "NEGOTIATING")]
    V1ConnectMsg,
    /// TCP is connecting, or the banners are under way.
    V2Banner,
    /// Each side says who it is.
    V2Hello,
    /// Who dialled shows it.
    V2Auth,
    /// Both sides sign what was said.
    V2AuthSignature,
    /// CLIENT_IDENT goes out, its answer is awaited.
    V2SessionConnect,
    /// SESSION_RECONNECT goes out, its answer is awaited.
    V2SessionReconnect,
    /// An accepting side has said SEQ, and the dialler's number is awaited.
    AcceptingWaitSeq,
    /// Messages flow.
    Open,
    /// A lossless session with nothing to send, and no socket.
    Standby,
}

impl fmt::Display for ConState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "CLOSED",
            Self::Preopen => "PREOPEN",
            Self::V1Banner => "V1_BANNER",
            Self::V1ConnectMsg => "V1_CONNECT_MSG",
            Self::V2Banner => "V2_BANNER",
            Self::V2Hello => "V2_HELLO",
            Self::V2Auth => "V2_AUTH",
            Self::V2AuthSignature => "V2_AUTH_SIGNATURE",
            Self::V2SessionConnect => "V2_SESSION_CONNECT",
            Self::V2SessionReconnect => "V2_SESSION_RECONNECT",
            Self::AcceptingWaitSeq => "ACCEPTING_WAIT_SEQ",
            Self::Open => "OPEN",
            Self::Standby => "STANDBY",
        })
    }
}
