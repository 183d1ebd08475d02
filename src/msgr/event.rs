use super::Message;
use crate::types::{Features, Seq, UTime};

/// What the owner of a connection hears from the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The session is open, with these features on both sides.
    Connected(Features),
    /// The session is open on a socket that was accepted, with these features on both sides.
    Accepted(Features),
    /// A message.
    Message(Message),
    /// The peer has lost the session: what was queued for it is gone.
    RemoteReset,
    /// Everything up to this number has arrived.
    Acked(Seq),
    /// The peer is alive; the stamp is the one that went out with the keepalive.
    KeepaliveAck(UTime),
}
