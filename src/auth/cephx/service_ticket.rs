//! Tickets: what the monitor tells the client about one, what it tells the service, and the list
//! in which they are sent.

use std::fmt;

use super::CephXTicketBlob;
use crate::auth::{AuthError, EntityName};
use crate::crypto::{CryptoError, CryptoKey, Usage};
use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::{Features, GlobalId, UTime};
use zeroize::Zeroizing;

/// The client's part of a ticket: `u8` 1, session key, [`UTime`] validity (a length, not a point).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CephXServiceTicket {
    /// Shared by the client and the service.
    pub session_key: CryptoKey,
    /// How long the ticket is good for.
    pub validity: UTime,
}

impl Encode for CephXServiceTicket {
    fn encode(&self, w: &mut Writer) {
        w.u8(1).put(&self.session_key).put(&self.validity);
    }
}

impl Decode for CephXServiceTicket {
    const MIN: usize = 21;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("CephXServiceTicket").u8()?;
        Ok(Self { session_key: r.get()?, validity: r.get()? })
    }
}

/// What an entity may do at the service: `u8` 1, `u8` allow_all, `u32` length, caps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthCapsInfo {
    /// Everything, whatever `caps` say.
    pub allow_all: bool,
    /// For a Ceph service an encoded string, `allow r`; else empty.
    pub caps: Vec<u8>,
}

impl AuthCapsInfo {
    /// The caps of a keyring, as tickets carry them; those of an entity that has none are empty.
    pub fn from_text(caps: Option<&str>) -> Self {
        let mut w = Writer::new(Features::ALL);
        if let Some(caps) = caps {
            w.string(caps);
        }
        Self { allow_all: false, caps: w.into_vec() }
    }

    /// The text of the caps, if they are that of a Ceph service.
    pub fn text(&self) -> Option<&str> {
        let mut r = Reader::new(&self.caps);
        let text = r.blob().ok().filter(|_| r.remaining() == 0)?;
        std::str::from_utf8(text).ok()
    }
}

impl Encode for AuthCapsInfo {
    fn encode(&self, w: &mut Writer) {
        w.u8(1).bool(self.allow_all).blob(&self.caps);
    }
}

impl Decode for AuthCapsInfo {
    const MIN: usize = 6;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("AuthCapsInfo").u8()?;
        Ok(Self { allow_all: r.bool()?, caps: r.blob()?.to_vec() })
    }
}

/// Who the holder of a ticket is (`src/auth/Auth.h`): `u8` 2, name, `u64` global_id, `u64` auid,
/// two [`UTime`], caps, `u32` flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthTicket {
    /// Who.
    pub name: EntityName,
    /// The number of the session at the monitors.
    pub global_id: GlobalId,
    /// Unused since mimic: all ones, of old 0.
    pub old_auid: u64,
    /// When the ticket was made.
    pub created: UTime,
    /// Until when it is good.
    pub expires: UTime,
    /// For the service that the ticket is for.
    pub caps: AuthCapsInfo,
    /// Unused.
    pub flags: u32,
}

impl Encode for AuthTicket {
    fn encode(&self, w: &mut Writer) {
        w.u8(2).put(&self.name).put(&self.global_id).u64(self.old_auid);
        w.put(&self.created).put(&self.expires).put(&self.caps).u32(self.flags);
    }
}

impl Decode for AuthTicket {
    const MIN: usize = 51;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("AuthTicket").u8()?;
        Ok(Self {
            name: r.get()?,
            global_id: r.get()?,
            old_auid: r.u64()?,
            created: r.get()?,
            expires: r.get()?,
            caps: r.get()?,
            flags: r.u32()?,
        })
    }
}

/// The service's part of a ticket, sealed with a rotating secret of that service: `u8` 1,
/// [`AuthTicket`], session key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CephXServiceTicketInfo {
    /// Who the client is.
    pub ticket: AuthTicket,
    /// The same as in [`CephXServiceTicket`].
    pub session_key: CryptoKey,
}

impl CephXServiceTicketInfo {
    /// Seals the service's part with a secret of the service (`cephx_build_service_ticket_blob`).
    pub fn seal(&self, secret_id: u64, secret: &CryptoKey) -> Result<CephXTicketBlob, CryptoError> {
        let plain = Zeroizing::new(self.to_bytes(Features::ALL));
        Ok(CephXTicketBlob { secret_id, blob: secret.encrypt(Usage::TICKET_INFO, &plain)? })
    }

    /// Opens it with that secret (`cephx_decode_ticket`).
    pub fn open(ticket: &CephXTicketBlob, secret: &CryptoKey) -> Result<Self, CryptoError> {
        let plain = secret.decrypt(Usage::TICKET_INFO, &ticket.blob)?;
        Ok(Reader::new(&plain).get()?)
    }
}

impl Encode for CephXServiceTicketInfo {
    fn encode(&self, w: &mut Writer) {
        w.u8(1).put(&self.ticket).put(&self.session_key);
    }
}

impl Decode for CephXServiceTicketInfo {
    const MIN: usize = 64;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("CephXServiceTicketInfo").u8()?;
        Ok(Self { ticket: r.get()?, session_key: r.get()? })
    }
}

/// One entry of the list that answers a request for tickets (`cephx_build_service_ticket_reply`).
///
/// The list is `u8` 1 and a `u32` count in front of: `u32` service, `u8` 1, envelope with a
/// [`CephXServiceTicket`], `u8` ticket_enc, and a `u32` length with the bytes of a
/// [`CephXTicketBlob`]; if ticket_enc is not 0, an envelope of that length and those bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceTicketReply {
    /// `CEPH_ENTITY_TYPE_*`.
    pub service_id: u32,
    service_ticket: Vec<u8>,
    ticket_enc: bool,
    ticket: Vec<u8>,
}

impl fmt::Debug for ServiceTicketReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTicketReply")
            .field("service_id", &self.service_id)
            .field("ticket_enc", &self.ticket_enc)
            .finish_non_exhaustive()
    }
}

impl ServiceTicketReply {
    /// Seals a ticket for its client, who holds `principal_secret`, and if it showed an older
    /// ticket also that one's session key.
    pub fn seal(
        service_id: u32,
        for_me: &CephXServiceTicket,
        ticket: &CephXTicketBlob,
        principal_secret: &CryptoKey,
        old_session_key: Option<&CryptoKey>,
    ) -> Result<Self, CryptoError> {
        let for_me = Zeroizing::new(for_me.to_bytes(Features::ALL));
        let mut blob = ticket.to_bytes(Features::ALL);
        if let Some(key) = old_session_key {
            let mut w = Writer::new(Features::ALL);
            w.blob(&blob);
            blob = key.encrypt(Usage::TICKET_BLOB, w.as_slice())?;
        }
        Ok(Self {
            service_id,
            service_ticket: principal_secret.encrypt(Usage::TICKET_SESSION_KEY, &for_me)?,
            ticket_enc: old_session_key.is_some(),
            ticket: blob,
        })
    }

    /// Opens a ticket with the key that the request was made with and, if the ticket is sealed
    /// once more, the session key of the older ticket of the same service.
    pub fn open(
        &self,
        principal_secret: &CryptoKey,
        old_session_key: Option<&CryptoKey>,
    ) -> Result<(CephXServiceTicket, CephXTicketBlob), AuthError> {
        let service = self.service_id;
        let bad = |source| AuthError::BadTicket { service, source };
        let bad_encoding = |e| bad(CryptoError::Decode(e));

        let for_me = principal_secret
            .decrypt(Usage::TICKET_SESSION_KEY, &self.service_ticket)
            .map_err(bad)?;
        let for_me: CephXServiceTicket = Reader::new(&for_me).get().map_err(bad_encoding)?;
        if for_me.session_key.is_empty() {
            return Err(bad(CryptoError::NoKey));
        }
        let ticket = if self.ticket_enc {
            let key = old_session_key.ok_or(AuthError::NoOldSessionKey { service })?;
            let sealed = key.decrypt(Usage::TICKET_BLOB, &self.ticket).map_err(bad)?;
            let mut r = Reader::new(&sealed);
            Reader::new(r.blob().map_err(bad_encoding)?).get()
        } else {
            Reader::new(&self.ticket).get()
        };
        Ok((for_me, ticket.map_err(bad_encoding)?))
    }

    /// Appends a list of tickets.
    pub fn encode_list(w: &mut Writer, tickets: &[Self]) {
        w.u8(1).u32(tickets.len() as u32);
        for t in tickets {
            w.u32(t.service_id).u8(1).blob(&t.service_ticket).bool(t.ticket_enc).blob(&t.ticket);
        }
    }

    /// Reads a list of tickets.
    pub fn decode_list(r: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        r.what("ServiceTicketReply").u8()?;
        r.list(14, |r| {
            let service_id = r.u32()?;
            r.u8()?;
            Ok(Self {
                service_id,
                service_ticket: r.blob()?.to_vec(),
                ticket_enc: r.bool()?,
                ticket: r.blob()?.to_vec(),
            })
        })
    }
}
