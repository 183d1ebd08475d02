use std::fmt;

/// What an encryption is for: the key usage number that RFC 8009 mixes into the keys of type 2,
/// so that bytes of one place do not open in another. Keys of type 1 ignore it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Usage(pub u32);

impl Usage {
    /// Secret of a msgr2 connection to a monitor, under the AUTH session key.
    pub const AUTH_CONNECTION_SECRET: Self = Self(0x03);
    /// The client's part of a ticket, under its own key or the AUTH session key.
    pub const TICKET_SESSION_KEY: Self = Self(0x04);
    /// A new AUTH ticket, under the session key of the old one.
    pub const TICKET_BLOB: Self = Self(0x05);
    /// Part b of an authorizer, under the session key of its ticket.
    pub const AUTHORIZE: Self = Self(0x10);
    /// The challenge to an authorizer.
    pub const AUTHORIZE_CHALLENGE: Self = Self(0x11);
    /// The reply to an authorizer.
    pub const AUTHORIZE_REPLY: Self = Self(0x12);
    /// The rotating secrets, under the key of the daemon that asked.
    pub const ROTATING_SECRET: Self = Self(0x20);
    /// What a ticket tells the service, under a rotating secret of that service.
    pub const TICKET_INFO: Self = Self(0x30);
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Usage({:#04x})", self.0)
    }
}
