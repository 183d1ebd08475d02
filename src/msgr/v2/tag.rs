//! What a frame is (`ceph::msgr::v2::Tag`, `FRAME_TAG_*`).

use std::fmt;

use crate::msgr::Fault;

macro_rules! tags {
    ($($(#[$doc:meta])* $name:ident = $n:literal $text:literal;)*) => {
        /// The first byte of a frame.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Tag {
            $($(#[$doc])* $name = $n,)*
        }

        impl Tag {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }

        impl TryFrom<u8> for Tag {
            type Error = Fault;

            fn try_from(n: u8) -> Result<Self, Fault> {
                match n {
                    $($n => Ok(Self::$name),)*
                    _ => Err(Fault::BadTag(n)),
                }
            }
        }

        impl fmt::Display for Tag {
            /// As Ceph writes it.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

tags! {
    /// Who each side is, and where it sees the other.
    Hello = 1 "HELLO";
    /// The dialler offers a method and modes.
    AuthRequest = 2 "AUTH_REQUEST";
    /// Not this method, or none of these modes.
    AuthBadMethod = 3 "AUTH_BAD_METHOD";
    /// More is needed of the dialler.
    AuthReplyMore = 4 "AUTH_REPLY_MORE";
    /// More from the dialler.
    AuthRequestMore = 5 "AUTH_REQUEST_MORE";
    /// The dialler is who it says; the mode of the connection.
    AuthDone = 6 "AUTH_DONE";
    /// A signature of all that came before.
    AuthSignature = 7 "AUTH_SIGNATURE";
    /// The dialler of a new session.
    ClientIdent = 8 "CLIENT_IDENT";
    /// The acceptor of a new session.
    ServerIdent = 9 "SERVER_IDENT";
    /// The dialler lacks features.
    IdentMissingFeatures = 10 "IDENT_MISSING_FEATURES";
    /// The dialler goes on with a session.
    SessionReconnect = 11 "SESSION_RECONNECT";
    /// There is no such session.
    SessionReset = 12 "SESSION_RESET";
    /// Another connect_seq, please.
    SessionRetry = 13 "SESSION_RETRY";
    /// Another global_seq, please.
    SessionRetryGlobal = 14 "SESSION_RETRY_GLOBAL";
    /// The session goes on.
    SessionReconnectOk = 15 "SESSION_RECONNECT_OK";
    /// The acceptor dials itself.
    Wait = 16 "WAIT";
    /// A message.
    Message = 17 "MESSAGE";
    /// Are you there?
    Keepalive2 = 18 "KEEPALIVE2";
    /// Yes.
    Keepalive2Ack = 19 "KEEPALIVE2_ACK";
    /// Messages up to this one have arrived.
    Ack = 20 "ACK";
    /// The dialler offers compression, of Quincy and later.
    CompressionRequest = 21 "COMPRESSION_REQUEST";
    /// Whether there is compression.
    CompressionDone = 22 "COMPRESSION_DONE";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_all_others_are_none() {
        for n in 0..=u8::MAX {
            match Tag::try_from(n) {
                Ok(tag) => assert_eq!((tag as u8, Tag::ALL[usize::from(n) - 1]), (n, tag)),
                Err(fault) => assert_eq!((fault, n == 0 || n > 22), (Fault::BadTag(n), true)),
            }
        }
        assert_eq!(Tag::ALL.len(), 22);
    }

    #[test]
    fn names_are_cephs() {
        let names = Tag::ALL.iter().map(|t| t.to_string().replace('_', "").to_lowercase());
        assert!(names.eq(Tag::ALL.iter().map(|t| format!("{t:?}").to_lowercase())));
    }
}
